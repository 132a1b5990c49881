/*
 * The threads that wait for one CPU, by level. Level 0 goes first; within a level first come, first served.
 *
 * The first 99 levels are those of the real-time policies, priority 99 first; then come those of the nice values, then
 * SCHED_IDLE's. Nobody is kept away for ever:
 *  - while real-time threads want the whole CPU, the others get a slice after each REALTIME_TURN_NS: 5% of it, as on
 *    Linux. In that slice not even a real-time thread takes the CPU away.
 *  - among the others, a level at which threads wait while others go before them gets its turn after READY_PATIENCE_NS:
 *    one slice for its first thread, which only real-time threads take away from it.
 */
#ifndef KERNEL_READY_QUEUE_H
#define KERNEL_READY_QUEUE_H

#include <stdbool.h>
#include <stdint.h>

#include "kernel/list.h"

struct thread;

/* Of five nice values each: -20 to -16 is the most urgent of these levels, 15 to 19 the least. */
#define NICE_LEVELS       8U
#define REALTIME_LEVELS   99U
#define READY_LEVELS      (REALTIME_LEVELS + NICE_LEVELS + 1U)
#define LEVEL_OF_IDLERS   (READY_LEVELS - 1U) /* SCHED_IDLE */
#define READY_PATIENCE_NS 500000000UL
#define REALTIME_TURN_NS  190000000UL

#define NICE_MIN (-20)
#define NICE_MAX 19
static inline uint8_t level_of_nice(int nice) { return (uint8_t)(REALTIME_LEVELS + (unsigned)(nice - NICE_MIN) / 5); }
static inline uint8_t level_of_priority(unsigned priority) { return (uint8_t)(REALTIME_LEVELS - priority); }

/* Protected by the run queue's lock. */
struct ready_queue {
    struct list threads[READY_LEVELS];  /* of struct thread.run_link */
    uint64_t levels[2];                 /* a bit for each where somebody waits */
    unsigned count;                     /* of threads; others read it to guess */
    uint64_t waits_since[READY_LEVELS]; /* ns: when a choice first passed the level over; 0: not since its turn */
    uint64_t others_since;              /* the same of all that are not real-time: for one that is */
};

void ready_init(struct ready_queue *queue);
static inline bool ready_empty(const struct ready_queue *queue) { return (queue->levels[0] | queue->levels[1]) == 0; }

/* By thread->level. */
void ready_add(struct ready_queue *queue, struct thread *thread);
void ready_add_first(struct ready_queue *queue, struct thread *thread);
void ready_remove(struct ready_queue *queue, struct thread *thread);

/* Takes out whose turn it is, not empty. *counts_as: the level that others must be above to take the CPU from it. */
struct thread *ready_take(struct ready_queue *queue, unsigned *counts_as);

/* Whether somebody waits who is more urgent than `level`. */
static inline bool ready_above(const struct ready_queue *queue, unsigned level) {
    if (level < 64)
        return queue->levels[0] & ((1UL << level) - 1);
    return queue->levels[0] != 0 || (queue->levels[1] & ((1UL << (level - 64)) - 1));
}

#endif
