/*
 * The harness of the user-space tests. See test.h.
 *
 * It uses little of the kernel on purpose (write, fork, wait4, exit), so that a test of one thing fails by that thing.
 */
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "penumbra.h"

void test_fail(const char *file, int line, const char *format, ...) {
    char text[400];
    int error = errno;
    const char *base = strrchr(file, '/');
    int used = snprintf(text, sizeof(text), "%s:%d: ", base == NULL ? file : base + 1, line);

    va_list arguments;
    va_start(arguments, format);
    used += vsnprintf(text + used, sizeof(text) - (size_t)used, format, arguments);
    va_end(arguments);
    if (used < (int)sizeof(text)) {
        used += snprintf(text + used, sizeof(text) - (size_t)used, " (errno %d)\n", error);
    }
    fflush(stdout);
    size_t length = used < (int)sizeof(text) ? (size_t)used : sizeof(text) - 1;
    if (write(STDERR_FILENO, text, length) < 0) {
        _exit(TEST_FAILED);
    }
    _exit(TEST_FAILED);
}

void test_skip(const char *reason) {
    fflush(stdout);
    dprintf(STDERR_FILENO, "skipped: %s\n", reason);
    _exit(TEST_SKIPPED);
}

void test_needs_penumbra(void) {
    if (!on_penumbra()) {
        test_skip("needs Penumbra");
    }
}

int test_wait(pid_t pid) {
    int status = 0;
    for (;;) {
        pid_t reaped = waitpid(pid, &status, 0);
        if (reaped == pid) {
            return status;
        }
        if (reaped >= 0 || errno != EINTR) {
            test_fail(__FILE__, __LINE__, "waitpid(%d) returned %d", (int)pid, (int)reaped);
        }
    }
}

static pid_t start_child(void (*body)(void *), void *argument) {
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        body(argument);
        fflush(stdout);
        _exit(TEST_PASSED);
    }
    if (pid < 0) {
        test_fail(__FILE__, __LINE__, "fork failed");
    }
    return pid;
}

int test_run_child(void (*body)(void *), void *argument) { return test_wait(start_child(body, argument)); }

int test_run_child_within(void (*body)(void *), void *argument, int limit_ms, bool *timed_out) {
    pid_t pid = start_child(body, argument);
    uint64_t deadline = test_now_ns() + (uint64_t)limit_ms * 1000000;
    int status = 0;

    *timed_out = false;
    while (waitpid(pid, &status, WNOHANG) != pid) {
        if (test_now_ns() > deadline) {
            *timed_out = true;
            kill(pid, SIGKILL);
            return test_wait(pid);
        }
        test_sleep_ms(1);
    }
    return status;
}

const char *test_path(const char *name) {
    static char paths[8][80];
    static unsigned next;
    char *path = paths[next++ % 8];

    snprintf(path, sizeof(paths[0]), "/tmp/test-%s", name);
    if (unlink(path) < 0 && (errno == EISDIR || errno == EPERM)) {
        rmdir(path);
    }
    return path;
}

uint8_t test_byte(size_t index) { return (uint8_t)(index * 31 + index / TEST_PAGE * 7 + 5); }

int test_file(const char *path, size_t size) {
    uint8_t block[TEST_PAGE];
    int fd = (int)CHECK_OK(open(path, O_RDWR | O_CREAT | O_TRUNC, 0600));

    for (size_t done = 0; done < size;) {
        size_t part = size - done < sizeof(block) ? size - done : sizeof(block);
        for (size_t i = 0; i < part; i++) {
            block[i] = test_byte(done + i);
        }
        CHECK_EQ(write(fd, block, part), part);
        done += part;
    }
    CHECK_EQ(lseek(fd, 0, SEEK_SET), 0);
    return fd;
}

void test_sleep_ms(int ms) {
    struct timespec left = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};
    while (nanosleep(&left, &left) < 0 && errno == EINTR) {
    }
}

uint64_t test_now_ns(void) {
    struct timespec now = {0};
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

void test_check_errno(const char *file, int line, const char *call, long result, int error) {
    if (result != -1 || errno != error) {
        test_fail(file, line, "%s gave %ld, want -1 with errno %d", call, result, error);
    }
}

long test_check_ok(const char *file, int line, const char *call, long result) {
    if (result == -1) {
        test_fail(file, line, "%s failed", call);
    }
    return result;
}

void test_check_exited(const char *file, int line, int status, int code) {
    if (!WIFEXITED(status)) {
        test_fail(file, line, "child ended by signal %d, want exit %d", WTERMSIG(status), code);
    }
    if (WEXITSTATUS(status) != code) {
        test_fail(file, line, "child exited with %d, want %d", WEXITSTATUS(status), code);
    }
}

void test_check_signaled(const char *file, int line, int status, int signal) {
    if (!WIFSIGNALED(status)) {
        test_fail(file, line, "child exited with %d, want signal %d", WEXITSTATUS(status), signal);
    }
    if (WTERMSIG(status) != signal) {
        test_fail(file, line, "child ended by signal %d, want %d", WTERMSIG(status), signal);
    }
}

static void run_case(void *argument) {
    const struct test_case *test = argument;
    test->run();
}

static int run_all(const struct test_case *cases, size_t count) {
    int failed = 0;
    for (size_t i = 0; i < count; i++) {
        int status = test_run_child(run_case, (void *)(uintptr_t)&cases[i]);
        bool skipped = WIFEXITED(status) && WEXITSTATUS(status) == TEST_SKIPPED;
        bool passed = WIFEXITED(status) && WEXITSTATUS(status) == TEST_PASSED;
        printf("%s %s\n", passed ? "ok" : skipped ? "skip" : "FAIL", cases[i].name);
        failed += !passed && !skipped;
    }
    return failed == 0 ? TEST_PASSED : TEST_FAILED;
}

int test_main(int argc, char **argv, const struct test_case *cases, size_t count) {
    if (argc < 2) {
        return run_all(cases, count);
    }
    for (size_t i = 0; i < count; i++) {
        if (strcmp(argv[1], "--list") == 0) {
            printf("%s\n", cases[i].name);
        } else if (strcmp(argv[1], cases[i].name) == 0) {
            cases[i].run();
            fflush(stdout);
            return TEST_PASSED;
        }
    }
    return strcmp(argv[1], "--list") == 0 ? TEST_PASSED : TEST_FAILED;
}
