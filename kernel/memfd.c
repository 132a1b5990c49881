/*
 * Owns: the files of memfd_create(), and their seals.
 *
 * Invariant: once sealed, always sealed: who writes counts in object->writers before he looks at the seals, and who
 * seals looks at writers after he has set them; one of the two gives way. Areas that may write count there, too.
 * LOGICAL ACCESS – as for any memory object (kernel/object_file.c). Locks: object->lock for the size. Runs in the
 * caller's space; may sleep.
 */
#include "kernel/memfd.h"

#include "arch/uaccess.h"
#include "kernel/ipc_abi.h"
#include "kernel/syscall_table.h"
#include "mm/heap.h"
#include "mm/object.h"

enum { MFD_CLOEXEC = 1, MFD_ALLOW_SEALING = 2, NAME_MAX_BYTES = 249 };

static enum status memfd_read(struct file *file, vaddr_t to, size_t bytes, uint64_t *offset, size_t *done) {
    enum status status = object_read(file->object, *offset, to, bytes, done);
    *offset += *done;
    return status;
}

/* Whether the seals let a write happen. */
static enum status check_write(const struct memory_object *object, uint64_t offset, size_t bytes) {
    const uint32_t seals = __atomic_load_n(&object->seals, __ATOMIC_SEQ_CST);

    if (seals & (SEAL_WRITE | SEAL_FUTURE_WRITE))
        return ERR_NOT_PERMITTED;
    return seals & SEAL_GROW && offset + bytes > object->size ? ERR_NOT_PERMITTED : OK;
}

static enum status memfd_write(struct file *file, vaddr_t from, size_t bytes, uint64_t *offset, size_t *done) {
    struct memory_object *object = file->target;

    object_writer_begins(object);
    enum status status = check_write(object, *offset, bytes);
    if (status == OK)
        status = object_write(object, *offset, from, bytes, file->readable, done);
    object_writer_ends(object);
    *offset += *done;
    return status;
}

static enum status memfd_write_kernel(struct file *file, const void *from, size_t bytes, uint64_t *offset,
                                      size_t *done) {
    struct memory_object *object = file->target;

    object_writer_begins(object);
    enum status status = check_write(object, *offset, bytes);
    if (status == OK)
        status = object_write_kernel(object, *offset, from, bytes);
    object_writer_ends(object);
    if (status != OK)
        return status;
    *offset += bytes;
    *done = bytes;
    return OK;
}

static void memfd_release(struct file *file) { object_unref(file->target); }

static void memfd_reference(struct file *file) { object_ref(file->target); }

static const struct file_operations memfd_operations = {
    .seekable = true,
    .memory = true,
    .release = memfd_release,
    .reference = memfd_reference,
    .read = memfd_read,
    .write = memfd_write,
    .write_kernel = memfd_write_kernel,
};

static enum status create(bool sealable, struct file **out) {
    struct memory_object *object;
    enum status status = object_create(&object);

    if (status != OK)
        return status;
    object->seals = SEALABLE | (sealable ? 0 : SEAL_SEAL);
    status = file_create_on(&memfd_operations, object, RIGHT_READ | RIGHT_WRITE | RIGHT_TRANSFER, out);
    if (status != OK) {
        object_unref(object);
        return status;
    }
    (*out)->object = object;
    return OK;
}

/* The name is for people who look at /proc on Linux; it is checked, and not kept. */
static enum status check_name(vaddr_t at) {
    char *name = local_alloc(NAME_MAX_BYTES + 1);
    size_t length;

    if (name == NULL)
        return ERR_NO_MEMORY;
    enum status status = copy_string_from_user(name, at, NAME_MAX_BYTES + 1, &length);
    local_free(name, NAME_MAX_BYTES + 1);
    return status == ERR_NAME_TOO_LONG ? ERR_INVALID : status;
}

enum status sys_memfd_create(struct syscall *call) {
    const uint32_t flags = (uint32_t)call->arg[1];
    struct file *file;

    if (flags & ~(uint32_t)(MFD_CLOEXEC | MFD_ALLOW_SEALING))
        return ERR_INVALID;
    enum status status = check_name(call->arg[0]);
    if (status == OK)
        status = create(flags & MFD_ALLOW_SEALING, &file);
    return status == OK ? handle_publish_as(file, flags & MFD_CLOEXEC ? O_CLOEXEC : 0, &call->result) : status;
}

/* --- Seals -------------------------------------------------------------------------------------------------------- */

enum { SEALS = SEAL_SEAL | SEAL_SHRINK | SEAL_GROW | SEAL_WRITE | SEAL_FUTURE_WRITE };

enum status memfd_seals(const struct file *file, int64_t *result) {
    if (file->operations != &memfd_operations)
        return ERR_INVALID;
    *result = file_memory(file)->seals & SEALS;
    return OK;
}

enum status memfd_add_seals(struct file *file, uint64_t seals) {
    struct memory_object *object = file->target;
    enum status status = OK;

    if (file->operations != &memfd_operations || seals & ~(uint64_t)SEALS)
        return ERR_INVALID;
    if (!file->writable)
        return ERR_NOT_PERMITTED;
    object_lock(object);
    const uint32_t before = object->seals;
    if (before & SEAL_SEAL) {
        status = ERR_NOT_PERMITTED;
    } else {
        __atomic_store_n(&object->seals, before | (uint32_t)seals, __ATOMIC_SEQ_CST);
        if (seals & ~before & SEAL_WRITE && __atomic_load_n(&object->writers, __ATOMIC_SEQ_CST) != 0) {
            __atomic_store_n(&object->seals, before, __ATOMIC_SEQ_CST);
            status = ERR_BUSY;
        }
    }
    object_unlock(object);
    return status;
}
