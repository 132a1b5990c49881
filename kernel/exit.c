/*
 * Owns: the end of threads and processes, and exec's clearing of the way.
 *
 * Invariants: CLEAN, REVOKE – a process clears everything of its own, itself, in its own restricted space; what it
 * leaves to its parent is clean stacks and page tables. No exit is needed.
 * Locks: processes_lock for the thread count and the tree. Space: the dying process's.
 */
#include "arch/cpu.h"
#include "asi/asi.h"
#include "asi/tally.h"
#include "kernel/assert.h"
#include "kernel/call.h"
#include "kernel/command_line.h"
#include "kernel/futex.h"
#include "kernel/jobs.h"
#include "kernel/local.h"
#include "kernel/posix_timer.h"
#include "kernel/process.h"
#include "kernel/process_life.h"
#include "kernel/process_times.h"
#include "kernel/sched.h"
#include "kernel/signal.h"
#include "kernel/sysv.h"
#include "kernel/terminal.h"
#include "kernel/thread_create.h"
#include "kernel/timer.h"
#include "mm/ephmap.h"
#include "mm/gather.h"
#include "mm/heap.h"
#include "mm/local.h"
#include "mm/roots.h"
#include "mm/view_set.h"
#include "mm/vm.h"

/* Gives the user half back to the parent, who waits. */
static void end_vfork_share(struct process *process) {
    vm_disown();
    roots_unshare_user_half(&process->roots);
    __atomic_fetch_sub(&process->user_space->refs, 1, __ATOMIC_RELAXED);
    process->user_space = NULL;
}

static bool shares_user_half(const struct process *process) {
    return process->vfork_parent != NULL && process->user_space == process->parent->user_space;
}

void process_release_vfork(void) {
    struct process *process = process_current();
    struct thread *waiting = process->vfork_parent;
    if (waiting == NULL)
        return;
    process->vfork_parent = NULL;
    bool irq = spin_lock_irq(&processes_lock); /* so the parent, free to go by then, does not go away meanwhile */
    __atomic_store_n(&waiting->in_vfork, false, __ATOMIC_RELEASE);
    wake_all(&process->parent->vfork_released);
    spin_unlock_irq(&processes_lock, irq);
}

/* Until every other thread is off its stack: what they share may be taken down then. */
static void wait_until_alone(struct process *process) {
    for (;;) {
        struct waiter waiter;
        wait_begin(&process->thread_left, &waiter);
        bool alone = __atomic_load_n(&process->thread_count, __ATOMIC_RELAXED) == 1;
        if (!alone)
            wait_sleep_uninterruptible();
        wait_end(&waiter);
        if (alone)
            return;
    }
}

/*
 * Tells every thread but the calling one to end: all are marked before the first is woken. One that ends clears its
 * clear_child_tid word, which may be a lock of the C library's, and no other is to find it free and go on.
 * processes_lock held.
 */
static void end_other_threads(struct process *process) {
    list_for_each(link, &process->threads) {
        struct thread *thread = container_of(link, struct thread, process_link);
        if (thread == thread_current())
            continue;
        thread->exiting = true;
        __atomic_or_fetch(&thread->work, WORK_SIGNAL, __ATOMIC_RELAXED);
    }
    list_for_each(link, &process->threads) {
        struct thread *thread = container_of(link, struct thread, process_link);
        if (thread != thread_current())
            sched_interrupt(thread);
    }
}

/* --- exec --------------------------------------------------------------------------------------------------------- */

/* Of two threads that do this at once one wins; the other ends on its way back. */
static enum status stop_other_threads(struct process *process) {
    bool irq = spin_lock_irq(&processes_lock);
    bool loses = thread_current()->exiting;
    if (!loses)
        end_other_threads(process);
    spin_unlock_irq(&processes_lock, irq);
    if (loses)
        return ERR_RESTART;
    if (process->thread_count != 1)
        wait_until_alone(process);
    return OK;
}

enum status process_begin_exec(void) {
    struct process *process = process_current();
    struct user_space *fresh = NULL;
    if (shares_user_half(process)) {
        fresh = user_space_create(process->id);
        if (fresh == NULL)
            return ERR_NO_MEMORY;
    }
    enum status status = stop_other_threads(process);
    if (status != OK) {
        global_free(fresh, sizeof *fresh);
        return status;
    }
    calls_abandon();
    if (fresh != NULL) {
        end_vfork_share(process);
        process->user_space = fresh;
    } else {
        vm_destroy();
    }
    vm_reset();
    process_release_vfork();
    return OK;
}

/* --- exit --------------------------------------------------------------------------------------------------------- */

/* Who collects its orphans: the nearest ancestor that wants to, or init. processes_lock held. */
static struct process *find_reaper(const struct process *process) {
    for (struct process *at = process->parent; at != NULL && at != &kernel_process; at = at->parent) {
        if (at->is_subreaper && !at->dying)
            return at;
    }
    return init_process;
}

static void give_children_away(struct process *process) {
    bool irq = spin_lock_irq(&processes_lock);
    struct process *reaper = find_reaper(process);
    jobs_member_leaves(process, NULL);
    while (!list_empty(&process->children)) {
        struct process *child = container_of(process->children.next, struct process, sibling_link);
        list_remove(&child->sibling_link);
        child->parent = reaper;
        list_push_back(&reaper->children, &child->sibling_link);
        if (child->death_signal != 0)
            signal_send_process_locked(child, child->death_signal, NULL);
        jobs_member_leaves(process, child);
        if (child->zombie)
            process_tell_new_parent(child);
    }
    spin_unlock_irq(&processes_lock, irq);
}

static void take_process_down(struct process *process) {
    struct gather gather;
    tally_process();
    terminal_leader_ends();
    identity_forget(process);
    process->peak_resident = process->user_space->peak;
    command_line_forget();
    timers_forget_process(process);
    posix_timers_forget();
    signal_process_ends();
    calls_abandon();
    handles_close_all();
    sysv_process_exit(process);
    if (shares_user_half(process)) {
        end_vfork_share(process);
    } else {
        vm_destroy();
        global_free(process->user_space, sizeof *process->user_space);
        process->user_space = NULL;
    }
    process_release_vfork();
    ephmap_forget_process(process);
    gather_begin(&gather);
    ephmap_free_tables(&gather);
    gather_flush(&gather);
    if (process != init_process)
        give_children_away(process);
    local_destroy();
}

/* Leaves the CPU for good; the last thread with nothing LOCAL left. */
static _Noreturn void leave(struct thread *self, bool last) {
    irq_disable();
    /* The unrestricted stack can be cleared from there only. In mode asi no thread gets here with one in use. */
    if (this_cpu->space == SPACE_RESTRICTED && (self->stack_dirty & 1 << SPACE_UNRESTRICTED))
        asi_exit(ASI_CAUSE_DEATH);
    if (last)
        process_becomes_zombie(self->process);
    self->state = THREAD_DEAD;
    sched_leave();
}

void thread_exit(int status) {
    struct thread *self = thread_current();
    struct process *process = self->process;

    irq_enable();
    bool irq = spin_lock_irq(&processes_lock); /* who tells this thread to end has told all: end_other_threads() */
    self->exiting = true;
    spin_unlock_irq(&processes_lock, irq);
    futex_thread_exit();
    message_free_spare();
    calls_forget_worker();
    signal_mask_set(UINT64_MAX);
    irq = spin_lock_irq(&processes_lock);
    process->cpu_time += thread_cpu_time();
    list_remove(&self->process_link);
    bool last = list_empty(&process->threads);
    cpu_timers_forget(last);
    if (last) {
        process->dying = true;
        if (!process->being_killed)
            process->exit_status = status;
    }
    jobs_thread_ends(process);
    spin_unlock_irq(&processes_lock, irq);
    signal_thread_ends();

    struct thread_local *local = self->local;
    if (last) {
        ensure(process != &kernel_process);
        if (process->thread_count != 1)
            wait_until_alone(process);
        take_process_down(process);
        self->local = NULL;
    } else {
        irq_disable();
        self->local = NULL;
        if (this_cpu->fpu_owner == self)
            this_cpu->fpu_owner = NULL;
        irq_enable();
        thread_local_free(local);
    }
    leave(self, last);
}

void process_exit(int status) {
    struct process *process = process_current();
    bool irq = spin_lock_irq(&processes_lock);
    if (!process->being_killed) {
        process->being_killed = true;
        process->exit_status = status;
    }
    end_other_threads(process);
    spin_unlock_irq(&processes_lock, irq);
    thread_exit(status);
}
