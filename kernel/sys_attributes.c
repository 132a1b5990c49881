/*
 * System calls that change what is known of a file: mode, owner, times, size; and the caller's umask, working and root
 * directory.
 *
 * Locks: names_lock to change an inode. Runs in the caller's space.
 */
#include "arch/uaccess.h"
#include "kernel/inotify.h"
#include "kernel/local.h"
#include "kernel/node.h"
#include "kernel/path.h"
#include "kernel/permission.h"
#include "kernel/process.h"
#include "kernel/string.h"
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

/* What `set` (enum fs_set) names of `attributes`: of the kernel's own at once, of others by their server. */
static enum status set_attributes(struct inode *inode, uint32_t set, const struct fs_attributes *attributes) {
    if (inode->mount != NULL) {
        enum status status = node_set(inode, set, attributes);
        if (status == OK && inotify_watched())
            inotify_tell(inode, IN_ATTRIB);
        return status;
    }
    spin_lock(&names_lock);
    if (set & FS_SET_MODE)
        inode->mode = (inode->mode & S_IFMT) | attributes->mode;
    if (set & FS_SET_OWNER) {
        inode->uid = attributes->uid;
        inode->gid = attributes->gid;
    }
    if (set & FS_SET_ACCESSED)
        inode->accessed = attributes->accessed;
    if (set & FS_SET_MODIFIED)
        inode->modified = attributes->modified;
    inode_touch_changed(inode);
    spin_unlock(&names_lock);
    return OK;
}

static enum status set_mode(struct inode *inode, uint32_t mode) {
    struct fs_attributes attributes = {.mode = mode & S_PERMISSIONS};
    enum status status = OK;
    if (inode_is(inode, S_IFLNK))
        status = ERR_NOT_SUPPORTED;
    else if (!permitted_as_owner(inode))
        status = ERR_NOT_PERMITTED;
    if (!permitted_as_root() && !identity_in_group(inode->gid, false))
        attributes.mode &= ~S_SET_GROUP;
    if (status == OK)
        status = set_attributes(inode, FS_SET_MODE, &attributes);
    inode_unref(inode);
    return status;
}

static enum status set_owner(struct inode *inode, uint32_t uid, uint32_t gid) {
    const struct fs_attributes attributes = {
        .uid = uid != ID_UNCHANGED ? uid : inode->uid,
        .gid = gid != ID_UNCHANGED ? gid : inode->gid,
        .mode = inode->mode & S_PERMISSIONS & ~(inode_is(inode, S_IFDIR) ? 0U : S_SET_USER | S_SET_GROUP),
    };
    uint32_t set = FS_SET_OWNER | (attributes.mode != (inode->mode & S_PERMISSIONS) ? FS_SET_MODE : 0U);
    /* A file's owner may give it to a group that he is in. */
    bool allowed = permitted_as_root() || (permitted_as_owner(inode) && attributes.uid == inode->uid &&
                                           (attributes.gid == inode->gid || identity_in_group(attributes.gid, false)));
    enum status status = allowed ? set_attributes(inode, set, &attributes) : ERR_NOT_PERMITTED;
    inode_unref(inode);
    return status;
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
    if (status == OK && inotify_watched())
        inotify_tell(inode, IN_MODIFY);
    inode_unref(inode);
    return status;
}

/* Returns `bit`, or 0 when the time is not to be set. */
static uint32_t set_time(int64_t *to, const struct linux_timespec *from, uint32_t bit) {
    if (from->nanoseconds == UTIME_OMIT)
        return 0;
    *to = from->nanoseconds == UTIME_NOW ? inode_time_now() : inode_time(from);
    return bit;
}

static enum status set_times(struct inode *inode, const struct linux_timespec times[2]) {
    struct fs_attributes attributes = {.changed = inode_time_now()};
    bool now = times[0].nanoseconds == UTIME_NOW && times[1].nanoseconds == UTIME_NOW;
    if (!permitted_as_owner(inode) && !(now && permitted(inode, MAY_WRITE)))
        return now ? ERR_ACCESS : ERR_NOT_PERMITTED;
    uint32_t set = set_time(&attributes.accessed, &times[0], FS_SET_ACCESSED) |
                   set_time(&attributes.modified, &times[1], FS_SET_MODIFIED);
    if (inode->mount != NULL && set != 0) /* nothing that is told later may undo this */
        __atomic_fetch_and(&inode->unsaved, ~(uint32_t)(FS_SET_MODIFIED | FS_SET_CHANGED), __ATOMIC_RELAXED);
    return set_attributes(inode, set | FS_SET_CHANGED, &attributes);
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

/* Of the file at `path`, or of the directory's handle itself where that is 0. */
static enum status set_times_at(int directory, vaddr_t path, unsigned flags, const struct linux_timespec times[2]) {
    struct inode *inode;
    if (!(time_valid(&times[0]) && time_valid(&times[1])))
        return ERR_INVALID;
    enum status status = path != 0 ? path_lookup(directory, path, flags, &inode)
                                   : inode_of_handle(directory, false, &inode); /* futimens() */
    if (status != OK)
        return status;
    status = set_times(inode, times);
    inode_unref(inode);
    return status;
}

enum status sys_utimensat(struct syscall *call) {
    struct linux_timespec times[2] = {{0, UTIME_NOW}, {0, UTIME_NOW}};
    unsigned flags = (unsigned)call->arg[3];
    if (flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH))
        return ERR_INVALID;
    enum status status = call->arg[2] != 0 ? copy_from_user(times, call->arg[2], sizeof(times)) : OK;
    return status == OK ? set_times_at((int)call->arg[0], call->arg[1], flags, times) : status;
}

enum status sys_utime(struct syscall *call) {
    struct linux_timespec times[2] = {{0, UTIME_NOW}, {0, UTIME_NOW}};
    int64_t seconds[2];
    if (call->arg[1] != 0) {
        enum status status = copy_from_user(seconds, call->arg[1], sizeof(seconds));
        if (status != OK)
            return status;
        times[0] = (struct linux_timespec){seconds[0], 0};
        times[1] = (struct linux_timespec){seconds[1], 0};
    }
    return call->arg[0] != 0 ? set_times_at(AT_FDCWD, call->arg[0], 0, times) : ERR_FAULT;
}

/* Times in microseconds. */
static enum status set_old_times(int directory, vaddr_t path, vaddr_t from) {
    enum { US_PER_SECOND = 1000000, NS_PER_US = 1000 };
    struct linux_timespec times[2] = {{0, UTIME_NOW}, {0, UTIME_NOW}};
    if (from != 0) {
        enum status status = copy_from_user(times, from, sizeof(times));
        if (status != OK)
            return status;
        for (unsigned i = 0; i < 2; i++) {
            if (times[i].nanoseconds < 0 || times[i].nanoseconds >= US_PER_SECOND)
                return ERR_INVALID;
            times[i].nanoseconds *= NS_PER_US;
        }
    }
    return set_times_at(directory, path, 0, times);
}

enum status sys_utimes(struct syscall *call) {
    return call->arg[0] != 0 ? set_old_times(AT_FDCWD, call->arg[0], call->arg[1]) : ERR_FAULT;
}

enum status sys_futimesat(struct syscall *call) { return set_old_times((int)call->arg[0], call->arg[1], call->arg[2]); }

enum status sys_truncate(struct syscall *call) {
    struct inode *inode;
    if ((int64_t)call->arg[1] < 0)
        return ERR_INVALID;
    enum status status = path_lookup(AT_FDCWD, call->arg[0], 0, &inode);
    if (status == OK && !permitted(inode, MAY_WRITE)) {
        inode_unref(inode);
        status = ERR_ACCESS;
    }
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
        status = object_resize(file_memory(file), call->arg[1]);
    } else {
        inode_ref(file->inode);
        status = set_size(file->inode, (int64_t)call->arg[1]);
    }
    file_unref(file);
    return status;
}

#define FALLOCATE_MODES 0x7fU /* those that Linux knows */

/* No file system here sets room aside: checked, and refused. glibc writes instead then. */
enum status sys_fallocate(struct syscall *call) {
    const int64_t offset = (int64_t)call->arg[2], bytes = (int64_t)call->arg[3];
    struct file *file;
    enum status status = handle_get((int)call->arg[0], &file);
    if (status != OK)
        return status;
    if (file->flags & O_PATH)
        status = ERR_BAD_HANDLE;
    else if (offset < 0 || bytes <= 0)
        status = ERR_INVALID;
    else if ((uint32_t)call->arg[1] & ~FALLOCATE_MODES)
        status = ERR_NOT_SUPPORTED;
    else if (!file->writable)
        status = ERR_BAD_HANDLE;
    else if (inode_is(file->inode, S_IFIFO))
        status = ERR_NOT_SEEKABLE;
    else
        status = ERR_NOT_SUPPORTED;
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
    if (status == OK && !permitted(inode, MAY_EXECUTE))
        status = ERR_ACCESS;
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

enum status sys_chroot(struct syscall *call) {
    struct inode *inode;
    enum status status = path_lookup(AT_FDCWD, call->arg[0], 0, &inode);
    if (status != OK)
        return status;
    if (!inode_is(inode, S_IFDIR))
        status = ERR_NOT_DIRECTORY;
    else if (!permitted(inode, MAY_EXECUTE))
        status = ERR_ACCESS;
    else if (!identity_is_root())
        status = ERR_NOT_PERMITTED;
    struct inode *old = status == OK ? handles_set_root(inode) : inode;
    if (old != NULL)
        inode_unref(old);
    return status;
}

/* Before a path that does not begin at the caller's root. */
#define UNREACHABLE       "(unreachable)"
#define UNREACHABLE_BYTES (sizeof(UNREACHABLE) - 1)

enum status sys_getcwd(struct syscall *call) {
    char *text = NULL, *buffer = local_alloc(PATH_MAX);
    if (buffer == NULL)
        return ERR_NO_MEMORY;
    spin_lock(&names_lock);
    struct inode *directory = LOCAL->handles.working_directory;
    enum status status = names_path(directory, NULL, 0, buffer, PATH_MAX, &text);
    if (status == OK && !names_is_below_root(directory)) {
        if (text - buffer < (ptrdiff_t)UNREACHABLE_BYTES)
            status = ERR_RANGE;
        else
            text = memcpy(text - UNREACHABLE_BYTES, UNREACHABLE, UNREACHABLE_BYTES);
    }
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
