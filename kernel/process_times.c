/*
 * CPU time: what the scheduler has booked on threads and ended threads have left with their process, and the run in
 * progress.
 *
 * Lock: processes_lock for the list of threads. Any space.
 */
#include "kernel/process_times.h"

#include "arch/cpu.h"
#include "kernel/process.h"
#include "kernel/time.h"

/* Since the thread was last put on its CPU: not in cpu_time yet. */
static uint64_t current_run(void) {
    uint64_t now = time_monotonic(), start = thread_current()->started_at;

    return now > start ? now - start : 0;
}

uint64_t thread_cpu_time(void) { return thread_current()->cpu_time + current_run(); }

uint64_t process_cpu_time(void) {
    struct process *process = process_current();
    bool irq = spin_lock_irq(&processes_lock);
    uint64_t total = process->cpu_time;

    list_for_each(link, &process->threads) total += container_of(link, struct thread, process_link)->cpu_time;
    spin_unlock_irq(&processes_lock, irq);
    return total + current_run();
}
