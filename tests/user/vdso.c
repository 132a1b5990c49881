/* Conformance: the vDSO, found by its ELF symbols, tells what system calls tell. Clocks: set, and of CPU time. */
#include <elf.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timex.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/user/lib/test.h"

#define NS_PER_SECOND 1000000000L

typedef int clock_function(clockid_t clock, struct timespec *out);
typedef int day_function(struct timeval *out, struct timezone *zone);
typedef time_t time_function(time_t *out);
typedef int cpu_function(unsigned *cpu, unsigned *node, void *unused);

static const uint8_t *image(void) {
    const uint8_t *at = (const uint8_t *)getauxval(AT_SYSINFO_EHDR); /* NOLINT */
    CHECK(at != NULL && memcmp(at, ELFMAG, SELFMAG) == 0);
    return at;
}

/* The symbol of version LINUX_2.6, or NULL: by the dynamic section alone. */
static void *find(const char *name) {
    const uint8_t *base = image();
    const Elf64_Ehdr *header = (const Elf64_Ehdr *)base;
    const Elf64_Phdr *segment = (const Elf64_Phdr *)(base + header->e_phoff);
    const Elf64_Dyn *dynamic = NULL;
    const Elf64_Sym *symbols = NULL;
    const char *strings = NULL;
    const uint16_t *versions = NULL;
    const uint32_t *hash = NULL;
    const uint8_t *bias = NULL, *definitions = NULL;

    for (int i = 0; i < header->e_phnum; i++) {
        if (segment[i].p_type == PT_LOAD) {
            bias = base + segment[i].p_offset - segment[i].p_vaddr;
        } else if (segment[i].p_type == PT_DYNAMIC) {
            dynamic = (const Elf64_Dyn *)(base + segment[i].p_offset);
        }
    }
    CHECK(bias != NULL && dynamic != NULL);
    for (; dynamic->d_tag != DT_NULL; dynamic++) {
        const uint8_t *at = bias + dynamic->d_un.d_ptr;
        switch (dynamic->d_tag) {
        case DT_STRTAB:
            strings = (const char *)at;
            break;
        case DT_SYMTAB:
            symbols = (const Elf64_Sym *)at;
            break;
        case DT_HASH:
            hash = (const uint32_t *)at;
            break;
        case DT_VERSYM:
            versions = (const uint16_t *)at;
            break;
        case DT_VERDEF:
            definitions = at;
            break;
        }
    }
    CHECK(strings != NULL && symbols != NULL && versions != NULL && definitions != NULL);
    if (hash == NULL) {
        test_skip("a vDSO without DT_HASH");
        return NULL;
    }
    for (uint32_t i = 0; i < hash[1]; i++) {
        if (symbols[i].st_shndx == SHN_UNDEF || strcmp(strings + symbols[i].st_name, name) != 0) {
            continue;
        }
        const Elf64_Verdef *version = (const Elf64_Verdef *)definitions;
        while ((version->vd_ndx & 0x7fff) != (versions[i] & 0x7fff)) {
            CHECK(version->vd_next != 0);
            version = (const Elf64_Verdef *)((const uint8_t *)version + version->vd_next);
        }
        const Elf64_Verdaux *text = (const Elf64_Verdaux *)((const uint8_t *)version + version->vd_aux);
        CHECK(strcmp(strings + text->vda_name, "LINUX_2.6") == 0);
        return (void *)(uintptr_t)(bias + symbols[i].st_value);
    }
    return NULL;
}

static int64_t ns_of(struct timespec time) { return time.tv_sec * NS_PER_SECOND + time.tv_nsec; }

static int64_t kernel_clock(clockid_t clock) {
    struct timespec time;
    CHECK_OK(syscall(SYS_clock_gettime, clock, &time));
    return ns_of(time);
}

static void symbols(void) {
    static const char *const names[] = {"__vdso_clock_gettime", "__vdso_gettimeofday", "__vdso_time", "__vdso_getcpu",
                                        "clock_gettime"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        CHECK(find(names[i]) != NULL);
    }
    CHECK(find("__vdso_nothing") == NULL);
}

static void agrees_with_kernel(void) {
    static const clockid_t clocks[] = {CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_MONOTONIC_RAW, CLOCK_BOOTTIME, CLOCK_TAI};
    clock_function *gettime = (clock_function *)(uintptr_t)find("__vdso_clock_gettime");
    for (int turn = 0; turn < 200; turn++) {
        for (size_t i = 0; i < sizeof(clocks) / sizeof(clocks[0]); i++) {
            struct timespec time;
            int64_t before = kernel_clock(clocks[i]);
            CHECK_EQ(gettime(clocks[i], &time), 0);
            int64_t after = kernel_clock(clocks[i]);
            CHECK(time.tv_nsec >= 0 && time.tv_nsec < NS_PER_SECOND);
            CHECK(before <= ns_of(time) && ns_of(time) <= after);
        }
    }
    struct timespec time;
    CHECK_EQ(gettime(CLOCK_THREAD_CPUTIME_ID, &time), 0); /* asks the kernel */
    CHECK_EQ(gettime(12345, &time), -EINVAL);
    CHECK_EQ(gettime(CLOCK_REALTIME_COARSE, &time), 0);
    CHECK_EQ(gettime(CLOCK_MONOTONIC_COARSE, &time), 0);

    day_function *day = (day_function *)(uintptr_t)find("__vdso_gettimeofday");
    time_function *seconds = (time_function *)(uintptr_t)find("__vdso_time");
    struct timeval now;
    struct timezone zone = {1, 1};
    time_t stored = 0, first = (time_t)(kernel_clock(CLOCK_REALTIME) / NS_PER_SECOND);
    CHECK_EQ(day(&now, &zone), 0);
    CHECK(now.tv_sec >= first && now.tv_usec >= 0 && now.tv_usec < 1000000);
    CHECK_EQ(day(NULL, NULL), 0);
    time_t told = seconds(&stored);
    CHECK_EQ(told, stored);
    CHECK(told >= first && told <= kernel_clock(CLOCK_REALTIME) / NS_PER_SECOND);
}

/* The C library's function is the vDSO's. */
static void library(void) {
    for (int i = 0; i < 1000; i++) {
        struct timespec time;
        int64_t before = kernel_clock(CLOCK_MONOTONIC);
        CHECK_OK(clock_gettime(CLOCK_MONOTONIC, &time));
        CHECK(before <= ns_of(time) && ns_of(time) <= kernel_clock(CLOCK_MONOTONIC));
    }
}

static _Atomic int64_t latest;
static _Atomic bool stop;

/* What any thread has read is never later than what another reads then. */
static void *read_clock(void *argument) {
    clock_function *gettime = (clock_function *)(uintptr_t)find("__vdso_clock_gettime");
    (void)argument;
    for (int i = 0; i < 20000; i++) {
        struct timespec time;
        int64_t seen = atomic_load(&latest);
        CHECK_EQ(gettime(CLOCK_MONOTONIC, &time), 0);
        CHECK(ns_of(time) >= seen);
        while (seen < ns_of(time) && !atomic_compare_exchange_weak(&latest, &seen, ns_of(time))) {
        }
    }
    return NULL;
}

static void monotonic_between_threads(void) {
    enum { THREADS = 4 };
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) {
        CHECK_EQ(pthread_create(&threads[i], NULL, read_clock, NULL), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        CHECK_EQ(pthread_join(threads[i], NULL), 0);
    }
}

static void tells_cpu(void) {
    cpu_function *getcpu_function = (cpu_function *)(uintptr_t)find("__vdso_getcpu");
    cpu_set_t allowed;
    CHECK_OK(sched_getaffinity(0, sizeof(allowed), &allowed));
    for (unsigned cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        unsigned got = 9999, node = 9999;
        cpu_set_t one;
        if (!CPU_ISSET(cpu, &allowed)) {
            continue;
        }
        CPU_ZERO(&one);
        CPU_SET(cpu, &one);
        CHECK_OK(sched_setaffinity(0, sizeof(one), &one));
        CHECK_EQ(getcpu_function(&got, &node, NULL), 0);
        CHECK_EQ(got, cpu);
        CHECK(node < 64);
        CHECK_EQ(sched_getcpu(), cpu);
    }
    CHECK_EQ(getcpu_function(NULL, NULL, NULL), 0);
}

static void write_to_it(void *address) { *(volatile uint8_t *)address = 1; }

static void cannot_be_written(void) {
    uint8_t *at = (uint8_t *)(uintptr_t)image();
    CHECK_SIGNALED(test_run_child(write_to_it, at), SIGSEGV);
    CHECK_SIGNALED(test_run_child(write_to_it, at - TEST_PAGE), SIGSEGV);
    test_needs_penumbra();
    CHECK_ERRNO(mprotect(at, TEST_PAGE, PROT_READ | PROT_WRITE), EACCES);
    CHECK_ERRNO(mprotect(at - TEST_PAGE, TEST_PAGE, PROT_READ | PROT_WRITE), EACCES);
}

/* A program that lets go of it loses nothing but that. */
static void unmap_it(void *address) {
    struct timespec time;
    size_t bytes = TEST_PAGE;
    while (munmap(address, bytes) < 0) { /* Linux takes it only as a whole */
        CHECK(errno == EINVAL && bytes < 8 * TEST_PAGE);
        bytes += TEST_PAGE;
    }
    CHECK_OK(syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &time));
    _exit(0);
}

static void can_be_unmapped(void) {
    CHECK_EXITED(test_run_child(unmap_it, (void *)(uintptr_t)image()));
    CHECK(find("__vdso_time") != NULL);
}

/* --- Clocks that are set --- */

static void *read_while_set(void *argument) {
    struct timespec monotonic, before = {0, 0};
    (void)argument;
    while (!atomic_load(&stop)) {
        CHECK_OK(clock_gettime(CLOCK_MONOTONIC, &monotonic));
        CHECK(ns_of(monotonic) >= ns_of(before));
        before = monotonic;
        int64_t wall = kernel_clock(CLOCK_REALTIME);
        struct timespec told;
        CHECK_OK(clock_gettime(CLOCK_REALTIME, &told));
        /* One of the two times that the other thread sets, never half of each. */
        const int64_t difference = ns_of(told) - wall, hour = 3600 * NS_PER_SECOND;
        const int64_t hours = (difference + (difference < 0 ? -hour : hour) / 2) / hour;
        CHECK(hours == 0 || hours == -1000 || hours == 1000);
        CHECK(llabs(difference - hours * hour) < 60 * NS_PER_SECOND);
    }
    return NULL;
}

static void settime(void) {
    test_needs_penumbra(); /* the machine's clock */
    pthread_t thread;
    struct timespec start, now, wrong = {.tv_nsec = -1}, too_early = {0, 0}, too_late = {8277292037, 0};
    CHECK_OK(clock_gettime(CLOCK_REALTIME, &start));
    int64_t monotonic = kernel_clock(CLOCK_MONOTONIC);
    CHECK_EQ(pthread_create(&thread, NULL, read_while_set, NULL), 0);
    for (int turn = 0; turn < 50; turn++) {
        struct timespec there = {start.tv_sec + 3600 * 1000, start.tv_nsec};
        CHECK_OK(clock_settime(CLOCK_REALTIME, &there));
        CHECK_OK(clock_gettime(CLOCK_REALTIME, &now));
        CHECK(ns_of(now) >= ns_of(there));
        CHECK(kernel_clock(CLOCK_REALTIME) >= ns_of(now));
        CHECK_OK(clock_settime(CLOCK_REALTIME, &start));
        CHECK_OK(clock_gettime(CLOCK_REALTIME, &now));
        CHECK(ns_of(now) < ns_of(there));
    }
    atomic_store(&stop, true);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    CHECK_ERRNO(syscall(SYS_clock_settime, CLOCK_MONOTONIC, &start), EINVAL);
    CHECK_ERRNO(syscall(SYS_clock_settime, CLOCK_REALTIME, &wrong), EINVAL);
    CHECK_ERRNO(syscall(SYS_clock_settime, CLOCK_REALTIME, &too_early), EINVAL);
    CHECK_ERRNO(syscall(SYS_clock_settime, CLOCK_REALTIME, &too_late), EINVAL);
    CHECK_ERRNO(syscall(SYS_clock_settime, CLOCK_REALTIME, 8), EFAULT);

    /* Who waits for a time that is no more to come is woken by the setting. */
    pid_t pid = fork();
    if (pid == 0) {
        struct timespec until = {start.tv_sec + 1000, 0};
        CHECK_EQ(clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &until, NULL), 0);
        _exit(0);
    }
    test_sleep_ms(50);
    struct timespec later = {start.tv_sec + 1001, 0};
    CHECK_OK(clock_settime(CLOCK_REALTIME, &later));
    CHECK_EXITED(test_wait(pid));

    int64_t passed = kernel_clock(CLOCK_MONOTONIC) - monotonic;
    start.tv_sec += (start.tv_nsec + passed) / NS_PER_SECOND;
    start.tv_nsec = (start.tv_nsec + passed) % NS_PER_SECOND;
    CHECK_OK(clock_settime(CLOCK_REALTIME, &start));
    pid = fork();
    if (pid == 0) {
        CHECK_OK(setuid(65534));
        CHECK_ERRNO(clock_settime(CLOCK_REALTIME, &start), EPERM);
        _exit(0);
    }
    CHECK_EXITED(test_wait(pid));
}

static void adjtimes(void) {
    struct timex timex = {.modes = 0};
    int state = (int)CHECK_OK(adjtimex(&timex));
    CHECK(state >= TIME_OK && state <= TIME_ERROR);
    CHECK_EQ(timex.tick, 10000);
    CHECK(timex.time.tv_sec > 0);
    int64_t now = kernel_clock(CLOCK_REALTIME) / NS_PER_SECOND;
    CHECK(now - timex.time.tv_sec <= 1);
    timex.modes = 0;
    CHECK_OK(syscall(SYS_clock_adjtime, CLOCK_REALTIME, &timex));
    CHECK_ERRNO(syscall(SYS_clock_adjtime, CLOCK_MONOTONIC, &timex), EOPNOTSUPP);
    CHECK_ERRNO(syscall(SYS_clock_adjtime, 12345, &timex), EINVAL);
    CHECK_ERRNO(syscall(SYS_adjtimex, 8), EFAULT);
    pid_t pid = fork();
    if (pid == 0) {
        CHECK(getuid() != 0 || setuid(65534) == 0);
        timex.modes = ADJ_MAXERROR;
        CHECK_ERRNO(adjtimex(&timex), EPERM);
        timex.modes = 0;
        CHECK_OK(adjtimex(&timex));
        _exit(0);
    }
    CHECK_EXITED(test_wait(pid));
    test_needs_penumbra();
    struct timex shift = {.modes = ADJ_SETOFFSET, .time = {.tv_sec = 500}};
    CHECK_OK(adjtimex(&shift));
    CHECK(kernel_clock(CLOCK_REALTIME) / NS_PER_SECOND >= now + 500);
    shift.time.tv_sec = -500;
    CHECK_OK(adjtimex(&shift));
    CHECK(kernel_clock(CLOCK_REALTIME) / NS_PER_SECOND < now + 500);
    struct timex leap = {.modes = ADJ_TAI, .constant = 37};
    CHECK_OK(adjtimex(&leap));
    CHECK_EQ(leap.tai, 37);
    struct timespec wall, tai;
    CHECK_OK(clock_gettime(CLOCK_REALTIME, &wall));
    CHECK_OK(clock_gettime(CLOCK_TAI, &tai));
    int64_t ahead = (ns_of(tai) - ns_of(wall)) / NS_PER_SECOND;
    CHECK(ahead == 37 || ahead == 38);
    leap.constant = 0;
    CHECK_OK(adjtimex(&leap));
}

/* --- Clocks of CPU time --- */

static void spin(int ms) {
    struct timespec start, now;
    CHECK_OK(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &start));
    do {
        CHECK_OK(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now));
    } while (ns_of(now) - ns_of(start) < ms * 1000000L);
}

static void cpu_clocks(void) {
    clockid_t clock, thread;
    int ends[2];
    char byte;
    CHECK_EQ(clock_getcpuclockid(0, &clock), 0);
    spin(20);
    int64_t mine = kernel_clock(clock);
    CHECK(mine >= 20000000);
    CHECK(kernel_clock(CLOCK_PROCESS_CPUTIME_ID) >= mine);
    CHECK_EQ(pthread_getcpuclockid(pthread_self(), &thread), 0);
    CHECK(kernel_clock(thread) >= 20000000);

    CHECK_OK(pipe(ends));
    pid_t pid = fork();
    if (pid == 0) {
        spin(30);
        CHECK_EQ(write(ends[1], "x", 1), 1);
        pause();
    }
    CHECK_EQ(read(ends[0], &byte, 1), 1);
    CHECK_EQ(clock_getcpuclockid(pid, &clock), 0);
    CHECK(kernel_clock(clock) >= 30000000);
    CHECK(kernel_clock(clock) < 30L * NS_PER_SECOND);
    /* Threads of others have none for us. */
    struct timespec time;
    clockid_t others = (clockid_t)((~(unsigned)pid << 3) | 6);
    CHECK_ERRNO(syscall(SYS_clock_gettime, others, &time), EINVAL);
    CHECK_OK(kill(pid, SIGKILL));
    test_wait(pid);
    CHECK_ERRNO(syscall(SYS_clock_gettime, clock, &time), EINVAL);
    CHECK_ERRNO(syscall(SYS_clock_gettime, clock | 3, &time), EINVAL);
    CHECK_ERRNO(syscall(SYS_clock_nanosleep, CLOCK_THREAD_CPUTIME_ID, 0, &time, NULL), EOPNOTSUPP);
    CHECK_ERRNO(syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC_RAW, 0, &time, NULL), EOPNOTSUPP);
    CHECK_ERRNO(syscall(SYS_clock_nanosleep, 12345, 0, &time, NULL), EINVAL);
}

static const struct test_case cases[] = {
    {"symbols", symbols},
    {"agrees-with-kernel", agrees_with_kernel},
    {"library", library},
    {"monotonic-between-threads", monotonic_between_threads},
    {"tells-cpu", tells_cpu},
    {"cannot-be-written", cannot_be_written},
    {"can-be-unmapped", can_be_unmapped},
    {"settime", settime},
    {"adjtimes", adjtimes},
    {"cpu-clocks", cpu_clocks},
};
TEST_MAIN(cases)
