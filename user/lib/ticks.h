/*
 * The clock of the benchmarks: the time-stamp counter, read in program order.
 */
#ifndef USER_LIB_TICKS_H
#define USER_LIB_TICKS_H

#include <stdint.h>

/* TSC ticks. The fences keep the work that is measured on its own side of the reading. */
static inline uint64_t ticks_now(void) {
    __builtin_ia32_lfence();
    uint64_t now = __builtin_ia32_rdtsc();
    __builtin_ia32_lfence();
    return now;
}

#endif
