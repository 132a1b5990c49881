/* Conformance: futexes with priority inheritance, their owners' deaths, and waiting for several futexes at once. */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "tests/user/lib/domains.h"
#include "tests/user/lib/test.h"

/* Of <linux/futex.h>, which musl does not bring. */
enum {
    FUTEX_WAIT_OP = 0,
    FUTEX_WAKE_OP_PLAIN = 1,
    FUTEX_LOCK = 6,
    FUTEX_UNLOCK = 7,
    FUTEX_TRYLOCK = 8,
    FUTEX_LOCK2 = 13,
    PRIVATE = 128,
    REALTIME = 256,
    SYS_WAITV = 449,
};
#define WAITERS    0x80000000u
#define OWNER_DIED 0x40000000u
#define OWNER      0x3fffffffu

typedef _Atomic uint32_t word_t;

static long futex(word_t *word, int op, long value, const void *timeout) {
    return syscall(SYS_futex, word, op, value, timeout, NULL, 0);
}

static uint32_t self(void) { return (uint32_t)syscall(SYS_gettid); }

static struct timespec in_ms(clockid_t clock, int ms) {
    struct timespec when;
    CHECK_OK(clock_gettime(clock, &when));
    when.tv_nsec += ms * 1000000L;
    when.tv_sec += when.tv_nsec / 1000000000;
    when.tv_nsec %= 1000000000;
    return when;
}

static word_t *shared_words(void) {
    word_t *words = mmap(NULL, TEST_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK((void *)words != MAP_FAILED);
    return words;
}

static void words(void) {
    static word_t word;
    CHECK_OK(futex(&word, FUTEX_LOCK | PRIVATE, 0, NULL));
    CHECK_EQ(word, self());
    CHECK_ERRNO(futex(&word, FUTEX_LOCK | PRIVATE, 0, NULL), EDEADLK);
    CHECK_ERRNO(futex(&word, FUTEX_TRYLOCK | PRIVATE, 0, NULL), EDEADLK);
    CHECK_OK(futex(&word, FUTEX_UNLOCK | PRIVATE, 0, NULL));
    CHECK_EQ(word, 0);
    CHECK_ERRNO(futex(&word, FUTEX_UNLOCK | PRIVATE, 0, NULL), EPERM);
    CHECK_OK(futex(&word, FUTEX_TRYLOCK | PRIVATE, 0, NULL));
    CHECK_EQ(word, self());
    word |= WAITERS; /* nobody waits, but it may say so */
    CHECK_OK(futex(&word, FUTEX_UNLOCK | PRIVATE, 0, NULL));
    CHECK_EQ(word, 0);
    word = OWNER_DIED; /* free, and its state in doubt: that stays to be seen */
    CHECK_OK(futex(&word, FUTEX_LOCK | PRIVATE, 0, NULL));
    CHECK_EQ(word, self() | OWNER_DIED);
    CHECK_OK(futex(&word, FUTEX_UNLOCK | PRIVATE, 0, NULL));
    word = 0x3ffffff0; /* there is no such thread */
    CHECK_ERRNO(futex(&word, FUTEX_LOCK | PRIVATE, 0, NULL), ESRCH);
    word = 1; /* not ours; it never unlocks */
    struct timespec soon = in_ms(CLOCK_REALTIME, 20);
    CHECK_ERRNO(futex(&word, FUTEX_UNLOCK | PRIVATE, 0, NULL), EPERM);
    long result = futex(&word, FUTEX_LOCK | PRIVATE, 0, &soon);
    CHECK(result == -1 && (errno == ETIMEDOUT || errno == ESRCH || errno == EPERM));
}

static void bad_words(void) {
    static word_t word;
    char *read_only = mmap(NULL, TEST_PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct timespec wrong = {.tv_nsec = -1};
    CHECK_ERRNO(futex((word_t *)(uintptr_t)8, FUTEX_LOCK | PRIVATE, 0, NULL), EFAULT);
    CHECK_ERRNO(futex((word_t *)(uintptr_t)8, FUTEX_UNLOCK | PRIVATE, 0, NULL), EFAULT);
    CHECK_ERRNO(futex((word_t *)(void *)((char *)&word + 1), FUTEX_LOCK | PRIVATE, 0, NULL), EINVAL);
    CHECK_ERRNO(futex((word_t *)(void *)((char *)&word + 2), FUTEX_UNLOCK | PRIVATE, 0, NULL), EPERM);
    CHECK_ERRNO(futex((word_t *)0xffff800000000000, FUTEX_LOCK | PRIVATE, 0, NULL), EFAULT);
    CHECK_ERRNO(futex((word_t *)(void *)read_only, FUTEX_LOCK | PRIVATE, 0, NULL), EFAULT);
    CHECK_ERRNO(futex(&word, FUTEX_LOCK | PRIVATE, 0, &wrong), EINVAL);
    CHECK_ERRNO(futex(&word, FUTEX_LOCK | PRIVATE, 0, (void *)8), EFAULT);
    CHECK_ERRNO(futex(&word, FUTEX_LOCK | PRIVATE | REALTIME, 0, NULL), ENOSYS);
    CHECK_EQ(word, 0);
}

/* --- Contention --- */

enum { THREADS = 4, ROUNDS = 300 };
static word_t contended;
static volatile long counter;

static void lock(word_t *word, int private) {
    uint32_t free = 0;
    if (!atomic_compare_exchange_strong(word, &free, self())) {
        CHECK_OK(futex(word, FUTEX_LOCK | private, 0, NULL));
        CHECK_EQ(*word & OWNER, self());
    }
}

static void unlock(word_t *word, int private) {
    uint32_t mine = self();
    if (!atomic_compare_exchange_strong(word, &mine, 0)) {
        CHECK_OK(futex(word, FUTEX_UNLOCK | private, 0, NULL));
    }
}

static void *count_up(void *argument) {
    (void)argument;
    for (int i = 0; i < ROUNDS; i++) {
        lock(&contended, PRIVATE);
        long seen = counter;
        if (i % 8 == 0) {
            sched_yield();
        }
        counter = seen + 1;
        unlock(&contended, PRIVATE);
    }
    return NULL;
}

static void contention(void) {
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) {
        CHECK_EQ(pthread_create(&threads[i], NULL, count_up, NULL), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        CHECK_EQ(pthread_join(threads[i], NULL), 0);
    }
    CHECK_EQ(counter, THREADS * ROUNDS);
    CHECK_EQ(contended & OWNER, 0);
}

static void between_processes(void) {
    word_t *shared = shared_words();
    pid_t pids[3];
    for (int child = 0; child < 3; child++) {
        pids[child] = fork();
        if (pids[child] == 0) {
            for (int i = 0; i < ROUNDS; i++) {
                lock(&shared[0], 0);
                uint32_t seen = shared[1];
                if (i % 8 == 0) {
                    sched_yield();
                }
                shared[1] = seen + 1;
                unlock(&shared[0], 0);
            }
            _exit(0);
        }
    }
    for (int child = 0; child < 3; child++) {
        CHECK_EXITED(test_wait(pids[child]));
    }
    CHECK_EQ(shared[1], 3 * ROUNDS);
}

/* --- Waiting that ends otherwise --- */

static word_t held;
static _Atomic int stage;
static volatile int handled;

static void *hold(void *argument) {
    (void)argument;
    CHECK_OK(futex(&held, FUTEX_LOCK | PRIVATE, 0, NULL));
    stage = 1;
    while (stage != 2) {
        test_sleep_ms(1);
    }
    unlock(&held, PRIVATE);
    return NULL;
}

static pthread_t start_holder(void) {
    pthread_t holder;
    stage = 0;
    CHECK_EQ(pthread_create(&holder, NULL, hold, NULL), 0);
    while (stage != 1) {
        test_sleep_ms(1);
    }
    return holder;
}

static void timeouts(void) {
    pthread_t holder = start_holder();
    struct timespec when = in_ms(CLOCK_REALTIME, 30);
    uint64_t start = test_now_ns();
    CHECK_ERRNO(futex(&held, FUTEX_LOCK | PRIVATE, 0, &when), ETIMEDOUT);
    CHECK(test_now_ns() - start >= 20000000);
    CHECK(held & WAITERS);
    CHECK_ERRNO(futex(&held, FUTEX_TRYLOCK | PRIVATE, 0, NULL), EAGAIN);
    when = in_ms(CLOCK_MONOTONIC, 20);
    long result = futex(&held, FUTEX_LOCK2 | PRIVATE, 0, &when);
    CHECK(result == -1 && (errno == ETIMEDOUT || errno == ENOSYS)); /* Linux has it from 5.14 on */
    stage = 2;
    CHECK_EQ(pthread_join(holder, NULL), 0);
    CHECK_EQ(held, 0);
    CHECK_OK(futex(&held, FUTEX_LOCK | PRIVATE, 0, NULL));
    CHECK_OK(futex(&held, FUTEX_UNLOCK | PRIVATE, 0, NULL));
}

static void handle(int signal) {
    (void)signal;
    handled++;
}

static void *send_signal(void *argument) {
    for (int i = 0; i < 3; i++) {
        test_sleep_ms(20);
        CHECK_EQ(pthread_kill(*(pthread_t *)argument, SIGUSR1), 0);
    }
    test_sleep_ms(20);
    stage = 2;
    return NULL;
}

/* The wait is taken up again after a handler, whatever that says of restarting. */
static void signals(void) {
    pthread_t holder = start_holder(), sender, me = pthread_self();
    struct sigaction action = {.sa_handler = handle};
    CHECK_OK(sigaction(SIGUSR1, &action, NULL));
    CHECK_EQ(pthread_create(&sender, NULL, send_signal, &me), 0);
    CHECK_OK(futex(&held, FUTEX_LOCK | PRIVATE, 0, NULL));
    CHECK(handled >= 1);
    CHECK_EQ(held & OWNER, self());
    CHECK_OK(futex(&held, FUTEX_UNLOCK | PRIVATE, 0, NULL));
    CHECK_EQ(pthread_join(holder, NULL), 0);
    CHECK_EQ(pthread_join(sender, NULL), 0);
}

static word_t first, second;

static void *lock_crosswise(void *argument) {
    (void)argument;
    lock(&second, PRIVATE);
    stage = 1;
    CHECK_OK(futex(&first, FUTEX_LOCK | PRIVATE, 0, NULL));
    unlock(&first, PRIVATE);
    unlock(&second, PRIVATE);
    return NULL;
}

static void deadlock(void) {
    pthread_t other;
    stage = 0;
    lock(&first, PRIVATE);
    CHECK_EQ(pthread_create(&other, NULL, lock_crosswise, NULL), 0);
    while (stage != 1 || !(first & WAITERS)) {
        test_sleep_ms(1);
    }
    test_sleep_ms(10);
    CHECK_ERRNO(futex(&second, FUTEX_LOCK | PRIVATE, 0, NULL), EDEADLK);
    unlock(&first, PRIVATE);
    CHECK_EQ(pthread_join(other, NULL), 0);
}

/* --- Owners that die --- */

/* Not robust: who waits gets it, and nothing tells him. */
static void owner_dies(void) {
    word_t *shared = shared_words();
    pid_t owner = fork();
    if (owner == 0) {
        lock(&shared[0], 0);
        shared[1] = 1;
        pause();
    }
    while (shared[1] == 0) {
        test_sleep_ms(1);
    }
    pid_t waiters[2];
    for (int i = 0; i < 2; i++) {
        waiters[i] = fork();
        if (waiters[i] == 0) {
            CHECK_OK(futex(&shared[0], FUTEX_LOCK, 0, NULL));
            CHECK_EQ(shared[0] & OWNER, self());
            test_sleep_ms(10);
            CHECK_OK(futex(&shared[0], FUTEX_UNLOCK, 0, NULL));
            _exit(0);
        }
    }
    test_sleep_ms(50);
    CHECK_OK(kill(owner, SIGKILL));
    CHECK_SIGNALED(test_wait(owner), SIGKILL);
    CHECK_EXITED(test_wait(waiters[0]));
    CHECK_EXITED(test_wait(waiters[1]));
    CHECK_EQ(shared[0] & OWNER, 0);
}

static pthread_mutex_t *robust_mutex(void) {
    pthread_mutex_t *mutex = (pthread_mutex_t *)(void *)shared_words();
    pthread_mutexattr_t attributes;
    CHECK_EQ(pthread_mutexattr_init(&attributes), 0);
    CHECK_EQ(pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED), 0);
    CHECK_EQ(pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST), 0);
    CHECK_EQ(pthread_mutexattr_setprotocol(&attributes, PTHREAD_PRIO_INHERIT), 0);
    CHECK_EQ(pthread_mutex_init(mutex, &attributes), 0);
    return mutex;
}

static void robust_owner_dies(void) {
    pthread_mutex_t *mutex = robust_mutex();
    pid_t pid = fork(); /* with nobody waiting */
    if (pid == 0) {
        CHECK_EQ(pthread_mutex_lock(mutex), 0);
        _exit(0);
    }
    CHECK_EXITED(test_wait(pid));
    CHECK_EQ(pthread_mutex_lock(mutex), EOWNERDEAD);
    CHECK_EQ(pthread_mutex_consistent(mutex), 0);
    CHECK_EQ(pthread_mutex_unlock(mutex), 0);

    int ends[2];
    char byte = 0;
    CHECK_OK(pipe(ends));
    pid = fork(); /* with one that waits */
    if (pid == 0) {
        CHECK_EQ(pthread_mutex_lock(mutex), 0);
        CHECK_EQ(write(ends[1], &byte, 1), 1);
        test_sleep_ms(60);
        kill(getpid(), SIGKILL);
    }
    CHECK_EQ(read(ends[0], &byte, 1), 1);
    CHECK_EQ(pthread_mutex_lock(mutex), EOWNERDEAD);
    CHECK_EQ(pthread_mutex_consistent(mutex), 0);
    CHECK_EQ(pthread_mutex_unlock(mutex), 0);
    CHECK_SIGNALED(test_wait(pid), SIGKILL);
    CHECK_EQ(pthread_mutex_lock(mutex), 0);
    CHECK_EQ(pthread_mutex_unlock(mutex), 0);
}

/* --- Inheritance itself --- */

static _Atomic bool spinning;
static word_t inherited;

static void set_nice(int nice) { CHECK_OK(setpriority(PRIO_PROCESS, (id_t)self(), nice)); }

static void use_cpu(int ms) {
    struct timespec start, now;
    CHECK_OK(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &start));
    do {
        CHECK_OK(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now));
    } while ((now.tv_sec - start.tv_sec) * 1000 + (now.tv_nsec - start.tv_nsec) / 1000000 < ms);
}

static void *work_slowly(void *argument) {
    (void)argument;
    lock(&inherited, PRIVATE);
    set_nice(19);
    stage = 1;
    while (!(inherited & WAITERS)) {
        sched_yield();
    }
    use_cpu(40);
    unlock(&inherited, PRIVATE);
    return NULL;
}

static void *spin(void *argument) {
    (void)argument;
    set_nice(0);
    while (spinning) {
    }
    return NULL;
}

/* What the owner has to do takes no longer for a thread that is more urgent than he, and less so than who waits. */
static void inheritance(void) {
    pthread_t owner, spinner;
    test_needs_penumbra(); /* Linux passes on real-time priorities, not nice values */
    pin_to_first_cpu();
    stage = 0;
    CHECK_EQ(pthread_create(&owner, NULL, work_slowly, NULL), 0);
    while (stage != 1) {
        test_sleep_ms(1);
    }
    set_nice(-15);
    spinning = true;
    CHECK_EQ(pthread_create(&spinner, NULL, spin, NULL), 0);
    uint64_t start = test_now_ns();
    lock(&inherited, PRIVATE);
    uint64_t waited = test_now_ns() - start;
    spinning = false;
    unlock(&inherited, PRIVATE);
    CHECK_EQ(pthread_join(owner, NULL), 0);
    CHECK_EQ(pthread_join(spinner, NULL), 0);
    if (waited > 400000000) { /* without: the owner is passed over for 500 ms */
        test_fail(__FILE__, __LINE__, "waited %llu ms", (unsigned long long)waited / 1000000);
    }
}

/* --- Several words at once --- */

struct waitv {
    uint64_t value, word;
    uint32_t flags, reserved;
};

static word_t several[128];

static long waitv(struct waitv *words_to_wait, unsigned count, unsigned flags, const struct timespec *timeout) {
    return syscall(SYS_WAITV, words_to_wait, count, flags, timeout, CLOCK_MONOTONIC);
}

static void *wake_one(void *argument) {
    word_t *word = argument;
    test_sleep_ms(30);
    *word = 1;
    while (futex(word, FUTEX_WAKE_OP_PLAIN | PRIVATE, 1, NULL) == 0) {
        test_sleep_ms(1);
    }
    return NULL;
}

static void wait_for_several(void) {
    static struct waitv wanted[129];
    struct timespec soon;
    pthread_t waker;
    for (int i = 0; i < 128; i++) {
        wanted[i] = (struct waitv){0, (uintptr_t)&several[i], 2 | PRIVATE, 0};
    }
    if (waitv(wanted, 0, 0, NULL) == -1 && errno == ENOSYS) {
        test_skip("a Linux before 5.16");
    }
    for (int which = 0; which < 128; which += 127) {
        CHECK_EQ(pthread_create(&waker, NULL, wake_one, &several[which]), 0);
        CHECK_EQ(waitv(wanted, 128, 0, NULL), which);
        CHECK_EQ(pthread_join(waker, NULL), 0);
        CHECK_ERRNO(waitv(wanted, 128, 0, NULL), EAGAIN); /* it is 1 by now */
        several[which] = 0;
    }
    soon = in_ms(CLOCK_MONOTONIC, 20);
    CHECK_ERRNO(waitv(wanted, 3, 0, &soon), ETIMEDOUT);
    CHECK_EQ(futex(&several[1], FUTEX_WAKE_OP_PLAIN | PRIVATE, 9, NULL), 0); /* nobody is left */
    CHECK_ERRNO(waitv(wanted, 0, 0, NULL), EINVAL);
    CHECK_ERRNO(waitv(wanted, 129, 0, NULL), EINVAL);
    CHECK_ERRNO(waitv(wanted, 1, 1, NULL), EINVAL);
    CHECK_ERRNO(waitv((void *)8, 1, 0, NULL), EFAULT);
    wanted[1].flags = 0;
    CHECK_ERRNO(waitv(wanted, 2, 0, NULL), EINVAL);
    wanted[1].flags = 2;
    wanted[1].reserved = 1;
    CHECK_ERRNO(waitv(wanted, 2, 0, NULL), EINVAL);
    wanted[1].reserved = 0;
    wanted[1].word = 8;
    CHECK_ERRNO(waitv(wanted, 2, 0, NULL), EFAULT);
    wanted[1].word = 0xffff800000000000;
    CHECK_ERRNO(waitv(wanted, 2, 0, NULL), EFAULT);
    wanted[1].word = (uintptr_t)&several[1] + 1;
    CHECK_ERRNO(waitv(wanted, 2, 0, NULL), EINVAL);
}

/* Words in shared memory, woken by another process. */
static void wait_for_several_shared(void) {
    word_t *shared = shared_words();
    struct waitv wanted[2] = {{0, (uintptr_t)&several[0], 2 | PRIVATE, 0}, {0, (uintptr_t)&shared[1], 2, 0}};
    struct timespec late = in_ms(CLOCK_MONOTONIC, 5000);
    pid_t pid = fork();
    if (pid == 0) {
        for (int tries = 0; tries < 2000 && futex(&shared[1], FUTEX_WAKE_OP_PLAIN, 1, NULL) == 0; tries++) {
            test_sleep_ms(1);
        }
        _exit(0);
    }
    long woken = waitv(wanted, 2, 0, &late);
    if (woken == -1 && errno == ENOSYS) {
        test_skip("a Linux before 5.16");
    }
    CHECK_EQ(woken, 1);
    CHECK_EXITED(test_wait(pid));
}

static const struct test_case cases[] = {
    {"words", words},
    {"bad-words", bad_words},
    {"contention", contention},
    {"between-processes", between_processes},
    {"timeouts", timeouts},
    {"signals", signals},
    {"deadlock", deadlock},
    {"owner-dies", owner_dies},
    {"robust-owner-dies", robust_owner_dies},
    {"inheritance", inheritance},
    {"wait-for-several", wait_for_several},
    {"wait-for-several-shared", wait_for_several_shared},
};
TEST_MAIN(cases)
