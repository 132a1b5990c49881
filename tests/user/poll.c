/* Conformance: poll and select on pipes and files. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/select.h>
#include <unistd.h>

#include "tests/user/lib/test.h"

static int ends[2];

static int poll_one(int fd, short events, int timeout, short *got) {
    struct pollfd entry = {.fd = fd, .events = events, .revents = 0x55};
    int ready = poll(&entry, 1, timeout);
    *got = entry.revents;
    return ready;
}

#define CHECK_POLL(fd, wanted, ready, result)                                                                          \
    do {                                                                                                               \
        short got;                                                                                                     \
        CHECK_EQ(poll_one(fd, wanted, 0, &got), ready);                                                                \
        CHECK_EQ(got, result);                                                                                         \
    } while (0)

static void pipe_states(void) {
    static char data[65536];
    CHECK_OK(pipe2(ends, O_NONBLOCK));
    CHECK_POLL(ends[0], POLLIN, 0, 0);
    CHECK_POLL(ends[1], POLLOUT, 1, POLLOUT);
    CHECK_EQ(write(ends[1], "x", 1), 1);
    CHECK_POLL(ends[0], POLLIN, 1, POLLIN);
    CHECK_POLL(ends[0], POLLIN | POLLOUT, 1, POLLIN);
    CHECK_EQ(read(ends[0], data, 1), 1);
    CHECK_EQ(write(ends[1], data, sizeof(data)), sizeof(data));
    CHECK_POLL(ends[1], POLLOUT, 0, 0);
    CHECK_EQ(read(ends[0], data, sizeof(data)), sizeof(data));
    CHECK_POLL(ends[1], POLLOUT, 1, POLLOUT);
    CHECK_OK(close(ends[1]));
    CHECK_POLL(ends[0], POLLIN, 1, POLLHUP);
    CHECK_OK(close(ends[0]));
    CHECK_OK(pipe(ends));
    CHECK_OK(close(ends[0]));
    CHECK_POLL(ends[1], POLLOUT, 1, POLLOUT | POLLERR);
}

static void other_entries(void) {
    struct pollfd entries[3] = {{.fd = -5, .events = POLLIN}, {.fd = 99, .events = POLLIN}, {.fd = 1000}};
    CHECK_OK(pipe(ends));
    const char *path = test_path("poll");
    int file = test_file(path, 10);
    CHECK_OK(unlink(path));
    entries[2].fd = file;
    entries[2].events = POLLIN | POLLOUT;
    CHECK_EQ(poll(entries, 3, -1), 2);
    CHECK_EQ(entries[0].revents, 0);
    CHECK_EQ(entries[1].revents, POLLNVAL);
    CHECK_EQ(entries[2].revents, POLLIN | POLLOUT);
    CHECK_ERRNO(poll((struct pollfd *)8, 1, 0), EFAULT);
    CHECK_EQ(poll(NULL, 0, 0), 0);
    uint64_t start = test_now_ns();
    CHECK_EQ(poll(NULL, 0, 30), 0);
    CHECK(test_now_ns() - start >= 30000000);
}

static pid_t write_later(int signal) {
    pid_t parent = getpid(), pid = fork();
    if (pid == 0) {
        test_sleep_ms(30);
        if (signal != 0) {
            kill(parent, signal);
        } else {
            CHECK_EQ(write(ends[1], "x", 1), 1);
        }
        _exit(0);
    }
    return pid;
}

static void nothing(int signal) { (void)signal; }

static void blocks_until_ready(void) {
    short got;
    CHECK_OK(pipe(ends));
    pid_t pid = write_later(0);
    CHECK_EQ(poll_one(ends[0], POLLIN, 5000, &got), 1);
    CHECK_EQ(got, POLLIN);
    CHECK_EXITED(test_wait(pid));

    char byte;
    CHECK_EQ(read(ends[0], &byte, 1), 1);
    struct sigaction action = {.sa_handler = nothing, .sa_flags = SA_RESTART};
    CHECK_OK(sigaction(SIGUSR1, &action, NULL));
    pid = write_later(SIGUSR1);
    CHECK_ERRNO(poll_one(ends[0], POLLIN, -1, &got), EINTR); /* never restarted */
    CHECK_EXITED(test_wait(pid));
}

static void selects(void) {
    fd_set readers, writers;
    struct timeval none = {0}, some = {.tv_usec = 20000};
    CHECK_OK(pipe(ends));
    FD_ZERO(&readers);
    FD_ZERO(&writers);
    FD_SET(ends[0], &readers);
    FD_SET(ends[1], &writers);
    CHECK_EQ(select(ends[1] + 1, &readers, &writers, NULL, &none), 1);
    CHECK(!FD_ISSET(ends[0], &readers) && FD_ISSET(ends[1], &writers));
    FD_SET(ends[0], &readers);
    uint64_t start = test_now_ns();
    CHECK_EQ(select(ends[0] + 1, &readers, NULL, NULL, &some), 0);
    CHECK(test_now_ns() - start >= 20000000);
    pid_t pid = write_later(0);
    FD_SET(ends[0], &readers);
    CHECK_EQ(select(ends[0] + 1, &readers, NULL, NULL, NULL), 1);
    CHECK(FD_ISSET(ends[0], &readers));
    CHECK_EXITED(test_wait(pid));
    close(63); /* Linux looks no further than its table reaches, which has 64 entries or more */
    FD_ZERO(&readers);
    FD_SET(63, &readers);
    CHECK_ERRNO(select(64, &readers, NULL, NULL, &none), EBADF);
}

static const struct test_case cases[] = {
    {"pipe-states", pipe_states},
    {"other-entries", other_entries},
    {"blocking", blocks_until_ready},
    {"select", selects},
};
TEST_MAIN(cases)
