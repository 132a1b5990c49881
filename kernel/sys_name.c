/*
 * System calls that change the name tree: mkdir, rmdir, unlink, link, symlink, rename; and readlink.
 *
 * Each copies its paths, then walks and changes the tree in one stretch under names_lock; what loses its name is
 * dropped after. Locks: names_lock. Runs in the caller's space.
 */
#include "arch/uaccess.h"
#include "kernel/local.h"
#include "kernel/path.h"
#include "kernel/string.h"
#include "kernel/syscall_table.h"
#include "mm/heap.h"

/* Names take GLOBAL memory; when it is short, the file system is full. */
static enum status full(enum status status) { return status == ERR_NO_MEMORY ? ERR_NO_SPACE : status; }

enum attach_kind { ATTACH_NEW_FILE, ATTACH_NEW_DIRECTORY, ATTACH_LINK };

/* Gives `inode` (one reference, which passes) the name at `path`. A slash may follow a directory's. */
static enum status attach(const struct path *path, struct inode *inode, enum attach_kind kind) {
    struct path_walk walk;
    spin_lock(&names_lock);
    enum status status = path_resolve(path, WALK_PARENT, &walk);
    if (status == OK && walk.slash && walk.inode == NULL && kind != ATTACH_NEW_DIRECTORY)
        status = ERR_NO_ENTRY;
    if (status == OK && kind == ATTACH_LINK && inode->links == 0)
        status = ERR_NO_ENTRY; /* what was unlinked does not come back */
    if (status == OK)
        status = names_attach(&walk, inode);
    spin_unlock(&names_lock);
    inode_unref(inode);
    return full(status);
}

static enum status make_directory(int dirfd, vaddr_t address, uint32_t mode) {
    struct path path;
    struct inode *inode;
    enum status status = path_begin(&path, dirfd, address, 0);
    if (status != OK)
        return status;
    status = full(names_new_directory(mode & 01777 & ~LOCAL->handles.umask, &inode));
    if (status == OK)
        status = attach(&path, inode, ATTACH_NEW_DIRECTORY);
    path_end(&path);
    return status;
}

enum status sys_mkdir(struct syscall *call) { return make_directory(AT_FDCWD, call->arg[0], (uint32_t)call->arg[1]); }

enum status sys_mkdirat(struct syscall *call) {
    return make_directory((int)call->arg[0], call->arg[1], (uint32_t)call->arg[2]);
}

static enum status remove_name(int dirfd, vaddr_t address, bool directory) {
    struct path path;
    struct path_walk walk;
    struct inode *dropped = NULL;
    enum status status = path_begin(&path, dirfd, address, 0);
    if (status != OK)
        return status;
    spin_lock(&names_lock);
    status = path_resolve(&path, WALK_PARENT, &walk);
    if (status == OK)
        status = directory ? names_remove_directory(&walk, &dropped) : names_remove_file(&walk, &dropped);
    spin_unlock(&names_lock);
    path_end(&path);
    if (dropped != NULL)
        inode_unref(dropped);
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
    if (status == OK && inode_is(inode, S_IFDIR)) {
        path_end(&path);
        status = ERR_NOT_PERMITTED;
    }
    if (status != OK) {
        inode_unref(inode);
        return status;
    }
    status = attach(&path, inode, ATTACH_LINK);
    path_end(&path);
    return status;
}

enum status sys_link(struct syscall *call) { return make_link(AT_FDCWD, call->arg[0], AT_FDCWD, call->arg[1], 0); }

enum status sys_linkat(struct syscall *call) {
    return make_link((int)call->arg[0], call->arg[1], (int)call->arg[2], call->arg[3], (unsigned)call->arg[4]);
}

static enum status make_symlink(vaddr_t target_address, int dirfd, vaddr_t address) {
    struct path path, target;
    struct inode *inode;
    enum status status = path_begin(&target, AT_FDCWD, target_address, 0);
    if (status != OK)
        return status;
    status = path_begin(&path, dirfd, address, 0);
    if (status == OK) {
        status = full(names_new_link(target.text, &inode));
        if (status == OK)
            status = attach(&path, inode, ATTACH_NEW_FILE);
        path_end(&path);
    }
    path_end(&target);
    return status;
}

enum status sys_symlink(struct syscall *call) { return make_symlink(call->arg[0], AT_FDCWD, call->arg[1]); }

enum status sys_symlinkat(struct syscall *call) { return make_symlink(call->arg[0], (int)call->arg[1], call->arg[2]); }

static enum status rename_path(int from_dirfd, vaddr_t from, int to_dirfd, vaddr_t to, unsigned flags) {
    struct path from_path, to_path;
    struct path_walk from_walk, to_walk;
    struct inode *dropped = NULL;
    if (flags & ~RENAME_NOREPLACE) /* RENAME_EXCHANGE: as file systems that cannot do it answer */
        return ERR_INVALID;
    enum status status = path_begin(&from_path, from_dirfd, from, 0);
    if (status != OK)
        return status;
    status = path_begin(&to_path, to_dirfd, to, 0);
    if (status == OK) {
        spin_lock(&names_lock);
        status = path_resolve(&from_path, WALK_PARENT, &from_walk);
        if (status == OK)
            status = path_resolve(&to_path, WALK_PARENT, &to_walk);
        if (status == OK)
            status = names_rename(&from_walk, &to_walk, !(flags & RENAME_NOREPLACE), &dropped);
        spin_unlock(&names_lock);
        path_end(&to_path);
    }
    path_end(&from_path);
    if (dropped != NULL)
        inode_unref(dropped);
    return full(status);
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
        status = path_find(&path, 0, &inode);
        if (status == OK && !inode_is(inode, S_IFLNK))
            status = empty ? ERR_NO_ENTRY : ERR_INVALID;
        if (status == OK)
            length = strlcpy(copy, link_target(inode), PATH_MAX);
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
