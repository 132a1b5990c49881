/*
 * Handles on memory objects. All of a file's content calls work on them; the object's bytes are nobody's but those who
 * have a handle.
 *
 * Invariant: LOGICAL ACCESS – each process with a handle that may read has the object open (kernel/handles.c); one that
 * may not writes outside the restricted space (object_write()). Locks: none of its own. Runs in the caller's space.
 */
#include "kernel/object_file.h"

#include "kernel/ipc_abi.h"
#include "mm/object.h"

static enum status object_file_read(struct file *file, vaddr_t to, size_t bytes, uint64_t *offset, size_t *done) {
    enum status status = object_read(file->object, *offset, to, bytes, done);
    *offset += *done;
    return status;
}

static enum status object_file_write(struct file *file, vaddr_t from, size_t bytes, uint64_t *offset, size_t *done) {
    enum status status = object_write(file->target, *offset, from, bytes, file->readable, done);
    *offset += *done;
    return status;
}

static enum status object_file_write_kernel(struct file *file, const void *from, size_t bytes, uint64_t *offset,
                                            size_t *done) {
    if (!file->readable)
        return ERR_BAD_HANDLE;
    enum status status = object_write_kernel(file->object, *offset, from, bytes);
    if (status != OK)
        return status;
    *offset += bytes;
    *done = bytes;
    return OK;
}

static void object_file_release(struct file *file) { object_unref(file->target); }

static void object_file_reference(struct file *file) { object_ref(file->target); }

static const struct file_operations object_operations = {
    .seekable = true,
    .memory = true,
    .release = object_file_release,
    .reference = object_file_reference,
    .read = object_file_read,
    .write = object_file_write,
    .write_kernel = object_file_write_kernel,
};

enum status object_file_create(struct memory_object *object, uint32_t rights, struct file **out) {
    enum status status = file_create_on(&object_operations, object, rights, out);
    if (status != OK) {
        object_unref(object);
        return status;
    }
    if (rights & RIGHT_READ)
        (*out)->object = object;
    return OK;
}
