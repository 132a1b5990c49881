/* Conformance: the futex call itself. Wait, wake, timeouts, bitsets, requeue, between processes, clear-child-tid. */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "tests/user/lib/test.h"

/* Of <linux/futex.h>, which musl does not bring. */
enum {
    FUTEX_WAIT = 0,
    FUTEX_WAKE = 1,
    FUTEX_PRIVATE_FLAG = 128,
    FUTEX_CLOCK_REALTIME = 256,
    FUTEX_WAIT_PRIVATE = FUTEX_WAIT | FUTEX_PRIVATE_FLAG,
    FUTEX_WAKE_PRIVATE = FUTEX_WAKE | FUTEX_PRIVATE_FLAG,
    FUTEX_REQUEUE_PRIVATE = 3 | FUTEX_PRIVATE_FLAG,
    FUTEX_CMP_REQUEUE_PRIVATE = 4 | FUTEX_PRIVATE_FLAG,
    FUTEX_WAIT_BITSET = 9,
    FUTEX_WAIT_BITSET_PRIVATE = FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG,
    FUTEX_WAKE_BITSET_PRIVATE = 10 | FUTEX_PRIVATE_FLAG,
};

static long futex(volatile int *word, int op, long value, const void *timeout, void *second, long third) {
    return syscall(SYS_futex, word, op, value, timeout, second, third);
}

static volatile int word, other_word;
static volatile int woken, waiting;

static void *wait_on_word(void *argument) {
    long bits = (long)(intptr_t)argument;
    __atomic_add_fetch(&waiting, 1, __ATOMIC_SEQ_CST);
    long result = bits == 0 ? futex(&word, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0)
                            : futex(&word, FUTEX_WAIT_BITSET_PRIVATE, 0, NULL, NULL, bits);
    CHECK_EQ(result, 0);
    __atomic_add_fetch(&woken, 1, __ATOMIC_SEQ_CST);
    return NULL;
}

static pthread_t start_waiter(long bits) {
    pthread_t thread;
    int before = waiting;
    int error = pthread_create(&thread, NULL, wait_on_word, (void *)bits);
    CHECK_EQ(error, 0);
    while (waiting == before) {
        test_sleep_ms(1);
    }
    test_sleep_ms(20); /* from there into the call */
    return thread;
}

static void join_all(pthread_t *threads, int count) {
    for (int i = 0; i < count; i++) {
        CHECK_EQ(pthread_join(threads[i], NULL), 0);
    }
}

static void wait_for_woken(int count) {
    while (woken < count) {
        test_sleep_ms(1);
    }
}

static void wait_wake(void) {
    pthread_t threads[3];
    CHECK_ERRNO(futex(&word, FUTEX_WAIT_PRIVATE, 1, NULL, NULL, 0), EAGAIN); /* the word is not 1 */
    CHECK_EQ(futex(&word, FUTEX_WAKE_PRIVATE, 100, NULL, NULL, 0), 0);
    for (int i = 0; i < 3; i++) {
        threads[i] = start_waiter(0);
    }
    CHECK_EQ(woken, 0);
    CHECK_EQ(futex(&word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0), 1);
    wait_for_woken(1);
    test_sleep_ms(10);
    CHECK_EQ(woken, 1);
    CHECK_EQ(futex(&word, FUTEX_WAKE_PRIVATE, 100, NULL, NULL, 0), 2);
    join_all(threads, 3);
}

static void bitsets(void) {
    pthread_t threads[2] = {start_waiter(1), start_waiter(2)};
    CHECK_EQ(futex(&word, FUTEX_WAKE_BITSET_PRIVATE, 10, NULL, NULL, 4), 0);
    CHECK_EQ(futex(&word, FUTEX_WAKE_BITSET_PRIVATE, 10, NULL, NULL, 2), 1);
    wait_for_woken(1);
    CHECK_EQ(futex(&word, FUTEX_WAKE_PRIVATE, 10, NULL, NULL, 0), 1); /* a plain wake matches all bits */
    join_all(threads, 2);
    CHECK_ERRNO(futex(&word, FUTEX_WAIT_BITSET_PRIVATE, 0, NULL, NULL, 0), EINVAL);
}

static void requeue(void) {
    pthread_t threads[3];
    for (int i = 0; i < 3; i++) {
        threads[i] = start_waiter(0);
    }
    CHECK_ERRNO(futex(&word, FUTEX_CMP_REQUEUE_PRIVATE, 1, (void *)10, (void *)&other_word, 1), EAGAIN);
    CHECK_EQ(futex(&word, FUTEX_CMP_REQUEUE_PRIVATE, 1, (void *)10, (void *)&other_word, 0), 3); /* 1 woken, 2 moved */
    wait_for_woken(1);
    CHECK_EQ(futex(&word, FUTEX_WAKE_PRIVATE, 10, NULL, NULL, 0), 0);
    CHECK_EQ(futex(&other_word, FUTEX_WAKE_PRIVATE, 10, NULL, NULL, 0), 2);
    join_all(threads, 3);
    pthread_t one = start_waiter(0);
    CHECK_EQ(futex(&word, FUTEX_REQUEUE_PRIVATE, 0, (void *)1, (void *)&other_word, 0), 1);
    CHECK_EQ(futex(&other_word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0), 1);
    join_all(&one, 1);
}

static void timeouts(void) {
    struct timespec short_while = {.tv_nsec = 20000000}, negative = {.tv_nsec = -1}, too_much = {.tv_nsec = 1000000000};
    uint64_t start = test_now_ns();
    CHECK_ERRNO(futex(&word, FUTEX_WAIT_PRIVATE, 0, &short_while, NULL, 0), ETIMEDOUT);
    CHECK(test_now_ns() - start >= 20000000);
    CHECK_ERRNO(futex(&word, FUTEX_WAIT_PRIVATE, 0, &negative, NULL, 0), EINVAL);
    CHECK_ERRNO(futex(&word, FUTEX_WAIT_PRIVATE, 0, &too_much, NULL, 0), EINVAL);

    struct timespec when;
    clock_gettime(CLOCK_REALTIME, &when);
    when.tv_sec -= 1; /* absolute and past: at once */
    int op = FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG;
    CHECK_ERRNO(futex(&word, op | FUTEX_CLOCK_REALTIME, 0, &when, NULL, -1), ETIMEDOUT);
    clock_gettime(CLOCK_MONOTONIC, &when);
    when.tv_nsec += 20000000;
    when.tv_sec += when.tv_nsec / 1000000000;
    when.tv_nsec %= 1000000000;
    start = test_now_ns();
    CHECK_ERRNO(futex(&word, op, 0, &when, NULL, -1), ETIMEDOUT);
    CHECK(test_now_ns() - start >= 15000000);
}

static void between_processes(void) {
    volatile int *shared = mmap(NULL, TEST_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK((void *)shared != MAP_FAILED);
    pid_t pid = fork();
    if (pid == 0) {
        for (int turn = 0; turn < 100; turn++) {
            while (shared[0] == turn) {
                futex(&shared[0], FUTEX_WAIT, turn, NULL, NULL, 0);
            }
            shared[1] = turn + 1;
            futex(&shared[1], FUTEX_WAKE, 1, NULL, NULL, 0);
        }
        _exit(0);
    }
    for (int turn = 0; turn < 100; turn++) {
        shared[0] = turn + 1;
        futex(&shared[0], FUTEX_WAKE, 1, NULL, NULL, 0);
        while (shared[1] == turn) {
            futex(&shared[1], FUTEX_WAIT, turn, NULL, NULL, 0);
        }
    }
    CHECK_EXITED(test_wait(pid));
}

static void bad_addresses(void) {
    struct timespec zero = {0};
    CHECK_ERRNO(futex(NULL, FUTEX_WAIT, 0, NULL, NULL, 0), EFAULT);
    CHECK_ERRNO(futex((int *)0xffff800000000000, FUTEX_WAIT, 0, NULL, NULL, 0), EFAULT);
    CHECK_ERRNO(futex((int *)0xffffffff80000000, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0), EFAULT);
    CHECK_ERRNO(futex((int *)((char *)(uintptr_t)&word + 1), FUTEX_WAIT, 0, &zero, NULL, 0), EINVAL);
    CHECK_ERRNO(futex(&word, FUTEX_WAIT, 0, (void *)8, NULL, 0), EFAULT);
    CHECK_ERRNO(futex(&word, 99, 0, NULL, NULL, 0), ENOSYS);
}

static void nothing(int signal) { (void)signal; }

static void interrupted(void) {
    struct sigaction action = {.sa_handler = nothing};
    CHECK_OK(sigaction(SIGUSR1, &action, NULL));
    pid_t parent = getpid(), pid = fork();
    if (pid == 0) {
        test_sleep_ms(30);
        kill(parent, SIGUSR1);
        _exit(0);
    }
    CHECK_ERRNO(futex(&word, FUTEX_WAIT, 0, NULL, NULL, 0), EINTR);
    CHECK_EXITED(test_wait(pid));
}

static const struct test_case cases[] = {
    {"wait-wake", wait_wake},     {"bitset", bitsets},           {"requeue", requeue},
    {"timeout", timeouts},        {"shared", between_processes}, {"bad-address", bad_addresses},
    {"interrupted", interrupted},
};
TEST_MAIN(cases)
