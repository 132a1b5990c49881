/*
 * /proc/asi: what the isolation does and did, as text: the counters that asistat and asictl show, for programs that
 * read files. docs/procfs.md says what each line is.
 *
 * Class discipline: counts, kernel symbols, names of programs: metadata.
 * Locks: processes_lock while processes are listed. Runs in the caller's space.
 */
#include "arch/smp.h"
#include "asi/asi.h"
#include "asi/sites.h"
#include "asi/trust.h"
#include "kernel/device.h"
#include "kernel/ksyms.h"
#include "kernel/print.h"
#include "kernel/process.h"
#include "kernel/procfs.h"
#include "kernel/string.h"
#include "mm/ephmap.h"
#include "mm/frame.h"
#include "mm/heap.h"

static void mode_text(struct text *text, const struct inode *inode) {
    static const char *const names[ASI_MODES] = {"none", "classic", "naive", "asi"};
    (void)inode;
    text_add(text, "%s\n", names[asi_mode]);
}

static void flush_text(struct text *text, const struct inode *inode) {
    const struct asi_flush flush = asi_flush;
    (void)inode;
    if (flush.kind == ASI_FLUSH_COST)
        text_add(text, "cost:%u,%u,%u\n", flush.ibpb_ticks, flush.verw_ticks, flush.cr3_ticks);
    else
        text_add(text, "%s\n", flush.kind == ASI_FLUSH_OFF ? "off" : "auto");
}

/* One line for a counter that lies `offset` bytes into struct cpu_counters: all CPUs, then each. */
static void add_counter(struct text *text, const char *prefix, const char *name, size_t offset) {
    uint64_t sum = 0;
    for (unsigned cpu = 0; cpu < cpu_count; cpu++)
        sum += *(const uint64_t *)((const char *)&cpus[cpu].counters + offset);
    text_add(text, "%s%s %lu", prefix, name, sum);
    for (unsigned cpu = 0; cpu < cpu_count; cpu++)
        text_add(text, " %lu", *(const uint64_t *)((const char *)&cpus[cpu].counters + offset));
    text_add(text, "\n");
}

#define COUNTER(member)                                                                                                \
    { #member, offsetof(struct cpu_counters, member) }
static const struct {
    const char *name;
    size_t offset;
} counters[] = {
    COUNTER(enters),           COUNTER(cr3_writes),      COUNTER(control_flushes), COUNTER(data_flushes),
    COUNTER(process_switches), COUNTER(thread_switches), COUNTER(idle_switches),   COUNTER(page_faults),
    COUNTER(views_mapped),     COUNTER(views_revoked),   COUNTER(tlb_flushes),     COUNTER(page_flushes),
    COUNTER(tag_hits),         COUNTER(shootdowns),      COUNTER(ipis_sent),       COUNTER(syscalls_unknown),
};

static void counters_text(struct text *text, const struct inode *inode) {
    (void)inode;
    for (unsigned cause = 0; cause < ASI_CAUSES; cause++)
        add_counter(text, "exits_", asi_cause_names[cause],
                    offsetof(struct cpu_counters, exits) + cause * sizeof(uint64_t));
    for (size_t i = 0; i < sizeof(counters) / sizeof(counters[0]); i++)
        add_counter(text, "", counters[i].name, counters[i].offset);
}

static void sites_text(struct text *text, const struct inode *inode) {
    enum { SITES_MAX = 256 };
    struct asi_site *sites = local_alloc(SITES_MAX * sizeof *sites);
    (void)inode;
    if (sites == NULL)
        return;
    unsigned count = asi_sites_top(sites, SITES_MAX);
    for (unsigned i = 0; i < count; i++) {
        const char *name = "?";
        uint64_t offset = 0;
        (void)!ksym_lookup(sites[i].address, &name, &offset);
        text_add(text, "%lu %s %016lx %s+%#lx\n", sites[i].count, asi_cause_names[sites[i].cause], sites[i].address,
                 name, offset);
    }
    local_free(sites, SITES_MAX * sizeof *sites);
}

static void memory_text(struct text *text, const struct inode *inode) {
    static const char *const names[] = {"free", "global", "local", "user", "secret", "dirty", "reserved"};
    struct frame_counts frames;
    (void)inode;
    frame_count(&frames);
    text_add(text, "total %lu\n", frames.total);
    for (unsigned class = 0; class <= FRAME_RESERVED; class ++)
        text_add(text, "%s %lu\n", names[class], frames.by_class[class]);
}

static void domains_text(struct text *text, const struct inode *inode) {
    (void)inode;
    for (uint32_t number = 1; number < ASI_DOMAINS; number++) {
        struct asi_domain domain;
        if (trust_describe(number, &domain))
            text_add(text, "%u members %u owner %u trusts %016lx\n", domain.number, domain.members, domain.owner,
                     domain.trusts);
    }
}

static uint64_t exits_of(const struct process *process) {
    uint64_t sum = 0;
    for (unsigned cause = 0; cause < ASI_CAUSES; cause++)
        sum += process->counters.exits[cause];
    return sum;
}

static void processes_text(struct text *text, const struct inode *inode) {
    (void)inode;
    text_add(text, "pid domain exits cr3_writes control_flushes data_flushes page_faults views_mapped views_revoked "
                   "window_tables resident name\n");
    bool irq = spin_lock_irq(&processes_lock);
    list_for_each(link, &all_processes) {
        const struct process *process = container_of(link, struct process, all_link);
        const struct cpu_counters *c = &process->counters;
        const uint64_t resident = process->user_space != NULL && !process->dying ? process->user_space->resident : 0;
        text_add(text, "%u %u %lu %lu %lu %lu %lu %lu %lu %u %lu %s\n", process->id, process->domain, exits_of(process),
                 c->cr3_writes, c->control_flushes, c->data_flushes, c->page_faults, c->views_mapped, c->views_revoked,
                 process->window_tables, resident, process->name);
    }
    spin_unlock_irq(&processes_lock, irq);
}

#define TEXT_FILE(name_, generate_)                                                                                    \
    {                                                                                                                  \
        "/proc/asi/" name_, { .operations = &text_operations, .generate = (generate_) }                                \
    }

static const struct {
    const char *path;
    struct special_file special;
} files[] = {
    TEXT_FILE("mode", mode_text),           TEXT_FILE("flush", flush_text),   TEXT_FILE("counters", counters_text),
    TEXT_FILE("sites", sites_text),         TEXT_FILE("memory", memory_text), TEXT_FILE("domains", domains_text),
    TEXT_FILE("processes", processes_text),
};

enum status proc_asi_init(void) {
    enum status status = names_make_directories("/proc/asi");
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]) && status == OK; i++)
        status = names_make_special(files[i].path, S_IFREG | 0444, &files[i].special);
    return status;
}
