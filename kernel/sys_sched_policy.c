/*
 * Scheduling policies as programs set them: who may be how urgent. What that means is kernel/ready_queue.h.
 *
 * Lock: processes_lock for the thread and its policy. Any space; may sleep.
 */
#include "arch/cpu.h"
#include "arch/uaccess.h"
#include "kernel/identity.h"
#include "kernel/process.h"
#include "kernel/ready_queue.h"
#include "kernel/sched.h"
#include "kernel/sched_abi.h"
#include "kernel/syscall_table.h"
#include "kernel/timespec.h"

enum { POLICY_KEPT = -1, PRIORITY_MAX = REALTIME_LEVELS };
#define SCHED_RESET_ON_FORK 0x40000000U

/* What a call asks for. */
struct wish {
    int policy;       /* POLICY_KEPT: as it is, and whether it resets on fork as well */
    int64_t priority; /* of a real-time policy; else 0 */
    int nice;         /* of the others, if has_nice */
    bool has_nice, resets_on_fork;
    bool keeps_parameters;
};

static bool is_realtime(int policy) { return policy == SCHED_FIFO || policy == SCHED_RR; }
static bool is_policy(int policy) {
    return is_realtime(policy) || policy == SCHED_OTHER || policy == SCHED_BATCH || policy == SCHED_IDLE;
}

/* The thread that a call names, 0 being the caller. processes_lock held. */
static struct thread *find(uint64_t id) {
    return (int32_t)id == 0 ? thread_current() : (int32_t)id > 0 ? thread_find((uint32_t)id) : NULL;
}

static bool is_valid(const struct wish *wish) {
    return is_policy(wish->policy) &&
           (is_realtime(wish->policy) ? wish->priority >= 1 && wish->priority <= PRIORITY_MAX : wish->priority == 0);
}

/* Who is not user 0 goes as far as the limits of the thread's process. processes_lock held. */
static bool limits_permit(const struct thread *thread, const struct wish *wish) {
    const struct process *process = thread->process;
    const uint64_t most = process->limits.of[RLIMIT_RTPRIO].current;
    if (is_realtime(wish->policy)) {
        if (wish->policy != thread->policy && most == 0)
            return false;
        return wish->priority <= thread->realtime_priority || (uint64_t)wish->priority <= most;
    }
    if (wish->has_nice && wish->nice < thread->nice && !limits_permit_nice(process, wish->nice))
        return false;
    return thread->policy != SCHED_IDLE || wish->policy == SCHED_IDLE || limits_permit_nice(process, thread->nice);
}

static bool may_change(const struct thread *thread, const struct wish *wish) {
    const struct identity *own = &process_current()->user, *theirs = &thread->process->user;
    if (process_is_kernels(thread->process))
        return false;
    if (own->effective == 0)
        return true;
    return limits_permit(thread, wish) && (own->effective == theirs->real || own->effective == theirs->effective) &&
           (!thread->reset_on_fork || wish->resets_on_fork);
}

/* processes_lock held. */
static enum status change(struct thread *thread, struct wish *wish) {
    if (wish->policy == POLICY_KEPT) {
        wish->policy = thread->policy;
        wish->resets_on_fork = thread->reset_on_fork;
    }
    if (wish->keeps_parameters && is_realtime(thread->policy))
        wish->priority = thread->realtime_priority;
    else if (wish->keeps_parameters)
        wish->nice = thread->nice;
    if (!is_valid(wish))
        return ERR_INVALID;
    if (!may_change(thread, wish))
        return ERR_NOT_PERMITTED;
    thread->reset_on_fork = wish->resets_on_fork;
    if (wish->keeps_parameters) /* the policy as well, as on Linux */
        return OK;
    const bool takes_nice = wish->has_nice && !is_realtime(wish->policy);
    thread_set_policy(thread, (unsigned)wish->policy, (unsigned)wish->priority, takes_nice ? wish->nice : thread->nice);
    return OK;
}

static enum status set(uint64_t id, struct wish *wish) {
    bool irq = spin_lock_irq(&processes_lock);
    struct thread *thread = find(id);
    enum status status = thread != NULL ? change(thread, wish) : ERR_NO_PROCESS;
    spin_unlock_irq(&processes_lock, irq);
    return status;
}

/* --- By policy and priority --------------------------------------------------------------------------------------- */

static enum status set_with_priority(uint64_t id, struct wish *wish, vaddr_t parameters) {
    int32_t priority;
    if ((int32_t)id < 0 || parameters == 0)
        return ERR_INVALID;
    enum status status = copy_from_user(&priority, parameters, sizeof(priority));
    wish->priority = priority;
    return status == OK ? set(id, wish) : status;
}

enum status sys_sched_setscheduler(struct syscall *call) {
    const uint32_t policy = (uint32_t)call->arg[1];
    struct wish wish = {.policy = (int)(policy & ~SCHED_RESET_ON_FORK), .resets_on_fork = policy & SCHED_RESET_ON_FORK};
    return (int32_t)policy < 0 ? ERR_INVALID : set_with_priority(call->arg[0], &wish, call->arg[2]);
}

enum status sys_sched_setparam(struct syscall *call) {
    struct wish wish = {.policy = POLICY_KEPT};
    return set_with_priority(call->arg[0], &wish, call->arg[1]);
}

/* What a thread is. */
struct view {
    int policy, nice;
    int32_t priority;
    bool resets_on_fork;
};

static enum status look(uint64_t id, struct view *view) {
    if ((int32_t)id < 0)
        return ERR_INVALID;
    bool irq = spin_lock_irq(&processes_lock);
    const struct thread *thread = find(id);
    if (thread != NULL)
        *view = (struct view){thread->policy, thread->nice, thread->realtime_priority, thread->reset_on_fork};
    spin_unlock_irq(&processes_lock, irq);
    return thread != NULL ? OK : ERR_NO_PROCESS;
}

enum status sys_sched_getscheduler(struct syscall *call) {
    struct view view;
    enum status status = look(call->arg[0], &view);
    if (status == OK)
        call->result = view.policy | (view.resets_on_fork ? (int)SCHED_RESET_ON_FORK : 0);
    return status;
}

enum status sys_sched_getparam(struct syscall *call) {
    struct view view;
    enum status status = call->arg[1] != 0 ? look(call->arg[0], &view) : ERR_INVALID;
    return status == OK ? copy_to_user(call->arg[1], &view.priority, sizeof(view.priority)) : status;
}

/* --- By attributes ------------------------------------------------------------------------------------------------ */

struct sched_attr {
    uint32_t size, policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t runtime, deadline, period;
    uint32_t least_use, most_use;
};
_Static_assert(sizeof(struct sched_attr) == 56, "struct sched_attr");
#define ATTR_SIZE_FIRST 48U /* the first version's, without the last two */

enum attr_flag {
    FLAG_RESET_ON_FORK = 1,
    FLAGS_OF_DEADLINES = 6,
    FLAG_KEEP_POLICY = 8,
    FLAG_KEEP_PARAMETERS = 0x10,
    FLAGS_OF_USE = 0x60,
};

static enum status attr_from_user(struct sched_attr *attr, vaddr_t from) {
    uint32_t size;
    enum status status = copy_from_user(&size, from, sizeof(size));
    *attr = (struct sched_attr){0};
    if (status != OK)
        return status;
    size = size != 0 ? size : ATTR_SIZE_FIRST;
    const size_t known = size < sizeof(*attr) ? size : sizeof(*attr);
    status = size < ATTR_SIZE_FIRST || size > PAGE_SIZE ? ERR_TOO_BIG : check_user_zeros(from + known, from + size);
    if (status == ERR_TOO_BIG) {
        const uint32_t right = sizeof(*attr);
        return copy_to_user(from, &right, sizeof(right)) == OK ? ERR_TOO_BIG : ERR_FAULT;
    }
    if (status == OK)
        status = copy_from_user(attr, from, known);
    return status == OK && (attr->flags & FLAGS_OF_USE) && size < sizeof(*attr) ? ERR_INVALID : status;
}

enum status sys_sched_setattr(struct syscall *call) {
    const uint64_t known = FLAG_RESET_ON_FORK | FLAGS_OF_DEADLINES | FLAG_KEEP_POLICY | FLAG_KEEP_PARAMETERS;
    struct sched_attr attr;
    if (call->arg[1] == 0 || (int32_t)call->arg[0] < 0 || (uint32_t)call->arg[2] != 0)
        return ERR_INVALID;
    enum status status = attr_from_user(&attr, call->arg[1]);
    if (status != OK)
        return status;
    if ((int32_t)attr.policy < 0 || (attr.flags & ~(known | FLAGS_OF_USE)))
        return ERR_INVALID;
    if (attr.flags & FLAGS_OF_USE)
        return ERR_NOT_SUPPORTED; /* there are no clock rates to be chosen */
    struct wish wish = {.policy = attr.flags & FLAG_KEEP_POLICY ? POLICY_KEPT : (int)attr.policy,
                        .priority = attr.priority,
                        .nice = attr.nice < NICE_MIN   ? NICE_MIN
                                : attr.nice > NICE_MAX ? NICE_MAX
                                                       : attr.nice,
                        .has_nice = true,
                        .resets_on_fork = attr.flags & FLAG_RESET_ON_FORK,
                        .keeps_parameters = attr.flags & FLAG_KEEP_PARAMETERS};
    return set(call->arg[0], &wish);
}

enum status sys_sched_getattr(struct syscall *call) {
    const uint32_t size = (uint32_t)call->arg[2];
    struct view view;
    if (call->arg[1] == 0 || size < ATTR_SIZE_FIRST || size > PAGE_SIZE || (uint32_t)call->arg[3] != 0)
        return ERR_INVALID;
    enum status status = look(call->arg[0], &view);
    if (status != OK)
        return status;
    const struct sched_attr attr = {.size = size < sizeof(attr) ? size : sizeof(attr),
                                    .policy = (uint32_t)view.policy,
                                    .flags = view.resets_on_fork ? FLAG_RESET_ON_FORK : 0,
                                    .nice = is_realtime(view.policy) ? 0 : view.nice,
                                    .priority = (uint32_t)view.priority,
                                    .most_use = 1024};
    return copy_to_user(call->arg[1], &attr, attr.size);
}

/* --- What there is ------------------------------------------------------------------------------------------------ */

enum status sys_sched_get_priority_max(struct syscall *call) {
    call->result = is_realtime((int)call->arg[0]) ? PRIORITY_MAX : 0;
    return is_policy((int)call->arg[0]) ? OK : ERR_INVALID;
}

enum status sys_sched_get_priority_min(struct syscall *call) {
    call->result = is_realtime((int)call->arg[0]) ? 1 : 0;
    return is_policy((int)call->arg[0]) ? OK : ERR_INVALID;
}

enum status sys_sched_rr_get_interval(struct syscall *call) {
    struct view view;
    enum status status = look(call->arg[0], &view);
    return status == OK ? timespec_to_user(call->arg[1], view.policy == SCHED_FIFO ? 0 : TIME_SLICE_NS) : status;
}
