/*
 * Delivering signals: what the calling thread does about them on its way back to user code.
 *
 * Here the LOCAL action table is read and written, by its own process alone. Lock: process.signal_lock for the table
 * and its GLOBAL copies. Runs in either space; ends the thread or the process where that is the action.
 */
#include "arch/cpu.h"
#include "arch/fpu.h"
#include "kernel/ipc_abi.h"
#include "kernel/jobs.h"
#include "kernel/local.h"
#include "kernel/print.h"
#include "kernel/signal_internal.h"
#include "kernel/string.h"
#include "kernel/syscall.h"

/* Linux's numbers of the calls that end with EINTR after a handler even if it has SA_RESTART. */
static bool never_restarts(uint64_t number) {
    static const uint16_t numbers[] = {
        7 /* poll */,          23 /* select */,      34 /* pause */,
        35 /* nanosleep */,    65 /* semop */,       128 /* sigtimedwait */,
        130 /* sigsuspend */,  220 /* semtimedop */, 230 /* clock_nanosleep */,
        232 /* epoll_wait */,  270 /* pselect6 */,   271 /* ppoll */,
        281 /* epoll_pwait */, SYS_IPC_RECEIVE,      SYS_IPC_REPLY_RECEIVE,
    };
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        if (numbers[i] == number)
            return true;
    }
    return false;
}

/* Those that must not be seen to fail at all: fork, vfork, clone; futex to lock a mutex with priority inheritance. */
static bool always_restarts(const struct trap_frame *frame) {
    const uint64_t number = frame->error, operation = frame->rsi & 127;
    return (number >= 56 && number <= 58) || (number == 202 && (operation == 6 || operation == 13));
}

static bool was_interrupted(const struct trap_frame *frame) {
    return frame_is_syscall(frame) && (int64_t)frame->rax == -(int64_t)status_to_errno(ERR_RESTART);
}

/* Back to the two bytes of the SYSCALL instruction, with the number in rax as it was. */
static void restart_call(struct trap_frame *frame) {
    frame->rax = frame->error;
    frame->rip -= 2;
}

void signal_action_set(int number, const struct signal_action *action) {
    struct process *process = process_current();
    uint64_t bit = SIGNAL_BIT(number);

    LOCAL->signals.action[number - 1] = *action;
    process->ignored &= ~bit;
    process->caught &= ~bit;
    if (action->handler == SIGNAL_IGNORE)
        process->ignored |= bit;
    else if (action->handler != SIGNAL_DEFAULT)
        process->caught |= bit;
    if (number == SIGCHLD) {
        process->quiet_stops = action->flags & SA_NOCLDSTOP;
        process->no_zombies = action->flags & SA_NOCLDWAIT;
    }
}

void signal_fault(int number, int code, uint64_t address) {
    struct thread *thread = thread_current();
    struct process *process = thread->process;
    uint64_t bit = SIGNAL_BIT(number);
    if (thread->exiting) /* it ends on its way back; what it has met since it was told is nobody's fault */
        return;
    bool irq = spin_lock_irq(&process->signal_lock);
    const struct signal_action *action = &LOCAL->signals.action[number - 1];

    /* It cannot be put off: the instruction would only fault again. */
    if ((thread->signal_mask & bit) || action->handler == SIGNAL_IGNORE) {
        signal_action_set(number, &(struct signal_action){.handler = SIGNAL_DEFAULT});
        thread->signal_mask &= ~bit;
    }
    thread->local->fault_error = (uint32_t)number << 16 | ((uint32_t)code & 0xffff);
    thread->local->fault_address = address;
    thread->pending |= bit;
    spin_unlock_irq(&process->signal_lock, irq);
    __atomic_or_fetch(&thread->work, WORK_SIGNAL, __ATOMIC_SEQ_CST);
}

/* Whether a group that nobody would continue is to be left alone by this signal. */
static bool spares_orphans(int number) {
    bool irq = spin_lock_irq(&processes_lock);
    const bool orphaned = number != SIGSTOP && jobs_is_orphaned(process_current()->group, NULL);
    spin_unlock_irq(&processes_lock, irq);
    return orphaned;
}

/* No handler: die, stop or do nothing. */
static void act_by_default(const struct signal_delivery *delivery) {
    struct process *process = process_current();
    const uint64_t bit = SIGNAL_BIT(delivery->number);
    bool survives = (SIGNALS_IGNORED_BY_DEFAULT & bit) || process == init_process;

    if (survives && !delivery->fault)
        return;
    if (SIGNALS_STOPPING & bit) {
        if (!spares_orphans(delivery->number))
            jobs_stop(delivery->number);
        return;
    }
    if (process == init_process)
        kprintf("init: signal %d\n", delivery->number);
    process_exit(delivery->number);
}

/* The mask that holds again when the handler is done, or when there is none to run. */
static uint64_t mask_before(struct thread *thread) {
    return thread->restore_mask ? thread->saved_mask : thread->signal_mask;
}

static void run_handler(struct trap_frame *frame, const struct signal_action *action,
                        const struct signal_delivery *delivery) {
    struct thread *thread = thread_current();
    uint64_t mask = thread->signal_mask | action->mask;
    const bool timed = thread->call_deadline != 0;

    thread->call_deadline = 0;
    if (was_interrupted(frame)) {
        if (always_restarts(frame) || ((action->flags & SA_RESTART) && !timed && !never_restarts(frame->error)))
            restart_call(frame);
        else
            frame->rax = (uint64_t) - (int64_t)status_to_errno(ERR_INTERRUPTED);
    }
    bool pushed = signal_frame_push(frame, action, delivery, mask_before(thread)) == OK;
    /* No system call any more: every register counts on the way back. Nor an exception, for the next handler. */
    frame->vector = 0;
    frame->error = 0;
    if (!pushed) {
        /* No stack to run it on: as Linux, a SIGSEGV, which kills if it was that whose handler could not run. */
        if (delivery->number == SIGSEGV)
            process_exit(SIGSEGV);
        signal_fault(SIGSEGV, SI_KERNEL, 0);
        return;
    }
    if (!(action->flags & SA_NODEFER))
        mask |= SIGNAL_BIT(delivery->number);
    thread->restore_mask = false;
    signal_mask_set(mask);
}

/* Reads the action, and resets it where it is for one time. */
static struct signal_action take_action(int number) {
    struct process *process = process_current();
    bool irq = spin_lock_irq(&process->signal_lock);
    struct signal_action action = LOCAL->signals.action[number - 1];

    if ((action.flags & SA_RESETHAND) && action.handler > SIGNAL_IGNORE)
        signal_action_set(number, &(struct signal_action){.handler = SIGNAL_DEFAULT});
    spin_unlock_irq(&process->signal_lock, irq);
    return action;
}

/* True when a handler is to run next. */
static bool deliver_next(struct trap_frame *frame) {
    for (;;) {
        struct thread *thread = thread_current();
        struct signal_delivery delivery = signal_take(~thread->signal_mask);

        if (delivery.number == 0)
            return false;
        struct signal_action action = take_action(delivery.number);
        if (action.handler > SIGNAL_IGNORE) {
            run_handler(frame, &action, &delivery);
            return true;
        }
        if (action.handler == SIGNAL_DEFAULT)
            act_by_default(&delivery);
        jobs_stand();
    }
}

void signal_deliver(struct trap_frame *frame) {
    struct thread *thread = thread_current();
    struct process *process = thread->process;

    __atomic_and_fetch(&thread->work, ~(uint32_t)WORK_SIGNAL, __ATOMIC_SEQ_CST);
    if (process->being_killed || thread->exiting)
        thread_exit(process->exit_status);
    jobs_stand();
    if (!deliver_next(frame)) {
        if (was_interrupted(frame))
            restart_call(frame);
        if (thread->restore_mask) {
            thread->restore_mask = false;
            signal_mask_set(thread->saved_mask);
        }
    }
    (void)signal_pending(); /* what is left: once more */
}

void signal_exec(void) {
    struct thread *thread = thread_current();
    struct process *process = thread->process;
    bool irq = spin_lock_irq(&process->signal_lock);

    for (int number = 1; number <= SIGNAL_MAX; number++) {
        struct signal_action *action = &LOCAL->signals.action[number - 1];
        uint64_t handler = action->handler == SIGNAL_IGNORE ? SIGNAL_IGNORE : SIGNAL_DEFAULT;
        *action = (struct signal_action){.handler = handler};
    }
    process->caught = 0;
    process->quiet_stops = process->no_zombies = false;
    spin_unlock_irq(&process->signal_lock, irq);
    thread->local->alternate_stack = 0;
    thread->local->alternate_stack_size = 0;
    thread->local->alternate_stack_flags = SS_DISABLE;
}
