/* Conformance: timers on CPU time, of processes and threads, and sleeping on it. */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/user/lib/test.h"

enum { MS = 1000000 };

static volatile int count;
static volatile int code;
static volatile uint64_t used_then;

static uint64_t used(clockid_t clock) {
    struct timespec time;
    CHECK_OK(clock_gettime(clock, &time));
    return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

static void note(int signal, siginfo_t *info, void *context) {
    (void)signal;
    (void)context;
    code = info->si_code;
    used_then = used(CLOCK_PROCESS_CPUTIME_ID);
    count++;
}

static void install(int signal) {
    struct sigaction action = {.sa_sigaction = note, .sa_flags = SA_SIGINFO};
    CHECK_OK(sigaction(signal, &action, NULL));
}

/* Until so many signals have come; a process that gets none for a minute has failed. */
static void burn_until(int wanted) {
    const uint64_t end = used(CLOCK_PROCESS_CPUTIME_ID) + 60000UL * MS;
    while (count < wanted)
        CHECK(used(CLOCK_PROCESS_CPUTIME_ID) < end);
}

static void burn_ms(unsigned ms) {
    const uint64_t end = used(CLOCK_THREAD_CPUTIME_ID) + (uint64_t)ms * MS;
    while (used(CLOCK_THREAD_CPUTIME_ID) < end) {
    }
}

static struct itimerval interval(long value_ms, long every_ms) {
    return (struct itimerval){{every_ms / 1000, every_ms % 1000 * 1000}, {value_ms / 1000, value_ms % 1000 * 1000}};
}

static void interval_timer(int which, int signal) {
    struct itimerval set = interval(30, 20), old, off = {0};
    install(signal);
    count = 0;
    const uint64_t begun = used(CLOCK_PROCESS_CPUTIME_ID);
    CHECK_OK(setitimer(which, &set, NULL));
    CHECK_OK(getitimer(which, &old));
    CHECK(old.it_value.tv_sec == 0 && old.it_value.tv_usec > 0);
    CHECK_EQ(old.it_interval.tv_usec, 20000);
    test_sleep_ms(100); /* sleeping uses none */
    CHECK_EQ(count, 0);
    burn_until(1);
    /* Both are measured in user time, of which Linux sees some tick by tick: half is allowed for. */
    CHECK(used_then - begun >= 15UL * MS);
    burn_until(3);
    CHECK(used_then - begun >= 35UL * MS);
    CHECK_EQ(code, SI_KERNEL);
    CHECK_OK(setitimer(which, &off, &old));
    CHECK_EQ(old.it_interval.tv_usec, 20000);
    const int stopped = count;
    burn_ms(60);
    CHECK(count <= stopped + 1); /* one may have been pending */
    CHECK_OK(getitimer(which, &old));
    CHECK(old.it_value.tv_sec == 0 && old.it_value.tv_usec == 0);
}

static void interval_timers(void) {
    struct itimerval set = interval(10, 0), old;
    interval_timer(ITIMER_VIRTUAL, SIGVTALRM);
    interval_timer(ITIMER_PROF, SIGPROF);
    CHECK_ERRNO(setitimer(3, &set, NULL), EINVAL);
    CHECK_ERRNO(getitimer(3, &old), EINVAL);
    set.it_value.tv_usec = 1000000;
    CHECK_ERRNO(setitimer(ITIMER_PROF, &set, NULL), EINVAL);
}

static void killed_by(void *which) {
    const struct itimerval set = interval(20, 0);
    CHECK_OK(setitimer(*(const int *)which, &set, NULL));
    for (;;)
        burn_ms(10);
}

static void fork_begins_with_none(void *unused) {
    const struct itimerval set = interval(60000, 0);
    struct itimerval now;
    (void)unused;
    CHECK_OK(setitimer(ITIMER_PROF, &set, NULL));
    pid_t pid = (pid_t)CHECK_OK(fork());
    if (pid == 0) {
        CHECK_OK(getitimer(ITIMER_PROF, &now));
        CHECK_EQ(now.it_value.tv_sec, 0);
        CHECK_EQ(now.it_value.tv_usec, 0);
        _exit(0);
    }
    CHECK_EXITED(test_wait(pid));
    CHECK_OK(getitimer(ITIMER_PROF, &now));
    CHECK(now.it_value.tv_sec > 50);
}

static void defaults(void) {
    int which = ITIMER_VIRTUAL;
    CHECK_SIGNALED(test_run_child(killed_by, &which), SIGVTALRM);
    which = ITIMER_PROF;
    CHECK_SIGNALED(test_run_child(killed_by, &which), SIGPROF);
    CHECK_EXITED(test_run_child(fork_begins_with_none, NULL));
}

/* --- POSIX timers ------------------------------------------------------------------------------------------------- */

static int create(clockid_t clock, int signal) {
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = signal};
    int id = -1;
    CHECK_OK(syscall(SYS_timer_create, clock, &event, &id));
    return id;
}

static void start(int id, int flags, uint64_t value_ns, uint64_t every_ns) {
    const struct itimerspec set = {{(long)(every_ns / 1000000000), (long)(every_ns % 1000000000)},
                                   {(long)(value_ns / 1000000000), (long)(value_ns % 1000000000)}};
    CHECK_OK(syscall(SYS_timer_settime, id, flags, &set, NULL));
}

static void timers_on(clockid_t clock) {
    struct itimerspec now;
    install(SIGUSR1);
    count = 0;
    int id = create(clock, SIGUSR1);
    uint64_t begun = used(clock);
    start(id, 0, 20UL * MS, 0);
    test_sleep_ms(60);
    CHECK_EQ(count, 0);
    CHECK_OK(syscall(SYS_timer_gettime, id, &now));
    CHECK(now.it_value.tv_sec == 0 && now.it_value.tv_nsec > 0 && now.it_value.tv_nsec <= 20 * MS);
    burn_until(1);
    CHECK(used(clock) - begun >= 20UL * MS);
    CHECK_EQ(code, SI_TIMER);
    CHECK_OK(syscall(SYS_timer_gettime, id, &now));
    CHECK(now.it_value.tv_sec == 0 && now.it_value.tv_nsec == 0); /* once */
    burn_ms(40);
    CHECK_EQ(count, 1);

    start(id, TIMER_ABSTIME, used(clock) + 10UL * MS, 10UL * MS);
    burn_until(4);
    start(id, 0, 0, 0);
    count = 0;
    start(id, TIMER_ABSTIME, 1, 0); /* has passed */
    burn_until(1);
    CHECK_OK(syscall(SYS_timer_delete, id));
}

static void posix_timers(void) {
    int id;
    timers_on(CLOCK_PROCESS_CPUTIME_ID);
    timers_on(CLOCK_THREAD_CPUTIME_ID);
    clockid_t clock;
    CHECK_EQ(clock_getcpuclockid(getpid(), &clock), 0);
    timers_on(clock);
    CHECK_ERRNO(syscall(SYS_timer_create, (clockid_t)(~0x3ffffffU << 3 | 2), NULL, &id), EINVAL); /* nobody's */
    CHECK_EQ(syscall(SYS_timer_create, (clockid_t)(~0U << 3 | 3), NULL, &id), -1);                /* no time */
}

/* --- Others' clocks ----------------------------------------------------------------------------------------------- */

static atomic_int phase;

static void *busy(void *clock) {
    pthread_getcpuclockid(pthread_self(), clock);
    atomic_store(&phase, 1);
    while (atomic_load(&phase) == 1)
        burn_ms(1);
    return NULL;
}

static void thread_clock(void) {
    pthread_t thread;
    clockid_t clock;
    CHECK_EQ(pthread_create(&thread, NULL, busy, &clock), 0);
    while (atomic_load(&phase) == 0)
        test_sleep_ms(1);
    install(SIGUSR1);
    int id = create(clock, SIGUSR1);
    count = 0;
    const uint64_t begun = used(clock);
    start(id, 0, 20UL * MS, 0);
    while (count == 0)
        test_sleep_ms(1);
    CHECK(used(clock) - begun >= 20UL * MS);
    start(id, 0, 60000UL * MS, 0);
    atomic_store(&phase, 2);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    struct itimerspec now;
    struct timespec time;
    while (clock_gettime(clock, &time) == 0) /* join may be early */
        test_sleep_ms(1);
    CHECK_EQ(errno, EINVAL);
    CHECK_OK(syscall(SYS_timer_gettime, id, &now));
    CHECK(now.it_value.tv_sec == 0 && now.it_value.tv_nsec == 0); /* it goes no more */
    CHECK_OK(syscall(SYS_timer_delete, id));
}

static void process_clock(void) {
    clockid_t clock;
    pid_t pid = (pid_t)CHECK_OK(fork());
    if (pid == 0) {
        for (;;)
            burn_ms(1);
    }
    CHECK_EQ(clock_getcpuclockid(pid, &clock), 0);
    uint64_t begun = used(clock);
    struct timespec some = {0, 20 * MS};
    CHECK_EQ(clock_nanosleep(clock, 0, &some, NULL), 0);
    CHECK(used(clock) - begun >= 20UL * MS);
    begun = used(clock) + 20UL * MS;
    some = (struct timespec){(long)(begun / 1000000000), (long)(begun % 1000000000)};
    CHECK_EQ(clock_nanosleep(clock, TIMER_ABSTIME, &some, NULL), 0);
    CHECK(used(clock) >= begun);
    CHECK_EQ(clock_nanosleep(clock, TIMER_ABSTIME, &some, NULL), 0); /* has passed */
    install(SIGUSR1);
    int id = create(clock, SIGUSR1);
    count = 0;
    start(id, 0, 20UL * MS, 0);
    while (count == 0)
        test_sleep_ms(1);
    start(id, 0, 60000UL * MS, 0);
    CHECK_OK(kill(pid, SIGKILL));
    CHECK_SIGNALED(test_wait(pid), SIGKILL);
    CHECK_OK(syscall(SYS_timer_delete, id));
}

static void sleeps(void) {
    struct timespec some = {0, MS}, left = {0};
    struct itimerval alarm = interval(20, 0);
    CHECK_EQ(syscall(SYS_clock_nanosleep, CLOCK_THREAD_CPUTIME_ID, 0, &some, NULL), -1);
    CHECK(errno == EINVAL || errno == EOPNOTSUPP); /* by who sleeps none is used */
    some.tv_nsec = 1000000000;
    CHECK_EQ(clock_nanosleep(CLOCK_PROCESS_CPUTIME_ID, 0, &some, NULL), EINVAL);
    some = (struct timespec){50, 0};
    install(SIGALRM);
    CHECK_OK(setitimer(ITIMER_REAL, &alarm, NULL));
    CHECK_EQ(clock_nanosleep(CLOCK_PROCESS_CPUTIME_ID, 0, &some, &left), EINTR);
    CHECK(left.tv_sec >= 48 && left.tv_sec <= 50);
    alarm = interval(20, 0);
    CHECK_OK(setitimer(ITIMER_REAL, &alarm, NULL));
    some.tv_sec += (long)(used(CLOCK_PROCESS_CPUTIME_ID) / 1000000000);
    CHECK_EQ(clock_nanosleep(CLOCK_PROCESS_CPUTIME_ID, TIMER_ABSTIME, &some, NULL), EINTR);
}

/* Many timers on others that end at any time, and owners that end before their timers have fired. */
static void *short_lived(void *unused) {
    clockid_t clock;
    (void)unused;
    CHECK_EQ(pthread_getcpuclockid(pthread_self(), &clock), 0);
    start(create(clock, SIGUSR1), 0, MS, 100000);
    burn_ms(3);
    return NULL;
}

static void owner(void *other) {
    install(SIGUSR1);
    clockid_t clock;
    CHECK_EQ(clock_getcpuclockid(*(pid_t *)other, &clock), 0);
    for (int i = 0; i < 8; i++)
        start(create(clock, SIGUSR1), 0, MS, 100000);
    for (int i = 0; i < 4; i++) {
        pthread_t thread;
        CHECK_EQ(pthread_create(&thread, NULL, short_lived, NULL), 0);
        CHECK_EQ(pthread_join(thread, NULL), 0);
    }
}

static void ends(void) {
    for (int round = 0; round < 5; round++) {
        pid_t other = (pid_t)CHECK_OK(fork());
        if (other == 0) {
            burn_ms(20 + 10U * (unsigned)round);
            _exit(0);
        }
        CHECK_EXITED(test_run_child(owner, &other));
        CHECK_EXITED(test_wait(other));
    }
}

static const struct test_case cases[] = {
    {"interval-timers", interval_timers},
    {"defaults", defaults},
    {"posix-timers", posix_timers},
    {"thread-clock", thread_clock},
    {"process-clock", process_clock},
    {"sleeps", sleeps},
    {"ends", ends},
};
TEST_MAIN(cases)
