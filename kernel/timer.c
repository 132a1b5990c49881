/*
 * Interval timers: a list of those that run, GLOBAL (times and process pointers are metadata).
 *
 * Expiry happens in the timer interrupt and sends a signal there, which takes locks of a lower rank than this list's,
 * so the process is named in `sending` while the list's lock is not held; timers_forget_process() waits until that is
 * over. Lock: timers_lock (rank TIMER, interrupts off). Any space.
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

/* However short an interval user space asks for, the machine gets something else done in between. */
#define INTERVAL_MIN 50000UL

struct timer {
    struct list link;
    struct process *process;   /* constant while in the list */
    uint64_t expiry, interval; /* ns. Protected by timers_lock */
};

static struct spinlock timers_lock = SPINLOCK_INIT(RANK_TIMER);
static struct list timers = {&timers, &timers}; /* struct timer.link. Protected by timers_lock */
static uint64_t next_expiry = UINT64_MAX;       /* the least of the list. Protected by timers_lock; atomic to read */
static struct process *sending;                 /* atomic */

/* timers_lock held. */
static struct timer *find(const struct process *process) {
    list_for_each(link, &timers) {
        struct timer *timer = container_of(link, struct timer, link);

        if (timer->process == process)
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
            list_push_back(&timers, &timer->link);
        }
        timer->expiry = deadline_after(setting->value);
        timer->interval = setting->interval;
    }
    update_next();
    spin_unlock_irq(&timers_lock, irq);
    sched_timers_changed();
    if (spare != NULL)
        global_free(spare, sizeof(*spare));
    return OK;
}

struct timer_setting timer_get(void) {
    uint64_t now = time_monotonic();
    bool irq = spin_lock_irq(&timers_lock);
    struct timer_setting setting = setting_of(find(process_current()), now);

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
    while (__atomic_load_n(&sending, __ATOMIC_ACQUIRE) == process)
        cpu_relax();
    if (timer != NULL)
        global_free(timer, sizeof(*timer));
}

/* timers_lock held. A timer that does not start again stays in the list, for ever unexpired, until it is set or
 * forgotten. */
static struct process *take_expired(uint64_t now) {
    list_for_each(link, &timers) {
        struct timer *timer = container_of(link, struct timer, link);

        if (timer->expiry > now)
            continue;
        if (timer->interval == 0) {
            timer->expiry = UINT64_MAX;
        } else {
            uint64_t interval = timer->interval < INTERVAL_MIN ? INTERVAL_MIN : timer->interval;
            uint64_t missed = (now - timer->expiry) / interval;
            timer->expiry += (missed + 1) * interval;
        }
        return timer->process;
    }
    return NULL;
}

void timers_expire(uint64_t now) {
    while (__atomic_load_n(&next_expiry, __ATOMIC_RELAXED) <= now) {
        struct process *process;

        spin_lock(&timers_lock);
        process = __atomic_load_n(&sending, __ATOMIC_RELAXED) == NULL ? take_expired(now) : NULL;
        /* Inside the lock, so that timers_forget_process either finds no trace of it or waits. */
        if (process != NULL)
            __atomic_store_n(&sending, process, __ATOMIC_RELAXED);
        update_next();
        spin_unlock(&timers_lock);
        if (process == NULL)
            return; /* nothing due, or another CPU is at it */
        signal_send_process(process, SIGALRM, NULL);
        __atomic_store_n(&sending, (struct process *)NULL, __ATOMIC_RELEASE);
    }
}

uint64_t timers_next(void) { return __atomic_load_n(&next_expiry, __ATOMIC_RELAXED); }
