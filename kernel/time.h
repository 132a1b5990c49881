/*
 * Time: nanoseconds from the TSC, wall clock from the RTC at boot.
 */
#ifndef KERNEL_TIME_H
#define KERNEL_TIME_H

#include <stdbool.h>
#include <stdint.h>

#include "kernel/wait.h"

#define NS_PER_SECOND 1000000000UL

extern uint64_t tsc_hz; /* constant after time_init */

/* Calibrates TSC and APIC timer against the PIT, reads the RTC. Interrupts off. */
void time_init(uint64_t entry_tsc);

uint64_t time_monotonic(void); /* ns since the kernel's first instruction. Any context */
uint64_t time_realtime(void);  /* ns since 1970. Any context */
uint64_t time_tai(void);       /* the same with leap seconds, as far as anybody has said how many */
int32_t time_tai_offset(void); /* that many */
uint64_t ticks_to_ns(uint64_t ticks);
uint64_t ns_to_ticks(uint64_t ns);

/*
 * Sets the wall clock; those who wait for a time on it are in time_was_set, and woken to look again. False: that would
 * have been before 1970 when the machine started. No spinlock held.
 */
bool time_set_realtime(uint64_t ns);
void time_set_tai_offset(int32_t seconds);
extern struct wait_queue time_was_set;

struct vdso_data;
/* All but its sequence. With the lock of the setters, or at boot. */
void time_describe(struct vdso_data *data);

#endif
