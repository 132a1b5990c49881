/*
 * Urgency: nice values, what they do on one CPU, and that a server is as urgent as those who wait for it.
 *
 * No case measures time but one: who was allowed to run in between is what is counted. Everything is on one CPU.
 */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/user/lib/domains.h"
#include "tests/user/lib/penumbra.h"
#include "tests/user/lib/test.h"
#include "user/lib/native.h"

enum { URGENT = -20, NORMAL = 0, LEAST = 19 };

static struct {
    _Atomic uint64_t spins;     /* of the spinner in the middle */
    _Atomic uint64_t low_spins; /* of the least urgent one */
    _Atomic int go, begun, after_answer;
} * shared;

static void set_nice(int nice) { CHECK_OK(setpriority(PRIO_PROCESS, 0, nice)); }

static void prepare(void) {
    test_needs_penumbra();
    pin_to_first_cpu();
    shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK((void *)shared != MAP_FAILED);
    set_nice(URGENT); /* what is started from here does not get in the way */
}

static pid_t start(int nice, void (*body)(int), int argument) {
    pid_t pid = (pid_t)CHECK_OK(fork());
    if (pid == 0) {
        set_nice(nice);
        body(argument);
        _exit(0);
    }
    return pid;
}

static void spin(int unused) {
    (void)unused;
    for (;;) {
        atomic_fetch_add(&shared->spins, 1);
    }
}

static void spin_low(int unused) {
    (void)unused;
    for (;;) {
        atomic_fetch_add(&shared->low_spins, 1);
    }
}

static void stop(pid_t pid) {
    CHECK_OK(kill(pid, SIGKILL));
    CHECK_SIGNALED(test_wait(pid), SIGKILL);
}

/* Lets the spinner have the CPU, and whoever is below it not, until it has run. */
static void let_spin(void) {
    uint64_t before = atomic_load(&shared->spins);
    while (atomic_load(&shared->spins) == before) {
        test_sleep_ms(1);
    }
}

static void values(void) {
    set_nice(0); /* whatever the test was started with */
    CHECK_EQ(getpriority(PRIO_PROCESS, 0), 0);
    set_nice(7);
    CHECK_EQ(getpriority(PRIO_PROCESS, 0), 7);
    set_nice(99);
    CHECK_EQ(getpriority(PRIO_PROCESS, getpid()), 19);
    pid_t pid = (pid_t)CHECK_OK(fork());
    if (pid == 0) {
        CHECK_EQ(getpriority(PRIO_PROCESS, 0), 19); /* inherited */
        set_nice(-99);
        CHECK_EQ(getpriority(PRIO_PROCESS, 0), -20);
        _exit(0);
    }
    CHECK_EXITED(test_wait(pid));
    CHECK_EQ(getpriority(PRIO_PROCESS, 0), 19);
    CHECK_ERRNO(setpriority(PRIO_PROCESS, 999999, 0), ESRCH);
    CHECK_ERRNO(getpriority(PRIO_PROCESS, 999999), ESRCH);
    CHECK_ERRNO(getpriority(77, 0), EINVAL);
    CHECK_ERRNO(setpriority(77, 0, 0), EINVAL);
}

static void ordinary_users(void) {
    set_nice(0);
    pid_t pid = (pid_t)CHECK_OK(fork());
    if (pid == 0) {
        CHECK_OK(setuid(1000));
        set_nice(5);
        CHECK_ERRNO(setpriority(PRIO_PROCESS, 0, 4), EACCES);
        CHECK_ERRNO(setpriority(PRIO_PROCESS, getppid(), 10), EPERM);
        CHECK_EQ(getpriority(PRIO_PROCESS, 0), 5);
        _exit(0);
    }
    CHECK_EXITED(test_wait(pid));
    CHECK_EQ(getpriority(PRIO_PROCESS, 0), 0);
}

/* Who is woken takes the CPU from the less urgent at once, and keeps it. */
static void the_urgent_preempt(void) {
    prepare();
    pid_t spinner = start(NORMAL, spin, 0);
    let_spin();
    for (int i = 0; i < 20; i++) {
        uint64_t before = atomic_load(&shared->spins);
        for (int j = 0; j < 100; j++) {
            sched_yield();
        }
        CHECK_EQ(atomic_load(&shared->spins), before);
        test_sleep_ms(1);
    }
    stop(spinner);
}

static void answer(int endpoint) {
    struct ipc ipc = {0};
    for (;;) {
        CHECK_OK(ipc_reply_receive(endpoint, &ipc));
    }
}

/* Two that call each other without end leave their equals a share. */
static void calls_end_with_the_slice(void) {
    prepare();
    set_nice(NORMAL);
    int endpoint = (int)CHECK_OK(endpoint_create());
    pid_t server = start(NORMAL, answer, endpoint), spinner = start(NORMAL, spin, 0);
    uint64_t end = test_now_ns() + 20000000000;
    for (int turns = 0; turns < 3 && test_now_ns() < end; turns++) {
        uint64_t before = atomic_load(&shared->spins);
        while (atomic_load(&shared->spins) == before && test_now_ns() < end) {
            struct ipc ipc = {0};
            CHECK_OK(ipc_call(endpoint, &ipc));
        }
    }
    CHECK(test_now_ns() < end);
    stop(spinner);
    stop(server);
}

/* The least urgent has little, but it has some. */
static void nobody_starves(void) {
    prepare();
    pid_t middle = start(NORMAL, spin, 0), low = start(LEAST, spin_low, 0);
    uint64_t end = test_now_ns() + 20000000000;
    while (atomic_load(&shared->low_spins) == 0 && test_now_ns() < end) {
        test_sleep_ms(10);
    }
    uint64_t few = atomic_load(&shared->low_spins), many = atomic_load(&shared->spins);
    CHECK(few > 0);
    CHECK(many > few);
    stop(low);
    stop(middle);
}

/* --- Donation ----------------------------------------------------------------------------------------------------- */

static void serve(int endpoint) {
    struct ipc ipc = {0};
    for (;;) {
        CHECK_OK(ipc_reply_receive(endpoint, &ipc));
        for (volatile int work = 0; work < 100000; work++) {
        }
        ipc.word[0]++;
    }
}

static int next_server;

static void pass_on(int endpoint) {
    struct ipc ipc = {0};
    for (;;) {
        CHECK_OK(ipc_reply_receive(endpoint, &ipc));
        struct ipc inner = {.word = {ipc.word[0]}};
        CHECK_OK(ipc_call(next_server, &inner));
        ipc.word[0] = inner.word[0] + 1;
    }
}

/* Calls, and says how often the spinner ran meanwhile. */
static uint64_t spins_during_call(int endpoint, uint64_t want) {
    uint64_t before = atomic_load(&shared->spins);
    struct ipc ipc = {.word = {0}};
    CHECK_OK(ipc_call(endpoint, &ipc));
    CHECK_EQ(ipc.word[0], want);
    return atomic_load(&shared->spins) - before;
}

/* A server that hardly gets to run answers at once, for the caller is urgent. */
static void inversion(void) {
    prepare();
    int endpoint = (int)CHECK_OK(endpoint_create());
    pid_t server = start(LEAST, serve, endpoint), spinner;
    CHECK_EQ(spins_during_call(endpoint, 1), 0); /* it waits in its receive now */
    spinner = start(NORMAL, spin, 0);
    for (int i = 0; i < 10; i++) {
        let_spin();
        CHECK_EQ(spins_during_call(endpoint, 1), 0);
    }
    stop(spinner);
    stop(server);
}

/* The same along a chain of servers. */
static void inversion_along_a_chain(void) {
    enum { DEPTH = 4 };
    prepare();
    int endpoints[DEPTH];
    pid_t servers[DEPTH];
    for (int i = 0; i < DEPTH; i++) {
        endpoints[i] = (int)CHECK_OK(endpoint_create());
        servers[i] = start(LEAST, i == 0 ? serve : pass_on, endpoints[i]);
        next_server = endpoints[i];
        CHECK_EQ(spins_during_call(endpoints[i], (uint64_t)i + 1), 0);
    }
    pid_t spinner = start(NORMAL, spin, 0);
    for (int i = 0; i < 10; i++) {
        let_spin();
        CHECK_EQ(spins_during_call(endpoints[DEPTH - 1], DEPTH), 0);
    }
    stop(spinner);
    for (int i = 0; i < DEPTH; i++) {
        stop(servers[i]);
    }
}

/* Works on its call until the urgent one has been made: that must wait for it. */
static void serve_slowly(int endpoint) {
    struct ipc ipc = {0};
    for (;;) {
        CHECK_OK(ipc_reply_receive(endpoint, &ipc));
        atomic_store(&shared->begun, 1);
        while (!atomic_load(&shared->go)) {
        }
        ipc.word[0]++;
    }
}

static void call_once(int endpoint) {
    struct ipc ipc = {.word = {0}};
    CHECK_OK(ipc_call(endpoint, &ipc));
}

/* The server has no time for the urgent call, as it works on another's: that one is urgent now, too. */
static void inversion_by_the_queue(void) {
    prepare();
    int endpoint = (int)CHECK_OK(endpoint_create());
    pid_t server = start(LEAST, serve_slowly, endpoint), client = start(LEAST, call_once, endpoint);
    while (!atomic_load(&shared->begun)) {
        test_sleep_ms(1);
    }
    pid_t spinner = start(NORMAL, spin, 0);
    let_spin();
    atomic_store(&shared->go, 1);
    CHECK_EQ(spins_during_call(endpoint, 1), 0);
    stop(spinner);
    CHECK_EXITED(test_wait(client));
    stop(server);
}

static void serve_and_go_on(int endpoint) {
    struct ipc ipc = {0};
    for (;;) {
        CHECK_OK(ipc_receive(endpoint, &ipc));
        CHECK_OK(ipc_reply(ipc.token, &ipc));
        atomic_fetch_add(&shared->after_answer, 1);
    }
}

/* With the answer the server is what it was: behind the caller and behind the spinner. */
static void donation_ends_with_the_answer(void) {
    prepare();
    int endpoint = (int)CHECK_OK(endpoint_create());
    pid_t server = start(LEAST, serve_and_go_on, endpoint);
    CHECK_EQ(spins_during_call(endpoint, 0), 0);
    CHECK_EQ(atomic_load(&shared->after_answer), 0);
    while (atomic_load(&shared->after_answer) == 0) { /* it goes on when nobody wants the CPU */
        test_sleep_ms(1);
    }
    pid_t spinner = start(NORMAL, spin, 0);
    let_spin();
    CHECK_EQ(spins_during_call(endpoint, 0), 0);
    let_spin();
    CHECK_EQ(atomic_load(&shared->after_answer), 1);
    stop(spinner);
    stop(server);
}

static void serve_never(int endpoint) {
    struct ipc ipc = {0};
    CHECK_OK(ipc_receive(endpoint, &ipc));
    for (;;) {
        atomic_fetch_add(&shared->low_spins, 1);
    }
}

/* … and when the caller gives up. */
static void donation_ends_with_the_call(void) {
    prepare();
    int endpoint = (int)CHECK_OK(endpoint_create());
    pid_t server = start(LEAST, serve_never, endpoint), spinner = start(NORMAL, spin, 0);
    let_spin();
    struct ipc_extra extra = {.timeout_ns = 5000000};
    struct ipc ipc = {.extra = &extra};
    CHECK_ERRNO(ipc_call(endpoint, &ipc), ETIMEDOUT);
    uint64_t low = atomic_load(&shared->low_spins);
    let_spin();
    CHECK_EQ(atomic_load(&shared->low_spins), low);
    stop(spinner);
    stop(server);
}

/* The processes in which the kernel writes back and makes room are nobody's to stop, slow down or move. */
static void kernels_own(void) {
    enum { FIRST = 2, LAST = 8 };
    cpu_set_t one;
    unsigned found = 0;
    test_needs_penumbra();
    CPU_ZERO(&one);
    CPU_SET(0, &one);
    for (pid_t pid = FIRST; pid <= LAST; pid++) {
        if (kill(pid, 0) == 0 || errno != EPERM) {
            continue; /* a program's, or nobody's */
        }
        found++;
        CHECK_ERRNO(kill(pid, SIGKILL), EPERM);
        CHECK_ERRNO(setpriority(PRIO_PROCESS, (id_t)pid, 19), ESRCH);
        CHECK_ERRNO(sched_setaffinity(pid, sizeof one, &one), EPERM);
    }
    CHECK(found >= 2);
}

static const struct test_case cases[] = {
    {"kernels-own", kernels_own},
    {"values", values},
    {"ordinary-users", ordinary_users},
    {"the-urgent-preempt", the_urgent_preempt},
    {"calls-end-with-the-slice", calls_end_with_the_slice},
    {"nobody-starves", nobody_starves},
    {"inversion", inversion},
    {"inversion-along-a-chain", inversion_along_a_chain},
    {"inversion-by-the-queue", inversion_by_the_queue},
    {"donation-ends-with-the-answer", donation_ends_with_the_answer},
    {"donation-ends-with-the-call", donation_ends_with_the_call},
};
TEST_MAIN(cases)
