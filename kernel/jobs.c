/*
 * Owns: who is stopped.
 *
 * A thread that takes a stop signal says so in its process, and every thread of it stands still on its way back to user
 * code: a call that waits is interrupted for it, and started again afterwards. So a stopped thread holds nothing but
 * its stack. When the last one stands the parent is told. Senders of SIGCONT and SIGKILL undo all of it, in whatever
 * space they are: what is touched is GLOBAL.
 * Locks: processes_lock for the stop; signal_lock, taken after it, for `stop_taken` and the pending sets.
 */
#include "kernel/jobs.h"

#include "arch/cpu.h"
#include "kernel/sched.h"
#include "kernel/signal_internal.h"
#include "kernel/wait.h"

/* --- What the parent hears ---------------------------------------------------------------------------------------- */

/* processes_lock held. */
static void tell_parent(struct process *process, enum child_news news, int number) {
    struct process *parent = process->parent;
    process->news = news;
    if (parent == NULL || parent->dying)
        return;
    const struct signal_origin origin = {
        .code = news == CHILD_STOPPED ? CLD_STOPPED : CLD_CONTINUED,
        .pid = process->id,
        .uid = process->user.real,
        .status = number,
    };
    if (!parent->quiet_stops && !(parent->ignored & SIGNAL_BIT(SIGCHLD)))
        signal_send_process_locked(parent, SIGCHLD, &origin);
    wake_all(&parent->child_exited);
}

/* --- Stopping ----------------------------------------------------------------------------------------------------- */

static void notify(struct thread *thread) {
    __atomic_or_fetch(&thread->work, WORK_SIGNAL, __ATOMIC_SEQ_CST);
    sched_interrupt(thread);
}

static unsigned living_threads(const struct process *process) {
    unsigned count = 0;
    list_for_each(link, &process->threads) {
        if (!container_of(link, struct thread, process_link)->exiting)
            count++;
    }
    return count;
}

/* processes_lock held. */
static void note_if_all_stand(struct process *process) {
    if (process->stop_signal == 0 || process->stopped || process->being_killed || process->dying)
        return;
    const unsigned living = living_threads(process);
    if (living == 0 || process->threads_stopped < living)
        return;
    process->stopped = true;
    tell_parent(process, CHILD_STOPPED, process->stop_signal);
}

void jobs_thread_ends(struct process *process) { note_if_all_stand(process); }

void jobs_stop(int number) {
    struct process *process = process_current();
    bool irq = spin_lock_irq(&processes_lock);
    spin_lock(&process->signal_lock);
    const bool stops = process->stop_taken && !process->being_killed && process->stop_signal == 0;
    if (stops)
        __atomic_store_n(&process->stop_signal, number, __ATOMIC_SEQ_CST);
    process->stop_taken = false;
    spin_unlock(&process->signal_lock);
    if (stops) {
        list_for_each(link, &process->threads) notify(container_of(link, struct thread, process_link));
    }
    spin_unlock_irq(&processes_lock, irq);
}

static bool must_stand(const struct process *process) {
    return __atomic_load_n(&process->stop_signal, __ATOMIC_SEQ_CST) != 0 && !signal_killed();
}

static void sleep_until_continued(struct process *process) {
    while (must_stand(process)) {
        struct waiter waiter;
        wait_begin(&process->continued, &waiter);
        if (must_stand(process))
            (void)!wait_sleep_until_killed();
        wait_end(&waiter);
    }
}

void jobs_stand(void) {
    struct process *process = process_current();
    bool irq = spin_lock_irq(&processes_lock);
    const bool stands = must_stand(process);
    if (stands) {
        process->threads_stopped++;
        note_if_all_stand(process);
    }
    spin_unlock_irq(&processes_lock, irq);
    if (!stands)
        return;
    sleep_until_continued(process);
    irq = spin_lock_irq(&processes_lock);
    process->threads_stopped--;
    spin_unlock_irq(&processes_lock, irq);
}

/* --- Continuing --------------------------------------------------------------------------------------------------- */

/* No longer pending anywhere in the process. None of these has an entry in a queue. signal_lock held. */
static void cancel_pending(struct process *process, uint64_t set) {
    process->pending &= ~set;
    list_for_each(link, &process->threads) container_of(link, struct thread, process_link)->pending &= ~set;
}

void jobs_before_signal(struct process *process, int number) {
    const bool continues = number == SIGCONT || number == SIGKILL;
    const bool stops = number >= 1 && number <= SIGNAL_MAX && (SIGNALS_STOPPING & SIGNAL_BIT(number));
    if ((!continues && !stops) || process->dying || (process == init_process && !stops))
        return;
    spin_lock(&process->signal_lock);
    cancel_pending(process, stops ? SIGNAL_BIT(SIGCONT) : SIGNALS_STOPPING);
    if (continues)
        process->stop_taken = false;
    spin_unlock(&process->signal_lock);
    if (!continues || process->stop_signal == 0)
        return;
    const bool was_stopped = process->stopped;
    process->stopped = false;
    __atomic_store_n(&process->stop_signal, 0, __ATOMIC_SEQ_CST);
    wake_all(&process->continued);
    if (was_stopped && number == SIGCONT)
        tell_parent(process, CHILD_CONTINUED, SIGCONT);
    else
        process->news = CHILD_NO_NEWS;
}

/* --- Orphaned groups ---------------------------------------------------------------------------------------------- */

bool jobs_is_orphaned(uint32_t group, const struct process *leaving) {
    list_for_each(link, &all_processes) {
        const struct process *process = container_of(link, struct process, all_link), *parent = process->parent;
        if (process->group != group || process == leaving || process->dying || parent == NULL ||
            parent == init_process || parent == leaving)
            continue;
        if (parent->group != group && parent->session == process->session)
            return false;
    }
    return true;
}

static bool has_stopped_member(uint32_t group) {
    list_for_each(link, &all_processes) {
        const struct process *process = container_of(link, struct process, all_link);
        if (process->group == group && process->stopped)
            return true;
    }
    return false;
}

static void send_to_group(uint32_t group, int number) {
    list_for_each(link, &all_processes) {
        struct process *process = container_of(link, struct process, all_link);
        if (process->group == group)
            signal_send_process_locked(process, number, NULL);
    }
}

void jobs_member_leaves(struct process *leaving, struct process *child) {
    const struct process *member = child != NULL ? child : leaving;
    const struct process *parent = child != NULL ? leaving : leaving->parent;
    if (parent == NULL || parent->group == member->group || parent->session != member->session)
        return;
    if (!jobs_is_orphaned(member->group, leaving) || !has_stopped_member(member->group))
        return;
    send_to_group(member->group, SIGHUP);
    send_to_group(member->group, SIGCONT);
}
