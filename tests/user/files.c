/* Conformance: what is in a file. open, read, write, pread, pwrite, readv, writev, lseek, append, truncation, stat,
 * sync. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "tests/user/lib/test.h"

static void check_bytes(const uint8_t *data, size_t offset, size_t length) {
    for (size_t i = 0; i < length; i++) {
        if (data[i] != test_byte(offset + i)) {
            test_fail(__FILE__, __LINE__, "byte %zu is %d, want %d", offset + i, data[i], test_byte(offset + i));
        }
    }
}

static void open_modes(void) {
    const char *path = test_path("open");
    char byte = 'x';

    CHECK_ERRNO(open(path, O_RDONLY), ENOENT);
    int fd = (int)CHECK_OK(open(path, O_WRONLY | O_CREAT | O_EXCL, 0640));
    CHECK_ERRNO(open(path, O_WRONLY | O_CREAT | O_EXCL, 0640), EEXIST);
    CHECK_EQ(write(fd, "abc", 3), 3);
    CHECK_ERRNO(read(fd, &byte, 1), EBADF);
    CHECK_OK(close(fd));
    CHECK_ERRNO(close(fd), EBADF);

    fd = (int)CHECK_OK(open(path, O_RDONLY));
    CHECK_ERRNO(write(fd, &byte, 1), EBADF);
    CHECK_EQ(read(fd, &byte, 1), 1);
    CHECK_EQ(byte, 'a');
    CHECK_OK(close(fd));

    fd = (int)CHECK_OK(open(path, O_RDWR | O_TRUNC));
    CHECK_EQ(read(fd, &byte, 1), 0);
    CHECK_OK(close(fd));
    CHECK_ERRNO(open(path, O_RDONLY | O_DIRECTORY), ENOTDIR);
    CHECK_ERRNO(open("/tmp", O_WRONLY), EISDIR);
    CHECK_ERRNO(open("/tmp/no-such/file", O_WRONLY | O_CREAT, 0600), ENOENT);
    CHECK_OK(unlink(path));
}

static void read_write(void) {
    const char *path = test_path("readwrite");
    uint8_t data[3 * TEST_PAGE];
    int fd = test_file(path, 10000);

    CHECK_EQ(read(fd, data, 1), 1);
    CHECK_EQ(read(fd, data + 1, 4999), 4999);
    CHECK_EQ(read(fd, data + 5000, sizeof(data) - 5000), 5000);
    check_bytes(data, 0, 10000);
    CHECK_EQ(read(fd, data, sizeof(data)), 0);
    CHECK_EQ(write(fd, "tail", 4), 4);
    CHECK_EQ(read(fd, data, 0), 0);
    CHECK_EQ(write(fd, data, 0), 0);
    struct stat status;
    CHECK_OK(fstat(fd, &status));
    CHECK_EQ(status.st_size, 10004);
    CHECK_OK(close(fd));
    CHECK_OK(unlink(path));
}

static void pread_sizes(void) {
    static uint8_t data[1 << 20];
    const char *path = test_path("pread");
    int fd = test_file(path, sizeof(data));
    static const size_t lengths[] = {1, 63, 64, 65, 4095, 4096, 4097, 65536, sizeof(data)};

    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        for (size_t offset = 0; offset + lengths[i] <= sizeof(data); offset += 131071) {
            memset(data, 0, lengths[i]);
            CHECK_EQ(pread(fd, data, lengths[i], (off_t)offset), lengths[i]);
            check_bytes(data, offset, lengths[i]);
        }
    }
    CHECK_EQ(lseek(fd, 0, SEEK_CUR), 0);
    CHECK_EQ(pread(fd, data, 100, sizeof(data) - 10), 10);
    CHECK_EQ(pread(fd, data, 100, sizeof(data)), 0);
    CHECK_EQ(pread(fd, data, 100, (off_t)1 << 40), 0);
    CHECK_ERRNO(pread(fd, data, 1, -1), EINVAL);
    CHECK_OK(close(fd));
    CHECK_OK(unlink(path));
}

static void pwrite_holes(void) {
    const char *path = test_path("pwrite");
    uint8_t data[100];
    int fd = test_file(path, 10);

    CHECK_EQ(pwrite(fd, "end", 3, 3 * TEST_PAGE - 1), 3);
    CHECK_EQ(lseek(fd, 0, SEEK_CUR), 0);
    CHECK_EQ(lseek(fd, 0, SEEK_END), 3 * TEST_PAGE + 2);
    CHECK_EQ(pread(fd, data, 100, 0), 100);
    check_bytes(data, 0, 10);
    for (int i = 10; i < 100; i++) {
        CHECK_EQ(data[i], 0);
    }
    CHECK_EQ(pread(fd, data, 4, 3 * TEST_PAGE - 2), 4);
    CHECK(memcmp(data, "\0end", 4) == 0);
    CHECK_EQ(pwrite(fd, "", 0, 1 << 20), 0);
    CHECK_EQ(lseek(fd, 0, SEEK_END), 3 * TEST_PAGE + 2);
    CHECK_ERRNO(pwrite(fd, "x", 1, -1), EINVAL);
    CHECK_OK(close(fd));
    CHECK_OK(unlink(path));
}

static void vectors(void) {
    const char *path = test_path("vectors");
    char first[3], second[10] = "";
    struct iovec out[3] = {{"one", 3}, {"", 0}, {"three", 5}};
    struct iovec in[2] = {{first, 3}, {second, 10}};
    int fd = test_file(path, 0);

    CHECK_EQ(writev(fd, out, 3), 8);
    CHECK_OK(lseek(fd, 0, SEEK_SET));
    CHECK_EQ(readv(fd, in, 2), 8);
    CHECK(memcmp(first, "one", 3) == 0 && memcmp(second, "three", 6) == 0);
    CHECK_EQ(writev(fd, out, 0), 0);
    CHECK_ERRNO(writev(fd, out, -1), EINVAL);
    CHECK_ERRNO(writev(fd, out, IOV_MAX + 1), EINVAL);
    CHECK_OK(close(fd));
    CHECK_OK(unlink(path));
}

static void seek(void) {
    const char *path = test_path("seek");
    int fd = test_file(path, 1000);

    CHECK_EQ(lseek(fd, 10, SEEK_SET), 10);
    CHECK_EQ(lseek(fd, 5, SEEK_CUR), 15);
    CHECK_EQ(lseek(fd, -15, SEEK_CUR), 0);
    CHECK_ERRNO(lseek(fd, -1, SEEK_CUR), EINVAL);
    CHECK_EQ(lseek(fd, -1, SEEK_END), 999);
    CHECK_EQ(lseek(fd, 5000, SEEK_SET), 5000);
    CHECK_ERRNO(lseek(fd, 0, 77), EINVAL);
    CHECK_ERRNO(lseek(-1, 0, SEEK_SET), EBADF);
    char byte;
    CHECK_EQ(read(fd, &byte, 1), 0);
    CHECK_OK(close(fd));
    CHECK_OK(unlink(path));

    int ends[2];
    CHECK_OK(pipe(ends));
    CHECK_ERRNO(lseek(ends[0], 0, SEEK_CUR), ESPIPE);
    CHECK_ERRNO(pread(ends[0], &byte, 1, 0), ESPIPE);
}

static void append(void) {
    const char *path = test_path("append");
    char data[16] = "";

    CHECK_OK(close(test_file(path, 0)));
    int one = (int)CHECK_OK(open(path, O_WRONLY | O_APPEND));
    int two = (int)CHECK_OK(open(path, O_RDWR | O_APPEND));
    CHECK_EQ(write(one, "a", 1), 1);
    CHECK_EQ(write(two, "b", 1), 1);
    CHECK_OK(lseek(one, 0, SEEK_SET));
    CHECK_EQ(write(one, "c", 1), 1);
    CHECK_EQ(pread(two, data, sizeof(data), 0), 3);
    CHECK(memcmp(data, "abc", 3) == 0);
    CHECK_OK(close(one));
    CHECK_OK(close(two));
    CHECK_OK(unlink(path));
}

static void truncation(void) {
    const char *path = test_path("truncate");
    uint8_t data[TEST_PAGE];
    struct stat status;
    int fd = test_file(path, 3 * TEST_PAGE);

    CHECK_OK(ftruncate(fd, TEST_PAGE + 100));
    CHECK_OK(fstat(fd, &status));
    CHECK_EQ(status.st_size, TEST_PAGE + 100);
    CHECK_EQ(pread(fd, data, sizeof(data), TEST_PAGE), 100);
    CHECK_OK(ftruncate(fd, 3 * TEST_PAGE));
    CHECK_EQ(pread(fd, data, sizeof(data), TEST_PAGE), sizeof(data));
    check_bytes(data, TEST_PAGE, 100);
    for (size_t i = 100; i < sizeof(data); i++) {
        CHECK_EQ(data[i], 0); /* what was cut off does not come back */
    }
    CHECK_OK(truncate(path, 0));
    CHECK_EQ(pread(fd, data, 1, 0), 0);
    CHECK_ERRNO(ftruncate(fd, -1), EINVAL);
    CHECK_OK(close(fd));
    fd = (int)CHECK_OK(open(path, O_RDONLY));
    CHECK_ERRNO(ftruncate(fd, 0), EINVAL);
    CHECK_OK(close(fd));
    CHECK_OK(unlink(path));
}

static void stat_fields(void) {
    const char *path = test_path("stat");
    struct stat by_name, by_fd, root;
    umask(022);
    int fd = (int)CHECK_OK(open(path, O_RDWR | O_CREAT | O_TRUNC, 0666));

    CHECK_EQ(write(fd, "12345", 5), 5);
    CHECK_OK(stat(path, &by_name));
    CHECK_OK(fstat(fd, &by_fd));
    CHECK(S_ISREG(by_name.st_mode));
    CHECK_EQ(by_name.st_mode & 0777, 0644);
    CHECK_EQ(by_name.st_size, 5);
    CHECK_EQ(by_name.st_nlink, 1);
    CHECK_EQ(by_name.st_ino, by_fd.st_ino);
    CHECK_EQ(by_name.st_dev, by_fd.st_dev);
    CHECK_OK(fchmod(fd, 0600));
    CHECK_OK(fstat(fd, &by_fd));
    CHECK_EQ(by_fd.st_mode & 0777, 0600);
    CHECK_OK(stat("/", &root));
    CHECK(S_ISDIR(root.st_mode));
    CHECK_OK(stat("/dev/null", &root));
    CHECK(S_ISCHR(root.st_mode));
    CHECK_OK(fstatat(fd, "", &by_name, AT_EMPTY_PATH));
    CHECK_EQ(by_name.st_ino, by_fd.st_ino);
    CHECK_ERRNO(stat("/tmp/no-such", &root), ENOENT);
    CHECK_ERRNO(stat("", &root), ENOENT);
    CHECK_ERRNO(fstat(-1, &root), EBADF);
    CHECK_ERRNO(stat("/dev/null/x", &root), ENOTDIR);
    CHECK_OK(fsync(fd));
    CHECK_OK(fdatasync(fd));
    CHECK_OK(close(fd));
    CHECK_OK(unlink(path));
}

static void devices(void) {
    uint8_t data[64];
    int null = (int)CHECK_OK(open("/dev/null", O_RDWR));
    int zero = (int)CHECK_OK(open("/dev/zero", O_RDWR));

    CHECK_EQ(write(null, data, sizeof(data)), sizeof(data));
    CHECK_EQ(read(null, data, sizeof(data)), 0);
    memset(data, 1, sizeof(data));
    CHECK_EQ(read(zero, data, sizeof(data)), sizeof(data));
    for (size_t i = 0; i < sizeof(data); i++) {
        CHECK_EQ(data[i], 0);
    }
    CHECK_OK(close(null));
    CHECK_OK(close(zero));
}

static void sendfile_copies(void) {
    const char *from = test_path("sendfile-from"), *to = test_path("sendfile-to");
    static uint8_t data[3 * TEST_PAGE];
    int in = test_file(from, 9000), out = test_file(to, 0);
    off_t offset = 100;

    CHECK_EQ(sendfile(out, in, &offset, 5000), 5000);
    CHECK_EQ(offset, 5100);
    CHECK_EQ(lseek(in, 0, SEEK_CUR), 0);
    CHECK_EQ(pread(out, data, sizeof(data), 0), 5000);
    check_bytes(data, 100, 5000);
    CHECK_EQ(sendfile(out, in, NULL, 20000), 9000);
    CHECK_OK(close(in));
    CHECK_OK(close(out));
    CHECK_OK(unlink(from));
    CHECK_OK(unlink(to));
}

static const struct test_case cases[] = {
    {"open", open_modes},
    {"read-write", read_write},
    {"pread", pread_sizes},
    {"pwrite-hole", pwrite_holes},
    {"readv-writev", vectors},
    {"lseek", seek},
    {"append", append},
    {"ftruncate", truncation},
    {"stat", stat_fields},
    {"null-and-zero", devices},
    {"sendfile", sendfile_copies},
};
TEST_MAIN(cases)
