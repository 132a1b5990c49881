/*
 * System calls on the caller's own signals: actions, mask, waiting, the alternate stack.
 *
 * Actions are LOCAL, protected by process.signal_lock; no lock is held while user memory is touched. Any space; may
 * sleep.
 */
#include "arch/cpu.h"
#include "arch/uaccess.h"
#include "kernel/local.h"
#include "kernel/signal_internal.h"
#include "kernel/syscall_table.h"
#include "kernel/time.h"
#include "kernel/timespec.h"
#include "kernel/wait.h"

enum { SIG_BLOCK, SIG_UNBLOCK, SIG_SETMASK };

#define SIGNAL_SET_BYTES 8UL

static enum status read_mask(vaddr_t from, uint64_t bytes, uint64_t *mask) {
    return bytes != SIGNAL_SET_BYTES ? ERR_INVALID : copy_from_user(mask, from, sizeof(*mask));
}

static bool ignores(const struct signal_action *action, uint64_t number) {
    return action->handler == SIGNAL_IGNORE ||
           (action->handler == SIGNAL_DEFAULT && (SIGNALS_IGNORED_BY_DEFAULT & SIGNAL_BIT(number)));
}

enum status sys_rt_sigaction(struct syscall *call) {
    struct process *process = process_current();
    uint64_t number = call->arg[0];
    vaddr_t new_at = call->arg[1], old_at = call->arg[2];
    struct signal_action new = {0}, old;
    struct list forgotten;
    enum status status;

    list_init(&forgotten);

    if (number < 1 || number > SIGNAL_MAX || call->arg[3] != SIGNAL_SET_BYTES)
        return ERR_INVALID;
    if (new_at != 0) {
        if (SIGNALS_UNBLOCKABLE & SIGNAL_BIT(number))
            return ERR_INVALID;
        if ((status = copy_from_user(&new, new_at, sizeof(new))) != OK)
            return status;
        new.mask &= ~SIGNALS_UNBLOCKABLE;
    }

    bool irq = spin_lock_irq(&processes_lock); /* for the threads of which a pending signal is forgotten */
    spin_lock(&process->signal_lock);
    old = LOCAL->signals.action[number - 1];
    if (new_at != 0)
        signal_action_set((int)number, &new);
    if (new_at != 0 && ignores(&new, number))
        signal_forget_pending((int)number, &forgotten);
    spin_unlock(&process->signal_lock);
    spin_unlock_irq(&processes_lock, irq);
    queued_signals_free(&forgotten);
    return old_at != 0 ? copy_to_user(old_at, &old, sizeof(old)) : OK;
}

enum status sys_rt_sigprocmask(struct syscall *call) {
    uint64_t old = thread_current()->signal_mask, set = 0;
    enum status status;

    if (call->arg[3] != SIGNAL_SET_BYTES)
        return ERR_INVALID;
    if (call->arg[1] != 0) {
        if ((status = copy_from_user(&set, call->arg[1], sizeof(set))) != OK)
            return status;
        switch ((uint32_t)call->arg[0]) {
        case SIG_BLOCK:
            signal_mask_set(old | set);
            break;
        case SIG_UNBLOCK:
            signal_mask_set(old & ~set);
            break;
        case SIG_SETMASK:
            signal_mask_set(set);
            break;
        default:
            return ERR_INVALID;
        }
    }
    return call->arg[2] != 0 ? copy_to_user(call->arg[2], &old, sizeof(old)) : OK;
}

enum status sys_rt_sigpending(struct syscall *call) {
    struct thread *thread = thread_current();
    uint64_t pending = (thread->pending | thread->process->pending) & thread->signal_mask;

    if (call->arg[1] > SIGNAL_SET_BYTES)
        return ERR_INVALID;
    return copy_to_user(call->arg[0], &pending, call->arg[1]);
}

static bool is_pending(uint64_t set) {
    const struct thread *thread = thread_current();

    return (thread->pending | thread->process->pending) & set;
}

/*
 * Sleeps until a signal can be delivered or one of `set`, blocked or not, is pending. Nobody else knows the queue:
 * senders wake the thread itself. ERR_RESTART, ERR_TIMED_OUT.
 */
static enum status sleep_until_signal(uint64_t set, uint64_t deadline) {
    struct wait_queue queue;
    struct waiter waiter;
    enum status status = OK;

    wait_queue_init(&queue);
    wait_begin(&queue, &waiter);
    while (status == OK && !signal_pending() && !is_pending(set))
        status = wait_sleep(deadline);
    wait_end(&waiter);
    return status == OK ? ERR_RESTART : status;
}

enum status sys_pause(struct syscall *call) {
    (void)call;
    return sleep_until_signal(0, WAIT_FOREVER);
}

/* The handler runs with the given mask, the way back from it restores the caller's: see signal_deliver. */
enum status sys_rt_sigsuspend(struct syscall *call) {
    uint64_t mask;
    enum status status = read_mask(call->arg[0], call->arg[1], &mask);

    if (status != OK)
        return status;
    signal_mask_set_for_call(mask);
    return sleep_until_signal(0, WAIT_FOREVER);
}

static enum status report_signal(struct syscall *call, const struct signal_delivery *delivery) {
    struct signal_info info;

    signal_info_fill(&info, delivery);
    call->result = delivery->number;
    return call->arg[1] != 0 ? copy_to_user(call->arg[1], &info, sizeof(info)) : OK;
}

enum status sys_rt_sigtimedwait(struct syscall *call) {
    uint64_t set, deadline = WAIT_FOREVER, ns;
    enum status status = read_mask(call->arg[0], call->arg[3], &set);

    if (status != OK)
        return status;
    if (call->arg[2] != 0) {
        if ((status = timespec_from_user(call->arg[2], &ns)) != OK)
            return status;
        deadline = deadline_after(ns);
    }
    set &= ~SIGNALS_UNBLOCKABLE;

    struct signal_delivery delivery = signal_take(set);
    if (delivery.number == 0) {
        status = sleep_until_signal(set, deadline);
        delivery = signal_take(set);
    }
    if (delivery.number != 0)
        return report_signal(call, &delivery);
    return status == ERR_TIMED_OUT ? ERR_WOULD_BLOCK : ERR_INTERRUPTED;
}

static enum status set_alternate_stack(const struct user_stack *stack) {
    struct thread_local *local = thread_current()->local;
    uint32_t mode = stack->flags & ~SS_AUTODISARM;

    if (mode != 0 && mode != SS_ONSTACK && mode != SS_DISABLE)
        return ERR_INVALID;
    if (mode == SS_DISABLE) {
        local->alternate_stack = local->alternate_stack_size = 0;
        local->alternate_stack_flags = SS_DISABLE;
        return OK;
    }
    if (stack->size < MINSIGSTKSZ)
        return ERR_NO_MEMORY;
    if (!user_range_ok(stack->base, stack->size))
        return ERR_FAULT; /* Linux would find out at the first signal */
    local->alternate_stack = stack->base;
    local->alternate_stack_size = stack->size;
    local->alternate_stack_flags = stack->flags & SS_AUTODISARM;
    return OK;
}

enum status sys_sigaltstack(struct syscall *call) {
    struct thread_local *local = thread_current()->local;
    bool in_use = signal_on_alternate_stack(call->frame->rsp);
    struct user_stack new, old = {.base = local->alternate_stack, .size = local->alternate_stack_size};
    enum status status;

    old.flags = old.size == 0 ? SS_DISABLE : in_use ? SS_ONSTACK : 0;
    old.flags |= local->alternate_stack_flags & SS_AUTODISARM;
    if (call->arg[0] != 0) {
        if ((status = copy_from_user(&new, call->arg[0], sizeof(new))) != OK)
            return status;
        if (in_use)
            return ERR_NOT_PERMITTED;
        if ((status = set_alternate_stack(&new)) != OK)
            return status;
    }
    return call->arg[1] != 0 ? copy_to_user(call->arg[1], &old, sizeof(old)) : OK;
}
