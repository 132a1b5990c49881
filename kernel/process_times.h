/*
 * CPU time used by the caller, in nanoseconds, up to now.
 */
#ifndef KERNEL_PROCESS_TIMES_H
#define KERNEL_PROCESS_TIMES_H

#include <stdint.h>

uint64_t thread_cpu_time(void);

/* Of all threads, those that have ended included. Takes processes_lock. */
uint64_t process_cpu_time(void);

#endif
