/* Conformance: clocks, sleeping, interval timers. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "tests/user/lib/test.h"

static volatile int alarms;

static void count_alarm(int signal) {
    (void)signal;
    alarms++;
}

static void clocks_advance(void) {
    static const clockid_t clocks[] = {CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_BOOTTIME, CLOCK_MONOTONIC_RAW};
    for (size_t i = 0; i < sizeof(clocks) / sizeof(clocks[0]); i++) {
        struct timespec before, after;
        CHECK_OK(syscall(SYS_clock_gettime, clocks[i], &before));
        for (int turn = 0; turn < 1000; turn++) {
            CHECK_OK(syscall(SYS_clock_gettime, clocks[i], &after));
            CHECK(after.tv_nsec >= 0 && after.tv_nsec < 1000000000);
            CHECK(after.tv_sec > before.tv_sec || (after.tv_sec == before.tv_sec && after.tv_nsec >= before.tv_nsec));
            before = after;
        }
        CHECK_OK(syscall(SYS_clock_getres, clocks[i], &after));
    }
    struct timespec time;
    CHECK_ERRNO(syscall(SYS_clock_gettime, 9999, &time), EINVAL);
    CHECK_ERRNO(syscall(SYS_clock_gettime, CLOCK_REALTIME, 8), EFAULT);
    CHECK_OK(syscall(SYS_clock_gettime, CLOCK_PROCESS_CPUTIME_ID, &time));
    CHECK_OK(syscall(SYS_clock_gettime, CLOCK_THREAD_CPUTIME_ID, &time));
}

static void clocks_agree(void) {
    struct timeval old;
    struct timespec now;
    CHECK_OK(gettimeofday(&old, NULL));
    CHECK_OK(clock_gettime(CLOCK_REALTIME, &now));
    CHECK(now.tv_sec - old.tv_sec <= 1 && now.tv_sec >= old.tv_sec);
    CHECK(old.tv_usec >= 0 && old.tv_usec < 1000000);
    time_t seconds = 0;
    CHECK_EQ(syscall(SYS_time, &seconds), seconds);
    CHECK(seconds - now.tv_sec <= 1);
}

static void sleeps_long_enough(void) {
    struct timespec request = {.tv_nsec = 30000000}, negative = {.tv_sec = -1}, too_much = {.tv_nsec = 1000000000};
    uint64_t start = test_now_ns();
    CHECK_OK(syscall(SYS_nanosleep, &request, NULL));
    uint64_t slept = test_now_ns() - start;
    CHECK(slept >= 30000000 && slept < 3000000000);
    CHECK_ERRNO(syscall(SYS_nanosleep, &negative, NULL), EINVAL);
    CHECK_ERRNO(syscall(SYS_nanosleep, &too_much, NULL), EINVAL);
    CHECK_ERRNO(syscall(SYS_nanosleep, 8, NULL), EFAULT);

    struct timespec until;
    CHECK_OK(clock_gettime(CLOCK_MONOTONIC, &until));
    until.tv_sec += (until.tv_nsec + 30000000) / 1000000000;
    until.tv_nsec = (until.tv_nsec + 30000000) % 1000000000;
    start = test_now_ns();
    CHECK_EQ(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL), 0);
    CHECK(test_now_ns() - start >= 20000000);
    CHECK_EQ(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL), 0); /* past: at once */
}

static void sleep_is_interrupted(void) {
    struct sigaction action = {.sa_handler = count_alarm, .sa_flags = SA_RESTART};
    struct itimerval timer = {.it_value = {.tv_usec = 30000}};
    struct timespec request = {.tv_sec = 10}, left = {0};
    CHECK_OK(sigaction(SIGALRM, &action, NULL));
    CHECK_OK(setitimer(ITIMER_REAL, &timer, NULL));
    CHECK_ERRNO(syscall(SYS_nanosleep, &request, &left), EINTR);
    CHECK_EQ(alarms, 1);
    CHECK(left.tv_sec == 9 || left.tv_sec == 8);
}

static void interval_timer(void) {
    struct sigaction action = {.sa_handler = count_alarm};
    struct itimerval timer = {.it_interval = {.tv_usec = 10000}, .it_value = {.tv_usec = 10000}}, old;
    CHECK_OK(sigaction(SIGALRM, &action, NULL));
    CHECK_OK(setitimer(ITIMER_REAL, &timer, NULL));
    while (alarms < 5) {
        pause();
    }
    CHECK_OK(getitimer(ITIMER_REAL, &old));
    CHECK_EQ(old.it_interval.tv_usec, 10000);
    memset(&timer, 0, sizeof(timer));
    CHECK_OK(setitimer(ITIMER_REAL, &timer, &old));
    int so_far = alarms;
    test_sleep_ms(40);
    CHECK(alarms <= so_far + 1);
    CHECK_EQ(alarm(100), 0);
    CHECK_EQ(alarm(0), 100);
    CHECK_EQ(alarm(0), 0);
}

static bool is_prompt(uint64_t start) {
    uint64_t took = test_now_ns() - start;
    CHECK(took >= 1900000);
    return took < 4500000;
}

/* The signal does not wait for a tick that comes anyway. How prompt the machine is, which has other things to do, shows
 * in sleeps of the same length. */
static void timer_is_prompt(void) {
    struct itimerval timer = {.it_value = {.tv_usec = 2000}};
    int prompt_timers = 0, prompt_sleeps = 0;
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGALRM);
    CHECK_OK(sigprocmask(SIG_BLOCK, &set, NULL));
    for (int i = 0; i < 60; i++) {
        uint64_t start = test_now_ns();
        CHECK_OK(setitimer(ITIMER_REAL, &timer, NULL));
        CHECK_EQ(sigwaitinfo(&set, NULL), SIGALRM);
        prompt_timers += is_prompt(start);
        start = test_now_ns();
        test_sleep_ms(2);
        prompt_sleeps += is_prompt(start);
    }
    CHECK(prompt_timers >= prompt_sleeps / 2);
}

static void alarm_kills(void *argument) {
    struct itimerval timer = {.it_value = {.tv_usec = 20000}};
    CHECK_OK(setitimer(ITIMER_REAL, &timer, NULL));
    for (;;) {
        if (argument != NULL) {
            pause();
        }
    }
}

/* A timer reaches a process that sleeps and one that spins. */
static void alarm_default(void) {
    CHECK_SIGNALED(test_run_child(alarm_kills, NULL), SIGALRM);
    CHECK_SIGNALED(test_run_child(alarm_kills, ""), SIGALRM);
}

static const struct test_case cases[] = {
    {"clock-gettime", clocks_advance}, {"clocks-agree", clocks_agree},
    {"nanosleep", sleeps_long_enough}, {"nanosleep-interrupted", sleep_is_interrupted},
    {"setitimer", interval_timer},     {"setitimer-prompt", timer_is_prompt},
    {"alarm-default", alarm_default},
};
TEST_MAIN(cases)
