/*
 * Resource limits (kernel/limits.h) and use. Lock: processes_lock. Any space; may sleep.
 */
#include "arch/cpu.h"
#include "arch/uaccess.h"
#include "kernel/file.h"
#include "kernel/process.h"
#include "kernel/process_times.h"
#include "kernel/procfs.h"
#include "kernel/rusage.h"
#include "kernel/string.h"
#include "kernel/syscall_table.h"
#include "kernel/time.h"
#include "kernel/timespec.h"
#include "mm/vm.h"

/* The process that a call names, 0 being the caller. processes_lock held. */
static struct process *find(uint64_t id) {
    return (int32_t)id == 0 ? process_current() : (int32_t)id > 0 ? process_find((uint32_t)id) : NULL;
}

/* Whether a limit may become that. processes_lock held. */
static enum status check_change(const struct rlimit *now, enum resource resource, const struct rlimit *next) {
    if (resource == RLIMIT_NOFILE && next->maximum > HANDLES_MAX)
        return ERR_NOT_PERMITTED;
    return next->maximum <= now->maximum || identity_is_root() ? OK : ERR_NOT_PERMITTED;
}

/* processes_lock held. */
static void change(struct process *process, enum resource resource, const struct rlimit *next) {
    const uint32_t bit = 1U << resource;
    process->limits.of[resource] = *next;
    if (next->current != RLIM_INFINITY)
        process->limits.finite |= bit;
    else
        process->limits.finite &= ~bit;
}

/* `next` NULL: only looks. *before: what it was. ERR_NO_PROCESS, ERR_NOT_PERMITTED. */
static enum status limit(uint64_t id, enum resource resource, const struct rlimit *next, struct rlimit *before) {
    bool irq = spin_lock_irq(&processes_lock);
    struct process *process = find(id);
    enum status status = process == NULL ? ERR_NO_PROCESS : OK;
    if (status == OK && process != process_current() && !identity_is_same(process))
        status = ERR_NOT_PERMITTED;
    if (status == OK) {
        *before = process->limits.of[resource];
        if (next != NULL)
            status = check_change(before, resource, next);
        if (next != NULL && status == OK)
            change(process, resource, next);
    }
    spin_unlock_irq(&processes_lock, irq);
    return status;
}

static enum status limit_from_user(vaddr_t from, struct rlimit *out) {
    enum status status = copy_from_user(out, from, sizeof(*out));
    return status == OK && out->current > out->maximum ? ERR_INVALID : status;
}

static enum status change_limit(uint64_t id, uint64_t resource, vaddr_t new_at, vaddr_t old_at) {
    struct rlimit next, before;
    enum status status = OK;
    if ((uint32_t)resource >= RLIMIT_COUNT)
        return ERR_INVALID;
    if (new_at != 0 && (status = limit_from_user(new_at, &next)) != OK)
        return status;
    status = limit(id, (enum resource)(uint32_t)resource, new_at != 0 ? &next : NULL, &before);
    return status == OK && old_at != 0 ? copy_to_user(old_at, &before, sizeof(before)) : status;
}

static void add_limit(struct text *text, uint64_t limit) {
    if (limit == RLIM_INFINITY)
        text_add(text, "%s", "unlimited            ");
    else
        text_add(text, "%20lu ", limit);
}

void limits_text(struct text *text, const struct inode *inode) {
    static const char *const names[RLIMIT_COUNT] = {
        "Max cpu time     ",  "Max file size    ", "Max data size    ",     "Max stack size   ",
        "Max core file size", "Max resident set ", "Max processes    ",     "Max open files   ",
        "Max locked memory",  "Max address space", "Max file locks   ",     "Max pending signals",
        "Max msgqueue size",  "Max nice priority", "Max realtime priority", "Max realtime timeout"};
    struct limits limits;
    bool irq = spin_lock_irq(&processes_lock);
    const struct process *process = live_process(inode);
    if (process != NULL)
        limits = process->limits;
    spin_unlock_irq(&processes_lock, irq);
    if (process == NULL)
        return;
    text_add(text, "Limit                     Soft Limit           Hard Limit           Units\n");
    for (unsigned i = 0; i < RLIMIT_COUNT; i++) {
        const struct rlimit limit = limits.of[i];
        size_t length = strlen(names[i]);
        text_add(text, "%s%s", names[i], "                          " + (length < 26 ? length : 26));
        add_limit(text, limit.current);
        add_limit(text, limit.maximum);
        text_add(text, "\n");
    }
}

enum status sys_getrlimit(struct syscall *call) {
    if (call->arg[1] == 0)
        return ERR_FAULT;
    return change_limit(0, call->arg[0], 0, call->arg[1]);
}

enum status sys_setrlimit(struct syscall *call) {
    if (call->arg[1] == 0)
        return ERR_FAULT;
    return change_limit(0, call->arg[0], call->arg[1], 0);
}

enum status sys_prlimit64(struct syscall *call) {
    return change_limit(call->arg[0], call->arg[1], call->arg[2], call->arg[3]);
}

struct rusage {
    struct timeval user, system;
    int64_t max_resident; /* KiB */
    int64_t shared_memory, data, stack;
    int64_t minor_faults, major_faults, swaps, blocks_in, blocks_out, sent, received, signals;
    int64_t voluntary_switches, switches;
};
_Static_assert(sizeof(struct rusage) == 144, "struct rusage");

enum status rusage_to_user(vaddr_t to, const struct usage *usage) {
    struct rusage out = {
        .user = timeval_from_ns(usage->cpu_time),
        .max_resident = (int64_t)(usage->pages * (PAGE_SIZE / 1024)),
        .minor_faults = (int64_t)usage->faults,
        .voluntary_switches = (int64_t)usage->switches,
    };

    return copy_to_user(to, &out, sizeof(out));
}

enum { RUSAGE_SELF = 0, RUSAGE_CHILDREN = -1, RUSAGE_THREAD = 1 };

enum status sys_getrusage(struct syscall *call) {
    const struct process *self = process_current();
    struct usage usage = {.pages = self->user_space->peak,
                          .faults = self->counters.page_faults,
                          .switches = self->counters.process_switches};

    switch ((int32_t)call->arg[0]) {
    case RUSAGE_SELF:
        usage.cpu_time = process_cpu_time();
        return rusage_to_user(call->arg[1], &usage);
    case RUSAGE_CHILDREN:
        usage = (struct usage){.cpu_time = self->children_cpu_time, .pages = self->children_peak_resident};
        return rusage_to_user(call->arg[1], &usage);
    case RUSAGE_THREAD:
        usage.cpu_time = thread_cpu_time();
        return rusage_to_user(call->arg[1], &usage);
    default:
        return ERR_INVALID;
    }
}

enum { NS_PER_TICK = 10000000 }; /* CLK_TCK is 100 */

enum status sys_times(struct syscall *call) {
    const struct {
        int64_t user, system, children_user, children_system;
    } times = {.user = (int64_t)(process_cpu_time() / NS_PER_TICK),
               .children_user = (int64_t)(process_current()->children_cpu_time / NS_PER_TICK)};

    call->result = (int64_t)(time_monotonic() / NS_PER_TICK);
    return call->arg[0] != 0 ? copy_to_user(call->arg[0], &times, sizeof(times)) : OK;
}
