/* Conformance: threads through musl's pthread. Creation, join, TLS, mutexes, conditions, exit, many at once. */
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/user/lib/test.h"

static pthread_t start(void *(*body)(void *), void *argument) {
    pthread_t thread;
    int error = pthread_create(&thread, NULL, body, argument);
    CHECK_EQ(error, 0);
    return thread;
}

static void *join(pthread_t thread) {
    void *value = NULL;
    CHECK_EQ(pthread_join(thread, &value), 0);
    return value;
}

static void *square(void *argument) {
    intptr_t value = (intptr_t)argument;
    return (void *)(value * value);
}

static void create_join(void) {
    pthread_t threads[20];
    for (intptr_t i = 0; i < 20; i++) {
        threads[i] = start(square, (void *)i);
    }
    for (intptr_t i = 0; i < 20; i++) {
        CHECK_EQ((intptr_t)join(threads[i]), i * i);
    }
}

static void create_300(void) {
    for (intptr_t i = 0; i < 300; i++) {
        CHECK_EQ((intptr_t)join(start(square, (void *)i)), i * i);
    }
}

static _Thread_local int local = 11;
static _Thread_local int local_zero;
static pid_t thread_ids[2];

static void *use_local(void *argument) {
    int mine = (int)(intptr_t)argument;
    thread_ids[mine] = (pid_t)syscall(SYS_gettid);
    CHECK_EQ(local, 11);
    CHECK_EQ(local_zero, 0);
    for (int i = 0; i < 50; i++) {
        local = mine;
        local_zero += 1;
        errno = mine;
        sched_yield();
        CHECK_EQ(local, mine);
        CHECK_EQ(errno, mine);
    }
    CHECK_EQ(local_zero, 50);
    return NULL;
}

static void thread_local_storage(void) {
    local = 5;
    pthread_t one = start(use_local, (void *)0), two = start(use_local, (void *)1);
    join(one);
    join(two);
    CHECK_EQ(local, 5);
    CHECK(thread_ids[0] != thread_ids[1] && thread_ids[0] != getpid());
}

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static volatile int counter;

static void *count_up(void *argument) {
    for (int i = 0; i < 20000; i++) {
        pthread_mutex_lock(&mutex);
        int value = counter;
        if (i % 1000 == 0) {
            sched_yield(); /* with the lock held, so that others queue */
        }
        counter = value + 1;
        pthread_mutex_unlock(&mutex);
    }
    return argument;
}

static void mutex_excludes(void) {
    pthread_t threads[4];
    counter = 0;
    for (int i = 0; i < 4; i++) {
        threads[i] = start(count_up, NULL);
    }
    for (int i = 0; i < 4; i++) {
        join(threads[i]);
    }
    CHECK_EQ(counter, 80000);
}

static void *take_turns(void *argument) {
    int mine = (int)(intptr_t)argument;
    for (int i = 0; i < 500; i++) {
        pthread_mutex_lock(&mutex);
        while (counter % 3 != mine) {
            pthread_cond_wait(&changed, &mutex);
        }
        counter++;
        pthread_cond_broadcast(&changed);
        pthread_mutex_unlock(&mutex);
    }
    return NULL;
}

static void condition_variables(void) {
    pthread_t threads[3];
    counter = 0;
    for (intptr_t i = 0; i < 3; i++) {
        threads[i] = start(take_turns, (void *)i);
    }
    for (int i = 0; i < 3; i++) {
        join(threads[i]);
    }
    CHECK_EQ(counter, 1500);

    struct timespec soon;
    clock_gettime(CLOCK_REALTIME, &soon);
    soon.tv_nsec += 20000000;
    soon.tv_sec += soon.tv_nsec / 1000000000;
    soon.tv_nsec %= 1000000000;
    pthread_mutex_lock(&mutex);
    int result = pthread_cond_timedwait(&changed, &mutex, &soon);
    CHECK_EQ(result, ETIMEDOUT);
    pthread_mutex_unlock(&mutex);
}

static sem_t items;

static void *post_items(void *argument) {
    for (int i = 0; i < 1000; i++) {
        sem_post(&items);
    }
    return argument;
}

static void semaphores(void) {
    sem_init(&items, 0, 0);
    pthread_t one = start(post_items, NULL), two = start(post_items, NULL);
    for (int i = 0; i < 2000; i++) {
        CHECK_OK(sem_wait(&items));
    }
    join(one);
    join(two);
    CHECK_ERRNO(sem_trywait(&items), EAGAIN);
}

static void *spin(void *argument) {
    volatile int *stop = argument;
    uint64_t turns = 0;
    while (!*stop) {
        turns++;
    }
    return (void *)(uintptr_t)(turns > 0);
}

/* Threads that never call the kernel are preempted: main gets to stop them. */
static void spinners_are_preempted(void) {
    static volatile int stop;
    pthread_t threads[3];
    for (int i = 0; i < 3; i++) {
        threads[i] = start(spin, (void *)&stop);
    }
    test_sleep_ms(50);
    stop = 1;
    for (int i = 0; i < 3; i++) {
        CHECK_EQ((intptr_t)join(threads[i]), 1);
    }
}

static void *leave(void *argument) { _exit((int)(intptr_t)argument); }

static void exit_group_body(void *argument) {
    static volatile int never;
    start(spin, (void *)&never);
    start(leave, argument);
    pause();
}

static void exit_group_ends_all(void) { CHECK_EXITED_WITH(test_run_child(exit_group_body, (void *)33), 33); }

static void *crash(void *argument) {
    *(volatile int *)argument = 1;
    return NULL;
}

static void crash_body(void *argument) {
    static volatile int never;
    start(spin, (void *)&never);
    start(crash, argument);
    pause();
}

static void crash_ends_all(void) { CHECK_SIGNALED(test_run_child(crash_body, NULL), SIGSEGV); }

static void *outlive(void *argument) {
    test_sleep_ms(20);
    _exit((int)(intptr_t)argument);
}

static void main_leaves_first(void *argument) {
    start(outlive, argument);
    pthread_exit(NULL);
}

/* The process lives as long as its last thread. */
static void first_thread_may_leave(void) { CHECK_EXITED_WITH(test_run_child(main_leaves_first, (void *)44), 44); }

static void *fork_in_thread(void *argument) {
    pid_t pid = fork();
    if (pid == 0) {
        _exit(syscall(SYS_gettid) == getpid() ? 3 : 4);
    }
    CHECK_EXITED_WITH(test_wait(pid), 3);
    return argument;
}

static void fork_copies_one_thread(void) {
    static volatile int stop;
    pthread_t spinner = start(spin, (void *)&stop);
    join(start(fork_in_thread, NULL));
    stop = 1;
    join(spinner);
}

static void *map_and_touch(void *argument) {
    for (int i = 0; i < 100; i++) {
        volatile uint8_t *memory =
            mmap(NULL, 4 * TEST_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        CHECK((void *)memory != MAP_FAILED);
        CHECK_EQ(memory[TEST_PAGE], 0);
        memory[TEST_PAGE] = 1;
        CHECK_OK(munmap((void *)memory, 4 * TEST_PAGE));
    }
    return argument;
}

static void map_concurrently(void) {
    pthread_t threads[4];
    for (int i = 0; i < 4; i++) {
        threads[i] = start(map_and_touch, NULL);
    }
    for (int i = 0; i < 4; i++) {
        join(threads[i]);
    }
}

static const struct test_case cases[] = {
    {"create-join", create_join},
    {"create-300", create_300},
    {"tls", thread_local_storage},
    {"mutex", mutex_excludes},
    {"condition", condition_variables},
    {"semaphore", semaphores},
    {"preemption", spinners_are_preempted},
    {"exit-group", exit_group_ends_all},
    {"crash", crash_ends_all},
    {"main-leaves-first", first_thread_may_leave},
    {"fork", fork_copies_one_thread},
    {"mmap", map_concurrently},
};
TEST_MAIN(cases)
