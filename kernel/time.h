/*
 * Time: nanoseconds from the TSC, wall clock from the RTC at boot.
 */
#ifndef KERNEL_TIME_H
#define KERNEL_TIME_H

#include <stdint.h>

#define NS_PER_SECOND 1000000000UL

extern uint64_t tsc_hz; /* constant after time_init */

/* Calibrates TSC and APIC timer against the PIT, reads the RTC. Interrupts off. */
void time_init(uint64_t entry_tsc);

uint64_t time_monotonic(void); /* ns since the kernel's first instruction. Any context */
uint64_t time_realtime(void);  /* ns since 1970. Any context */
uint64_t ticks_to_ns(uint64_t ticks);
uint64_t ns_to_ticks(uint64_t ns);

#endif
