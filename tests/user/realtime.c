/*
 * Conformance: real-time policies, what sets them and who may.
 *
 * Everything is on one CPU, and nothing is measured in time but what has to go by it: who ran before whom is what
 * counts. Where the machine does not let even root have such a policy (a container), there is nothing to see.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/user/lib/test.h"

#define RESET_ON_FORK 0x40000000

enum { USER = 1077, FLAG_RESET = 1, FLAG_KEEP_POLICY = 8, FLAG_KEEP_PARAMETERS = 16 };

struct attributes {
    uint32_t size, policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t runtime, deadline, period;
    uint32_t least_use, most_use;
    uint32_t unknown;
};

static struct {
    _Atomic int next, order[8], go;
    _Atomic uint64_t spins[2];
} * shared;

static long set_policy(pid_t pid, int policy, int priority) {
    return syscall(SYS_sched_setscheduler, pid, policy, &priority);
}
static int policy_of(pid_t pid) { return (int)CHECK_OK(syscall(SYS_sched_getscheduler, pid)); }
static int priority_of(pid_t pid) {
    int priority;
    CHECK_OK(syscall(SYS_sched_getparam, pid, &priority));
    return priority;
}
static long set_attributes(pid_t pid, struct attributes set) {
    set.size = 56;
    return syscall(SYS_sched_setattr, pid, &set, 0);
}
static struct attributes attributes_of(pid_t pid) {
    struct attributes now = {.unknown = 4711};
    CHECK_OK(syscall(SYS_sched_getattr, pid, &now, 56, 0));
    return now;
}

static void in_child(void (*body)(void *)) { CHECK_EXITED(test_run_child(body, NULL)); }

static void may_or_skip(void) {
    if (set_policy(0, SCHED_FIFO, 1) != 0)
        test_skip("no real-time policy here");
    CHECK_OK(set_policy(0, SCHED_OTHER, 0));
}

/* From here on the caller goes before whatever it starts. */
static void prepare(void) {
    cpu_set_t first;
    may_or_skip();
    CPU_ZERO(&first);
    CPU_SET(0, &first);
    CHECK_OK(sched_setaffinity(0, sizeof(first), &first));
    shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK((void *)shared != MAP_FAILED);
    CHECK_OK(set_policy(0, SCHED_FIFO, 90));
}

/* --- Who goes first ----------------------------------------------------------------------------------------------- */

static pid_t start(int policy, int priority, void (*body)(int), int argument) {
    pid_t pid = (pid_t)CHECK_OK(fork());
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        CHECK_OK(set_policy(0, policy, priority));
        body(argument);
        _exit(0);
    }
    return pid;
}

static void stop(pid_t pid) {
    CHECK_OK(kill(pid, SIGKILL));
    CHECK_SIGNALED(test_wait(pid), SIGKILL);
}

static void wait_for_turn(int priority) {
    while (atomic_load(&shared->go) == 0)
        test_sleep_ms(5);
    atomic_store(&shared->order[atomic_fetch_add(&shared->next, 1)], priority);
}

/* All become ready while somebody more urgent has the CPU; then each goes before the less urgent. */
static void by_priority(void) {
    static const int priorities[] = {10, 40, 20, 41, 30};
    enum { COUNT = sizeof(priorities) / sizeof(priorities[0]) };
    pid_t pids[COUNT];
    prepare();
    for (int i = 0; i < COUNT; i++)
        pids[i] = start(SCHED_FIFO, priorities[i], wait_for_turn, priorities[i]);
    test_sleep_ms(50); /* they sleep, too */
    atomic_store(&shared->go, 1);
    const uint64_t end = test_now_ns() + 60000000; /* all their times have come */
    while (test_now_ns() < end) {
    }
    for (int i = 0; i < COUNT; i++)
        CHECK_EXITED(test_wait(pids[i]));
    for (int i = 1; i < COUNT; i++)
        CHECK(atomic_load(&shared->order[i - 1]) > atomic_load(&shared->order[i]));
}

static void spin(int which) {
    for (;;)
        atomic_fetch_add(&shared->spins[which], 1);
}

static uint64_t spins(int which) { return atomic_load(&shared->spins[which]); }

/* Of the same priority: FIFO does not share, however long it takes; RR does. */
static void sharing(void) {
    prepare();
    pid_t first = start(SCHED_FIFO, 10, spin, 0);
    while (spins(0) == 0)
        test_sleep_ms(1);
    pid_t second = start(SCHED_FIFO, 10, spin, 1);
    test_sleep_ms(10);
    uint64_t before = spins(0), then = spins(1);
    test_sleep_ms(150); /* many slices of ours */
    CHECK((spins(0) == before) != (spins(1) == then));
    CHECK_OK(set_policy(second, SCHED_FIFO, 11));
    while (spins(1) == then)
        test_sleep_ms(1);
    before = spins(0);
    test_sleep_ms(50);
    CHECK_EQ(spins(0), before); /* and there the other goes before */
    CHECK_OK(set_policy(first, SCHED_RR, 11));
    CHECK_OK(set_policy(second, SCHED_RR, 11));
    then = spins(1);
    for (int i = 0; i < 10000 && (spins(0) == before || spins(1) == then); i++)
        test_sleep_ms(1);
    CHECK(spins(0) > before && spins(1) > then);
    stop(first);
    stop(second);
}

static void yield_to_equal(int which) {
    atomic_fetch_add(&shared->spins[which], 1);
    while (spins(!which) == 0)
        sched_yield();
}

static void yields(void) {
    prepare();
    pid_t first = start(SCHED_FIFO, 10, yield_to_equal, 0), second = start(SCHED_FIFO, 10, yield_to_equal, 1);
    CHECK_EXITED(test_wait(first));
    CHECK_EXITED(test_wait(second));
}

/* A real-time thread that wants all of a CPU leaves some to the others; among real-time ones nobody is left any. */
static void throttled(void) {
    test_needs_penumbra(); /* on Linux a setting */
    prepare();
    pid_t hog = start(SCHED_FIFO, 50, spin, 0);
    while (spins(0) == 0)
        test_sleep_ms(1);
    pid_t other = start(SCHED_OTHER, 0, spin, 1);
    for (int i = 0; i < 20000 && spins(1) == 0; i++)
        test_sleep_ms(1);
    CHECK(spins(1) > 0);
    stop(other);
    atomic_store(&shared->spins[1], 0);
    other = start(SCHED_FIFO, 49, spin, 1);
    test_sleep_ms(700);
    CHECK_EQ(spins(1), 0);
    stop(hog);
    stop(other);
}

/* --- What is set -------------------------------------------------------------------------------------------------- */

static void attributes(void) {
    may_or_skip();
    struct attributes now;
    CHECK_OK(set_attributes(0, (struct attributes){.policy = SCHED_RR, .priority = 7, .nice = 5}));
    CHECK_EQ(policy_of(0), SCHED_RR);
    CHECK_EQ(priority_of(0), 7);
    now = attributes_of(0);
    CHECK_EQ(now.size, 56);
    CHECK_EQ(now.policy, SCHED_RR);
    CHECK_EQ(now.priority, 7);
    CHECK_EQ(now.flags, 0);
    CHECK_EQ(now.unknown, 4711);
    CHECK_EQ(getpriority(PRIO_PROCESS, 0), 0); /* nice values are not for this policy */
    CHECK_OK(setpriority(PRIO_PROCESS, 0, 3)); /* but kept */
    CHECK_EQ(policy_of(0), SCHED_RR);
    CHECK_EQ(getpriority(PRIO_PROCESS, 0), 3);
    CHECK_OK(set_attributes(0, (struct attributes){.flags = FLAG_KEEP_POLICY, .priority = 9}));
    CHECK_EQ(policy_of(0), SCHED_RR);
    CHECK_EQ(priority_of(0), 9);
    CHECK_OK(set_attributes(0, (struct attributes){.flags = FLAG_KEEP_PARAMETERS, .policy = SCHED_FIFO}));
    CHECK_EQ(policy_of(0), SCHED_RR); /* one of them */
    CHECK_EQ(priority_of(0), 9);
    CHECK_OK(set_policy(0, SCHED_OTHER, 0));
    CHECK_EQ(getpriority(PRIO_PROCESS, 0), 3);
    CHECK_OK(set_attributes(0, (struct attributes){.policy = SCHED_BATCH, .nice = 8}));
    now = attributes_of(0);
    CHECK_EQ(now.policy, SCHED_BATCH);
    CHECK_EQ(now.nice, 8);
    CHECK_EQ(getpriority(PRIO_PROCESS, 0), 8);
    CHECK_OK(set_policy(0, SCHED_IDLE, 0));
    CHECK_EQ(policy_of(0), SCHED_IDLE);
    CHECK_EQ(getpriority(PRIO_PROCESS, 0), 8);
}

static void wrong_attributes(void) {
    struct attributes set = {.size = 47};
    CHECK_ERRNO(syscall(SYS_sched_setattr, 0, &set, 0), E2BIG);
    CHECK(set.size >= 48); /* what it is */
    set = (struct attributes){.size = 60, .unknown = 1};
    CHECK_ERRNO(syscall(SYS_sched_setattr, 0, &set, 0), E2BIG);
    set = (struct attributes){.size = 60};
    CHECK_OK(syscall(SYS_sched_setattr, 0, &set, 0));
    set.size = 0; /* the first version's */
    CHECK_OK(syscall(SYS_sched_setattr, 0, &set, 0));
    CHECK_ERRNO(syscall(SYS_sched_setattr, 0, &set, 1), EINVAL);
    CHECK_ERRNO(syscall(SYS_sched_setattr, -1, &set, 0), EINVAL);
    CHECK_ERRNO(syscall(SYS_sched_setattr, 0x3ffffff, &set, 0), ESRCH);
    CHECK_ERRNO(syscall(SYS_sched_setattr, 0, NULL, 0), EINVAL);
    CHECK_ERRNO(syscall(SYS_sched_setattr, 0, (void *)8, 0), EFAULT);
    CHECK_ERRNO(set_attributes(0, (struct attributes){.policy = 77}), EINVAL);
    CHECK_ERRNO(set_attributes(0, (struct attributes){.policy = SCHED_FIFO}), EINVAL);
    CHECK_ERRNO(set_attributes(0, (struct attributes){.policy = SCHED_FIFO, .priority = 100}), EINVAL);
    CHECK_ERRNO(set_attributes(0, (struct attributes){.policy = SCHED_OTHER, .priority = 1}), EINVAL);
    CHECK_ERRNO(set_attributes(0, (struct attributes){.flags = 0x1000}), EINVAL);
    CHECK_ERRNO(syscall(SYS_sched_getattr, 0, &set, 47, 0), EINVAL);
    CHECK_ERRNO(syscall(SYS_sched_getattr, 0, &set, 56, 1), EINVAL);
    CHECK_ERRNO(syscall(SYS_sched_getattr, 0x3ffffff, &set, 56, 0), ESRCH);
    CHECK_ERRNO(syscall(SYS_sched_getattr, 0, (void *)8, 56, 0), EFAULT);
    CHECK_OK(syscall(SYS_sched_getattr, 0, &set, 48, 0));
    CHECK_EQ(set.size, 48);
}

static void child_is_ordinary(void *unused) {
    (void)unused;
    CHECK_EQ(policy_of(0), SCHED_OTHER); /* and not the flag */
    CHECK_EQ(priority_of(0), 0);
    CHECK_EQ(getpriority(PRIO_PROCESS, 0), 0);
}

static void *thread_is_ordinary(void *unused) {
    child_is_ordinary(unused);
    return unused;
}

static void reset_on_fork(void) {
    pthread_t thread;
    may_or_skip();
    CHECK_OK(set_policy(0, SCHED_FIFO | RESET_ON_FORK, 20));
    CHECK_EQ(policy_of(0), SCHED_FIFO | RESET_ON_FORK);
    CHECK_EQ(attributes_of(0).flags, FLAG_RESET);
    in_child(child_is_ordinary);
    CHECK_EQ(pthread_create(&thread, NULL, thread_is_ordinary, NULL), 0);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    CHECK_OK(set_policy(0, SCHED_OTHER | RESET_ON_FORK, 0));
    CHECK_OK(setpriority(PRIO_PROCESS, 0, -10));
    in_child(child_is_ordinary);
    CHECK_OK(set_policy(0, SCHED_FIFO, 20));
    CHECK_EQ(policy_of(0), SCHED_FIFO);
}

/* --- Who may ------------------------------------------------------------------------------------------------------ */

static void limit(int resource, rlim_t most) {
    const struct rlimit set = {most, most};
    CHECK_OK(setrlimit(resource, &set));
}

static void user_within_limits(void *unused) {
    (void)unused;
    limit(RLIMIT_RTPRIO, 5);
    limit(RLIMIT_NICE, 22); /* down to -2 */
    CHECK_OK(set_policy(0, SCHED_FIFO, 8));
    CHECK_OK(setuid(USER));
    CHECK_OK(set_policy(0, SCHED_RR, 5));
    CHECK_ERRNO(set_policy(0, SCHED_RR, 6), EPERM);
    CHECK_OK(set_policy(0, SCHED_FIFO, 3));
    CHECK_OK(set_policy(0, SCHED_OTHER, 0));
    CHECK_OK(setpriority(PRIO_PROCESS, 0, -2));
    CHECK_ERRNO(setpriority(PRIO_PROCESS, 0, -3), EACCES);
    CHECK_OK(setpriority(PRIO_PROCESS, 0, 10));
    CHECK_OK(set_attributes(0, (struct attributes){.policy = SCHED_OTHER, .nice = -1}));
    CHECK_ERRNO(set_attributes(0, (struct attributes){.policy = SCHED_OTHER, .nice = -3}), EPERM);
    CHECK_OK(set_policy(0, SCHED_OTHER | RESET_ON_FORK, 0));
    CHECK_ERRNO(set_policy(0, SCHED_OTHER, 0), EPERM);
    limit(RLIMIT_RTPRIO, 0);
    CHECK_ERRNO(set_policy(0, SCHED_FIFO | RESET_ON_FORK, 1), EPERM);
}

static void user_from_idle(void *unused) {
    (void)unused;
    limit(RLIMIT_NICE, 0);
    CHECK_OK(setuid(USER));
    CHECK_OK(set_policy(0, SCHED_IDLE, 0));
    CHECK_ERRNO(set_policy(0, SCHED_OTHER, 0), EPERM);
    CHECK_OK(setpriority(PRIO_PROCESS, 0, 19));
}

static void limits(void) {
    const struct rlimit more = {0, 40};
    may_or_skip();
    if (setrlimit(RLIMIT_NICE, &more) != 0)
        test_skip("no limits to be raised here");
    in_child(user_within_limits);
    in_child(user_from_idle);
}

static atomic_int signals;

static void count_signal(int signal) {
    (void)signal;
    signals++;
}

static void hog_for_ever(void *unused) {
    const struct rlimit set = {100000, 400000}; /* us */
    (void)unused;
    signal(SIGXCPU, count_signal);
    CHECK_OK(setrlimit(RLIMIT_RTTIME, &set));
    CHECK_OK(set_policy(0, SCHED_FIFO, 10));
    for (int i = 0; i < 10; i++) { /* who sleeps begins anew */
        const uint64_t end = test_now_ns() + 20000000;
        while (test_now_ns() < end) {
        }
        test_sleep_ms(1);
    }
    const bool early = signals != 0;
    while (signals == 0) {
    }
    if (early)
        _exit(3);
    for (;;) {
    }
}

static void time_without_sleep(void) {
    test_needs_penumbra(); /* Linux in a virtual machine has slept less than it thinks */
    may_or_skip();
    CHECK_SIGNALED(test_run_child(hog_for_ever, NULL), SIGKILL);
}

static const struct test_case cases[] = {
    {"by-priority", by_priority},     {"sharing", sharing},       {"yields", yields},
    {"throttled", throttled},         {"attributes", attributes}, {"wrong-attributes", wrong_attributes},
    {"reset-on-fork", reset_on_fork}, {"limits", limits},         {"time-without-sleep", time_without_sleep},
};
TEST_MAIN(cases)
