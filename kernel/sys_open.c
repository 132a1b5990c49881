/*
 * open, openat, creat.
 *
 * Decode and look up with names_lock, then commit: a handle is only made when nothing can go wrong but memory. Who may
 * open a file for writing only gets no windows on it (regular_file.c).
 * Locks: names_lock for the walk and for making the file. Runs in the caller's space.
 */
#include "kernel/inotify.h"
#include "kernel/local.h"
#include "kernel/mount.h"
#include "kernel/name_change.h"
#include "kernel/path.h"
#include "kernel/permission.h"
#include "kernel/procfs.h"
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
    if (inode_is(inode, S_IFLNK) && !(flags & O_PATH) && (!is_handle_link(inode) || (flags & O_NOFOLLOW)))
        return ERR_TOO_MANY_SYMLINKS;
    if (directory && !(flags & O_PATH) && ((flags & O_ACCMODE) != O_RDONLY || (flags & O_TRUNC)))
        return ERR_IS_DIRECTORY;
    return OK;
}

/* What the access mode needs of an existing file. */
static enum status permit_open(const struct inode *inode, uint32_t flags) {
    uint32_t access = flags & O_ACCMODE;
    if (flags & O_PATH)
        return OK;
    unsigned wanted = (access != O_WRONLY ? MAY_READ : 0U) | (access != O_RDONLY || (flags & O_TRUNC) ? MAY_WRITE : 0U);
    if (!permitted(inode, wanted))
        return ERR_ACCESS;
    bool on_disk = inode_is(inode, S_IFREG) || inode_is(inode, S_IFDIR);
    return (wanted & MAY_WRITE) && on_disk ? mount_writable(inode->mount) : OK;
}

static enum status make_file(const struct path_walk *walk, uint32_t mode, struct inode **out) {
    if (walk->slash)
        return ERR_IS_DIRECTORY;
    enum status status = change_make(walk, S_IFREG | (mode & S_PERMISSIONS & ~LOCAL->handles.umask), NULL, out);
    return status == ERR_NO_MEMORY ? ERR_NO_SPACE : status;
}

/* One look, and one attempt to make it. ERR_EXISTS: another was faster. */
static enum status find_or_try(struct path *path, unsigned walk_flags, uint32_t flags, uint32_t mode,
                               struct inode **out, bool *created) {
    struct path_walk walk;
    enum status status = path_resolve(path, walk_flags, &walk);
    if (status != OK)
        return status;
    if (walk.inode == NULL && (flags & O_CREAT)) {
        status = make_file(&walk, mode, out);
        *created = status == OK;
        return status;
    }
    if (walk.inode == NULL)
        return ERR_NO_ENTRY;
    status = check_open(walk.inode, flags, walk.slash);
    if (status == OK)
        status = permit_open(walk.inode, flags);
    if (status == OK) {
        *out = walk.inode;
        inode_ref(*out);
    }
    return status;
}

/* The inode to open, with a reference; *created when it was made just now. */
static enum status find_or_make(struct path *path, uint32_t flags, uint32_t mode, struct inode **out, bool *created) {
    bool exclusive = (flags & O_CREAT) && (flags & O_EXCL);
    unsigned walk_flags = (flags & O_NOFOLLOW) || exclusive ? 0 : WALK_FOLLOW;
    enum status status;
    *created = false;
    spin_lock(&names_lock);
    do {
        path_forget_answers(path);
        status = find_or_try(path, walk_flags | (exclusive ? WALK_PARENT : 0), flags, mode, out, created);
    } while (status == ERR_EXISTS && !exclusive);
    spin_unlock(&names_lock);
    return status;
}

/* A file without a name on the disk of the directory that the path leads to: O_TMPFILE. */
static enum status make_nameless(struct path *path, uint32_t flags, uint32_t mode, struct inode **out) {
    const uint32_t type = S_IFREG | (mode & S_PERMISSIONS & ~LOCAL->handles.umask);
    struct inode *directory;
    spin_lock(&names_lock);
    enum status status = path_find(path, flags & O_NOFOLLOW ? 0 : WALK_FOLLOW, &directory);
    if (status == OK && !inode_is(directory, S_IFDIR))
        status = ERR_NOT_DIRECTORY;
    if (status == OK)
        status = change_make_nameless(directory, type, !(flags & O_EXCL), out);
    spin_unlock(&names_lock);
    return status == ERR_NO_MEMORY ? ERR_NO_SPACE : status;
}

static void tell_opened(const struct file *file, bool truncated) {
    if (!inotify_watched() || (file->flags & O_PATH))
        return;
    if (truncated && file->operations == &regular_operations)
        inotify_tell(file->inode, IN_MODIFY);
    inotify_tell(file->inode, IN_OPEN);
}

static enum status open_path(struct path *path, uint32_t flags, uint32_t mode, int64_t *result) {
    struct inode *inode;
    struct file *file;
    bool created = true;
    int fd = 0;
    if (handles_exhausted())
        return ERR_TOO_MANY_HANDLES;
    enum status status = flags & O_TMPFILE ? make_nameless(path, flags, mode, &inode)
                                           : find_or_make(path, flags, mode, &inode, &created);
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
    if (status == OK)
        tell_opened(file, (flags & O_TRUNC) && !created);
    file_unref(file);
    *result = fd;
    return status;
}

static enum status open_at(int dirfd, vaddr_t address, uint32_t flags, uint32_t mode, int64_t *result) {
    struct path path;
    if (flags & O_PATH)
        flags &= O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
    if ((flags & O_TMPFILE) && (!(flags & O_DIRECTORY) || (flags & O_ACCMODE) == O_RDONLY))
        return ERR_INVALID;
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
