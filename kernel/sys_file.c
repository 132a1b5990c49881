/*
 * System calls on the content of open files: read, write, seek and their relatives.
 *
 * Locks: see transfer.c. Runs in the caller's space.
 */
#include "arch/uaccess.h"
#include "kernel/fs_call.h"
#include "kernel/mount.h"
#include "kernel/names.h"
#include "kernel/node.h"
#include "kernel/syscall_table.h"
#include "kernel/transfer.h"
#include "mm/heap.h"
#include "mm/pager.h"

enum seek_from { SEEK_SET, SEEK_CUR, SEEK_END, SEEK_DATA, SEEK_HOLE };

enum buffer_shape { ONE_BUFFER, VECTOR_OF_BUFFERS };

/* All of read and write: handle, buffer or vector, bytes or count in the first three arguments. */
static enum status move(struct syscall *call, enum transfer_direction direction, enum buffer_shape shape,
                        uint64_t offset) {
    struct file *file;
    size_t done = 0;
    enum status status = handle_get((int)call->arg[0], &file);
    if (status != OK)
        return status;
    if (shape == ONE_BUFFER)
        status = transfer(file, direction, call->arg[1], call->arg[2], offset, &done);
    else
        status = transfer_vectors(file, direction, call->arg[1], (int64_t)call->arg[2], offset, &done);
    file_unref(file);
    call->result = (int64_t)done;
    return status;
}

/* At the position in the fourth argument. */
static enum status move_at(struct syscall *call, enum transfer_direction direction, enum buffer_shape shape) {
    return (int64_t)call->arg[3] < 0 ? ERR_INVALID : move(call, direction, shape, call->arg[3]);
}

enum status sys_read(struct syscall *call) { return move(call, TRANSFER_READ, ONE_BUFFER, POSITION_OF_FILE); }
enum status sys_write(struct syscall *call) { return move(call, TRANSFER_WRITE, ONE_BUFFER, POSITION_OF_FILE); }
enum status sys_readv(struct syscall *call) { return move(call, TRANSFER_READ, VECTOR_OF_BUFFERS, POSITION_OF_FILE); }
enum status sys_writev(struct syscall *call) { return move(call, TRANSFER_WRITE, VECTOR_OF_BUFFERS, POSITION_OF_FILE); }
enum status sys_pread64(struct syscall *call) { return move_at(call, TRANSFER_READ, ONE_BUFFER); }
enum status sys_pwrite64(struct syscall *call) { return move_at(call, TRANSFER_WRITE, ONE_BUFFER); }
enum status sys_preadv(struct syscall *call) { return move_at(call, TRANSFER_READ, VECTOR_OF_BUFFERS); }
enum status sys_pwritev(struct syscall *call) { return move_at(call, TRANSFER_WRITE, VECTOR_OF_BUFFERS); }

/* Those whose reads and writes may be had in another way than usual: by waiting less (not here), or more. */
static enum status move_in_manner(struct syscall *call, enum transfer_direction direction) {
    enum { RWF_HIPRI = 1, RWF_DSYNC = 2, RWF_SYNC = 4 };
    const bool at_position = (int64_t)call->arg[3] == -1;
    if ((uint32_t)call->arg[5] & ~(uint32_t)(RWF_HIPRI | RWF_DSYNC | RWF_SYNC))
        return ERR_NOT_SUPPORTED;
    enum status status = at_position ? move(call, direction, VECTOR_OF_BUFFERS, POSITION_OF_FILE)
                                     : move_at(call, direction, VECTOR_OF_BUFFERS);
    if (status == OK && direction == TRANSFER_WRITE && ((uint32_t)call->arg[5] & (RWF_DSYNC | RWF_SYNC))) {
        int64_t done = call->result;
        status = sys_fsync(call);
        if (status == ERR_INVALID)
            status = OK; /* nothing is behind such a file */
        call->result = done;
    }
    return status;
}

enum status sys_preadv2(struct syscall *call) { return move_in_manner(call, TRANSFER_READ); }
enum status sys_pwritev2(struct syscall *call) { return move_in_manner(call, TRANSFER_WRITE); }

static uint64_t size_of(const struct file *file) {
    return file->operations->memory ? file_memory(file)->size : file->content_bytes;
}

static enum status seek(const struct file *file, int64_t offset, unsigned from, uint64_t *position) {
    int64_t base = 0, target, size = (int64_t)size_of(file);
    switch (from) {
    case SEEK_SET:
        break;
    case SEEK_CUR:
        base = (int64_t)file->position;
        break;
    case SEEK_END:
        base = size;
        break;
    case SEEK_DATA: /* a file without holes, as far as anyone can tell */
    case SEEK_HOLE:
        if (offset < 0 || offset >= size)
            return ERR_NO_DEVICE_ADDRESS;
        *position = from == SEEK_DATA ? (uint64_t)offset : (uint64_t)size;
        return OK;
    default:
        return ERR_INVALID;
    }
    /* Positions in directories are what file servers make them. */
    bool directory = inode_is(file->inode, S_IFDIR);
    if (__builtin_add_overflow(base, offset, &target) || target < 0 ||
        (!directory && target > (int64_t)OBJECT_SIZE_MAX))
        return ERR_INVALID;
    *position = (uint64_t)target;
    return OK;
}

enum status sys_lseek(struct syscall *call) {
    struct file *file;
    enum status status = handle_get((int)call->arg[0], &file);
    if (status != OK)
        return status;
    if (file->flags & O_PATH) {
        status = ERR_BAD_HANDLE;
    } else if (!file->operations->seekable) {
        status = ERR_NOT_SEEKABLE;
    } else {
        mutex_lock(&file->position_lock);
        status = seek(file, (int64_t)call->arg[1], (unsigned)call->arg[2], &file->position);
        if (status == OK)
            call->result = (int64_t)file->position;
        mutex_unlock(&file->position_lock);
    }
    file_unref(file);
    return status;
}

/*
 * What is written is durable when this returns: pages, then size and times, then the server's own. The kernel's own
 * files and those of a memory file system have nothing behind them that they could be written to.
 */
static enum status sync_served(struct inode *inode) {
    struct fs_call call = {.op = FS_SYNC, .request.node = inode->number};
    enum status status;
    if (mount_is_memory(inode->mount) || (inode->mount->options.flags & MOUNT_READ_ONLY))
        return OK;
    status = node_save(inode);
    return status == OK ? fs_call(inode->mount, &call) : status;
}

enum status sys_fsync(struct syscall *call) {
    struct file *file;
    enum status status = handle_get((int)call->arg[0], &file);
    if (status != OK)
        return status;
    if (file->flags & O_PATH)
        status = ERR_BAD_HANDLE;
    else if (!file->operations->memory && !inode_is(file->inode, S_IFREG) && !inode_is(file->inode, S_IFDIR))
        status = ERR_INVALID;
    else if (file->inode->mount != NULL)
        status = sync_served(file->inode);
    else if (file->operations->memory)
        status = object_sync(file_memory(file));
    file_unref(file);
    return status;
}

enum status sys_fdatasync(struct syscall *call) { return sys_fsync(call); }

enum status sys_sync(struct syscall *call) {
    (void)call;
    pager_sync_all();
    mounts_sync();
    return OK;
}

enum status sys_syncfs(struct syscall *call) {
    struct file *file;
    enum status status = handle_get((int)call->arg[0], &file);
    if (status != OK)
        return status;
    status = file->flags & O_PATH ? ERR_BAD_HANDLE : sys_sync(call); /* of all of them: more than was asked for */
    file_unref(file);
    return status;
}

/* Has the pages in a range stored, and waits for it whether asked to or not. Nothing is durable by it, as on Linux. */
enum status sys_sync_file_range(struct syscall *call) {
    enum { WAIT_BEFORE = 1, WRITE = 2, WAIT_AFTER = 4 };
    const uint64_t from = call->arg[1], bytes = call->arg[2], flags = call->arg[3];
    struct file *file;
    if ((int64_t)from < 0 || (int64_t)bytes < 0 || (int64_t)(from + bytes) < 0 ||
        (flags & ~(uint64_t)(WAIT_BEFORE | WRITE | WAIT_AFTER)))
        return ERR_INVALID;
    enum status status = handle_get((int)call->arg[0], &file);
    if (status != OK)
        return status;
    const uint64_t first = from >> PAGE_SHIFT, end = bytes != 0 ? bytes_to_pages(from + bytes) : UINT64_MAX;
    if (file->flags & O_PATH)
        status = ERR_BAD_HANDLE;
    else if (!file->operations->memory && !inode_is(file->inode, S_IFREG) && !inode_is(file->inode, S_IFDIR))
        status = ERR_NOT_SEEKABLE;
    else if (file->operations->memory && (flags & WRITE))
        status = object_store_range(file_memory(file), first, end - first);
    file_unref(file);
    return status;
}

/* Pages come when they are read, with those behind them: nothing is to be done before. */
enum status sys_readahead(struct syscall *call) {
    struct file *file;
    enum status status = handle_get((int)call->arg[0], &file);
    if (status != OK)
        return status;
    if ((file->flags & O_PATH) || !(file->rights & RIGHT_READ))
        status = ERR_BAD_HANDLE;
    else if (!file->operations->memory)
        status = ERR_INVALID;
    file_unref(file);
    return status;
}

enum status sys_fadvise64(struct syscall *call) {
    struct file *file;
    enum status status = handle_get((int)call->arg[0], &file);
    if (status != OK)
        return status;
    if (file->flags & O_PATH)
        status = ERR_BAD_HANDLE;
    else if (inode_is(file->inode, S_IFIFO))
        status = ERR_NOT_SEEKABLE;
    else if ((unsigned)call->arg[3] > 5) /* POSIX_FADV_NOREUSE; none of them changes anything for pages in memory */
        status = ERR_INVALID;
    file_unref(file);
    return status;
}
