/*
 * Hostile input: calls that pull the rug from under other calls, and calls whose cost must not add up. A file that is
 * closed while it is read or waited for, a link that leads to itself, the same thing done ten thousand times.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/user/lib/penumbra.h"
#include "tests/user/lib/test.h"

enum { MEGABYTE = 1 << 20 };

static void start(pthread_t *thread, void *(*body)(void *), void *argument) {
    int error = pthread_create(thread, NULL, body, argument);
    CHECK_EQ(error, 0);
}

/* --- Closed while in use --- */

static void *read_one(void *argument) {
    char byte = 0;
    return (void *)(intptr_t)(read((int)(intptr_t)argument, &byte, 1) == 1 ? byte : -errno);
}

/* The read goes on with the file it has begun on. */
static void close_under_pipe_read(void) {
    int in_time = 0;
    for (int round = 0; round < 20; round++) {
        int ends[2];
        pthread_t reader;
        void *got;
        CHECK_OK(pipe(ends));
        pid_t pid = fork();
        if (pid == 0) {
            CHECK_OK(close(ends[0]));
            signal(SIGPIPE, SIG_IGN);
            test_sleep_ms(6);
            CHECK(write(ends[1], "x", 1) == 1 || errno == EPIPE);
            _exit(0);
        }
        start(&reader, read_one, (void *)(intptr_t)ends[0]);
        test_sleep_ms(2);
        CHECK_OK(close(ends[0]));
        CHECK_OK(close(ends[1]));
        pthread_join(reader, &got);
        CHECK((intptr_t)got == 'x' || (intptr_t)got == -EBADF); /* or the reader came too late */
        in_time += (intptr_t)got == 'x';
        CHECK_EXITED(test_wait(pid));
    }
    CHECK(in_time > 0);
}

static volatile bool finished;
static char path_of_file[80];

static void *read_file_often(void *argument) {
    uint8_t *data = argument;
    while (!finished) {
        int fd = open(path_of_file, O_RDONLY);
        ssize_t length = read(fd, data, 4 * MEGABYTE);
        CHECK(length == 4 * MEGABYTE || (length < 0 && errno == EBADF));
        for (ssize_t i = 0; i < length; i += TEST_PAGE) {
            CHECK_EQ(data[i], test_byte((size_t)i));
        }
        close(fd);
    }
    return NULL;
}

/* A long read pauses between its pieces: meanwhile its descriptor goes, and with it all windows on the file. */
static void close_under_file_read(void) {
    pthread_t reader;
    uint8_t *data = mmap(NULL, 4 * MEGABYTE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK((void *)data != MAP_FAILED);
    snprintf(path_of_file, sizeof(path_of_file), "%s", test_path("long"));
    CHECK_OK(close(test_file(path_of_file, 4 * MEGABYTE)));
    start(&reader, read_file_often, data);
    uint64_t end = test_now_ns() + 500000000;
    while (test_now_ns() < end) {
        for (int fd = 3; fd < 8; fd++) {
            close(fd);
        }
        sched_yield();
    }
    finished = true;
    pthread_join(reader, NULL);
    CHECK_OK(unlink(path_of_file));
}

static void *poll_two(void *argument) {
    const int *fds = argument;
    struct pollfd polled[] = {{.fd = fds[0], .events = POLLIN}, {.fd = fds[1], .events = POLLIN}};
    return (void *)(intptr_t)poll(polled, 2, 30);
}

static void close_under_poll(void) {
    int first[2], second[2];
    pthread_t poller;
    void *ready;
    CHECK_OK(pipe(first));
    CHECK_OK(pipe(second));
    int fds[] = {first[0], second[0]};
    start(&poller, poll_two, fds);
    test_sleep_ms(2);
    CHECK_OK(close(first[0]));
    CHECK_OK(close(second[0]));
    pthread_join(poller, &ready);
    CHECK((intptr_t)ready == 0 || (intptr_t)ready == 2); /* Linux looks the descriptors up again at the end */
    CHECK_OK(close(first[1]));
    CHECK_OK(close(second[1]));
}

/* --- Many at once --- */

/* Every count around those that the kernel has room for without allocating, pipes open for both directions too. */
static void poll_counts(void) {
    enum { COUNTS = 40 };
    struct pollfd polled[COUNTS];
    int ends[2];
    char path[40];
    CHECK_OK(pipe(ends));
    snprintf(path, sizeof(path), "/proc/self/fd/%d", ends[0]);
    int both = open(path, O_RDWR | O_NONBLOCK);
    CHECK(both >= 0);
    char block[65536] = {0};
    CHECK_EQ(write(both, block, sizeof(block)), sizeof(block)); /* so that it is not ready for writing */
    int empty[2];
    CHECK_OK(pipe(empty));
    for (int count = 0; count <= COUNTS; count++) {
        for (int i = 0; i < count; i++) {
            polled[i] = (struct pollfd){.fd = i % 2 == 0 ? both : empty[0], .events = i % 2 == 0 ? POLLOUT : POLLIN};
        }
        CHECK_EQ(poll(polled, (nfds_t)count, 1), 0);
        fd_set writers;
        struct timeval limit = {.tv_usec = 1000};
        FD_ZERO(&writers);
        FD_SET(both, &writers);
        CHECK_EQ(select(both + 1, NULL, &writers, NULL, &limit), 0);
    }
    CHECK_OK(close(both));
    CHECK_OK(close(ends[0]));
    CHECK_OK(close(ends[1]));
    CHECK_OK(close(empty[0]));
    CHECK_OK(close(empty[1]));
}

static uint64_t frames_free(void) { return on_penumbra() ? penumbra_memory().frames_free : 0; }

enum { KEPT = 16 }; /* what a repeated call keeps may be a few pages, once */

static void check_kept(uint64_t free_before, const char *what) {
    uint64_t free_after = frames_free();
    if (free_after + KEPT < free_before) {
        test_fail(__FILE__, __LINE__, "%s: %llu frames are gone", what, (unsigned long long)(free_before - free_after));
    }
}

/* More descriptors than fit a page. */
static void poll_often(void) {
    enum { COUNT = 1000 };
    static struct pollfd polled[COUNT];
    for (int i = 0; i < COUNT; i++) {
        polled[i].fd = -1;
    }
    CHECK_EQ(poll(polled, COUNT, 0), 0);
    uint64_t before = frames_free();
    for (int round = 0; round < 3000; round++) {
        CHECK_EQ(poll(polled, round % 2 == 0 ? COUNT : COUNT - 300, 0), 0);
    }
    check_kept(before, "poll");
}

static void take_turns_writing(int fd, int mine, int turn_in, int turn_out) {
    char byte = (char)mine;
    for (int i = 0; i < 3000; i++) {
        CHECK_EQ(read(turn_in, &byte, 1), 1);
        CHECK_EQ(write(fd, &byte, 1), 1);
        CHECK_EQ(write(turn_out, &byte, 1), 1);
    }
}

/* Two processes write to one pipe by turns: the page's views are revoked and made again each time. */
static void two_writers(void) {
    int data[2], first[2], second[2];
    char byte = 0;
    CHECK_OK(pipe(data));
    CHECK_OK(pipe(first));
    CHECK_OK(pipe(second));
    pid_t reader = fork();
    if (reader == 0) {
        CHECK_OK(close(data[1]));
        while (read(data[0], &byte, 1) == 1) {
        }
        _exit(0);
    }
    pid_t writer = fork();
    if (writer == 0) {
        CHECK_OK(close(data[0]));
        take_turns_writing(data[1], 'b', second[0], first[1]);
        _exit(0);
    }
    CHECK_OK(close(data[0]));
    uint64_t before = frames_free();
    CHECK_EQ(write(first[1], &byte, 1), 1);
    take_turns_writing(data[1], 'a', first[0], second[1]);
    CHECK_EQ(read(first[0], &byte, 1), 1);
    CHECK_EXITED(test_wait(writer));
    check_kept(before, "write");
    CHECK_OK(close(data[1]));
    CHECK_EXITED(test_wait(reader));
    for (int i = 0; i < 2; i++) {
        CHECK_OK(close(first[i]));
        CHECK_OK(close(second[i]));
    }
}

/* Each process is the child of the one before: what a child inherits must not grow with the generations. */
static void generations(void) {
    enum { GENERATIONS = 400 };
    int ends[2];
    uint64_t free = 0;
    CHECK_OK(pipe(ends));
    for (int i = 0; i < GENERATIONS; i++) {
        pid_t pid = fork();
        CHECK(pid >= 0);
        if (pid > 0) {
            if (i > 0) {
                _exit(0);
            }
            break;
        }
        if (i == 1) {
            test_sleep_ms(20); /* the parent's remains are gone by then */
            free = frames_free();
        } else if (i + 1 == GENERATIONS) {
            for (int tries = 0; tries < 200 && frames_free() + KEPT < free; tries++) {
                test_sleep_ms(10); /* init has hundreds of orphans to collect */
            }
            check_kept(free, "fork");
            CHECK_EQ(write(ends[1], "x", 1), 1);
            _exit(0);
        }
    }
    char byte = 0;
    CHECK_OK(close(ends[1]));
    CHECK_EQ(read(ends[0], &byte, 1), 1);
    CHECK_EQ(byte, 'x');
    CHECK_OK(close(ends[0]));
    while (wait(NULL) > 0) {
    }
}

/* --- Links that lead to themselves --- */

static void handle_to_itself(void) {
    char path[40];
    for (int fd = 3; fd < 12; fd++) {
        snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        int place = open(path, O_PATH);
        if (place < 0) {
            CHECK(errno == ENOENT || errno == ELOOP);
            continue;
        }
        int again = open(path, O_RDONLY);
        CHECK(again >= 0 || errno == ELOOP || errno == ENOENT || errno == ENXIO);
        if (again >= 0) {
            close(again);
        }
        close(place);
    }
}

/* --- No memory --- */

/* What a child of this process takes. */
static uint64_t frames_of_fork(void) {
    uint64_t before = frames_free();
    pid_t pid = (pid_t)CHECK_OK(fork());
    if (pid == 0) {
        pause();
    }
    uint64_t taken = before - frames_free();
    CHECK_OK(kill(pid, SIGKILL));
    test_wait(pid);
    return taken;
}

static void fill_and_fork(void *argument) {
    enum { AREAS = 30000, MARGIN = 200 };
    (void)argument;
    for (int i = 0; i < AREAS; i++) {
        int protection = i % 2 == 0 ? PROT_READ : PROT_READ | PROT_WRITE;
        if (mmap(NULL, TEST_PAGE, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED) {
            break;
        }
    }
    const uint64_t enough = frames_of_fork() + MARGIN;
    /* Leave less and less, a page at a time, so that each allocation of the fork is the one that fails once. */
    for (;;) {
        uint8_t *page = mmap(NULL, 8 * TEST_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if ((void *)page == MAP_FAILED) {
            return;
        }
        if (frames_free() < enough) {
            for (int i = 0; i < 8; i++) {
                page[i * TEST_PAGE] = 1;
            }
            pid_t pid = fork();
            if (pid == 0) {
                _exit(0);
            }
            if (pid > 0) {
                test_wait(pid);
            } else {
                CHECK(errno == ENOMEM || errno == EAGAIN);
            }
        } else {
            munmap(page, 8 * TEST_PAGE);
            page = mmap(NULL, MEGABYTE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
            if ((void *)page == MAP_FAILED) {
                return;
            }
            memset(page, 1, MEGABYTE);
        }
    }
}

/* A fork that fails half-way gives back all it took, a process with much kernel memory of its own included. */
static void failing_fork(void) {
    test_needs_penumbra();
    bool timed_out;
    int status = test_run_child_within(fill_and_fork, NULL, 40000, &timed_out);
    CHECK(!timed_out);
    CHECK(status == 0 || (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL));
}

static const struct test_case cases[] = {
    {"close-under-pipe-read", close_under_pipe_read},
    {"close-under-file-read", close_under_file_read},
    {"close-under-poll", close_under_poll},
    {"poll-counts", poll_counts},
    {"poll-often", poll_often},
    {"two-writers", two_writers},
    {"generations", generations},
    {"handle-to-itself", handle_to_itself},
    {"failing-fork", failing_fork},
};
TEST_MAIN(cases)
