/*
 * The page of data that kernel and vDSO share: how a TSC becomes a time. Public: every process has it mapped to read.
 *
 * A reader takes `sequence`, reads, and begins again if it was odd or is another one now. Who writes makes it odd
 * first.
 */
#ifndef KERNEL_VDSO_DATA_H
#define KERNEL_VDSO_DATA_H

#include <stdint.h>

struct vdso_data {
    uint32_t sequence;
    uint32_t usable;     /* 0: the TSC is no clock here, ask the kernel */
    uint64_t first_tick; /* TSC at time 0 of the monotonic clocks */
    uint64_t ns_factor;  /* ns = ticks * ns_factor >> VDSO_NS_SHIFT */
    uint64_t realtime;   /* ns since 1970 at time 0 */
    uint64_t tai;        /* the same for CLOCK_TAI */
};

#define VDSO_NS_SHIFT 32 /* the factor fits for any TSC above 1 Hz */

static inline uint64_t vdso_ticks_to_ns(uint64_t ticks, uint64_t factor) {
    return (uint64_t)(((unsigned __int128)ticks * factor) >> VDSO_NS_SHIFT);
}

#endif
