/* Conformance: POSIX timers. */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/user/lib/test.h"

static volatile int count;
static volatile siginfo_t seen;
static volatile pid_t seen_by;

static void note(int signal, siginfo_t *info, void *context) {
    (void)signal;
    (void)context;
    seen = *info;
    seen_by = gettid();
    count++;
}

static void install(int signal) {
    struct sigaction action = {.sa_sigaction = note, .sa_flags = SA_SIGINFO};
    CHECK_OK(sigaction(signal, &action, NULL));
}

static int create(clockid_t clock, struct sigevent *event) {
    int id = -1;
    CHECK_OK(syscall(SYS_timer_create, clock, event, &id));
    return id;
}

static struct itimerspec spec(long value_ms, long interval_ms) {
    return (struct itimerspec){{interval_ms / 1000, interval_ms % 1000 * 1000000},
                               {value_ms / 1000, value_ms % 1000 * 1000000}};
}

static void start(int id, long value_ms, long interval_ms) {
    const struct itimerspec set = spec(value_ms, interval_ms);
    CHECK_OK(syscall(SYS_timer_settime, id, 0, &set, NULL));
}

static void wait_for(int wanted) {
    for (int i = 0; i < 5000 && count < wanted; i++)
        test_sleep_ms(1);
    CHECK(count >= wanted);
}

static void once(void) {
    static const clockid_t clocks[] = {CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_BOOTTIME};
    install(SIGUSR1);
    for (size_t i = 0; i < sizeof(clocks) / sizeof(clocks[0]); i++) {
        struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
        event.sigev_value.sival_ptr = (void *)0x1234567890;
        int id = create(clocks[i], &event);
        count = 0;
        uint64_t begun = test_now_ns();
        start(id, 20, 0);
        wait_for(1);
        CHECK(test_now_ns() - begun >= 20000000);
        CHECK_EQ(seen.si_code, SI_TIMER);
        CHECK_EQ(seen.si_timerid, id);
        CHECK_EQ(seen.si_overrun, 0);
        CHECK(seen.si_value.sival_ptr == (void *)0x1234567890);
        test_sleep_ms(50);
        CHECK_EQ(count, 1);
        struct itimerspec now;
        CHECK_OK(syscall(SYS_timer_gettime, id, &now));
        CHECK_EQ(now.it_value.tv_sec + now.it_value.tv_nsec, 0);
        CHECK_OK(syscall(SYS_timer_delete, id));
        CHECK_ERRNO(syscall(SYS_timer_delete, id), EINVAL);
    }
}

static void again_and_again(void) {
    struct itimerspec now, before;
    install(SIGALRM);
    int id = create(CLOCK_MONOTONIC, NULL); /* SIGALRM, and its number for a value */
    start(id, 5, 5);
    wait_for(5);
    CHECK_EQ(seen.si_value.sival_int, id);
    CHECK_OK(syscall(SYS_timer_gettime, id, &now));
    CHECK_EQ(now.it_interval.tv_nsec, 5000000);
    CHECK(now.it_value.tv_nsec > 0 && now.it_value.tv_nsec <= 5000000);
    const struct itimerspec stop = spec(0, 0);
    CHECK_OK(syscall(SYS_timer_settime, id, 0, &stop, &before));
    CHECK_EQ(before.it_interval.tv_nsec, 5000000);
    int seen_count = count;
    test_sleep_ms(30);
    CHECK(count <= seen_count + 1);
    start(id, 1000000, 0);
    CHECK_OK(syscall(SYS_timer_gettime, id, &now));
    CHECK(now.it_value.tv_sec >= 998 && now.it_value.tv_sec <= 1000);
    CHECK_OK(syscall(SYS_timer_delete, id));
}

static void absolute(void) {
    static const clockid_t clocks[] = {CLOCK_REALTIME, CLOCK_MONOTONIC};
    install(SIGALRM);
    for (int i = 0; i < 2; i++) {
        struct itimerspec set = {0};
        int id = create(clocks[i], NULL);
        CHECK_OK(clock_gettime(clocks[i], &set.it_value));
        set.it_value.tv_nsec += 20000000;
        if (set.it_value.tv_nsec >= 1000000000) {
            set.it_value.tv_sec++;
            set.it_value.tv_nsec -= 1000000000;
        }
        count = 0;
        CHECK_OK(syscall(SYS_timer_settime, id, TIMER_ABSTIME, &set, NULL));
        wait_for(1);
        set.it_value = (struct timespec){.tv_nsec = 1}; /* past: at once */
        CHECK_OK(syscall(SYS_timer_settime, id, TIMER_ABSTIME, &set, NULL));
        wait_for(2);
        CHECK_OK(syscall(SYS_timer_delete, id));
    }
}

static void overruns(void) {
    sigset_t set;
    siginfo_t info;
    sigemptyset(&set);
    sigaddset(&set, SIGRTMIN + 5);
    CHECK_OK(sigprocmask(SIG_BLOCK, &set, NULL));
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN + 5};
    int id = create(CLOCK_MONOTONIC, &event);
    CHECK_EQ(syscall(SYS_timer_getoverrun, id), 0);
    start(id, 2, 2);
    test_sleep_ms(60);
    CHECK_EQ(CHECK_OK(sigwaitinfo(&set, &info)), SIGRTMIN + 5);
    CHECK(info.si_overrun >= 5); /* one signal for all of them */
    start(id, 0, 0);
    CHECK_EQ(info.si_timerid, id);
    CHECK_OK(syscall(SYS_timer_delete, id));
}

static void *wait_a_little(void *argument) {
    *(volatile pid_t *)argument = gettid();
    for (int i = 0; i < 1000 && count < 1; i++)
        test_sleep_ms(2);
    return NULL;
}

static void to_a_thread(void) {
    volatile pid_t id = 0;
    pthread_t thread;
    install(SIGUSR2);
    CHECK_EQ(pthread_create(&thread, NULL, wait_a_little, (void *)(uintptr_t)&id), 0);
    while (id == 0)
        test_sleep_ms(1);
    struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGUSR2};
    memcpy((char *)&event + 16, (const void *)(uintptr_t)&id, sizeof(pid_t));
    int timer = create(CLOCK_MONOTONIC, &event);
    start(timer, 10, 0);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    CHECK_EQ(count, 1);
    CHECK_EQ(seen_by, id);
    CHECK_OK(syscall(SYS_timer_delete, timer));
    const pid_t others = getppid();
    memcpy((char *)&event + 16, &others, sizeof(pid_t));
    CHECK_ERRNO(syscall(SYS_timer_create, CLOCK_MONOTONIC, &event, &timer), EINVAL);
}

static void errors(void) {
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = 65};
    struct itimerspec set = spec(1, 0);
    int id;
    CHECK_ERRNO(syscall(SYS_timer_create, 99, NULL, &id), EINVAL);
    CHECK_ERRNO(syscall(SYS_timer_create, CLOCK_MONOTONIC, &event, &id), EINVAL);
    event.sigev_signo = SIGUSR1;
    event.sigev_notify = 77;
    CHECK_ERRNO(syscall(SYS_timer_create, CLOCK_MONOTONIC, &event, &id), EINVAL);
    CHECK_ERRNO(syscall(SYS_timer_create, CLOCK_MONOTONIC, 8, &id), EFAULT);
    CHECK_ERRNO(syscall(SYS_timer_create, CLOCK_MONOTONIC, NULL, 8), EFAULT);
    CHECK_ERRNO(syscall(SYS_timer_settime, 12345, 0, &set, NULL), EINVAL);
    CHECK_ERRNO(syscall(SYS_timer_gettime, -1, &set), EINVAL);
    CHECK_ERRNO(syscall(SYS_timer_getoverrun, 1000), EINVAL);
    id = create(CLOCK_MONOTONIC, NULL);
    CHECK_ERRNO(syscall(SYS_timer_settime, id, 0, NULL, NULL), EINVAL);
    CHECK_ERRNO(syscall(SYS_timer_settime, id, 0, 8, NULL), EFAULT);
    set.it_value.tv_nsec = 1000000000;
    CHECK_ERRNO(syscall(SYS_timer_settime, id, 0, &set, NULL), EINVAL);
    set.it_value.tv_nsec = -1;
    CHECK_ERRNO(syscall(SYS_timer_settime, id, 0, &set, NULL), EINVAL);
    event.sigev_notify = SIGEV_NONE;
    int quiet = create(CLOCK_MONOTONIC, &event);
    start(quiet, 1, 1);
    start(id, 100000, 0);
    pid_t pid = fork(); /* a child has none */
    if (pid == 0) {
        CHECK_ERRNO(syscall(SYS_timer_gettime, id, &set), EINVAL);
        CHECK_EQ(create(CLOCK_MONOTONIC, NULL) >= 0, 1);
        start(0, 1000, 1);
        _exit(0); /* with it */
    }
    CHECK_EXITED(test_wait(pid));
    test_sleep_ms(10);
    CHECK_OK(syscall(SYS_timer_delete, quiet)); /* the other goes with the process */
}

static void many(void) {
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN + 6};
    int ids[40];
    install(SIGRTMIN + 6);
    for (int i = 0; i < 40; i++) {
        event.sigev_value.sival_int = i;
        ids[i] = create(CLOCK_MONOTONIC, &event);
        start(ids[i], 1 + i % 7, i & 1 ? 3 : 0);
    }
    wait_for(200);
    for (int i = 0; i < 40; i++)
        CHECK_OK(syscall(SYS_timer_delete, ids[i]));
}

static const struct test_case cases[] = {
    {"once", once},         {"interval", again_and_again}, {"absolute", absolute},
    {"overruns", overruns}, {"thread", to_a_thread},       {"errors", errors},
    {"many", many},
};
TEST_MAIN(cases)
