/*
 * Clocks and sleeping. No state; no locks. Any space; may sleep.
 */
#include "arch/cpu.h"
#include "arch/uaccess.h"
#include "kernel/cpu_timer.h"
#include "kernel/process.h"
#include "kernel/process_times.h"
#include "kernel/signal.h"
#include "kernel/syscall_table.h"
#include "kernel/time.h"
#include "kernel/timespec.h"
#include "kernel/wait.h"

enum clock {
    CLOCK_REALTIME = 0,
    CLOCK_MONOTONIC = 1,
    CLOCK_PROCESS_CPUTIME_ID = 2,
    CLOCK_THREAD_CPUTIME_ID = 3,
    CLOCK_MONOTONIC_RAW = 4,
    CLOCK_REALTIME_COARSE = 5,
    CLOCK_MONOTONIC_COARSE = 6,
    CLOCK_BOOTTIME = 7,
    CLOCK_TAI = 11,
};

enum { TIMER_ABSTIME = 1 };

static enum status clock_of_cpu_time(uint64_t clock, uint64_t *ns) {
    struct cpu_clock which;
    enum status status = cpu_clock_find(clock, &which);

    return status != OK || cpu_time_of(which.id, which.of_thread, ns) ? status : ERR_INVALID;
}

static enum status read_clock(uint64_t clock, uint64_t *ns) {
    switch ((uint32_t)clock) {
    case CLOCK_REALTIME:
    case CLOCK_REALTIME_COARSE:
        *ns = time_realtime();
        return OK;
    case CLOCK_TAI:
        *ns = time_tai();
        return OK;
    case CLOCK_MONOTONIC:
    case CLOCK_MONOTONIC_RAW:
    case CLOCK_MONOTONIC_COARSE:
    case CLOCK_BOOTTIME:
        *ns = time_monotonic();
        return OK;
    case CLOCK_PROCESS_CPUTIME_ID:
        *ns = process_cpu_time();
        return OK;
    case CLOCK_THREAD_CPUTIME_ID:
        *ns = thread_cpu_time();
        return OK;
    default:
        return clock_of_cpu_time(clock, ns);
    }
}

enum status sys_clock_gettime(struct syscall *call) {
    uint64_t ns;
    enum status status = read_clock(call->arg[0], &ns);

    return status != OK ? status : timespec_to_user(call->arg[1], ns);
}

enum status sys_clock_getres(struct syscall *call) {
    uint64_t ns;
    enum status status = read_clock(call->arg[0], &ns);

    if (status != OK || call->arg[1] == 0)
        return status;
    return timespec_to_user(call->arg[1], 1);
}

enum status sys_gettimeofday(struct syscall *call) {
    const struct { int32_t minutes_west, dst_time; } zone = {0, 0};
    enum status status = OK;

    if (call->arg[0] != 0) {
        struct timeval now = timeval_from_ns(time_realtime());
        status = copy_to_user(call->arg[0], &now, sizeof(now));
    }
    if (status == OK && call->arg[1] != 0)
        status = copy_to_user(call->arg[1], &zone, sizeof(zone));
    return status;
}

enum status sys_time(struct syscall *call) {
    int64_t seconds = (int64_t)(time_realtime() / NS_PER_SECOND);

    call->result = seconds;
    return call->arg[0] != 0 ? copy_to_user(call->arg[0], &seconds, sizeof(seconds)) : OK;
}

/* Sleeps until then. ERR_RESTART: a signal came first. Nobody else knows the queue. */
static enum status sleep_until(uint64_t deadline) {
    struct wait_queue queue;
    struct waiter waiter;
    enum status status = OK;

    wait_queue_init(&queue);
    wait_begin(&queue, &waiter);
    while (time_monotonic() < deadline && !signal_pending()) {
        status = wait_sleep(deadline);
        if (status == ERR_TIMED_OUT)
            break;
    }
    wait_end(&waiter);
    return time_monotonic() >= deadline ? OK : ERR_RESTART;
}

/* Until the wall clock shows it: looks again when that is set. */
static enum status sleep_until_realtime(uint64_t ns) {
    enum status status = OK;

    while (status == OK && time_realtime() < ns) {
        struct waiter waiter;

        wait_begin(&time_was_set, &waiter);
        status = signal_pending() ? ERR_RESTART : wait_sleep(deadline_at_realtime(ns));
        wait_end(&waiter);
        if (status == ERR_TIMED_OUT || (status == ERR_RESTART && !signal_pending()))
            status = OK;
    }
    return status == OK ? OK : ERR_INTERRUPTED;
}

static enum status sleep_for(uint64_t ns, vaddr_t remaining_at) {
    uint64_t deadline = deadline_of_call(ns);
    enum status status = deadline_keep(sleep_until(deadline), deadline);

    if (status == ERR_RESTART && remaining_at != 0) {
        uint64_t now = time_monotonic();
        enum status copied = timespec_to_user(remaining_at, deadline > now ? deadline - now : 0);
        if (copied != OK)
            return copied;
    }
    return status;
}

enum status sys_nanosleep(struct syscall *call) {
    uint64_t ns;
    enum status status = timespec_from_user(call->arg[0], &ns);

    return status != OK ? status : sleep_for(ns, call->arg[1]);
}

/* Whether a clock can be slept on: ERR_NOT_SUPPORTED where there is one that cannot. */
static enum status check_sleeping_clock(uint32_t clock) {
    uint64_t ns;

    if (clock == CLOCK_REALTIME || clock == CLOCK_MONOTONIC || clock == CLOCK_BOOTTIME || clock == CLOCK_TAI)
        return OK;
    return read_clock(clock, &ns) == OK ? ERR_NOT_SUPPORTED : ERR_INVALID;
}

enum status sys_clock_nanosleep(struct syscall *call) {
    const uint32_t clock = (uint32_t)call->arg[0];
    uint64_t ns;
    const bool of_cpu = clock == CLOCK_PROCESS_CPUTIME_ID || (int32_t)clock < 0;
    enum status status = of_cpu ? OK : check_sleeping_clock(clock);

    if (status == OK)
        status = timespec_from_user(call->arg[2], &ns);
    if (status != OK)
        return status;
    if (of_cpu)
        return cpu_clock_sleep(clock, ns, (uint32_t)call->arg[1] & TIMER_ABSTIME, call->arg[3]);
    if (!((uint32_t)call->arg[1] & TIMER_ABSTIME))
        return sleep_for(ns, call->arg[3]);
    if (clock == CLOCK_REALTIME || clock == CLOCK_TAI)
        return sleep_until_realtime(clock == CLOCK_TAI ? ns - (time_tai() - time_realtime()) : ns);
    return sleep_until(ns < DURATION_MAX ? ns : WAIT_FOREVER);
}
