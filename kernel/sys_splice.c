/*
 * splice, tee, vmsplice: bytes between a pipe and another file, another pipe, or user memory. They are copied,
 * through a page of LOCAL memory where both sides are files: what Linux saves by moving pages the rule about a
 * page's writer (kernel/channel.c) would cost again.
 *
 * As on Linux a call waits until there is something to do, and then does what can be done without waiting for the
 * pipes. Locks: none across a copy; the pipe that is read from is held (pipe_hold()). Runs in the caller's space, never
 * leaves the restricted one.
 */
#include "kernel/inotify.h"
#include "kernel/names.h"
#include "kernel/pipe.h"
#include "kernel/syscall_table.h"
#include "kernel/transfer.h"
#include "mm/heap.h"
#include "mm/object.h"

enum splice_flag { SPLICE_F_MOVE = 1, SPLICE_F_NONBLOCK = 2, SPLICE_F_MORE = 4, SPLICE_F_GIFT = 8 };
#define SPLICE_F_ALL ((uint64_t)SPLICE_F_MOVE | SPLICE_F_NONBLOCK | SPLICE_F_MORE | SPLICE_F_GIFT)

/* One call. `tee`: what is read stays where it is. */
struct splice {
    struct transfer_place in, out;
    size_t bytes, done;
    bool tee, wait;
    char *buffer; /* LOCAL, a page */
};

/* Brings bytes to where they go. */
static enum status put(struct splice *splice, size_t bytes, size_t *put) {
    struct file *out = splice->out.file;
    if (file_is_pipe(out))
        return pipe_write_some(out, (struct channel_source){.kernel = splice->buffer}, bytes, put);
    return out->operations->write_kernel(out, splice->buffer, bytes, &splice->out.offset, put);
}

static size_t next_part(const struct splice *splice) {
    const size_t left = splice->bytes - splice->done;
    return left < PAGE_SIZE ? left : PAGE_SIZE;
}

/* The pipe is held. */
static enum status drain(struct splice *splice) {
    struct file *in = splice->in.file;
    enum status status = OK;
    while (splice->done < splice->bytes && !transfer_pause()) {
        size_t sent = 0, got = pipe_peek(in, splice->tee ? splice->done : 0, splice->buffer, next_part(splice));
        if (got == 0)
            break;
        status = put(splice, got, &sent);
        if (!splice->tee && sent > 0)
            pipe_consume(in, splice->buffer, sent);
        splice->done += sent;
        if (status != OK || sent < got)
            break;
    }
    return splice->done > 0 ? OK : status;
}

/* To another pipe only what has room there, so that nobody waits with a pipe held for one who reads this one. */
static enum status from_pipe(struct splice *splice) {
    const bool to_pipe = file_is_pipe(splice->out.file);
    enum status status;
    do {
        bool any;
        status = to_pipe ? pipe_wait_for_room(splice->out.file, splice->wait) : OK;
        if (status == OK)
            status = pipe_hold(splice->in.file, splice->wait, &any);
        if (status != OK || !any)
            return status;
        status = drain(splice);
        pipe_let_go(splice->in.file);
    } while (to_pipe && status == ERR_WOULD_BLOCK && splice->wait); /* another was faster */
    return status;
}

static enum status from_file(struct splice *splice) {
    enum status status = OK;
    size_t got = PAGE_SIZE, sent = PAGE_SIZE;
    while (status == OK && splice->done < splice->bytes && sent == got && !transfer_pause()) {
        got = sent = 0;
        status =
            object_read_kernel(splice->in.file->object, splice->in.offset, splice->buffer, next_part(splice), &got);
        if (status != OK || got == 0)
            break;
        if (splice->done == 0)
            status = pipe_wait_for_room(splice->out.file, splice->wait);
        if (status == OK)
            status = put(splice, got, &sent);
        if (status == ERR_WOULD_BLOCK && splice->done == 0 && splice->wait) { /* another was faster */
            status = OK;
            sent = got = PAGE_SIZE;
            continue;
        }
        splice->in.offset += sent;
        splice->done += sent;
    }
    return splice->done > 0 ? OK : status;
}

/* A place in a pipe is none; one in another file must be possible there. */
static enum status check_place(const struct transfer_place *place, bool has_pipe) {
    if (file_is_pipe(place->file))
        return place->told_at != 0 ? ERR_NOT_SEEKABLE : OK;
    return !has_pipe || (place->told_at != 0 && !place->file->operations->seekable) ? ERR_INVALID : OK;
}

static enum status check(const struct splice *splice) {
    const struct file *in = splice->in.file, *out = splice->out.file;
    const bool from = file_is_pipe(in), to = file_is_pipe(out);
    if ((in->flags | out->flags) & O_PATH || !in->readable || !out->writable)
        return ERR_BAD_HANDLE;
    if (splice->tee && !(from && to))
        return ERR_INVALID;
    enum status status = check_place(&splice->in, to);
    if (status == OK)
        status = check_place(&splice->out, from);
    if (status != OK)
        return status;
    if (from && to)
        return in->inode == out->inode ? ERR_INVALID : OK;
    if (to)
        return in->operations->memory ? OK : ERR_INVALID;
    return out->operations->write_kernel == NULL || (out->flags & O_APPEND) ? ERR_INVALID : OK;
}

/* Positions are begun and ended where there are any: of pipes and sockets nobody looks at them. */
static enum status run(struct splice *splice) {
    enum status status = check(splice);
    const bool from = status == OK && file_is_pipe(splice->in.file);
    if (status == OK)
        status = transfer_place_begin(&splice->in);
    if (status == OK)
        status = transfer_place_begin(&splice->out);
    if (status != OK)
        return status;
    if ((from && splice->in.file->flags & O_NONBLOCK) ||
        (file_is_pipe(splice->out.file) && splice->out.file->flags & O_NONBLOCK))
        splice->wait = false;
    splice->buffer = local_alloc(PAGE_SIZE);
    if (splice->buffer == NULL)
        return ERR_NO_MEMORY;
    status = from ? from_pipe(splice) : from_file(splice);
    local_free(splice->buffer, PAGE_SIZE);
    if (status == OK && !from)
        status = transfer_place_end(&splice->in);
    if (status == OK && !file_is_pipe(splice->out.file))
        status = transfer_place_end(&splice->out);
    return status;
}

static enum status splice_files(struct splice *splice, int in, int out, int64_t *result) {
    enum status status = handle_get(in, &splice->in.file);
    if (status != OK)
        return status;
    status = handle_get(out, &splice->out.file);
    if (status == OK) {
        status = run(splice);
        if (!splice->tee)
            inotify_file(splice->in.file, IN_ACCESS, splice->done);
        inotify_file(splice->out.file, IN_MODIFY, splice->done);
        file_unref(splice->out.file);
    }
    file_unref(splice->in.file);
    *result = (int64_t)splice->done;
    return status;
}

static struct splice begin(uint64_t bytes, uint64_t flags, bool tee) {
    return (struct splice){
        .bytes = bytes < IO_BYTES_MAX ? bytes : IO_BYTES_MAX, .wait = !(flags & SPLICE_F_NONBLOCK), .tee = tee};
}

enum status sys_splice(struct syscall *call) {
    const uint64_t flags = (uint32_t)call->arg[5];
    struct splice splice = begin(call->arg[4], flags, false);
    splice.in.told_at = call->arg[1];
    splice.out.told_at = call->arg[3];
    if (splice.bytes == 0)
        return OK;
    if (flags & ~SPLICE_F_ALL)
        return ERR_INVALID;
    return splice_files(&splice, (int)call->arg[0], (int)call->arg[2], &call->result);
}

enum status sys_tee(struct syscall *call) {
    const uint64_t flags = (uint32_t)call->arg[3];
    struct splice splice = begin(call->arg[2], flags, true);
    if (flags & ~SPLICE_F_ALL)
        return ERR_INVALID;
    if (splice.bytes == 0)
        return OK;
    return splice_files(&splice, (int)call->arg[0], (int)call->arg[1], &call->result);
}

/* --- User memory -------------------------------------------------------------------------------------------------- */

static enum status move_vector(struct file *file, bool write, const struct linux_iovec *vector, bool wait,
                               size_t *done) {
    if (write)
        return pipe_write_some(file, (struct channel_source){.user = vector->base}, vector->bytes, done);
    return pipe_read_now(file, vector->base, vector->bytes, wait, done);
}

/* The first vector may wait, what follows takes what comes. */
static enum status move_vectors(struct file *file, const struct linux_iovec *vectors, unsigned count, bool wait,
                                size_t *done) {
    const bool write = file->writable;
    enum status status = OK;
    for (unsigned i = 0; i < count; i++) {
        size_t part = 0;
        do {
            if (write && *done == 0)
                status = pipe_wait_for_room(file, wait);
            if (status == OK)
                status = move_vector(file, write, &vectors[i], wait && *done == 0, &part);
        } while (write && wait && *done == 0 && status == ERR_WOULD_BLOCK); /* another was faster */
        *done += part;
        if (status != OK || part < vectors[i].bytes)
            break;
    }
    return *done > 0 ? OK : status;
}

static enum status vmsplice(struct file *file, vaddr_t vectors, uint64_t count, bool wait, size_t *done) {
    struct linux_iovec *copy;
    unsigned kept;
    size_t bytes;
    if (!file_is_pipe(file))
        return ERR_BAD_HANDLE;
    if (count > IO_VECTORS_MAX)
        return ERR_INVALID;
    enum status status = vectors_copy(vectors, (unsigned)count, &copy, &kept, &bytes);
    if (status != OK)
        return status;
    status = move_vectors(file, copy, kept, wait && !(file->flags & O_NONBLOCK), done);
    vectors_free(copy, (unsigned)count);
    return status;
}

enum status sys_vmsplice(struct syscall *call) {
    const uint64_t flags = (uint32_t)call->arg[3];
    struct file *file;
    size_t done = 0;
    if (flags & ~SPLICE_F_ALL)
        return ERR_INVALID;
    enum status status = handle_get((int)call->arg[0], &file);
    if (status != OK)
        return status;
    status = vmsplice(file, call->arg[1], call->arg[2], !(flags & SPLICE_F_NONBLOCK), &done);
    file_unref(file);
    call->result = (int64_t)done;
    return status;
}
