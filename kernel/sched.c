/*
 * Owns: run queues, the choice of the next thread, the switch to it, sleepers' deadlines.
 *
 * Invariants: a switch between threads of one process, to idle and back writes no CR3 and flushes nothing; one between
 * processes writes CR3 once and pays what asi_switch_flags() says. FLUSH-CONTROL, FLUSH-DATA.
 * Locks: a CPU's queue lock (rank RUN_QUEUE, interrupts off) for thread states and queue links; timer_lock (rank
 * TIMER).
 * Space: whatever the thread is in; the switch preserves it per thread.
 */
#include "kernel/sched.h"

#include "arch/apic.h"
#include "arch/cpu.h"
#include "arch/descriptors.h"
#include "arch/fpu.h"
#include "arch/transition.h"
#include "arch/user_segments.h"
#include "asi/asi.h"
#include "kernel/assert.h"
#include "kernel/process.h"
#include "kernel/reap.h"
#include "kernel/thread.h"
#include "kernel/time.h"
#include "kernel/timer.h"
#include "mm/boot.h"
#include "mm/roots.h"

struct run_queue {
    struct spinlock lock;
    struct list ready; /* of struct thread.run_link. Protected by lock */
    uint64_t tick_at;  /* when the armed timer interrupt comes, ns. Owner CPU, interrupts off */
};

static struct run_queue queues[CPU_MAX];
static struct thread idle_threads[CPU_MAX];
static struct spinlock timer_lock = SPINLOCK_INIT(RANK_TIMER);
static struct list sleepers = {&sleepers, &sleepers}; /* by deadline. Protected by timer_lock */

static struct run_queue *own_queue(void) { return &queues[this_cpu->index]; }

/* --- Choosing ----------------------------------------------------------------------------------------------------- */

static struct thread *take_next(struct run_queue *queue) {
    if (list_empty(&queue->ready))
        return this_cpu->idle;
    struct thread *next = container_of(queue->ready.next, struct thread, run_link);
    list_remove(&next->run_link);
    return next;
}

static void make_ready(struct run_queue *queue, struct thread *thread) {
    thread->state = THREAD_RUNNABLE;
    list_push_back(&queue->ready, &thread->run_link);
}

/* --- Switching ---------------------------------------------------------------------------------------------------- */

/* Idle borrows the loaded space, unless that is about to be taken down: then it needs the kernel's. */
static struct process *space_for(const struct thread *next, const struct thread *previous) {
    if (next != this_cpu->idle)
        return next->process;
    bool dying = previous->state == THREAD_DEAD && previous->process->dying;
    return dying ? &kernel_process : this_cpu->loaded;
}

static uint64_t root_to_load(const struct thread *next, const struct process *space, uint32_t *flags) {
    *flags = 0;
    if (next == this_cpu->idle && space == this_cpu->loaded)
        return 0;
    enum space wanted = next == this_cpu->idle ? asi_home_space() : (enum space)next->space;
    uint64_t root = roots_address(&space->roots, wanted);
    if (root == this_cpu->loaded_root)
        return 0;
    *flags =
        asi_switch_flags(this_cpu->loaded, space, wanted) | (wanted == SPACE_UNRESTRICTED ? CROSS_UNRESTRICTED : 0);
    return root;
}

static void count_switch(const struct thread *previous, const struct thread *next, bool changes_root) {
    struct cpu_counters *counters = &this_cpu->self->counters;
    const struct thread *idle = this_cpu->idle;
    if (next == idle || (previous == idle && !changes_root))
        counters->idle_switches++;
    else if (!changes_root)
        counters->thread_switches++;
    else {
        counters->process_switches++;
        next->process->counters.process_switches++;
    }
}

static void save_user_registers(struct thread *previous) {
    if (previous->local == NULL || previous->state == THREAD_DEAD)
        return;
    fpu_save(previous->local->fpu);
    previous->local->fs_base = user_fs_get();
    previous->local->gs_base = user_gs_get();
}

static void restore_user_registers(struct thread *next) {
    if (next->local == NULL || this_cpu->fpu_owner == next)
        return;
    fpu_restore(next->local->fpu);
    user_fs_set(next->local->fs_base);
    user_gs_set(next->local->gs_base);
    this_cpu->fpu_owner = next;
}

/* First thing on the new stack: what could not be done before the old one was left. */
static void finish_switch(void) {
    struct thread *gone = this_cpu->dead_thread;
    this_cpu->dead_thread = NULL;
    restore_user_registers(thread_current());
    spin_unlock(&own_queue()->lock);
    if (gone != NULL)
        reap_thread(gone);
}

/* Queue lock held, interrupts off. Returns on the new thread's stack, for a thread that was here before. */
static void switch_to(struct thread *next) {
    struct cpu *cpu = cpu_self();
    struct thread *previous = cpu->current;
    uint32_t flags;
    struct process *space = space_for(next, previous);
    uint64_t root = root_to_load(next, space, &flags);

    assert(cpu->views_held == 0);
    count_switch(previous, next, space != cpu->loaded);
    save_user_registers(previous);
    uint64_t now = time_monotonic();
    previous->cpu_time += now - previous->started_at;
    next->started_at = now;
    next->slice_end = now + TIME_SLICE_NS;
    next->state = THREAD_RUNNING;
    previous->space = cpu->space;
    if (root != 0) {
        asi_count_switch(space, flags);
        cpu->loaded = space;
        cpu->scratch_pending = 0; /* flushed by the CR3 write */
        asi_note_roots(cpu, space);
    }
    cpu->switch_flags = flags;
    cpu->current = next;
    if (next != cpu->idle) {
        cpu->stack_top = next->stack_top;
        tss_set_stack(cpu);
    }
    if (previous->state == THREAD_DEAD) {
        cpu->dead_thread = previous;
        if (cpu->fpu_owner == previous)
            cpu->fpu_owner = NULL;
        bool both = cpu->space == SPACE_UNRESTRICTED && (previous->stack_dirty & 1 << SPACE_RESTRICTED);
        context_die(next, root, flags | (both ? CROSS_SCRUB_ALIAS : 0), previous->stack_top - STACK_SIZE);
    }
    context_switch(previous, next, root, flags);
    asi_mark_frame(this_cpu->switch_flags & CROSS_CONTROL_FLUSH); /* `flags` are those of the switch away from here */
    finish_switch();
}

void sched_first_run(void) { finish_switch(); }

static void arm_timer(struct run_queue *queue, uint64_t now);

void sched_block(void) {
    struct run_queue *queue = own_queue();
    bool irq = irq_save();
    spin_lock(&queue->lock);
    struct thread *self = thread_current();
    if (self->state == THREAD_RUNNING || (self->state == THREAD_SLEEPING && self->wake_pending)) {
        self->state = THREAD_RUNNING; /* woken between saying so and getting here */
        spin_unlock(&queue->lock);
    } else {
        switch_to(take_next(queue));
    }
    irq_restore(irq);
}

void sched_leave(void) {
    struct run_queue *queue = own_queue();
    spin_lock(&queue->lock);
    switch_to(take_next(queue));
    panic("a dead thread was run");
}

void sched_yield(void) {
    struct run_queue *queue = own_queue();
    bool irq = irq_save();
    spin_lock(&queue->lock);
    if (list_empty(&queue->ready)) {
        thread_current()->slice_end = time_monotonic() + TIME_SLICE_NS;
        spin_unlock(&queue->lock);
    } else {
        make_ready(queue, thread_current());
        switch_to(take_next(queue));
    }
    irq_restore(irq);
}

/* --- Waking ------------------------------------------------------------------------------------------------------- */

static void wake_if(struct thread *thread, bool only_interruptible) {
    struct run_queue *queue = &queues[thread->cpu];
    bool irq = spin_lock_irq(&queue->lock);
    if (thread->state == THREAD_SLEEPING && (!only_interruptible || thread->interruptible)) {
        thread->wake_pending = true;
        if (thread != cpus[thread->cpu].current) /* else it is on its way into sched_block(), which looks */
            make_ready(queue, thread);
    } else if (thread->state == THREAD_NEW) {
        if (!only_interruptible) /* a signal waits until its maker starts it */
            make_ready(queue, thread);
    } else {
        thread->wake_pending = true;
    }
    spin_unlock_irq(&queue->lock, irq);
}

void sched_wake(struct thread *thread) { wake_if(thread, false); }
void sched_interrupt(struct thread *thread) { wake_if(thread, true); }

/* --- Time --------------------------------------------------------------------------------------------------------- */

void sched_sleep_until(struct thread *thread, uint64_t deadline) {
    bool irq = spin_lock_irq(&timer_lock);
    struct list *place = sleepers.previous;
    while (place != &sleepers && container_of(place, struct thread, timer_link)->deadline > deadline)
        place = place->previous;
    thread->deadline = deadline;
    list_insert_after(place, &thread->timer_link);
    spin_unlock(&timer_lock);
    arm_timer(own_queue(), time_monotonic());
    irq_restore(irq);
}

void sched_cancel_sleep(struct thread *thread) {
    bool irq = spin_lock_irq(&timer_lock);
    list_remove(&thread->timer_link);
    spin_unlock_irq(&timer_lock, irq);
}

static uint64_t wake_sleepers(uint64_t now) {
    uint64_t next = WAIT_FOREVER;
    bool irq = spin_lock_irq(&timer_lock);
    while (!list_empty(&sleepers)) {
        struct thread *thread = container_of(sleepers.next, struct thread, timer_link);
        if (thread->deadline > now) {
            next = thread->deadline;
            break;
        }
        list_remove(&thread->timer_link);
        thread->timed_out = true;
        sched_wake(thread);
        __atomic_or_fetch(&thread_current()->work, WORK_RESCHEDULE, __ATOMIC_RELAXED); /* it was promised this time */
    }
    spin_unlock_irq(&timer_lock, irq);
    return next;
}

static uint64_t next_deadline(void) {
    uint64_t next = WAIT_FOREVER;
    bool irq = spin_lock_irq(&timer_lock);
    if (!list_empty(&sleepers))
        next = container_of(sleepers.next, struct thread, timer_link)->deadline;
    spin_unlock_irq(&timer_lock, irq);
    uint64_t timers = timers_next();
    return timers < next ? timers : next;
}

/* One interrupt for the earliest of: the end of the slice, a sleeper's deadline, a process's timer. */
static void arm_timer(struct run_queue *queue, uint64_t now) {
    uint64_t next = next_deadline();
    const struct thread *current = thread_current();
    /* The end of a slice that was seen already needs no interrupt: long kernel code would get nothing but those. */
    if (current != this_cpu->idle && !(current->work & WORK_RESCHEDULE) && current->slice_end < next)
        next = current->slice_end;
    if (now + TIME_SLICE_NS < next)
        next = now + TIME_SLICE_NS; /* the tick goes on when idle: deterministic emulation wants one */
    if (queue->tick_at > now && queue->tick_at <= next)
        return;
    queue->tick_at = next;
    apic_timer_arm(next > now ? next - now : 1);
}

void sched_timers_changed(void) {
    bool irq = irq_save();
    arm_timer(own_queue(), time_monotonic());
    irq_restore(irq);
}

void sched_tick(void) {
    struct run_queue *queue = own_queue();
    uint64_t now = time_monotonic();
    timers_expire(now);
    wake_sleepers(now);
    struct thread *current = thread_current();
    if (current != this_cpu->idle && now >= current->slice_end) {
        if (list_empty(&queue->ready))
            current->slice_end = now + TIME_SLICE_NS;
        else
            __atomic_or_fetch(&current->work, WORK_RESCHEDULE, __ATOMIC_RELAXED);
    }
    queue->tick_at = 0;
    arm_timer(queue, now);
}

/* --- Idle --------------------------------------------------------------------------------------------------------- */

void sched_init_cpu(void) {
    struct cpu *cpu = cpu_self();
    struct run_queue *queue = own_queue();
    struct thread *idle = &idle_threads[cpu->index];
    spin_init(&queue->lock, RANK_RUN_QUEUE);
    list_init(&queue->ready);
    idle->process = &kernel_process;
    idle->state = THREAD_RUNNING;
    idle->cpu = cpu->index;
    list_init(&idle->timer_link);
    cpu->idle = cpu->current = idle;
}

/* Time that nobody wants: the scrubber's. It leaves the restricted space that idle has borrowed, and pays for it. */
static void scrub_when_idle(void) {
    if (!frame_any_dirty())
        return;
    irq_enable();
    frame_scrub_dirty(64);
    irq_disable();
}

void sched_idle(void) {
    struct run_queue *queue = own_queue();
    irq_disable();
    arm_timer(queue, time_monotonic());
    for (;;) {
        spin_lock(&queue->lock);
        if (!list_empty(&queue->ready))
            switch_to(take_next(queue));
        else
            spin_unlock(&queue->lock);
        scrub_when_idle();
        if (list_empty(&queue->ready) && !frame_any_dirty())
            cpu_idle_wait();
    }
}
