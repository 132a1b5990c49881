/*
 * Linux's struct timespec and struct timeval in user memory, and nanoseconds.
 */
#ifndef KERNEL_TIMESPEC_H
#define KERNEL_TIMESPEC_H

#include <stdint.h>

#include "kernel/status.h"
#include "mm/types.h"

struct timespec {
    int64_t seconds, nanoseconds;
};
struct timeval {
    int64_t seconds, microseconds;
};

/* Nanoseconds that stand for "longer than the machine will run": no sum of it with a clock overflows. */
#define DURATION_MAX (UINT64_MAX / 4)

/*
 * Reads a duration or a point of time; larger ones than DURATION_MAX become that. ERR_INVALID (negative, or a fraction
 * out of range), ERR_FAULT. May sleep.
 */
MUST_USE enum status timespec_from_user(vaddr_t from, uint64_t *ns);
MUST_USE enum status timeval_from_user(vaddr_t from, uint64_t *ns);

struct timespec timespec_from_ns(uint64_t ns);
struct timeval timeval_from_ns(uint64_t ns); /* rounded down */
MUST_USE enum status timespec_to_user(vaddr_t to, uint64_t ns);

/* The point of time_monotonic() that is `ns` from now; DURATION_MAX and more: WAIT_FOREVER. */
uint64_t deadline_after(uint64_t ns);
/*
 * The same for a wait that a signal may end with ERR_RESTART: started again with the same arguments, it has the
 * deadline that it had (deadline_of_call()), if it said so before (deadline_keep()). A handler makes it EINTR,
 * whatever SA_RESTART says.
 */
uint64_t deadline_of_call(uint64_t ns);
/* Passes `status` on; ERR_RESTART has the calling thread remember the deadline. */
MUST_USE enum status deadline_keep(enum status status, uint64_t deadline);
/* The point of time_monotonic() at which time_realtime() is `ns`. */
uint64_t deadline_at_realtime(uint64_t ns);

#endif
