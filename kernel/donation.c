/*
 * Owns: thread.level where it differs from what thread.own_level says.
 *
 * A level is the most urgent of the thread's own, those of the callers whose calls it works on, and, if one of these
 * was the last to be received from its endpoint, those of the callers that are queued there: the way to them leads
 * through it; and those who wait for a PI mutex that it owns (kernel/futex_pi.c). Along a chain of calls a change is
 * followed for DEPTH_MAX threads.
 * Locks: ipc_lock, held by the callers. Space: any.
 */
#include "kernel/donation.h"

#include "kernel/endpoint_queues.h"
#include "kernel/process.h"
#include "kernel/sched.h"

enum { DEPTH_MAX = 16 };

static struct thread *caller_of(struct call *call) { return container_of(call, struct thread, call); }

/* Who must run so that the call is answered, as far as is known; or NULL. */
static struct thread *worker_for(const struct call *call) {
    if (call->state == CALL_RECEIVED)
        return call->worker;
    if (call->state == CALL_QUEUED && call->endpoint->last_received != NULL)
        return call->endpoint->last_received->worker;
    return NULL;
}

static void more_urgent(unsigned *level, const struct thread *thread) {
    if (thread->level < *level)
        *level = thread->level;
}

static unsigned level_with_donations(const struct thread *thread) {
    unsigned level = level_without_calls(thread);
    list_for_each(link, &thread->process->calls) {
        struct call *call = container_of(link, struct call, link);
        if (call->worker != thread)
            continue;
        more_urgent(&level, caller_of(call));
        if (call->endpoint->last_received != call)
            continue;
        list_for_each(queued, &call->endpoint->calls)
            more_urgent(&level, caller_of(container_of(queued, struct call, link)));
    }
    return level;
}

void donation_update(struct thread *thread) {
    for (unsigned depth = 0; thread != NULL && depth < DEPTH_MAX; depth++) {
        const unsigned level = level_with_donations(thread);
        if (level == thread->level)
            return;
        sched_set_level(thread, level);
        thread = worker_for(&thread->call);
    }
}

void donation_begin(struct call *call) {
    struct thread *worker = worker_for(call);
    if (worker != NULL && (caller_of(call)->level < worker->level || !list_empty(&call->endpoint->calls)))
        donation_update(worker);
}

void donation_end(struct call *call) {
    struct thread *worker = worker_for(call);
    if (call->endpoint->last_received == call)
        call->endpoint->last_received = NULL;
    call->worker = NULL;
    if (__builtin_expect(worker != NULL && worker->level != worker->own_level, 0))
        donation_update(worker);
}

void donation_forget_worker(void) {
    list_for_each(link, &process_current()->calls) {
        struct call *call = container_of(link, struct call, link);
        if (call->worker == thread_current())
            call->worker = NULL;
    }
}
