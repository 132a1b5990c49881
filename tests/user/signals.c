/* Conformance: signals. Handlers, masks, siginfo, restart, EINTR, kill, SIGCHLD, nesting, sigsuspend, sigaltstack. */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/user/lib/test.h"

static volatile int count, depth, deepest, last;
static volatile siginfo_t seen;

static void count_signal(int signal) {
    count++;
    last = signal;
}

static void note_info(int signal, siginfo_t *info, void *context) {
    CHECK(context != NULL);
    CHECK_EQ(signal, info->si_signo);
    seen = *info;
    count++;
}

static void install(int signal, void (*handler)(int), int flags) {
    struct sigaction action = {.sa_handler = handler, .sa_flags = flags};
    CHECK_OK(sigaction(signal, &action, NULL));
}

static void install_info(int signal, int flags) {
    struct sigaction action = {.sa_sigaction = note_info, .sa_flags = flags | SA_SIGINFO};
    CHECK_OK(sigaction(signal, &action, NULL));
}

static void block(int how, int signal) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, signal);
    CHECK_OK(sigprocmask(how, &set, NULL));
}

/* A child that sends `signal` to this process after a while, and does it again when told twice. */
static pid_t send_later(int signal) {
    pid_t parent = getpid(), pid = fork();
    if (pid == 0) {
        test_sleep_ms(30);
        kill(parent, signal);
        _exit(0);
    }
    return pid;
}

static void handler_runs(void) {
    install(SIGUSR1, count_signal, 0);
    CHECK_OK(raise(SIGUSR1));
    CHECK_EQ(count, 1);
    CHECK_OK(kill(getpid(), SIGUSR1)); /* to oneself: delivered before kill returns */
    CHECK_EQ(count, 2);
    CHECK_OK((int)syscall(SYS_tkill, gettid(), SIGUSR1));
    CHECK_OK((int)syscall(SYS_tgkill, getpid(), gettid(), SIGUSR1));
    CHECK_EQ(count, 4);
    install(SIGUSR1, count_signal, SA_RESETHAND);
    CHECK_OK(raise(SIGUSR1));
    struct sigaction action;
    CHECK_OK(sigaction(SIGUSR1, NULL, &action));
    CHECK(action.sa_handler == SIG_DFL);
    signal(SIGUSR1, SIG_IGN);
    CHECK_OK(raise(SIGUSR1));
    CHECK_EQ(count, 5);
}

static void masks(void) {
    sigset_t pending, old;
    install(SIGUSR1, count_signal, 0);
    block(SIG_BLOCK, SIGUSR1);
    for (int i = 0; i < 3; i++) {
        CHECK_OK(raise(SIGUSR1));
    }
    CHECK_EQ(count, 0);
    CHECK_OK(sigpending(&pending));
    CHECK_EQ(sigismember(&pending, SIGUSR1), 1);
    CHECK_EQ(sigismember(&pending, SIGUSR2), 0);
    block(SIG_UNBLOCK, SIGUSR1);
    CHECK_EQ(count, 1); /* a standard signal does not queue */
    block(SIG_BLOCK, SIGKILL);
    CHECK_OK(sigprocmask(SIG_BLOCK, NULL, &old));
    CHECK_EQ(sigismember(&old, SIGKILL), 0);
    CHECK_ERRNO(syscall(SYS_rt_sigprocmask, 77, &old, NULL, 8), EINVAL);
    CHECK_ERRNO(syscall(SYS_rt_sigprocmask, SIG_BLOCK, &old, NULL, 16), EINVAL);
    CHECK_ERRNO(syscall(SYS_rt_sigprocmask, SIG_BLOCK, 8, NULL, 8), EFAULT);
    block(SIG_BLOCK, SIGUSR1);
    CHECK_OK(raise(SIGUSR1));
    signal(SIGUSR1, SIG_IGN); /* throws away what is pending */
    install(SIGUSR1, count_signal, 0);
    block(SIG_UNBLOCK, SIGUSR1);
    CHECK_EQ(count, 1);
}

static void arguments(void) {
    struct sigaction action = {.sa_handler = count_signal};
    CHECK_ERRNO(kill(getpid(), 65), EINVAL);
    CHECK_ERRNO(kill(getpid(), -1), EINVAL);
    CHECK_OK(kill(getpid(), 0));
    CHECK_ERRNO(kill(0x3ffffff, SIGUSR1), ESRCH);
    CHECK_ERRNO(syscall(SYS_tgkill, getpid(), -1, SIGUSR1), EINVAL);
    CHECK_ERRNO(sigaction(SIGKILL, &action, NULL), EINVAL);
    CHECK_ERRNO(sigaction(SIGSTOP, &action, NULL), EINVAL);
    CHECK_ERRNO(sigaction(0, &action, NULL), EINVAL);
    CHECK_ERRNO(sigaction(65, &action, NULL), EINVAL);
    CHECK_ERRNO(syscall(SYS_rt_sigaction, SIGUSR1, 8, NULL, 8), EFAULT);
    CHECK_ERRNO(syscall(SYS_rt_sigaction, SIGUSR1, NULL, NULL, 4), EINVAL);
}

static void siginfo(void) {
    install_info(SIGUSR1, 0);
    CHECK_OK(kill(getpid(), SIGUSR1));
    CHECK_EQ(seen.si_code, SI_USER);
    CHECK_EQ(seen.si_pid, getpid());
    CHECK_EQ(seen.si_uid, getuid());
    CHECK_OK((int)syscall(SYS_tkill, gettid(), SIGUSR1));
    CHECK_EQ(seen.si_code, SI_TKILL);
    install_info(SIGCHLD, 0);
    pid_t pid = fork();
    if (pid == 0) {
        _exit(3);
    }
    CHECK_EXITED_WITH(test_wait(pid), 3);
    CHECK_EQ(seen.si_signo, SIGCHLD);
    CHECK_EQ(seen.si_code, CLD_EXITED);
    CHECK_EQ(seen.si_pid, pid);
    CHECK_EQ(seen.si_status, 3);
    pid = fork();
    if (pid == 0) {
        raise(SIGKILL);
    }
    CHECK_SIGNALED(test_wait(pid), SIGKILL);
    CHECK_EQ(seen.si_code, CLD_KILLED);
    CHECK_EQ(seen.si_status, SIGKILL);
}

static void nest(int signal) {
    depth++;
    deepest = depth > deepest ? depth : deepest;
    if (signal == SIGUSR1) {
        raise(SIGUSR1); /* blocked while its handler runs */
        CHECK_EQ(depth, 1);
        raise(SIGUSR2); /* not blocked: nests */
    }
    count++;
    depth--;
    if (count > 3) {
        install(SIGUSR1, SIG_IGN, 0);
    }
}

static void nested(void) {
    install(SIGUSR1, nest, 0);
    install(SIGUSR2, nest, 0);
    raise(SIGUSR1);
    CHECK_EQ(deepest, 2);
    CHECK_EQ(depth, 0);
    CHECK(count >= 4);

    struct sigaction action = {.sa_handler = nest};
    sigaddset(&action.sa_mask, SIGUSR2);
    CHECK_OK(sigaction(SIGUSR1, &action, NULL));
    count = deepest = 0;
    raise(SIGUSR1);
    CHECK_EQ(deepest, 1); /* the action's mask kept SIGUSR2 out */
}

static void recurse(int signal) {
    if (++count < 50) {
        raise(signal);
    }
}

static void deferred_not(void) {
    install(SIGUSR1, recurse, SA_NODEFER);
    raise(SIGUSR1);
    CHECK_EQ(count, 50);
}

static void interrupts_or_restarts(void) {
    int ends[2];
    char byte;
    CHECK_OK(pipe(ends));
    install(SIGUSR1, count_signal, 0);
    pid_t pid = send_later(SIGUSR1);
    CHECK_ERRNO(read(ends[0], &byte, 1), EINTR);
    CHECK_EXITED(test_wait(pid));

    install(SIGUSR1, count_signal, SA_RESTART);
    pid_t parent = getpid();
    pid = fork();
    if (pid == 0) {
        test_sleep_ms(30);
        kill(parent, SIGUSR1);
        test_sleep_ms(30);
        CHECK_EQ(write(ends[1], "r", 1), 1);
        _exit(0);
    }
    CHECK_EQ(read(ends[0], &byte, 1), 1);
    CHECK_EQ(byte, 'r');
    CHECK_EQ(count, 2);
    CHECK_EXITED(test_wait(pid));
    pid = send_later(SIGUSR1);
    CHECK_ERRNO(pause(), EINTR); /* whatever SA_RESTART says */
    int status;
    while (waitpid(pid, &status, 0) < 0) {
        CHECK_EQ(errno, EINTR);
    }
    signal(SIGUSR1, SIG_IGN);
    pid = send_later(SIGUSR1);
    CHECK_EXITED(test_wait(pid)); /* an ignored signal interrupts nothing */
}

static void suspend(void) {
    sigset_t set;
    install(SIGUSR1, count_signal, 0);
    block(SIG_BLOCK, SIGUSR1);
    raise(SIGUSR1);
    CHECK_EQ(count, 0);
    sigemptyset(&set);
    CHECK_ERRNO(sigsuspend(&set), EINTR);
    CHECK_EQ(count, 1);
    CHECK_OK(sigprocmask(SIG_BLOCK, NULL, &set));
    CHECK_EQ(sigismember(&set, SIGUSR1), 1); /* the old mask is back */
    pid_t pid = send_later(SIGUSR1);
    sigemptyset(&set);
    CHECK_ERRNO(sigsuspend(&set), EINTR);
    CHECK_EQ(count, 2);
    CHECK_EXITED(test_wait(pid));
}

static uint8_t other_stack[32768];
static volatile int on_other;

static void where(int signal) {
    uint8_t here;
    stack_t stack;
    count_signal(signal);
    on_other = &here >= other_stack && &here < other_stack + sizeof(other_stack);
    CHECK_OK(sigaltstack(NULL, &stack));
    CHECK_EQ(stack.ss_flags & SS_ONSTACK, on_other ? SS_ONSTACK : 0);
    if (on_other) {
        stack.ss_flags = 0;
        CHECK_ERRNO(sigaltstack(&stack, NULL), EPERM);
    }
}

static void alternate_stack(void) {
    stack_t stack = {.ss_sp = other_stack, .ss_size = sizeof(other_stack)}, old;
    CHECK_OK(sigaltstack(NULL, &old));
    CHECK_EQ(old.ss_flags, SS_DISABLE);
    CHECK_OK(sigaltstack(&stack, NULL));
    install(SIGUSR1, where, SA_ONSTACK);
    raise(SIGUSR1);
    CHECK_EQ(on_other, 1);
    install(SIGUSR1, where, 0);
    raise(SIGUSR1);
    CHECK_EQ(on_other, 0);
    CHECK_EQ(count, 2);
    stack.ss_size = 100;
    CHECK_ERRNO(sigaltstack(&stack, NULL), ENOMEM);
    stack.ss_flags = SS_DISABLE;
    CHECK_OK(sigaltstack(&stack, NULL));
    install(SIGUSR1, where, SA_ONSTACK);
    raise(SIGUSR1);
    CHECK_EQ(on_other, 0);
}

static void spin(void *argument) {
    (void)argument;
    for (;;) {
        __asm__ volatile("pause");
    }
}

static void block_all(void *argument) {
    sigset_t set;
    sigfillset(&set);
    sigprocmask(SIG_BLOCK, &set, NULL);
    pause();
    spin(argument);
}

static void kill_reaches_all(void) {
    void (*const bodies[])(void *) = {spin, block_all};
    for (int i = 0; i < 2; i++) {
        pid_t pid = fork();
        if (pid == 0) {
            bodies[i](NULL);
        }
        test_sleep_ms(20);
        CHECK_OK(kill(pid, SIGTERM));
        test_sleep_ms(5);
        CHECK_OK(kill(pid, SIGKILL));
        CHECK_SIGNALED(test_wait(pid), i == 0 ? SIGTERM : SIGKILL);
    }
}

static void *wait_for_signal(void *argument) {
    while (*(volatile int *)argument == 0) {
        test_sleep_ms(1);
    }
    return NULL;
}

static void to_one_thread(void) {
    pthread_t thread;
    install(SIGUSR1, count_signal, 0);
    int error = pthread_create(&thread, NULL, wait_for_signal, (void *)(uintptr_t)&count);
    CHECK_EQ(error, 0);
    block(SIG_BLOCK, SIGUSR1);
    CHECK_OK(kill(getpid(), SIGUSR1)); /* to the process: a thread that does not block it takes it */
    CHECK_EQ(pthread_join(thread, NULL), 0);
    CHECK_EQ(count, 1);
}

static const struct test_case cases[] = {
    {"handler", handler_runs},
    {"mask", masks},
    {"arguments", arguments},
    {"siginfo", siginfo},
    {"nested", nested},
    {"nodefer", deferred_not},
    {"eintr-restart", interrupts_or_restarts},
    {"sigsuspend", suspend},
    {"sigaltstack", alternate_stack},
    {"kill", kill_reaches_all},
    {"thread", to_one_thread},
};
TEST_MAIN(cases)
