/*
 * Resource limits and use. RLIMIT_NOFILE's soft limit is the process's (kernel/file.h). The others are the kernel's own
 * and the same for all: setting one is accepted if it does not ask for more, and changes nothing. No state; no locks.
 * Any space; may sleep.
 */
#include "arch/cpu.h"
#include "arch/uaccess.h"
#include "kernel/file.h"
#include "kernel/process.h"
#include "kernel/process_times.h"
#include "kernel/rusage.h"
#include "kernel/syscall_table.h"
#include "kernel/time.h"
#include "kernel/timespec.h"
#include "mm/vm.h"

enum resource {
    RLIMIT_CPU,
    RLIMIT_FSIZE,
    RLIMIT_DATA,
    RLIMIT_STACK,
    RLIMIT_CORE,
    RLIMIT_RSS,
    RLIMIT_NPROC,
    RLIMIT_NOFILE,
    RLIMIT_MEMLOCK,
    RLIMIT_AS,
    RLIMIT_LOCKS,
    RLIMIT_SIGPENDING,
    RLIMIT_MSGQUEUE,
    RLIMIT_NICE,
    RLIMIT_RTPRIO,
    RLIMIT_RTTIME,
    RLIMIT_COUNT,
};

#define RLIM_INFINITY UINT64_MAX
enum { PROCESSES_MAX = 4096, SIGNALS_MAX = 64 };

struct rlimit {
    uint64_t current, maximum;
};

static struct rlimit limit_of(enum resource resource) {
    switch (resource) {
    case RLIMIT_STACK:
        return (struct rlimit){VM_STACK_LIMIT, RLIM_INFINITY};
    case RLIMIT_NOFILE:
        return (struct rlimit){handles_limit(), HANDLES_MAX};
    case RLIMIT_NPROC:
        return (struct rlimit){PROCESSES_MAX, PROCESSES_MAX};
    case RLIMIT_SIGPENDING:
        return (struct rlimit){SIGNALS_MAX, SIGNALS_MAX};
    case RLIMIT_CORE: /* there are no core files */
        return (struct rlimit){0, RLIM_INFINITY};
    case RLIMIT_MSGQUEUE:
    case RLIMIT_NICE:
    case RLIMIT_RTPRIO:
        return (struct rlimit){0, 0};
    default:
        return (struct rlimit){RLIM_INFINITY, RLIM_INFINITY};
    }
}

static enum status get_limit(uint64_t resource, vaddr_t to) {
    if ((uint32_t)resource >= RLIMIT_COUNT)
        return ERR_INVALID;
    struct rlimit limit = limit_of((enum resource)(uint32_t)resource);
    return copy_to_user(to, &limit, sizeof(limit));
}

static enum status set_limit(uint64_t number, vaddr_t from) {
    struct rlimit limit;
    enum resource resource = (enum resource)(uint32_t)number;

    if ((uint32_t)number >= RLIMIT_COUNT)
        return ERR_INVALID;
    enum status status = copy_from_user(&limit, from, sizeof(limit));
    if (status != OK)
        return status;
    if (limit.current > limit.maximum)
        return ERR_INVALID;
    if (limit.maximum > limit_of(resource).maximum)
        return ERR_NOT_PERMITTED;
    return resource == RLIMIT_NOFILE ? handles_set_limit(limit.current) : OK;
}

enum status sys_getrlimit(struct syscall *call) { return get_limit(call->arg[0], call->arg[1]); }

enum status sys_setrlimit(struct syscall *call) { return set_limit(call->arg[0], call->arg[1]); }

/* What another process has for itself is LOCAL to it: its limits cannot be set, and are read as if they were ours. */
enum status sys_prlimit64(struct syscall *call) {
    const struct process *self = process_current();
    int32_t id = (int32_t)call->arg[0];
    enum status status = OK;

    if (id != 0 && (uint32_t)id != self->id) {
        bool irq = spin_lock_irq(&processes_lock);
        const struct process *other = id > 0 ? process_find((uint32_t)id) : NULL;
        bool allowed = other != NULL && (self->uid == 0 || self->uid == other->uid) && call->arg[2] == 0;
        spin_unlock_irq(&processes_lock, irq);
        if (!allowed)
            return other != NULL ? ERR_NOT_PERMITTED : ERR_NO_PROCESS;
    }
    if ((uint32_t)call->arg[1] >= RLIMIT_COUNT)
        return ERR_INVALID;
    struct rlimit before = limit_of((enum resource)(uint32_t)call->arg[1]);
    if (call->arg[2] != 0)
        status = set_limit(call->arg[1], call->arg[2]);
    if (status == OK && call->arg[3] != 0)
        status = copy_to_user(call->arg[3], &before, sizeof(before));
    return status;
}

struct rusage {
    struct timeval user, system;
    int64_t max_resident, other[13];
};
_Static_assert(sizeof(struct rusage) == 144, "struct rusage");

enum status rusage_to_user(vaddr_t to, uint64_t cpu_time) {
    struct rusage usage = {.user = timeval_from_ns(cpu_time)};

    return copy_to_user(to, &usage, sizeof(usage));
}

enum { RUSAGE_SELF = 0, RUSAGE_CHILDREN = -1, RUSAGE_THREAD = 1 };

enum status sys_getrusage(struct syscall *call) {
    switch ((int32_t)call->arg[0]) {
    case RUSAGE_SELF:
        return rusage_to_user(call->arg[1], process_cpu_time());
    case RUSAGE_CHILDREN:
        return rusage_to_user(call->arg[1], process_current()->children_cpu_time);
    case RUSAGE_THREAD:
        return rusage_to_user(call->arg[1], thread_cpu_time());
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
