/*
 * timerfd_create, timerfd_settime, timerfd_gettime: a timer that is read, polled and waited for.
 *
 * What it holds are times and a count of them: metadata. A timer that repeats is not set again when it rings but when
 * somebody looks how often it should have, so nobody pays for ticks that nobody reads. Lock: alarms_lock for all of it.
 * Runs in the caller's space; rings in the timer interrupt.
 */
#include "kernel/timerfd.h"

#include "arch/uaccess.h"
#include "kernel/alarm.h"
#include "kernel/file_abi.h"
#include "kernel/ipc_abi.h"
#include "kernel/open_file.h"
#include "kernel/permission.h"
#include "kernel/poll.h"
#include "kernel/syscall_table.h"
#include "kernel/time.h"
#include "kernel/timespec.h"
#include "mm/heap.h"

enum timer_clock {
    CLOCK_REALTIME = 0,
    CLOCK_MONOTONIC = 1,
    CLOCK_BOOTTIME = 7,
    CLOCK_REALTIME_ALARM = 8,
    CLOCK_BOOTTIME_ALARM = 9,
};

#define TFD_TIMER_ABSTIME       1U
#define TFD_TIMER_CANCEL_ON_SET 2U

struct timer_file {
    struct alarm alarm;
    struct wait_queue rang;
    uint64_t count;    /* how often it rang since the last read */
    uint64_t interval; /* ns; 0: once */
    bool overdue;      /* it rang, repeats and has not been set again */
    bool realtime;     /* constant */
    bool cancels;      /* its reader is to be told when the clock is set */
    bool cancelled;    /* it was */
    uint64_t offset;   /* of the wall clock, as alarm.at knows it */
    struct list link;  /* of those that ring by the wall clock */
};

static struct list by_wall_clock = {&by_wall_clock, &by_wall_clock}; /* struct timer_file.link */

struct timer_times { /* struct itimerspec */
    struct timespec interval, value;
};

static struct timer_file *timer_of(struct alarm *alarm) { return container_of(alarm, struct timer_file, alarm); }

static void ring(struct alarm *alarm) {
    struct timer_file *timer = timer_of(alarm);
    timer->count++;
    timer->overdue = timer->interval > 0;
    wake_all(&timer->rang);
}

/* Counts what it should have rung since it did, and sets it for the next time. The lock held. */
static void catch_up(struct timer_file *timer) {
    if (!timer->overdue)
        return;
    uint64_t now = time_monotonic(), late = now > timer->alarm.at ? now - timer->alarm.at : 0;
    timer->overdue = false;
    timer->count += late / timer->interval;
    alarm_set(&timer->alarm, timer->alarm.at + (late / timer->interval + 1) * timer->interval);
}

static uint64_t wall_clock_offset(void) { return time_realtime() - time_monotonic(); }

void timerfd_clock_was_set(void) {
    bool irq = spin_lock_irq(&alarms_lock);
    const uint64_t offset = wall_clock_offset();
    list_for_each(link, &by_wall_clock) {
        struct timer_file *timer = container_of(link, struct timer_file, link);
        uint64_t wall = timer->alarm.at + timer->offset, at = wall > offset ? wall - offset : 0;
        timer->offset = offset;
        if (list_empty(&timer->alarm.link))
            timer->alarm.at = at;
        else
            alarm_set(&timer->alarm, at);
        if (timer->cancels) {
            timer->cancelled = true;
            wake_all(&timer->rang);
        }
    }
    spin_unlock_irq(&alarms_lock, irq);
    alarms_changed();
}

static enum status timer_read(struct file *file, vaddr_t to, size_t bytes, uint64_t *offset, size_t *done) {
    struct timer_file *timer = file->target;
    uint64_t count;
    enum status status = OK;
    (void)offset;
    if (bytes < sizeof(count))
        return ERR_INVALID;
    for (;;) {
        struct waiter waiter;
        wait_begin(&timer->rang, &waiter);
        bool irq = spin_lock_irq(&alarms_lock);
        catch_up(timer);
        count = timer->cancelled ? 0 : timer->count;
        timer->count = 0;
        status = timer->cancelled ? ERR_CANCELED : OK;
        timer->cancelled = false;
        spin_unlock_irq(&alarms_lock, irq);
        if (count == 0 && status == OK)
            status = file->flags & O_NONBLOCK ? ERR_WOULD_BLOCK : wait_sleep(WAIT_FOREVER);
        wait_end(&waiter);
        if (count > 0 || status != OK)
            break;
    }
    if (count > 0) {
        alarms_changed();
        status = copy_to_user(to, &count, sizeof(count));
    }
    if (status == OK)
        *done = sizeof(count);
    return status;
}

static uint32_t timer_poll(struct file *file, struct poll_table *table) {
    struct timer_file *timer = file->target;
    bool irq = spin_lock_irq(&alarms_lock);
    poll_wait(table, &timer->rang);
    uint32_t events = timer->count > 0 || timer->cancelled ? POLLIN : 0;
    spin_unlock_irq(&alarms_lock, irq);
    return events;
}

static void timer_release(struct file *file) {
    struct timer_file *timer = file->target;
    bool irq = spin_lock_irq(&alarms_lock);
    alarm_cancel(&timer->alarm);
    list_remove(&timer->link);
    spin_unlock_irq(&alarms_lock, irq);
    global_free(timer, sizeof(*timer));
}

static const struct file_operations timer_operations = {
    .release = timer_release,
    .read = timer_read,
    .poll = timer_poll,
};

enum status sys_timerfd_create(struct syscall *call) {
    uint32_t clock = (uint32_t)call->arg[0], flags = (uint32_t)call->arg[1];
    bool wakes = clock == CLOCK_REALTIME_ALARM || clock == CLOCK_BOOTTIME_ALARM;
    struct file *file;
    if ((clock > CLOCK_MONOTONIC && clock != CLOCK_BOOTTIME && !wakes) || (flags & ~(O_CLOEXEC | O_NONBLOCK)))
        return ERR_INVALID;
    if (wakes && !permitted_as_root())
        return ERR_NOT_PERMITTED;
    struct timer_file *timer = global_alloc(sizeof(*timer));
    if (timer == NULL)
        return ERR_NO_MEMORY;
    list_init(&timer->alarm.link);
    list_init(&timer->link);
    timer->alarm.ring = ring;
    timer->realtime = clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_ALARM;
    wait_queue_init(&timer->rang);
    enum status status = file_create_on(&timer_operations, timer, RIGHT_READ | RIGHT_WRITE | RIGHT_TRANSFER, &file);
    if (status != OK) {
        global_free(timer, sizeof(*timer));
        return status;
    }
    return handle_publish_as(file, flags, &call->result);
}

/* What is left of it and how it repeats. The lock held. */
static void times_of(struct timer_file *timer, struct timer_times *times) {
    catch_up(timer);
    uint64_t now = time_monotonic(), left = 0;
    if (!list_empty(&timer->alarm.link))
        left = timer->alarm.at > now ? timer->alarm.at - now : 1; /* it is about to ring: 0 says that it is not set */
    *times = (struct timer_times){timespec_from_ns(timer->interval), timespec_from_ns(left)};
}

static uint64_t time_to_ring(const struct timer_file *timer, uint64_t value, uint32_t flags) {
    if (!(flags & TFD_TIMER_ABSTIME))
        return deadline_after(value);
    return timer->realtime ? deadline_at_realtime(value) : value;
}

static enum status set_timer(struct timer_file *timer, uint32_t flags, vaddr_t new_at, vaddr_t old_at) {
    struct timer_times before;
    uint64_t interval, value;
    enum status status = timespec_from_user(new_at + offsetof(struct timer_times, interval), &interval);
    if (status == OK)
        status = timespec_from_user(new_at + offsetof(struct timer_times, value), &value);
    if (status != OK)
        return status;
    bool irq = spin_lock_irq(&alarms_lock);
    times_of(timer, &before);
    alarm_cancel(&timer->alarm);
    timer->count = 0;
    timer->overdue = timer->cancelled = timer->cancels = false;
    timer->interval = interval;
    list_remove(&timer->link);
    if (value > 0 && timer->realtime && (flags & TFD_TIMER_ABSTIME)) {
        timer->cancels = flags & TFD_TIMER_CANCEL_ON_SET;
        timer->offset = wall_clock_offset();
        list_push_back(&by_wall_clock, &timer->link);
    }
    if (value > 0)
        alarm_set(&timer->alarm, time_to_ring(timer, value, flags));
    spin_unlock_irq(&alarms_lock, irq);
    alarms_changed();
    return old_at != 0 ? copy_to_user(old_at, &before, sizeof(before)) : OK;
}

enum status sys_timerfd_settime(struct syscall *call) {
    uint32_t flags = (uint32_t)call->arg[1];
    struct file *file;
    if (flags & ~(TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET))
        return ERR_INVALID;
    enum status status = handle_get_kind((int)call->arg[0], &timer_operations, 0, &file);
    if (status != OK)
        return status;
    status = set_timer(file->target, flags, call->arg[2], call->arg[3]);
    file_unref(file);
    return status;
}

enum status sys_timerfd_gettime(struct syscall *call) {
    struct timer_times times;
    struct file *file;
    enum status status = handle_get_kind((int)call->arg[0], &timer_operations, 0, &file);
    if (status != OK)
        return status;
    bool irq = spin_lock_irq(&alarms_lock);
    times_of(file->target, &times);
    spin_unlock_irq(&alarms_lock, irq);
    alarms_changed();
    file_unref(file);
    return copy_to_user(call->arg[1], &times, sizeof(times));
}
