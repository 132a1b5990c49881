/*
 * eventfd, eventfd2: a counter that is added to by writing and taken by reading.
 *
 * Invariant: LOGICAL ACCESS – the counter is content: it lies in a cell (kernel/cells.h). Whether it is 0 or full is
 * metadata. Lock: cells.object->lock for all of it; the queue is entered with it held, so that no wake-up is lost. Runs
 * in the caller's space.
 */
#include "arch/uaccess.h"
#include "kernel/cells.h"
#include "kernel/file_abi.h"
#include "kernel/ipc_abi.h"
#include "kernel/open_file.h"
#include "kernel/poll.h"
#include "kernel/syscall_table.h"
#include "mm/heap.h"
#include "mm/object.h"

#define EFD_SEMAPHORE 1U
#define COUNT_MAX     (UINT64_MAX - 1)

struct event_counter {
    struct cells cells;
    uint32_t cell;    /* constant */
    bool semaphore;   /* constant */
    bool empty, full; /* what poll() tells: 0; not one more fits. Protected by the lock */
    struct wait_queue changed;
};

static struct spinlock *lock_of(struct event_counter *counter) { return &counter->cells.object->lock; }

/* The lock held. */
static void set_count(struct event_counter *counter, uint64_t count) {
    cells_write(&counter->cells, counter->cell, count);
    counter->empty = count == 0;
    counter->full = count == COUNT_MAX;
    wake_all(&counter->changed);
}

/* Takes from the counter, or adds to it. False: it would have to wait. The lock held. */
static bool take(struct event_counter *counter, uint64_t *value) {
    if (counter->empty)
        return false;
    uint64_t count = cells_read(&counter->cells, counter->cell);
    *value = counter->semaphore ? 1 : count;
    set_count(counter, count - *value);
    return true;
}

static bool add(struct event_counter *counter, uint64_t *value) {
    uint64_t count = cells_read(&counter->cells, counter->cell);
    if (COUNT_MAX - count < *value)
        return false;
    if (*value > 0)
        set_count(counter, count + *value);
    return true;
}

/* Does `step`, waiting until it can be done. */
static enum status wait_and_do(struct file *file, bool (*step)(struct event_counter *, uint64_t *), uint64_t *value) {
    struct event_counter *counter = file->target;
    for (;;) {
        struct waiter waiter;
        spin_lock(lock_of(counter));
        if (step(counter, value)) {
            spin_unlock(lock_of(counter));
            return OK;
        }
        if (file->flags & O_NONBLOCK) {
            spin_unlock(lock_of(counter));
            return ERR_WOULD_BLOCK;
        }
        wait_begin(&counter->changed, &waiter);
        spin_unlock(lock_of(counter));
        enum status status = wait_sleep(WAIT_FOREVER);
        wait_end(&waiter);
        if (status != OK)
            return status;
    }
}

static enum status event_read(struct file *file, vaddr_t to, size_t bytes, uint64_t *offset, size_t *done) {
    uint64_t value;
    (void)offset;
    if (bytes < sizeof(value))
        return ERR_INVALID;
    enum status status = wait_and_do(file, take, &value);
    if (status == OK)
        status = copy_to_user(to, &value, sizeof(value));
    if (status == OK)
        *done = sizeof(value);
    return status;
}

static enum status event_write(struct file *file, vaddr_t from, size_t bytes, uint64_t *offset, size_t *done) {
    uint64_t value;
    (void)offset;
    if (bytes < sizeof(value))
        return ERR_INVALID;
    enum status status = copy_from_user(&value, from, sizeof(value));
    if (status == OK && value == UINT64_MAX)
        status = ERR_INVALID;
    if (status == OK)
        status = wait_and_do(file, add, &value);
    if (status == OK)
        *done = sizeof(value);
    return status;
}

static uint32_t event_poll(struct file *file, struct poll_table *table) {
    struct event_counter *counter = file->target;
    spin_lock(lock_of(counter));
    poll_wait(table, &counter->changed);
    uint32_t events = (counter->empty ? 0 : POLLIN) | (counter->full ? 0 : POLLOUT);
    spin_unlock(lock_of(counter));
    return events;
}

static void event_free(struct event_counter *counter) {
    cells_destroy(&counter->cells);
    global_free(counter, sizeof(*counter));
}

static void event_release(struct file *file) { event_free(file->target); }

static const struct file_operations event_operations = {
    .release = event_release,
    .read = event_read,
    .write = event_write,
    .poll = event_poll,
};

static enum status event_create(uint32_t flags, struct event_counter **out) {
    struct event_counter *counter = global_alloc(sizeof(*counter));
    if (counter == NULL)
        return ERR_NO_MEMORY;
    enum status status = cells_create(&counter->cells);
    if (status != OK) {
        global_free(counter, sizeof(*counter));
        return status;
    }
    wait_queue_init(&counter->changed);
    counter->semaphore = flags & EFD_SEMAPHORE;
    counter->empty = true;
    spin_lock(lock_of(counter));
    status = cells_take(&counter->cells, &counter->cell);
    spin_unlock(lock_of(counter));
    if (status != OK)
        event_free(counter);
    *out = counter;
    return status;
}

static enum status make_event(uint64_t initial, uint32_t flags, int64_t *fd) {
    struct event_counter *counter;
    struct file *file;
    if (flags & ~(EFD_SEMAPHORE | O_CLOEXEC | O_NONBLOCK))
        return ERR_INVALID;
    enum status status = event_create(flags, &counter);
    if (status != OK)
        return status;
    status = file_create_on(&event_operations, counter, RIGHT_READ | RIGHT_WRITE | RIGHT_TRANSFER, &file);
    if (status != OK) {
        event_free(counter);
        return status;
    }
    file->object = counter->cells.object;
    file_ref(file);
    status = handle_publish_as(file, flags, fd);
    if (status == OK && initial > 0) { /* only now may this process see the counter */
        spin_lock(lock_of(counter));
        set_count(counter, initial);
        spin_unlock(lock_of(counter));
    }
    file_unref(file);
    return status;
}

enum status sys_eventfd(struct syscall *call) { return make_event((uint32_t)call->arg[0], 0, &call->result); }

enum status sys_eventfd2(struct syscall *call) {
    return make_event((uint32_t)call->arg[0], (uint32_t)call->arg[1], &call->result);
}
