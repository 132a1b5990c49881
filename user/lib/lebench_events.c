/*
 * lebench rows on descriptors: a message on a UNIX stream socket whose other side is at rest, and select, poll and
 * epoll_wait on TCP sockets that are not connected, and so are all ready. LEBench's big message is of 96,000 bytes, of
 * which a channel of 64 KiB takes as many: here it is that.
 */
#include "user/lib/lebench.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <unistd.h>

enum { SMALL_MESSAGE = 1, BIG_MESSAGE = 65536, FEW = 10, MANY = 1000 };

/* Mapped while a row of these runs: the program is as small as ever in the rows of fork. */
struct waiting {
    int descriptors[MANY];
    struct pollfd polled[MANY];
    struct epoll_event events[MANY];
    fd_set selected;
};

static int ends[2] = {-1, -1};
static size_t size;
static char *message;

static struct waiting *waiting;
static int set = -1;
static unsigned wanted, opened;

static void *map(size_t bytes) {
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return memory == MAP_FAILED ? NULL : memory;
}

static int connect_ends(size_t bytes) {
    size = bytes;
    message = map(size);
    if (message == NULL) {
        return -1;
    }
    memset(message, 'a', size);
    return socketpair(AF_UNIX, SOCK_STREAM, 0, ends);
}

static int small_setup(void) { return connect_ends(SMALL_MESSAGE); }
static int big_setup(void) { return connect_ends(BIG_MESSAGE); }

static int send_run(unsigned count) {
    for (unsigned i = 0; i < count; i++) {
        if (send(ends[0], message, size, MSG_DONTWAIT) != (ssize_t)size) {
            return -1;
        }
    }
    return 0;
}

static int recv_run(unsigned count) {
    for (unsigned i = 0; i < count; i++) {
        if (recv(ends[1], message, size, MSG_DONTWAIT) != (ssize_t)size) {
            return -1;
        }
    }
    return 0;
}

static void disconnect(void) {
    for (int i = 0; i < 2; i++) {
        if (ends[i] >= 0) {
            close(ends[i]);
            ends[i] = -1;
        }
    }
    if (message != NULL) {
        munmap(message, size);
        message = NULL;
    }
}

/* Descriptor number `index` of those waited for, in all three ways. */
static int add_descriptor(unsigned index) {
    int descriptor = socket(AF_INET, SOCK_STREAM, 0);
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = index};
    if (descriptor < 0) {
        return -1;
    }
    opened++;
    waiting->descriptors[index] = descriptor;
    waiting->polled[index] = (struct pollfd){.fd = descriptor, .events = POLLIN};
    if (descriptor >= FD_SETSIZE) {
        errno = EMFILE;
        return -1;
    }
    FD_SET(descriptor, &waiting->selected);
    return epoll_ctl(set, EPOLL_CTL_ADD, descriptor, &event);
}

static int wait_for(unsigned count) {
    const struct rlimit limit = {2 * MANY, 2 * MANY};
    setrlimit(RLIMIT_NOFILE, &limit);
    waiting = map(sizeof *waiting);
    set = epoll_create1(0);
    if (waiting == NULL || set < 0) {
        return -1;
    }
    for (wanted = 0; wanted < count; wanted++) {
        if (add_descriptor(wanted) < 0) {
            return -1;
        }
    }
    return 0;
}

static int few_setup(void) { return wait_for(FEW); }
static int many_setup(void) { return wait_for(MANY); }

static int select_run(unsigned count) {
    const int highest = waiting->descriptors[wanted - 1];
    for (unsigned i = 0; i < count; i++) {
        fd_set ready = waiting->selected;
        struct timeval no_time = {0};
        if (select(highest + 1, &ready, NULL, NULL, &no_time) != (int)wanted) {
            return -1;
        }
    }
    return 0;
}

static int poll_run(unsigned count) {
    for (unsigned i = 0; i < count; i++) {
        if (poll(waiting->polled, wanted, 0) != (int)wanted) {
            return -1;
        }
    }
    return 0;
}

static int epoll_run(unsigned count) {
    for (unsigned i = 0; i < count; i++) {
        if (epoll_wait(set, waiting->events, (int)wanted, 0) != (int)wanted) {
            return -1;
        }
    }
    return 0;
}

static void stop_waiting(void) {
    while (opened > 0) {
        close(waiting->descriptors[--opened]);
    }
    if (set >= 0) {
        close(set);
        set = -1;
    }
    if (waiting != NULL) {
        munmap(waiting, sizeof *waiting);
        waiting = NULL;
    }
}

LEBENCH_ROW(send, "send 1 byte", 50, small_setup, NULL, send_run, recv_run, disconnect);
LEBENCH_ROW(recv, "recv 1 byte", 50, small_setup, send_run, recv_run, NULL, disconnect);
LEBENCH_ROW(bigsend, "send 64 KiB", 1, big_setup, NULL, send_run, recv_run, disconnect);
LEBENCH_ROW(bigrecv, "recv 64 KiB", 1, big_setup, send_run, recv_run, NULL, disconnect);

LEBENCH_ROW(select, "select, 10", 500, few_setup, NULL, select_run, NULL, stop_waiting);
LEBENCH_ROW(poll, "poll, 10", 500, few_setup, NULL, poll_run, NULL, stop_waiting);
LEBENCH_ROW(epoll, "epoll_wait, 10", 500, few_setup, NULL, epoll_run, NULL, stop_waiting);
LEBENCH_ROW(bigselect, "select, 1000", 20, many_setup, NULL, select_run, NULL, stop_waiting);
LEBENCH_ROW(bigpoll, "poll, 1000", 20, many_setup, NULL, poll_run, NULL, stop_waiting);
LEBENCH_ROW(bigepoll, "epoll_wait, 1000", 20, many_setup, NULL, epoll_run, NULL, stop_waiting);
