/*
 * asibench rows on control: the bare system call, switches between processes and threads, futex, going idle and back.
 *
 * pipe counts round trips, each of two process switches; threadswitch counts single switches (a round trip makes two).
 * asibench pins itself to one processor, so that both sides really take turns on it.
 */
#include "user/lib/bench.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { FUTEX_WAIT_PRIVATE = 128, FUTEX_WAKE_PRIVATE = 129 };

/* pipe */
static pid_t echoer;
static int to_echoer = -1, from_echoer = -1;

/* threadswitch */
enum turn { TURN_MAIN, TURN_PARTNER, TURN_STOP };
static _Atomic int turn;
static pthread_t partner;
static bool partner_runs;

static int getppid_run(unsigned count) {
    for (unsigned i = 0; i < count; i++) {
        getppid();
    }
    return 0;
}

static void echo_until_closed(int input, int output) {
    char byte;
    while (read(input, &byte, 1) == 1 && write(output, &byte, 1) == 1) {
    }
    _exit(0);
}

static int pipe_setup(void) {
    int there[2], back[2];
    if (pipe(there) < 0) {
        return -1;
    }
    if (pipe(back) < 0) {
        close(there[0]);
        close(there[1]);
        return -1;
    }
    to_echoer = there[1];
    from_echoer = back[0];
    echoer = fork();
    if (echoer == 0) {
        close(there[1]);
        close(back[0]);
        echo_until_closed(there[0], back[1]);
    }
    close(there[0]);
    close(back[1]);
    return echoer < 0 ? -1 : 0;
}

static int pipe_run(unsigned count) {
    char byte = 'x';
    for (unsigned i = 0; i < count; i++) {
        if (write(to_echoer, &byte, 1) != 1 || read(from_echoer, &byte, 1) != 1) {
            return -1;
        }
    }
    return 0;
}

static void pipe_teardown(void) {
    bench_end_child(&echoer, &to_echoer);
    if (from_echoer >= 0) {
        close(from_echoer);
        from_echoer = -1;
    }
}

static void wait_while(enum turn value) {
    while (atomic_load(&turn) == (int)value) {
        syscall(SYS_futex, &turn, FUTEX_WAIT_PRIVATE, (int)value, NULL, NULL, 0);
    }
}

static void give_turn(enum turn value) {
    atomic_store(&turn, (int)value);
    syscall(SYS_futex, &turn, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

static void *take_turns(void *unused) {
    for (;;) {
        wait_while(TURN_MAIN);
        if (atomic_load(&turn) == TURN_STOP) {
            return unused;
        }
        give_turn(TURN_MAIN);
    }
}

static int thread_setup(void) {
    atomic_store(&turn, TURN_MAIN);
    errno = pthread_create(&partner, NULL, take_turns, NULL);
    partner_runs = errno == 0;
    return partner_runs ? 0 : -1;
}

static int thread_run(unsigned count) {
    for (unsigned i = 0; i < count; i++) {
        give_turn(TURN_PARTNER);
        wait_while(TURN_PARTNER);
    }
    return 0;
}

static void thread_teardown(void) {
    if (partner_runs) {
        give_turn(TURN_STOP);
        pthread_join(partner, NULL);
        partner_runs = false;
    }
}

static int futexwake_run(unsigned count) {
    for (unsigned i = 0; i < count; i++) {
        if (syscall(SYS_futex, &turn, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0) != 0) {
            return -1;
        }
    }
    return 0;
}

static int idle_run(unsigned count) {
    const struct timespec nap = {.tv_nsec = 1000000};
    for (unsigned i = 0; i < count; i++) {
        if (nanosleep(&nap, NULL) < 0) {
            return -1;
        }
    }
    return 0;
}

const struct bench_row bench_getppid = {.slug = "getppid", .title = "getppid", .count = 5000, .run = getppid_run};

const struct bench_row bench_pipe = {
    .slug = "pipe",
    .title = "pipe round trip",
    .count = 800,
    .setup = pipe_setup,
    .run = pipe_run,
    .teardown = pipe_teardown,
};

const struct bench_row bench_threadswitch = {
    .slug = "threadswitch",
    .title = "thread switch",
    .count = 800,
    .operations_each = 2,
    .setup = thread_setup,
    .run = thread_run,
    .teardown = thread_teardown,
};

const struct bench_row bench_futexwake = {
    .slug = "futexwake", .title = "futex wake, no waiter", .count = 2000, .run = futexwake_run};

const struct bench_row bench_idle = {.slug = "idle", .title = "idle and back (1 ms)", .count = 8, .run = idle_run};
