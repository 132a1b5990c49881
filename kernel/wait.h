/*
 * Wait queues: a thread sleeps until another wakes the queue, a signal arrives or a time passes.
 *
 *     struct waiter waiter;
 *     wait_begin(&queue, &waiter);            // from here a wake-up is not lost
 *     if (!condition)
 *         status = wait_sleep(deadline);      // OK: woken (check again), ERR_RESTART: signal, ERR_TIMED_OUT
 *     wait_end(&queue, &waiter);
 *
 * A thread may be on several queues at once (poll). Spinlocks may be held at wait_begin/end but not at wait_sleep.
 */
#ifndef KERNEL_WAIT_H
#define KERNEL_WAIT_H

#include "arch/spinlock.h"
#include "kernel/list.h"
#include "kernel/status.h"

struct thread;

struct wait_queue {
    struct spinlock lock; /* rank WAIT; interrupts off: interrupt handlers wake */
    struct list waiters;  /* of struct waiter. Protected by lock */
};

#define WAIT_QUEUE_INIT(queue_)                                                                                        \
    {                                                                                                                  \
        .lock = SPINLOCK_INIT(RANK_WAIT), .waiters = { &(queue_).waiters, &(queue_).waiters }                          \
    }

/* What is linked into the queue, class GLOBAL: whoever wakes the queue does it in another process's space. */
struct wait_node {
    struct list link; /* Protected by the queue's lock */
    struct thread *thread;
    void (*notify)(struct wait_node *node); /* called instead of waking a thread, with the queue's lock held; or NULL */
};

/* On the caller's stack, where the node is one of the thread's own; or in GLOBAL memory, where it brings its node
 * along. */
struct waiter {
    struct wait_node own;
    struct wait_node *node;
    struct wait_queue *queue;
};

/* How many waiters on its stack a thread may have begun at once: kernel/poll.c's, and one of a mutex. */
#define WAIT_NODES 10

#define WAIT_FOREVER UINT64_MAX

void wait_queue_init(struct wait_queue *queue);
void wait_begin(struct wait_queue *queue, struct waiter *waiter);
void wait_end(struct waiter *waiter);

/* Has `node`, which lies in GLOBAL memory and has its `notify`, told of each wake-up; until wait_unwatch(). */
void wait_watch(struct wait_queue *queue, struct wait_node *node);
void wait_unwatch(struct wait_queue *queue, struct wait_node *node);

/* `deadline`: nanoseconds of time_monotonic(), or WAIT_FOREVER. Sleeps at most until one wake-up after the first
 * wait_begin. */
MUST_USE enum status wait_sleep(uint64_t deadline);
/* The same, deaf to signals other than none at all: for short waits inside the kernel. */
void wait_sleep_uninterruptible(void);

/* For one who is in no queue, since its wakers know it: calls sched_wake(). Whatever says so is guarded by a lock. */
void wait_begin_alone(void);
void wait_end_alone(void);

/* wait_sleep() that only a signal which kills ends early, and one that none does: for waits that others keep short. */
MUST_USE enum status wait_sleep_killable(uint64_t deadline);
MUST_USE enum status wait_sleep_unkillable(uint64_t deadline);
/* Until the thread is woken, or is to die: for a stopped one, which pending signals do not concern. */
MUST_USE enum status wait_sleep_until_killed(void);

/* Wakes all, or the first `count` threads; returns how many. Who watches is always told. Any context. */
unsigned wake_all(struct wait_queue *queue);
unsigned wake_some(struct wait_queue *queue, unsigned count);

/*
 * Sleeping lock, for what is held across page faults or waits. Not in interrupt handlers; no spinlock held when taking
 * it. Between wait_begin() and wait_sleep(): then the latter may end at once, as after any wake-up.
 */
struct mutex {
    struct wait_queue queue;
    struct thread *owner; /* NULL: free. Protected by queue.lock (read of own is safe) */
};
void mutex_init(struct mutex *mutex);
void mutex_lock(struct mutex *mutex);
void mutex_unlock(struct mutex *mutex);
bool mutex_held(const struct mutex *mutex); /* by the calling thread */

#endif
