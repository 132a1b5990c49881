/*
 * The battery-backed clock of a PC.
 */
#ifndef DRIVERS_RTC_H
#define DRIVERS_RTC_H

#include <stdint.h>

/* Seconds since 1970-01-01 00:00 UTC, taking the clock to run in UTC and in this century. Boot CPU, interrupts off. */
uint64_t rtc_read_unix_seconds(void);

#endif
