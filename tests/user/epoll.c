/* Conformance: epoll. Level, edge and one-shot; changes of the set; sets in sets; many descriptors; closed under it. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/user/lib/test.h"

static int set_of(void) { return (int)CHECK_OK(epoll_create1(EPOLL_CLOEXEC)); }

static void control(int set, int op, int fd, uint32_t events, uint64_t data) {
    struct epoll_event event = {.events = events, .data.u64 = data};
    CHECK_OK(epoll_ctl(set, op, fd, &event));
}

static void add(int set, int fd, uint32_t events) { control(set, EPOLL_CTL_ADD, fd, events, (uint64_t)fd); }

/* The events of the one that is ready within the time, or 0. */
static uint32_t one(int set, int milliseconds) {
    struct epoll_event events[4];
    int count = (int)CHECK_OK(epoll_wait(set, events, 4, milliseconds));
    CHECK(count <= 1);
    return count == 1 ? events[0].events : 0;
}

static void put(int fd) { CHECK_EQ(write(fd, "12345678", 8), 8); }

static void take(int fd) {
    char bytes[8];
    CHECK_EQ(read(fd, bytes, 8), 8);
}

static void level(void) {
    int set = set_of(), ends[2];
    CHECK_OK(pipe(ends));
    add(set, ends[0], EPOLLIN);
    CHECK_EQ(one(set, 0), 0);
    put(ends[1]);
    put(ends[1]);
    CHECK_EQ(one(set, 0), EPOLLIN);
    CHECK_EQ(one(set, -1), EPOLLIN);
    take(ends[0]);
    CHECK_EQ(one(set, 0), EPOLLIN);
    take(ends[0]);
    CHECK_EQ(one(set, 0), 0);
    CHECK_OK(close(ends[1]));
    CHECK_EQ(one(set, 0), EPOLLHUP);
}

static void edge(void) {
    int set = set_of(), ends[2];
    CHECK_OK(pipe(ends));
    add(set, ends[0], EPOLLIN | EPOLLET);
    put(ends[1]);
    CHECK_EQ(one(set, 0), EPOLLIN);
    CHECK_EQ(one(set, 0), 0);
    put(ends[1]); /* again, though there was something */
    CHECK_EQ(one(set, 0), EPOLLIN);
    take(ends[0]);
    CHECK_EQ(one(set, 0), 0);
    control(set, EPOLL_CTL_MOD, ends[0], EPOLLIN | EPOLLET, 1); /* says it anew */
    CHECK_EQ(one(set, 0), EPOLLIN);
    CHECK_EQ(one(set, 0), 0);
}

static void once(void) {
    int set = set_of(), ends[2];
    CHECK_OK(pipe(ends));
    add(set, ends[0], EPOLLIN | EPOLLONESHOT);
    put(ends[1]);
    CHECK_EQ(one(set, 0), EPOLLIN);
    put(ends[1]);
    CHECK_EQ(one(set, 0), 0);
    CHECK_OK(close(ends[1]));
    CHECK_EQ(one(set, 0), 0);
    control(set, EPOLL_CTL_MOD, ends[0], EPOLLIN | EPOLLONESHOT, 0);
    CHECK_EQ(one(set, 0), EPOLLIN | EPOLLHUP);
    CHECK_EQ(one(set, 0), 0);
}

static void what_is_told(void) {
    int set = set_of(), first = (int)CHECK_OK(eventfd(1, 0)), second = (int)CHECK_OK(eventfd(1, 0));
    struct epoll_event events[3];
    control(set, EPOLL_CTL_ADD, first, EPOLLIN | EPOLLOUT, 0x123456789abcdef0);
    control(set, EPOLL_CTL_ADD, second, EPOLLOUT, 2);
    CHECK_EQ(epoll_wait(set, events, 3, 0), 2);
    int place = events[0].data.u64 == 2;
    CHECK(events[place].data.u64 == 0x123456789abcdef0 && events[place].events == (EPOLLIN | EPOLLOUT));
    CHECK(events[!place].data.u64 == 2 && events[!place].events == EPOLLOUT);
    /* With room for one, each gets its turn. */
    CHECK_EQ(epoll_wait(set, events, 1, 0), 1);
    CHECK_EQ(epoll_wait(set, events + 1, 1, 0), 1);
    CHECK(events[0].data.u64 != events[1].data.u64);
    CHECK_OK(epoll_ctl(set, EPOLL_CTL_DEL, second, NULL));
    CHECK_EQ(epoll_wait(set, events, 3, 0), 1);
    control(set, EPOLL_CTL_MOD, first, 0, 3);
    CHECK_EQ(epoll_wait(set, events, 3, 0), 0);
}

static void errors(void) {
    const char *path = test_path("epoll");
    int set = set_of(), other = set_of(), fd = (int)CHECK_OK(eventfd(0, 0)), file = test_file(path, 10);
    struct epoll_event event = {.events = EPOLLIN};
    CHECK_EQ(fcntl(set, F_GETFD), FD_CLOEXEC);
    CHECK_ERRNO(syscall(SYS_epoll_create, 0), EINVAL);
    CHECK_EQ(fcntl((int)CHECK_OK(epoll_create(1)), F_GETFD), 0);
    CHECK_ERRNO(epoll_create1(1), EINVAL);
    CHECK_ERRNO(epoll_ctl(set, EPOLL_CTL_ADD, -1, &event), EBADF);
    CHECK_ERRNO(epoll_ctl(-1, EPOLL_CTL_ADD, fd, &event), EBADF);
    CHECK_ERRNO(epoll_ctl(set, EPOLL_CTL_ADD, set, &event), EINVAL);
    CHECK_ERRNO(epoll_ctl(fd, EPOLL_CTL_ADD, set, &event), EINVAL);
    CHECK_ERRNO(epoll_ctl(set, EPOLL_CTL_ADD, file, &event), EPERM);
    CHECK_ERRNO(epoll_ctl(set, 17, fd, &event), EINVAL);
    CHECK_ERRNO(epoll_ctl(set, EPOLL_CTL_MOD, fd, &event), ENOENT);
    CHECK_ERRNO(epoll_ctl(set, EPOLL_CTL_DEL, fd, &event), ENOENT);
    CHECK_ERRNO(epoll_ctl(set, EPOLL_CTL_ADD, fd, (void *)8), EFAULT);
    CHECK_OK(epoll_ctl(set, EPOLL_CTL_ADD, fd, &event));
    CHECK_ERRNO(epoll_ctl(set, EPOLL_CTL_ADD, fd, &event), EEXIST);
    CHECK_ERRNO(epoll_wait(set, &event, 0, 0), EINVAL);
    CHECK_ERRNO(epoll_wait(set, &event, -1, 0), EINVAL);
    CHECK_ERRNO(epoll_wait(fd, &event, 1, 0), EINVAL);
    CHECK_ERRNO(epoll_wait(-1, &event, 1, 0), EBADF);
    put(fd);
    CHECK_ERRNO(epoll_wait(set, (void *)8, 1, 0), EFAULT);
    CHECK_ERRNO(read(set, &event, 1), EINVAL);
    CHECK_OK(epoll_ctl(other, EPOLL_CTL_ADD, set, &event));
    CHECK_ERRNO(epoll_ctl(set, EPOLL_CTL_ADD, other, &event), ELOOP);
    CHECK_OK(close(file));
    CHECK_OK(unlink(path));
}

/* The same file by two descriptors is in the set twice; it goes with the file, not with the descriptor. */
static void descriptors_and_files(void) {
    int set = set_of(), fd = (int)CHECK_OK(eventfd(1, 0)), copy = (int)CHECK_OK(dup(fd));
    struct epoll_event events[3];
    add(set, fd, EPOLLIN);
    add(set, copy, EPOLLIN);
    CHECK_EQ(epoll_wait(set, events, 3, 0), 2);
    CHECK_OK(close(fd));
    CHECK_EQ(epoll_wait(set, events, 3, 0), 2);
    CHECK_ERRNO(epoll_ctl(set, EPOLL_CTL_DEL, fd, NULL), EBADF);
    CHECK_OK(close(copy));
    CHECK_EQ(epoll_wait(set, events, 3, 0), 0);
}

static void nested(void) {
    int inner = set_of(), outer = set_of(), fd = (int)CHECK_OK(eventfd(0, 0));
    add(outer, inner, EPOLLIN);
    add(inner, fd, EPOLLIN);
    struct pollfd request = {.fd = outer, .events = POLLIN};
    CHECK_EQ(poll(&request, 1, 0), 0);
    put(fd);
    CHECK_EQ(poll(&request, 1, 0), 1);
    CHECK_EQ(one(outer, -1), EPOLLIN);
    CHECK_EQ(one(inner, 0), EPOLLIN);
    take(fd);
    CHECK_EQ(poll(&request, 1, 0), 0);
    CHECK_EQ(one(outer, 0), 0);
    put(fd);
    CHECK_OK(close(inner));
    CHECK_EQ(one(outer, 0), 0);
}

static void too_deep(void) {
    int sets[7];
    struct epoll_event event = {.events = EPOLLIN};
    sets[0] = set_of();
    for (int i = 1; i < 5; i++) {
        sets[i] = set_of();
        add(sets[i], sets[i - 1], EPOLLIN);
    }
    int fd = (int)CHECK_OK(eventfd(1, 0));
    add(sets[0], fd, EPOLLIN);
    CHECK_EQ(one(sets[4], 0), EPOLLIN);
    sets[5] = set_of();
    CHECK_ERRNO(epoll_ctl(sets[5], EPOLL_CTL_ADD, sets[4], &event), ELOOP);
    CHECK_ERRNO(epoll_ctl(sets[0], EPOLL_CTL_ADD, sets[4], &event), ELOOP);
    CHECK_ERRNO(epoll_ctl(sets[0], EPOLL_CTL_ADD, sets[5], &event), ELOOP);
}

/* A sleeper in a set, in an outer set and in poll() is woken by another process. */
static void sleepers(void) {
    int inner = set_of(), outer = set_of(), there = (int)CHECK_OK(eventfd(0, 0)), back = (int)CHECK_OK(eventfd(0, 0));
    add(outer, inner, EPOLLIN);
    add(inner, there, EPOLLIN);
    pid_t pid = (pid_t)CHECK_OK(fork());
    if (pid == 0) {
        for (int i = 0; i < 60; i++) {
            take(back);
            test_sleep_ms(i % 3);
            put(there);
        }
        _exit(0);
    }
    struct pollfd request = {.fd = outer, .events = POLLIN};
    for (int i = 0; i < 60; i++) {
        put(back);
        if (i % 3 == 0) {
            CHECK_EQ(one(inner, 10000), EPOLLIN);
        } else if (i % 3 == 1) {
            CHECK_EQ(one(outer, 10000), EPOLLIN);
        } else {
            CHECK_EQ(poll(&request, 1, 10000), 1);
        }
        take(there);
    }
    CHECK_EXITED(test_wait(pid));
}

static volatile sig_atomic_t handled;
static void handler(int number) { handled = number; }

static void time_and_signals(void) {
    int set = set_of();
    struct epoll_event event;
    uint64_t before = test_now_ns();
    CHECK_EQ(epoll_wait(set, &event, 1, 20), 0);
    CHECK(test_now_ns() - before >= 20000000);
    struct timespec limit = {0, 20000000};
    before = test_now_ns();
    CHECK_EQ(syscall(SYS_epoll_pwait2, set, &event, 1, &limit, NULL, 8), 0);
    CHECK(test_now_ns() - before >= 20000000);
    limit.tv_nsec = 1000000000;
    CHECK_ERRNO(syscall(SYS_epoll_pwait2, set, &event, 1, &limit, NULL, 8), EINVAL);
    CHECK_ERRNO(syscall(SYS_epoll_pwait, set, &event, 1, 0, &limit, 4), EINVAL);

    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART};
    sigset_t blocked, none;
    CHECK_OK(sigaction(SIGUSR1, &action, NULL));
    sigemptyset(&none);
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGUSR1);
    CHECK_OK(sigprocmask(SIG_BLOCK, &blocked, NULL));
    CHECK_OK(kill(getpid(), SIGUSR1));
    CHECK_EQ(epoll_wait(set, &event, 1, 1), 0);
    CHECK_EQ(handled, 0);
    CHECK_ERRNO(epoll_pwait(set, &event, 1, -1, &none), EINTR);
    CHECK_EQ(handled, SIGUSR1);
}

/* As many as LEBench has; those that are ready are told, and nothing else is asked. */
static void thousand(void) {
    enum { COUNT = 1000 };
    static struct epoll_event events[COUNT];
    static int fds[COUNT];
    struct rlimit limit = {2048, 4096};
    (void)!setrlimit(RLIMIT_NOFILE, &limit);
    int set = set_of();
    for (int i = 0; i < COUNT; i++) {
        fds[i] = (int)CHECK_OK(eventfd(0, 0));
        control(set, EPOLL_CTL_ADD, fds[i], EPOLLIN, (uint64_t)i);
    }
    CHECK_EQ(epoll_wait(set, events, COUNT, 0), 0);
    for (int i = 0; i < COUNT; i += 100) {
        put(fds[i]);
    }
    CHECK_EQ(epoll_wait(set, events, COUNT, 0), 10);
    for (int i = 0; i < 10; i++) {
        CHECK(events[i].data.u64 == (uint64_t)i * 100);
        take(fds[events[i].data.u64]);
    }
    CHECK_EQ(epoll_wait(set, events, COUNT, 0), 0);
    for (int i = 0; i < COUNT; i++) {
        put(fds[i]);
    }
    CHECK_EQ(epoll_wait(set, events, COUNT, 0), COUNT);
    for (int i = 0; i < COUNT; i += 2) {
        CHECK_OK(close(fds[i]));
    }
    CHECK_EQ(epoll_wait(set, events, COUNT, 0), COUNT / 2);
}

static void timers_and_forks(void) {
    int set = set_of(), timer = (int)CHECK_OK(timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK));
    add(set, timer, EPOLLIN);
    struct itimerspec times = {.it_value = {0, 5000000}, .it_interval = {0, 5000000}};
    CHECK_OK(timerfd_settime(timer, 0, &times, NULL));
    for (int i = 0; i < 5; i++) {
        CHECK_EQ(one(set, 5000), EPOLLIN);
        take(timer);
    }
    pid_t pid = (pid_t)CHECK_OK(fork()); /* the set is shared with a child */
    if (pid == 0) {
        CHECK_EQ(one(set, 5000), EPOLLIN);
        CHECK_OK(epoll_ctl(set, EPOLL_CTL_DEL, timer, NULL));
        _exit(0);
    }
    CHECK_EXITED(test_wait(pid));
    CHECK_EQ(one(set, 10), 0);
}

/* --- Races: worth most with several CPUs -------------------------------------------------------------------------- */

enum { ROUNDS = 200, RACERS = 3 };
static int race_set, race_back;
static volatile int race_over;

static void *wait_again_and_again(void *argument) {
    struct epoll_event events[8];
    (void)argument;
    while (!race_over) {
        CHECK_OK(epoll_wait(race_set, events, 8, 1));
    }
    return NULL;
}

/* Files are closed while threads wait for them and other sets hold them. */
static void closed_while_waited_for(void) {
    pthread_t threads[RACERS];
    int outer = set_of();
    race_set = set_of();
    race_over = 0;
    add(outer, race_set, EPOLLIN);
    for (int i = 0; i < RACERS; i++) {
        CHECK_EQ(pthread_create(&threads[i], NULL, wait_again_and_again, NULL), 0);
    }
    for (int i = 0; i < ROUNDS; i++) {
        int fd = (int)CHECK_OK(eventfd(i & 1, 0)), ends[2], second = set_of();
        CHECK_OK(pipe(ends));
        add(race_set, fd, EPOLLIN | (i & 2 ? EPOLLET : 0));
        add(race_set, ends[0], EPOLLIN);
        add(second, ends[0], EPOLLIN);
        add(race_set, second, EPOLLIN);
        put(ends[1]);
        put(fd);
        (void)one(outer, 0);
        CHECK_OK(close(i & 4 ? fd : ends[0]));
        CHECK_OK(close(i & 4 ? ends[0] : second));
        CHECK_OK(close(i & 4 ? second : fd));
        CHECK_OK(close(ends[1]));
    }
    race_over = 1;
    for (int i = 0; i < RACERS; i++) {
        CHECK_EQ(pthread_join(threads[i], NULL), 0);
    }
    CHECK_EQ(one(race_set, 0), 0);
}

static void *answer(void *argument) {
    (void)argument;
    for (int i = 0; i < ROUNDS; i++) {
        CHECK_EQ(one(race_set, 10000), EPOLLIN);
        take((int)(long)argument);
        put(race_back);
    }
    return NULL;
}

/* No wake-up is lost between two threads that wait in turn. */
static void in_turn(void) {
    pthread_t thread;
    int there = (int)CHECK_OK(eventfd(0, 0));
    race_back = (int)CHECK_OK(eventfd(0, 0));
    race_set = set_of();
    add(race_set, there, EPOLLIN | EPOLLET);
    int set = set_of();
    add(set, race_back, EPOLLIN | EPOLLET);
    CHECK_EQ(pthread_create(&thread, NULL, answer, (void *)(long)there), 0);
    for (int i = 0; i < ROUNDS; i++) {
        put(there);
        CHECK_EQ(one(set, 10000), EPOLLIN);
        take(race_back);
    }
    CHECK_EQ(pthread_join(thread, NULL), 0);
}

static const struct test_case cases[] = {
    {"level", level},
    {"edge", edge},
    {"once", once},
    {"what-is-told", what_is_told},
    {"errors", errors},
    {"descriptors-and-files", descriptors_and_files},
    {"nested", nested},
    {"too-deep", too_deep},
    {"sleepers", sleepers},
    {"time-and-signals", time_and_signals},
    {"thousand", thousand},
    {"timers-and-forks", timers_and_forks},
    {"closed-while-waited-for", closed_while_waited_for},
    {"in-turn", in_turn},
};
TEST_MAIN(cases)
