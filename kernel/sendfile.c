/*
 * sendfile(): from a regular file to any file, through a page of LOCAL memory.
 *
 * Locks: position_lock of the source when its position is used, then of the target; never both ways round: the same
 * file on both sides is refused. Runs in the caller's space.
 */
#include "arch/uaccess.h"
#include "kernel/inotify.h"
#include "kernel/names.h"
#include "kernel/syscall_table.h"
#include "kernel/transfer.h"
#include "mm/heap.h"
#include "mm/object.h"

/* Writes all of the buffer, or what can be written. */
static enum status put(struct file *out, const char *from, size_t bytes, size_t *done) {
    bool seekable = out->operations->seekable;
    uint64_t unused = 0;
    if (seekable)
        mutex_lock(&out->position_lock);
    enum status status = out->operations->write_kernel(out, from, bytes, seekable ? &out->position : &unused, done);
    if (seekable)
        mutex_unlock(&out->position_lock);
    return status;
}

static enum status copy(struct file *out, struct file *in, uint64_t *offset, size_t bytes, size_t *done) {
    enum status status = OK;
    char *buffer = local_alloc(PAGE_SIZE);
    if (buffer == NULL)
        return ERR_NO_MEMORY;
    while (status == OK && *done < bytes && !transfer_pause()) {
        size_t part = bytes - *done < PAGE_SIZE ? bytes - *done : PAGE_SIZE, got = 0, sent = 0;
        status = object_read_kernel(in->object, *offset, buffer, part, &got);
        if (status != OK || got == 0)
            break;
        status = put(out, buffer, got, &sent);
        *offset += sent;
        *done += sent;
        if (sent < got)
            break;
    }
    local_free(buffer, PAGE_SIZE);
    return *done > 0 ? OK : status;
}

static enum status check(const struct file *out, const struct file *in) {
    enum status status = transfer_check(in, TRANSFER_READ, POSITION_OF_FILE);
    if (status == OK)
        status = transfer_check(out, TRANSFER_WRITE, POSITION_OF_FILE);
    if (status != OK)
        return status;
    bool fit = in->operations->memory && out->operations->write_kernel != NULL && in != out && !(out->flags & O_APPEND);
    return fit ? OK : ERR_INVALID;
}

static enum status send(struct file *out, struct file *in, vaddr_t offset_address, size_t bytes, size_t *done) {
    uint64_t offset;
    enum status status = check(out, in);
    if (status != OK)
        return status;
    if (bytes > IO_BYTES_MAX)
        bytes = IO_BYTES_MAX;
    if (offset_address == 0) {
        mutex_lock(&in->position_lock);
        offset = in->position; /* the target may wait long: the position is not held meanwhile */
        mutex_unlock(&in->position_lock);
        status = copy(out, in, &offset, bytes, done);
        mutex_lock(&in->position_lock);
        in->position = offset;
        mutex_unlock(&in->position_lock);
        return status;
    }
    status = copy_from_user(&offset, offset_address, sizeof(offset));
    if (status != OK)
        return status;
    if ((int64_t)offset < 0)
        return ERR_INVALID;
    status = copy(out, in, &offset, bytes, done);
    if (status == OK)
        status = copy_to_user(offset_address, &offset, sizeof(offset));
    return status;
}

enum status sys_sendfile(struct syscall *call) {
    struct file *out, *in;
    size_t done = 0;
    enum status status = handle_get((int)call->arg[0], &out);
    if (status != OK)
        return status;
    status = handle_get((int)call->arg[1], &in);
    if (status == OK) {
        status = send(out, in, call->arg[2], call->arg[3], &done);
        inotify_file(in, IN_ACCESS, done);
        inotify_file(out, IN_MODIFY, done);
        file_unref(in);
    }
    file_unref(out);
    call->result = (int64_t)done;
    return status;
}
