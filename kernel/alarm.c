/*
 * Alarms: those that are set, by time.
 *
 * Lock: alarms_lock (rank ALARMS, interrupts off), held while they ring: so one that was cancelled does not ring.
 * Setting one walks past those before it. Any space.
 */
#include "kernel/alarm.h"

#include "kernel/sched.h"

struct spinlock alarms_lock = SPINLOCK_INIT(RANK_ALARMS);
static struct list alarms = {&alarms, &alarms}; /* struct alarm.link, the next one first. Protected by alarms_lock */
static uint64_t next_at = UINT64_MAX;           /* of the first. Protected by alarms_lock; atomic to read */

static void update_next(void) {
    uint64_t next = list_empty(&alarms) ? UINT64_MAX : container_of(alarms.next, struct alarm, link)->at;
    __atomic_store_n(&next_at, next, __ATOMIC_RELAXED);
}

void alarm_set(struct alarm *alarm, uint64_t at) {
    list_remove(&alarm->link);
    struct list *before = alarms.previous;
    while (before != &alarms && container_of(before, struct alarm, link)->at > at)
        before = before->previous;
    alarm->at = at;
    list_insert_after(before, &alarm->link);
    update_next();
}

void alarm_cancel(struct alarm *alarm) {
    list_remove(&alarm->link);
    update_next();
}

void alarms_changed(void) { sched_timers_changed(); }

void alarms_expire(uint64_t now) {
    if (alarms_next() > now)
        return;
    spin_lock(&alarms_lock);
    while (!list_empty(&alarms)) {
        struct alarm *alarm = container_of(alarms.next, struct alarm, link);
        if (alarm->at > now)
            break;
        list_remove(&alarm->link);
        alarm->ring(alarm);
    }
    update_next();
    spin_unlock(&alarms_lock);
}

uint64_t alarms_next(void) { return __atomic_load_n(&next_at, __ATOMIC_RELAXED); }
