/*
 * CPU time that was used, in nanoseconds, up to now.
 */
#ifndef KERNEL_PROCESS_TIMES_H
#define KERNEL_PROCESS_TIMES_H

#include <stdbool.h>
#include <stdint.h>

struct process;
struct thread;

uint64_t thread_cpu_time(void);

/* Of all threads, those that have ended included. Takes processes_lock. */
uint64_t process_cpu_time(void);

/*
 * Of the process, or of a thread of the caller's process, with this id (0: the caller). False: there is none. Takes
 * processes_lock.
 */
bool cpu_time_of(uint32_t id, bool thread, uint64_t *ns);

/* Of any thread or process; a run in progress on another CPU counts, too. processes_lock held. */
uint64_t cpu_time_of_thread(const struct thread *thread);
uint64_t cpu_time_of_process(const struct process *process);

#endif
