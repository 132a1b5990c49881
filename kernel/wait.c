/*
 * Owns: wait queues and sleeping locks.
 * Locks: each queue's own (rank WAIT, interrupts off). The protocol against lost wake-ups: wait_begin() clears the
 * thread's wake_pending before it is on the queue; a wake-up sets it; sched_sleep() looks at it under the run queue's
 * lock.
 * Space: any.
 */
#include "kernel/wait.h"

#include "arch/cpu.h"
#include "arch/paging.h"
#include "kernel/assert.h"
#include "kernel/sched.h"
#include "kernel/signal.h"
#include "kernel/thread.h"
#include "kernel/time.h"

void wait_queue_init(struct wait_queue *queue) {
    spin_init(&queue->lock, RANK_WAIT);
    list_init(&queue->waiters);
}

/* A kernel stack is mapped in its own process only, and at an address that others have stacks at, too. */
static struct wait_node *choose_node(struct waiter *waiter) {
    struct thread *self = thread_current();
    if (table_index((vaddr_t)waiter, 4) != SLOT_STACK)
        return &waiter->own;
    unsigned index = (unsigned)__builtin_ctz(~self->wait_nodes_used);
    ensure(index < WAIT_NODES);
    self->wait_nodes_used |= 1U << index;
    return &self->wait_nodes[index];
}

static void give_node_back(struct waiter *waiter) {
    struct thread *self = thread_current();
    if (waiter->node != &waiter->own)
        self->wait_nodes_used &= ~(1U << (waiter->node - self->wait_nodes));
}

static void begin(struct thread *self) {
    if (self->waiting)
        return;
    self->waiting = true;
    self->wake_pending = false;
    self->timed_out = false;
}

void wait_begin_alone(void) { begin(thread_current()); }
void wait_end_alone(void) { thread_current()->waiting = false; }

void wait_begin(struct wait_queue *queue, struct waiter *waiter) {
    struct thread *self = thread_current();
    waiter->queue = queue;
    waiter->node = choose_node(waiter);
    waiter->node->thread = self;
    bool irq = spin_lock_irq(&queue->lock);
    begin(self);
    list_push_back(&queue->waiters, &waiter->node->link);
    spin_unlock_irq(&queue->lock, irq);
    __atomic_thread_fence(__ATOMIC_SEQ_CST); /* in the queue before the caller reads its condition: see wake_all() */
}

void wait_end(struct waiter *waiter) {
    bool irq = spin_lock_irq(&waiter->queue->lock);
    list_remove(&waiter->node->link);
    spin_unlock_irq(&waiter->queue->lock, irq);
    give_node_back(waiter);
    thread_current()->waiting = false;
}

void wait_watch(struct wait_queue *queue, struct wait_node *node) {
    bool irq = spin_lock_irq(&queue->lock);
    list_push_back(&queue->waiters, &node->link);
    spin_unlock_irq(&queue->lock, irq);
    __atomic_thread_fence(__ATOMIC_SEQ_CST); /* as in wait_begin() */
}

void wait_unwatch(struct wait_queue *queue, struct wait_node *node) {
    bool irq = spin_lock_irq(&queue->lock);
    list_remove(&node->link);
    spin_unlock_irq(&queue->lock, irq);
}

static bool undisturbed(void) { return false; }

static enum status sleep_unless(bool (*disturbed)(void), uint64_t deadline) {
    struct thread *self = thread_current();
    if (disturbed())
        return ERR_RESTART;
    if (deadline != WAIT_FOREVER) {
        if (deadline <= time_monotonic())
            return ERR_TIMED_OUT;
        self->timed_out = false;
        sched_sleep_until(self, deadline);
    }
    sched_sleep(disturbed != undisturbed);
    if (deadline != WAIT_FOREVER)
        sched_cancel_sleep(self);
    self->wake_pending = false;              /* a wake-up from here on ends the next sleep at once */
    __atomic_thread_fence(__ATOMIC_SEQ_CST); /* … and one before is seen in the caller's condition */
    if (self->timed_out)
        return ERR_TIMED_OUT;
    return disturbed() ? ERR_RESTART : OK;
}

enum status wait_sleep(uint64_t deadline) { return sleep_unless(signal_pending, deadline); }
enum status wait_sleep_killable(uint64_t deadline) { return sleep_unless(signal_fatal, deadline); }
enum status wait_sleep_until_killed(void) { return sleep_unless(signal_killed, WAIT_FOREVER); }
enum status wait_sleep_unkillable(uint64_t deadline) { return sleep_unless(undisturbed, deadline); }

void wait_sleep_uninterruptible(void) {
    sched_sleep(false);
    thread_current()->wake_pending = false;
}

unsigned wake_some(struct wait_queue *queue, unsigned count) {
    unsigned woken = 0;
    bool irq = spin_lock_irq(&queue->lock);
    list_for_each(link, &queue->waiters) {
        struct wait_node *node = container_of(link, struct wait_node, link);
        if (node->notify != NULL) {
            node->notify(node);
        } else if (woken < count) {
            sched_wake(node->thread);
            woken++;
        }
    }
    spin_unlock_irq(&queue->lock, irq);
    return woken;
}

unsigned wake_all(struct wait_queue *queue) {
    /* An unlocked look is enough: whoever begins to wait after it looks at the condition after that. */
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    return list_empty(&queue->waiters) ? 0 : wake_some(queue, UINT32_MAX);
}

void mutex_init(struct mutex *mutex) {
    wait_queue_init(&mutex->queue);
    mutex->owner = NULL;
}

static bool mutex_try(struct mutex *mutex) {
    struct thread *nobody = NULL;
    return __atomic_compare_exchange_n(&mutex->owner, &nobody, thread_current(), false, __ATOMIC_ACQUIRE,
                                       __ATOMIC_RELAXED);
}

/* A wait inside another one may have used up a wake-up that was meant for that: it gets one more. */
static void sleep_for_mutex(struct mutex *mutex) {
    struct thread *self = thread_current();
    const bool inside = self->waiting;
    struct waiter waiter;
    wait_begin(&mutex->queue, &waiter);
    if (mutex->owner != NULL)
        wait_sleep_uninterruptible();
    wait_end(&waiter);
    self->waiting = inside;
    if (inside)
        self->wake_pending = true;
}

void mutex_lock(struct mutex *mutex) {
    assert(this_cpu->locks_held == 0);
    assert(mutex->owner != thread_current());
    while (!mutex_try(mutex))
        sleep_for_mutex(mutex);
}

void mutex_unlock(struct mutex *mutex) {
    assert(mutex_held(mutex));
    __atomic_store_n(&mutex->owner, NULL, __ATOMIC_RELEASE);
    wake_all(&mutex->queue);
}

bool mutex_held(const struct mutex *mutex) { return mutex->owner == thread_current(); }
