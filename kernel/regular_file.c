/*
 * Regular files: their bytes are those of a memory object, reached through EPHMAP windows (mm/object.c).
 *
 * Invariant: LOGICAL ACCESS – every process with a handle on the file has the object open; it may see all of it,
 * because everyone is the superuser, who may open any file for reading. Locks: inode.append_lock across a write behind
 * the end. Runs in the caller's space.
 */
#include "arch/uaccess.h"
#include "kernel/names.h"
#include "kernel/open_file.h"
#include "mm/boot.h"
#include "mm/ephmap.h"
#include "mm/frame.h"
#include "mm/object.h"

#define RESERVE_SHARE 32  /* one part in so many of the memory is not for files */
#define RESERVE_LEAST 768 /* frames; nor are these: a process can be made of them after the last piece was written */

static enum status regular_open(struct file *file) {
    file->object = file->inode->object;
    return OK;
}

static enum status regular_read(struct file *file, vaddr_t to, size_t bytes, uint64_t *offset, size_t *done) {
    enum status status = object_read(file->object, *offset, to, bytes, done);
    *offset += *done;
    return status;
}

/*
 * Whether a write to the end `end` would leave too little memory for anything but files: then the file system is full.
 * What is overwritten in place needs none.
 */
static bool no_space(const struct memory_object *object, uint64_t end) {
    static uint64_t reserve; /* frames; constant once it is known */
    uint64_t pages = bytes_to_pages(end > object->size ? end : object->size);
    if (pages <= object->pages)
        return false;
    if (reserve == 0) {
        struct frame_counts counts;
        frame_count(&counts);
        reserve = counts.total / RESERVE_SHARE + RESERVE_LEAST;
    }
    return frame_free_count() < reserve;
}

static enum status write_at(struct file *file, vaddr_t from, size_t bytes, uint64_t *offset, size_t *done) {
    if (*offset >= OBJECT_SIZE_MAX)
        return ERR_FILE_TOO_BIG;
    if (bytes > OBJECT_SIZE_MAX - *offset)
        bytes = OBJECT_SIZE_MAX - *offset;
    if (no_space(file->object, *offset + bytes))
        return ERR_NO_SPACE;
    enum status status = object_write(file->object, *offset, from, bytes, true, done);
    *offset += *done;
    if (*done > 0)
        inode_touch_modified(file->inode);
    return status == ERR_NO_MEMORY ? ERR_NO_SPACE : status;
}

static enum status regular_write(struct file *file, vaddr_t from, size_t bytes, uint64_t *offset, size_t *done) {
    const bool append = file->flags & O_APPEND;
    if (bytes == 0)
        return OK;
    /* What others write behind the end must not come between an append's look at the size and its bytes. */
    if (!append && *offset < file->object->size && bytes <= file->object->size - *offset)
        return write_at(file, from, bytes, offset, done);
    mutex_lock(&file->inode->append_lock);
    if (append)
        *offset = file->object->size;
    enum status status = write_at(file, from, bytes, offset, done);
    mutex_unlock(&file->inode->append_lock);
    return status;
}

static enum status regular_write_kernel(struct file *file, const void *from, size_t bytes, uint64_t *offset,
                                        size_t *done) {
    if (*offset >= OBJECT_SIZE_MAX || bytes > OBJECT_SIZE_MAX - *offset)
        return ERR_FILE_TOO_BIG;
    if (no_space(file->object, *offset + bytes))
        return ERR_NO_SPACE;
    mutex_lock(&file->inode->append_lock);
    if (file->flags & O_APPEND)
        *offset = file->object->size;
    enum status status = object_write_kernel(file->object, *offset, from, bytes);
    mutex_unlock(&file->inode->append_lock);
    if (status != OK)
        return status == ERR_NO_MEMORY ? ERR_NO_SPACE : status;
    inode_touch_modified(file->inode);
    *offset += bytes;
    *done = bytes;
    return OK;
}

enum status regular_resize(struct inode *inode, uint64_t size) {
    /* The bytes behind the new end are cleared through a window: the caller needs the object open, by name as by
     * handle. */
    enum status status = ephmap_open(inode->object);
    if (status != OK)
        return status;
    mutex_lock(&inode->append_lock);
    status = object_resize(inode->object, size);
    mutex_unlock(&inode->append_lock);
    ephmap_close(inode->object);
    if (status == OK)
        inode_touch_modified(inode);
    return status == ERR_NO_MEMORY ? ERR_NO_SPACE : status;
}

static enum status regular_control(struct file *file, uint32_t command, uint64_t argument, int64_t *result) {
    (void)result;
    if (command != FIONREAD)
        return ERR_NOT_TERMINAL;
    uint64_t size = file->object->size, left = file->position < size ? size - file->position : 0;
    int32_t answer = left < INT32_MAX ? (int32_t)left : INT32_MAX;
    return copy_to_user(argument, &answer, sizeof(answer));
}

const struct file_operations regular_operations = {
    .seekable = true,
    .memory = true,
    .open = regular_open,
    .read = regular_read,
    .write = regular_write,
    .write_kernel = regular_write_kernel,
    .control = regular_control,
};

/* Symbolic links are opened with O_PATH only. */
static enum status nothing_open(struct file *file) {
    (void)file;
    return ERR_TOO_MANY_SYMLINKS;
}

const struct file_operations nothing_operations = {.open = nothing_open};
