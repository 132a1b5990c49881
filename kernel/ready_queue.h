/*
 * The threads that wait for one CPU, by level. Level 0 goes first; within a level first come, first served.
 *
 * A level that threads wait at while others go before them gets its turn after READY_PATIENCE_NS: one slice for its
 * first thread, which nobody takes away from it. So the least urgent one gets some 2% of a CPU that others want whole.
 */
#ifndef KERNEL_READY_QUEUE_H
#define KERNEL_READY_QUEUE_H

#include <stdbool.h>
#include <stdint.h>

#include "kernel/list.h"

struct thread;

/* Of five nice values each: -20 to -16 is level 0, 15 to 19 is level 7. */
#define READY_LEVELS      8U
#define READY_PATIENCE_NS 500000000UL

#define NICE_MIN (-20)
#define NICE_MAX 19
static inline uint8_t level_of_nice(int nice) { return (uint8_t)((nice - NICE_MIN) / 5); }

/* Protected by the run queue's lock. */
struct ready_queue {
    struct list threads[READY_LEVELS];  /* of struct thread.run_link */
    uint32_t levels;                    /* a bit for each where somebody waits */
    unsigned count;                     /* of threads; others read it to guess */
    uint64_t waits_since[READY_LEVELS]; /* ns: when a choice first passed the level over; 0: not since its turn */
};

void ready_init(struct ready_queue *queue);
static inline bool ready_empty(const struct ready_queue *queue) { return queue->levels == 0; }

/* By thread->level. */
void ready_add(struct ready_queue *queue, struct thread *thread);
void ready_add_first(struct ready_queue *queue, struct thread *thread);
void ready_remove(struct ready_queue *queue, struct thread *thread);

/* Takes out whose turn it is, not empty. *patient: it had waited long enough, although others are more urgent. */
struct thread *ready_take(struct ready_queue *queue, bool *patient);

/* Whether somebody waits who is more urgent than `level`. */
static inline bool ready_above(const struct ready_queue *queue, unsigned level) {
    return queue->levels & ((1U << level) - 1);
}

#endif
