/*
 * The vDSO: what user code can find out without a system call. Runs in user mode, in every process; kernel/vdso.c maps
 * it, and the page of data before it.
 *
 * It is compiled apart from the kernel, to be put anywhere, and has no data of its own. What it cannot answer it asks
 * the kernel.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "arch/selectors.h"
#include "kernel/vdso_data.h"

struct timespec {
    int64_t seconds, nanoseconds;
};
struct timeval {
    int64_t seconds, microseconds;
};
struct timezone {
    int32_t minutes_west, dst_time;
};

enum clock {
    CLOCK_REALTIME = 0,
    CLOCK_MONOTONIC = 1,
    CLOCK_MONOTONIC_RAW = 4,
    CLOCK_REALTIME_COARSE = 5,
    CLOCK_MONOTONIC_COARSE = 6,
    CLOCK_BOOTTIME = 7,
    CLOCK_TAI = 11,
};

enum { SYS_gettimeofday = 96, SYS_time = 201, SYS_clock_gettime = 228, SYS_clock_getres = 229 };

#define NS_PER_SECOND 1000000000UL

/* Placed by vdso.ld. */
extern const volatile struct vdso_data vdso_data __attribute__((visibility("hidden")));

#define EXPORT(name) __typeof__(__vdso_##name) name __attribute__((weak, alias("__vdso_" #name), visibility("default")))

int __vdso_clock_gettime(int32_t clock, struct timespec *out);
int __vdso_clock_getres(int32_t clock, struct timespec *out);
int __vdso_gettimeofday(struct timeval *out, struct timezone *zone);
int64_t __vdso_time(int64_t *out);
int __vdso_getcpu(unsigned *cpu, unsigned *node, void *unused);

static int64_t ask_kernel(int64_t number, int64_t first, const void *second) {
    int64_t result;

    __asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(first), "S"(second) : "rcx", "r11", "memory");
    return result;
}

/* Not before what was read before it. */
static uint64_t read_tsc(void) {
    uint32_t low, high;

    __asm__ volatile("lfence; rdtsc" : "=a"(low), "=d"(high)::"memory");
    return (uint64_t)high << 32 | low;
}

enum base { SINCE_BOOT, SINCE_1970, SINCE_1970_TAI };

/* False: the kernel is to be asked. */
static bool read_clock(enum base base, uint64_t *ns) {
    const volatile struct vdso_data *data = &vdso_data;
    uint32_t sequence;
    uint64_t offset;

    do {
        sequence = data->sequence;
        offset = base == SINCE_BOOT ? 0 : base == SINCE_1970 ? data->realtime : data->tai;
        *ns = offset + vdso_ticks_to_ns(read_tsc() - data->first_tick, data->ns_factor);
    } while (sequence & 1 || sequence != data->sequence);
    return data->usable;
}

/* False: not one of those that are read here. */
static bool base_of(int32_t clock, enum base *base) {
    switch (clock) {
    case CLOCK_REALTIME:
    case CLOCK_REALTIME_COARSE:
        *base = SINCE_1970;
        return true;
    case CLOCK_MONOTONIC:
    case CLOCK_MONOTONIC_RAW:
    case CLOCK_MONOTONIC_COARSE:
    case CLOCK_BOOTTIME:
        *base = SINCE_BOOT;
        return true;
    case CLOCK_TAI:
        *base = SINCE_1970_TAI;
        return true;
    default:
        return false;
    }
}

int __vdso_clock_gettime(int32_t clock, struct timespec *out) {
    enum base base;
    uint64_t ns;

    if (!base_of(clock, &base) || !read_clock(base, &ns))
        return (int)ask_kernel(SYS_clock_gettime, clock, out);
    out->seconds = (int64_t)(ns / NS_PER_SECOND);
    out->nanoseconds = (int64_t)(ns % NS_PER_SECOND);
    return 0;
}
EXPORT(clock_gettime);

int __vdso_clock_getres(int32_t clock, struct timespec *out) {
    enum base base;

    if (!base_of(clock, &base))
        return (int)ask_kernel(SYS_clock_getres, clock, out);
    if (out != NULL)
        *out = (struct timespec){0, 1};
    return 0;
}
EXPORT(clock_getres);

int __vdso_gettimeofday(struct timeval *out, struct timezone *zone) {
    uint64_t ns;

    if (!read_clock(SINCE_1970, &ns))
        return (int)ask_kernel(SYS_gettimeofday, (int64_t)out, zone);
    if (out != NULL)
        *out = (struct timeval){(int64_t)(ns / NS_PER_SECOND), (int64_t)(ns % NS_PER_SECOND / 1000)};
    if (zone != NULL)
        *zone = (struct timezone){0, 0};
    return 0;
}
EXPORT(gettimeofday);

int64_t __vdso_time(int64_t *out) {
    uint64_t ns;

    if (!read_clock(SINCE_1970, &ns))
        return ask_kernel(SYS_time, (int64_t)out, NULL);
    if (out != NULL)
        *out = (int64_t)(ns / NS_PER_SECOND);
    return (int64_t)(ns / NS_PER_SECOND);
}
EXPORT(time);

/* The CPU's number is the limit of a segment that each has a descriptor of (arch/descriptors.c). There is one node. */
int __vdso_getcpu(unsigned *cpu, unsigned *node, void *unused) {
    uint32_t number;

    (void)unused;
    __asm__ volatile("lsl %1, %0" : "=r"(number) : "r"((uint32_t)CPU_NUMBER_SELECTOR));
    if (cpu != NULL)
        *cpu = number;
    if (node != NULL)
        *node = 0;
    return 0;
}
EXPORT(getcpu);
