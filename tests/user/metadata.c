/*
 * Conformance: statx, extended attributes where there are none, room that nobody sets aside.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "tests/user/lib/addresses.h"
#include "tests/user/lib/penumbra.h"
#include "tests/user/lib/test.h"

/* As the kernel has it; musl's headers may be older than the call. */
struct times {
    int64_t seconds;
    uint32_t nanoseconds;
    int32_t unused;
};

struct statx_answer {
    uint32_t mask, block_size;
    uint64_t attributes;
    uint32_t links, uid, gid;
    uint16_t mode, unused;
    uint64_t inode, size, blocks, attributes_mask;
    struct times accessed, born, changed, modified;
    uint32_t number_major, number_minor, device_major, device_minor;
    uint64_t more[14];
};

enum { BASIC = 0x7ff, FORCE_SYNC = 0x2000, DONT_SYNC = 0x4000 };

static long ask(int directory, const char *path, int flags, unsigned mask, void *answer) {
    return syscall(SYS_statx, directory, path, flags, mask, answer);
}

static void compare(const struct statx_answer *x, const struct stat *stat) {
    CHECK_EQ(x->mask & BASIC, BASIC);
    CHECK_EQ(x->links, stat->st_nlink);
    CHECK_EQ(x->uid, stat->st_uid);
    CHECK_EQ(x->gid, stat->st_gid);
    CHECK_EQ(x->mode, stat->st_mode);
    CHECK_EQ(x->inode, stat->st_ino);
    CHECK_EQ(x->size, stat->st_size);
    CHECK_EQ(x->blocks, stat->st_blocks);
    CHECK_EQ(x->block_size, stat->st_blksize);
    CHECK_EQ(x->modified.seconds, stat->st_mtim.tv_sec);
    CHECK_EQ(x->modified.nanoseconds, stat->st_mtim.tv_nsec);
    CHECK_EQ(x->changed.seconds, stat->st_ctim.tv_sec);
    CHECK_EQ(x->device_major, major(stat->st_dev));
    CHECK_EQ(x->device_minor, minor(stat->st_dev));
    CHECK_EQ(x->number_major, major(stat->st_rdev));
    CHECK_EQ(x->number_minor, minor(stat->st_rdev));
}

static void statx_is_stat(void) {
    struct statx_answer x;
    struct stat stat;
    const char *path = test_path("file"), *link = test_path("link");
    int fd = test_file(path, 5000);
    CHECK_OK(symlink(path, link));
    CHECK_OK(lstat(path, &stat));
    CHECK_OK(ask(AT_FDCWD, path, 0, BASIC, &x));
    compare(&x, &stat);
    CHECK_OK(ask(AT_FDCWD, link, FORCE_SYNC, BASIC, &x));
    compare(&x, &stat);
    CHECK_OK(ask(fd, "", AT_EMPTY_PATH | DONT_SYNC, ~0u >> 1, &x));
    compare(&x, &stat);
    CHECK_OK(lstat(link, &stat));
    CHECK_OK(ask(AT_FDCWD, link, AT_SYMLINK_NOFOLLOW, BASIC, &x));
    compare(&x, &stat);
    CHECK_OK(lstat("/dev/null", &stat));
    CHECK_OK(ask(AT_FDCWD, "/dev/null", 0, BASIC, &x));
    compare(&x, &stat);
    CHECK_OK(unlink(path));
    CHECK_OK(unlink(link));
}

static void statx_refused(void) {
    struct statx_answer x;
    CHECK_ERRNO(ask(AT_FDCWD, "/tmp/no-such", 0, BASIC, &x), ENOENT);
    CHECK_ERRNO(ask(AT_FDCWD, "", 0, BASIC, &x), ENOENT);
    CHECK_ERRNO(ask(-5, "x", 0, BASIC, &x), EBADF);
    CHECK_ERRNO(ask(AT_FDCWD, "/tmp", 1 << 20, BASIC, &x), EINVAL);
    CHECK_ERRNO(ask(AT_FDCWD, "/tmp", FORCE_SYNC | DONT_SYNC, BASIC, &x), EINVAL);
    CHECK_ERRNO(ask(AT_FDCWD, "/tmp", 0, 1u << 31, &x), EINVAL);
    CHECK_ERRNO(ask(AT_FDCWD, "/tmp", 0, BASIC, (void *)8), EFAULT);
    CHECK_ERRNO(ask(AT_FDCWD, (char *)8, 0, BASIC, &x), EFAULT);
}

/* Linux's file systems have some kinds of them: of the errors, what all agree on. */
static void extended_attributes(void) {
    char value[16];
    const char *path = test_path("file");
    int fd = test_file(path, 1);
    CHECK_ERRNO(getxattr("/tmp/no-such", "user.x", value, sizeof value), ENOENT);
    CHECK_ERRNO(removexattr("/tmp/no-such", "user.x"), ENOENT);
    CHECK_ERRNO(listxattr("/tmp/no-such", value, sizeof value), ENOENT);
    CHECK_ERRNO(fgetxattr(-1, "user.x", value, sizeof value), EBADF);
    CHECK_ERRNO(flistxattr(-1, value, sizeof value), EBADF);
    CHECK(getxattr(path, "user.x", value, sizeof value) < 0 && (errno == ENODATA || errno == EOPNOTSUPP));
    CHECK_EQ(CHECK_OK(listxattr(path, value, sizeof value)), 0);
    CHECK_EQ(CHECK_OK(llistxattr(path, NULL, 0)), 0);
    CHECK_EQ(CHECK_OK(flistxattr(fd, NULL, 0)), 0);
    if (on_penumbra()) {
        CHECK_ERRNO(setxattr(path, "user.x", "1", 1, 0), EOPNOTSUPP);
        CHECK_ERRNO(lsetxattr(path, "user.x", "1", 1, 0), EOPNOTSUPP);
        CHECK_ERRNO(fsetxattr(fd, "user.x", "1", 1, 0), EOPNOTSUPP);
        CHECK_ERRNO(fremovexattr(fd, "user.x"), EOPNOTSUPP);
    }
    CHECK_OK(unlink(path));
}

/* Room is not set aside here: a program that asks has to write, as on a file system that cannot do it. */
static void allocation(void) {
    const char *path = test_path("allocated");
    int fd = test_file(path, 100), reader = (int)CHECK_OK(open(path, O_RDONLY)), ends[2];
    CHECK_ERRNO(syscall(SYS_fallocate, fd, 0, 0L, 0L), EINVAL);
    CHECK_ERRNO(syscall(SYS_fallocate, fd, 0, -1L, 1L), EINVAL);
    CHECK_ERRNO(syscall(SYS_fallocate, fd, 1 << 20, 0L, 1L), EOPNOTSUPP);
    CHECK_ERRNO(syscall(SYS_fallocate, -1, 0, 0L, 1L), EBADF);
    CHECK_ERRNO(syscall(SYS_fallocate, reader, 0, 0L, 1L), EBADF);
    CHECK_OK(pipe(ends));
    CHECK_ERRNO(syscall(SYS_fallocate, ends[1], 0, 0L, 1L), ESPIPE);
    if (on_penumbra()) {
        CHECK_ERRNO(syscall(SYS_fallocate, fd, 0, 0L, 1L), EOPNOTSUPP);
    }
    CHECK_OK(unlink(path));
}

/* utime, utimes and futimesat: C libraries have them from utimensat, old programs do not. */
static void old_times(void) {
    const char *path = test_path("old-times");
    int fd = test_file(path, 1);
    int64_t seconds[2] = {1000, -2000}, micros[4] = {3000, 250000, 4000, 999999}, wrong[4] = {0, 1000000, 0, 0};
    struct stat status;
    CHECK_OK(syscall(SYS_utime, path, seconds));
    CHECK_OK(fstat(fd, &status));
    CHECK_EQ(status.st_atim.tv_sec, 1000);
    CHECK_EQ(status.st_mtim.tv_sec, -2000);
    CHECK_OK(syscall(SYS_utimes, path, micros));
    CHECK_OK(fstat(fd, &status));
    CHECK(status.st_atim.tv_sec == 3000 && status.st_atim.tv_nsec == 250000000);
    CHECK(status.st_mtim.tv_sec == 4000 && status.st_mtim.tv_nsec == 999999000);
    micros[0] = 5000;
    CHECK_OK(syscall(SYS_futimesat, AT_FDCWD, path, micros));
    CHECK_OK(fstat(fd, &status));
    CHECK_EQ(status.st_atim.tv_sec, 5000);
    CHECK_OK(syscall(SYS_futimesat, fd, NULL, NULL)); /* now */
    CHECK_OK(fstat(fd, &status));
    CHECK(status.st_atim.tv_sec > 5000);
    CHECK_OK(syscall(SYS_utime, path, NULL));
    CHECK_ERRNO(syscall(SYS_utimes, path, wrong), EINVAL);
    CHECK_ERRNO(syscall(SYS_futimesat, AT_FDCWD, path, wrong), EINVAL);
    CHECK_ERRNO(syscall(SYS_utimes, path, 8L), EFAULT);
    CHECK_ERRNO(syscall(SYS_utime, path, 8L), EFAULT);
    CHECK_ERRNO(syscall(SYS_utime, 8L, NULL), EFAULT);
    CHECK_ERRNO(syscall(SYS_utime, "/tmp/no-such", NULL), ENOENT);
    CHECK_ERRNO(syscall(SYS_futimesat, -1, "x", NULL), EBADF);
    CHECK_OK(unlink(path));
}

/* Parts of a file that are to be on their way to the disk, or to be read soon. */
static void ranges(void) {
    enum { WRITE = 2, ALL = 7 };
    const char *path = test_path("ranges");
    int fd = test_file(path, 5 * TEST_PAGE), reader = (int)CHECK_OK(open(path, O_RDONLY)), ends[2];
    int writer = (int)CHECK_OK(open(path, O_WRONLY)), name = (int)CHECK_OK(open(path, O_PATH));
    CHECK_OK(sync_file_range(fd, 0, 0, ALL));
    CHECK_OK(sync_file_range(fd, 100, TEST_PAGE, WRITE));
    CHECK_OK(sync_file_range(reader, 0, 1, WRITE));
    CHECK_OK(sync_file_range(fd, 1L << 40, 0, ALL));
    CHECK_OK(sync_file_range(fd, 0, 0, 0));
    CHECK_ERRNO(sync_file_range(fd, 0, 0, 8), EINVAL);
    CHECK_ERRNO(sync_file_range(fd, -1, 0, WRITE), EINVAL);
    CHECK_ERRNO(sync_file_range(fd, 0, -1, WRITE), EINVAL);
    CHECK_ERRNO(sync_file_range(fd, INT64_MAX, 1, WRITE), EINVAL);
    CHECK_ERRNO(sync_file_range(-1, 0, 0, WRITE), EBADF);
    CHECK_ERRNO(sync_file_range(name, 0, 0, WRITE), EBADF);
    CHECK_OK(readahead(fd, 0, TEST_PAGE));
    CHECK_ERRNO(readahead(writer, 0, 1), EBADF);
    CHECK_ERRNO(readahead(-1, 0, 1), EBADF);
    CHECK_OK(syncfs(fd));
    CHECK_ERRNO(syncfs(-1), EBADF);
    CHECK_ERRNO(syncfs(name), EBADF);
    CHECK_OK(pipe(ends));
    CHECK_ERRNO(sync_file_range(ends[1], 0, 0, WRITE), ESPIPE);
    CHECK_ERRNO(readahead(ends[0], 0, 1), EINVAL);
    CHECK_OK(unlink(path));
}

static const struct test_case cases[] = {
    {"statx-is-stat", statx_is_stat}, {"statx-refused", statx_refused}, {"extended-attributes", extended_attributes},
    {"allocation", allocation},       {"old-times", old_times},         {"ranges", ranges},
};
TEST_MAIN(cases)
