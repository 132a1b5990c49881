/*
 * setitimer, getitimer, alarm: kernel/timer.c and, of CPU time, kernel/cpu_timer.c in Linux's structures. Any space;
 * may sleep.
 */
#include "arch/uaccess.h"
#include "kernel/cpu_timer.h"
#include "kernel/syscall_table.h"
#include "kernel/time.h"
#include "kernel/timer.h"
#include "kernel/timespec.h"

enum { ITIMER_REAL, ITIMER_VIRTUAL, ITIMER_PROF };

struct itimerval {
    struct timeval interval, value;
};

/* Rounded up: a running timer never reads as 0, which means stopped. */
static struct timeval timeval_rounded_up(uint64_t ns) { return timeval_from_ns(ns + 999); }

static enum status setting_to_user(vaddr_t to, const struct timer_setting *setting) {
    struct itimerval out = {timeval_rounded_up(setting->interval), timeval_rounded_up(setting->value)};

    return copy_to_user(to, &out, sizeof(out));
}

enum status sys_getitimer(struct syscall *call) {
    const uint32_t which = (uint32_t)call->arg[0];

    if (which > ITIMER_PROF)
        return ERR_INVALID;
    struct timer_setting setting = which == ITIMER_REAL ? timer_get() : interval_timer_get(which - ITIMER_VIRTUAL);
    return setting_to_user(call->arg[1], &setting);
}

static enum status set(uint32_t which, const struct timer_setting *setting, struct timer_setting *before) {
    if (which == ITIMER_REAL)
        return timer_set(setting, before);
    *before = interval_timer_set(which - ITIMER_VIRTUAL, setting);
    return OK;
}

enum status sys_setitimer(struct syscall *call) {
    struct timer_setting setting = {0}, before;
    vaddr_t new_at = call->arg[1];
    enum status status;

    if ((uint32_t)call->arg[0] > ITIMER_PROF)
        return ERR_INVALID;
    if (new_at != 0 &&
        ((status = timeval_from_user(new_at + offsetof(struct itimerval, interval), &setting.interval)) != OK ||
         (status = timeval_from_user(new_at + offsetof(struct itimerval, value), &setting.value)) != OK))
        return status;
    if ((status = set((uint32_t)call->arg[0], &setting, &before)) != OK)
        return status;
    return call->arg[2] != 0 ? setting_to_user(call->arg[2], &before) : OK;
}

enum status sys_alarm(struct syscall *call) {
    struct timer_setting setting = {.value = (uint32_t)call->arg[0] * NS_PER_SECOND}, before;
    enum status status = timer_set(&setting, &before);

    call->result = (int64_t)((before.value + NS_PER_SECOND - 1) / NS_PER_SECOND);
    return status;
}
