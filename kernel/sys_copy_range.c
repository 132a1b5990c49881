/*
 * copy_file_range: from one regular file to another, or to another place of the same, through a page of LOCAL memory.
 *
 * Locks: a file's position_lock to read its position and to move it, not while bytes are copied; never two. Runs in the
 * caller's space.
 */
#include "kernel/inotify.h"
#include "kernel/syscall_table.h"
#include "kernel/transfer.h"
#include "mm/heap.h"
#include "mm/object.h"

static enum status check(const struct file *in, const struct file *out) {
    if (inode_is(in->inode, S_IFDIR) || inode_is(out->inode, S_IFDIR))
        return ERR_IS_DIRECTORY;
    enum status status = transfer_check(in, TRANSFER_READ, POSITION_OF_FILE);
    if (status == OK)
        status = transfer_check(out, TRANSFER_WRITE, POSITION_OF_FILE);
    if (status != OK)
        return status;
    if (!inode_is(in->inode, S_IFREG) || !inode_is(out->inode, S_IFREG) || !in->operations->memory ||
        !out->operations->memory)
        return ERR_INVALID;
    return out->flags & O_APPEND ? ERR_BAD_HANDLE : OK;
}

static bool overlap(const struct transfer_place *in, const struct transfer_place *out, size_t bytes) {
    return in->file->inode == out->file->inode && in->offset < out->offset + bytes && out->offset < in->offset + bytes;
}

static enum status copy(struct transfer_place *in, struct transfer_place *out, size_t bytes, size_t *done) {
    enum status status = OK;
    char *buffer = local_alloc(PAGE_SIZE);
    if (buffer == NULL)
        return ERR_NO_MEMORY;
    while (status == OK && *done < bytes && !transfer_pause()) {
        size_t part = bytes - *done < PAGE_SIZE ? bytes - *done : PAGE_SIZE, got = 0, put = 0;
        status = object_read_kernel(in->file->object, in->offset, buffer, part, &got);
        if (status != OK || got == 0)
            break;
        status = out->file->operations->write_kernel(out->file, buffer, got, &out->offset, &put);
        in->offset += put;
        *done += put;
        if (put < got)
            break;
    }
    local_free(buffer, PAGE_SIZE);
    return *done > 0 ? OK : status;
}

static enum status copy_range(struct transfer_place *in, struct transfer_place *out, size_t bytes, size_t *done) {
    enum status status = check(in->file, out->file);
    if (status == OK)
        status = transfer_place_begin(in);
    if (status == OK)
        status = transfer_place_begin(out);
    if (status != OK)
        return status;
    if (bytes > IO_BYTES_MAX)
        bytes = IO_BYTES_MAX;
    if (overlap(in, out, bytes))
        return ERR_INVALID;
    status = copy(in, out, bytes, done);
    if (status == OK)
        status = transfer_place_end(in);
    return status == OK ? transfer_place_end(out) : status;
}

enum status sys_copy_file_range(struct syscall *call) {
    struct transfer_place in = {.told_at = call->arg[1]}, out = {.told_at = call->arg[3]};
    size_t done = 0;
    if ((uint32_t)call->arg[5] != 0)
        return ERR_INVALID;
    enum status status = handle_get((int)call->arg[0], &in.file);
    if (status != OK)
        return status;
    status = handle_get((int)call->arg[2], &out.file);
    if (status == OK) {
        status = copy_range(&in, &out, call->arg[4], &done);
        inotify_file(in.file, IN_ACCESS, done);
        inotify_file(out.file, IN_MODIFY, done);
        file_unref(out.file);
    }
    file_unref(in.file);
    call->result = (int64_t)done;
    return status;
}
