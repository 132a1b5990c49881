/*
 * open, openat, creat.
 *
 * Decode and look up with names_lock, then commit: a handle is only made when nothing can go wrong but memory.
 * Locks: names_lock for the walk and for making the file. Runs in the caller's space.
 */
#include "kernel/local.h"
#include "kernel/path.h"
#include "kernel/syscall_table.h"

/* What `walk` found may be opened like that. */
static enum status check_open(const struct inode *inode, uint32_t flags, bool slash) {
    bool directory = inode_is(inode, S_IFDIR);
    if ((flags & O_CREAT) && (flags & O_EXCL))
        return ERR_EXISTS;
    if ((flags & O_CREAT) && (directory || slash))
        return ERR_IS_DIRECTORY;
    if ((flags & O_DIRECTORY) && !directory)
        return ERR_NOT_DIRECTORY;
    if (inode_is(inode, S_IFLNK) && !(flags & O_PATH))
        return ERR_TOO_MANY_SYMLINKS;
    if (directory && !(flags & O_PATH) && ((flags & O_ACCMODE) != O_RDONLY || (flags & O_TRUNC)))
        return ERR_IS_DIRECTORY;
    return OK;
}

static enum status make_file(const struct path_walk *walk, uint32_t mode, struct inode **out) {
    if (walk->slash)
        return ERR_IS_DIRECTORY;
    enum status status = names_new_file(mode & S_PERMISSIONS & ~LOCAL->handles.umask, out);
    if (status != OK)
        return status == ERR_NO_MEMORY ? ERR_NO_SPACE : status;
    status = names_attach(walk, *out);
    if (status != OK)
        inode_unref(*out); /* nothing but this refers to it: no pages yet */
    return status;
}

/* The inode to open, with a reference; *created when it was made just now. */
static enum status find_or_make(const struct path *path, uint32_t flags, uint32_t mode, struct inode **out,
                                bool *created) {
    struct path_walk walk;
    bool exclusive = (flags & O_CREAT) && (flags & O_EXCL);
    unsigned walk_flags = (flags & O_NOFOLLOW) || exclusive ? 0 : WALK_FOLLOW;
    *created = false;
    spin_lock(&names_lock);
    enum status status = path_resolve(path, walk_flags | (exclusive ? WALK_PARENT : 0), &walk);
    if (status == OK && walk.inode != NULL) {
        status = check_open(walk.inode, flags, walk.slash);
        if (status == OK) {
            *out = walk.inode;
            inode_ref(*out);
        }
    } else if (status == OK && (flags & O_CREAT)) {
        status = make_file(&walk, mode, out);
        *created = status == OK;
    } else if (status == OK) {
        status = ERR_NO_ENTRY;
    }
    spin_unlock(&names_lock);
    return status;
}

static enum status open_path(const struct path *path, uint32_t flags, uint32_t mode, int64_t *result) {
    struct inode *inode;
    struct file *file;
    bool created;
    int fd = 0;
    if (handles_exhausted())
        return ERR_TOO_MANY_HANDLES;
    enum status status = find_or_make(path, flags, mode, &inode, &created);
    if (status != OK)
        return status;
    if ((flags & O_TRUNC) && !created && inode->operations == &regular_operations)
        status = regular_resize(inode, 0);
    if (status == OK)
        status = file_create(inode, flags, &file);
    inode_unref(inode);
    if (status != OK)
        return status;
    status = handle_install(file, 0, flags & O_CLOEXEC, &fd);
    file_unref(file);
    *result = fd;
    return status;
}

static enum status open_at(int dirfd, vaddr_t address, uint32_t flags, uint32_t mode, int64_t *result) {
    struct path path;
    if (flags & O_PATH)
        flags &= O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
    if (flags & O_TMPFILE)
        return ERR_NOT_SUPPORTED;
    if ((flags & O_CREAT) && (flags & O_DIRECTORY))
        return ERR_INVALID;
    enum status status = path_begin(&path, dirfd, address, 0);
    if (status != OK)
        return status;
    status = open_path(&path, flags, mode, result);
    path_end(&path);
    return status;
}

enum status sys_open(struct syscall *call) {
    return open_at(AT_FDCWD, call->arg[0], (uint32_t)call->arg[1], (uint32_t)call->arg[2], &call->result);
}

enum status sys_openat(struct syscall *call) {
    return open_at((int)call->arg[0], call->arg[1], (uint32_t)call->arg[2], (uint32_t)call->arg[3], &call->result);
}

enum status sys_creat(struct syscall *call) {
    return open_at(AT_FDCWD, call->arg[0], O_CREAT | O_WRONLY | O_TRUNC, (uint32_t)call->arg[1], &call->result);
}
