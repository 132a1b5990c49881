/*
 * Owns: run queues, the choice of the next thread and of its CPU, the switch to it, sleepers' deadlines.
 *
 * Invariants: a switch between threads of one process, to idle and back writes no CR3 and flushes nothing; one between
 * processes writes CR3 once and pays what asi_switch_flags() says. FLUSH-CONTROL, FLUSH-DATA.
 * Locks: a CPU's queue lock (rank RUN_QUEUE, interrupts off) for the states and queue links of the threads whose `cpu`
 * it is; that field changes under the lock of the queue that it names. A CPU holds its own queue's lock from the choice
 * of the next thread until it is off the old one's stack, so whoever takes a thread from a queue finds it off its CPU.
 * No two queue locks are held at once. timer_lock (rank TIMER) for the sleepers of all CPUs.
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
#include "kernel/alarm.h"
#include "kernel/assert.h"
#include "kernel/cpu_timer.h"
#include "kernel/limits.h"
#include "kernel/load.h"
#include "kernel/process.h"
#include "kernel/ready_queue.h"
#include "kernel/reap.h"
#include "kernel/sched_abi.h"
#include "kernel/stop.h"
#include "kernel/thread.h"
#include "kernel/time.h"
#include "kernel/timer.h"
#include "mm/boot.h"
#include "mm/ephmap.h"
#include "mm/pager.h"
#include "mm/tags.h"
#include "mm/tlb.h"

struct run_queue {
    struct spinlock lock;
    struct ready_queue ready; /* protected by lock */
    unsigned running_level;   /* what the running thread counts as: who is more urgent preempts it. Likewise */
    struct thread *successor; /* to have the rest of the running thread's slice, if it runs next; or NULL. Likewise */
    uint64_t tick_at;         /* when the armed timer interrupt comes, ns. Owner CPU, interrupts off */
    struct list sleepers;     /* by deadline: those that went to sleep on this CPU. Protected by timer_lock */
} __attribute__((aligned(64)));

static struct run_queue queues[CPU_MAX];
static struct thread idle_threads[CPU_MAX];
static struct spinlock timer_lock = SPINLOCK_INIT(RANK_TIMER);
static uint64_t idle_cpus; /* a bit for each that has found nothing to do. Atomic */

/* The CPU whose timer serves the interval timers of all processes. */
#define TIMER_CPU 0

static struct run_queue *own_queue(void) { return &queues[this_cpu->index]; }
static uint64_t bit_of(unsigned cpu) { return 1UL << cpu; }

/* --- Choosing ----------------------------------------------------------------------------------------------------- */

/* A level that no thread has: idle's, which everybody is more urgent than. */
enum { LEVEL_IDLE = READY_LEVELS };

static struct thread *take_next(struct run_queue *queue) {
    if (ready_empty(&queue->ready)) {
        queue->running_level = LEVEL_IDLE;
        return this_cpu->idle;
    }
    return ready_take(&queue->ready, &queue->running_level);
}

/* The running thread of the CPU gives way, on its way back to user code, if somebody more urgent waits. Lock held. */
static void preempt_if_urgent(struct run_queue *queue) {
    const unsigned cpu = (unsigned)(queue - queues);
    if (queue->running_level == LEVEL_IDLE || !ready_above(&queue->ready, queue->running_level))
        return;
    __atomic_or_fetch(&cpus[cpu].current->work, WORK_RESCHEDULE, __ATOMIC_RELAXED);
    if (cpu != this_cpu->index)
        apic_send(cpu, VECTOR_RESCHEDULE);
}

static void make_ready(struct run_queue *queue, struct thread *thread) {
    thread->state = THREAD_RUNNABLE;
    ready_add(&queue->ready, thread);
    preempt_if_urgent(queue);
}

/* --- Choosing a CPU ----------------------------------------------------------------------------------------------- */

static unsigned shortest_queue(uint64_t allowed) {
    unsigned best = (unsigned)__builtin_ctzl(allowed);
    for (; allowed != 0; allowed &= allowed - 1) {
        unsigned cpu = (unsigned)__builtin_ctzl(allowed);
        if (queues[cpu].ready.count < queues[best].ready.count)
            best = cpu;
    }
    return best;
}

/* A vfork child runs in its parent's user half, where its parent waits for it: elsewhere each page is an interrupt. */
static bool stays(const struct thread *thread) { return thread->process->vfork_parent != NULL; }

/* Of the allowed CPUs the one whose running thread is least urgent, as far as can be seen without their locks. */
static unsigned least_urgent_cpu(uint64_t allowed, unsigned best) {
    for (; allowed != 0; allowed &= allowed - 1) {
        unsigned cpu = (unsigned)__builtin_ctzl(allowed);
        if (queues[cpu].running_level > queues[best].running_level)
            best = cpu;
    }
    return best;
}

/*
 * Where a thread that becomes runnable goes: back to its CPU if that is idle or nobody else is. A real-time one does
 * not wait behind one that is as urgent while another CPU does something less so.
 */
static unsigned choose_cpu(const struct thread *thread) {
    if (cpu_count == 1)
        return 0;
    const uint64_t allowed = thread->affinity & cpus_running();
    const uint64_t idle = __atomic_load_n(&idle_cpus, __ATOMIC_RELAXED) & allowed;
    if (!(allowed & bit_of(thread->cpu)))
        return idle != 0 ? (unsigned)__builtin_ctzl(idle) : shortest_queue(allowed);
    if ((idle & bit_of(thread->cpu)) || stays(thread))
        return thread->cpu;
    if (idle == 0)
        return thread->level < REALTIME_LEVELS && queues[thread->cpu].running_level <= thread->level
                   ? least_urgent_cpu(allowed, thread->cpu)
                   : thread->cpu;
    return (unsigned)__builtin_ctzl(idle);
}

/* CPUs that may take a thread from the queue that it is in. Its queue's lock is held. */
static uint64_t takers_of(const struct thread *thread) { return stays(thread) ? 0 : thread->affinity; }

/*
 * A thread was put into the queue of `cpu`: an idle CPU is told to look. If that one is busy, one of `takers` that has
 * become idle meanwhile takes the thread. (Which may have run and be gone by now.)
 */
static void kick_idle(uint64_t takers, unsigned cpu) {
    if (cpu_count == 1)
        return;
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    uint64_t idle = __atomic_load_n(&idle_cpus, __ATOMIC_RELAXED);
    idle = idle & bit_of(cpu) ? bit_of(cpu) : idle & takers;
    if (idle != 0 && !(idle & bit_of(this_cpu->index)))
        apic_send((unsigned)__builtin_ctzl(idle), VECTOR_RESCHEDULE);
}

/* The queue of a thread, locked; interrupts are off. */
static struct run_queue *lock_queue_of(const struct thread *thread) {
    for (;;) {
        uint32_t cpu = __atomic_load_n(&thread->cpu, __ATOMIC_ACQUIRE);
        spin_lock(&queues[cpu].lock);
        if (__atomic_load_n(&thread->cpu, __ATOMIC_RELAXED) == cpu)
            return &queues[cpu];
        spin_unlock(&queues[cpu].lock);
    }
}

/* A thread whose `cpu` is set to this one already, and which is in no queue. No queue lock held. */
static void put_into_queue(struct thread *thread, unsigned cpu) {
    spin_lock(&queues[cpu].lock);
    make_ready(&queues[cpu], thread);
    const uint64_t takers = takers_of(thread);
    spin_unlock(&queues[cpu].lock);
    kick_idle(takers, cpu);
}

/* `queue` is locked and the thread's, which is off its stack and in no queue; the lock is given up. */
static void make_ready_somewhere(struct run_queue *queue, struct thread *thread) {
    unsigned cpu = choose_cpu(thread);
    if (&queues[cpu] == queue) {
        make_ready(queue, thread);
        const uint64_t takers = takers_of(thread);
        spin_unlock(&queue->lock);
        kick_idle(takers, cpu);
        return;
    }
    thread->state = THREAD_RUNNABLE;
    __atomic_store_n(&thread->cpu, cpu, __ATOMIC_RELEASE);
    spin_unlock(&queue->lock);
    put_into_queue(thread, cpu);
}

/* --- Switching ---------------------------------------------------------------------------------------------------- */

static void arm_timer(struct run_queue *queue, uint64_t now);

/* Idle borrows the loaded space, unless that is about to be taken down: then it needs the kernel's. */
static struct process *space_for(const struct thread *next, const struct thread *previous) {
    if (next != this_cpu->idle)
        return next->process;
    bool dying = previous->state == THREAD_DEAD && previous->process->dying;
    return dying ? &kernel_process : this_cpu->loaded;
}

/* Whether the switch changes roots, and what it pays. */
static bool changes_root(const struct thread *next, const struct process *space, enum space *wanted, uint32_t *flags) {
    *flags = 0;
    if (next == this_cpu->idle && space == this_cpu->loaded)
        return false;
    *wanted = next == this_cpu->idle ? asi_home_space() : (enum space)next->space;
    if (space == this_cpu->loaded && *wanted == this_cpu->space)
        return false;
    *flags =
        asi_switch_flags(this_cpu->loaded, space, *wanted) | (*wanted == SPACE_UNRESTRICTED ? CROSS_UNRESTRICTED : 0);
    return true;
}

static void count_switch(const struct thread *previous, const struct thread *next, bool changes_space) {
    struct cpu_counters *counters = &this_cpu->self->counters;
    const struct thread *idle = this_cpu->idle;
    if (next == idle || (previous == idle && !changes_space))
        counters->idle_switches++;
    else if (!changes_space)
        counters->thread_switches++;
    else {
        counters->process_switches++;
        counter_add(&next->process->counters.process_switches, 1);
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
    if (next->local == NULL || (this_cpu->fpu_owner == next && next->fpu_cpu == this_cpu->index))
        return;
    fpu_restore(next->local->fpu);
    user_fs_set(next->local->fs_base);
    user_gs_set(next->local->gs_base);
    this_cpu->fpu_owner = next;
    next->fpu_cpu = this_cpu->index;
}

/* First thing on the new stack: what could not be done before the old one was left. */
static void finish_switch(void) {
    struct cpu *cpu = cpu_self();
    struct thread *gone = cpu->dead_thread, *moving = cpu->moving;
    unsigned target = 0;
    cpu->dead_thread = cpu->moving = NULL;
    if (cpu->left != NULL)
        tlb_left(cpu->left);
    cpu->left = NULL;
    restore_user_registers(cpu->current);
    stop_mark_thread(cpu->current);
    if (moving != NULL) {
        target = choose_cpu(moving);
        __atomic_store_n(&moving->cpu, target, __ATOMIC_RELEASE);
    }
    spin_unlock(&own_queue()->lock);
    const uint64_t now = cpu->current->started_at;
    const uint64_t longest = cpu->current->process->cpu_timer_count != 0 ? CPU_TIMER_TICK_NS : TIME_SLICE_NS;
    if (cpu->current != cpu->idle && own_queue()->tick_at - now > longest) /* none armed, past, or too late */
        arm_timer(own_queue(), now);
    if (moving != NULL)
        put_into_queue(moving, target);
    if (gone != NULL)
        reap_thread(gone);
}

/* How long a thread that gets the CPU may have it: what is left of a slice that was interrupted, or a whole one. */
static uint64_t take_slice(struct thread *thread) {
    const uint64_t left = thread->slice_left;
    thread->slice_left = 0;
    return left != 0 ? left : TIME_SLICE_NS;
}

/*
 * Queue lock held, interrupts off. Returns on the new thread's stack, for a thread that was here before. `message`: the
 * caller's frame, the words of which go into that of `next`; or NULL.
 */
static void switch_with(struct thread *next, const struct trap_frame *message) {
    struct cpu *cpu = cpu_self();
    struct thread *previous = cpu->current;
    uint32_t flags;
    struct process *space = space_for(next, previous);
    uint64_t root = 0;
    enum space wanted;
    const bool loads = changes_root(next, space, &wanted, &flags);

    assert(cpu->views_held == 0);
    count_switch(previous, next, space != cpu->loaded);
    save_user_registers(previous);
    uint64_t now = time_monotonic();
    previous->cpu_time += now - previous->started_at;
    if (previous->state == THREAD_SLEEPING)
        previous->slept_at_cpu_time = previous->cpu_time;
    next->started_at = now;
    next->slice_end = next == own_queue()->successor ? previous->slice_end : now + take_slice(next);
    own_queue()->successor = NULL;
    next->state = THREAD_RUNNING;
    previous->space = cpu->space;
    if (!loads && next == cpu->idle && cpu_count > 1)
        ephmap_flush(); /* idle may have to give the space back, and cannot ask others to flush then */
    if (loads) {
        if (tags_in_use || tlb_is_shared(cpu->loaded))
            ephmap_flush(); /* the CR3 write flushes this CPU only, or nothing */
        asi_count_switch(space, flags);
        if (space != cpu->loaded) {
            tlb_enter(space);
            cpu->left = cpu->loaded;
            cpu->loaded = space;
        }
        cpu->scratch_pending = 0; /* flushed by the CR3 write */
        root = tags_root(space, wanted);
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
    context_switch(previous, next, root, flags | (message != NULL ? CROSS_MESSAGE : 0), message);
    asi_mark_frame(this_cpu->switch_flags & CROSS_CONTROL_FLUSH); /* `flags` are those of the switch away from here */
    finish_switch();
}

static void switch_to(struct thread *next) { switch_with(next, NULL); }

void sched_first_run(void) { finish_switch(); }

void sched_sleep(bool interruptible) {
    bool irq = irq_save();
    struct run_queue *queue = own_queue();
    struct thread *self = thread_current();
    spin_lock(&queue->lock);
    if (self->wake_pending) { /* since wait_begin */
        spin_unlock(&queue->lock);
    } else {
        self->interruptible = interruptible;
        self->state = THREAD_SLEEPING;
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

/* The caller is in the queue, or was and is `next` itself. Queue lock held; gives it up. */
static void give_cpu_to(struct run_queue *queue, struct thread *next) {
    if (next != thread_current()) {
        switch_to(next);
        return;
    }
    next->state = THREAD_RUNNING;
    next->slice_end = time_monotonic() + take_slice(next);
    spin_unlock(&queue->lock);
}

/*
 * Who is taken the CPU away goes on first of its level, unless it shares that and has had its slice: then with the rest
 * of it, or one that is often preempted would keep its equals from the CPU for ever.
 */
static bool keeps_turn(struct thread *self) {
    if (self->level >= REALTIME_LEVELS)
        return false;
    const uint64_t now = time_monotonic();
    if (self->policy == SCHED_RR && now >= self->slice_end)
        return false;
    self->slice_left = now < self->slice_end ? self->slice_end - now : 0;
    return true;
}

static void give_way(bool taken_away) {
    bool irq = irq_save();
    struct run_queue *queue = own_queue();
    struct thread *self = thread_current();
    spin_lock(&queue->lock);
    const bool must_move = !(self->affinity & bit_of(this_cpu->index));
    if (must_move) {
        self->state = THREAD_RUNNABLE;
        this_cpu->moving = self;
        switch_to(take_next(queue));
    } else if (ready_empty(&queue->ready)) {
        self->slice_end = time_monotonic() + TIME_SLICE_NS;
        spin_unlock(&queue->lock);
    } else {
        self->state = THREAD_RUNNABLE;
        if (taken_away && keeps_turn(self))
            ready_add_first(&queue->ready, self);
        else
            ready_add(&queue->ready, self);
        give_cpu_to(queue, take_next(queue));
    }
    irq_restore(irq);
}

void sched_yield(void) { give_way(false); }
void sched_preempt(void) { give_way(true); }

/* --- Waking ------------------------------------------------------------------------------------------------------- */

/* The CPU that runs the thread looks at its work flags on its way out of the interrupt. Queue lock held. */
static void kick_runner(const struct thread *thread) {
    if (thread->cpu != this_cpu->index && thread == cpus[thread->cpu].current)
        apic_send(thread->cpu, VECTOR_RESCHEDULE);
}

static void wake_if(struct thread *thread, bool only_interruptible) {
    bool irq = irq_save();
    struct run_queue *queue = lock_queue_of(thread);
    if (thread->state == THREAD_SLEEPING && (!only_interruptible || thread->interruptible)) {
        thread->wake_pending = true;
        make_ready_somewhere(queue, thread);
    } else if (thread->state == THREAD_NEW && !only_interruptible) { /* a signal waits until its maker starts it */
        make_ready_somewhere(queue, thread);
    } else {
        thread->wake_pending = true;
        if (only_interruptible)
            kick_runner(thread);
        spin_unlock(&queue->lock);
    }
    irq_restore(irq);
}

void sched_wake(struct thread *thread) { wake_if(thread, false); }
void sched_interrupt(struct thread *thread) { wake_if(thread, true); }

void sched_kick(struct thread *thread) {
    bool irq = irq_save();
    struct run_queue *queue = lock_queue_of(thread);
    kick_runner(thread);
    spin_unlock_irq(&queue->lock, irq);
}

/* A thread that is to sleep here again, or that nobody waits behind, is worth more than an idle CPU elsewhere. */
void sched_wake_successor(struct thread *thread) {
    bool irq = irq_save();
    struct run_queue *queue = lock_queue_of(thread);
    if (queue != own_queue() || thread->state != THREAD_SLEEPING || !(thread->affinity & bit_of(thread->cpu))) {
        spin_unlock(&queue->lock);
        sched_wake(thread);
    } else {
        thread->wake_pending = true;
        thread->state = THREAD_RUNNABLE;
        ready_add_first(&queue->ready, thread);
        queue->successor = thread;
        preempt_if_urgent(queue);
        spin_unlock(&queue->lock);
    }
    irq_restore(irq);
}

void sched_set_level(struct thread *thread, unsigned level) {
    bool irq = irq_save();
    struct run_queue *queue = lock_queue_of(thread);
    const bool waits = thread->state == THREAD_RUNNABLE && !list_empty(&thread->run_link);
    if (waits)
        ready_remove(&queue->ready, thread);
    thread->level = (uint8_t)level;
    if (waits)
        ready_add(&queue->ready, thread);
    else if (thread == cpus[thread->cpu].current)
        queue->running_level = level;
    preempt_if_urgent(queue);
    spin_unlock(&queue->lock);
    irq_restore(irq);
}

/* --- From one thread to its partner ------------------------------------------------------------------------------- */

bool sched_claim(const struct thread *partner, unsigned level) {
    struct run_queue *queue = own_queue();
    const struct thread *self = thread_current();
    if (partner->cpu != this_cpu->index)
        return false;
    spin_lock(&queue->lock);
    /* `work` is looked at behind the lock, as in sched_interrupt() the flag is set before it. */
    if (partner->cpu == this_cpu->index && partner->state == THREAD_SLEEPING && !self->wake_pending &&
        self->work == 0 && (partner->affinity & self->affinity & bit_of(this_cpu->index)) &&
        !ready_above(&queue->ready, level))
        return true;
    spin_unlock(&queue->lock);
    return false;
}

void sched_switch_to_claimed(struct thread *partner, const struct trap_frame *message) {
    struct run_queue *queue = own_queue();
    struct thread *self = thread_current();
    self->interruptible = true;
    self->state = THREAD_SLEEPING;
    queue->successor = partner;
    queue->running_level = partner->level;
    switch_with(partner, message);
}

/* --- Affinity and balance ----------------------------------------------------------------------------------------- */

void sched_set_affinity(struct thread *thread, uint64_t allowed) {
    bool irq = irq_save();
    struct run_queue *queue = lock_queue_of(thread);
    thread->affinity = allowed;
    const bool may_stay = allowed & bit_of(thread->cpu);
    if (!may_stay && thread->state == THREAD_RUNNABLE && !list_empty(&thread->run_link)) {
        ready_remove(&queue->ready, thread);
        make_ready_somewhere(queue, thread);
    } else {
        if (!may_stay && thread == cpus[thread->cpu].current) {
            __atomic_or_fetch(&thread->work, WORK_RESCHEDULE, __ATOMIC_RELAXED);
            kick_runner(thread);
        }
        spin_unlock(&queue->lock);
    }
    irq_restore(irq);
}

/* The first that may run on this CPU, or NULL. */
static struct thread *find_movable(const struct ready_queue *ready) {
    for (unsigned word = 0; word < 2; word++) {
        for (uint64_t levels = ready->levels[word]; levels != 0; levels &= levels - 1) {
            list_for_each(link, &ready->threads[word * 64 + (unsigned)__builtin_ctzl(levels)]) {
                struct thread *thread = container_of(link, struct thread, run_link);
                if ((thread->affinity & bit_of(this_cpu->index)) && !stays(thread))
                    return thread;
            }
        }
    }
    return NULL;
}

/* Takes a thread that waits on another CPU, the longest queue first, if it has at least `least` waiting. */
static bool pull_thread(unsigned least) {
    const unsigned self = this_cpu->index;
    unsigned victim = self, longest = least - 1;
    for (unsigned cpu = 0; cpu < cpu_count; cpu++) {
        if (cpu != self && queues[cpu].ready.count > longest) {
            victim = cpu;
            longest = queues[cpu].ready.count;
        }
    }
    if (victim == self)
        return false;
    spin_lock(&queues[victim].lock);
    struct thread *found = find_movable(&queues[victim].ready);
    if (found != NULL) {
        ready_remove(&queues[victim].ready, found);
        __atomic_store_n(&found->cpu, self, __ATOMIC_RELEASE);
    }
    spin_unlock(&queues[victim].lock);
    if (found != NULL)
        put_into_queue(found, self);
    return found != NULL;
}

/* --- Time --------------------------------------------------------------------------------------------------------- */

void sched_sleep_until(struct thread *thread, uint64_t deadline) {
    bool irq = spin_lock_irq(&timer_lock);
    struct list *sleepers = &own_queue()->sleepers, *place = sleepers->previous;
    while (place != sleepers && container_of(place, struct thread, timer_link)->deadline > deadline)
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

static void wake_sleepers(struct list *sleepers, uint64_t now) {
    bool irq = spin_lock_irq(&timer_lock);
    while (!list_empty(sleepers)) {
        struct thread *thread = container_of(sleepers->next, struct thread, timer_link);
        if (thread->deadline > now)
            break;
        list_remove(&thread->timer_link);
        thread->timed_out = true;
        sched_wake(thread);
        __atomic_or_fetch(&thread_current()->work, WORK_RESCHEDULE, __ATOMIC_RELAXED); /* it was promised this time */
    }
    spin_unlock_irq(&timer_lock, irq);
}

static uint64_t next_deadline(const struct list *sleepers) {
    uint64_t next = WAIT_FOREVER;
    bool irq = spin_lock_irq(&timer_lock);
    if (!list_empty(sleepers))
        next = container_of(sleepers->next, struct thread, timer_link)->deadline;
    spin_unlock_irq(&timer_lock, irq);
    if (this_cpu->index != TIMER_CPU)
        return next;
    uint64_t timers = timers_next(), alarms = alarms_next();
    next = timers < next ? timers : next;
    return alarms < next ? alarms : next;
}

/* One interrupt for the earliest of: the end of the slice, a sleeper's deadline, a process's timer. None when idle. */
static void arm_timer(struct run_queue *queue, uint64_t now) {
    uint64_t next = next_deadline(&queue->sleepers);
    const struct thread *current = thread_current();
    if (current != this_cpu->idle) {
        if (current->process->cpu_timer_count != 0 && now + CPU_TIMER_TICK_NS < next)
            next = now + CPU_TIMER_TICK_NS;
        /* The end of a slice that was seen already needs no interrupt: long kernel code would get nothing but those. */
        if (!(current->work & WORK_RESCHEDULE) && current->slice_end < next)
            next = current->slice_end;
        if (now + TIME_SLICE_NS < next)
            next = now + TIME_SLICE_NS;
    }
    if (queue->tick_at > now && queue->tick_at <= next)
        return;
    queue->tick_at = next;
    if (next == WAIT_FOREVER)
        apic_timer_arm(0);
    else
        apic_timer_arm(next > now ? next - now : 1);
}

void sched_timers_changed(void) {
    bool irq = irq_save();
    if (this_cpu->index == TIMER_CPU)
        arm_timer(own_queue(), time_monotonic());
    else
        apic_send(TIMER_CPU, VECTOR_RESCHEDULE);
    irq_restore(irq);
}

/* Who runs or waits for a CPU, as far as can be seen without the queues' locks. */
static unsigned runnable_threads(void) {
    unsigned count = 0;
    for (unsigned cpu = 0; cpu < cpu_count; cpu++)
        count += queues[cpu].ready.count + (queues[cpu].running_level != LEVEL_IDLE);
    return count;
}

/* What is asked for is in the queue, in the work flags of the running thread, or a timer. */
void sched_rescheduled(void) { arm_timer(own_queue(), time_monotonic()); }

void sched_tick(void) {
    struct run_queue *queue = own_queue();
    uint64_t now = time_monotonic();
    queue->tick_at = 0;
    if (load_is_due(now))
        load_sample(now, runnable_threads());
    pageout_check();
    if (this_cpu->index == TIMER_CPU) {
        timers_expire(now);
        alarms_expire(now);
    }
    wake_sleepers(&queue->sleepers, now);
    struct thread *current = thread_current();
    limits_check_cpu(current->process);
    limits_check_realtime(current);
    cpu_timers_tick();
    if (current != this_cpu->idle && now >= current->slice_end) {
        pull_thread(queue->ready.count + 2);
        if (ready_empty(&queue->ready))
            current->slice_end = now + TIME_SLICE_NS;
        else
            __atomic_or_fetch(&current->work, WORK_RESCHEDULE, __ATOMIC_RELAXED);
    }
    arm_timer(queue, now);
}

/* --- Idle --------------------------------------------------------------------------------------------------------- */

void sched_init_cpu(void) {
    struct cpu *cpu = cpu_self();
    struct run_queue *queue = own_queue();
    struct thread *idle = &idle_threads[cpu->index];
    spin_init(&queue->lock, RANK_RUN_QUEUE);
    ready_init(&queue->ready);
    queue->running_level = LEVEL_IDLE;
    list_init(&queue->sleepers);
    idle->process = &kernel_process;
    idle->affinity = bit_of(cpu->index);
    idle->state = THREAD_RUNNING;
    idle->level = idle->own_level = level_of_nice(0); /* the first threads inherit it */
    idle->cpu = cpu->index;
    list_init(&idle->timer_link);
    cpu->idle = cpu->current = idle;
}

/* Time that nobody wants: the scrubber's. It leaves the restricted space that idle has borrowed, and pays for it. */
static void scrub_when_idle(void) {
    if (!frame_any_dirty())
        return;
    cpu_forget_registers();
    irq_enable();
    frame_scrub_dirty(64);
    irq_disable();
}

void sched_idle(void) {
    struct run_queue *queue = own_queue();
    const uint64_t self = bit_of(this_cpu->index);
    irq_disable();
    for (;;) {
        spin_lock(&queue->lock);
        if (!ready_empty(&queue->ready)) {
            __atomic_and_fetch(&idle_cpus, ~self, __ATOMIC_RELAXED);
            switch_to(take_next(queue));
            continue; /* idle again: say so before looking for the last time */
        }
        __atomic_or_fetch(&idle_cpus, self, __ATOMIC_SEQ_CST);
        spin_unlock(&queue->lock);
        stop_here_if_asked();
        if (pull_thread(1))
            continue;
        scrub_when_idle();
        if (!ready_empty(&queue->ready) || frame_any_dirty())
            continue;
        arm_timer(queue, time_monotonic());
        cpu_idle_wait();
    }
}
