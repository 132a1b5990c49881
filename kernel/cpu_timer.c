/*
 * Owns: which timers go by whose CPU time.
 *
 * A timer hangs in the process whose time it measures, which may be another than its owner's. Either may end first:
 * the end of the measured one takes the timer out of its list, and its owner stops it before it frees it.
 * Lock: processes_lock, also while a timer fires. Class GLOBAL. Any space.
 */
#include "kernel/cpu_timer.h"

#include "arch/cpu.h"
#include "arch/uaccess.h"
#include "kernel/process.h"
#include "kernel/process_times.h"
#include "kernel/sched.h"
#include "kernel/signal.h"
#include "kernel/signal_abi.h"
#include "kernel/time.h"
#include "kernel/timespec.h"
#include "kernel/wait.h"
#include "mm/heap.h"

/* --- Clocks by number --------------------------------------------------------------------------------------------- */

enum { CLOCK_PROCESS_CPUTIME_ID = 2, CLOCK_THREAD_CPUTIME_ID = 3 };
/* The id's complement, then three bits: whether it is a thread's, and which of its times: there is one here. */
enum { SHIFT = 3, OF_THREAD = 4, WHICH = 3, WHICH_NONE = 3 };

enum status cpu_clock_find(uint64_t number, struct cpu_clock *out) {
    const int32_t clock = (int32_t)number;
    *out = (struct cpu_clock){0};
    if (clock == CLOCK_THREAD_CPUTIME_ID)
        out->of_thread = true;
    else if (clock < 0 && (clock & WHICH) != WHICH_NONE)
        *out = (struct cpu_clock){~(uint32_t)clock >> SHIFT, clock & OF_THREAD};
    else if (clock != CLOCK_PROCESS_CPUTIME_ID)
        return ERR_INVALID;
    if (out->id == 0)
        out->id = out->of_thread ? thread_current()->id : process_current()->id;
    uint64_t unused;
    return cpu_time_of(out->id, out->of_thread, &unused) ? OK : ERR_INVALID;
}

/* --- One timer. processes_lock held ------------------------------------------------------------------------------- */

static uint64_t used_of(const struct cpu_timer *timer) {
    return timer->thread != NULL ? cpu_time_of_thread(timer->thread) : cpu_time_of_process(timer->process);
}

static void take_out(struct cpu_timer *timer) {
    if (timer->process == NULL)
        return;
    list_remove(&timer->link);
    timer->process->cpu_timer_count--;
    timer->process = NULL;
    timer->thread = NULL;
}

static struct timer_setting setting_of(const struct cpu_timer *timer) {
    if (timer->process == NULL)
        return (struct timer_setting){0};
    const uint64_t used = used_of(timer);
    return (struct timer_setting){.value = timer->expiry > used ? timer->expiry - used : 1,
                                  .interval = timer->interval};
}

static void expire_if_due(struct cpu_timer *timer, uint64_t used) {
    uint64_t missed = 0;
    if (used < timer->expiry)
        return;
    if (timer->interval == 0)
        take_out(timer);
    else
        missed = timer_step(&timer->expiry, timer->interval, used);
    timer->fire(timer, missed);
}

static enum status start(struct cpu_timer *timer, struct cpu_clock clock, const struct timer_setting *setting,
                         bool absolute) {
    struct thread *thread = clock.of_thread ? thread_find(clock.id) : NULL;
    struct process *process = clock.of_thread ? process_current() : process_find(clock.id);
    if (process == NULL || process->dying || process == &kernel_process ||
        (clock.of_thread && (thread == NULL || thread->process != process)))
        return ERR_NO_PROCESS;
    timer->process = process;
    timer->thread = thread;
    timer->interval = setting->interval;
    const uint64_t used = used_of(timer), from = absolute ? 0 : used;
    timer->expiry = setting->value < UINT64_MAX - from ? from + setting->value : UINT64_MAX;
    list_init(&timer->link);
    list_push_back(&process->cpu_timers, &timer->link);
    process->cpu_timer_count++;
    expire_if_due(timer, used);
    return OK;
}

/* --- Their owners ------------------------------------------------------------------------------------------------- */

enum status cpu_timer_set(struct cpu_timer *timer, struct cpu_clock clock, const struct timer_setting *setting,
                          bool absolute, struct timer_setting *before) {
    bool irq = spin_lock_irq(&processes_lock);
    if (before != NULL)
        *before = setting_of(timer);
    take_out(timer);
    const enum status status = setting->value != 0 ? start(timer, clock, setting, absolute) : OK;
    spin_unlock_irq(&processes_lock, irq);
    irq = irq_save();
    sched_rescheduled(); /* the next interrupt here may have to come earlier */
    irq_restore(irq);
    return status;
}

struct timer_setting cpu_timer_look(const struct cpu_timer *timer) {
    bool irq = spin_lock_irq(&processes_lock);
    const struct timer_setting setting = setting_of(timer);
    spin_unlock_irq(&processes_lock, irq);
    return setting;
}

void cpu_timer_stop(struct cpu_timer *timer) {
    bool irq = spin_lock_irq(&processes_lock);
    take_out(timer);
    spin_unlock_irq(&processes_lock, irq);
}

/* --- Interval timers ---------------------------------------------------------------------------------------------- */

static void send_virtual(struct cpu_timer *timer, uint64_t missed) {
    (void)missed;
    signal_send_process_locked(container_of(timer, struct process, interval_timers[0]), SIGVTALRM, NULL);
}

static void send_profile(struct cpu_timer *timer, uint64_t missed) {
    (void)missed;
    signal_send_process_locked(container_of(timer, struct process, interval_timers[1]), SIGPROF, NULL);
}

struct timer_setting interval_timer_set(unsigned which, const struct timer_setting *setting) {
    struct process *self = process_current();
    struct cpu_timer *timer = &self->interval_timers[which];
    struct timer_setting before;
    timer->fire = which == 0 ? send_virtual : send_profile;
    const enum status status = cpu_timer_set(timer, (struct cpu_clock){.id = self->id}, setting, false, &before);
    (void)status; /* the caller is there */
    return before;
}

struct timer_setting interval_timer_get(unsigned which) {
    return cpu_timer_look(&process_current()->interval_timers[which]);
}

/* --- Sleeping ----------------------------------------------------------------------------------------------------- */

/* GLOBAL, as the waker stands in another space. */
struct sleep {
    struct cpu_timer timer;
    struct wait_queue queue;
};

static void wake_sleeper(struct cpu_timer *timer, uint64_t missed) {
    (void)missed;
    wake_all(&container_of(timer, struct sleep, timer)->queue);
}

/* Until the timer stands still: it has fired, or its process has ended. ERR_RESTART: a signal came first. */
static enum status sleep_on(struct sleep *sleep, uint64_t *left) {
    struct waiter waiter;
    enum status status = OK;
    wait_begin(&sleep->queue, &waiter);
    while ((*left = cpu_timer_look(&sleep->timer).value) != 0 && status == OK)
        status = signal_pending() ? ERR_RESTART : wait_sleep(WAIT_FOREVER);
    wait_end(&waiter);
    return *left == 0 ? OK : ERR_RESTART;
}

enum status cpu_clock_sleep(uint64_t number, uint64_t ns, bool absolute, vaddr_t remaining_at) {
    struct cpu_clock clock;
    enum status status = cpu_clock_find(number, &clock);
    uint64_t left = 0;
    if (status == OK && clock.of_thread && clock.id == thread_current()->id)
        status = ERR_INVALID; /* who sleeps uses none */
    if (status != OK || (ns == 0 && !absolute))
        return status;
    struct sleep *sleep = global_alloc(sizeof(*sleep));
    if (sleep == NULL)
        return ERR_NO_MEMORY;
    wait_queue_init(&sleep->queue);
    sleep->timer.fire = wake_sleeper;
    const struct timer_setting setting = {.value = ns != 0 ? ns : 1};
    status = cpu_timer_set(&sleep->timer, clock, &setting, absolute, NULL);
    if (status == OK)
        status = sleep_on(sleep, &left);
    cpu_timer_stop(&sleep->timer);
    global_free(sleep, sizeof(*sleep));
    if (status != ERR_RESTART || absolute)
        return status;
    status = remaining_at != 0 ? timespec_to_user(remaining_at, left) : OK;
    return status != OK ? status : ERR_INTERRUPTED;
}

/* --- Those whose time it is --------------------------------------------------------------------------------------- */

void cpu_timers_tick(void) {
    struct process *process = process_current();
    if (__builtin_expect(process->cpu_timer_count == 0, 1))
        return;
    spin_lock(&processes_lock);
    const uint64_t used = cpu_time_of_process(process);
    list_for_each_safe(link, &process->cpu_timers) {
        struct cpu_timer *timer = container_of(link, struct cpu_timer, link);
        expire_if_due(timer, timer->thread != NULL ? cpu_time_of_thread(timer->thread) : used);
    }
    spin_unlock(&processes_lock);
}

void cpu_timers_forget(bool last) {
    list_for_each_safe(link, &process_current()->cpu_timers) {
        struct cpu_timer *timer = container_of(link, struct cpu_timer, link);
        if (!last && timer->thread != thread_current())
            continue;
        take_out(timer);
        if (timer->fire == wake_sleeper)
            wake_sleeper(timer, 0);
    }
}
