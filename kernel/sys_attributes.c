/*
 * System calls that change what is known of a file: mode, owner, times, size; and the caller's umask and working
 * directory.
 *
 * Locks: names_lock to change an inode. Runs in the caller's space.
 */
#include "arch/uaccess.h"
#include "kernel/local.h"
#include "kernel/path.h"
#include "kernel/process.h"
#include "kernel/syscall_table.h"
#include "kernel/time.h"
#include "mm/heap.h"
#include "mm/object.h"

#define UTIME_NOW    0x3fffffff
#define UTIME_OMIT   0x3ffffffe
#define ID_UNCHANGED UINT32_MAX

/* The inode behind a descriptor, with a reference. */
static enum status inode_of_handle(int fd, bool path_only_too, struct inode **out) {
    struct file *file;
    enum status status = handle_get(fd, &file);
    if (status != OK)
        return status;
    if ((file->flags & O_PATH) && !path_only_too) {
        status = ERR_BAD_HANDLE;
    } else {
        *out = file->inode;
        inode_ref(*out);
    }
    file_unref(file);
    return status;
}

/* All of these take a reference over. */

static enum status set_mode(struct inode *inode, uint32_t mode) {
    enum status status = inode_is(inode, S_IFLNK) ? ERR_NOT_SUPPORTED : OK;
    spin_lock(&names_lock);
    if (status == OK) {
        inode->mode = (inode->mode & S_IFMT) | (mode & S_PERMISSIONS);
        inode_touch_changed(inode);
    }
    spin_unlock(&names_lock);
    inode_unref(inode);
    return status;
}

static enum status set_owner(struct inode *inode, uint32_t uid, uint32_t gid) {
    spin_lock(&names_lock);
    if (uid != ID_UNCHANGED)
        inode->uid = uid;
    if (gid != ID_UNCHANGED)
        inode->gid = gid;
    inode_touch_changed(inode);
    spin_unlock(&names_lock);
    inode_unref(inode);
    return OK;
}

static enum status set_size(struct inode *inode, int64_t size) {
    enum status status = OK;
    if (inode_is(inode, S_IFDIR))
        status = ERR_IS_DIRECTORY;
    else if (inode->operations != &regular_operations || size < 0)
        status = ERR_INVALID;
    else if ((uint64_t)size > OBJECT_SIZE_MAX)
        status = ERR_FILE_TOO_BIG;
    if (status == OK)
        status = regular_resize(inode, (uint64_t)size);
    inode_unref(inode);
    return status;
}

static void set_time(int64_t *to, const struct linux_timespec *from) {
    if (from->nanoseconds == UTIME_NOW)
        *to = inode_time_now();
    else if (from->nanoseconds != UTIME_OMIT)
        *to = inode_time(from);
}

static bool time_valid(const struct linux_timespec *time) {
    return time->nanoseconds == UTIME_NOW || time->nanoseconds == UTIME_OMIT ||
           (time->nanoseconds >= 0 && time->nanoseconds < (int64_t)NS_PER_SECOND);
}

enum status sys_chmod(struct syscall *call) {
    struct inode *inode;
    enum status status = path_lookup(AT_FDCWD, call->arg[0], 0, &inode);
    return status == OK ? set_mode(inode, (uint32_t)call->arg[1]) : status;
}

enum status sys_fchmod(struct syscall *call) {
    struct inode *inode;
    enum status status = inode_of_handle((int)call->arg[0], false, &inode);
    return status == OK ? set_mode(inode, (uint32_t)call->arg[1]) : status;
}

enum status sys_fchmodat(struct syscall *call) {
    struct inode *inode;
    enum status status = path_lookup((int)call->arg[0], call->arg[1], 0, &inode);
    return status == OK ? set_mode(inode, (uint32_t)call->arg[2]) : status;
}

enum status sys_chown(struct syscall *call) {
    struct inode *inode;
    enum status status = path_lookup(AT_FDCWD, call->arg[0], 0, &inode);
    return status == OK ? set_owner(inode, (uint32_t)call->arg[1], (uint32_t)call->arg[2]) : status;
}

enum status sys_lchown(struct syscall *call) {
    struct inode *inode;
    enum status status = path_lookup(AT_FDCWD, call->arg[0], AT_SYMLINK_NOFOLLOW, &inode);
    return status == OK ? set_owner(inode, (uint32_t)call->arg[1], (uint32_t)call->arg[2]) : status;
}

enum status sys_fchown(struct syscall *call) {
    struct inode *inode;
    enum status status = inode_of_handle((int)call->arg[0], false, &inode);
    return status == OK ? set_owner(inode, (uint32_t)call->arg[1], (uint32_t)call->arg[2]) : status;
}

enum status sys_fchownat(struct syscall *call) {
    unsigned flags = (unsigned)call->arg[4];
    struct inode *inode;
    if (flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH))
        return ERR_INVALID;
    enum status status = path_lookup((int)call->arg[0], call->arg[1], flags, &inode);
    return status == OK ? set_owner(inode, (uint32_t)call->arg[2], (uint32_t)call->arg[3]) : status;
}

enum status sys_utimensat(struct syscall *call) {
    struct linux_timespec times[2] = {{0, UTIME_NOW}, {0, UTIME_NOW}};
    unsigned flags = (unsigned)call->arg[3];
    struct inode *inode;
    if (flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH))
        return ERR_INVALID;
    enum status status = call->arg[2] != 0 ? copy_from_user(times, call->arg[2], sizeof(times)) : OK;
    if (status == OK && !(time_valid(&times[0]) && time_valid(&times[1])))
        status = ERR_INVALID;
    if (status != OK)
        return status;
    if (call->arg[1] != 0)
        status = path_lookup((int)call->arg[0], call->arg[1], flags, &inode);
    else
        status = inode_of_handle((int)call->arg[0], false, &inode); /* futimens() */
    if (status != OK)
        return status;
    spin_lock(&names_lock);
    set_time(&inode->accessed, &times[0]);
    set_time(&inode->modified, &times[1]);
    inode_touch_changed(inode);
    spin_unlock(&names_lock);
    inode_unref(inode);
    return OK;
}

enum status sys_truncate(struct syscall *call) {
    struct inode *inode;
    if ((int64_t)call->arg[1] < 0)
        return ERR_INVALID;
    enum status status = path_lookup(AT_FDCWD, call->arg[0], 0, &inode);
    return status == OK ? set_size(inode, (int64_t)call->arg[1]) : status;
}

enum status sys_ftruncate(struct syscall *call) {
    struct file *file;
    if ((int64_t)call->arg[1] < 0)
        return ERR_INVALID;
    enum status status = handle_get((int)call->arg[0], &file);
    if (status != OK)
        return status;
    if (file->flags & O_PATH) {
        status = ERR_BAD_HANDLE;
    } else if (!file->writable) {
        status = ERR_INVALID;
    } else if (file->operations->memory && !inode_is(file->inode, S_IFREG)) { /* a memory object without a name */
        status = object_resize(file->object, call->arg[1]);
    } else {
        inode_ref(file->inode);
        status = set_size(file->inode, (int64_t)call->arg[1]);
    }
    file_unref(file);
    return status;
}

enum status sys_umask(struct syscall *call) {
    call->result = __atomic_exchange_n(&LOCAL->handles.umask, (uint32_t)call->arg[0] & 0777, __ATOMIC_RELAXED);
    return OK;
}

/* Takes the reference over. */
static enum status change_directory(struct inode *inode) {
    struct inode *old = inode;
    enum status status = inode_is(inode, S_IFDIR) ? OK : ERR_NOT_DIRECTORY;
    if (status == OK)
        old = handles_set_directory(inode);
    inode_unref(old);
    return status;
}

enum status sys_chdir(struct syscall *call) {
    struct inode *inode;
    enum status status = path_lookup(AT_FDCWD, call->arg[0], 0, &inode);
    return status == OK ? change_directory(inode) : status;
}

enum status sys_fchdir(struct syscall *call) {
    struct inode *inode;
    enum status status = inode_of_handle((int)call->arg[0], true, &inode);
    return status == OK ? change_directory(inode) : status;
}

enum status sys_getcwd(struct syscall *call) {
    char *text = NULL, *buffer = local_alloc(PATH_MAX);
    if (buffer == NULL)
        return ERR_NO_MEMORY;
    spin_lock(&names_lock);
    enum status status = names_path(LOCAL->handles.working_directory, NULL, 0, buffer, PATH_MAX, &text);
    spin_unlock(&names_lock);
    if (status == ERR_RANGE)
        status = ERR_NAME_TOO_LONG;
    if (status == OK) {
        size_t bytes = (size_t)(buffer + PATH_MAX - text);
        status = bytes <= call->arg[1] ? copy_to_user(call->arg[0], text, bytes) : ERR_RANGE;
        call->result = (int64_t)bytes;
    }
    local_free(buffer, PATH_MAX);
    return status;
}
