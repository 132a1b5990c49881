/*
 * Moving bytes between open files and user memory: checks, positions, vectors. The bytes themselves are the file types'
 * matter.
 *
 * Locks: file.position_lock across a transfer at the file's own position. Runs in the caller's space.
 */
#include "kernel/transfer.h"

#include "arch/cpu.h"
#include "arch/uaccess.h"
#include "kernel/assert.h"
#include "kernel/inotify.h"
#include "kernel/sched.h"
#include "kernel/signal.h"
#include "kernel/thread.h"
#include "mm/heap.h"

#define PIECE           (1UL << 20) /* bytes between two looks at what else the CPU has to do */
#define VECTORS_AT_ONCE 8U
#define GATHER_MAX      PAGE_SIZE /* PIPE_BUF: vectors of that much in all are written as one */

bool transfer_pause(void) {
    if (__builtin_expect(thread_current()->work == 0, 1))
        return false;
    if (signal_pending())
        return true;
    sched_yield();
    return signal_pending();
}

enum status transfer_check(const struct file *file, enum transfer_direction direction, uint64_t offset) {
    const struct file_operations *operations = file->operations;
    if (file->flags & O_PATH)
        return ERR_BAD_HANDLE;
    if (offset != POSITION_OF_FILE) {
        if (!operations->seekable)
            return ERR_NOT_SEEKABLE;
        if ((int64_t)offset < 0)
            return ERR_INVALID;
    }
    if (direction == TRANSFER_READ) {
        if (!file->readable)
            return ERR_BAD_HANDLE;
        if (operations->read == NULL)
            return inode_is(file->inode, S_IFDIR) ? ERR_IS_DIRECTORY : ERR_INVALID;
        return OK;
    }
    if (!file->writable)
        return ERR_BAD_HANDLE;
    return operations->write != NULL ? OK : ERR_INVALID;
}

enum status transfer_place_begin(struct transfer_place *place) {
    if (place->told_at != 0) {
        enum status status = copy_from_user(&place->offset, place->told_at, sizeof(place->offset));
        return status == OK && (int64_t)place->offset < 0 ? ERR_INVALID : status;
    }
    mutex_lock(&place->file->position_lock);
    place->offset = place->file->position;
    mutex_unlock(&place->file->position_lock);
    return OK;
}

enum status transfer_place_end(const struct transfer_place *place) {
    if (place->told_at != 0)
        return copy_to_user(place->told_at, &place->offset, sizeof(place->offset));
    mutex_lock(&place->file->position_lock);
    place->file->position = place->offset;
    mutex_unlock(&place->file->position_lock);
    return OK;
}

static __attribute__((noinline, cold)) void tell_watchers(const struct file *file, enum transfer_direction direction) {
    inotify_tell(file->inode, direction == TRANSFER_READ ? IN_ACCESS : IN_MODIFY);
}

/* Piece by piece, so that a transfer of 2 GiB does not keep the CPU from everyone else. */
static enum status in_pieces(struct file *file, enum transfer_direction direction, vaddr_t buffer, size_t bytes,
                             uint64_t *offset, size_t *done) {
    bool seekable = file->operations->seekable; /* else it looks after the pauses itself */
    for (;;) {
        size_t piece = bytes - *done < PIECE || !seekable ? bytes - *done : PIECE, part = 0;
        enum status status;
        if (direction == TRANSFER_READ)
            status = file->operations->read(file, buffer + *done, piece, offset, &part);
        else
            status = file->operations->write(file, buffer + *done, piece, offset, &part);
        *done += part;
        if (inotify_watched() && part > 0)
            tell_watchers(file, direction);
        if (status != OK)
            return *done > 0 ? OK : status;
        if (part < piece || *done >= bytes || !seekable || transfer_pause())
            return OK;
    }
}

enum status transfer(struct file *file, enum transfer_direction direction, vaddr_t buffer, size_t bytes,
                     uint64_t offset, size_t *done) {
    *done = 0;
    enum status status = transfer_check(file, direction, offset);
    if (status != OK)
        return status;
    if (!user_range_ok(buffer, bytes))
        return ERR_FAULT;
    if (bytes > IO_BYTES_MAX)
        bytes = IO_BYTES_MAX;
    if (offset != POSITION_OF_FILE || !file->operations->seekable)
        return in_pieces(file, direction, buffer, bytes, &offset, done);

    mutex_lock(&file->position_lock);
    status = in_pieces(file, direction, buffer, bytes, &file->position, done);
    mutex_unlock(&file->position_lock);
    return status;
}

/* Reads vectors [first, first + n) and checks them; *total grows by their sizes. */
static enum status load_vectors(vaddr_t vectors, unsigned first, unsigned n, struct linux_iovec *to, uint64_t *total) {
    enum status status = copy_from_user(to, vectors + first * sizeof(*to), n * sizeof(*to));
    for (unsigned i = 0; i < n && status == OK; i++) {
        if ((int64_t)to[i].bytes < 0)
            return ERR_INVALID;
        if (!user_range_ok(to[i].base, to[i].bytes))
            return ERR_FAULT;
        *total += to[i].bytes; /* no overflow: a thousand sizes below the user half's */
    }
    return status;
}

static enum status check_vectors(vaddr_t vectors, unsigned count, uint64_t *total) {
    struct linux_iovec chunk[VECTORS_AT_ONCE];
    *total = 0;
    for (unsigned first = 0; first < count; first += VECTORS_AT_ONCE) {
        unsigned n = count - first < VECTORS_AT_ONCE ? count - first : VECTORS_AT_ONCE;
        enum status status = load_vectors(vectors, first, n, chunk, total);
        if (status != OK)
            return status;
    }
    return OK;
}

/* A small write in several vectors to a pipe or terminal must not be torn: it is gathered in LOCAL memory first. */
static enum status write_gathered(struct file *file, vaddr_t vectors, unsigned count, size_t total, size_t *done) {
    struct linux_iovec vector;
    uint64_t unused_offset = 0;
    size_t filled = 0;
    char *buffer = local_alloc(total);
    if (buffer == NULL)
        return ERR_NO_MEMORY;
    enum status status = OK;
    for (unsigned i = 0; i < count && status == OK; i++) {
        uint64_t unused = 0;
        status = load_vectors(vectors, i, 1, &vector, &unused);
        if (status == OK && vector.bytes > total - filled)
            vector.bytes = total - filled; /* another thread has changed the vectors */
        if (status == OK)
            status = copy_from_user(buffer + filled, vector.base, vector.bytes);
        if (status == OK)
            filled += vector.bytes;
    }
    if (status == OK)
        status = file->operations->write_kernel(file, buffer, filled, &unused_offset, done);
    local_free(buffer, total);
    inotify_file(file, IN_MODIFY, *done);
    return *done > 0 ? OK : status;
}

/* Whether a read that has got something may go on without waiting. */
static bool more_to_read(struct file *file) {
    return file->operations->seekable || file->operations->poll == NULL ||
           (file->operations->poll(file, NULL) & POLLIN);
}

static enum status each_vector(struct file *file, enum transfer_direction direction, vaddr_t vectors, unsigned count,
                               uint64_t *offset, size_t *done) {
    struct linux_iovec chunk[VECTORS_AT_ONCE];
    for (unsigned i = 0; i < count; i++) {
        unsigned place = i % VECTORS_AT_ONCE;
        uint64_t unused = 0;
        enum status status = OK;
        if (place == 0) {
            unsigned n = count - i < VECTORS_AT_ONCE ? count - i : VECTORS_AT_ONCE;
            status = load_vectors(vectors, i, n, chunk, &unused);
        }
        size_t bytes = chunk[place].bytes, part = 0;
        if (bytes > IO_BYTES_MAX - *done)
            bytes = IO_BYTES_MAX - *done;
        if (bytes == 0 && status == OK)
            continue;
        if (*done > 0 && direction == TRANSFER_READ && !more_to_read(file))
            return OK;
        if (status == OK)
            status = in_pieces(file, direction, chunk[place].base, bytes, offset, &part);
        *done += part;
        if (status != OK)
            return *done > 0 ? OK : status;
        if (part < bytes)
            return OK;
    }
    return OK;
}

enum status vectors_copy(vaddr_t vectors, unsigned count, struct linux_iovec **out, unsigned *kept, size_t *bytes) {
    *kept = 0;
    *bytes = 0;
    *out = local_alloc((count + 1) * sizeof(**out));
    if (*out == NULL)
        return ERR_NO_MEMORY;
    for (unsigned i = 0; i < count && *bytes < IO_BYTES_MAX; i++) {
        struct linux_iovec *vector = &(*out)[*kept];
        uint64_t total = 0;
        enum status status = load_vectors(vectors, i, 1, vector, &total);
        if (status != OK) {
            local_free(*out, (count + 1) * sizeof(**out));
            return status;
        }
        if (vector->bytes > IO_BYTES_MAX - *bytes)
            vector->bytes = IO_BYTES_MAX - *bytes;
        *bytes += vector->bytes;
        *kept += vector->bytes > 0;
    }
    return OK;
}

void vectors_free(struct linux_iovec *vectors, unsigned count) { local_free(vectors, (count + 1) * sizeof(*vectors)); }

static enum status all_vectors(struct file *file, enum transfer_direction direction, vaddr_t vectors, unsigned count,
                               size_t *done) {
    struct linux_iovec *copy;
    unsigned kept;
    size_t bytes;
    enum status status = vectors_copy(vectors, count, &copy, &kept, &bytes);
    if (status != OK)
        return status;
    status = file->operations->vectors(file, direction == TRANSFER_WRITE, copy, kept, bytes, done);
    vectors_free(copy, count);
    return status;
}

enum status transfer_vectors(struct file *file, enum transfer_direction direction, vaddr_t vectors, int64_t count,
                             uint64_t offset, size_t *done) {
    uint64_t total;
    *done = 0;
    enum status status = transfer_check(file, direction, offset);
    if (status != OK)
        return status;
    if (count < 0 || count > IO_VECTORS_MAX)
        return ERR_INVALID;
    unsigned vector_count = (unsigned)count;
    status = check_vectors(vectors, vector_count, &total);
    if (status != OK)
        return status;
    if (file->operations->vectors != NULL)
        return total > 0 ? all_vectors(file, direction, vectors, vector_count, done) : OK;
    bool seekable = file->operations->seekable;
    if (direction == TRANSFER_WRITE && file->operations->write_kernel != NULL && !seekable && vector_count > 1 &&
        total > 0 && total <= GATHER_MAX)
        return write_gathered(file, vectors, vector_count, total, done);
    if (offset != POSITION_OF_FILE || !seekable)
        return each_vector(file, direction, vectors, vector_count, &offset, done);

    mutex_lock(&file->position_lock);
    status = each_vector(file, direction, vectors, vector_count, &file->position, done);
    mutex_unlock(&file->position_lock);
    return status;
}
