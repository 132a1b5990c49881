/* Conformance: eventfd, timerfd, signalfd. Counting, waiting, polling, errors; what they share with fork. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/select.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/user/lib/test.h"

enum { MS = 1000000 };

static short ready(int fd, short events) {
    struct pollfd request = {.fd = fd, .events = events};
    return CHECK_OK(poll(&request, 1, 0)) == 0 ? 0 : request.revents;
}

static void add(int fd, uint64_t value) { CHECK_EQ(write(fd, &value, sizeof(value)), 8); }

static uint64_t take(int fd) {
    uint64_t value = 0;
    CHECK_EQ(read(fd, &value, sizeof(value)), 8);
    return value;
}

/* --- eventfd ------------------------------------------------------------------------------------------------------ */

static void counts(void) {
    int fd = (int)CHECK_OK(eventfd(3, EFD_NONBLOCK | EFD_CLOEXEC));
    CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
    CHECK(fcntl(fd, F_GETFL) & O_NONBLOCK);
    add(fd, 4);
    add(fd, 0);
    CHECK_EQ(ready(fd, POLLIN | POLLOUT), POLLIN | POLLOUT);
    CHECK_EQ(take(fd), 7);
    CHECK_EQ(ready(fd, POLLIN | POLLOUT), POLLOUT);
    uint64_t value = 0;
    CHECK_ERRNO(read(fd, &value, 8), EAGAIN);
    CHECK_EQ(fcntl((int)syscall(SYS_eventfd, 1), F_GETFD), 0);
}

static void semaphore(void) {
    int fd = (int)CHECK_OK(eventfd(2, EFD_SEMAPHORE | EFD_NONBLOCK));
    uint64_t value;
    add(fd, 1);
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(take(fd), 1);
    }
    CHECK_ERRNO(read(fd, &value, 8), EAGAIN);
}

static void full(void) {
    int fd = (int)CHECK_OK(eventfd(0, EFD_NONBLOCK));
    uint64_t value = UINT64_MAX;
    CHECK_ERRNO(write(fd, &value, 8), EINVAL);
    add(fd, UINT64_MAX - 1);
    CHECK_EQ(ready(fd, POLLIN | POLLOUT), POLLIN);
    value = 1;
    CHECK_ERRNO(write(fd, &value, 8), EAGAIN);
    add(fd, 0);
    CHECK(take(fd) == UINT64_MAX - 1);
}

static void event_errors(void) {
    int fd = (int)CHECK_OK(eventfd(1, EFD_NONBLOCK));
    uint64_t value[2] = {1, 1};
    CHECK_ERRNO(eventfd(0, 1 << 20), EINVAL);
    CHECK_ERRNO(read(fd, value, 7), EINVAL);
    CHECK_ERRNO(write(fd, value, 7), EINVAL);
    CHECK_ERRNO(write(fd, (void *)8, 8), EFAULT);
    CHECK_EQ(read(fd, value, 16), 8);
    CHECK_ERRNO(pread(fd, value, 8, 0), ESPIPE);
    struct iovec vectors[2] = {{value, 8}, {value + 1, 8}};
    value[0] = value[1] = 2;
    CHECK_EQ(writev(fd, vectors, 2), 16);
    CHECK_EQ(take(fd), 4);
}

static void event_wakes(void) {
    int there = (int)CHECK_OK(eventfd(0, 0)), back = (int)CHECK_OK(eventfd(0, 0));
    pid_t pid = (pid_t)CHECK_OK(fork());
    if (pid == 0) {
        for (int i = 1; i <= 200; i++) {
            CHECK_EQ(take(there), i);
            add(back, (uint64_t)i * 2);
        }
        _exit(0);
    }
    for (int i = 1; i <= 200; i++) {
        add(there, (uint64_t)i);
        struct pollfd request = {.fd = back, .events = POLLIN};
        CHECK_EQ(poll(&request, 1, 10000), 1);
        CHECK_EQ(take(back), i * 2);
    }
    CHECK_EXITED(test_wait(pid));
}

/* A writer waits until there is room. */
static void event_writer_waits(void) {
    int fd = (int)CHECK_OK(eventfd(0, 0));
    add(fd, UINT64_MAX - 1);
    pid_t pid = (pid_t)CHECK_OK(fork());
    if (pid == 0) {
        add(fd, 5);
        _exit(0);
    }
    test_sleep_ms(20);
    CHECK(take(fd) == UINT64_MAX - 1);
    CHECK_EXITED(test_wait(pid));
    CHECK_EQ(take(fd), 5);
}

/* --- timerfd ------------------------------------------------------------------------------------------------------ */

static struct itimerspec after(long ns, long interval) {
    return (struct itimerspec){.it_value = {ns / 1000000000, ns % 1000000000},
                               .it_interval = {interval / 1000000000, interval % 1000000000}};
}

static void timer_once(void) {
    int fd = (int)CHECK_OK(timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC));
    uint64_t count;
    struct itimerspec set = after(20 * MS, 0), got;
    CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
    CHECK_ERRNO(read(fd, &count, 8), EAGAIN);
    uint64_t before = test_now_ns();
    CHECK_OK(timerfd_settime(fd, 0, &set, NULL));
    CHECK_OK(timerfd_gettime(fd, &got));
    CHECK(got.it_value.tv_sec == 0 && got.it_value.tv_nsec <= 20 * MS);
    struct pollfd request = {.fd = fd, .events = POLLIN};
    CHECK_EQ(poll(&request, 1, 5000), 1);
    CHECK_EQ(request.revents, POLLIN);
    CHECK(test_now_ns() - before >= 20 * (uint64_t)MS);
    CHECK_EQ(take(fd), 1);
    CHECK_ERRNO(read(fd, &count, 8), EAGAIN);
    CHECK_OK(timerfd_gettime(fd, &got));
    CHECK(got.it_value.tv_sec == 0 && got.it_value.tv_nsec == 0);
}

static void timer_repeats(void) {
    int fd = (int)CHECK_OK(timerfd_create(CLOCK_MONOTONIC, 0));
    struct itimerspec set = after(2 * MS, 2 * MS), old;
    CHECK_OK(timerfd_settime(fd, 0, &set, NULL));
    test_sleep_ms(30);
    CHECK(take(fd) >= 14);
    CHECK(take(fd) >= 1);
    set = after(0, 0);
    CHECK_OK(timerfd_settime(fd, 0, &set, &old));
    CHECK_EQ(old.it_interval.tv_nsec, 2 * MS);
    CHECK(old.it_value.tv_nsec > 0);
    test_sleep_ms(5);
    CHECK_EQ(ready(fd, POLLIN), 0);
}

static void timer_absolute(void) {
    static const int clocks[] = {CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_BOOTTIME};
    for (size_t i = 0; i < sizeof(clocks) / sizeof(clocks[0]); i++) {
        int fd = (int)CHECK_OK(timerfd_create(clocks[i], TFD_NONBLOCK));
        struct itimerspec set = after(0, 0);
        set.it_value.tv_nsec = 1; /* it has passed, however short the machine runs */
        CHECK_OK(timerfd_settime(fd, TFD_TIMER_ABSTIME, &set, NULL));
        test_sleep_ms(2);
        CHECK_EQ(take(fd), 1);
        CHECK_OK(clock_gettime(clocks[i], &set.it_value));
        set.it_value.tv_sec += 1000;
        CHECK_OK(timerfd_settime(fd, TFD_TIMER_ABSTIME, &set, NULL));
        CHECK_EQ(ready(fd, POLLIN), 0);
        CHECK_OK(timerfd_gettime(fd, &set));
        CHECK(set.it_value.tv_sec > 900 && set.it_value.tv_sec < 1000);
        CHECK_OK(close(fd));
    }
}

/* One that waits for a point of the wall clock goes by what that is set to; who asked for it is told. */
static void timer_and_set_clock(void) {
    test_needs_penumbra();
    struct timespec now;
    struct itimerspec set = after(0, 0);
    uint64_t count;
    int waits = (int)CHECK_OK(timerfd_create(CLOCK_REALTIME, TFD_NONBLOCK)),
        told = (int)CHECK_OK(timerfd_create(CLOCK_REALTIME, TFD_NONBLOCK)),
        relative = (int)CHECK_OK(timerfd_create(CLOCK_REALTIME, TFD_NONBLOCK));
    CHECK_OK(clock_gettime(CLOCK_REALTIME, &now));
    set.it_value.tv_sec = now.tv_sec + 50;
    CHECK_OK(timerfd_settime(waits, TFD_TIMER_ABSTIME, &set, NULL));
    set.it_value.tv_sec = now.tv_sec + 500;
    CHECK_OK(timerfd_settime(told, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &set, NULL));
    set.it_value.tv_sec = 50;
    CHECK_OK(timerfd_settime(relative, 0, &set, NULL));
    now.tv_sec += 100;
    CHECK_OK(clock_settime(CLOCK_REALTIME, &now));
    struct pollfd request = {.fd = waits, .events = POLLIN};
    int rang = poll(&request, 1, 5000);
    now.tv_sec -= 100;
    CHECK_OK(clock_settime(CLOCK_REALTIME, &now));
    CHECK_EQ(rang, 1);
    CHECK_EQ(take(waits), 1);
    CHECK_EQ(ready(told, POLLIN), POLLIN);
    CHECK_ERRNO(read(told, &count, 8), ECANCELED);
    CHECK_ERRNO(read(told, &count, 8), EAGAIN);
    CHECK_EQ(ready(relative, POLLIN), 0);
    CHECK_OK(timerfd_gettime(told, &set));
    CHECK(set.it_value.tv_sec > 400 && set.it_value.tv_sec <= 500);
}

static void timer_errors(void) {
    int fd = (int)CHECK_OK(timerfd_create(CLOCK_MONOTONIC, 0)), other = (int)CHECK_OK(eventfd(0, 0));
    struct itimerspec set = after(0, 0);
    char bytes[8] = "";
    CHECK_ERRNO(timerfd_create(5, 0), EINVAL);
    CHECK_ERRNO(timerfd_create(CLOCK_MONOTONIC, 1), EINVAL);
    CHECK_ERRNO(timerfd_settime(fd, 8, &set, NULL), EINVAL);
    set.it_value.tv_nsec = 1000000000;
    CHECK_ERRNO(timerfd_settime(fd, 0, &set, NULL), EINVAL);
    CHECK_ERRNO(syscall(SYS_timerfd_settime, fd, 0, 8, 0), EFAULT);
    CHECK_ERRNO(timerfd_gettime(other, &set), EINVAL);
    CHECK_ERRNO(timerfd_gettime(-1, &set), EBADF);
    CHECK_ERRNO(read(fd, bytes, 7), EINVAL);
    CHECK_ERRNO(write(fd, bytes, 8), EINVAL);
}

/* A reader in another process waits for it; the timer goes with its last descriptor. */
static void timer_shared(void) {
    int fd = (int)CHECK_OK(timerfd_create(CLOCK_MONOTONIC, 0));
    pid_t pid = (pid_t)CHECK_OK(fork());
    if (pid == 0) {
        CHECK_EQ(take(fd), 1);
        _exit(0);
    }
    struct itimerspec set = after(10 * MS, 0);
    CHECK_OK(timerfd_settime(fd, 0, &set, NULL));
    CHECK_EXITED(test_wait(pid));
    set = after(1 * MS, 1 * MS);
    CHECK_OK(timerfd_settime(fd, 0, &set, NULL));
    CHECK_OK(close(fd));
    test_sleep_ms(5);
}

/* Many of them, set in no order, ring in that of their times. */
static void timers_in_order(void) {
    enum { COUNT = 40 };
    int fds[COUNT];
    const uint64_t start = test_now_ns();
    for (int i = 0; i < COUNT; i++) {
        int place = i * 17 % COUNT;
        fds[place] = (int)CHECK_OK(timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK));
        struct itimerspec set = after((long)(start + (30U + 2U * (unsigned)place) * MS), 0);
        CHECK_OK(timerfd_settime(fds[place], TFD_TIMER_ABSTIME, &set, NULL));
    }
    for (int rung = 0; rung < COUNT;) {
        for (int i = rung + 1; i < COUNT; i++) {
            /* Looked at from behind: whatever rang after i may have rung meanwhile, what is before i must have. */
            if (ready(fds[COUNT + rung - i], POLLIN) != 0) {
                CHECK_EQ(ready(fds[rung], POLLIN), POLLIN);
            }
        }
        rung += ready(fds[rung], POLLIN) != 0;
    }
}

/* --- signalfd ----------------------------------------------------------------------------------------------------- */

static int signals(int first, int second, int flags) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, first);
    sigaddset(&set, second);
    CHECK_OK(sigprocmask(SIG_BLOCK, &set, NULL));
    return (int)CHECK_OK(signalfd(-1, &set, flags));
}

static void signals_are_read(void) {
    struct signalfd_siginfo info[3];
    int fd = signals(SIGUSR1, SIGUSR2, SFD_NONBLOCK | SFD_CLOEXEC);
    CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
    CHECK_EQ(ready(fd, POLLIN), 0);
    CHECK_ERRNO(read(fd, info, sizeof(info)), EAGAIN);
    CHECK_OK(kill(getpid(), SIGUSR2));
    CHECK_OK(kill(getpid(), SIGUSR1));
    CHECK_EQ(ready(fd, POLLIN), POLLIN);
    CHECK_EQ(read(fd, info, sizeof(info)), 256);
    CHECK_EQ(info[0].ssi_signo, SIGUSR1);
    CHECK_EQ(info[1].ssi_signo, SIGUSR2);
    CHECK_EQ(info[0].ssi_pid, getpid());
    CHECK_EQ(info[0].ssi_uid, getuid());
    CHECK_EQ(info[0].ssi_code, SI_USER);
    CHECK_EQ(ready(fd, POLLIN), 0);
    CHECK_ERRNO(read(fd, info, 127), EINVAL);
    CHECK_ERRNO(write(fd, info, 128), EINVAL);
}

static void signals_wake(void) {
    struct signalfd_siginfo info;
    int fd = signals(SIGUSR1, SIGCHLD, 0);
    pid_t parent = getpid(), pid = (pid_t)CHECK_OK(fork());
    if (pid == 0) {
        test_sleep_ms(20);
        CHECK_OK(kill(parent, SIGUSR1));
        test_sleep_ms(20);
        _exit(3);
    }
    CHECK_EQ(read(fd, &info, sizeof(info)), 128);
    CHECK_EQ(info.ssi_signo, SIGUSR1);
    CHECK_EQ(info.ssi_pid, pid);
    struct pollfd request = {.fd = fd, .events = POLLIN};
    CHECK_EQ(poll(&request, 1, 10000), 1);
    CHECK_EQ(read(fd, &info, sizeof(info)), 128);
    CHECK_EQ(info.ssi_signo, SIGCHLD);
    CHECK_EQ(info.ssi_status, 3);
    CHECK_EXITED_WITH(test_wait(pid), 3);
}

/* The set can be changed; a child reads its own signals by the same descriptor. */
static void signals_of_the_reader(void) {
    struct signalfd_siginfo info;
    int fd = signals(SIGUSR1, SIGUSR2, SFD_NONBLOCK);
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    CHECK_OK(kill(getpid(), SIGUSR1));
    CHECK_EQ(signalfd(fd, &set, 0), fd);
    CHECK_EQ(ready(fd, POLLIN), 0);
    pid_t pid = (pid_t)CHECK_OK(fork());
    if (pid == 0) {
        CHECK_ERRNO(read(fd, &info, sizeof(info)), EAGAIN);
        CHECK_OK(kill(getpid(), SIGUSR2));
        CHECK_EQ(read(fd, &info, sizeof(info)), 128);
        CHECK_EQ(info.ssi_pid, getpid());
        _exit(0);
    }
    CHECK_EXITED(test_wait(pid));
    CHECK_EQ(ready(fd, POLLIN), 0);
    sigaddset(&set, SIGUSR1);
    CHECK_EQ(signalfd(fd, &set, 0), fd);
    CHECK_EQ(read(fd, &info, sizeof(info)), 128);
    CHECK_EQ(info.ssi_signo, SIGUSR1);
}

static void signalfd_errors(void) {
    int fd = (int)CHECK_OK(eventfd(0, 0));
    sigset_t set;
    sigemptyset(&set);
    CHECK_ERRNO(signalfd(fd, &set, 0), EINVAL);
    CHECK_ERRNO(signalfd(500, &set, 0), EBADF);
    CHECK_ERRNO(signalfd(-1, &set, 1), EINVAL);
    CHECK_ERRNO(syscall(SYS_signalfd4, -1, &set, 4, 0), EINVAL);
    CHECK_ERRNO(syscall(SYS_signalfd4, -1, 8, 8, 0), EFAULT);
    CHECK_OK(syscall(SYS_signalfd, -1, &set, 8));
}

static const struct test_case cases[] = {
    {"counts", counts},
    {"semaphore", semaphore},
    {"full", full},
    {"event-errors", event_errors},
    {"event-wakes", event_wakes},
    {"event-writer-waits", event_writer_waits},
    {"timer-once", timer_once},
    {"timer-repeats", timer_repeats},
    {"timer-absolute", timer_absolute},
    {"timer-and-set-clock", timer_and_set_clock},
    {"timer-errors", timer_errors},
    {"timer-shared", timer_shared},
    {"timers-in-order", timers_in_order},
    {"signals-are-read", signals_are_read},
    {"signals-wake", signals_wake},
    {"signals-of-the-reader", signals_of_the_reader},
    {"signalfd-errors", signalfd_errors},
};
TEST_MAIN(cases)
