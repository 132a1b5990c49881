/*
 * Owns: what a process's limits keep it from. See kernel/limits.h for locks. Any space; limits_check_cpu() in the timer
 * interrupt.
 */
#include "kernel/limits.h"

#include "kernel/file.h"
#include "kernel/local.h"
#include "kernel/process.h"
#include "kernel/signal.h"
#include "kernel/signal_abi.h"
#include "kernel/signal_queue.h"
#include "kernel/time.h"
#include "mm/vma.h"

enum { PROCESSES_MAX = 4096, MEMLOCK_DEFAULT = 8 << 20, MSGQUEUE_DEFAULT = 819200 };

static void set(struct limits *limits, enum resource resource, uint64_t current, uint64_t maximum) {
    limits->of[resource] = (struct rlimit){current, maximum};
    limits->finite |= (uint32_t)(current != RLIM_INFINITY) << resource;
}

void limits_init(struct limits *limits) {
    for (unsigned i = 0; i < RLIMIT_COUNT; i++)
        set(limits, (enum resource)i, RLIM_INFINITY, RLIM_INFINITY);
    set(limits, RLIMIT_STACK, VM_STACK_LIMIT, RLIM_INFINITY);
    set(limits, RLIMIT_CORE, 0, RLIM_INFINITY);
    set(limits, RLIMIT_NPROC, PROCESSES_MAX, PROCESSES_MAX);
    set(limits, RLIMIT_NOFILE, HANDLES_DEFAULT, HANDLES_MAX);
    set(limits, RLIMIT_MEMLOCK, MEMLOCK_DEFAULT, MEMLOCK_DEFAULT);
    set(limits, RLIMIT_SIGPENDING, SIGNALS_QUEUED_MAX, SIGNALS_QUEUED_MAX);
    set(limits, RLIMIT_MSGQUEUE, MSGQUEUE_DEFAULT, MSGQUEUE_DEFAULT);
    set(limits, RLIMIT_NICE, 0, 0);
    set(limits, RLIMIT_RTPRIO, 0, 0);
}

static bool is_finite(const struct process *process, enum resource resource) {
    return process->limits.finite >> resource & 1;
}

uint64_t limit_current(enum resource resource) {
    const struct process *self = process_current();
    return is_finite(self, resource) ? self->limits.of[resource].current : RLIM_INFINITY;
}

bool limits_permit_task(void) {
    const struct process *self = process_current();
    const uint64_t limit = limit_current(RLIMIT_NPROC);
    uint64_t count = 0;
    if (self->user.real == 0 || self->user.effective == 0)
        return true;
    bool irq = spin_lock_irq(&processes_lock);
    list_for_each(link, &all_processes) {
        const struct process *process = container_of(link, struct process, all_link);
        if (process->user.real == self->user.real)
            count += process->thread_count > 0 ? process->thread_count : 1;
    }
    spin_unlock_irq(&processes_lock, irq);
    return count < limit;
}

/* What is mapped, and of it what is private and writable. */
static void count_memory(uint64_t *bytes, uint64_t *data) {
    *bytes = *data = 0;
    for (const struct vma *area = vma_first(&LOCAL->vm); area != NULL; area = area->next) {
        *bytes += area->end - area->start;
        if (!area->shared && (area->protection & VM_WRITE) && !area->grows_down)
            *data += area->end - area->start;
    }
}

bool limits_permit_memory(uint64_t bytes, uint64_t data) {
    const uint64_t all = limit_current(RLIMIT_AS), of_data = limit_current(RLIMIT_DATA);
    uint64_t mapped, mapped_data;
    if (all == RLIM_INFINITY && of_data == RLIM_INFINITY)
        return true;
    mutex_lock(&process_current()->user_space->lock);
    count_memory(&mapped, &mapped_data);
    mutex_unlock(&process_current()->user_space->lock);
    return mapped + bytes <= all && (data == 0 || mapped_data + data <= of_data);
}

uint64_t limits_permit_file(uint64_t offset, uint64_t bytes) {
    const uint64_t limit = limit_current(RLIMIT_FSIZE);
    if (__builtin_expect(limit == RLIM_INFINITY || bytes == 0, 1))
        return bytes;
    if (offset >= limit) {
        const struct signal_origin origin = {.code = SI_KERNEL};
        signal_send_thread(thread_current(), SIGXFSZ, &origin);
        return 0;
    }
    return bytes <= limit - offset ? bytes : limit - offset;
}

void limits_check_cpu(struct process *process) {
    if (__builtin_expect(!is_finite(process, RLIMIT_CPU), 1))
        return;
    bool irq = spin_lock_irq(&processes_lock);
    struct rlimit *limit = &process->limits.of[RLIMIT_CPU];
    uint64_t used = process->cpu_time;
    list_for_each(link, &process->threads) used += container_of(link, struct thread, process_link)->cpu_time;
    used += time_monotonic() - thread_current()->started_at;
    if (used / NS_PER_SECOND >= limit->maximum) {
        signal_send_process_locked(process, SIGKILL, NULL);
    } else if (used / NS_PER_SECOND >= limit->current) {
        signal_send_process_locked(process, SIGXCPU, NULL);
        limit->current++; /* and again in a second, as on Linux */
    }
    spin_unlock_irq(&processes_lock, irq);
}

bool limits_permit_nice(const struct process *process, int nice) {
    return (uint64_t)(20 - nice) <= process->limits.of[RLIMIT_NICE].current;
}

void limits_check_realtime(struct thread *thread) {
    enum { NS_PER_US = 1000, US_PER_SECOND = 1000000 };
    if (__builtin_expect(thread->realtime_priority == 0 || !is_finite(thread->process, RLIMIT_RTTIME), 1))
        return;
    const uint64_t run = time_monotonic() - thread->started_at;
    const uint64_t used = (thread->cpu_time + run - thread->slept_at_cpu_time) / NS_PER_US;
    bool irq = spin_lock_irq(&processes_lock);
    struct rlimit *limit = &thread->process->limits.of[RLIMIT_RTTIME];
    if (used > limit->maximum) {
        signal_send_process_locked(thread->process, SIGKILL, NULL);
    } else if (used > limit->current) {
        signal_send_process_locked(thread->process, SIGXCPU, NULL);
        limit->current += US_PER_SECOND; /* and again in a second, as on Linux */
    }
    spin_unlock_irq(&processes_lock, irq);
}
