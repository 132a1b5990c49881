/*
 * asibench rows on descriptors that talk and wait: a UNIX socket's round trip, as the pipe's, and a wait for one of
 * 1,000.
 */
#include "user/lib/bench.h"

#include <stdint.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { WAITED_FOR = 1000 };

static pid_t echoer;
static int end = -1;

static int set = -1, waited_for[WAITED_FOR];
static unsigned opened;

static void echo_until_closed(int other) {
    char byte;
    while (read(other, &byte, 1) == 1 && write(other, &byte, 1) == 1) {
    }
    _exit(0);
}

static int socket_setup(void) {
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) < 0) {
        return -1;
    }
    end = ends[0];
    echoer = fork();
    if (echoer == 0) {
        close(ends[0]);
        echo_until_closed(ends[1]);
    }
    close(ends[1]);
    return echoer < 0 ? -1 : 0;
}

static int socket_run(unsigned count) {
    char byte = 'x';
    for (unsigned i = 0; i < count; i++) {
        if (write(end, &byte, 1) != 1 || read(end, &byte, 1) != 1) {
            return -1;
        }
    }
    return 0;
}

static void socket_teardown(void) { bench_end_child(&echoer, &end); }

static int epoll_setup(void) {
    struct rlimit limit = {2 * WAITED_FOR, 2 * WAITED_FOR};
    const uint64_t one = 1;
    setrlimit(RLIMIT_NOFILE, &limit);
    set = epoll_create1(0);
    for (opened = 0; opened < WAITED_FOR && set >= 0; opened++) {
        struct epoll_event event = {.events = EPOLLIN, .data.u64 = opened};
        waited_for[opened] = eventfd(0, 0);
        if (waited_for[opened] < 0) {
            return -1;
        }
        if (epoll_ctl(set, EPOLL_CTL_ADD, waited_for[opened], &event) < 0) {
            close(waited_for[opened]);
            return -1;
        }
    }
    return set >= 0 && write(waited_for[WAITED_FOR / 2], &one, sizeof(one)) == sizeof(one) ? 0 : -1;
}

static int epoll_run(unsigned count) {
    struct epoll_event event;
    for (unsigned i = 0; i < count; i++) {
        if (epoll_wait(set, &event, 1, -1) != 1 || event.data.u64 != WAITED_FOR / 2) {
            return -1;
        }
    }
    return 0;
}

static void epoll_teardown(void) {
    while (opened > 0) {
        close(waited_for[--opened]);
    }
    if (set >= 0) {
        close(set);
    }
    set = -1;
}

const struct bench_row bench_socket = {
    .slug = "socket",
    .title = "socket round trip",
    .count = 800,
    .setup = socket_setup,
    .run = socket_run,
    .teardown = socket_teardown,
};

const struct bench_row bench_epoll = {
    .slug = "epoll1000",
    .title = "epoll_wait, 1 of 1000",
    .count = 2000,
    .setup = epoll_setup,
    .run = epoll_run,
    .teardown = epoll_teardown,
};
