/* Conformance: signals. Handlers, masks, siginfo, restart, EINTR, kill, SIGCHLD, nesting, sigsuspend, sigaltstack. */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/select.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
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
        CHECK_OK(kill(pid, SIGTERM)); /* ends the one that spins, whenever it gets to run */
        if (i == 1) {
            test_sleep_ms(5);
            CHECK_OK(kill(pid, SIGKILL));
        }
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

/* --- Queued signals ----------------------------------------------------------------------------------------------- */

static int order[64], values[64];
static volatile int arrived;

static void note_arrival(int signal, siginfo_t *info, void *context) {
    (void)context;
    order[arrived] = signal;
    values[arrived++] = info->si_value.sival_int;
    seen = *info;
}

static void install_queue(int signal) {
    struct sigaction action = {.sa_sigaction = note_arrival, .sa_flags = SA_SIGINFO};
    sigfillset(&action.sa_mask);
    CHECK_OK(sigaction(signal, &action, NULL));
}

static void realtime_queue(void) {
    const int low = SIGRTMIN + 1, high = SIGRTMIN + 2;
    sigset_t set;
    install_queue(low);
    install_queue(high);
    install_queue(SIGUSR1);
    sigfillset(&set);
    CHECK_OK(sigprocmask(SIG_SETMASK, &set, NULL));
    for (int i = 0; i < 5; i++) {
        CHECK_OK(sigqueue(getpid(), high, (union sigval){.sival_int = 100 + i}));
        CHECK_OK(sigqueue(getpid(), low, (union sigval){.sival_int = 200 + i}));
        CHECK_OK(sigqueue(getpid(), SIGUSR1, (union sigval){.sival_int = 300 + i}));
    }
    sigemptyset(&set);
    CHECK_OK(sigprocmask(SIG_SETMASK, &set, NULL));
    CHECK_EQ(arrived, 11); /* a classic one once, with what the first said */
    for (int i = 0; i < 11; i++) {
        CHECK_EQ(order[i], i == 0 ? SIGUSR1 : i <= 5 ? low : high); /* by number, then as they came */
        CHECK_EQ(values[i], i == 0 ? 300 : i <= 5 ? 199 + i : 94 + i);
    }
    CHECK_EQ(seen.si_code, SI_QUEUE);
    CHECK_EQ(seen.si_pid, getpid());
    CHECK_EQ(seen.si_uid, getuid());

    CHECK_OK(sigprocmask(SIG_BLOCK, &(sigset_t){{~0UL}}, NULL)); /* kill() queues, too */
    arrived = 0;
    for (int i = 0; i < 3; i++)
        CHECK_OK(kill(getpid(), low));
    CHECK_OK(sigprocmask(SIG_SETMASK, &set, NULL));
    CHECK_EQ(arrived, 3);
    CHECK_EQ(seen.si_code, SI_USER);
    CHECK_EQ(seen.si_pid, getpid());
}

static void from_child(void) {
    void *pointer = (void *)0x123456789abcUL;
    siginfo_t info;
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGRTMAX);
    sigaddset(&set, SIGUSR2);
    CHECK_OK(sigprocmask(SIG_BLOCK, &set, NULL));
    pid_t parent = getpid(), pid = fork();
    if (pid == 0) {
        for (int i = 0; i < 20; i++)
            CHECK_OK(sigqueue(parent, SIGRTMAX, (union sigval){.sival_ptr = (char *)pointer + i}));
        CHECK_OK(sigqueue(parent, SIGUSR2, (union sigval){.sival_int = 7}));
        _exit(0);
    }
    CHECK_EXITED(test_wait(pid)); /* what it said outlives it */
    CHECK_EQ(CHECK_OK(sigwaitinfo(&set, &info)), SIGUSR2);
    CHECK_EQ(info.si_value.sival_int, 7);
    for (int i = 0; i < 20; i++) {
        CHECK_EQ(CHECK_OK(sigwaitinfo(&set, &info)), SIGRTMAX);
        CHECK(info.si_value.sival_ptr == (char *)pointer + i);
        CHECK_EQ(info.si_code, SI_QUEUE);
        CHECK_EQ(info.si_pid, pid);
    }
    CHECK_ERRNO(sigtimedwait(&set, &info, &(struct timespec){0}), EAGAIN);
    /* Pending ones go with the one who has them, and when they are ignored. */
    CHECK_OK(sigqueue(getpid(), SIGRTMAX, (union sigval){.sival_int = 1}));
    signal(SIGRTMAX, SIG_IGN);
    CHECK_ERRNO(sigtimedwait(&set, &info, &(struct timespec){0}), EAGAIN);
    pid = fork();
    if (pid == 0) {
        signal(SIGRTMAX, SIG_DFL);
        for (int i = 0; i < 50; i++)
            CHECK_OK(sigqueue(getpid(), SIGRTMAX, (union sigval){.sival_int = i}));
        _exit(0);
    }
    CHECK_EXITED(test_wait(pid));
}

static long queue_raw(pid_t process, pid_t thread, int signal, const siginfo_t *info) {
    return thread != 0 ? syscall(SYS_rt_tgsigqueueinfo, process, thread, signal, info)
                       : syscall(SYS_rt_sigqueueinfo, process, signal, info);
}

static void queue_errors(void) {
    siginfo_t info = {.si_code = SI_QUEUE};
    pid_t pid = fork();
    if (pid == 0) {
        for (;;)
            pause();
    }
    CHECK_ERRNO(queue_raw(0x3ffffff, 0, SIGUSR1, &info), ESRCH);
    CHECK_ERRNO(queue_raw(pid, 0, 65, &info), EINVAL);
    CHECK_OK(queue_raw(pid, 0, 0, &info));
    CHECK_ERRNO(syscall(SYS_rt_sigqueueinfo, pid, SIGUSR1, 8), EFAULT);
    info.si_code = SI_USER;
    CHECK_ERRNO(queue_raw(pid, 0, SIGUSR1, &info), EPERM); /* only the kernel says that of others */
    info.si_code = SI_TKILL;
    CHECK_ERRNO(queue_raw(pid, pid, SIGUSR1, &info), EPERM);
    CHECK_ERRNO(queue_raw(pid, -1, SIGUSR1, &info), EINVAL);
    info.si_code = SI_QUEUE;
    CHECK_ERRNO(queue_raw(getpid(), pid, SIGUSR1, &info), ESRCH); /* a thread of another */
    CHECK_OK(queue_raw(pid, pid, SIGTERM, &info));
    CHECK_SIGNALED(test_wait(pid), SIGTERM);
    install_queue(SIGUSR1);
    info.si_value.sival_int = 17;
    CHECK_OK(queue_raw(getpid(), gettid(), SIGUSR1, &info));
    CHECK_EQ(values[0], 17);
    info.si_code = 5; /* to oneself one may say anything */
    CHECK_OK(queue_raw(getpid(), 0, SIGUSR1, &info));
    CHECK_EQ(seen.si_code, 5);
}

/* A thread's own come before the process's. */
static void own_first(void) {
    sigset_t set;
    install_queue(SIGRTMIN + 1);
    install_queue(SIGRTMIN + 2);
    sigfillset(&set);
    CHECK_OK(sigprocmask(SIG_SETMASK, &set, NULL));
    CHECK_OK(kill(getpid(), SIGRTMIN + 1));
    CHECK_OK((int)syscall(SYS_tgkill, getpid(), gettid(), SIGRTMIN + 2));
    sigemptyset(&set);
    CHECK_OK(sigprocmask(SIG_SETMASK, &set, NULL));
    CHECK_EQ(arrived, 2);
    CHECK_EQ(order[0], SIGRTMIN + 2);
    CHECK_EQ(order[1], SIGRTMIN + 1);
}

/* --- Alternate stack, restart, origins ---------------------------------------------------------------------------- */

#ifndef SS_AUTODISARM
#define SS_AUTODISARM (1U << 31)
#endif

static void look_disarmed(int signal) {
    stack_t stack;
    uint8_t here;
    count_signal(signal);
    on_other = &here >= other_stack && &here < other_stack + sizeof(other_stack);
    CHECK_OK(sigaltstack(NULL, &stack));
    CHECK_EQ(stack.ss_flags, SS_DISABLE); /* another handler may use its own */
    stack.ss_sp = other_stack;
    stack.ss_size = 8192;
    stack.ss_flags = 0;
    CHECK_OK(sigaltstack(&stack, NULL));
}

/* The C library knows no flags. */
static long alternate(const stack_t *new, stack_t *old) { return syscall(SYS_sigaltstack, new, old); }

static void autodisarm(void) {
    stack_t stack = {.ss_sp = other_stack, .ss_size = sizeof(other_stack), .ss_flags = (int)SS_AUTODISARM}, now;
    CHECK_OK(alternate(&stack, NULL));
    CHECK_OK(alternate(NULL, &now));
    CHECK_EQ(now.ss_flags, (int)SS_AUTODISARM);
    install(SIGUSR1, look_disarmed, SA_ONSTACK);
    CHECK_OK(raise(SIGUSR1));
    CHECK_EQ(on_other, 1);
    CHECK_OK(alternate(NULL, &now)); /* as it was */
    CHECK_EQ(now.ss_flags, (int)SS_AUTODISARM);
    CHECK(now.ss_sp == other_stack && now.ss_size == sizeof(other_stack));
    stack.ss_flags = 4;
    CHECK_ERRNO(alternate(&stack, NULL), EINVAL);
    stack.ss_flags = SS_ONSTACK; /* means the same as 0 */
    CHECK_OK(alternate(&stack, NULL));
    pid_t pid = fork(); /* a child has it, */
    if (pid == 0) {
        CHECK_OK(alternate(NULL, &now));
        CHECK(now.ss_sp == other_stack);
        _exit(0);
    }
    CHECK_EXITED(test_wait(pid));
}

static void *look_at_stack(void *argument) {
    CHECK_OK(sigaltstack(NULL, argument));
    return NULL;
}

static void stack_of_thread(void) { /* … a thread has not */
    stack_t stack = {.ss_sp = other_stack, .ss_size = sizeof(other_stack)}, now;
    pthread_t thread;
    CHECK_OK(sigaltstack(&stack, NULL));
    CHECK_EQ(pthread_create(&thread, NULL, look_at_stack, &now), 0);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    CHECK_EQ(now.ss_flags, SS_DISABLE);
}

/* Calls with a time limit end with EINTR whatever SA_RESTART says, and say what is left. */
static void timed_restart(void) {
    struct timespec time = {.tv_sec = 20}, left = {0};
    struct timeval limit = {.tv_sec = 20};
    int word = 0;
    install(SIGUSR1, count_signal, SA_RESTART);
    pid_t pid = send_later(SIGUSR1);
    CHECK_ERRNO(nanosleep(&time, &left), EINTR);
    CHECK(left.tv_sec >= 15 && left.tv_sec < 20);
    CHECK_EXITED(test_wait(pid));
    pid = send_later(SIGUSR1);
    CHECK_ERRNO(poll(NULL, 0, 20000), EINTR);
    CHECK_EXITED(test_wait(pid));
    pid = send_later(SIGUSR1);
    CHECK_ERRNO(select(0, NULL, NULL, NULL, &limit), EINTR);
    CHECK_EXITED(test_wait(pid));
    pid = send_later(SIGUSR1);
    CHECK_ERRNO(syscall(SYS_futex, &word, 0, 0, &time, NULL, 0), EINTR);
    CHECK_EXITED(test_wait(pid));
    CHECK_EQ(count, 4);
    signal(SIGUSR1, SIG_IGN);
    time.tv_sec = 0;
    time.tv_nsec = 50000000;
    pid = send_later(SIGUSR1);
    CHECK_OK(nanosleep(&time, NULL));
    CHECK_EXITED(test_wait(pid));
}

static void broken_pipe(void) {
    int ends[2];
    CHECK_OK(pipe(ends));
    CHECK_OK(close(ends[0]));
    install_info(SIGPIPE, 0);
    CHECK_ERRNO(write(ends[1], "x", 1), EPIPE);
    CHECK_EQ(count, 1);
    CHECK_EQ(seen.si_code, SI_USER);
    CHECK_EQ(seen.si_pid, getpid());
    CHECK_EQ(seen.si_uid, getuid());
}

/* A signal that is pending when the program is replaced is so in the next. */
static void pending_in_child(void) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigaddset(&set, SIGRTMIN + 3);
    CHECK_OK(sigprocmask(SIG_BLOCK, &set, NULL));
    CHECK_OK(raise(SIGUSR1));
    CHECK_OK(sigqueue(getpid(), SIGRTMIN + 3, (union sigval){.sival_int = 3}));
    pid_t pid = fork();
    if (pid == 0) { /* of a fork none is */
        CHECK_OK(sigpending(&set));
        CHECK_EQ(sigismember(&set, SIGUSR1), 0);
        CHECK_EQ(sigismember(&set, SIGRTMIN + 3), 0);
        _exit(0);
    }
    CHECK_EXITED(test_wait(pid));
}

static void *queue_many(void *argument) {
    for (int i = 0; i < 200; i++) {
        while (sigqueue(getpid(), SIGRTMIN + 4, (union sigval){.sival_int = i}) != 0)
            CHECK_EQ(errno, EAGAIN);
    }
    return argument;
}

/* Three threads send, one takes: none is lost. */
static void none_lost(void) {
    pthread_t threads[3];
    siginfo_t info;
    sigset_t set;
    int sum = 0;
    sigemptyset(&set);
    sigaddset(&set, SIGRTMIN + 4);
    CHECK_EQ(pthread_sigmask(SIG_BLOCK, &set, NULL), 0);
    for (int i = 0; i < 3; i++)
        CHECK_EQ(pthread_create(threads + i, NULL, queue_many, NULL), 0);
    for (int i = 0; i < 600; i++) {
        CHECK_EQ(CHECK_OK(sigwaitinfo(&set, &info)), SIGRTMIN + 4);
        sum += info.si_value.sival_int;
    }
    for (int i = 0; i < 3; i++)
        CHECK_EQ(pthread_join(threads[i], NULL), 0);
    CHECK_EQ(sum, 3 * 199 * 200 / 2);
    CHECK_ERRNO(sigtimedwait(&set, &info, &(struct timespec){0}), EAGAIN);
}

static void by_descriptor(void) {
    struct signalfd_siginfo record;
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGRTMIN + 4);
    CHECK_OK(sigprocmask(SIG_BLOCK, &set, NULL));
    int fd = (int)CHECK_OK(signalfd(-1, &set, SFD_NONBLOCK));
    for (int i = 0; i < 3; i++)
        CHECK_OK(sigqueue(getpid(), SIGRTMIN + 4, (union sigval){.sival_int = 40 + i}));
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(read(fd, &record, sizeof(record)), sizeof(record));
        CHECK_EQ(record.ssi_int, 40 + i);
        CHECK_EQ(record.ssi_code, SI_QUEUE);
        CHECK_EQ(record.ssi_pid, getpid());
    }
    CHECK_ERRNO(read(fd, &record, sizeof(record)), EAGAIN);
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
    {"realtime-queue", realtime_queue},
    {"queue-from-child", from_child},
    {"queue-errors", queue_errors},
    {"own-first", own_first},
    {"autodisarm", autodisarm},
    {"stack-of-thread", stack_of_thread},
    {"timed-restart", timed_restart},
    {"sigpipe", broken_pipe},
    {"pending-in-child", pending_in_child},
    {"none-lost", none_lost},
    {"by-descriptor", by_descriptor},
};
TEST_MAIN(cases)
