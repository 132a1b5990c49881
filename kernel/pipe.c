/*
 * Pipes: reading, writing, waiting, the ends. The pages are pipe_pages.c's.
 *
 * Invariant: LOGICAL ACCESS – a process that gives up its end for reading loses its windows on the pages
 * (handle_closed). Locks: the pipe's object->lock guards all state; wait queues are entered with it held, so that no
 * wake-up is lost. User memory is faulted in with no lock held. Stays in the restricted space.
 */
#include "kernel/pipe.h"

#include "arch/uaccess.h"
#include "asi/abi.h"
#include "kernel/names.h"
#include "kernel/open_file.h"
#include "kernel/poll.h"
#include "kernel/process.h"
#include "kernel/signal.h"
#include "mm/heap.h"
#include "mm/object.h"

#define SIGPIPE 13

static struct pipe *pipe_of(const struct file *file) { return file->inode->pipe; }

/* Ids come round again, and the next process of that id must not pass for this one. */
static uint64_t writer_number(const struct process *process) { return (process->start_time << 22) + process->id; }

static void wake(struct wait_queue *queue) {
    /* Waiters enter under the lock that is held here: an empty list is not about to become a sleeper. */
    if (!list_empty(&queue->waiters))
        wake_all(queue);
}

/* Sleeps until the queue is woken. Called with the lock held, returns without it. */
static enum status wait_for(struct pipe *pipe, struct wait_queue *queue) {
    struct waiter waiter;
    wait_begin(queue, &waiter);
    spin_unlock(&pipe->object->lock);
    enum status status = wait_sleep(WAIT_FOREVER);
    wait_end(&waiter);
    return status;
}

/* Whether another thread may close a handle during a call: asked at its beginning, for only this one could make one. */
static bool others_may_close(void) { return process_current()->thread_count != 1; }

/*
 * After pages were mapped by the right to read: if another thread has closed the last handle that gave it, they may
 * have been mapped after they were revoked.
 */
static void check_still_readable(struct inode *inode) {
    struct pipe *pipe = inode->pipe;
    if (handles_can_read(inode))
        return;
    spin_lock(&pipe->object->lock);
    pipe_revoke(pipe);
    spin_unlock(&pipe->object->lock);
}

static enum status pipe_read(struct file *file, vaddr_t to, size_t bytes, uint64_t *offset, size_t *done) {
    struct pipe *pipe = pipe_of(file);
    struct spinlock *lock = &pipe->object->lock;
    const bool check = others_may_close();
    enum status status = OK;
    (void)offset;
    while (bytes > 0 && status == OK) {
        spin_lock(lock);
        *done += pipe_take(pipe, to + *done, bytes - *done);
        if (*done > 0)
            wake(&pipe->writable);
        if (pipe->used > 0 && *done < bytes) {
            spin_unlock(lock);
            status = user_fault_in(to + *done, true);
        } else if (*done > 0 || pipe->writers == 0) {
            spin_unlock(lock);
            break;
        } else if (file->flags & O_NONBLOCK) {
            spin_unlock(lock);
            status = ERR_WOULD_BLOCK;
        } else {
            status = wait_for(pipe, &pipe->readable);
        }
    }
    if (check)
        check_still_readable(file->inode);
    return status;
}

static void send_broken_pipe(void) {
    const struct signal_origin origin = {.pid = process_current()->id, .uid = process_current()->uid};
    signal_send_thread(thread_current(), SIGPIPE, &origin);
}

/* One step of a write, with the lock held, which it releases: appends what fits, waits, or fails. */
static enum status write_step(struct file *file, struct pipe *pipe, struct pipe_source from, size_t bytes, size_t least,
                              bool reads, size_t *done) {
    struct spinlock *lock = &pipe->object->lock;
    uint64_t writer = writer_number(process_current());
    vaddr_t fault = 0;
    if (pipe->readers == 0) {
        spin_unlock(lock);
        send_broken_pipe();
        return ERR_BROKEN_PIPE;
    }
    size_t room = pipe_room(pipe, writer, reads);
    if (room < least) {
        if (!(file->flags & O_NONBLOCK))
            return wait_for(pipe, &pipe->writable);
        spin_unlock(lock);
        return ERR_WOULD_BLOCK;
    }
    size_t part = bytes < PIPE_ATOMIC ? bytes : PIPE_ATOMIC;
    if (part > room)
        part = room;
    enum status status = pipe_append(pipe, writer, reads, from, part, &fault);
    if (status == OK) {
        *done += part;
        wake(&pipe->readable);
    }
    spin_unlock(lock);
    return status == ERR_FAULT ? user_fault_in(fault, false) : status;
}

static enum status pipe_write_from(struct file *file, struct pipe_source from, size_t bytes, size_t *done) {
    struct pipe *pipe = pipe_of(file);
    struct spinlock *lock = &pipe->object->lock;
    uint64_t writer = writer_number(process_current());
    const bool check = others_may_close();
    size_t least = bytes <= PIPE_ATOMIC ? bytes : 1; /* a small write waits until all of it fits */
    bool reads = false, asked = false;
    enum status status = OK;
    while (*done < bytes && status == OK) {
        spin_lock(lock);
        if (!asked && pipe_behind_other(pipe, writer)) {
            spin_unlock(lock);
            reads = handles_can_read(file->inode);
            asked = true;
            continue;
        }
        struct pipe_source rest = {from.user + *done, from.kernel != NULL ? from.kernel + *done : NULL};
        status = write_step(file, pipe, rest, bytes - *done, least, reads, done);
    }
    if (check && reads)
        check_still_readable(file->inode);
    return status;
}

static enum status pipe_write(struct file *file, vaddr_t from, size_t bytes, uint64_t *offset, size_t *done) {
    (void)offset;
    return pipe_write_from(file, (struct pipe_source){.user = from}, bytes, done);
}

static enum status pipe_write_kernel(struct file *file, const void *from, size_t bytes, uint64_t *offset,
                                     size_t *done) {
    (void)offset;
    return pipe_write_from(file, (struct pipe_source){.kernel = from}, bytes, done);
}

static enum status pipe_open(struct file *file) {
    struct pipe *pipe = pipe_of(file);
    file->object = pipe->object;
    spin_lock(&pipe->object->lock);
    pipe->readers += file->readable;
    pipe->writers += file->writable;
    spin_unlock(&pipe->object->lock);
    return OK;
}

static void pipe_release(struct file *file) {
    struct pipe *pipe = pipe_of(file);
    spin_lock(&pipe->object->lock);
    pipe->readers -= file->readable;
    pipe->writers -= file->writable;
    wake(&pipe->readable);
    wake(&pipe->writable);
    spin_unlock(&pipe->object->lock);
    pipe_drop_pages(pipe);
}

static void pipe_handle_closed(struct file *file) {
    struct pipe *pipe = pipe_of(file);
    if (!file->readable)
        return; /* what a writer sees is its own */
    spin_lock(&pipe->object->lock);
    pipe_revoke(pipe);
    spin_unlock(&pipe->object->lock);
}

static uint32_t pipe_poll(struct file *file, struct poll_table *table) {
    struct pipe *pipe = pipe_of(file);
    uint32_t events = 0;
    spin_lock(&pipe->object->lock);
    if (file->readable) {
        poll_wait(table, &pipe->readable);
        events |= pipe->bytes > 0 ? POLLIN | POLLRDNORM : 0;
        events |= pipe->writers == 0 ? POLLHUP : 0;
    }
    if (file->writable) {
        poll_wait(table, &pipe->writable);
        events |= pipe->used < pipe->slots ? POLLOUT | POLLWRNORM : 0;
        events |= pipe->readers == 0 ? POLLERR : 0;
    }
    spin_unlock(&pipe->object->lock);
    return events;
}

static enum status pipe_control(struct file *file, uint32_t command, uint64_t argument, int64_t *result) {
    (void)result;
    if (command != FIONREAD)
        return ERR_NOT_TERMINAL;
    int32_t bytes = (int32_t)pipe_of(file)->bytes;
    return copy_to_user(argument, &bytes, sizeof(bytes));
}

enum status pipe_capacity(struct file *file, int64_t *result) {
    if (file->operations != &pipe_operations)
        return ERR_BAD_HANDLE;
    *result = (int64_t)(pipe_of(file)->slots * PAGE_SIZE);
    return OK;
}

enum status pipe_set_capacity(struct file *file, uint64_t bytes, int64_t *result) {
    if (file->operations != &pipe_operations)
        return ERR_BAD_HANDLE;
    if (bytes > PIPE_SLOTS * PAGE_SIZE)
        return bytes > INT32_MAX ? ERR_INVALID : ERR_NOT_PERMITTED;
    struct pipe *pipe = pipe_of(file);
    uint32_t slots = 1;
    while (slots * PAGE_SIZE < bytes)
        slots *= 2;
    spin_lock(&pipe->object->lock);
    enum status status = pipe->used > slots ? ERR_BUSY : OK;
    if (status == OK) {
        pipe->slots = slots;
        wake(&pipe->writable);
    }
    spin_unlock(&pipe->object->lock);
    *result = (int64_t)(slots * PAGE_SIZE);
    return status;
}

const struct file_operations pipe_operations = {
    .open = pipe_open,
    .release = pipe_release,
    .handle_closed = pipe_handle_closed,
    .read = pipe_read,
    .write = pipe_write,
    .write_kernel = pipe_write_kernel,
    .poll = pipe_poll,
    .control = pipe_control,
};

enum status pipe_create(struct inode **out) {
    struct pipe *pipe = global_alloc(sizeof(*pipe));
    if (pipe == NULL)
        return ERR_NO_MEMORY;
    enum status status = object_create(&pipe->object);
    if (status == OK) {
        status = inode_create(S_IFIFO | 0600, out);
        if (status != OK)
            object_unref(pipe->object);
    }
    if (status != OK) {
        global_free(pipe, sizeof(*pipe));
        return status;
    }
    pipe->object->exit_cause = ASI_CAUSE_IPC;
    pipe->slots = PIPE_SLOTS;
    wait_queue_init(&pipe->readable);
    wait_queue_init(&pipe->writable);
    (*out)->operations = &pipe_operations;
    (*out)->uid = process_current()->uid;
    (*out)->gid = process_current()->gid;
    (*out)->links = 1;
    (*out)->pipe = pipe;
    return OK;
}

void pipe_destroy(struct pipe *pipe) {
    object_unref(pipe->object);
    global_free(pipe, sizeof(*pipe));
}
