/*
 * Conformance: execve. argv, envp, the auxiliary vector, what survives and what does not, errors.
 *
 * The program executes itself (/proc/self/exe or argv[0] is not relied upon: the path is found by AT_EXECFN) with the
 * name of a check as argv[1]; these are ordinary cases whose name starts with "child-" and which are not listed.
 */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/user/lib/test.h"

static char **arguments;
extern char **environ;

static const char *self(void) { return (const char *)getauxval(AT_EXECFN); }

struct image {
    const char *check;
    char *const *argv; /* NULL: {self, check} */
    char *const *envp; /* NULL: empty */
};

static void exec_self(void *argument) {
    const struct image *image = argument;
    char *no_environment[] = {NULL};
    char *argv[] = {(char *)(uintptr_t)self(), (char *)(uintptr_t)image->check, NULL};
    execve(self(), image->argv == NULL ? argv : image->argv, image->envp == NULL ? no_environment : image->envp);
    test_fail(__FILE__, __LINE__, "execve of %s failed", self());
}

static int run_self(const char *check) {
    struct image image = {.check = check};
    return test_run_child(exec_self, &image);
}

static void argv_envp(void) {
    char *argv[] = {"zero", "child-argv", "", "a b", "\xff\xfe", NULL};
    char *envp[] = {"A=1", "EMPTY=", "no-equals", NULL};
    struct image image = {.argv = argv, .envp = envp};
    CHECK_EXITED(test_run_child(exec_self, &image));
}

static void child_argv(void) {
    static const char *const expected[] = {"zero", "child-argv", "", "a b", "\xff\xfe"};
    for (int i = 0; i < 5; i++) {
        CHECK(strcmp(arguments[i], expected[i]) == 0);
    }
    CHECK(arguments[5] == NULL);
    CHECK(environ == arguments + 6);
    CHECK(strcmp(environ[0], "A=1") == 0 && strcmp(environ[1], "EMPTY=") == 0);
    CHECK(strcmp(environ[2], "no-equals") == 0 && environ[3] == NULL);
}

static void auxiliary_vector(void) {
    extern const Elf64_Ehdr __ehdr_start;
    CHECK_EQ(getauxval(AT_PAGESZ), TEST_PAGE);
    CHECK_EQ(getauxval(AT_PHENT), sizeof(Elf64_Phdr));
    CHECK_EQ(getauxval(AT_PHNUM), __ehdr_start.e_phnum);
    CHECK_EQ(getauxval(AT_PHDR), (uintptr_t)&__ehdr_start + __ehdr_start.e_phoff);
    CHECK_EQ(getauxval(AT_ENTRY), __ehdr_start.e_entry);
    CHECK_EQ(getauxval(AT_UID), getuid());
    CHECK_EQ(getauxval(AT_EUID), geteuid());
    CHECK_EQ(getauxval(AT_GID), getgid());
    CHECK_EQ(getauxval(AT_EGID), getegid());
    CHECK_EQ(getauxval(AT_SECURE), 0);
    CHECK_EQ(getauxval(AT_CLKTCK), 100);
    CHECK(getauxval(AT_RANDOM) != 0);
    CHECK(self() != NULL && access(self(), X_OK) == 0);
}

/* The kernel enters with rsp on 16 bytes, and AT_RANDOM differs between two executions. */
static void random_bytes(void) {
    int ends[2];
    uint8_t first[16], second[16];
    CHECK_OK(pipe(ends));
    CHECK_EQ(dup2(ends[1], 9), 9);
    CHECK_EXITED(run_self("child-random"));
    CHECK_EXITED(run_self("child-random"));
    CHECK_EQ(read(ends[0], first, 16), 16);
    CHECK_EQ(read(ends[0], second, 16), 16);
    CHECK(memcmp(first, second, 16) != 0);
}

static void child_random(void) { CHECK_EQ(write(9, (void *)getauxval(AT_RANDOM), 16), 16); }

static void close_on_exec(void) {
    int null = (int)CHECK_OK(open("/dev/null", O_RDWR));
    CHECK_EQ(dup2(null, 60), 60);
    CHECK_EQ(dup3(null, 61, O_CLOEXEC), 61);
    CHECK_EXITED(run_self("child-descriptors"));
    CHECK_EQ(fcntl(61, F_GETFD), FD_CLOEXEC); /* the child's table, not ours */
}

static void child_descriptors(void) {
    CHECK_EQ(fcntl(60, F_GETFD), 0);
    CHECK_ERRNO(fcntl(61, F_GETFD), EBADF);
}

static void nothing(int signal) { (void)signal; }

static void signals_reset(void) {
    sigset_t set;
    signal(SIGUSR1, nothing);
    signal(SIGUSR2, SIG_IGN);
    sigemptyset(&set);
    sigaddset(&set, SIGHUP);
    CHECK_OK(sigprocmask(SIG_BLOCK, &set, NULL));
    CHECK_EXITED(run_self("child-signals"));
}

static void child_signals(void) {
    struct sigaction action;
    sigset_t set;
    CHECK_OK(sigaction(SIGUSR1, NULL, &action));
    CHECK(action.sa_handler == SIG_DFL);
    CHECK_OK(sigaction(SIGUSR2, NULL, &action));
    CHECK(action.sa_handler == SIG_IGN);
    CHECK_OK(sigprocmask(SIG_BLOCK, NULL, &set));
    CHECK_EQ(sigismember(&set, SIGHUP), 1);
}

static int in_child_pid;

static void exec_keeping_pid(void *argument) {
    in_child_pid = getpid();
    CHECK_EQ(write(*(int *)argument, &in_child_pid, sizeof(int)), sizeof(int));
    struct image image = {.check = "child-pid"};
    exec_self(&image);
}

static void pid_is_kept(void) {
    int ends[2], before, after;
    CHECK_OK(pipe(ends));
    CHECK_EQ(dup2(ends[1], 9), 9);
    CHECK_EXITED(test_run_child(exec_keeping_pid, &ends[1]));
    CHECK_EQ(read(ends[0], &before, sizeof(before)), sizeof(before));
    CHECK_EQ(read(ends[0], &after, sizeof(after)), sizeof(after));
    CHECK_EQ(before, after);
}

static void child_pid(void) {
    int pid = getpid();
    CHECK_EQ(write(9, &pid, sizeof(pid)), sizeof(pid));
}

static void *wait_for_ever(void *argument) {
    for (;;) {
        pause();
    }
    return argument;
}

static void *exec_from_thread(void *argument) {
    exec_self(argument);
    return NULL;
}

static void exec_with_threads(void *argument) {
    pthread_t thread;
    CHECK_EQ(pthread_create(&thread, NULL, wait_for_ever, NULL), 0);
    CHECK_EQ(pthread_create(&thread, NULL, exec_from_thread, argument), 0);
    pthread_join(thread, NULL);
}

/* execve by a thread that is not the first: the others end, the process id stays. */
static void other_threads_end(void) {
    struct image image = {.check = "child-alone"};
    CHECK_EXITED(test_run_child(exec_with_threads, &image));
}

static void child_alone(void) { CHECK_EQ(gettid(), getpid()); }

/* The compiler must not know what is wrong with it. */
static __attribute__((noipa)) char **bad_pointer(uintptr_t address) { return (char **)address; }

static void refused(void) {
    char *argv[] = {"x", NULL};
    char *envp[] = {NULL};
    const char *path = test_path("exec");
    CHECK_OK(close(test_file(path, 1000)));
    CHECK_ERRNO(execve(path, argv, envp), EACCES);
    CHECK_OK(chmod(path, 0755));
    CHECK_ERRNO(execve(path, argv, envp), ENOEXEC);
    CHECK_OK(truncate(path, 0));
    CHECK_ERRNO(execve(path, argv, envp), ENOEXEC);
    CHECK_ERRNO(execve("/tmp/no-such", argv, envp), ENOENT);
    CHECK_ERRNO(execve("/tmp", argv, envp), EACCES);
    CHECK_ERRNO(execve("", argv, envp), ENOENT);
    CHECK_ERRNO(execve(self(), bad_pointer(8), envp), EFAULT);
    CHECK_ERRNO(execve(self(), argv, bad_pointer(0xffff800000000000)), EFAULT);
    CHECK_ERRNO(execve((char *)bad_pointer(8), argv, envp), EFAULT);
    char *bad[] = {"x", (char *)bad_pointer(8), NULL};
    CHECK_ERRNO(execve(self(), bad, envp), EFAULT);
    CHECK_OK(unlink(path));
}

static void at_no_link(void *unused) {
    char *argv[] = {(char *)(uintptr_t)self(), "child-pid", NULL}, *envp[] = {NULL};
    const char *link = test_path("exec-link");
    (void)unused;
    CHECK_OK(symlink(self(), link));
    CHECK_ERRNO(syscall(SYS_execveat, AT_FDCWD, link, argv, envp, AT_SYMLINK_NOFOLLOW), ELOOP);
    CHECK_ERRNO(syscall(SYS_execveat, AT_FDCWD, link, argv, envp, AT_SYMLINK_FOLLOW), EINVAL);
    CHECK_OK(unlink(link));
    argv[1] = "child-alone";
    syscall(SYS_execveat, AT_FDCWD, self(), argv, envp, AT_SYMLINK_NOFOLLOW);
    test_fail(__FILE__, __LINE__, "execveat of %s failed", self());
}

static void not_followed(void) { CHECK_EXITED(test_run_child(at_no_link, NULL)); }

/* One string over 128 KiB, and many strings over a quarter of the stack: E2BIG, and the caller goes on. */
static void too_big(void) {
    enum { STRINGS = 40000 };
    static char big[140000];
    static char *many[STRINGS + 1];
    char *envp[] = {NULL};
    memset(big, 'x', sizeof(big) - 1);
    char *one[] = {"x", big, NULL};
    CHECK_ERRNO(execve(self(), one, envp), E2BIG);
    big[100] = 0;
    for (int i = 0; i < STRINGS; i++) {
        many[i] = big; /* 101 bytes of string and 8 of pointer each: 4.4 MB */
    }
    CHECK_ERRNO(execve(self(), many, envp), E2BIG);
    char *large[2000 + 1];
    for (int i = 0; i < 2000; i++) {
        large[i] = i == 1 ? "child-count" : big;
    }
    large[2000] = NULL;
    struct image image = {.argv = large};
    CHECK_EXITED(test_run_child(exec_self, &image));
}

static void child_count(void) {
    int count = 0;
    while (arguments[count] != NULL) {
        count++;
    }
    CHECK_EQ(count, 2000);
    CHECK_EQ(strlen(arguments[1999]), 100);
}

/* --- A program that runs is not written, one that is written does not run ----------------------------------------- */

enum { LIFELINE = 9 };

/* A copy of this program, or another file that may be executed. */
static const char *make_program(const char *name, const char *text) {
    static uint8_t buffer[1 << 16];
    const char *path = test_path(name);
    ssize_t bytes;
    int to = (int)CHECK_OK(open(path, O_WRONLY | O_CREAT | O_EXCL, 0755));
    if (text != NULL) {
        CHECK_EQ(write(to, text, strlen(text)), strlen(text));
    } else {
        int from = (int)CHECK_OK(open(self(), O_RDONLY));
        while ((bytes = CHECK_OK(read(from, buffer, sizeof(buffer)))) > 0)
            CHECK_EQ(write(to, buffer, (size_t)bytes), bytes);
        CHECK_OK(close(from));
    }
    CHECK_OK(close(to));
    return path;
}

/* Says on the lifeline that it runs, and ends when the other end of it is closed. */
static void child_lives(void) {
    char byte;
    CHECK_EQ(write(LIFELINE, "x", 1), 1);
    CHECK_EQ(read(LIFELINE, &byte, 1), 0);
}

/* The same, and by the time it speaks the process that ran first is no more: its child runs. */
static void child_is_left(void) {
    if (CHECK_OK(fork()) == 0) {
        child_lives();
        _exit(0);
    }
}

static pid_t start(const char *path, const char *check, int *lifeline) {
    int ends[2];
    char byte, *argv[] = {(char *)(uintptr_t)path, (char *)(uintptr_t)check, NULL}, *envp[] = {NULL};
    CHECK_OK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends));
    pid_t pid = (pid_t)CHECK_OK(fork());
    if (pid == 0) {
        CHECK_OK(dup2(ends[1], LIFELINE));
        CHECK_OK(execve(path, argv, envp));
    }
    CHECK_OK(close(ends[1]));
    CHECK_EQ(read(ends[0], &byte, 1), 1);
    *lifeline = ends[0];
    return pid;
}

static void check_busy(const char *path) {
    CHECK_ERRNO(open(path, O_WRONLY), ETXTBSY);
    CHECK_ERRNO(open(path, O_RDWR), ETXTBSY);
    CHECK_ERRNO(open(path, O_RDONLY | O_TRUNC), ETXTBSY);
    CHECK_ERRNO(open(path, O_WRONLY | O_TRUNC | O_CREAT, 0600), ETXTBSY);
    CHECK_ERRNO(truncate(path, 0), ETXTBSY);
    CHECK_OK(close((int)CHECK_OK(open(path, O_RDONLY))));
    CHECK_OK(close((int)CHECK_OK(open(path, O_PATH))));
}

static void running_is_not_written(void) {
    struct stat before, after;
    const char *path = make_program("running", NULL), *moved = test_path("moved");
    int lifeline;
    CHECK_OK(stat(path, &before));
    pid_t pid = start(path, "child-lives", &lifeline);
    check_busy(path);
    CHECK_OK(chmod(path, 0700));
    CHECK_OK(rename(path, moved));
    check_busy(moved);
    CHECK_OK(close(lifeline));
    CHECK_EXITED(test_wait(pid));
    CHECK_OK(stat(moved, &after));
    CHECK_EQ(after.st_size, before.st_size);
    CHECK_OK(truncate(moved, 0));
    CHECK_OK(close((int)CHECK_OK(open(moved, O_RDWR))));
    CHECK_OK(unlink(moved));
}

static void nor_in_a_child(void) {
    const char *path = make_program("running-on", NULL);
    int lifeline;
    char byte;
    pid_t pid = start(path, "child-is-left", &lifeline);
    CHECK_EXITED(test_wait(pid));
    check_busy(path);
    CHECK_OK(shutdown(lifeline, SHUT_WR));
    CHECK_EQ(read(lifeline, &byte, 1), 0); /* it has ended, or nearly */
    int fd;
    while ((fd = open(path, O_WRONLY)) < 0 && errno == ETXTBSY)
        test_sleep_ms(1);
    CHECK_OK(fd);
    CHECK_OK(close(fd));
    CHECK_OK(close(lifeline));
    CHECK_OK(unlink(path));
}

static void run_written(void *argument) {
    const char *path = argument;
    char *argv[] = {argument, "child-nothing", NULL}, *envp[] = {NULL};
    int fd = (int)CHECK_OK(open(path, O_WRONLY));
    CHECK_ERRNO(execve(path, argv, envp), ETXTBSY);
    int other = (int)CHECK_OK(open(path, O_RDWR));
    CHECK_OK(close(fd));
    CHECK_ERRNO(execve(path, argv, envp), ETXTBSY);
    CHECK_ERRNO(syscall(SYS_execveat, other, "", argv, envp, AT_EMPTY_PATH), ETXTBSY);
    CHECK_OK(close(other));
    CHECK_OK(execve(path, argv, envp));
}

static void written_is_not_run(void) {
    const char *path = make_program("written", NULL);
    CHECK_EXITED(test_run_child(run_written, (void *)(uintptr_t)path));
    CHECK_OK(unlink(path));
}

static void child_nothing(void) {}

/* A script is busy until its interpreter has been found, and that as long as it runs. */
static void scripts(void) {
    char text[128], *argv[] = {"script", NULL}, *envp[] = {NULL};
    const char *interpreter = make_program("interpreter", NULL);
    snprintf(text, sizeof(text), "#!%s child-lives\n", interpreter);
    const char *script = make_program("script", text);
    int fd = (int)CHECK_OK(open(script, O_WRONLY)), lifeline;
    CHECK_ERRNO(execve(script, argv, envp), ETXTBSY);
    CHECK_OK(close(fd));
    fd = (int)CHECK_OK(open(interpreter, O_WRONLY));
    CHECK_ERRNO(execve(script, argv, envp), ETXTBSY);
    CHECK_OK(close(fd));
    pid_t pid = start(script, NULL, &lifeline);
    CHECK_OK(close((int)CHECK_OK(open(script, O_WRONLY | O_TRUNC))));
    check_busy(interpreter);
    CHECK_OK(close(lifeline));
    CHECK_EXITED(test_wait(pid));
    CHECK_OK(unlink(script));
    CHECK_OK(unlink(interpreter));
}

static const struct test_case cases[] = {
    {"argv-envp", argv_envp},
    {"auxv", auxiliary_vector},
    {"auxv-random", random_bytes},
    {"close-on-exec", close_on_exec},
    {"signals-reset", signals_reset},
    {"pid-kept", pid_is_kept},
    {"other-threads-end", other_threads_end},
    {"refused", refused},
    {"too-big", too_big},
    {"not-followed", not_followed},
    {"running-is-not-written", running_is_not_written},
    {"nor-in-a-child", nor_in_a_child},
    {"written-is-not-run", written_is_not_run},
    {"scripts", scripts},
};

static const struct test_case child_cases[] = {
    {"child-argv", child_argv},       {"child-random", child_random}, {"child-descriptors", child_descriptors},
    {"child-signals", child_signals}, {"child-pid", child_pid},       {"child-alone", child_alone},
    {"child-count", child_count},     {"child-lives", child_lives},   {"child-is-left", child_is_left},
    {"child-nothing", child_nothing},
};

int main(int argc, char **argv) {
    arguments = argv;
    if (argc > 1 && strncmp(argv[1], "child-", 6) == 0) {
        return test_main(2, argv, child_cases, sizeof(child_cases) / sizeof(child_cases[0]));
    }
    return test_main(argc, argv, cases, sizeof(cases) / sizeof(cases[0]));
}
