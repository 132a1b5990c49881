/*
 * Interval timers of processes (setitimer, alarm): each has one, in real time, which sends SIGALRM.
 */
#ifndef KERNEL_TIMER_H
#define KERNEL_TIMER_H

#include <stdint.h>

#include "kernel/status.h"

struct process;

struct timer_setting {
    uint64_t value;    /* ns until it expires; 0: it is not running */
    uint64_t interval; /* ns with which it starts again; 0: it does not */
};

/* The calling process's timer: sets it, reporting what was set before. ERR_NO_MEMORY. */
MUST_USE enum status timer_set(const struct timer_setting *setting, struct timer_setting *before);
struct timer_setting timer_get(void);

/* The process is going away: its timer with it. Interrupts on, no lock held. Every exit calls this. */
void timers_forget_process(struct process *process);

/* From the timer interrupt, with interrupts off: signals whose time has come. `now`: time_monotonic(). */
void timers_expire(uint64_t now);

/* When the next one expires (time_monotonic()), or UINT64_MAX. Any context. */
uint64_t timers_next(void);

#endif
