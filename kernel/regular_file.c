/*
 * Regular files: their bytes are those of a memory object, reached through EPHMAP windows (mm/object.c).
 *
 * Invariant: LOGICAL ACCESS – a process with a handle by which it may read has the object open. A handle for writing
 * only opens nothing: a write by it has the object open for as long as it takes if the process could read the file
 * now, and leaves the restricted space if not. Locks: inode.lock across a write behind the end, a resize, and what a
 * server is told of the size. Runs in the caller's space.
 */
#include "arch/uaccess.h"
#include "kernel/limits.h"
#include "kernel/mount.h"
#include "kernel/names.h"
#include "kernel/node.h"
#include "kernel/open_file.h"
#include "kernel/permission.h"
#include "kernel/space.h"
#include "mm/boot.h"
#include "mm/ephmap.h"
#include "mm/frame.h"
#include "mm/object.h"
#include "mm/pager.h"

#define RESERVE_SHARE 32  /* one part in so many of the memory is not for files */
#define RESERVE_LEAST 768 /* frames; nor are these: a process can be made of them after the last piece was written */

static enum status make_object(const struct inode *inode, struct memory_object **out) {
    if (!mount_is_memory(inode->mount))
        return object_create_paged(inode->mount->server, inode->number, inode->size, out);
    enum status status = object_create(out);
    if (status == OK && inode->size > 0)
        status = object_resize(*out, inode->size); /* a hole: what had pages would still have them */
    return status;
}

enum status regular_prepare(struct inode *inode) {
    struct memory_object *object;
    if (inode->object != NULL)
        return OK;
    enum status status = make_object(inode, &object);
    if (status != OK)
        return status;
    spin_lock(&names_lock);
    bool first = inode->object == NULL;
    if (first)
        inode->object = object;
    spin_unlock(&names_lock);
    if (!first)
        object_unref(object);
    return OK;
}

static enum status regular_open(struct file *file) {
    enum status status = regular_prepare(file->inode);
    if (status == OK && file->writable)
        status = object_begin_write(file->inode->object);
    if (status == OK && file->readable)
        file->object = file->inode->object;
    return status;
}

static void regular_release(struct file *file) {
    if (file->writable)
        object_end_write(file->inode->object);
}

static enum status regular_read(struct file *file, vaddr_t to, size_t bytes, uint64_t *offset, size_t *done) {
    enum status status = object_read(file->object, *offset, to, bytes, done);
    *offset += *done;
    return status;
}

#define RECLAIM_PAGES 256U /* of other files' that can be had again, where memory is short */

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
    return frame_free_count() < reserve && object->pager == NULL && pager_reclaim(NULL, RECLAIM_PAGES) == 0;
}

static enum status write_object(struct file *file, uint64_t offset, vaddr_t from, size_t bytes, size_t *done) {
    struct memory_object *object = file->inode->object;
    if (file->object != NULL)
        return object_write(object, offset, from, bytes, true, done);
    if (!permitted(file->inode, MAY_READ))
        return object_write(object, offset, from, bytes, false, done);
    enum status status = ephmap_open(object);
    if (status != OK)
        return status;
    status = object_write(object, offset, from, bytes, true, done);
    ephmap_close(object);
    return status;
}

static enum status write_at(struct file *file, vaddr_t from, size_t bytes, uint64_t *offset, size_t *done) {
    if (*offset >= OBJECT_SIZE_MAX)
        return ERR_FILE_TOO_BIG;
    if (bytes > OBJECT_SIZE_MAX - *offset)
        bytes = OBJECT_SIZE_MAX - *offset;
    if ((bytes = limits_permit_file(*offset, bytes)) == 0)
        return ERR_FILE_TOO_BIG;
    if (no_space(file->inode->object, *offset + bytes))
        return ERR_NO_SPACE;
    enum status status = space_take(file->inode, *offset, &bytes);
    if (status != OK)
        return status;
    status = write_object(file, *offset, from, bytes, done);
    *offset += *done;
    if (*done > 0)
        inode_touch_modified(file->inode);
    return status == ERR_NO_MEMORY ? ERR_NO_SPACE : status;
}

/* Who changes a program has not the right to say as whom it runs. */
static enum status drop_set_ids(struct inode *inode) {
    const uint32_t set_group = inode->mode & S_RUN_GROUP ? S_SET_GROUP : 0;
    if (__builtin_expect((inode->mode & (S_SET_USER | set_group)) == 0, 1) || permitted_as_root())
        return OK;
    const struct fs_attributes attributes = {.mode = inode->mode & S_PERMISSIONS & ~(S_SET_USER | set_group)};
    return node_set(inode, FS_SET_MODE, &attributes);
}

static enum status regular_write(struct file *file, vaddr_t from, size_t bytes, uint64_t *offset, size_t *done) {
    const bool append = file->flags & O_APPEND;
    if (bytes == 0)
        return OK;
    enum status allowed = drop_set_ids(file->inode);
    if (allowed != OK)
        return allowed;
    /* What others write behind the end must not come between an append's look at the size and its bytes. */
    const struct memory_object *object = file->inode->object;
    if (!append && *offset < object->size && bytes <= object->size - *offset)
        return write_at(file, from, bytes, offset, done);
    mutex_lock(&file->inode->lock);
    if (append)
        *offset = object->size;
    enum status status = write_at(file, from, bytes, offset, done);
    mutex_unlock(&file->inode->lock);
    return status;
}

/* From the kernel's own buffer there is no way that leaves the space: who may not read cannot do it. */
static enum status write_object_kernel(struct file *file, uint64_t offset, const void *from, size_t bytes) {
    struct memory_object *object = file->inode->object;
    if (file->object != NULL)
        return object_write_kernel(object, offset, from, bytes);
    if (!permitted(file->inode, MAY_READ))
        return ERR_ACCESS;
    enum status status = ephmap_open(object);
    if (status != OK)
        return status;
    status = object_write_kernel(object, offset, from, bytes);
    ephmap_close(object);
    return status;
}

static enum status regular_write_kernel(struct file *file, const void *from, size_t bytes, uint64_t *offset,
                                        size_t *done) {
    if (*offset >= OBJECT_SIZE_MAX || bytes > OBJECT_SIZE_MAX - *offset)
        return ERR_FILE_TOO_BIG;
    struct memory_object *object = file->inode->object;
    if (no_space(object, *offset + bytes))
        return ERR_NO_SPACE;
    mutex_lock(&file->inode->lock);
    if (file->flags & O_APPEND)
        *offset = object->size;
    size_t room = bytes;
    enum status status = limits_permit_file(*offset, bytes) == bytes ? OK : ERR_FILE_TOO_BIG;
    if (status == OK)
        status = space_take(file->inode, *offset, &room);
    if (status == OK)
        status = room == bytes ? write_object_kernel(file, *offset, from, bytes) : ERR_NO_SPACE;
    mutex_unlock(&file->inode->lock);
    if (status != OK)
        return status == ERR_NO_MEMORY ? ERR_NO_SPACE : status;
    inode_touch_modified(file->inode);
    *offset += bytes;
    *done = bytes;
    return OK;
}

/*
 * The bytes behind the new end are cleared through a window: the caller needs the object open, by name as by handle, if
 * it may read the file; if not, object_resize() leaves the restricted space.
 */
static enum status resize_object(struct inode *inode, uint64_t size) {
    bool visible = permitted(inode, MAY_READ);
    enum status status = visible ? ephmap_open(inode->object) : OK;
    if (status != OK)
        return status;
    status = object_resize(inode->object, size);
    if (visible)
        ephmap_close(inode->object);
    return status;
}

/* The server hears of it first: it may refuse. */
static enum status resize_served(struct inode *inode, uint64_t size) {
    const int64_t now = inode_time_now();
    const struct fs_attributes attributes = {.size = size, .modified = now, .changed = now};
    if (size == inode->object->size && size == inode->size)
        return OK;
    enum status status = OK;
    if (size < inode->object->size && page_offset(size) != 0) /* what is behind the end must read as zero later, too */
        status = object_page_in(inode->object, size >> PAGE_SHIFT);
    if (status != OK)
        return status;
    status = node_set(inode, FS_SET_SIZE | FS_SET_MODIFIED | FS_SET_CHANGED, &attributes);
    return status == OK ? resize_object(inode, size) : status;
}

static enum status resize(struct inode *inode, uint64_t size) {
    enum status status = drop_set_ids(inode);
    if (status == OK && size > inode->object->size && limits_permit_file(size - 1, 1) == 0)
        status = ERR_FILE_TOO_BIG;
    if (status != OK)
        return status;
    mutex_lock(&inode->lock);
    status = resize_served(inode, size);
    mutex_unlock(&inode->lock);
    return status == ERR_NO_MEMORY ? ERR_NO_SPACE : status;
}

enum status regular_resize(struct inode *inode, uint64_t size) {
    enum status status = mount_writable(inode->mount);
    if (status == OK)
        status = regular_prepare(inode);
    if (status == OK)
        status = object_begin_write(inode->object);
    if (status != OK)
        return status;
    status = resize(inode, size);
    object_end_write(inode->object);
    return status;
}

static enum status regular_control(struct file *file, uint32_t command, uint64_t argument, int64_t *result) {
    (void)result;
    if (command != FIONREAD)
        return ERR_NOT_TERMINAL;
    uint64_t size = file->inode->object->size, left = file->position < size ? size - file->position : 0;
    int32_t answer = left < INT32_MAX ? (int32_t)left : INT32_MAX;
    return copy_to_user(argument, &answer, sizeof(answer));
}

const struct file_operations regular_operations = {
    .seekable = true,
    .memory = true,
    .open = regular_open,
    .release = regular_release,
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
