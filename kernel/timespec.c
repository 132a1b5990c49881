/*
 * Conversions between user space's times and nanoseconds. No state, no locks, any space.
 */
#include "kernel/timespec.h"

#include "arch/cpu.h"
#include "arch/uaccess.h"
#include "kernel/thread.h"
#include "kernel/time.h"
#include "kernel/wait.h"

/* `fraction` counts parts of a second, `unit` nanoseconds each. */
static enum status join(int64_t seconds, int64_t fraction, uint64_t unit, uint64_t *ns) {
    if (seconds < 0 || fraction < 0 || (uint64_t)fraction >= NS_PER_SECOND / unit)
        return ERR_INVALID;
    *ns = (uint64_t)seconds >= DURATION_MAX / NS_PER_SECOND
              ? DURATION_MAX
              : (uint64_t)seconds * NS_PER_SECOND + (uint64_t)fraction * unit;
    return OK;
}

enum status timespec_from_user(vaddr_t from, uint64_t *ns) {
    struct timespec time;
    enum status status = copy_from_user(&time, from, sizeof(time));

    return status != OK ? status : join(time.seconds, time.nanoseconds, 1, ns);
}

enum status timeval_from_user(vaddr_t from, uint64_t *ns) {
    struct timeval time;
    enum status status = copy_from_user(&time, from, sizeof(time));

    return status != OK ? status : join(time.seconds, time.microseconds, 1000, ns);
}

struct timespec timespec_from_ns(uint64_t ns) {
    return (struct timespec){.seconds = (int64_t)(ns / NS_PER_SECOND), .nanoseconds = (int64_t)(ns % NS_PER_SECOND)};
}

struct timeval timeval_from_ns(uint64_t ns) {
    return (struct timeval){.seconds = (int64_t)(ns / NS_PER_SECOND),
                            .microseconds = (int64_t)(ns % NS_PER_SECOND / 1000)};
}

enum status timespec_to_user(vaddr_t to, uint64_t ns) {
    struct timespec time = timespec_from_ns(ns);

    return copy_to_user(to, &time, sizeof(time));
}

uint64_t deadline_after(uint64_t ns) { return ns >= DURATION_MAX ? WAIT_FOREVER : time_monotonic() + ns; }

uint64_t deadline_of_call(uint64_t ns) {
    struct thread *self = thread_current();
    const uint64_t kept = self->call_deadline;

    self->call_deadline = 0;
    return kept != 0 ? kept : deadline_after(ns);
}

enum status deadline_keep(enum status status, uint64_t deadline) {
    if (status == ERR_RESTART && deadline != WAIT_FOREVER)
        thread_current()->call_deadline = deadline;
    return status;
}

uint64_t deadline_at_realtime(uint64_t ns) {
    uint64_t now = time_realtime();

    return ns <= now ? 0 : deadline_after(ns - now);
}
