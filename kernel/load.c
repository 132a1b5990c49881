/*
 * Owns: load averages, after Linux' formula: each five seconds a = a · e^(-5/T) + n · (1 - e^(-5/T)).
 *
 * A timer interrupt comes to a CPU that does something, at the latest at the end of a slice. So in a sample that nobody
 * took everybody was idle, and the next one makes up for it.
 * Locks: none; who moves `next` on writes the averages. Any context.
 */
#include "kernel/load.h"

#include <stdbool.h>

#include "kernel/time.h"

#define PERIOD (5 * NS_PER_SECOND)
enum { ONE = 1 << LOAD_SHIFT, MISSED_MAX = 2000 };

static const uint64_t decay[3] = {1884, 2014, 2037}; /* e^(-5/60), e^(-5/300), e^(-5/900); of ONE */
static uint64_t next = PERIOD, averages[3];          /* atomic */

static uint64_t step(uint64_t average, uint64_t factor, uint64_t active) {
    const uint64_t sum = average * factor + active * (ONE - factor);
    return (active >= average ? sum + ONE - 1 : sum) / ONE;
}

bool load_is_due(uint64_t now) { return now >= __atomic_load_n(&next, __ATOMIC_RELAXED); }

void load_sample(uint64_t now, unsigned runnable) {
    uint64_t due = __atomic_load_n(&next, __ATOMIC_ACQUIRE);
    if (now < due)
        return;
    uint64_t missed = (now - due) / PERIOD;
    if (!__atomic_compare_exchange_n(&next, &due, due + (missed + 1) * PERIOD, false, __ATOMIC_ACQ_REL,
                                     __ATOMIC_RELAXED))
        return;
    missed = missed < MISSED_MAX ? missed : MISSED_MAX;
    for (unsigned i = 0; i < 3; i++) {
        uint64_t average = __atomic_load_n(&averages[i], __ATOMIC_RELAXED);
        for (uint64_t left = missed; left > 0; left--)
            average = step(average, decay[i], 0);
        __atomic_store_n(&averages[i], step(average, decay[i], (uint64_t)runnable << LOAD_SHIFT), __ATOMIC_RELAXED);
    }
}

void load_averages(uint64_t out[3]) {
    for (unsigned i = 0; i < 3; i++)
        out[i] = __atomic_load_n(&averages[i], __ATOMIC_RELAXED);
}
