/*
 * Timers that fire in the timer interrupt; and of each process one in real time, which sends SIGALRM (setitimer,
 * alarm).
 */
#ifndef KERNEL_TIMER_H
#define KERNEL_TIMER_H

#include <stdint.h>

#include "kernel/list.h"
#include "kernel/status.h"

struct process;

/* ns: however short an interval user space asks for, the machine gets something else done in between. */
#define TIMER_INTERVAL_MIN 50000UL

struct timer_setting {
    uint64_t value;    /* ns until it expires; 0: it is not running */
    uint64_t interval; /* ns with which it starts again; 0: it does not */
};

/* Class GLOBAL. Owned by who starts it. */
struct timer {
    struct list link; /* list_init()ed before the first start */
    struct process *process;
    uint64_t expiry, interval; /* ns. Protected by timers_lock */
    /* From the timer interrupt, without that lock; `missed`: how many times more it should have been called. */
    void (*fire)(struct timer *timer, uint64_t missed);
};

/* Moves an expiry that has come by whole intervals behind `now`. Returns how many were missed before the last one. */
static inline uint64_t timer_step(uint64_t *expiry, uint64_t interval, uint64_t now) {
    const uint64_t step = interval < TIMER_INTERVAL_MIN ? TIMER_INTERVAL_MIN : interval;
    const uint64_t missed = (now - *expiry) / step;
    *expiry += (missed + 1) * step;
    return missed;
}

/* Runs until it is stopped: at `expiry` (time_monotonic()), then every `interval` ns; 0: once. */
void timer_start(struct timer *timer, uint64_t expiry, uint64_t interval);
/* It runs no more, and what it has fired is over. Interrupts on, no lock held. */
void timer_stop(struct timer *timer);
struct timer_setting timer_look(const struct timer *timer);

/* The calling process's interval timer: sets it, reporting what was set before. ERR_NO_MEMORY. */
MUST_USE enum status timer_set(const struct timer_setting *setting, struct timer_setting *before);
struct timer_setting timer_get(void);

/* The process is going away: its timer with it. Interrupts on, no lock held. Every exit calls this. */
void timers_forget_process(struct process *process);

/* From the timer interrupt, with interrupts off: signals whose time has come. `now`: time_monotonic(). */
void timers_expire(uint64_t now);

/* When the next one expires (time_monotonic()), or UINT64_MAX. Any context. */
uint64_t timers_next(void);

#endif
