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

void ready_add(struct ready_queue *queue, struct thread *thread) {
    list_push_back(&queue->threads[thread->level], &thread->run_link);
    queue->levels |= 1U << thread->level;
    queue->count++;
}

void ready_add_first(struct ready_queue *queue, struct thread *thread) {
    list_push_front(&queue->threads[thread->level], &thread->run_link);
    queue->levels |= 1U << thread->level;
    queue->count++;
}

void ready_remove(struct ready_queue *queue, struct thread *thread) {
    list_remove(&thread->run_link);
    queue->count--;
    if (!list_empty(&queue->threads[thread->level]))
        return;
    queue->levels &= ~(1U << thread->level);
    queue->waits_since[thread->level] = 0;
}

/* The most urgent level, or one below it that has waited too long. */
static unsigned choose_level(struct ready_queue *queue) {
    const unsigned best = (unsigned)__builtin_ctz(queue->levels);
    uint32_t lower = queue->levels & (queue->levels - 1);
    if (__builtin_expect(lower == 0, 1))
        return best;
    const uint64_t now = time_monotonic();
    for (; lower != 0; lower &= lower - 1) {
        unsigned level = (unsigned)__builtin_ctz(lower);
        uint64_t *since = &queue->waits_since[level];
        if (*since == 0)
            *since = now;
        else if (now - *since > READY_PATIENCE_NS)
            return level;
    }
    return best;
}

struct thread *ready_take(struct ready_queue *queue, bool *patient) {
    const unsigned level = choose_level(queue);
    struct thread *thread = container_of(queue->threads[level].next, struct thread, run_link);
    *patient = ready_above(queue, level);
    ready_remove(queue, thread);
    queue->waits_since[level] = 0;
    return thread;
}
