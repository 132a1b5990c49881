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

uint64_t cpu_time_of_thread(const struct thread *thread) {
    const uint64_t used = thread->cpu_time, start = thread->started_at, now = time_monotonic();

    return used + (thread->state == THREAD_RUNNING && now > start ? now - start : 0);
}

uint64_t cpu_time_of_process(const struct process *process) {
    uint64_t total = process->cpu_time;

    list_for_each(link, &process->threads) total += cpu_time_of_thread(container_of(link, struct thread, process_link));
    return total;
}

bool cpu_time_of(uint32_t id, bool of_thread, uint64_t *ns) {
    if (id == 0) {
        *ns = of_thread ? thread_cpu_time() : process_cpu_time();
        return true;
    }
    bool irq = spin_lock_irq(&processes_lock);
    const struct process *process = of_thread ? NULL : process_find(id);
    const struct thread *thread = of_thread ? thread_find(id) : NULL;
    bool found = process != NULL || (thread != NULL && thread->process == process_current());
    if (found)
        *ns = of_thread ? cpu_time_of_thread(thread) : cpu_time_of_process(process);
    spin_unlock_irq(&processes_lock, irq);
    return found;
}
