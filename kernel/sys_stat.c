/*
 * What there is to know about files: stat, access, statfs.
 *
 * Locks: names_lock while an inode is read by path. Runs in the caller's space. All of it is metadata.
 */
#include "arch/uaccess.h"
#include "kernel/fs_call.h"
#include "kernel/mount.h"
#include "kernel/node.h"
#include "kernel/path.h"
#include "kernel/permission.h"
#include "kernel/syscall_table.h"
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

static enum status stat_path(int dirfd, vaddr_t address, vaddr_t to, unsigned flags) {
    struct path path;
    struct inode *inode;
    struct linux_stat stat;
    enum status status = path_begin(&path, dirfd, address, flags);
    if (status != OK)
        return status;
    spin_lock(&names_lock);
    status = path_find(&path, flags & AT_SYMLINK_NOFOLLOW ? 0 : WALK_FOLLOW, &inode);
    if (status == OK && attributes_known(inode))
        inode_stat(inode, &stat);
    else if (status == OK)
        status = ask_and_stat(inode, &stat);
    spin_unlock(&names_lock);
    path_end(&path);
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

/* By the real ids, which are the effective ones. */
static enum status check_access(int dirfd, vaddr_t address, unsigned mode, unsigned flags) {
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

enum status sys_access(struct syscall *call) { return check_access(AT_FDCWD, call->arg[0], (unsigned)call->arg[1], 0); }

enum status sys_faccessat(struct syscall *call) {
    return check_access((int)call->arg[0], call->arg[1], (unsigned)call->arg[2], 0);
}

enum status sys_faccessat2(struct syscall *call) {
    return check_access((int)call->arg[0], call->arg[1], (unsigned)call->arg[2], (unsigned)call->arg[3]);
}

static enum status store_served(struct inode *inode, vaddr_t to) {
    struct fs_space space = {0};
    struct fs_call call = {.op = FS_STATFS, .request.node = inode->number, .data = &space, .room = sizeof(space)};
    enum status status = fs_call(inode->mount, &call);
    if (status == OK && call.room != sizeof(space))
        status = ERR_IO;
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
