/* Conformance: stopping and continuing processes, what their parents hear of it, orphaned groups. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/select.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/user/lib/test.h"

static volatile int count;
static volatile siginfo_t seen;

static void note_info(int signal, siginfo_t *info, void *context) {
    (void)signal;
    (void)context;
    seen = *info;
    count++;
}

static void install(int signal, int flags) {
    struct sigaction action = {.sa_sigaction = note_info, .sa_flags = flags | SA_SIGINFO};
    CHECK_OK(sigaction(signal, &action, NULL));
}

static void spin_for_ever(void) {
    for (;;)
        __asm__ volatile("pause");
}

/* A child that runs `body` for ever. */
static pid_t start(void (*body)(void)) {
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        body();
        _exit(0);
    }
    return pid;
}

static void sleep_for_ever(void) {
    for (;;)
        pause();
}

static void end(pid_t pid) {
    CHECK_OK(kill(pid, SIGKILL));
    CHECK_SIGNALED(test_wait(pid), SIGKILL);
}

static void expect_stop(pid_t pid, int signal) {
    int status;
    CHECK_EQ(CHECK_OK(waitpid(pid, &status, WUNTRACED)), pid);
    CHECK(WIFSTOPPED(status));
    CHECK_EQ(WSTOPSIG(status), signal);
}

static void expect_continued(pid_t pid) {
    int status;
    CHECK_EQ(CHECK_OK(waitpid(pid, &status, WCONTINUED)), pid);
    CHECK(WIFCONTINUED(status));
    CHECK_EQ(status, 0xffff);
}

static void expect_nothing(pid_t pid) {
    int status;
    CHECK_EQ(CHECK_OK(waitpid(pid, &status, WNOHANG | WUNTRACED | WCONTINUED)), 0);
}

/* Its children are then of a group whose parent is in another of the session: not orphaned. */
static pid_t start_job(void (*body)(void)) {
    pid_t pid = start(body);
    CHECK_OK(setpgid(pid, pid));
    return pid;
}

static void stop_and_continue(void) {
    static const int signals[] = {SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU};
    for (int i = 0; i < 4; i++) {
        pid_t pid = start_job(i & 1 ? sleep_for_ever : spin_for_ever);
        expect_nothing(pid);
        CHECK_OK(kill(pid, signals[i]));
        expect_stop(pid, signals[i]);
        expect_nothing(pid); /* it is told once */
        CHECK_OK(kill(pid, signals[i]));
        expect_nothing(pid); /* stopped already */
        CHECK_OK(kill(pid, SIGCONT));
        expect_continued(pid);
        expect_nothing(pid);
        CHECK_OK(kill(pid, SIGCONT));
        expect_nothing(pid);
        CHECK_OK(kill(pid, SIGSTOP));
        expect_stop(pid, SIGSTOP);
        end(pid); /* a stopped one is killed */
    }
}

static void pending_while_stopped(void) {
    pid_t pid = start_job(sleep_for_ever);
    CHECK_OK(kill(pid, SIGSTOP));
    expect_stop(pid, SIGSTOP);
    CHECK_OK(kill(pid, SIGTERM)); /* waits until it is continued */
    test_sleep_ms(20);
    expect_nothing(pid);
    CHECK_OK(kill(pid, SIGCONT));
    CHECK_SIGNALED(test_wait(pid), SIGTERM);
}

static void not_told(void) {
    int status;
    pid_t pid = start_job(sleep_for_ever);
    CHECK_OK(kill(pid, SIGSTOP));
    test_sleep_ms(20);
    CHECK_EQ(CHECK_OK(waitpid(pid, &status, WNOHANG)), 0); /* who does not ask for stops */
    CHECK_EQ(CHECK_OK(waitpid(pid, &status, WNOHANG | WCONTINUED)), 0);
    expect_stop(pid, SIGSTOP);
    end(pid);
    CHECK_ERRNO(waitpid(pid, &status, WUNTRACED), ECHILD);
}

static void expect_info(idtype_t type, pid_t id, int options, int code, int status) {
    siginfo_t info = {0};
    CHECK_OK(waitid(type, (id_t)id, &info, options));
    CHECK_EQ(info.si_signo, SIGCHLD);
    CHECK_EQ(info.si_code, code);
    CHECK_EQ(info.si_pid, id);
    CHECK_EQ(info.si_uid, getuid());
    CHECK_EQ(info.si_status, status);
}

static void by_waitid(void) {
    siginfo_t info;
    pid_t pid = start_job(sleep_for_ever);
    CHECK_OK(kill(pid, SIGSTOP));
    expect_info(P_PID, pid, WSTOPPED | WNOWAIT, CLD_STOPPED, SIGSTOP); /* and is left for … */
    expect_info(P_PGID, pid, WSTOPPED, CLD_STOPPED, SIGSTOP);          /* … another */
    memset(&info, 0xff, sizeof(info));
    CHECK_OK(waitid(P_PID, (id_t)pid, &info, WSTOPPED | WEXITED | WNOHANG));
    CHECK_EQ(info.si_pid, 0);
    CHECK_OK(kill(pid, SIGCONT));
    expect_info(P_PID, pid, WCONTINUED | WNOWAIT, CLD_CONTINUED, SIGCONT);
    expect_info(P_PID, pid, WCONTINUED, CLD_CONTINUED, SIGCONT);
    CHECK_OK(kill(pid, SIGKILL));
    expect_info(P_PID, pid, WEXITED | WNOWAIT, CLD_KILLED, SIGKILL);
    expect_info(P_PID, pid, WEXITED, CLD_KILLED, SIGKILL);
    CHECK_ERRNO(waitid(P_PID, (id_t)pid, &info, WEXITED), ECHILD);
    CHECK_ERRNO(waitid(P_PID, (id_t)pid, &info, WNOHANG), EINVAL);
    CHECK_ERRNO(waitid(P_PID, (id_t)pid, &info, WEXITED | 0x100), EINVAL);
    CHECK_ERRNO(waitid((idtype_t)9, (id_t)pid, &info, WEXITED), EINVAL);
}

static void wait_for_count(int wanted) {
    for (int i = 0; i < 2000 && count < wanted; i++)
        test_sleep_ms(1);
    CHECK_EQ(count, wanted);
}

static void child_signals(void) {
    install(SIGCHLD, SA_RESTART);
    pid_t pid = start_job(sleep_for_ever);
    CHECK_OK(kill(pid, SIGTSTP));
    wait_for_count(1);
    CHECK_EQ(seen.si_code, CLD_STOPPED);
    CHECK_EQ(seen.si_status, SIGTSTP);
    CHECK_EQ(seen.si_pid, pid);
    CHECK_OK(kill(pid, SIGCONT));
    wait_for_count(2);
    CHECK_EQ(seen.si_code, CLD_CONTINUED);
    CHECK_EQ(seen.si_status, SIGCONT);
    install(SIGCHLD, SA_RESTART | SA_NOCLDSTOP);
    CHECK_OK(kill(pid, SIGSTOP));
    expect_stop(pid, SIGSTOP); /* wait hears of it, */
    CHECK_OK(kill(pid, SIGCONT));
    expect_continued(pid);
    CHECK_EQ(count, 2); /* no signal tells */
    end(pid);
    wait_for_count(3);
    CHECK_EQ(seen.si_code, CLD_KILLED);
}

static void no_zombies(void) {
    int status;
    install(SIGCHLD, SA_NOCLDWAIT | SA_RESTART);
    pid_t pid = fork();
    if (pid == 0)
        _exit(3);
    while (wait(&status) >= 0 || errno == EINTR) {
    }
    CHECK_EQ(errno, ECHILD);
    CHECK_EQ(count, 1); /* the signal comes nevertheless */
}

/* What cancels what while it is pending. */
static void cancelling(void) {
    sigset_t set, pending;
    sigemptyset(&set);
    sigaddset(&set, SIGTSTP);
    sigaddset(&set, SIGCONT);
    CHECK_OK(sigprocmask(SIG_BLOCK, &set, NULL));
    install(SIGTSTP, 0);
    install(SIGCONT, 0);
    CHECK_OK(raise(SIGTSTP));
    CHECK_OK(kill(getpid(), SIGTSTP));
    CHECK_OK(raise(SIGCONT));
    CHECK_OK(sigpending(&pending));
    CHECK_EQ(sigismember(&pending, SIGTSTP), 0);
    CHECK_EQ(sigismember(&pending, SIGCONT), 1);
    CHECK_OK(kill(getpid(), SIGTSTP));
    CHECK_OK(sigpending(&pending));
    CHECK_EQ(sigismember(&pending, SIGTSTP), 1);
    CHECK_EQ(sigismember(&pending, SIGCONT), 0);
    CHECK_OK(sigprocmask(SIG_UNBLOCK, &set, NULL));
    CHECK_EQ(count, 1); /* a handler instead of a stop */
    CHECK_EQ(seen.si_signo, SIGTSTP);
}

static int ends[2];

static void *write_bytes(void *argument) {
    const char letter = *(const char *)argument;
    for (;;) {
        CHECK_EQ(write(ends[1], &letter, 1), 1);
        test_sleep_ms(1);
    }
    return NULL;
}

static void count_in_threads(void) {
    static char letters[] = "abc";
    pthread_t thread;
    for (int i = 0; i < 2; i++)
        CHECK_EQ(pthread_create(&thread, NULL, write_bytes, letters + i), 0);
    write_bytes(letters + 2);
}

static int drain(void) {
    char bytes[4096];
    ssize_t got, all = 0;
    while ((got = read(ends[0], bytes, sizeof(bytes))) > 0)
        all += got;
    return (int)all;
}

/* Whether something comes, however busy the machine is. */
static bool comes(void) {
    for (int i = 0; i < 1000; i++) {
        test_sleep_ms(5);
        if (drain() > 0)
            return true;
    }
    return false;
}

static void all_threads(void) {
    CHECK_OK(pipe2(ends, O_NONBLOCK));
    pid_t pid = start_job(count_in_threads);
    for (int i = 0; i < 5; i++) {
        CHECK(comes());
        CHECK_OK(kill(pid, SIGSTOP));
        expect_stop(pid, SIGSTOP);
        drain();
        test_sleep_ms(10);
        CHECK_EQ(drain(), 0); /* none of them runs */
        CHECK_OK(kill(pid, SIGCONT));
        expect_continued(pid);
    }
    CHECK_OK(kill(pid, SIGSTOP));
    expect_stop(pid, SIGSTOP);
    end(pid);
}

/* Sleeps 60 ms, says by its status whether that was not cut short by a stop, nor begun anew. */
static void timed_sleep(void) {
    struct timespec time = {.tv_nsec = 150000000}, left;
    uint64_t begun = test_now_ns();
    if (nanosleep(&time, &left) != 0)
        _exit(2);
    uint64_t took = (test_now_ns() - begun) / 1000000;
    _exit(took < 150 ? 3 : took > 100000 ? 4 : 0);
}

static void timed_poll(void) {
    uint64_t begun = test_now_ns();
    if (poll(NULL, 0, 150) != 0)
        _exit(2);
    uint64_t took = (test_now_ns() - begun) / 1000000;
    _exit(took < 150 ? 3 : took > 100000 ? 4 : 0);
}

static void timed_futex(void) {
    int word = 0;
    struct timespec time = {.tv_nsec = 150000000};
    uint64_t begun = test_now_ns();
    if (syscall(SYS_futex, &word, 0, 0, &time, NULL, 0) != -1 || errno != ETIMEDOUT)
        _exit(2);
    uint64_t took = (test_now_ns() - begun) / 1000000;
    _exit(took < 150 ? 3 : took > 100000 ? 4 : 0);
}

static void timed_select(void) {
    struct timeval time = {.tv_usec = 150000};
    uint64_t begun = test_now_ns();
    if (select(0, NULL, NULL, NULL, &time) != 0)
        _exit(2);
    uint64_t took = (test_now_ns() - begun) / 1000000;
    _exit(took < 149 ? 3 : took > 100000 ? 4 : 0);
}

/* A stop is not seen by a call that waits; the time goes on meanwhile. */
static void timed_calls(void) {
    void (*const bodies[])(void) = {timed_sleep, timed_poll, timed_futex, timed_select};
    for (int i = 0; i < 4; i++) {
        uint64_t begun = test_now_ns();
        pid_t pid = start_job(bodies[i]);
        for (int j = 0; j < 3; j++) {
            test_sleep_ms(20);
            CHECK_OK(kill(pid, SIGSTOP));
            expect_stop(pid, SIGSTOP);
            CHECK_OK(kill(pid, SIGCONT));
        }
        int status = test_wait(pid);
        CHECK_EXITED(status);
        CHECK((test_now_ns() - begun) / 1000000 < 10000);
    }
}

static void wait_on_pipe(void) {
    char byte;
    CHECK_OK(fcntl(ends[0], F_SETFL, 0));
    _exit(read(ends[0], &byte, 1) == 1 ? 0 : 5);
}

static void blocked_calls(void) {
    CHECK_OK(pipe(ends));
    pid_t pid = start_job(wait_on_pipe);
    for (int i = 0; i < 3; i++) {
        test_sleep_ms(5);
        CHECK_OK(kill(pid, SIGTSTP));
        expect_stop(pid, SIGTSTP);
        CHECK_OK(kill(pid, SIGCONT));
        expect_continued(pid);
    }
    CHECK_EQ(write(ends[1], "x", 1), 1);
    CHECK_EXITED(test_wait(pid)); /* the read has gone on */
}

/* --- Groups ------------------------------------------------------------------------------------------------------- */

static void stop_groups(void) {
    pid_t first = start_job(sleep_for_ever), second = start(spin_for_ever);
    CHECK_OK(setpgid(second, first));
    CHECK_OK(kill(-first, SIGSTOP));
    int status;
    pid_t one = (pid_t)CHECK_OK(waitpid(-first, &status, WUNTRACED));
    CHECK(WIFSTOPPED(status));
    pid_t other = (pid_t)CHECK_OK(waitpid(-first, &status, WUNTRACED));
    CHECK_EQ(one + other, first + second);
    CHECK_OK(kill(-first, SIGKILL));
    CHECK_SIGNALED(test_wait(first), SIGKILL);
    CHECK_SIGNALED(test_wait(second), SIGKILL);
}

/* In a session of one group nobody would continue it. */
static void session_of_one(void) {
    CHECK_OK(setsid());
    CHECK_OK(raise(SIGTSTP));
    CHECK_OK(raise(SIGTTIN));
    CHECK_OK(raise(SIGTTOU));
    _exit(7);
}

static void orphans_do_not_stop(void) { CHECK_EXITED_WITH(test_wait(start(session_of_one)), 7); }

static void tell_end(int signal) {
    const char byte = (char)signal;
    (void)!write(ends[1], &byte, 1);
    count++;
}

static void tell_both(void) {
    struct sigaction action = {.sa_handler = tell_end};
    sigaction(SIGHUP, &action, NULL);
    sigaction(SIGCONT, &action, NULL);
    tell_end('r');
    while (count < 3)
        test_sleep_ms(1);
}

/* A job of its own, whose parent ends while it is stopped. */
static void leave_stopped_job(void) {
    CHECK_OK(setsid());
    pid_t pid = start_job(tell_both);
    char byte;
    CHECK_EQ(read(ends[0], &byte, 1), 1);
    CHECK_OK(kill(pid, SIGSTOP));
    expect_stop(pid, SIGSTOP);
}

static void orphaned_when_stopped(void) {
    char bytes[2] = "";
    CHECK_OK(pipe(ends));
    CHECK_EXITED(test_wait(start(leave_stopped_job)));
    CHECK_EQ(read(ends[0], bytes, 1), 1);
    CHECK_EQ(read(ends[0], bytes + 1, 1), 1);
    CHECK_EQ(bytes[0] + bytes[1], SIGHUP + SIGCONT);
    CHECK_OK(close(ends[1]));
    CHECK_EQ(read(ends[0], bytes, 1), 0); /* and it has ended */
}

/* --- Storms ------------------------------------------------------------------------------------------------------- */

static void stop_storm(void) {
    CHECK_OK(pipe2(ends, O_NONBLOCK));
    pid_t pid = start_job(count_in_threads);
    for (int i = 0; i < 300; i++) {
        CHECK_OK(kill(pid, i & 1 ? SIGSTOP : SIGTSTP));
        if (i % 3 == 0)
            expect_stop(pid, i & 1 ? SIGSTOP : SIGTSTP);
        CHECK_OK(kill(pid, SIGCONT));
        if (i % 16 == 0)
            drain();
    }
    int status;
    while (waitpid(pid, &status, WNOHANG | WUNTRACED | WCONTINUED) > 0) {
    }
    drain();
    CHECK(comes()); /* it runs after all of it */
    end(pid);
}

static const struct test_case cases[] = {
    {"stop-continue", stop_and_continue},
    {"pending-while-stopped", pending_while_stopped},
    {"not-told", not_told},
    {"waitid", by_waitid},
    {"sigchld", child_signals},
    {"nocldwait", no_zombies},
    {"cancelling", cancelling},
    {"threads", all_threads},
    {"timed-calls", timed_calls},
    {"blocked-calls", blocked_calls},
    {"groups", stop_groups},
    {"orphans", orphans_do_not_stop},
    {"orphaned-when-stopped", orphaned_when_stopped},
    {"storm", stop_storm},
};
TEST_MAIN(cases)
