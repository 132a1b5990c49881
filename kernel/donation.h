/*
 * Donation of urgency: who works on a call is at least as urgent as who waits for its answer, and so on along a chain
 * of calls; who works on the last call received from an endpoint, also as those that are queued there.
 *
 * All with ipc_lock held.
 */
#ifndef KERNEL_DONATION_H
#define KERNEL_DONATION_H

#include "kernel/ready_queue.h"
#include "kernel/thread.h"

struct call;

/* What it is by itself, and by the PI mutexes that it owns. */
static inline uint8_t level_without_calls(const struct thread *thread) {
    const uint8_t boosted = (uint8_t)(READY_LEVELS - thread->pi_boost);
    return boosted < thread->own_level ? boosted : thread->own_level;
}

/* The call was queued, or received: its caller donates. */
void donation_begin(struct call *call);

/* The call is queued or received no longer, and in no list: who worked on it is what he is without it. */
void donation_end(struct call *call);

/* What the thread is by itself has changed. */
void donation_update(struct thread *thread);

/* The calling thread ends: others of its process may answer what it received. */
void donation_forget_worker(void);

#endif
