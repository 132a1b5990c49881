/*
 * What there is to know about files: stat, access, statfs.
 *
 * Locks: names_lock while an inode is read by path. Runs in the caller's space. All of it is metadata.
 */
#include "arch/cpu.h"
#include "arch/uaccess.h"
#include "kernel/fs_call.h"
#include "kernel/mount.h"
#include "kernel/node.h"
#include "kernel/path.h"
#include "kernel/permission.h"
#include "kernel/procfs.h"
#include "kernel/space.h"
#include "kernel/syscall_table.h"
#include "kernel/thread.h"
#include "mm/frame.h"
#include "mm/object.h"

#define ACCESS_ALL  7U
#define TMPFS_MAGIC 0x01021994

struct linux_statfs {
    int64_t type, block_size;
    uint64_t blocks, blocks_free, blocks_available, files, files_free;
    int32_t id[2];
    int64_t name_max, fragment_size, flags, spare[4];
};
_Static_assert(sizeof(struct linux_statfs) == 120, "what programs allocate");

static bool attributes_known(const struct inode *inode) {
    return inode->mount == NULL || !(inode->stale || inode->restat);
}

/* The server took the attributes back, or changed them without telling. names_lock held, but not meanwhile. */
static enum status ask_and_stat(struct inode *inode, struct linux_stat *stat) {
    inode_ref(inode);
    spin_unlock(&names_lock);
    enum status status = node_refresh(inode);
    if (status == OK)
        inode_stat(inode, stat);
    inode_unref(inode);
    spin_lock(&names_lock);
    return status;
}

/* What a handle of the caller's is on, when a link of /proc led there. */
static enum status stat_handle_link(const struct inode *link, struct linux_stat *stat) {
    struct inode *inode;
    enum status status = handle_link_follow(link, &inode);
    if (status != OK)
        return status;
    if (attributes_known(inode))
        inode_stat(inode, stat);
    else
        status = ask_and_stat(inode, stat);
    spin_unlock(&names_lock);
    inode_unref(inode);
    spin_lock(&names_lock);
    return status;
}

static enum status get_stat(int dirfd, vaddr_t address, unsigned flags, struct linux_stat *stat) {
    struct path path;
    struct inode *inode;
    enum status status = path_begin(&path, dirfd, address, flags);
    if (status != OK)
        return status;
    spin_lock(&names_lock);
    status = path_find(&path, flags & AT_SYMLINK_NOFOLLOW ? 0 : WALK_FOLLOW, &inode);
    if (status == OK && is_handle_link(inode) && !(flags & AT_SYMLINK_NOFOLLOW))
        status = stat_handle_link(inode, stat);
    else if (status == OK && attributes_known(inode))
        inode_stat(inode, stat);
    else if (status == OK)
        status = ask_and_stat(inode, stat);
    spin_unlock(&names_lock);
    path_end(&path);
    return status;
}

static enum status stat_path(int dirfd, vaddr_t address, vaddr_t to, unsigned flags) {
    struct linux_stat stat;
    enum status status = get_stat(dirfd, address, flags, &stat);
    return status == OK ? copy_to_user(to, &stat, sizeof(stat)) : status;
}

static enum status stat_file(int fd, vaddr_t to) {
    struct file *file;
    struct linux_stat stat;
    enum status status = handle_get(fd, &file);
    if (status != OK)
        return status;
    if (!attributes_known(file->inode))
        status = node_refresh(file->inode);
    inode_stat(file->inode, &stat);
    if (file->operations->memory && !inode_is(file->inode, S_IFREG)) { /* a memory object without a name */
        stat.mode = S_IFREG | 0600;
        stat.size = (int64_t)file_memory(file)->size;
        stat.blocks = (int64_t)(file_memory(file)->pages * (PAGE_SIZE / 512));
    }
    file_unref(file);
    return status == OK ? copy_to_user(to, &stat, sizeof(stat)) : status;
}

enum status sys_stat(struct syscall *call) { return stat_path(AT_FDCWD, call->arg[0], call->arg[1], 0); }

enum status sys_lstat(struct syscall *call) {
    return stat_path(AT_FDCWD, call->arg[0], call->arg[1], AT_SYMLINK_NOFOLLOW);
}

enum status sys_fstat(struct syscall *call) { return stat_file((int)call->arg[0], call->arg[1]); }

enum status sys_newfstatat(struct syscall *call) {
    unsigned flags = (unsigned)call->arg[3];
    if (flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH | AT_NO_AUTOMOUNT))
        return ERR_INVALID;
    return stat_path((int)call->arg[0], call->arg[1], call->arg[2], flags);
}

/* By the ids that permissions are judged by meanwhile. */
static enum status check_access_now(int dirfd, vaddr_t address, unsigned mode, unsigned flags) {
    struct path path;
    struct inode *inode;
    if ((mode & ~ACCESS_ALL) || (flags & ~(AT_EACCESS | AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)))
        return ERR_INVALID;
    enum status status = path_begin(&path, dirfd, address, flags);
    if (status != OK)
        return status;
    spin_lock(&names_lock);
    status = path_find(&path, flags & AT_SYMLINK_NOFOLLOW ? 0 : WALK_FOLLOW, &inode);
    if (status == OK && !permitted(inode, mode))
        status = ERR_ACCESS;
    if (status == OK && (mode & MAY_WRITE) && (inode_is(inode, S_IFREG) || inode_is(inode, S_IFDIR)))
        status = mount_writable(inode->mount);
    spin_unlock(&names_lock);
    path_end(&path);
    return status;
}

/* --- statx -------------------------------------------------------------------------------------------------------- */

#define STATX_BASIC_STATS  0x7ffU
#define STATX_RESERVED     0x80000000U
#define AT_STATX_SYNC_TYPE 0x6000U /* how fresh it must be: what is known here is */

struct statx_time {
    int64_t seconds;
    uint32_t nanoseconds;
    int32_t unused;
};

struct linux_statx {
    uint32_t mask, block_size;
    uint64_t attributes;
    uint32_t links, uid, gid;
    uint16_t mode, unused;
    uint64_t inode, size, blocks, attributes_mask;
    struct statx_time accessed, born, changed, modified;
    uint32_t number_major, number_minor, device_major, device_minor;
    uint64_t more[14];
};
_Static_assert(sizeof(struct linux_statx) == 256, "what programs allocate");

static struct statx_time statx_time(struct linux_timespec time) {
    return (struct statx_time){.seconds = time.seconds, .nanoseconds = (uint32_t)time.nanoseconds};
}

/* The two halves of a device's number, as glibc's makedev() puts them together. */
static uint32_t device_major(uint64_t device) {
    return (uint32_t)((device >> 8 & 0xfff) | (device >> 32 & 0xfffff000));
}
static uint32_t device_minor(uint64_t device) { return (uint32_t)((device & 0xff) | (device >> 12 & 0xffffff00)); }

enum status sys_statx(struct syscall *call) {
    const unsigned flags = (unsigned)call->arg[2], mask = (unsigned)call->arg[3];
    struct linux_stat stat;
    if ((flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH | AT_NO_AUTOMOUNT | AT_STATX_SYNC_TYPE)) ||
        (flags & AT_STATX_SYNC_TYPE) == AT_STATX_SYNC_TYPE || (mask & STATX_RESERVED))
        return ERR_INVALID;
    enum status status = get_stat((int)call->arg[0], call->arg[1], flags & ~AT_STATX_SYNC_TYPE, &stat);
    if (status != OK)
        return status;
    const struct linux_statx answer = {
        .mask = STATX_BASIC_STATS,
        .block_size = (uint32_t)stat.block_size,
        .links = (uint32_t)stat.links,
        .uid = stat.uid,
        .gid = stat.gid,
        .mode = (uint16_t)stat.mode,
        .inode = stat.inode,
        .size = (uint64_t)stat.size,
        .blocks = (uint64_t)stat.blocks,
        .accessed = statx_time(stat.accessed),
        .changed = statx_time(stat.changed),
        .modified = statx_time(stat.modified),
        .number_major = device_major(stat.device_number),
        .number_minor = device_minor(stat.device_number),
        .device_major = device_major(stat.device),
        .device_minor = device_minor(stat.device),
    };
    return copy_to_user(call->arg[4], &answer, sizeof(answer));
}

/* By the real ids, but for AT_EACCESS. */
static enum status check_access(int dirfd, vaddr_t address, unsigned mode, unsigned flags) {
    thread_current()->by_real_ids = !(flags & AT_EACCESS);
    enum status status = check_access_now(dirfd, address, mode, flags);
    thread_current()->by_real_ids = false;
    return status;
}

enum status sys_access(struct syscall *call) { return check_access(AT_FDCWD, call->arg[0], (unsigned)call->arg[1], 0); }

enum status sys_faccessat(struct syscall *call) {
    return check_access((int)call->arg[0], call->arg[1], (unsigned)call->arg[2], 0);
}

enum status sys_faccessat2(struct syscall *call) {
    return check_access((int)call->arg[0], call->arg[1], (unsigned)call->arg[2], (unsigned)call->arg[3]);
}

static enum status store_served(struct inode *inode, vaddr_t to) {
    struct fs_space space = {0};
    enum status status = space_ask(inode, &space);
    if (status != OK)
        return status;
    const struct linux_statfs answer = {
        .type = (int64_t)space.magic,
        .block_size = space.block_size,
        .blocks = space.blocks,
        .blocks_free = space.blocks_free,
        .blocks_available = space.blocks_available,
        .files = space.files,
        .files_free = space.files_free,
        .id = {(int32_t)inode->mount->id},
        .name_max = space.name_max,
        .fragment_size = space.block_size,
    };
    return copy_to_user(to, &answer, sizeof(answer));
}

static enum status store_statfs(struct inode *inode, vaddr_t to) {
    struct frame_counts counts;
    if (inode->mount != NULL)
        return store_served(inode, to);
    frame_count(&counts);
    uint64_t free = counts.by_class[FRAME_FREE] + counts.by_class[FRAME_DIRTY];
    const struct linux_statfs answer = {
        .type = TMPFS_MAGIC,
        .block_size = PAGE_SIZE,
        .blocks = counts.total,
        .blocks_free = free,
        .blocks_available = free,
        .files = counts.total,
        .files_free = free,
        .name_max = NAME_MAX,
        .fragment_size = PAGE_SIZE,
    };
    return copy_to_user(to, &answer, sizeof(answer));
}

enum status sys_statfs(struct syscall *call) {
    struct inode *inode;
    enum status status = path_lookup(AT_FDCWD, call->arg[0], 0, &inode);
    if (status != OK)
        return status;
    status = store_statfs(inode, call->arg[1]);
    inode_unref(inode);
    return status;
}

enum status sys_fstatfs(struct syscall *call) {
    struct file *file;
    enum status status = handle_get((int)call->arg[0], &file);
    if (status != OK)
        return status;
    status = store_statfs(file->inode, call->arg[1]);
    file_unref(file);
    return status;
}
