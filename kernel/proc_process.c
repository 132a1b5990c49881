/*
 * What /proc tells everybody of a process: metadata, GLOBAL. In Linux' formats; what the kernel does not keep is 0.
 *
 * How much is mapped (vsize) is known to the process alone, as its areas are LOCAL: here it is what is resident. CPU
 * time is not divided into the user's and the system's: it is all the user's.
 * Locks: processes_lock, inside it signal_lock, while facts are copied. Runs in the caller's space.
 */
#include "arch/smp.h"
#include "asi/sites.h"
#include "kernel/print.h"
#include "kernel/process.h"
#include "kernel/procfs.h"
#include "kernel/string.h"
#include "kernel/terminal.h"
#include "kernel/time.h"
#include "mm/view_set.h"

#define KIB_PER_PAGE (PAGE_SIZE / 1024)
#define NS_PER_TICK  (NS_PER_SECOND / 100) /* of USER_HZ */

struct facts {
    bool found;
    char name[PROCESS_NAME_SIZE], state;
    uint32_t id, tgid, parent, group, session, cpu, domain, window_tables;
    struct identity user, group_id;
    unsigned threads;
    int nice, exit_signal;
    unsigned policy, priority; /* real-time; 0: none */
    uint64_t cpu_time, children_cpu_time, start_time, resident;
    uint64_t pending, process_pending, blocked, ignored, caught, affinity;
    struct cpu_counters counters;
};

static bool runs(const struct thread *thread) {
    return thread->state == THREAD_RUNNING || thread->state == THREAD_RUNNABLE;
}

static char state_of(const struct process *process, const struct thread *only) {
    if (process->zombie || process->dying)
        return 'Z';
    if (process->stopped)
        return 'T';
    if (only != NULL)
        return runs(only) ? 'R' : 'S';
    list_for_each(link, &process->threads) {
        if (runs(container_of(link, struct thread, process_link)))
            return 'R';
    }
    return 'S';
}

static uint64_t time_of_thread(const struct thread *thread) {
    const uint64_t now = time_monotonic();
    const uint64_t run = thread->state == THREAD_RUNNING && now > thread->started_at ? now - thread->started_at : 0;
    return thread->cpu_time + run;
}

static void note_threads(struct facts *facts, const struct process *process, const struct thread *only) {
    facts->cpu_time = only != NULL ? 0 : process->cpu_time;
    list_for_each(link, &process->threads) {
        const struct thread *thread = container_of(link, struct thread, process_link);
        facts->threads++;
        if (only != NULL && thread != only)
            continue;
        facts->cpu_time += time_of_thread(thread);
        facts->nice = thread->nice;
        facts->policy = thread->policy;
        facts->priority = thread->realtime_priority;
        facts->cpu = thread->cpu;
        facts->affinity = thread->affinity;
        facts->blocked = thread->signal_mask;
        facts->pending = thread->pending;
    }
}

static void note_process(struct facts *facts, const struct process *process, const struct thread *only) {
    memcpy(facts->name, process->name, sizeof(facts->name));
    facts->found = true;
    facts->state = state_of(process, only);
    facts->id = only != NULL ? only->id : process->id;
    facts->tgid = process->id;
    facts->parent = process->parent != NULL ? process->parent->id : 0;
    facts->group = process->group;
    facts->session = process->session;
    facts->user = process->user;
    facts->group_id = process->group_id;
    facts->exit_signal = (int)process->exit_signal;
    facts->children_cpu_time = process->children_cpu_time;
    facts->start_time = process->start_time;
    facts->resident = process->user_space != NULL && !process->dying ? process->user_space->resident : 0;
    facts->domain = process->domain;
    facts->window_tables = __atomic_load_n(&process->window_tables, __ATOMIC_RELAXED);
    facts->process_pending = process->pending;
    facts->ignored = process->ignored;
    facts->caught = process->caught;
    facts->counters = process->counters;
    note_threads(facts, process, only);
}

/* Of the process or thread that the file tells of; found: it is still there. */
static void learn(struct facts *facts, const struct inode *inode) {
    *facts = (struct facts){.found = false};
    bool irq = spin_lock_irq(&processes_lock);
    const struct process *process = live_process(inode);
    const struct thread *only = process != NULL && inode->part != 0 ? thread_find(inode->part) : NULL;
    if (process != NULL && (inode->part == 0 || only != NULL))
        note_process(facts, process, only);
    spin_unlock_irq(&processes_lock, irq);
}

static void stat_text(struct text *text, const struct inode *inode) {
    struct facts f;
    learn(&f, inode);
    if (!f.found)
        return;
    text_add(text, "%u (%s) %c %u %u %u %u -1 0 %lu 0 0 0 %lu 0 %lu 0 %d %d %u 0 %lu %lu %lu 18446744073709551615 ",
             f.id, f.name, f.state, f.parent, f.group, f.session, terminal_device_of(f.session), f.counters.page_faults,
             f.cpu_time / NS_PER_TICK, f.children_cpu_time / NS_PER_TICK,
             f.priority != 0 ? -1 - (int)f.priority : 20 + f.nice, f.nice, f.threads, f.start_time / NS_PER_TICK,
             f.resident * PAGE_SIZE, f.resident);
    /* startcode … kstkeip: where things lie in its memory is its own affair */
    text_add(text, "0 0 0 0 0 %lu %lu %lu %lu 0 0 0 %d %u %u %u 0 0 0 0 0 0 0 0 0 0 0\n",
             (f.process_pending | f.pending), f.blocked, f.ignored, f.caught, f.exit_signal, f.cpu, f.priority,
             f.policy);
}

static void statm_text(struct text *text, const struct inode *inode) {
    struct facts f;
    learn(&f, inode);
    if (f.found)
        text_add(text, "%lu %lu 0 0 0 %lu 0\n", f.resident, f.resident, f.resident);
}

static const char *state_name(char state) {
    return state == 'R' ? "R (running)" : state == 'Z' ? "Z (zombie)" : state == 'T' ? "T (stopped)" : "S (sleeping)";
}

static void status_text(struct text *text, const struct inode *inode) {
    struct facts f;
    learn(&f, inode);
    if (!f.found)
        return;
    text_add(text, "Name:\t%s\nUmask:\t0022\nState:\t%s\nTgid:\t%u\nNgid:\t0\nPid:\t%u\nPPid:\t%u\nTracerPid:\t0\n",
             f.name, state_name(f.state), f.tgid, f.id, f.parent);
    text_add(text, "Uid:\t%u\t%u\t%u\t%u\nGid:\t%u\t%u\t%u\t%u\nFDSize:\t64\nGroups:\t\n", f.user.real,
             f.user.effective, f.user.saved, f.user.file, f.group_id.real, f.group_id.effective, f.group_id.saved,
             f.group_id.file);
    text_add(text, "VmSize:\t%8lu kB\nVmRSS:\t%8lu kB\nThreads:\t%u\n", f.resident * KIB_PER_PAGE,
             f.resident * KIB_PER_PAGE, f.threads);
    text_add(text, "SigPnd:\t%016lx\nShdPnd:\t%016lx\nSigBlk:\t%016lx\nSigIgn:\t%016lx\nSigCgt:\t%016lx\n", f.pending,
             f.process_pending, f.blocked, f.ignored, f.caught);
    const uint64_t allowed = f.affinity & (cpu_count < 64 ? (1UL << cpu_count) - 1 : UINT64_MAX);
    text_add(text, "Seccomp:\t0\nCpus_allowed:\t%lx\n", allowed);
}

static void comm_text(struct text *text, const struct inode *inode) {
    struct facts f;
    learn(&f, inode);
    if (f.found)
        text_add(text, "%s\n", f.name);
}

static void zero_text(struct text *text, const struct inode *inode) {
    (void)inode;
    text_add(text, "0\n");
}

static void filter_text(struct text *text, const struct inode *inode) {
    (void)inode;
    text_add(text, "00000033\n");
}

static void nobody_text(struct text *text, const struct inode *inode) {
    (void)inode;
    text_add(text, "4294967295");
}

static void group_text(struct text *text, const struct inode *inode) {
    (void)inode;
    text_add(text, "0::/\n");
}

/* What isolation did for this process, and what its kernel may see by windows. */
static void asi_text(struct text *text, const struct inode *inode) {
    struct facts f;
    learn(&f, inode);
    if (!f.found)
        return;
    const struct cpu_counters *c = &f.counters;
    for (unsigned cause = 0; cause < ASI_CAUSES; cause++)
        text_add(text, "exits_%s %lu\n", asi_cause_names[cause], c->exits[cause]);
    text_add(text, "enters %lu\ncr3_writes %lu\ncontrol_flushes %lu\ndata_flushes %lu\n", c->enters, c->cr3_writes,
             c->control_flushes, c->data_flushes);
    text_add(text, "page_faults %lu\nviews_mapped %lu\nviews_revoked %lu\n", c->page_faults, c->views_mapped,
             c->views_revoked);
    text_add(text, "domain %u\nwindow_tables %u\nresident %lu\n", f.domain, f.window_tables, f.resident);
}

#define PUBLIC(name_, mode_, operations_, generate_)                                                                   \
    {                                                                                                                  \
        (name_), (mode_), { .operations = &(operations_), .generate = (generate_) }                                    \
    }

const struct live_file process_files[] = {
    PUBLIC("stat", 0444, text_operations, stat_text),
    PUBLIC("statm", 0444, text_operations, statm_text),
    PUBLIC("status", 0444, text_operations, status_text),
    PUBLIC("comm", 0444, text_operations, comm_text),
    PUBLIC("limits", 0444, text_operations, limits_text),
    PUBLIC("mounts", 0444, text_operations, mounts_text),
    PUBLIC("mountinfo", 0444, text_operations, mount_information_text),
    PUBLIC("cgroup", 0444, text_operations, group_text),
    PUBLIC("wchan", 0444, text_operations, zero_text),
    PUBLIC("oom_score", 0444, text_operations, zero_text),
    PUBLIC("oom_score_adj", 0644, setting_operations, zero_text),
    PUBLIC("oom_adj", 0644, setting_operations, zero_text),
    PUBLIC("coredump_filter", 0644, setting_operations, filter_text),
    PUBLIC("loginuid", 0644, setting_operations, nobody_text),
    PUBLIC("asi", 0444, text_operations, asi_text),
    {.name = NULL},
};
