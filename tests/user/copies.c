/* Conformance: copy_file_range, preadv2, pwritev2. */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "tests/user/lib/test.h"

enum { SIZE = 20000, DURABLE = 2 /* RWF_DSYNC */ };

static int from, to;
static const char *from_path, *to_path;

static void open_files(void) {
    from_path = test_path("from");
    to_path = test_path("to");
    from = test_file(from_path, SIZE);
    to = test_file(to_path, 0);
    CHECK_OK(lseek(from, 0, SEEK_SET));
}

static void remove_files(void) {
    CHECK_OK(close(from));
    CHECK_OK(close(to));
    CHECK_OK(unlink(from_path));
    CHECK_OK(unlink(to_path));
}

static ssize_t copy(int in, off_t *in_at, int out, off_t *out_at, size_t bytes) {
    return syscall(SYS_copy_file_range, in, in_at, out, out_at, bytes, 0);
}

/* `to` holds at `at` what `from` has at `source`. */
static void check_bytes(off_t at, size_t source, size_t bytes) {
    static uint8_t data[SIZE];
    CHECK_EQ(pread(to, data, bytes, at), bytes);
    for (size_t i = 0; i < bytes; i++) {
        CHECK(data[i] == test_byte(source + i));
    }
}

static void whole_files(void) {
    open_files();
    CHECK_EQ(copy(from, NULL, to, NULL, 5000), 5000);
    CHECK_EQ(copy(from, NULL, to, NULL, SIZE), SIZE - 5000);
    CHECK_EQ(copy(from, NULL, to, NULL, SIZE), 0);
    CHECK_EQ(lseek(to, 0, SEEK_CUR), SIZE);
    CHECK_EQ(lseek(to, 0, SEEK_END), SIZE);
    check_bytes(0, 0, SIZE);
    remove_files();
}

static void ranges(void) {
    off_t in_at = 100, out_at = 3000;
    open_files();
    CHECK_EQ(copy(from, &in_at, to, &out_at, 9000), 9000);
    CHECK_EQ(in_at, 9100);
    CHECK_EQ(out_at, 12000);
    CHECK_EQ(lseek(from, 0, SEEK_CUR), 0);
    CHECK_EQ(lseek(to, 0, SEEK_CUR), 0);
    check_bytes(3000, 100, 9000);
    in_at = 0;
    out_at = 10000;
    CHECK_EQ(copy(from, &in_at, from, &out_at, 10000), 10000); /* within one file */
    in_at = 0;
    out_at = 999;
    CHECK_ERRNO(copy(from, &in_at, from, &out_at, 1000), EINVAL); /* over itself */
    remove_files();
}

static void copy_errors(void) {
    off_t at = -1;
    int ends[2], directory = (int)CHECK_OK(open("/", O_RDONLY | O_DIRECTORY)), reading, writing, appending;
    open_files();
    CHECK_OK(pipe(ends));
    reading = (int)CHECK_OK(open(to_path, O_RDONLY));
    writing = (int)CHECK_OK(open(from_path, O_WRONLY));
    appending = (int)CHECK_OK(open(to_path, O_RDWR | O_APPEND));
    CHECK_ERRNO(syscall(SYS_copy_file_range, from, NULL, to, NULL, 1, 1), EINVAL);
    CHECK_ERRNO(copy(from, NULL, -1, NULL, 1), EBADF);
    CHECK_ERRNO(copy(from, NULL, reading, NULL, 1), EBADF);
    CHECK_ERRNO(copy(writing, NULL, to, NULL, 1), EBADF);
    CHECK_ERRNO(copy(from, NULL, appending, NULL, 1), EBADF);
    CHECK_ERRNO(copy(ends[0], NULL, to, NULL, 1), EINVAL);
    CHECK_ERRNO(copy(directory, NULL, to, NULL, 1), EISDIR);
    CHECK_EQ(copy(from, &at, to, NULL, 1), -1);
    CHECK_ERRNO(copy(from, (off_t *)8, to, NULL, 1), EFAULT);
    CHECK_OK(close(reading));
    CHECK_OK(close(writing));
    CHECK_OK(close(appending));
    remove_files();
}

static ssize_t read_at(int fd, const struct iovec *vectors, int count, off_t at, int flags) {
    return syscall(SYS_preadv2, fd, vectors, count, at, 0, flags);
}

static ssize_t write_at(int fd, const struct iovec *vectors, int count, off_t at, int flags) {
    return syscall(SYS_pwritev2, fd, vectors, count, at, 0, flags);
}

static void vectors_with_flags(void) {
    char data[8] = "";
    struct iovec vectors[2] = {{data, 3}, {data + 3, 4}};
    int ends[2];
    open_files();
    CHECK_EQ(write_at(to, (struct iovec[]){{"abc", 3}, {"defg", 4}}, 2, 10, 0), 7);
    CHECK_EQ(read_at(to, vectors, 2, 10, 0), 7);
    CHECK(strcmp(data, "abcdefg") == 0);
    CHECK_EQ(lseek(to, 0, SEEK_CUR), 0);
    CHECK_EQ(write_at(to, (struct iovec[]){{"xyz", 3}}, 1, -1, DURABLE), 3); /* at the position */
    CHECK_EQ(lseek(to, 0, SEEK_CUR), 3);
    CHECK_EQ(read_at(to, vectors, 1, 0, 0), 3);
    CHECK(memcmp(data, "xyz", 3) == 0);
    CHECK_ERRNO(read_at(to, vectors, 1, -2, 0), EINVAL);
    CHECK_ERRNO(read_at(to, vectors, 1, 0, 1 << 20), EOPNOTSUPP);
    CHECK_OK(pipe(ends));
    CHECK_EQ(write_at(ends[1], vectors, 1, -1, 0), 3);
    CHECK_ERRNO(read_at(ends[0], vectors, 1, 0, 0), ESPIPE);
    CHECK_EQ(read_at(ends[0], vectors, 2, -1, 0), 3);
    remove_files();
}

static const struct test_case cases[] = {
    {"whole-files", whole_files},
    {"ranges", ranges},
    {"copy-errors", copy_errors},
    {"vectors-with-flags", vectors_with_flags},
};
TEST_MAIN(cases)
