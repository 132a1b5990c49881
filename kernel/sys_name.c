/*
 * System calls that change the name tree: mkdir, mknod, rmdir, unlink, link, symlink, rename; and readlink.
 *
 * Each copies its paths, then walks and changes the tree in one stretch under names_lock, or has a file server change
 * it; what loses its name is dropped after. Locks: names_lock. Runs in the caller's space.
 */
#include "arch/uaccess.h"
#include "kernel/local.h"
#include "kernel/name_change.h"
#include "kernel/path.h"
#include "kernel/procfs.h"
#include "kernel/string.h"
#include "kernel/syscall_table.h"
#include "mm/heap.h"

/* Names take GLOBAL memory; when it is short, the file system is full. */
static enum status full(enum status status) { return status == ERR_NO_MEMORY ? ERR_NO_SPACE : status; }

/* Makes what `mode` and `target` say at `path`. A slash may follow a directory's. */
static enum status make(int dirfd, vaddr_t address, uint32_t mode, const char *target) {
    struct path path;
    struct path_walk walk;
    struct inode *inode = NULL;
    enum status status = path_begin(&path, dirfd, address, 0);
    if (status != OK)
        return status;
    spin_lock(&names_lock);
    status = path_resolve(&path, WALK_PARENT, &walk);
    if (status == OK && walk.slash && walk.inode == NULL && (mode & S_IFMT) != S_IFDIR)
        status = ERR_NO_ENTRY;
    if (status == OK)
        status = change_make(&walk, mode, target, &inode);
    spin_unlock(&names_lock);
    if (status == OK)
        inode_unref(inode);
    path_end(&path);
    return full(status);
}

static enum status make_directory(int dirfd, vaddr_t address, uint32_t mode) {
    return make(dirfd, address, S_IFDIR | (mode & 01777 & ~LOCAL->handles.umask), NULL);
}

enum status sys_mkdir(struct syscall *call) { return make_directory(AT_FDCWD, call->arg[0], (uint32_t)call->arg[1]); }

enum status sys_mkdirat(struct syscall *call) {
    return make_directory((int)call->arg[0], call->arg[1], (uint32_t)call->arg[2]);
}

/* Devices are made by the kernel alone. */
static enum status make_node(int dirfd, vaddr_t address, uint32_t mode) {
    const uint32_t type = (mode & S_IFMT) == 0 ? S_IFREG : mode & S_IFMT;
    switch (type) {
    case S_IFREG:
    case S_IFIFO:
    case S_IFSOCK:
        return make(dirfd, address, type | (mode & S_PERMISSIONS & ~LOCAL->handles.umask), NULL);
    case S_IFCHR:
    case S_IFBLK:
    case S_IFDIR:
        return ERR_NOT_PERMITTED;
    default:
        return ERR_INVALID;
    }
}

enum status sys_mknod(struct syscall *call) { return make_node(AT_FDCWD, call->arg[0], (uint32_t)call->arg[1]); }

enum status sys_mknodat(struct syscall *call) {
    return make_node((int)call->arg[0], call->arg[1], (uint32_t)call->arg[2]);
}

static enum status remove_name(int dirfd, vaddr_t address, bool directory) {
    struct path path;
    struct path_walk walk;
    enum status status = path_begin(&path, dirfd, address, 0);
    if (status != OK)
        return status;
    spin_lock(&names_lock);
    status = path_resolve(&path, WALK_PARENT, &walk);
    if (status == OK)
        status = change_remove(&walk, directory);
    spin_unlock(&names_lock);
    path_end(&path);
    return status;
}

enum status sys_rmdir(struct syscall *call) { return remove_name(AT_FDCWD, call->arg[0], true); }
enum status sys_unlink(struct syscall *call) { return remove_name(AT_FDCWD, call->arg[0], false); }

enum status sys_unlinkat(struct syscall *call) {
    unsigned flags = (unsigned)call->arg[2];
    if (flags & ~AT_REMOVEDIR)
        return ERR_INVALID;
    return remove_name((int)call->arg[0], call->arg[1], flags & AT_REMOVEDIR);
}

/* Gives the file the name at `path`. */
static enum status link_at(struct path *path, struct inode *inode) {
    struct path_walk walk;
    spin_lock(&names_lock);
    enum status status = path_resolve(path, WALK_PARENT, &walk);
    if (status == OK && inode_is(inode, S_IFDIR))
        status = ERR_NOT_PERMITTED;
    if (status == OK && walk.slash && walk.inode == NULL)
        status = ERR_NO_ENTRY;
    if (status == OK)
        status = change_link(&walk, inode);
    spin_unlock(&names_lock);
    return full(status);
}

static enum status make_link(int from_dirfd, vaddr_t from, int to_dirfd, vaddr_t to, unsigned flags) {
    struct path path;
    struct inode *inode;
    if (flags & ~(AT_SYMLINK_FOLLOW | AT_EMPTY_PATH))
        return ERR_INVALID;
    unsigned lookup = (flags & AT_EMPTY_PATH) | (flags & AT_SYMLINK_FOLLOW ? 0 : AT_SYMLINK_NOFOLLOW);
    enum status status = path_lookup(from_dirfd, from, lookup, &inode);
    if (status != OK)
        return status;
    status = path_begin(&path, to_dirfd, to, 0);
    if (status == OK) {
        status = link_at(&path, inode);
        path_end(&path);
    }
    inode_unref(inode);
    return status;
}

enum status sys_link(struct syscall *call) { return make_link(AT_FDCWD, call->arg[0], AT_FDCWD, call->arg[1], 0); }

enum status sys_linkat(struct syscall *call) {
    return make_link((int)call->arg[0], call->arg[1], (int)call->arg[2], call->arg[3], (unsigned)call->arg[4]);
}

static enum status make_symlink(vaddr_t target_address, int dirfd, vaddr_t address) {
    struct path target;
    enum status status = path_begin(&target, AT_FDCWD, target_address, 0);
    if (status != OK)
        return status;
    status = make(dirfd, address, S_IFLNK | 0777, target.text);
    path_end(&target);
    return status;
}

enum status sys_symlink(struct syscall *call) { return make_symlink(call->arg[0], AT_FDCWD, call->arg[1]); }

enum status sys_symlinkat(struct syscall *call) { return make_symlink(call->arg[0], (int)call->arg[1], call->arg[2]); }

/* Both walks in one stretch under names_lock: again when a server had to be asked for the second. */
static enum status walk_both(struct path *from, struct path *to, struct path_walk walks[2]) {
    enum status status;
    do {
        to->asked = false;
        status = path_resolve(from, WALK_PARENT, &walks[0]);
        if (status == OK)
            status = path_resolve(to, WALK_PARENT, &walks[1]);
    } while (status == OK && to->asked);
    return status;
}

static enum status rename_walked(struct path *from, struct path *to, bool replace) {
    struct path_walk walks[2];
    enum status status;
    spin_lock(&names_lock);
    do {
        path_forget_answers(from);
        path_forget_answers(to);
        status = walk_both(from, to, walks);
        if (status == OK)
            status = change_rename(&walks[0], &walks[1], replace);
    } while (status == ERR_NOT_CACHED);
    spin_unlock(&names_lock);
    return full(status);
}

static enum status rename_path(int from_dirfd, vaddr_t from, int to_dirfd, vaddr_t to, unsigned flags) {
    struct path from_path, to_path;
    if (flags & ~RENAME_NOREPLACE) /* RENAME_EXCHANGE: as file systems that cannot do it answer */
        return ERR_INVALID;
    enum status status = path_begin(&from_path, from_dirfd, from, 0);
    if (status != OK)
        return status;
    status = path_begin(&to_path, to_dirfd, to, 0);
    if (status == OK) {
        status = rename_walked(&from_path, &to_path, !(flags & RENAME_NOREPLACE));
        path_end(&to_path);
    }
    path_end(&from_path);
    return status;
}

enum status sys_rename(struct syscall *call) { return rename_path(AT_FDCWD, call->arg[0], AT_FDCWD, call->arg[1], 0); }

enum status sys_renameat(struct syscall *call) {
    return rename_path((int)call->arg[0], call->arg[1], (int)call->arg[2], call->arg[3], 0);
}

enum status sys_renameat2(struct syscall *call) {
    return rename_path((int)call->arg[0], call->arg[1], (int)call->arg[2], call->arg[3], (unsigned)call->arg[4]);
}

static enum status read_link(int dirfd, vaddr_t address, vaddr_t to, int64_t size, int64_t *result) {
    struct path path;
    struct inode *inode;
    size_t length = 0;
    if (size <= 0)
        return ERR_INVALID;
    char *copy = local_alloc(PATH_MAX);
    if (copy == NULL)
        return ERR_NO_MEMORY;
    enum status status = path_begin(&path, dirfd, address, AT_EMPTY_PATH);
    if (status == OK) {
        bool empty = path.text[0] == '\0';
        spin_lock(&names_lock);
        status = path_find_target(&path, &inode);
        if (status == OK && !inode_is(inode, S_IFLNK))
            status = empty ? ERR_NO_ENTRY : ERR_INVALID;
        if (status == OK)
            length = is_handle_link(inode) ? handle_link_text(inode, copy, PATH_MAX)
                                           : strlcpy(copy, link_target(inode), PATH_MAX);
        if (status == OK && length == 0)
            status = ERR_NO_ENTRY;
        spin_unlock(&names_lock);
        path_end(&path);
    }
    if (length > (uint64_t)size)
        length = (size_t)size;
    if (status == OK)
        status = copy_to_user(to, copy, length);
    local_free(copy, PATH_MAX);
    *result = (int64_t)length;
    return status;
}

enum status sys_readlink(struct syscall *call) {
    return read_link(AT_FDCWD, call->arg[0], call->arg[1], (int32_t)call->arg[2], &call->result);
}

enum status sys_readlinkat(struct syscall *call) {
    return read_link((int)call->arg[0], call->arg[1], call->arg[2], (int32_t)call->arg[3], &call->result);
}
