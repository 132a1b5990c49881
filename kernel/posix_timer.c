/*
 * Owns: POSIX timers, and the calls on them.
 *
 * A timer has its signal's queue entry with it, so that the interrupt in which it fires needs no memory: while it is
 * pending, further expiries count as overruns. What the program wants to be told (sigev_value) is user data: it stays
 * in LOCAL memory, and is looked up by the timer's number when the signal is delivered.
 * Locks: process.timers_mutex for the table; signal_lock for entry and overruns. Any space; may sleep.
 */
#include "kernel/posix_timer.h"

#include "arch/uaccess.h"
#include "kernel/cpu_timer.h"
#include "kernel/local.h"
#include "kernel/process.h"
#include "kernel/signal_abi.h"
#include "kernel/syscall_table.h"
#include "kernel/time.h"
#include "kernel/timer.h"
#include "kernel/timespec.h"
#include "mm/heap.h"

enum { SIGEV_SIGNAL, SIGEV_NONE, SIGEV_THREAD, SIGEV_THREAD_ID = 4 };
enum {
    CLOCK_REALTIME,
    CLOCK_MONOTONIC,
    CLOCK_BOOTTIME = 7,
    CLOCK_REALTIME_ALARM,
    CLOCK_BOOTTIME_ALARM,
    CLOCK_TAI = 11
};
enum { TIMER_ABSTIME = 1 };

struct posix_timer {
    struct timer timer;         /* or, of a clock of CPU time, … */
    struct cpu_timer cpu_timer; /* … this one */
    struct cpu_clock cpu_clock; /* id 0: it is none */
    struct queued_signal entry; /* lasting; number 0: it sends none */
    uint32_t id, thread;        /* thread 0: to the process */
    uint32_t last_overrun;      /* of the signal before the one in `entry` */
    bool realtime;              /* its absolute times are of the wall clock */
};

struct signal_event { /* struct sigevent */
    uint64_t value;
    int32_t signal, notify, thread;
    int32_t padding[11];
};
_Static_assert(sizeof(struct signal_event) == 64, "struct sigevent");

struct timer_spec { /* struct itimerspec */
    struct timespec interval, value;
};

uint64_t posix_timer_value(uint32_t id) {
    return id < POSIX_TIMERS_MAX && LOCAL->timer_values != NULL ? LOCAL->timer_values[id] : 0;
}

/* --- Firing ------------------------------------------------------------------------------------------------------- */

/* True: its signal is pending still, and this was an overrun. signal_lock held. */
static bool count_overrun(struct posix_timer *timer, uint64_t missed) {
    const bool pending = timer->entry.queue != NULL;
    struct signal_origin *origin = &timer->entry.origin;
    const uint64_t more = missed + (pending ? 1 : 0);
    if (!pending) {
        timer->last_overrun = origin->uid;
        *origin = (struct signal_origin){.code = SI_TIMER, .pid = timer->id};
    }
    origin->uid = more > INT32_MAX - origin->uid ? INT32_MAX : origin->uid + (uint32_t)more;
    return pending;
}

/* processes_lock held. */
static void fire_locked(struct posix_timer *timer, uint64_t missed) {
    struct process *process = timer->timer.process;
    if (timer->entry.number == 0)
        return;
    spin_lock(&process->signal_lock);
    const bool pending = count_overrun(timer, missed);
    spin_unlock(&process->signal_lock);
    struct thread *thread = timer->thread != 0 ? thread_find(timer->thread) : NULL;
    bool sent = pending;
    if (!pending && timer->thread == 0)
        sent = signal_queue_to_process(process, &timer->entry);
    else if (!pending && thread != NULL && thread->process == process)
        sent = signal_queue_to_thread(thread, &timer->entry);
    (void)sent; /* or it was to be ignored, or nobody is there for it */
}

static void fire(struct timer *base, uint64_t missed) {
    bool irq = spin_lock_irq(&processes_lock);
    fire_locked(container_of(base, struct posix_timer, timer), missed);
    spin_unlock_irq(&processes_lock, irq);
}

static void fire_by_cpu_time(struct cpu_timer *base, uint64_t missed) {
    fire_locked(container_of(base, struct posix_timer, cpu_timer), missed);
}

/* --- The table ---------------------------------------------------------------------------------------------------- */

/* timers_mutex held. */
static struct posix_timer *find(uint64_t id) {
    struct posix_timer **table = process_current()->posix_timers;
    return table != NULL && (uint32_t)id < POSIX_TIMERS_MAX ? table[(uint32_t)id] : NULL;
}

static void destroy(struct posix_timer *timer) {
    struct process *process = process_current();
    timer_stop(&timer->timer);
    cpu_timer_stop(&timer->cpu_timer);
    bool irq = spin_lock_irq(&processes_lock);
    signal_unqueue(process, &timer->entry);
    spin_unlock_irq(&processes_lock, irq);
    process->posix_timers[timer->id] = NULL;
    global_free(timer, sizeof(*timer));
}

void posix_timers_forget(void) {
    struct process *process = process_current();
    if (process->posix_timers == NULL)
        return;
    mutex_lock(&process->timers_mutex);
    for (uint32_t id = 0; id < POSIX_TIMERS_MAX; id++) {
        if (process->posix_timers[id] != NULL)
            destroy(process->posix_timers[id]);
    }
    global_free(process->posix_timers, POSIX_TIMERS_MAX * sizeof(struct posix_timer *));
    process->posix_timers = NULL;
    mutex_unlock(&process->timers_mutex);
}

/* A free number, in a table. timers_mutex held. */
static enum status free_id(uint32_t *id) {
    struct process *process = process_current();
    if (process->posix_timers == NULL)
        process->posix_timers = global_alloc(POSIX_TIMERS_MAX * sizeof(struct posix_timer *));
    if (LOCAL->timer_values == NULL)
        LOCAL->timer_values = local_alloc(POSIX_TIMERS_MAX * sizeof(uint64_t));
    if (process->posix_timers == NULL || LOCAL->timer_values == NULL)
        return ERR_AGAIN;
    for (*id = 0; *id < POSIX_TIMERS_MAX; ++*id) {
        if (process->posix_timers[*id] == NULL)
            return OK;
    }
    return ERR_AGAIN;
}

/* --- Calls -------------------------------------------------------------------------------------------------------- */

static bool thread_is_own(int32_t id) {
    bool irq = spin_lock_irq(&processes_lock);
    const struct thread *thread = id > 0 ? thread_find((uint32_t)id) : NULL;
    const bool own = thread != NULL && thread->process == process_current();
    spin_unlock_irq(&processes_lock, irq);
    return own;
}

static enum status check_event(const struct signal_event *event) {
    if (event->notify == SIGEV_NONE)
        return OK;
    if (event->notify != SIGEV_SIGNAL && event->notify != SIGEV_THREAD && event->notify != SIGEV_THREAD_ID)
        return ERR_INVALID;
    if (event->signal < 1 || event->signal > SIGNAL_MAX)
        return ERR_INVALID;
    return event->notify != SIGEV_THREAD_ID || thread_is_own(event->thread) ? OK : ERR_INVALID;
}

static enum status check_clock(uint64_t clock, struct cpu_clock *of_cpu) {
    *of_cpu = (struct cpu_clock){0};
    switch ((uint32_t)clock) {
    case CLOCK_REALTIME:
    case CLOCK_MONOTONIC:
    case CLOCK_BOOTTIME:
    case CLOCK_TAI:
        return OK;
    case CLOCK_REALTIME_ALARM:
    case CLOCK_BOOTTIME_ALARM:
        return ERR_NOT_SUPPORTED; /* they would wake a machine that sleeps */
    default:
        return cpu_clock_find(clock, of_cpu);
    }
}

/* timers_mutex held. */
static enum status create(uint64_t clock, struct cpu_clock of_cpu, const struct signal_event *event, uint32_t *id) {
    enum status status = free_id(id);
    struct posix_timer *timer = status == OK ? global_alloc(sizeof(*timer)) : NULL;
    if (timer == NULL)
        return ERR_AGAIN;
    list_init(&timer->timer.link);
    list_init(&timer->entry.link);
    timer->timer.process = process_current();
    timer->timer.fire = fire;
    timer->timer.expiry = UINT64_MAX;
    timer->cpu_clock = of_cpu;
    timer->cpu_timer.fire = fire_by_cpu_time;
    timer->entry.lasting = true;
    timer->entry.number = event->notify == SIGEV_NONE ? 0 : event->signal;
    timer->thread = event->notify == SIGEV_THREAD_ID ? (uint32_t)event->thread : 0;
    timer->id = *id;
    timer->realtime = clock == CLOCK_REALTIME || clock == CLOCK_TAI;
    LOCAL->timer_values[*id] = event->value;
    process_current()->posix_timers[*id] = timer;
    return OK;
}

enum status sys_timer_create(struct syscall *call) {
    struct signal_event event = {.signal = SIGALRM, .notify = SIGEV_SIGNAL};
    struct mutex *mutex = &process_current()->timers_mutex;
    uint32_t id;
    struct cpu_clock of_cpu;
    enum status status = check_clock(call->arg[0], &of_cpu);
    if (status == OK && call->arg[1] != 0)
        status = copy_from_user(&event, call->arg[1], sizeof(event));
    if (status == OK)
        status = check_event(&event);
    if (status != OK)
        return status;
    mutex_lock(mutex);
    status = create((uint32_t)call->arg[0], of_cpu, &event, &id);
    if (status == OK && call->arg[1] == 0)
        LOCAL->timer_values[id] = id;
    if (status == OK && (status = copy_to_user(call->arg[2], &id, sizeof(id))) != OK)
        destroy(find(id));
    mutex_unlock(mutex);
    return status;
}

static enum status setting_to_user(vaddr_t to, struct timer_setting setting) {
    const struct timer_spec spec = {timespec_from_ns(setting.interval), timespec_from_ns(setting.value)};
    return copy_to_user(to, &spec, sizeof(spec));
}

/* Interval and value as they are; value 0: stopped. timers_mutex held. */
static void set_by_real_time(struct posix_timer *timer, uint64_t value, uint64_t interval, bool absolute) {
    uint64_t expiry;
    timer_stop(&timer->timer);
    if (value == 0)
        return;
    if (!absolute)
        expiry = deadline_after(value);
    else
        expiry = timer->realtime ? deadline_at_realtime(value) : value;
    timer_start(&timer->timer, expiry, interval);
}

/* The same, of whichever clock. ERR_NO_PROCESS: its process has ended. */
static enum status set(struct posix_timer *timer, uint64_t value, uint64_t interval, bool absolute,
                       struct timer_setting *before) {
    if (timer->cpu_clock.id != 0) {
        const struct timer_setting setting = {.value = value, .interval = interval};
        return cpu_timer_set(&timer->cpu_timer, timer->cpu_clock, &setting, absolute, before);
    }
    *before = timer_look(&timer->timer);
    set_by_real_time(timer, value, interval, absolute);
    return OK;
}

enum status sys_timer_settime(struct syscall *call) {
    struct mutex *mutex = &process_current()->timers_mutex;
    struct timer_setting before = {0};
    uint64_t value, interval;
    enum status status = ERR_INVALID;
    if (call->arg[2] == 0)
        return ERR_INVALID;
    if ((status = timespec_from_user(call->arg[2], &interval)) != OK ||
        (status = timespec_from_user(call->arg[2] + sizeof(struct timespec), &value)) != OK)
        return status;
    mutex_lock(mutex);
    struct posix_timer *timer = find(call->arg[0]);
    status = timer != NULL ? set(timer, value, interval, call->arg[1] & TIMER_ABSTIME, &before) : ERR_INVALID;
    mutex_unlock(mutex);
    if (status != OK)
        return status;
    return call->arg[3] != 0 ? setting_to_user(call->arg[3], before) : OK;
}

enum status sys_timer_gettime(struct syscall *call) {
    struct mutex *mutex = &process_current()->timers_mutex;
    struct timer_setting setting = {0};
    mutex_lock(mutex);
    const struct posix_timer *timer = find(call->arg[0]);
    if (timer != NULL)
        setting = timer->cpu_clock.id != 0 ? cpu_timer_look(&timer->cpu_timer) : timer_look(&timer->timer);
    mutex_unlock(mutex);
    return timer != NULL ? setting_to_user(call->arg[1], setting) : ERR_INVALID;
}

enum status sys_timer_getoverrun(struct syscall *call) {
    struct process *process = process_current();
    mutex_lock(&process->timers_mutex);
    const struct posix_timer *timer = find(call->arg[0]);
    if (timer != NULL) {
        bool irq = spin_lock_irq(&process->signal_lock);
        call->result = timer->entry.queue != NULL ? timer->last_overrun : timer->entry.origin.uid;
        spin_unlock_irq(&process->signal_lock, irq);
    }
    mutex_unlock(&process->timers_mutex);
    return timer != NULL ? OK : ERR_INVALID;
}

enum status sys_timer_delete(struct syscall *call) {
    struct mutex *mutex = &process_current()->timers_mutex;
    mutex_lock(mutex);
    struct posix_timer *timer = find(call->arg[0]);
    if (timer != NULL)
        destroy(timer);
    mutex_unlock(mutex);
    return timer != NULL ? OK : ERR_INVALID;
}
