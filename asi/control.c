/*
 * Owns: SYS_ASI: decoding, rights, copying out. What it reports is metadata.
 * Locks: processes_lock to find a process. Space: the caller's; only audits and deliberate exits leave it.
 */
#include "asi/control.h"

#include "arch/cpu.h"
#include "arch/features.h"
#include "arch/msr.h"
#include "arch/smp.h"
#include "arch/uaccess.h"
#include "asi/asi.h"
#include "asi/audit.h"
#include "asi/demo.h"
#include "asi/nest.h"
#include "asi/scan.h"
#include "asi/sites.h"
#include "asi/tally.h"
#include "asi/trust.h"
#include "kernel/ksyms.h"
#include "kernel/message.h"
#include "kernel/print.h"
#include "kernel/process.h"
#include "kernel/stop.h"
#include "kernel/string.h"
#include "kernel/time.h"
#include "mm/ephmap.h"
#include "mm/frame.h"
#include "mm/heap.h"
#include "mm/heap_boot.h"
#include "mm/view_set.h"

#define SITES_MAX 256 /* as many as are kept */

uint64_t boot_entry_tsc;
static uint64_t first_user_tsc;

void asi_note_first_user(void) { first_user_tsc = tsc_read(); }

static enum status copy_out(const struct syscall *call, const void *from, size_t bytes) {
    if (call->arg[3] < bytes)
        return ERR_INVALID;
    return copy_to_user(call->arg[2], from, bytes);
}

static enum status get_state(struct syscall *call) {
    struct asi_state state = {
        .mode = asi_mode,
        .cpus = cpu_count,
        .flush = asi_flush,
        .has_ibpb = cpu_features.ibpb,
        .has_md_clear = cpu_features.md_clear,
        .has_pcid = cpu_features.pcid,
        .has_smap = cpu_features.smap,
        .tsc_hz = tsc_hz,
        .boot_to_user_ticks = first_user_tsc - boot_entry_tsc,
    };
    return copy_out(call, &state, sizeof state);
}

static enum status set_flush(struct syscall *call) {
    struct asi_flush flush;
    if (call->arg[3] < sizeof flush)
        return ERR_INVALID;
    enum status status = copy_from_user(&flush, call->arg[2], sizeof flush);
    return status == OK ? asi_set_flush(&flush) : status;
}

/* --- Counters ----------------------------------------------------------------------------------------------------- */

static void add_counters(struct asi_counters *sum, const struct cpu_counters *counters) {
    for (unsigned cause = 0; cause < ASI_CAUSES; cause++)
        sum->exits[cause] += counters->exits[cause];
    sum->enters += counters->enters;
    sum->cr3_writes += counters->cr3_writes;
    sum->control_flushes += counters->control_flushes;
    sum->data_flushes += counters->data_flushes;
    sum->process_switches += counters->process_switches;
    sum->thread_switches += counters->thread_switches;
    sum->idle_switches += counters->idle_switches;
    sum->syscalls_unknown += counters->syscalls_unknown;
    sum->page_faults += counters->page_faults;
    sum->views_mapped += counters->views_mapped;
    sum->views_revoked += counters->views_revoked;
    sum->tlb_flushes += counters->tlb_flushes;
    sum->page_flushes += counters->page_flushes;
    sum->shootdowns += counters->shootdowns;
    sum->ipis_sent += counters->ipis_sent;
    sum->tag_hits += counters->tag_hits;
}

/* Idle is a thread like others, with its time booked when it goes. */
static void add_cpu(struct asi_counters *sum, const struct cpu *cpu) {
    add_counters(sum, &cpu->counters);
    if (cpu->idle != NULL)
        sum->idle_ns += __atomic_load_n(&cpu->idle->cpu_time, __ATOMIC_RELAXED);
}

static enum status process_counters(uint32_t id, struct asi_counters *sum) {
    bool irq = spin_lock_irq(&processes_lock);
    struct process *process = id == 0 ? process_current() : process_find(id);
    if (process != NULL)
        add_counters(sum, &process->counters);
    spin_unlock_irq(&processes_lock, irq);
    return process == NULL ? ERR_NO_PROCESS : OK;
}

static enum status get_counters(struct syscall *call) {
    struct asi_counters sum = {0};
    const int64_t scope = (int64_t)call->arg[1];
    enum status status = OK;
    if (scope == ASI_SCOPE_ALL) {
        for (unsigned cpu = 0; cpu < CPU_MAX; cpu++)
            add_cpu(&sum, &cpus[cpu]);
    } else if (scope < ASI_SCOPE_ALL) {
        if (-2 - scope >= CPU_MAX)
            return ERR_INVALID;
        add_cpu(&sum, &cpus[-2 - scope]);
    } else {
        status = scope > UINT32_MAX ? ERR_NO_PROCESS : process_counters((uint32_t)scope, &sum);
    }
    return status == OK ? copy_out(call, &sum, sizeof sum) : status;
}

/* Others stand still: a CPU in the middle of an increment would bring the old count back. */
static void reset_counters(void) {
    stop_others();
    bool irq = spin_lock_irq(&processes_lock);
    for (unsigned cpu = 0; cpu < CPU_MAX; cpu++)
        cpus[cpu].counters = (struct cpu_counters){0};
    list_for_each(link, &all_processes) {
        container_of(link, struct process, all_link)->counters = (struct cpu_counters){0};
    }
    spin_unlock_irq(&processes_lock, irq);
    asi_sites_reset();
    resume_others(NULL);
}

static enum status get_sites(struct syscall *call) {
    uint64_t room = call->arg[3] / sizeof(struct asi_site);
    struct asi_site *sites = local_alloc(SITES_MAX * sizeof *sites);
    if (sites == NULL)
        return ERR_NO_MEMORY;
    unsigned count = asi_sites_top(sites, room < SITES_MAX ? (unsigned)room : SITES_MAX);
    call->result = count;
    enum status status = copy_to_user(call->arg[2], sites, count * sizeof *sites);
    local_free(sites, SITES_MAX * sizeof *sites);
    return status;
}

static enum status get_symbol(struct syscall *call) {
    char text[96];
    const char *name;
    uint64_t offset;
    if (!ksym_lookup(call->arg[1], &name, &offset))
        return ERR_NO_ENTRY;
    size_t length = format_string(text, sizeof text, "%s+%#lx", name, (unsigned long)offset);
    if (length >= sizeof text || call->arg[3] <= length)
        return ERR_RANGE;
    call->result = (int64_t)length;
    return copy_to_user(call->arg[2], text, length + 1);
}

/* LOCAL and USER frames of all processes but the caller. */
static uint64_t frames_of_others(void) {
    static uint64_t others[THREADS_MAX / 32]; /* a bit for each process id. Under processes_lock */
    bool irq = spin_lock_irq(&processes_lock);
    memset(others, 0, sizeof others);
    list_for_each(link, &all_processes) {
        const struct process *process = container_of(link, struct process, all_link);
        if (process != process_current() && process->id < sizeof others * 8)
            others[process->id / 64] |= 1UL << process->id % 64;
    }
    uint64_t count = frame_count_owned(others, sizeof others * 8);
    spin_unlock_irq(&processes_lock, irq);
    return count;
}

static enum status get_memory(struct syscall *call) {
    struct frame_counts counts;
    struct message_spares spares = message_spares();
    global_heap_trim();
    frame_count(&counts);
    struct asi_memory memory = {
        .frames_total = counts.total,
        .frames_free = counts.by_class[FRAME_FREE] + counts.by_class[FRAME_DIRTY],
        .frames_global = counts.by_class[FRAME_GLOBAL],
        .frames_local = counts.by_class[FRAME_LOCAL],
        .frames_user = counts.by_class[FRAME_USER],
        .frames_secret = counts.by_class[FRAME_SECRET],
        .frames_of_others = frames_of_others(),
        .frames_of_views = __atomic_load_n(&process_current()->window_tables, __ATOMIC_RELAXED),
        .frames_of_spares = spares.frames,
        .heap_of_spares = spares.bytes + view_set_pages() * PAGE_SIZE,
        .global_heap_bytes = global_heap_in_use(),
        .processes = process_count(),
        .threads = thread_count(),
    };
    return copy_out(call, &memory, sizeof memory);
}

/* --- Trust -------------------------------------------------------------------------------------------------------- */

static enum status get_domains(struct syscall *call) {
    const uint64_t room = call->arg[3] / sizeof(struct asi_domain);
    enum status status = OK;
    uint64_t count = 0;
    for (uint32_t number = 1; number < ASI_DOMAINS && count < room && status == OK; number++) {
        struct asi_domain domain;
        if (trust_describe(number, &domain))
            status = copy_to_user(call->arg[2] + count++ * sizeof domain, &domain, sizeof domain);
    }
    call->result = (int64_t)count;
    return status;
}

static enum status change_trust(struct syscall *call) {
    struct asi_trust_change change;
    if (call->arg[3] < sizeof change)
        return ERR_INVALID;
    enum status status = copy_from_user(&change, call->arg[2], sizeof change);
    if (status == OK && change.trusts > 1)
        status = ERR_INVALID;
    return status == OK ? trust_set(change.domain, change.peer, change.trusts) : status;
}

static enum status move_process(struct syscall *call) {
    struct asi_move move;
    if (call->arg[3] < sizeof move)
        return ERR_INVALID;
    enum status status = copy_from_user(&move, call->arg[2], sizeof move);
    return status == OK ? trust_move(move.pid, move.domain) : status;
}

/* --- Audit, decoding ---------------------------------------------------------------------------------------------- */

static enum status audit(struct syscall *call) {
    struct asi_audit_report report;
    enum status status = asi_audit_broken((enum asi_break)call->arg[1], &report);
    return status == OK ? copy_out(call, &report, sizeof report) : status;
}

/* --- NEST and RESIDUE --------------------------------------------------------------------------------------------- */

static enum status scan(struct syscall *call) {
    struct asi_scan request;
    if (call->arg[3] < sizeof request)
        return ERR_INVALID;
    enum status status = copy_from_user(&request, call->arg[2], sizeof request);
    if (status == OK)
        status = asi_scan(&request);
    return status == OK ? copy_out(call, &request, sizeof request) : status;
}

static enum status tally(struct syscall *call) {
    struct asi_tally counted;
    if (call->arg[1] > 1)
        return ERR_INVALID;
    if (call->arg[1] == 1) {
        tally_begin();
        return OK;
    }
    tally_end(&counted);
    return copy_out(call, &counted, sizeof counted);
}

static enum status nest(struct syscall *call) {
    struct asi_nest what;
    if (call->arg[2] == 0)
        return nest_stop();
    if (call->arg[3] < sizeof what)
        return ERR_INVALID;
    enum status status = copy_from_user(&what, call->arg[2], sizeof what);
    return status == OK ? nest_start(&what) : status;
}

static bool is_privileged(uint64_t operation) {
    return operation == ASI_OP_SET_MODE || operation == ASI_OP_SET_FLUSH || operation == ASI_OP_SET_VIEWS ||
           operation == ASI_OP_AUDIT || operation == ASI_OP_RESET || operation == ASI_OP_MOVE ||
           operation == ASI_OP_TALLY || (operation >= ASI_OP_SCAN && operation <= ASI_OP_NMI_STORM);
}

enum status sys_asi(struct syscall *call) {
    if (is_privileged(call->arg[0]) && !identity_is_root())
        return ERR_NOT_PERMITTED;
    switch (call->arg[0]) {
    case ASI_OP_STATE:
        return get_state(call);
    case ASI_OP_SET_MODE:
        return call->arg[1] < ASI_MODES ? asi_set_mode((enum asi_mode)call->arg[1]) : ERR_INVALID;
    case ASI_OP_SET_FLUSH:
        return set_flush(call);
    case ASI_OP_SET_VIEWS:
        return call->arg[1] < ASI_VIEW_DESIGNS ? asi_set_views((enum asi_views)call->arg[1]) : ERR_INVALID;
    case ASI_OP_COUNTERS:
        return get_counters(call);
    case ASI_OP_SITES:
        return get_sites(call);
    case ASI_OP_SYMBOL:
        return get_symbol(call);
    case ASI_OP_AUDIT:
        return call->arg[1] < ASI_BREAKS ? audit(call) : ERR_INVALID;
    case ASI_OP_MEMORY:
        return get_memory(call);
    case ASI_OP_RESET:
        reset_counters();
        return OK;
    case ASI_OP_SCAN:
        return scan(call);
    case ASI_OP_TALLY:
        return tally(call);
    case ASI_OP_NEST:
        return nest(call);
    case ASI_OP_NEST_REPORT:
        return copy_out(call, &nest_report, sizeof nest_report);
    case ASI_OP_NMI_STORM:
        return nest_storm(call->arg[1], call->arg[3]);
    case ASI_OP_EXIT:
        asi_exit(ASI_CAUSE_DEBUG);
        return OK;
    case ASI_OP_DOMAINS:
        return get_domains(call);
    case ASI_OP_TRUST:
        return change_trust(call);
    case ASI_OP_MOVE:
        return move_process(call);
    default:
        return demo_call(call);
    }
}
