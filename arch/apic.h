/*
 * The local APIC (xAPIC, memory-mapped) with its timer, the I/O APIC for the serial port's interrupt, and the 8259s
 * silenced.
 */
#ifndef ARCH_APIC_H
#define ARCH_APIC_H

#include <stdbool.h>
#include <stdint.h>

#define VECTOR_TIMER    0x20
#define VECTOR_SERIAL   0x24
#define VECTOR_SPURIOUS 0xff

/* Maps and enables the APICs. Boot CPU, interrupts off, after mm is up. Panics with one line where there is no local
 * APIC. */
void apic_init(void);

/* Acknowledges the interrupt in service. Interrupts off. */
void apic_end_of_interrupt(void);

/* Calibrates the timer: to be called around a wait of `ms` milliseconds. */
void apic_timer_calibrate_begin(void);
void apic_timer_calibrate_end(unsigned ms);

/* One interrupt at VECTOR_TIMER after `ns` nanoseconds (at least one timer tick); 0 stops it. */
void apic_timer_arm(uint64_t ns);

#endif
