/*
 * Time: the TSC, scaled to nanoseconds by one multiplication and a shift; the wall clock is an offset to it.
 *
 * Everything but the offsets is written once, by time_init() on the boot CPU, and constant afterwards. Who sets the
 * clock holds time_lock; who reads it sees the offset before or after. Class GLOBAL. Any space.
 */
#include "kernel/time.h"

#include "arch/cpu.h"
#include "drivers/pit.h"
#include "drivers/rtc.h"
#include "kernel/assert.h"
#include "kernel/timerfd.h"
#include "kernel/timespec.h"
#include "kernel/vdso.h"
#include "kernel/vdso_data.h"

enum {
    CALIBRATION_MS = 10,
    CALIBRATION_RUNS = 2,
    CALIBRATION_RUNS_MAX = 50,
    TICKS_SHIFT = 30, /* ticks = ns * ticks_factor >> 30: the factor fits for any TSC below 17 GHz */
};

uint64_t tsc_hz;
static uint64_t ns_factor, ticks_factor;
static uint64_t first_tick; /* TSC at the kernel's first instruction */

static struct spinlock time_lock = SPINLOCK_INIT(RANK_TIME);
static uint64_t boot_realtime; /* ns since 1970 at the first tick. Written with time_lock, atomic */
static int32_t tai_offset;     /* seconds. Likewise */

struct wait_queue time_was_set = WAIT_QUEUE_INIT(time_was_set);

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
    ns_factor = (NS_PER_SECOND << VDSO_NS_SHIFT) / tsc_hz;
    ticks_factor = (tsc_hz << TICKS_SHIFT) / NS_PER_SECOND;
    first_tick = entry_tsc;
    boot_realtime = rtc_read_unix_seconds() * NS_PER_SECOND - time_monotonic();
}

uint64_t ticks_to_ns(uint64_t ticks) { return vdso_ticks_to_ns(ticks, ns_factor); }

uint64_t ns_to_ticks(uint64_t ns) { return scale(ns, ticks_factor, TICKS_SHIFT); }

uint64_t time_monotonic(void) { return ticks_to_ns(__builtin_ia32_rdtsc() - first_tick); }

uint64_t time_realtime(void) { return __atomic_load_n(&boot_realtime, __ATOMIC_RELAXED) + time_monotonic(); }

static uint64_t tai_ns(void) { return (uint64_t)(int64_t)time_tai_offset() * NS_PER_SECOND; }

int32_t time_tai_offset(void) { return __atomic_load_n(&tai_offset, __ATOMIC_RELAXED); }

uint64_t time_tai(void) { return time_realtime() + tai_ns(); }

void time_describe(struct vdso_data *data) {
    data->usable = 1;
    data->first_tick = first_tick;
    data->ns_factor = ns_factor;
    data->realtime = boot_realtime;
    data->tai = boot_realtime + tai_ns();
}

bool time_set_realtime(uint64_t ns) {
    spin_lock(&time_lock);
    const uint64_t now = time_monotonic();
    const bool possible = ns >= now && ns < DURATION_MAX; /* not before 1970, and before 2116 */
    if (possible) {
        __atomic_store_n(&boot_realtime, ns - now, __ATOMIC_RELAXED);
        vdso_update();
    }
    spin_unlock(&time_lock);
    if (possible) {
        wake_all(&time_was_set);
        timerfd_clock_was_set();
    }
    return possible;
}

void time_set_tai_offset(int32_t seconds) {
    spin_lock(&time_lock);
    __atomic_store_n(&tai_offset, seconds, __ATOMIC_RELAXED);
    vdso_update();
    spin_unlock(&time_lock);
    wake_all(&time_was_set);
}
