/*
 * The 8254 timer as a stop-watch: its rate is the one thing about time that a PC promises.
 */
#ifndef DRIVERS_PIT_H
#define DRIVERS_PIT_H

#include <stdint.h>

#define PIT_MS_MAX 50

/* Starts a countdown of `ms` milliseconds (1 to PIT_MS_MAX). Boot CPU, interrupts off. */
void pit_start(unsigned ms);

/* Waits until the countdown ends; gives up after some seconds where the timer does not count. */
void pit_wait(void);

/* How many TSC ticks go by in `ms` milliseconds. */
uint64_t pit_measure_tsc(unsigned ms);

#endif
