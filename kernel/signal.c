/*
 * Sending signals, and the pending sets.
 *
 * Senders touch GLOBAL fields alone: they mark and wake; the receiver reads its own (LOCAL) actions when it gets to
 * them. `ignored` and `caught` are copies of what the action tables say, so that a sender can drop what would be
 * ignored.
 *
 * Locks: process.signal_lock (rank SIGNAL) for both pending sets and the masks (written by their thread);
 * processes_lock for the list of threads. Both with interrupts off: timers send from their interrupt. Any space.
 */
#include "kernel/signal.h"

#include "arch/cpu.h"
#include "kernel/local.h"
#include "kernel/sched.h"
#include "kernel/signal_internal.h"
#include "kernel/string.h"

static void notify(struct thread *thread) {
    __atomic_or_fetch(&thread->work, WORK_SIGNAL, __ATOMIC_SEQ_CST);
    sched_interrupt(thread);
}

/* Whether the process will do nothing about the signal, so that it need not become pending. */
static bool is_ignored(const struct process *process, int number) {
    uint64_t bit = SIGNAL_BIT(number);

    if (number == SIGKILL)
        return process == init_process;
    if (process->caught & bit)
        return false;
    return process == init_process || (process->ignored & bit) || (SIGNALS_IGNORED_BY_DEFAULT & bit);
}

/* The first thread that takes the signal, or NULL when all block it. processes_lock held. */
static struct thread *find_taker(const struct process *process, int number) {
    list_for_each(link, &process->threads) {
        struct thread *thread = container_of(link, struct thread, process_link);

        if (!(thread->signal_mask & SIGNAL_BIT(number)) && !thread->exiting)
            return thread;
    }
    return NULL;
}

/*
 * Tells who has to do something: the taker; every thread of SIGKILL, each of which then ends by itself; when all block
 * the signal, whoever may be waiting for it in rt_sigtimedwait. processes_lock held.
 */
static void notify_process(struct process *process, int number) {
    struct thread *taker = find_taker(process, number);

    if (taker != NULL && number != SIGKILL) {
        notify(taker);
        return;
    }
    list_for_each(link, &process->threads) {
        struct thread *thread = container_of(link, struct thread, process_link);

        if (number == SIGKILL)
            notify(thread);
        else
            sched_interrupt(thread);
    }
}

static void record_origin(struct process *process, int number, const struct signal_origin *origin) {
    process->origin[number - 1] = origin != NULL ? *origin : (struct signal_origin){.code = SI_KERNEL};
}

void signal_send_process_locked(struct process *process, int number, const struct signal_origin *origin) {
    if (number < 1 || number > SIGNAL_MAX)
        return;
    uint64_t bit = SIGNAL_BIT(number);
    spin_lock(&process->signal_lock);
    if (!process->zombie && !(process->pending & bit) &&
        (!is_ignored(process, number) || find_taker(process, number) == NULL)) {
        process->pending |= bit;
        record_origin(process, number, origin);
        notify_process(process, number);
    }
    spin_unlock(&process->signal_lock);
}

void signal_send_process(struct process *process, int number, const struct signal_origin *origin) {
    bool irq = spin_lock_irq(&processes_lock);

    signal_send_process_locked(process, number, origin);
    spin_unlock_irq(&processes_lock, irq);
}

void signal_send_thread(struct thread *thread, int number, const struct signal_origin *origin) {
    struct process *process = thread->process;

    if (number < 1 || number > SIGNAL_MAX)
        return;
    uint64_t bit = SIGNAL_BIT(number);
    bool irq = spin_lock_irq(&process->signal_lock);
    bool is_blocked = thread->signal_mask & bit;

    if (!(thread->pending & bit) && (is_blocked || !is_ignored(process, number))) {
        thread->pending |= bit;
        record_origin(process, number, origin);
        if (is_blocked)
            sched_interrupt(thread); /* it may be waiting for it in rt_sigtimedwait */
        else
            notify(thread);
    }
    spin_unlock_irq(&process->signal_lock, irq);
}

enum status signal_send_group(uint32_t group, int number, const struct signal_origin *origin) {
    bool found = false;

    bool irq = spin_lock_irq(&processes_lock);
    list_for_each(link, &all_processes) {
        struct process *process = container_of(link, struct process, all_link);

        if (process->group == group) {
            found = true;
            signal_send_process_locked(process, number, origin);
        }
    }
    spin_unlock_irq(&processes_lock, irq);
    return found ? OK : ERR_NO_PROCESS;
}

/* The calling thread no longer takes `set`: the others are told of what is pending of it. */
static void hand_on(struct process *process, uint64_t set) {
    bool irq = spin_lock_irq(&processes_lock);

    spin_lock(&process->signal_lock);
    for (uint64_t left = process->pending & set; left != 0; left &= left - 1)
        notify_process(process, __builtin_ctzl(left) + 1);
    spin_unlock(&process->signal_lock);
    spin_unlock_irq(&processes_lock, irq);
}

void signal_forget_pending(int number) {
    struct process *process = process_current();
    uint64_t bit = SIGNAL_BIT(number);

    process->pending &= ~bit;
    list_for_each(link, &process->threads) container_of(link, struct thread, process_link)->pending &= ~bit;
}

bool signal_killed(void) {
    const struct thread *thread = thread_current();
    const struct process *process = thread->process;

    return thread->exiting || process->being_killed || ((process->pending | thread->pending) & SIGNAL_BIT(SIGKILL));
}

/* What is ignored is not pending, or its default is to be ignored. */
bool signal_fatal(void) {
    const struct thread *thread = thread_current();
    const struct process *process = thread->process;
    const uint64_t pending = (process->pending | thread->pending) & ~thread->signal_mask;

    return signal_killed() || (pending & ~(process->caught | process->ignored | SIGNALS_IGNORED_BY_DEFAULT)) != 0;
}

bool signal_pending(void) {
    struct thread *thread = thread_current();

    if (__builtin_expect(((thread->pending | thread->process->pending) & ~thread->signal_mask) == 0 && !signal_killed(),
                         1))
        return false;
    /*
     * Another thread may have been told of it: a call that gives up because of the answer must get to
     * signal_deliver().
     */
    __atomic_or_fetch(&thread->work, WORK_SIGNAL, __ATOMIC_SEQ_CST);
    return true;
}

/* The first of a set: faults of the thread itself, SIGKILL, then by number. */
static int most_urgent(const struct thread *thread, uint64_t set) {
    int fault = (int)(thread->local->fault_error >> 16);

    if (set & SIGNAL_BIT(SIGKILL))
        return SIGKILL;
    if (fault != 0 && (set & SIGNAL_BIT(fault)))
        return fault;
    return __builtin_ctzl(set) + 1;
}

struct signal_delivery signal_take(uint64_t set) {
    struct thread *thread = thread_current();
    struct process *process = thread->process;
    struct signal_delivery delivery = {.number = 0};
    bool irq = spin_lock_irq(&process->signal_lock);

    set &= thread->pending | process->pending;
    if (set != 0) {
        struct thread_local *local = thread->local;
        int number = most_urgent(thread, set);

        delivery.number = number;
        delivery.origin = process->origin[number - 1];
        if (local->fault_error >> 16 == (uint32_t)number) {
            delivery.fault = true;
            delivery.origin = (struct signal_origin){.code = (int32_t)(local->fault_error & 0xffff)};
            delivery.fault_address = local->fault_address;
            local->fault_error = 0;
        }
        if (thread->pending & SIGNAL_BIT(number))
            thread->pending &= ~SIGNAL_BIT(number);
        else if (number != SIGKILL) /* that one stays until every thread has seen it */
            process->pending &= ~SIGNAL_BIT(number);
    }
    spin_unlock_irq(&process->signal_lock, irq);
    return delivery;
}

void signal_mask_set(uint64_t mask) {
    struct thread *thread = thread_current();
    struct process *process = thread->process;

    mask &= ~SIGNALS_UNBLOCKABLE;
    bool irq = spin_lock_irq(&process->signal_lock);
    uint64_t newly_blocked = mask & ~thread->signal_mask;
    thread->signal_mask = mask;
    spin_unlock_irq(&process->signal_lock, irq);
    if (process->pending & newly_blocked)
        hand_on(process, newly_blocked);
    (void)signal_pending(); /* says so to the way back */
}

void signal_mask_set_for_call(uint64_t mask) {
    struct thread *thread = thread_current();
    uint64_t before = thread->signal_mask;

    signal_mask_set(mask);
    thread->saved_mask = before;
    thread->restore_mask = true;
    __atomic_or_fetch(&thread->work, WORK_SIGNAL, __ATOMIC_SEQ_CST);
}
