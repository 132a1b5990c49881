/* Conformance: pipes. End of file, EPIPE and SIGPIPE, non-blocking, blocking, full, atomic writes, many writers. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/user/lib/penumbra.h"
#include "tests/user/lib/test.h"

enum { CAPACITY = 65536 };

static int ends[2];

static void open_pipe(int flags) { CHECK_OK(pipe2(ends, flags)); }

static void reads_and_writes(void) {
    char data[100] = "";
    open_pipe(0);
    CHECK_EQ(write(ends[1], "hello", 5), 5);
    CHECK_EQ(write(ends[1], "world", 5), 5);
    CHECK_EQ(read(ends[0], data, 3), 3);
    CHECK_EQ(read(ends[0], data + 3, 100 - 3), 7); /* what is there, over message borders */
    CHECK(strcmp(data, "helloworld") == 0);
    CHECK_EQ(write(ends[1], "", 0), 0);
    CHECK_ERRNO(read(ends[1], data, 1), EBADF);
    CHECK_ERRNO(write(ends[0], data, 1), EBADF);
    struct stat status;
    CHECK_OK(fstat(ends[0], &status));
    CHECK(S_ISFIFO(status.st_mode));
    int waiting = 0;
    CHECK_EQ(write(ends[1], "abc", 3), 3);
    CHECK_OK(ioctl(ends[0], FIONREAD, &waiting));
    CHECK_EQ(waiting, 3);
}

static void end_of_file(void) {
    char byte;
    open_pipe(0);
    int second_writer = (int)CHECK_OK(dup(ends[1]));
    CHECK_EQ(write(ends[1], "x", 1), 1);
    CHECK_OK(close(ends[1]));
    CHECK_EQ(read(ends[0], &byte, 1), 1);
    CHECK_OK(fcntl(ends[0], F_SETFL, O_NONBLOCK));
    CHECK_ERRNO(read(ends[0], &byte, 1), EAGAIN); /* there is a writer yet */
    CHECK_OK(close(second_writer));
    CHECK_EQ(read(ends[0], &byte, 1), 0);
    CHECK_EQ(read(ends[0], &byte, 1), 0);
}

static void write_without_reader(void *argument) {
    (void)argument;
    open_pipe(0);
    CHECK_OK(close(ends[0]));
    (void)!write(ends[1], "x", 1);
    test_fail(__FILE__, __LINE__, "survived SIGPIPE");
}

static void no_reader(void) {
    CHECK_SIGNALED(test_run_child(write_without_reader, NULL), SIGPIPE);
    signal(SIGPIPE, SIG_IGN);
    open_pipe(0);
    CHECK_EQ(write(ends[1], "x", 1), 1);
    CHECK_OK(close(ends[0]));
    CHECK_ERRNO(write(ends[1], "x", 1), EPIPE);
    CHECK_OK(close(ends[1])); /* with data in it that nobody will read */
}

static void non_blocking(void) {
    static char data[CAPACITY + 5000];
    open_pipe(O_NONBLOCK | O_CLOEXEC);
    CHECK_EQ(fcntl(ends[0], F_GETFD), FD_CLOEXEC);
    CHECK_ERRNO(read(ends[0], data, 1), EAGAIN);
    CHECK_EQ(write(ends[1], data, sizeof(data)), CAPACITY); /* as much as fits */
    CHECK_ERRNO(write(ends[1], data, 1), EAGAIN);
    CHECK_EQ(read(ends[0], data, 100), 100);
    CHECK_ERRNO(write(ends[1], data, PIPE_BUF), EAGAIN); /* up to PIPE_BUF all or nothing */
    CHECK_EQ(read(ends[0], data, 2 * PIPE_BUF), 2 * PIPE_BUF);
    CHECK_EQ(write(ends[1], data, PIPE_BUF), PIPE_BUF);
    size_t left = 0;
    ssize_t got;
    while ((got = read(ends[0], data, sizeof(data))) > 0) {
        left += (size_t)got;
    }
    CHECK_EQ(left, CAPACITY - 100 - PIPE_BUF);
    CHECK_ERRNO(pipe2(ends, 0x12345), EINVAL);
}

/* A megabyte through a pipe of 64 KiB: the writer blocks and goes on, nothing is lost or turned round. */
static void blocking_transfer(void) {
    enum { TOTAL = 1 << 20, PART = 7001 };
    static uint8_t data[TOTAL];
    open_pipe(0);
    pid_t pid = fork();
    if (pid == 0) {
        CHECK_OK(close(ends[0]));
        for (size_t i = 0; i < TOTAL; i++) {
            data[i] = test_byte(i);
        }
        CHECK_EQ(write(ends[1], data, TOTAL), TOTAL);
        _exit(0);
    }
    CHECK_OK(close(ends[1]));
    size_t total = 0;
    ssize_t got;
    while ((got = read(ends[0], data + total, PART)) > 0) {
        total += (size_t)got;
    }
    CHECK_EQ(got, 0);
    CHECK_EQ(total, TOTAL);
    for (size_t i = 0; i < TOTAL; i++) {
        CHECK_EQ(data[i], test_byte(i));
    }
    CHECK_EXITED(test_wait(pid));
}

/* Writes of PIPE_BUF by several writers do not mix; the audit is clean with them in flight. */
static void atomic_writes(void) {
    enum { WRITERS = 4, ROUNDS = 50 };
    static char block[PIPE_BUF];
    int seen[WRITERS] = {0};
    pid_t pids[WRITERS];
    open_pipe(0);
    for (int writer = 0; writer < WRITERS; writer++) {
        pids[writer] = fork();
        if (pids[writer] == 0) {
            CHECK_OK(close(ends[0]));
            memset(block, 'a' + writer, sizeof(block));
            for (int round = 0; round < ROUNDS; round++) {
                CHECK_EQ(write(ends[1], block, sizeof(block)), sizeof(block));
            }
            _exit(0);
        }
    }
    CHECK_OK(close(ends[1]));
    test_sleep_ms(20);
    if (on_penumbra()) {
        struct asi_audit_report report = penumbra_audit(ASI_BREAK_NOTHING);
        if (penumbra_violations(&report) != 0) {
            test_fail(__FILE__, __LINE__, "audit with data in flight: %s", report.first);
        }
    }
    for (int i = 0; i < WRITERS * ROUNDS; i++) {
        for (size_t filled = 0; filled < sizeof(block);) {
            ssize_t got = read(ends[0], block + filled, sizeof(block) - filled);
            CHECK(got > 0);
            filled += (size_t)got;
        }
        for (size_t j = 1; j < sizeof(block); j++) {
            CHECK_EQ(block[j], block[0]);
        }
        CHECK(block[0] >= 'a' && block[0] < 'a' + WRITERS);
        seen[block[0] - 'a']++;
    }
    CHECK_EQ(read(ends[0], block, 1), 0);
    for (int writer = 0; writer < WRITERS; writer++) {
        CHECK_EQ(seen[writer], ROUNDS);
        CHECK_EXITED(test_wait(pids[writer]));
    }
}

static void ping_pong(void) {
    int there[2], back[2], value;
    CHECK_OK(pipe(there));
    CHECK_OK(pipe(back));
    pid_t pid = fork();
    if (pid == 0) {
        CHECK_OK(close(there[1]));
        while (read(there[0], &value, sizeof(value)) == sizeof(value)) {
            value++;
            CHECK_EQ(write(back[1], &value, sizeof(value)), sizeof(value));
        }
        _exit(0);
    }
    for (int i = 0; i < 500; i++) {
        CHECK_EQ(write(there[1], &i, sizeof(i)), sizeof(i));
        CHECK_EQ(read(back[0], &value, sizeof(value)), sizeof(value));
        CHECK_EQ(value, i + 1);
    }
    CHECK_OK(close(there[1]));
    CHECK_EXITED(test_wait(pid));
}

static void killed_writer(void) {
    static char data[CAPACITY];
    open_pipe(0);
    pid_t pid = fork();
    if (pid == 0) {
        (void)!write(ends[1], data, CAPACITY);
        (void)!write(ends[1], data, CAPACITY); /* blocks: the parent does not read */
        _exit(0);
    }
    CHECK_OK(close(ends[1]));
    test_sleep_ms(30);
    CHECK_OK(kill(pid, SIGKILL));
    CHECK_SIGNALED(test_wait(pid), SIGKILL);
    size_t total = 0;
    ssize_t got;
    while ((got = read(ends[0], data, sizeof(data))) > 0) {
        total += (size_t)got;
    }
    CHECK_EQ(total, CAPACITY);
}

static void bad_buffers(void) {
    char byte = 0;
    open_pipe(0);
    CHECK_ERRNO(write(ends[1], (void *)8, 10), EFAULT);
    CHECK_ERRNO(write(ends[1], (void *)0xffffffff80000000, 10), EFAULT);
    CHECK_EQ(write(ends[1], "ok", 2), 2);
    CHECK_ERRNO(read(ends[0], (void *)8, 2), EFAULT);
    CHECK_EQ(read(ends[0], &byte, 1), 1); /* a read that failed took nothing */
    CHECK_EQ(byte, 'o');
    CHECK_ERRNO(syscall(SYS_pipe, 8), EFAULT);
    CHECK_ERRNO(syscall(SYS_pipe, 0xffff800000000000), EFAULT);
}

static const struct test_case cases[] = {
    {"read-write", reads_and_writes},
    {"end-of-file", end_of_file},
    {"sigpipe", no_reader},
    {"non-blocking", non_blocking},
    {"blocking-transfer", blocking_transfer},
    {"atomic-writes", atomic_writes},
    {"ping-pong", ping_pong},
    {"killed-writer", killed_writer},
    {"bad-buffers", bad_buffers},
};
TEST_MAIN(cases)
