/*
 * Numbers of the Linux x86-64 file interface: flags, modes and commands as system calls carry them.
 */
#ifndef KERNEL_FILE_ABI_H
#define KERNEL_FILE_ABI_H

#include <stdint.h>

/* open() */
#define O_ACCMODE   03U
#define O_RDONLY    00U
#define O_WRONLY    01U
#define O_RDWR      02U
#define O_CREAT     0100U
#define O_EXCL      0200U
#define O_NOCTTY    0400U
#define O_TRUNC     01000U
#define O_APPEND    02000U
#define O_NONBLOCK  04000U
#define O_DIRECT    040000U
#define O_LARGEFILE 0100000U
#define O_DIRECTORY 0200000U
#define O_NOFOLLOW  0400000U
#define O_NOATIME   01000000U
#define O_CLOEXEC   02000000U
#define O_PATH      010000000U
#define O_TMPFILE   020000000U /* the bit that O_DIRECTORY comes with */

/* *at() */
#define AT_FDCWD            (-100)
#define AT_SYMLINK_NOFOLLOW 0x100U
#define AT_EACCESS          0x200U
#define AT_REMOVEDIR        0x200U
#define AT_SYMLINK_FOLLOW   0x400U
#define AT_NO_AUTOMOUNT     0x800U
#define AT_EMPTY_PATH       0x1000U
#define RENAME_NOREPLACE    1U
#define RENAME_EXCHANGE     2U

/* st_mode */
#define S_IFMT        0170000U
#define S_IFSOCK      0140000U
#define S_IFLNK       0120000U
#define S_IFREG       0100000U
#define S_IFBLK       0060000U
#define S_IFDIR       0040000U
#define S_IFCHR       0020000U
#define S_IFIFO       0010000U
#define S_PERMISSIONS 07777U
#define S_SET_USER    04000U
#define S_SET_GROUP   02000U
#define S_RUN_GROUP   00010U
#define S_ANY_EXECUTE 0111U

#define PATH_MAX       4096U /* with the terminator */
#define NAME_MAX       255U
#define IO_VECTORS_MAX 1024U       /* IOV_MAX */
#define IO_BYTES_MAX   0x7ffff000U /* what one call transfers at most */

/* poll() */
#define POLLIN     0x001U
#define POLLPRI    0x002U
#define POLLOUT    0x004U
#define POLLERR    0x008U
#define POLLHUP    0x010U
#define POLLNVAL   0x020U
#define POLLRDNORM 0x040U
#define POLLWRNORM 0x100U
#define POLLRDHUP  0x2000U

/* fcntl() */
#define F_DUPFD         0
#define F_GETFD         1
#define F_SETFD         2
#define F_GETFL         3
#define F_SETFL         4
#define F_GETLK         5
#define F_SETLK         6
#define F_SETLKW        7
#define F_DUPFD_CLOEXEC 1030
#define F_SETPIPE_SZ    1031
#define F_GETPIPE_SZ    1032
#define F_ADD_SEALS     1033
#define F_GET_SEALS     1034
#define FD_CLOEXEC      1U

/* ioctl() on any file */
#define FIONREAD 0x541bU
#define FIONBIO  0x5421U
#define FIONCLEX 0x5450U
#define FIOCLEX  0x5451U

struct linux_timespec {
    int64_t seconds, nanoseconds;
};

struct linux_iovec {
    uint64_t base, bytes;
};

struct linux_stat {
    uint64_t device, inode, links;
    uint32_t mode, uid, gid, padding;
    uint64_t device_number;
    int64_t size, block_size, blocks; /* blocks of 512 bytes */
    struct linux_timespec accessed, modified, changed;
    int64_t unused[3];
};
_Static_assert(sizeof(struct linux_stat) == 144, "what programs allocate");

#endif
