/*
 * Pipes: reading, writing, waiting, the ends; with a name (a FIFO on a file server's disk) and without. The pages are
 * channel.c's.
 *
 * Invariant: LOGICAL ACCESS – a process that gives up its end for reading loses its windows on the pages
 * (handle_closed). Locks: the pipe's object->lock guards all state, names_lock which pipe a FIFO has; wait queues
 * are entered with it held, so that no wake-up is lost. User memory is faulted in with no lock held. Stays in the
 * restricted space.
 */
#include "kernel/pipe.h"

#include "arch/uaccess.h"
#include "asi/abi.h"
#include "kernel/assert.h"
#include "kernel/names.h"
#include "kernel/open_file.h"
#include "kernel/permission.h"
#include "kernel/poll.h"
#include "kernel/process.h"
#include "kernel/signal.h"
#include "mm/heap.h"
#include "mm/object.h"

#define SIGPIPE 13

static struct pipe *pipe_of(const struct file *file) { return file->inode->pipe; }

static void wake(struct wait_queue *queue) {
    /* Waiters enter under the lock that is held here: an empty list is not about to become a sleeper. */
    if (!list_empty(&queue->waiters))
        wake_all(queue);
}

/* Sleeps until the queue is woken. Called with the lock held, returns without it. */
static enum status wait_for(struct pipe *pipe, struct wait_queue *queue) {
    struct waiter waiter;
    wait_begin(queue, &waiter);
    spin_unlock(&pipe->channel.object->lock);
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
    spin_lock(&pipe->channel.object->lock);
    channel_revoke(&pipe->channel);
    spin_unlock(&pipe->channel.object->lock);
}

static enum status read_to(struct file *file, vaddr_t to, size_t bytes, bool wait, size_t *done) {
    struct pipe *pipe = pipe_of(file);
    struct spinlock *lock = &pipe->channel.object->lock;
    const bool check = others_may_close();
    enum status status = OK;
    while (bytes > 0 && status == OK) {
        spin_lock(lock);
        if (__builtin_expect(pipe->held, 0)) {
            status = wait_for(pipe, &pipe->readable);
            continue;
        }
        *done += channel_take(&pipe->channel, (struct channel_target){.user = to + *done}, bytes - *done);
        if (*done > 0)
            wake(&pipe->writable);
        if (pipe->channel.used > 0 && *done < bytes) {
            spin_unlock(lock);
            status = user_fault_in(to + *done, true);
        } else if (*done > 0 || pipe->writers == 0) {
            spin_unlock(lock);
            break;
        } else if (!wait) {
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

static enum status pipe_read(struct file *file, vaddr_t to, size_t bytes, uint64_t *offset, size_t *done) {
    (void)offset;
    return read_to(file, to, bytes, !(file->flags & O_NONBLOCK), done);
}

static void send_broken_pipe(void) {
    const struct signal_origin origin = {.pid = process_current()->id, .uid = process_current()->user.real};
    signal_send_thread(thread_current(), SIGPIPE, &origin);
}

/* One step of a write, with the lock held, which it releases: appends what fits, waits, or fails. */
static enum status write_step(struct pipe *pipe, struct channel_source from, size_t bytes, size_t least, bool wait,
                              bool reads, size_t *done) {
    struct spinlock *lock = &pipe->channel.object->lock;
    uint64_t writer = channel_writer();
    vaddr_t fault = 0;
    if (pipe->readers == 0) {
        spin_unlock(lock);
        send_broken_pipe();
        return ERR_BROKEN_PIPE;
    }
    size_t room = channel_room(&pipe->channel, writer, reads);
    if (room < least) {
        if (wait)
            return wait_for(pipe, &pipe->writable);
        spin_unlock(lock);
        return ERR_WOULD_BLOCK;
    }
    size_t part = bytes < CHANNEL_ATOMIC ? bytes : CHANNEL_ATOMIC;
    if (part > room)
        part = room;
    enum status status = channel_append(&pipe->channel, writer, reads, from, part, &fault);
    if (status == OK) {
        *done += part;
        wake(&pipe->readable);
    }
    spin_unlock(lock);
    return status == ERR_FAULT ? user_fault_in(fault, false) : status;
}

/* `least`: so many bytes at least at a time. */
static enum status write_from(struct file *file, struct channel_source from, size_t bytes, size_t least, bool wait,
                              size_t *done) {
    struct pipe *pipe = pipe_of(file);
    struct spinlock *lock = &pipe->channel.object->lock;
    uint64_t writer = channel_writer();
    const bool check = others_may_close();
    bool reads = false, asked = false;
    enum status status = OK;
    while (*done < bytes && status == OK) {
        spin_lock(lock);
        if (!asked && channel_behind_other(&pipe->channel, writer)) {
            spin_unlock(lock);
            reads = handles_can_read(file->inode);
            asked = true;
            continue;
        }
        struct channel_source rest = {from.user + *done, from.kernel != NULL ? from.kernel + *done : NULL};
        status = write_step(pipe, rest, bytes - *done, least, wait, reads, done);
    }
    if (check && reads)
        check_still_readable(file->inode);
    return status;
}

/* A small write waits until all of it fits. */
static enum status write_whole(struct file *file, struct channel_source from, size_t bytes, size_t *done) {
    const size_t least = bytes <= CHANNEL_ATOMIC ? bytes : 1;
    return write_from(file, from, bytes, least, !(file->flags & O_NONBLOCK), done);
}

static enum status pipe_write(struct file *file, vaddr_t from, size_t bytes, uint64_t *offset, size_t *done) {
    (void)offset;
    return write_whole(file, (struct channel_source){.user = from}, bytes, done);
}

static enum status pipe_write_kernel(struct file *file, const void *from, size_t bytes, uint64_t *offset,
                                     size_t *done) {
    (void)offset;
    return write_whole(file, (struct channel_source){.kernel = from}, bytes, done);
}

/* --- For splice and its like -------------------------------------------------------------------------------------- */

bool file_is_pipe(const struct file *file) { return file->operations == &pipe_operations; }

enum status pipe_read_now(struct file *file, vaddr_t to, size_t bytes, bool wait, size_t *done) {
    return read_to(file, to, bytes, wait, done);
}

enum status pipe_write_some(struct file *file, struct channel_source from, size_t bytes, size_t *done) {
    enum status status = write_from(file, from, bytes, 1, false, done);
    return *done > 0 ? OK : status;
}

enum status pipe_wait_for_room(struct file *file, bool wait) {
    struct pipe *pipe = pipe_of(file);
    struct spinlock *lock = &pipe->channel.object->lock;
    enum status status = OK;
    for (;;) {
        spin_lock(lock);
        const bool broken = pipe->readers == 0, room = pipe->channel.used < pipe->channel.slots;
        if (status == OK && !broken && !room && wait) {
            status = wait_for(pipe, &pipe->writable);
            continue;
        }
        spin_unlock(lock);
        if (!broken)
            return status == OK && !room ? ERR_WOULD_BLOCK : status;
        send_broken_pipe();
        return ERR_BROKEN_PIPE;
    }
}

enum status pipe_hold(struct file *file, bool wait, bool *any) {
    struct pipe *pipe = pipe_of(file);
    struct spinlock *lock = &pipe->channel.object->lock;
    enum status status = OK;
    while (status == OK) {
        spin_lock(lock);
        if (pipe->held) {
            status = wait_for(pipe, &pipe->readable);
        } else if (pipe->channel.bytes > 0 || pipe->writers == 0) {
            *any = pipe->held = pipe->channel.bytes > 0;
            spin_unlock(lock);
            return OK;
        } else if (wait) {
            status = wait_for(pipe, &pipe->readable);
        } else {
            spin_unlock(lock);
            status = ERR_WOULD_BLOCK;
        }
    }
    return status;
}

size_t pipe_peek(struct file *file, size_t skip, char *to, size_t bytes) {
    struct channel *channel = &pipe_of(file)->channel;
    spin_lock(&channel->object->lock);
    size_t done = channel_peek(channel, skip, (struct channel_target){.kernel = to}, bytes);
    spin_unlock(&channel->object->lock);
    return done;
}

void pipe_consume(struct file *file, char *scratch, size_t bytes) {
    struct pipe *pipe = pipe_of(file);
    spin_lock(&pipe->channel.object->lock);
    size_t done = channel_take(&pipe->channel, (struct channel_target){.kernel = scratch}, bytes);
    wake(&pipe->writable);
    spin_unlock(&pipe->channel.object->lock);
    assert(done == bytes);
    (void)done;
}

void pipe_let_go(struct file *file) {
    struct pipe *pipe = pipe_of(file);
    spin_lock(&pipe->channel.object->lock);
    pipe->held = false;
    wake(&pipe->readable);
    spin_unlock(&pipe->channel.object->lock);
    check_still_readable(file->inode);
}

/* --- Opening and closing ------------------------------------------------------------------------------------------ */

static bool has_name(const struct file *file) { return file->inode->mount != NULL; }

static enum status allocate(struct pipe **out) {
    struct pipe *pipe = global_alloc(sizeof(*pipe));
    if (pipe == NULL)
        return ERR_NO_MEMORY;
    enum status status = object_create(&pipe->channel.object);
    if (status != OK) {
        global_free(pipe, sizeof(*pipe));
        return status;
    }
    pipe->channel.object->exit_cause = ASI_CAUSE_IPC;
    channel_init(&pipe->channel, pipe->channel.object);
    wait_queue_init(&pipe->readable);
    wait_queue_init(&pipe->writable);
    *out = pipe;
    return OK;
}

/* A FIFO has a pipe as long as it is open, or being opened: one for all who come. */
static enum status enter(struct inode *inode) {
    struct pipe *fresh;
    enum status status = allocate(&fresh);
    if (status != OK)
        return status;
    spin_lock(&names_lock);
    if (inode->pipe == NULL) {
        inode->pipe = fresh;
        fresh = NULL;
    }
    inode->pipe->users++;
    spin_unlock(&names_lock);
    if (fresh != NULL)
        pipe_destroy(fresh);
    return OK;
}

static void leave(struct inode *inode) {
    struct pipe *last = NULL;
    spin_lock(&names_lock);
    if (--inode->pipe->users == 0) {
        last = inode->pipe;
        inode->pipe = NULL;
    }
    spin_unlock(&names_lock);
    if (last != NULL)
        pipe_destroy(last);
}

/*
 * Who opens a FIFO waits until somebody has come to its other end, though he may be gone again by then. With the lock
 * held; returns without it.
 */
static enum status meet(struct file *file, struct pipe *pipe) {
    const uint32_t *came = file->readable ? &pipe->writers_came : &pipe->readers_came, seen = *came;
    const uint32_t there = file->readable ? pipe->writers : pipe->readers;
    enum status status = OK;
    if (there == 0 && (file->flags & O_NONBLOCK)) {
        file->badge = seen;
    } else if (there == 0) {
        while (*came == seen && status == OK) {
            status = wait_for(pipe, file->readable ? &pipe->readable : &pipe->writable);
            spin_lock(&pipe->channel.object->lock);
        }
        status = *came == seen ? status : OK;
    }
    spin_unlock(&pipe->channel.object->lock);
    return status;
}

static void pipe_release(struct file *file) {
    struct pipe *pipe = pipe_of(file);
    /* What is unread in a FIFO waits for the next reader as long as somebody has it open. */
    const bool named = has_name(file), may_see = file->readable || permitted(file->inode, MAY_READ);
    spin_lock(&pipe->channel.object->lock);
    pipe->readers -= file->readable;
    pipe->writers -= file->writable;
    wake(&pipe->readable);
    wake(&pipe->writable);
    if (pipe->readers == 0 && (!named || pipe->writers == 0))
        channel_drop_pages(&pipe->channel, may_see); /* unlocks */
    else
        spin_unlock(&pipe->channel.object->lock);
    if (named)
        leave(file->inode);
}

static enum status pipe_open(struct file *file) {
    const bool named = has_name(file);
    enum status status = named ? enter(file->inode) : OK;
    if (status != OK)
        return status;
    struct pipe *pipe = pipe_of(file);
    file->object = pipe->channel.object;
    spin_lock(&pipe->channel.object->lock);
    const bool alone = named && !file->readable && (file->flags & O_NONBLOCK) && pipe->readers == 0;
    pipe->readers += file->readable;
    pipe->writers += file->writable;
    if (alone) {
        status = ERR_NO_DEVICE_ADDRESS;
    } else {
        pipe->readers_came += file->readable;
        pipe->writers_came += file->writable;
        wake(&pipe->readable);
        wake(&pipe->writable);
    }
    if (named && !alone)
        status = meet(file, pipe);
    else
        spin_unlock(&pipe->channel.object->lock);
    if (status != OK)
        pipe_release(file);
    return status;
}

static void pipe_handle_closed(struct file *file) {
    struct pipe *pipe = pipe_of(file);
    if (!file->readable)
        return; /* what a writer sees is its own */
    spin_lock(&pipe->channel.object->lock);
    channel_revoke(&pipe->channel);
    spin_unlock(&pipe->channel.object->lock);
}

static uint32_t pipe_poll(struct file *file, struct poll_table *table) {
    struct pipe *pipe = pipe_of(file);
    uint32_t events = 0;
    spin_lock(&pipe->channel.object->lock);
    if (file->readable) {
        poll_wait(table, &pipe->readable);
        events |= pipe->channel.bytes > 0 ? POLLIN | POLLRDNORM : 0;
        events |= pipe->writers == 0 && pipe->writers_came != file->badge ? POLLHUP : 0;
    }
    if (file->writable) {
        poll_wait(table, &pipe->writable);
        events |= pipe->channel.used < pipe->channel.slots ? POLLOUT | POLLWRNORM : 0;
        events |= pipe->readers == 0 ? POLLERR : 0;
    }
    spin_unlock(&pipe->channel.object->lock);
    return events;
}

static enum status pipe_control(struct file *file, uint32_t command, uint64_t argument, int64_t *result) {
    (void)result;
    if (command != FIONREAD)
        return ERR_NOT_TERMINAL;
    int32_t bytes = (int32_t)pipe_of(file)->channel.bytes;
    return copy_to_user(argument, &bytes, sizeof(bytes));
}

enum status pipe_capacity(struct file *file, int64_t *result) {
    if (!file_is_pipe(file))
        return ERR_BAD_HANDLE;
    *result = (int64_t)(pipe_of(file)->channel.slots * PAGE_SIZE);
    return OK;
}

enum status pipe_set_capacity(struct file *file, uint64_t bytes, int64_t *result) {
    if (!file_is_pipe(file))
        return ERR_BAD_HANDLE;
    if (bytes > CHANNEL_SLOTS * PAGE_SIZE)
        return bytes > INT32_MAX ? ERR_INVALID : ERR_NOT_PERMITTED;
    struct pipe *pipe = pipe_of(file);
    uint32_t slots = 1;
    while (slots * PAGE_SIZE < bytes)
        slots *= 2;
    spin_lock(&pipe->channel.object->lock);
    enum status status = pipe->channel.used > slots ? ERR_BUSY : OK;
    if (status == OK) {
        pipe->channel.slots = slots;
        wake(&pipe->writable);
    }
    spin_unlock(&pipe->channel.object->lock);
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
    struct pipe *pipe;
    enum status status = allocate(&pipe);
    if (status == OK && (status = inode_create(S_IFIFO | 0600, out)) != OK)
        pipe_destroy(pipe);
    if (status != OK)
        return status;
    (*out)->operations = &pipe_operations;
    (*out)->uid = process_current()->user.file;
    (*out)->gid = process_current()->group_id.file;
    (*out)->links = 1;
    (*out)->pipe = pipe;
    return OK;
}

void pipe_destroy(struct pipe *pipe) {
    object_unref(pipe->channel.object);
    global_free(pipe, sizeof(*pipe));
}
