/* Conformance: descriptors. dup, dup2, dup3, fcntl, close-on-exec, shared offsets, passing by fork, limits. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/user/lib/test.h"

static void dup_shares_offset(void) {
    const char *path = test_path("dup");
    uint8_t byte;
    int fd = test_file(path, 100);
    int other = (int)CHECK_OK(dup(fd));

    CHECK(other > fd);
    CHECK_EQ(lseek(fd, 42, SEEK_SET), 42);
    CHECK_EQ(read(other, &byte, 1), 1);
    CHECK_EQ(byte, test_byte(42));
    CHECK_EQ(lseek(fd, 0, SEEK_CUR), 43);
    CHECK_OK(close(fd));
    CHECK_EQ(read(other, &byte, 1), 1);
    int separate = (int)CHECK_OK(open(path, O_RDONLY));
    CHECK_EQ(separate, fd); /* the lowest free number */
    CHECK_EQ(lseek(separate, 0, SEEK_CUR), 0);
    CHECK_OK(close(separate));
    CHECK_OK(close(other));
    CHECK_ERRNO(dup(other), EBADF);
    CHECK_OK(unlink(path));
}

static void dup2_replaces(void) {
    const char *path = test_path("dup2");
    int fd = test_file(path, 10);

    CHECK_EQ(dup2(fd, 100), 100);
    CHECK_EQ(dup2(fd, fd), fd);
    CHECK_ERRNO(dup2(99, 100), EBADF);
    CHECK_EQ(lseek(100, 0, SEEK_END), 10);
    int null = (int)CHECK_OK(open("/dev/null", O_RDWR));
    CHECK_EQ(dup2(null, 100), 100);
    CHECK_EQ(write(100, "x", 1), 1);
    CHECK_EQ(lseek(fd, 0, SEEK_END), 10);
    CHECK_ERRNO(dup2(fd, -1), EBADF);
    CHECK_ERRNO(dup2(fd, 1 << 30), EBADF);
    CHECK_ERRNO(dup3(fd, fd, 0), EINVAL);
    CHECK_EQ(dup3(fd, 101, O_CLOEXEC), 101);
    CHECK_EQ(fcntl(101, F_GETFD), FD_CLOEXEC);
    CHECK_EQ(fcntl(100, F_GETFD), 0);
    CHECK_OK(close(fd));
    CHECK_OK(unlink(path));
}

static void fcntl_flags(void) {
    const char *path = test_path("fcntl");
    int fd = test_file(path, 10);

    CHECK_EQ(fcntl(fd, F_GETFD), 0);
    CHECK_OK(fcntl(fd, F_SETFD, FD_CLOEXEC));
    CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
    CHECK_EQ(fcntl(fd, F_GETFL) & O_ACCMODE, O_RDWR);
    CHECK_OK(fcntl(fd, F_SETFL, O_APPEND | O_NONBLOCK));
    CHECK_EQ(fcntl(fd, F_GETFL) & (O_ACCMODE | O_APPEND | O_NONBLOCK), O_RDWR | O_APPEND | O_NONBLOCK);
    CHECK_EQ(write(fd, "+", 1), 1);
    CHECK_EQ(lseek(fd, 0, SEEK_CUR), 11);
    CHECK_EQ(fcntl(fd, F_DUPFD, 50), 50);
    CHECK_EQ(fcntl(fd, F_DUPFD_CLOEXEC, 50), 51);
    CHECK_EQ(fcntl(50, F_GETFD), 0);
    CHECK_EQ(fcntl(51, F_GETFD), FD_CLOEXEC);
    CHECK_EQ(fcntl(50, F_GETFL) & O_APPEND, O_APPEND);
    CHECK_ERRNO(fcntl(fd, F_DUPFD, -1), EINVAL);
    CHECK_ERRNO(fcntl(99, F_GETFD), EBADF);
    CHECK_ERRNO(fcntl(fd, 9999), EINVAL);
    CHECK_OK(unlink(path));
}

static void offset_shared_with_child(void) {
    const char *path = test_path("forked-offset");
    int fd = test_file(path, 100);
    pid_t pid = fork();
    if (pid == 0) {
        CHECK_EQ(lseek(fd, 77, SEEK_SET), 77);
        CHECK_OK(close(fd));
        _exit(0);
    }
    CHECK_EXITED(test_wait(pid));
    CHECK_EQ(lseek(fd, 0, SEEK_CUR), 77);
    CHECK_OK(close(fd));
    CHECK_OK(unlink(path));
}

/* A descriptor that only a child keeps: the file stays, and so does the child's right to read it. */
static void passed_by_fork(void) {
    const char *path = test_path("passed");
    uint8_t data[TEST_PAGE];
    int ends[2], fd = test_file(path, 4 * TEST_PAGE);
    CHECK_OK(pipe(ends));
    CHECK_OK(unlink(path));

    pid_t pid = fork();
    if (pid == 0) {
        close(ends[1]);
        CHECK_EQ(read(ends[0], data, 1), 0); /* until the parent has closed its own */
        for (int page = 0; page < 4; page++) {
            CHECK_EQ(pread(fd, data, TEST_PAGE, page * TEST_PAGE), TEST_PAGE);
            CHECK_EQ(data[17], test_byte((size_t)page * TEST_PAGE + 17));
        }
        _exit(0);
    }
    CHECK_OK(close(fd));
    CHECK_OK(close(ends[0]));
    CHECK_OK(close(ends[1]));
    CHECK_EXITED(test_wait(pid));
}

static void many_open(void) {
    enum { MANY = 1200 };
    static int fds[MANY];
    struct rlimit limit;
    CHECK_OK(getrlimit(RLIMIT_NOFILE, &limit));
    limit.rlim_cur = limit.rlim_max < 4096 ? limit.rlim_max : 4096;
    CHECK_OK(setrlimit(RLIMIT_NOFILE, &limit));

    for (int i = 0; i < MANY; i++) {
        fds[i] = (int)CHECK_OK(open("/dev/null", O_RDONLY));
    }
    CHECK(fds[MANY - 1] >= fds[0] + MANY - 1);
    CHECK_OK(close(fds[500]));
    CHECK_EQ(open("/dev/null", O_RDONLY), fds[500]);
    for (int i = 0; i < MANY; i++) {
        CHECK_OK(close(fds[i]));
    }
}

/* A program that never closes anything gets EMFILE, and can go on. */
static void limit_reached(void) {
    struct rlimit limit;
    int last = -1, fd;
    CHECK_OK(getrlimit(RLIMIT_NOFILE, &limit));
    limit.rlim_cur = 256;
    CHECK_OK(setrlimit(RLIMIT_NOFILE, &limit));

    while ((fd = open("/dev/zero", O_RDONLY)) >= 0) {
        last = fd;
    }
    CHECK_EQ(errno, EMFILE);
    CHECK_EQ(last, 255);
    CHECK_ERRNO(dup(0), EMFILE);
    int ends[2];
    CHECK_ERRNO(pipe(ends), EMFILE);
    CHECK_OK(close(last));
    CHECK_ERRNO(pipe(ends), EMFILE); /* one is not enough, and the one is not lost */
    CHECK_EQ(open("/dev/zero", O_RDONLY), last);
}

static void bad_numbers(void) {
    static const int bad[] = {-1, -100, 200, 4095, 65536, 0x7fffffff, (int)0x80000000};
    char byte;
    struct stat status;

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        CHECK_ERRNO(read(bad[i], &byte, 1), EBADF);
        CHECK_ERRNO(write(bad[i], "x", 1), EBADF);
        CHECK_ERRNO(close(bad[i]), EBADF);
        CHECK_ERRNO(fstat(bad[i], &status), EBADF);
        CHECK_ERRNO(dup(bad[i]), EBADF);
    }
}

static const struct test_case cases[] = {
    {"dup", dup_shares_offset},
    {"dup2", dup2_replaces},
    {"fcntl", fcntl_flags},
    {"offset-after-fork", offset_shared_with_child},
    {"passed-by-fork", passed_by_fork},
    {"many-open", many_open},
    {"limit", limit_reached},
    {"bad-numbers", bad_numbers},
};
TEST_MAIN(cases)
