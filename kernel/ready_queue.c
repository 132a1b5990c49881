/*
 * Owns: the order in which ready threads get a CPU.
 * Locks: the run queue's, held by the callers. Space: any.
 */
#include "kernel/ready_queue.h"

#include "kernel/thread.h"
#include "kernel/time.h"

void ready_init(struct ready_queue *queue) {
    for (unsigned level = 0; level < READY_LEVELS; level++)
        list_init(&queue->threads[level]);
}

static void mark(struct ready_queue *queue, unsigned level) { queue->levels[level / 64] |= 1UL << level % 64; }

void ready_add(struct ready_queue *queue, struct thread *thread) {
    list_push_back(&queue->threads[thread->level], &thread->run_link);
    mark(queue, thread->level);
    queue->count++;
}

void ready_add_first(struct ready_queue *queue, struct thread *thread) {
    list_push_front(&queue->threads[thread->level], &thread->run_link);
    mark(queue, thread->level);
    queue->count++;
}

void ready_remove(struct ready_queue *queue, struct thread *thread) {
    list_remove(&thread->run_link);
    queue->count--;
    if (!list_empty(&queue->threads[thread->level]))
        return;
    queue->levels[thread->level / 64] &= ~(1UL << thread->level % 64);
    queue->waits_since[thread->level] = 0;
}

/* Of the levels that are not real-time, the bits in levels[1]. */
#define OTHERS (~0UL << (REALTIME_LEVELS - 64))
_Static_assert(REALTIME_LEVELS > 64 && READY_LEVELS <= 128, "OTHERS are in the second word");

static unsigned first_level(const struct ready_queue *queue) {
    return queue->levels[0] != 0 ? (unsigned)__builtin_ctzl(queue->levels[0])
                                 : 64 + (unsigned)__builtin_ctzl(queue->levels[1]);
}

/* Real-time threads wait: whether it is the others' turn all the same. */
static bool others_turn(struct ready_queue *queue, uint64_t now) {
    if ((queue->levels[1] & OTHERS) == 0) {
        queue->others_since = 0;
        return false;
    }
    if (queue->others_since == 0)
        queue->others_since = now;
    return now - queue->others_since > REALTIME_TURN_NS;
}

/* Of the others: the most urgent level, or one below it that has waited too long. */
static unsigned choose_other(struct ready_queue *queue, uint64_t now) {
    uint64_t lower = queue->levels[1] & OTHERS;
    const unsigned best = 64 + (unsigned)__builtin_ctzl(lower);
    for (lower &= lower - 1; lower != 0; lower &= lower - 1) {
        unsigned level = 64 + (unsigned)__builtin_ctzl(lower);
        uint64_t *since = &queue->waits_since[level];
        if (*since == 0)
            *since = now;
        else if (now - *since > READY_PATIENCE_NS)
            return level;
    }
    return best;
}

static unsigned choose_level(struct ready_queue *queue) {
    const unsigned best = first_level(queue);
    const uint64_t others = queue->levels[1] & OTHERS;
    if (__builtin_expect(best >= REALTIME_LEVELS && (others & (others - 1)) == 0, 1))
        return best;
    const uint64_t now = time_monotonic();
    if (best < REALTIME_LEVELS && !others_turn(queue, now))
        return best;
    return choose_other(queue, now);
}

struct thread *ready_take(struct ready_queue *queue, unsigned *counts_as) {
    const unsigned level = choose_level(queue);
    struct thread *thread = container_of(queue->threads[level].next, struct thread, run_link);
    *counts_as = level;
    if (__builtin_expect(ready_above(queue, level), 0))
        *counts_as = ready_above(queue, REALTIME_LEVELS) ? 0 : REALTIME_LEVELS;
    ready_remove(queue, thread);
    queue->waits_since[level] = 0;
    if (level >= REALTIME_LEVELS)
        queue->others_since = 0;
    return thread;
}
