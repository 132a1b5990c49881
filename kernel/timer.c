/*
 * Interval timers: a list of those that run, GLOBAL (times and process pointers are metadata).
 *
 * Expiry happens in the timer interrupt and sends a signal there, which takes locks of a lower rank than this list's,
 * so the timer is named in `firing` while the list's lock is not held; timer_stop() waits until that is over. Lock:
 * timers_lock (rank TIMER, interrupts off). Any space.
 */
#include "kernel/timer.h"

#include "arch/cpu.h"
#include "arch/io.h"
#include "arch/spinlock.h"
#include "kernel/list.h"
#include "kernel/process.h"
#include "kernel/sched.h"
#include "kernel/signal.h"
#include "kernel/signal_abi.h"
#include "kernel/time.h"
#include "kernel/timespec.h"
#include "mm/heap.h"

static struct spinlock timers_lock = SPINLOCK_INIT(RANK_TIMER);
static struct list timers = {&timers, &timers}; /* struct timer.link. Protected by timers_lock */
static uint64_t next_expiry = UINT64_MAX;       /* the least of the list. Protected by timers_lock; atomic to read */
static struct timer *firing;                    /* atomic */

static void send_alarm(struct timer *timer, uint64_t missed) {
    (void)missed;
    signal_send_process(timer->process, SIGALRM, NULL);
}

/* timers_lock held. */
static struct timer *find(const struct process *process) {
    list_for_each(link, &timers) {
        struct timer *timer = container_of(link, struct timer, link);

        if (timer->process == process && timer->fire == send_alarm)
            return timer;
    }
    return NULL;
}

/* timers_lock held. */
static void update_next(void) {
    uint64_t least = UINT64_MAX;

    list_for_each(link, &timers) {
        const struct timer *timer = container_of(link, struct timer, link);

        if (timer->expiry < least)
            least = timer->expiry;
    }
    __atomic_store_n(&next_expiry, least, __ATOMIC_RELAXED);
}

static struct timer_setting setting_of(const struct timer *timer, uint64_t now) {
    if (timer == NULL || timer->expiry == UINT64_MAX)
        return (struct timer_setting){0};
    /* One that is due but has not been seen yet still runs. */
    return (struct timer_setting){.value = timer->expiry > now ? timer->expiry - now : 1, .interval = timer->interval};
}

/* Until it has done what it may be doing. Not in the list any more. */
static void await(const struct timer *timer) {
    while (__atomic_load_n(&firing, __ATOMIC_ACQUIRE) == timer)
        cpu_relax();
}

enum status timer_set(const struct timer_setting *setting, struct timer_setting *before) {
    uint64_t now = time_monotonic();
    struct timer *spare = NULL;

    if (setting->value != 0 && (spare = global_alloc(sizeof(*spare))) == NULL)
        return ERR_NO_MEMORY;
    bool irq = spin_lock_irq(&timers_lock);
    struct timer *timer = find(process_current());
    *before = setting_of(timer, now);
    if (setting->value == 0) {
        spare = timer;
        if (timer != NULL)
            list_remove(&timer->link);
    } else {
        if (timer == NULL) {
            timer = spare;
            spare = NULL;
            timer->process = process_current();
            timer->fire = send_alarm;
            list_push_back(&timers, &timer->link);
        }
        timer->expiry = deadline_after(setting->value);
        timer->interval = setting->interval;
    }
    update_next();
    spin_unlock_irq(&timers_lock, irq);
    sched_timers_changed();
    if (spare != NULL) {
        await(spare); /* another CPU may be about to send its signal */
        global_free(spare, sizeof(*spare));
    }
    return OK;
}

struct timer_setting timer_get(void) {
    uint64_t now = time_monotonic();
    bool irq = spin_lock_irq(&timers_lock);
    struct timer_setting setting = setting_of(find(process_current()), now);

    spin_unlock_irq(&timers_lock, irq);
    return setting;
}

void timer_start(struct timer *timer, uint64_t expiry, uint64_t interval) {
    bool irq = spin_lock_irq(&timers_lock);
    list_remove(&timer->link);
    timer->expiry = expiry;
    timer->interval = interval;
    list_push_back(&timers, &timer->link);
    update_next();
    spin_unlock_irq(&timers_lock, irq);
    sched_timers_changed();
}

void timer_stop(struct timer *timer) {
    bool irq = spin_lock_irq(&timers_lock);
    list_remove(&timer->link);
    timer->expiry = UINT64_MAX;
    update_next();
    spin_unlock_irq(&timers_lock, irq);
    await(timer);
}

struct timer_setting timer_look(const struct timer *timer) {
    bool irq = spin_lock_irq(&timers_lock);
    struct timer_setting setting = setting_of(timer, time_monotonic());
    spin_unlock_irq(&timers_lock, irq);
    return setting;
}

void timers_forget_process(struct process *process) {
    bool irq = spin_lock_irq(&timers_lock);
    struct timer *timer = find(process);

    if (timer != NULL) {
        list_remove(&timer->link);
        update_next();
    }
    spin_unlock_irq(&timers_lock, irq);
    if (timer == NULL)
        return;
    await(timer);
    global_free(timer, sizeof(*timer));
}

/* timers_lock held. A timer that does not start again stays in the list, for ever unexpired, until it is set or
 * forgotten. */
static struct timer *take_expired(uint64_t now, uint64_t *missed) {
    *missed = 0;
    list_for_each(link, &timers) {
        struct timer *timer = container_of(link, struct timer, link);

        if (timer->expiry > now)
            continue;
        if (timer->interval == 0)
            timer->expiry = UINT64_MAX;
        else
            *missed = timer_step(&timer->expiry, timer->interval, now);
        return timer;
    }
    return NULL;
}

void timers_expire(uint64_t now) {
    while (__atomic_load_n(&next_expiry, __ATOMIC_RELAXED) <= now) {
        struct timer *timer;
        uint64_t missed;

        spin_lock(&timers_lock);
        timer = __atomic_load_n(&firing, __ATOMIC_RELAXED) == NULL ? take_expired(now, &missed) : NULL;
        /* Inside the lock, so that timer_stop either finds no trace of it or waits. */
        if (timer != NULL)
            __atomic_store_n(&firing, timer, __ATOMIC_RELAXED);
        update_next();
        spin_unlock(&timers_lock);
        if (timer == NULL)
            return; /* nothing due, or another CPU is at it */
        timer->fire(timer, missed);
        __atomic_store_n(&firing, (struct timer *)NULL, __ATOMIC_RELEASE);
    }
}

uint64_t timers_next(void) { return __atomic_load_n(&next_expiry, __ATOMIC_RELAXED); }
