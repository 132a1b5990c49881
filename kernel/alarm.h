/*
 * Alarms: something in the kernel is to happen at a time, outside any thread (timerfd).
 */
#ifndef KERNEL_ALARM_H
#define KERNEL_ALARM_H

#include "arch/spinlock.h"
#include "kernel/list.h"

/* Class GLOBAL. Protected by alarms_lock. */
struct alarm {
    struct list link; /* list_init()ed before the first alarm_set() */
    uint64_t at;      /* time_monotonic() */
    /* From the timer interrupt, with alarms_lock held; the alarm is not set any more. It may wake queues. */
    void (*ring)(struct alarm *alarm);
};

/* Rank ALARMS, interrupts off. Also guards what alarms say, so that their owners can set, look and ring in one. */
extern struct spinlock alarms_lock;

/* alarms_lock held. Setting an alarm that is set moves it. */
void alarm_set(struct alarm *alarm, uint64_t at);
void alarm_cancel(struct alarm *alarm);

/* After alarm_set(), without the lock: the timer interrupt may have to come earlier. */
void alarms_changed(void);

/* From the timer interrupt: rings what is due. `now`: time_monotonic(). */
void alarms_expire(uint64_t now);

/* When the next one rings, or UINT64_MAX. Any context. */
uint64_t alarms_next(void);

#endif
