/*
 * POSIX timers (timer_create and its like) of processes.
 */
#ifndef KERNEL_POSIX_TIMER_H
#define KERNEL_POSIX_TIMER_H

#include <stdint.h>

struct process;

#define POSIX_TIMERS_MAX 128U /* of one process */

/* exec and exit: the calling process has none any more. No lock held; may sleep. */
void posix_timers_forget(void);

/* What the program wants to be told by a timer that has fired. */
uint64_t posix_timer_value(uint32_t id);

#endif
