/*
 * What is left to do for a thread once its stack has been left for the last time.
 */
#ifndef KERNEL_REAP_H
#define KERNEL_REAP_H

struct thread;

/* Called by the scheduler on the next thread's stack; interrupts off, no locks. When it was the last of its process,
 * the process may be collected, or is freed. */
void reap_thread(struct thread *thread);

#endif
