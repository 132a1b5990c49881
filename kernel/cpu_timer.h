/*
 * Timers on CPU time: of a process, or of a thread of the caller's (POSIX timers, ITIMER_VIRTUAL and ITIMER_PROF,
 * sleeping on a process's clock).
 *
 * They are looked at by the timer interrupt of a CPU that runs the process, each CPU_TIMER_TICK_NS while it has any:
 * none is early, and one may be late by that much.
 */
#ifndef KERNEL_CPU_TIMER_H
#define KERNEL_CPU_TIMER_H

#include <stdbool.h>
#include <stdint.h>

#include "kernel/list.h"
#include "kernel/status.h"
#include "kernel/timer.h"
#include "mm/types.h"

struct process;
struct thread;

#define CPU_TIMER_TICK_NS 1000000UL

/* Whose CPU time. */
struct cpu_clock {
    uint32_t id; /* 0: the caller, as long as nobody has said which it is */
    bool of_thread;
};

/* Class GLOBAL, its owner's; protected by processes_lock. All zero but `fire`: not running. */
struct cpu_timer {
    struct list link;          /* in process.cpu_timers while it runs */
    struct process *process;   /* whose time it goes by; NULL: it does not run, or whose time it was has ended */
    struct thread *thread;     /* of that process; NULL: of all its threads */
    uint64_t expiry, interval; /* ns of that CPU time */
    /* From the timer interrupt, or from who sets it to a time that has passed. processes_lock held. */
    void (*fire)(struct cpu_timer *timer, uint64_t missed);
};

/* The clock with this number, resolved to an id. ERR_INVALID: it is none of CPU time, or of nobody who is there. */
MUST_USE enum status cpu_clock_find(uint64_t number, struct cpu_clock *out);

/*
 * Sets the timer; value 0 stops it. `value` is from now on, or `absolute`. *before (may be NULL): as it was.
 * ERR_NO_PROCESS: the clock's process or thread has ended. Takes processes_lock.
 */
MUST_USE enum status cpu_timer_set(struct cpu_timer *timer, struct cpu_clock clock, const struct timer_setting *setting,
                                   bool absolute, struct timer_setting *before);
struct timer_setting cpu_timer_look(const struct cpu_timer *timer);
/* It runs no more, and fires no more when this returns. */
void cpu_timer_stop(struct cpu_timer *timer);

/* The calling process's ITIMER_VIRTUAL (0) or ITIMER_PROF (1): all CPU time is user time here, so they are alike. */
struct timer_setting interval_timer_set(unsigned which, const struct timer_setting *setting);
struct timer_setting interval_timer_get(unsigned which);

/* clock_nanosleep(): ns of that clock. What is left goes to `remaining_at`, if not 0, when a signal comes. */
MUST_USE enum status cpu_clock_sleep(uint64_t number, uint64_t ns, bool absolute, vaddr_t remaining_at);

/* From the timer interrupt. */
void cpu_timers_tick(void);

/* The calling thread has ended; `last`: its process with it. processes_lock held. */
void cpu_timers_forget(bool last);

#endif
