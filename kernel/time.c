/*
 * Time: the TSC, scaled to nanoseconds by one multiplication and a shift; the wall clock is an offset to it.
 *
 * Everything here is written once, by time_init() on the boot CPU, and constant afterwards: no lock. Class GLOBAL. Any
 * space.
 */
#include "kernel/time.h"

#include "arch/cpu.h"
#include "drivers/pit.h"
#include "drivers/rtc.h"
#include "kernel/assert.h"

enum {
    CALIBRATION_MS = 10,
    CALIBRATION_RUNS = 2,
    CALIBRATION_RUNS_MAX = 50,
    NS_SHIFT = 32,    /* ns = ticks * ns_factor >> 32: the factor fits for any TSC above 1 Hz */
    TICKS_SHIFT = 30, /* ticks = ns * ticks_factor >> 30: the factor fits for any TSC below 17 GHz */
};

uint64_t tsc_hz;
static uint64_t ns_factor, ticks_factor;
static uint64_t first_tick;    /* TSC at the kernel's first instruction */
static uint64_t boot_realtime; /* ns since 1970 at that moment */

static uint64_t scale(uint64_t value, uint64_t factor, unsigned shift) {
    return (uint64_t)(((unsigned __int128)value * factor) >> shift);
}

static bool is_frequency(uint64_t hz) { return hz > 0 && hz >> (64 - TICKS_SHIFT) == 0; }

/*
 * The least of some measurements: whatever disturbs one (a host that takes the CPU away) only makes it longer. More of
 * them, if a busy host has disturbed all so far beyond belief.
 */
static uint64_t measure_tsc_hz(void) {
    uint64_t least = UINT64_MAX;

    for (unsigned i = 0; i < CALIBRATION_RUNS || (i < CALIBRATION_RUNS_MAX && !is_frequency(least)); i++) {
        uint64_t hz = pit_measure_tsc(CALIBRATION_MS) * (1000 / CALIBRATION_MS);
        if (hz < least)
            least = hz;
    }
    return least;
}

void time_init(uint64_t entry_tsc) {
    tsc_hz = measure_tsc_hz();
    ensure(is_frequency(tsc_hz));
    ns_factor = (NS_PER_SECOND << NS_SHIFT) / tsc_hz;
    ticks_factor = (tsc_hz << TICKS_SHIFT) / NS_PER_SECOND;
    first_tick = entry_tsc;
    boot_realtime = rtc_read_unix_seconds() * NS_PER_SECOND - time_monotonic();
}

uint64_t ticks_to_ns(uint64_t ticks) { return scale(ticks, ns_factor, NS_SHIFT); }

uint64_t ns_to_ticks(uint64_t ns) { return scale(ns, ticks_factor, TICKS_SHIFT); }

uint64_t time_monotonic(void) { return ticks_to_ns(__builtin_ia32_rdtsc() - first_tick); }

uint64_t time_realtime(void) { return boot_realtime + time_monotonic(); }
