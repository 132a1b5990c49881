/*
 * Stopping and continuing whole processes, and what their parents hear of it. The signals of job control.
 */
#ifndef KERNEL_JOBS_H
#define KERNEL_JOBS_H

#include <stdbool.h>
#include <stdint.h>

struct process;

/*
 * Before `number` is sent to `process`, whatever it does about it: SIGCONT, and SIGKILL, end a stop; a stop signal and
 * SIGCONT cancel each other while pending. processes_lock held, no signal_lock.
 */
void jobs_before_signal(struct process *process, int number);

/* The calling thread has taken a stop signal whose default action it is to follow: its process is to stop. */
void jobs_stop(int number);

/* Stands still while the process is stopped, unless it is being killed. On the way back to user code. */
void jobs_stand(void);

/* One of its threads will stand no more, since it ends: maybe all others stand. processes_lock held. */
void jobs_thread_ends(struct process *process);

/*
 * Whether nobody outside a group, but in its session, is parent of one in it: then nobody would continue what stops.
 * `leaving` is not counted as a member or parent; may be NULL. processes_lock held.
 */
bool jobs_is_orphaned(uint32_t group, const struct process *leaving);

/*
 * A process is about to end, and `child` of it to get another parent (NULL: the process itself ceases to be its
 * parent's): a group that is orphaned by it and has stopped members is sent SIGHUP and SIGCONT. processes_lock held.
 */
void jobs_member_leaves(struct process *leaving, struct process *child);

#endif
