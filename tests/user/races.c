/*
 * Conformance: who wins when threads and processes end, execute, fork and are killed at the same time. Whatever the
 * order, nothing hangs, nothing is left over (the runner compares memory, processes and threads), and the status is one
 * that the order allows.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/user/lib/test.h"

enum { ROUNDS = 25, LIMIT_MS = 10000 };

static pthread_barrier_t line;

/* Runs this program's --list, silently: ends with 0. */
static void exec_self(void) {
    const char *path = (const char *)getauxval(AT_EXECFN);
    char *argv[] = {(char *)(uintptr_t)path, "--list", NULL}, *envp[] = {NULL};
    int null = open("/dev/null", O_WRONLY);
    dup2(null, STDOUT_FILENO);
    execve(path, argv, envp);
    test_fail(__FILE__, __LINE__, "execve returned");
}

static void start(void *(*body)(void *)) {
    pthread_t thread;
    CHECK_EQ(pthread_create(&thread, NULL, body, NULL), 0);
}

static int run(void (*body)(void *)) {
    bool timed_out;
    int status = test_run_child_within(body, NULL, LIMIT_MS, &timed_out);
    CHECK(!timed_out);
    return status;
}

static void *wait_and_exec(void *argument) {
    pthread_barrier_wait(&line);
    exec_self();
    return argument;
}

static void *wait_and_exit(void *argument) {
    pthread_barrier_wait(&line);
    _exit(7);
    return argument;
}

static void *end_at_once(void *argument) { return argument; }

/* Goes on making threads until it is ended. */
static void *make_threads(void *argument) {
    pthread_attr_t detached;
    pthread_t thread;
    pthread_attr_init(&detached);
    pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
    pthread_barrier_wait(&line);
    for (;;) {
        pthread_create(&thread, &detached, end_at_once, NULL);
    }
    return argument;
}

static void *sleep_for_ever(void *argument) {
    pthread_barrier_wait(&line);
    for (;;) {
        pause();
    }
    return argument;
}

static void exec_four_times(void *argument) {
    (void)argument;
    pthread_barrier_init(&line, NULL, 4);
    for (int i = 0; i < 3; i++) {
        start(wait_and_exec);
    }
    wait_and_exec(NULL);
}

/* Several threads execute at once: one does, the others end. */
static void exec_against_exec(void) {
    for (int round = 0; round < ROUNDS; round++) {
        CHECK_EXITED(run(exec_four_times));
    }
}

static void exec_while_threads_come(void *argument) {
    (void)argument;
    pthread_barrier_init(&line, NULL, 4);
    start(make_threads);
    start(make_threads);
    start(sleep_for_ever);
    pthread_barrier_wait(&line);
    test_sleep_ms(1);
    exec_self();
}

static void exec_against_create(void) {
    for (int round = 0; round < ROUNDS; round++) {
        CHECK_EXITED(run(exec_while_threads_come));
    }
}

static void exec_and_exit(void *argument) {
    (void)argument;
    pthread_barrier_init(&line, NULL, 4);
    start(wait_and_exec);
    start(wait_and_exit);
    start(wait_and_exec);
    sleep_for_ever(NULL);
}

static void exec_against_exit(void) {
    for (int round = 0; round < ROUNDS; round++) {
        int status = run(exec_and_exit);
        CHECK(WIFEXITED(status) && (WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == 7));
    }
}

static void *leave_together(void *argument) {
    pthread_barrier_wait(&line);
    return argument;
}

static void all_leave(void *argument) {
    pthread_barrier_init(&line, NULL, 9);
    for (int i = 0; i < 8; i++) {
        start(leave_together);
    }
    pthread_barrier_wait(&line);
    if (argument == NULL) {
        syscall(SYS_exit, 0); /* not musl's pthread_exit, which hangs in a child of fork */
    }
}

static void exit_together(void) {
    for (int round = 0; round < ROUNDS; round++) {
        CHECK_EXITED(run(all_leave));
        CHECK_EXITED(test_run_child(all_leave, ""));
    }
}

static void *fork_for_ever(void *argument) {
    pthread_barrier_wait(&line);
    for (;;) {
        pid_t pid = fork();
        if (pid == 0) {
            _exit(0);
        }
        if (pid > 0) {
            waitpid(pid, NULL, 0);
        }
    }
    return argument;
}

static void fork_in_threads(void *argument) {
    (void)argument;
    pthread_barrier_init(&line, NULL, 3);
    start(fork_for_ever);
    start(fork_for_ever);
    sleep_for_ever(NULL);
}

/* A signal to the group reaches what is being forked as well: none survives, so the pipe has no writer left. */
static void kill_against_fork(int signal) {
    for (int round = 0; round < ROUNDS; round++) {
        int ends[2];
        char byte;
        CHECK_OK(pipe(ends));
        pid_t pid = fork();
        if (pid == 0) {
            setpgid(0, 0);
            fork_in_threads(NULL);
        }
        CHECK(pid > 0);
        setpgid(pid, pid);
        close(ends[1]);
        test_sleep_ms(2 + round % 7);
        CHECK_OK(kill(-pid, signal));
        CHECK_SIGNALED(test_wait(pid), signal);
        CHECK_EQ(read(ends[0], &byte, 1), 0);
        close(ends[0]);
    }
}

static void sigkill_against_fork(void) { kill_against_fork(SIGKILL); }
static void sigterm_against_fork(void) { kill_against_fork(SIGTERM); }

static volatile pid_t vfork_child;

static void lend(void *argument) {
    pid_t pid = vfork();
    if (pid == 0) {
        vfork_child = getpid();
        for (;;) {
            pause();
        }
    }
    _exit(pid == vfork_child && argument == NULL ? 5 : 6);
}

static void *lend_in_thread(void *argument) {
    lend(argument);
    return argument;
}

static void lend_and_exit(void *argument) {
    (void)argument;
    start(lend_in_thread);
    while (vfork_child == 0) {
        test_sleep_ms(1);
    }
    kill(vfork_child, SIGKILL);
    _exit(5);
}

/* Parent, child or both are killed while they share memory. */
static void kill_against_vfork(void) {
    for (int round = 0; round < ROUNDS; round++) {
        pid_t pid = fork();
        if (pid == 0) {
            setpgid(0, 0);
            lend(NULL);
        }
        CHECK(pid > 0);
        setpgid(pid, pid);
        test_sleep_ms(2);
        CHECK_OK(kill(-pid, SIGKILL));
        CHECK_SIGNALED(test_wait(pid), SIGKILL);
        CHECK_EXITED_WITH(run(lend_and_exit), 5);
    }
}

static void ignored_children(void *argument) {
    (void)argument;
    signal(SIGCHLD, SIG_IGN);
    for (int i = 0; i < 5; i++) {
        pid_t pid = fork();
        if (pid == 0) {
            test_sleep_ms(i);
            _exit(i);
        }
        CHECK(pid > 0);
    }
    CHECK_ERRNO(wait(NULL), ECHILD); /* when the last has gone, not before */
}

static void wait_for_ignored(void) { CHECK_EXITED(run(ignored_children)); }

static volatile int alarms;

static void count_alarm(int signal) { alarms += signal == SIGALRM; }

/* A fast timer interrupts everything all the time, and no call fails that must not. */
static void timer_against_all(void) {
    struct sigaction action = {.sa_handler = count_alarm, .sa_flags = SA_RESTART};
    struct itimerval timer = {{0, 300}, {0, 300}}, off = {{0, 0}, {0, 0}};
    CHECK_OK(sigaction(SIGALRM, &action, NULL));
    CHECK_OK(setitimer(ITIMER_REAL, &timer, NULL));
    for (int i = 0; i < 100 || alarms < 20; i++) {
        int ends[2], status;
        char byte = (char)i;
        CHECK_OK(pipe(ends));
        pid_t pid = (pid_t)CHECK_OK(fork());
        if (pid == 0) {
            _exit(write(ends[1], &byte, 1) == 1 ? 0 : 1);
        }
        CHECK_EQ(read(ends[0], &byte, 1), 1);
        CHECK_EQ(byte, (char)i);
        CHECK_EQ(waitpid(pid, &status, 0), pid);
        CHECK_EXITED(status);
        close(ends[0]);
        close(ends[1]);
    }
    CHECK_OK(setitimer(ITIMER_REAL, &off, NULL));
}

static const struct test_case cases[] = {
    {"exec-exec", exec_against_exec},   {"exec-create", exec_against_create}, {"exec-exit", exec_against_exit},
    {"exit-exit", exit_together},       {"kill-fork", sigkill_against_fork},  {"terminate-fork", sigterm_against_fork},
    {"kill-vfork", kill_against_vfork}, {"wait-ignored", wait_for_ignored},   {"timer", timer_against_all},
};
TEST_MAIN(cases)
