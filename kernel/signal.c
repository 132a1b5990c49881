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
#include "kernel/jobs.h"
#include "kernel/local.h"
#include "kernel/message.h"
#include "kernel/sched.h"
#include "kernel/signal_internal.h"
#include "kernel/signalfd.h"
#include "kernel/string.h"

static void notify(struct thread *thread) {
    __atomic_or_fetch(&thread->work, WORK_SIGNAL, __ATOMIC_SEQ_CST);
    sched_interrupt(thread);
}

/* Whether the process will do nothing about the signal, so that it need not become pending. */
static bool is_ignored(const struct process *process, int number) {
    uint64_t bit = SIGNAL_BIT(number);

    if (number == SIGKILL || number == SIGSTOP)
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

/* A real-time signal comes with an entry, so that all of them are seen; without memory, one is. */
static struct queued_signal *entry_for(const struct signal_queue *queue, int number,
                                       const struct signal_origin *origin) {
    struct queued_signal *entry;
    if (number < SIGNAL_REALTIME || origin == NULL || queue->count >= SIGNALS_QUEUED_MAX ||
        queued_signal_create(number, &entry) != OK)
        return NULL;
    entry->origin = *origin;
    return entry;
}

/* Whether it is to become pending in a set: a classic one that is there already is lost. */
static bool adds(uint64_t pending, int number) { return number >= SIGNAL_REALTIME || !(pending & SIGNAL_BIT(number)); }

/* processes_lock held. True: the signal is pending now, and `entry`, if it is not NULL, the process's. */
static bool queue_for_process(struct process *process, int number, const struct signal_origin *origin,
                              struct queued_signal *entry) {
    jobs_before_signal(process, number);
    spin_lock(&process->signal_lock);
    const bool added = !process->dying && adds(process->pending, number) &&
                       (!is_ignored(process, number) || find_taker(process, number) == NULL);
    if (added) {
        process->pending |= SIGNAL_BIT(number);
        signal_queue_add(&process->signals, number, origin, entry);
        notify_process(process, number);
        signalfd_tell(process);
    }
    spin_unlock(&process->signal_lock);
    return added;
}

static bool queue_for_thread(struct thread *thread, int number, const struct signal_origin *origin,
                             struct queued_signal *entry) {
    struct process *process = thread->process;
    uint64_t bit = SIGNAL_BIT(number);
    bool irq = spin_lock_irq(&process->signal_lock);
    const bool is_blocked = thread->signal_mask & bit;
    const bool added = adds(thread->pending, number) && (is_blocked || !is_ignored(process, number));
    if (added) {
        thread->pending |= bit;
        signal_queue_add(&thread->signals, number, origin, entry);
        if (is_blocked)
            sched_interrupt(thread); /* it may be waiting for it in rt_sigtimedwait */
        else
            notify(thread);
        signalfd_tell(process);
    }
    spin_unlock_irq(&process->signal_lock, irq);
    return added;
}

void signal_send_process_locked(struct process *process, int number, const struct signal_origin *origin) {
    if (number < 1 || number > SIGNAL_MAX)
        return;
    struct queued_signal *entry = entry_for(&process->signals, number, origin);
    if (!queue_for_process(process, number, origin, entry) && entry != NULL)
        queued_signal_free(entry);
}

void signal_send_process(struct process *process, int number, const struct signal_origin *origin) {
    bool irq = spin_lock_irq(&processes_lock);

    signal_send_process_locked(process, number, origin);
    spin_unlock_irq(&processes_lock, irq);
}

void signal_send_thread(struct thread *thread, int number, const struct signal_origin *origin) {
    if (number < 1 || number > SIGNAL_MAX)
        return;
    struct queued_signal *entry = entry_for(&thread->signals, number, origin);
    if (!queue_for_thread(thread, number, origin, entry) && entry != NULL)
        queued_signal_free(entry);
}

bool signal_queue_to_process(struct process *process, struct queued_signal *entry) {
    return queue_for_process(process, entry->number, &entry->origin, entry);
}

bool signal_queue_to_thread(struct thread *thread, struct queued_signal *entry) {
    jobs_before_signal(thread->process, entry->number);
    return queue_for_thread(thread, entry->number, &entry->origin, entry);
}

void signal_unqueue(struct process *process, struct queued_signal *entry) {
    spin_lock(&process->signal_lock);
    struct signal_queue *queue = entry->queue;
    if (queue != NULL && !signal_queue_remove(entry)) {
        uint64_t *pending =
            queue == &process->signals ? &process->pending : &container_of(queue, struct thread, signals)->pending;
        *pending &= ~SIGNAL_BIT(entry->number);
    }
    spin_unlock(&process->signal_lock);
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

void signal_forget_pending(int number, struct list *entries) {
    struct process *process = process_current();
    uint64_t bit = SIGNAL_BIT(number);

    process->pending &= ~bit;
    signal_queue_forget(&process->signals, number, entries);
    list_for_each(link, &process->threads) {
        struct thread *thread = container_of(link, struct thread, process_link);
        thread->pending &= ~bit;
        signal_queue_forget(&thread->signals, number, entries);
    }
}

static void forget_all(struct process *process, struct signal_queue *queue) {
    struct list entries;
    list_init(&entries);
    bool irq = spin_lock_irq(&process->signal_lock);
    signal_queue_forget(queue, 0, &entries);
    spin_unlock_irq(&process->signal_lock, irq);
    queued_signals_free(&entries);
    message_free_spare();
}

void signal_thread_ends(void) { forget_all(process_current(), &thread_current()->signals); }
void signal_process_ends(void) { forget_all(process_current(), &process_current()->signals); }

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

    return signal_killed() ||
           (pending & ~(process->caught | process->ignored | SIGNALS_IGNORED_BY_DEFAULT | SIGNALS_STOPPING)) != 0;
}

bool signal_pending(void) {
    struct thread *thread = thread_current();

    if (__builtin_expect(((thread->pending | thread->process->pending) & ~thread->signal_mask) == 0 &&
                             thread->process->stop_signal == 0 && !signal_killed(),
                         1))
        return false;
    /*
     * Another thread may have been told of it: a call that gives up because of the answer must get to
     * signal_deliver().
     */
    __atomic_or_fetch(&thread->work, WORK_SIGNAL, __ATOMIC_SEQ_CST);
    return true;
}

/* The first of a set: faults of the thread itself, those that faults cause, then by number. */
static int most_urgent(const struct thread *thread, uint64_t set) {
    const uint64_t by_faults = SIGNAL_BIT(SIGSEGV) | SIGNAL_BIT(SIGBUS) | SIGNAL_BIT(SIGILL) | SIGNAL_BIT(SIGTRAP) |
                               SIGNAL_BIT(SIGFPE) | SIGNAL_BIT(SIGSYS);
    int fault = (int)(thread->local->fault_error >> 16);

    if (fault != 0 && (set & SIGNAL_BIT(fault)))
        return fault;
    return __builtin_ctzl(set & by_faults ? set & by_faults : set) + 1;
}

/* As most_urgent() of what is pending, SIGKILL first and then the thread's own. signal_lock held; 0: none. */
static int choose(const struct thread *thread, uint64_t set, bool *of_thread) {
    const uint64_t own = thread->pending & set, shared = thread->process->pending & set;

    *of_thread = own != 0 && !(shared & SIGNAL_BIT(SIGKILL));
    if (shared & SIGNAL_BIT(SIGKILL))
        return SIGKILL;
    return (own | shared) == 0 ? 0 : most_urgent(thread, own != 0 ? own : shared);
}

/* The thread's fault, if the signal is that. */
static void take_fault(struct thread *thread, struct signal_delivery *delivery) {
    struct thread_local *local = thread->local;

    if (local->fault_error >> 16 != (uint32_t)delivery->number)
        return;
    delivery->fault = true;
    delivery->origin = (struct signal_origin){.code = (int32_t)(local->fault_error & 0xffff)};
    delivery->fault_address = local->fault_address;
    local->fault_error = 0;
}

/* What the sender said; the entry is the caller's. */
static void read_entry(struct queued_signal *entry, struct signal_delivery *delivery) {
    if (entry->info != NULL) {
        const struct message_place place = {.kernel = (char *)&delivery->info};
        struct message_words no_words;
        delivery->has_info = message_take(entry->info, &no_words, place) == OK;
    }
    queued_signal_free(entry);
}

struct signal_delivery signal_take(uint64_t set) {
    struct thread *thread = thread_current();
    struct process *process = thread->process;
    struct signal_delivery delivery = {.number = 0};
    struct queued_signal *entry = NULL;
    bool of_thread;
    bool irq = spin_lock_irq(&process->signal_lock);
    const int number = choose(thread, set, &of_thread);

    if (number != 0) {
        uint64_t *pending = of_thread ? &thread->pending : &process->pending;
        struct signal_queue *queue = of_thread ? &thread->signals : &process->signals;
        delivery.number = number;
        const bool more = signal_queue_take(queue, number, &delivery.origin, &entry);
        take_fault(thread, &delivery);
        if (!more && number != SIGKILL) /* that one stays until every thread has seen it */
            *pending &= ~SIGNAL_BIT(number);
        if (SIGNALS_STOPPING & SIGNAL_BIT(number))
            process->stop_taken = true;
    }
    spin_unlock_irq(&process->signal_lock, irq);
    if (entry != NULL)
        read_entry(entry, &delivery);
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
