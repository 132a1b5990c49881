/*
 * epoll_create, epoll_create1, epoll_ctl, epoll_wait, epoll_pwait, epoll_pwait2.
 *
 * Events are gathered on the stack or in LOCAL memory and copied out with no lock held: a fault on the user's side may
 * need a pager, and must not hold up whoever closes a file of the set. Locks: see epoll.c. May sleep. Runs in the
 * caller's space.
 */
#include "arch/uaccess.h"
#include "kernel/epoll.h"
#include "kernel/file_abi.h"
#include "kernel/ipc_abi.h"
#include "kernel/open_file.h"
#include "kernel/signal.h"
#include "kernel/syscall_table.h"
#include "kernel/time.h"
#include "kernel/timespec.h"
#include "mm/heap.h"
#include "mm/object.h"

enum { EPOLL_CTL_ADD = 1, EPOLL_CTL_DEL, EPOLL_CTL_MOD };

#define EVENTS_FEW  16U                                          /* that many stay on the stack */
#define EVENTS_MAX  (INT32_MAX / sizeof(struct epoll_event))     /* that a caller may ask for */
#define EVENTS_ONCE (4 * PAGE_SIZE / sizeof(struct epoll_event)) /* that one call returns */

static enum status make(uint32_t flags, int64_t *fd) {
    struct epoll *epoll;
    struct file *file;
    if (flags & ~O_CLOEXEC)
        return ERR_INVALID;
    enum status status = epoll_create(&epoll);
    if (status != OK)
        return status;
    status = file_create_on(&epoll_operations, epoll, RIGHT_READ | RIGHT_WRITE | RIGHT_TRANSFER, &file);
    if (status != OK) {
        cells_destroy(&epoll->data);
        epoll_unref(epoll);
        return status;
    }
    file->object = epoll->data.object;
    return handle_publish_as(file, flags, fd);
}

enum status sys_epoll_create(struct syscall *call) {
    return (int32_t)call->arg[0] > 0 ? make(0, &call->result) : ERR_INVALID;
}

enum status sys_epoll_create1(struct syscall *call) { return make((uint32_t)call->arg[0], &call->result); }

/* --- epoll_ctl ---------------------------------------------------------------------------------------------------- */

static enum status change_set(struct epoll *epoll, int op, struct file *target, int fd,
                              const struct epoll_event *event) {
    enum status status = OK;
    mutex_lock(&epoll->mutex);
    struct epoll_item *item = epoll_find(epoll, target, fd);
    if (op == EPOLL_CTL_ADD)
        status = item != NULL ? ERR_EXISTS : epoll_add(epoll, target, fd, event);
    else if (item == NULL)
        status = ERR_NO_ENTRY;
    else if (op == EPOLL_CTL_DEL)
        epoll_remove(item);
    else if (item->events & EPOLLEXCLUSIVE)
        status = ERR_INVALID;
    else
        epoll_change(item, event);
    mutex_unlock(&epoll->mutex);
    return status;
}

/* What cannot be in a set, or not like that. */
static enum status check_member(const struct file *set, int op, const struct file *target, uint32_t events) {
    if ((target->flags & O_PATH) || (set->flags & O_PATH))
        return ERR_BAD_HANDLE;
    if (target->operations->poll == NULL)
        return ERR_NOT_PERMITTED;
    if (set == target || set->operations != &epoll_operations)
        return ERR_INVALID;
    if (op != EPOLL_CTL_DEL && (events & EPOLLEXCLUSIVE)) {
        uint32_t fitting = POLLIN | POLLOUT | POLLERR | POLLHUP | EPOLLWAKEUP | EPOLLET | EPOLLEXCLUSIVE;
        if (op == EPOLL_CTL_MOD || target->operations == &epoll_operations || (events & ~fitting))
            return ERR_INVALID;
    }
    return op >= EPOLL_CTL_ADD && op <= EPOLL_CTL_MOD ? OK : ERR_INVALID;
}

enum status sys_epoll_ctl(struct syscall *call) {
    int op = (int)call->arg[1], fd = (int)call->arg[2];
    struct epoll_event event = {0};
    struct file *set, *target;
    enum status status = op != EPOLL_CTL_DEL ? copy_from_user(&event, call->arg[3], sizeof(event)) : OK;
    if (status == OK)
        status = handle_get((int)call->arg[0], &set);
    if (status != OK)
        return status;
    status = handle_get(fd, &target);
    if (status == OK) {
        status = check_member(set, op, target, event.events);
        if (status == OK)
            status = change_set(set->target, op, target, fd, &event);
        file_unref(target);
    }
    file_unref(set);
    return status;
}

/* --- epoll_wait --------------------------------------------------------------------------------------------------- */

static enum status collect_until(struct epoll *epoll, struct epoll_event *events, unsigned room, uint64_t deadline,
                                 unsigned *count) {
    enum status status = OK;
    *count = epoll_collect(epoll, events, room);
    while (*count == 0 && status == OK) {
        struct waiter waiter;
        if (time_monotonic() >= deadline)
            break;
        wait_begin(&epoll->sleepers, &waiter);
        *count = epoll_collect(epoll, events, room);
        if (*count == 0)
            status = wait_sleep(deadline);
        wait_end(&waiter);
        if (*count == 0 && status != ERR_RESTART)
            *count = epoll_collect(epoll, events, room);
    }
    if (*count > 0 || status == ERR_TIMED_OUT)
        return OK;
    return status == ERR_RESTART ? ERR_INTERRUPTED : status;
}

/* How many events one call may bring: there are no more than members. */
static unsigned room_for(const struct epoll *epoll, unsigned asked) {
    uint32_t members = __atomic_load_n(&epoll->count, __ATOMIC_RELAXED);
    unsigned room = asked < EVENTS_ONCE ? asked : EVENTS_ONCE;
    if (room > EVENTS_FEW && members < room)
        room = members > EVENTS_FEW ? members : EVENTS_FEW;
    return room;
}

static enum status wait_for_events(struct epoll *epoll, vaddr_t to, unsigned asked, uint64_t deadline,
                                   int64_t *result) {
    struct epoll_event few[EVENTS_FEW], *events = few;
    unsigned room = room_for(epoll, asked), count = 0;
    size_t bytes = room * sizeof(*events);
    if (room > EVENTS_FEW)
        events = local_alloc(bytes);
    if (events == NULL)
        return ERR_NO_MEMORY;
    enum status status = collect_until(epoll, events, room, deadline, &count);
    if (status == OK && count > 0)
        status = copy_to_user(to, events, count * sizeof(*events));
    if (events != few)
        local_free(events, bytes);
    *result = count;
    return status;
}

static enum status wait_on(const struct syscall *call, uint64_t deadline, int64_t *result) {
    int32_t asked = (int32_t)call->arg[2];
    struct file *file;
    if (asked <= 0 || (uint32_t)asked > EVENTS_MAX)
        return ERR_INVALID;
    if (!user_range_ok(call->arg[1], (uint32_t)asked * sizeof(struct epoll_event)))
        return ERR_FAULT;
    enum status status = handle_get_kind((int)call->arg[0], &epoll_operations, 0, &file);
    if (status != OK)
        return status;
    status = wait_for_events(file->target, call->arg[1], (uint32_t)asked, deadline, result);
    file_unref(file);
    return status;
}

static uint64_t deadline_of(int32_t milliseconds) {
    return milliseconds < 0 ? WAIT_FOREVER : deadline_after((uint64_t)milliseconds * 1000000);
}

static enum status set_mask(vaddr_t address, uint64_t size) {
    uint64_t mask;
    if (address == 0)
        return OK;
    if (size != sizeof(mask))
        return ERR_INVALID;
    enum status status = copy_from_user(&mask, address, sizeof(mask));
    if (status == OK)
        signal_mask_set_for_call(mask);
    return status;
}

enum status sys_epoll_wait(struct syscall *call) {
    return wait_on(call, deadline_of((int32_t)call->arg[3]), &call->result);
}

enum status sys_epoll_pwait(struct syscall *call) {
    enum status status = set_mask(call->arg[4], call->arg[5]);
    return status == OK ? wait_on(call, deadline_of((int32_t)call->arg[3]), &call->result) : status;
}

enum status sys_epoll_pwait2(struct syscall *call) {
    uint64_t ns, deadline = WAIT_FOREVER;
    if (call->arg[3] != 0) {
        enum status status = timespec_from_user(call->arg[3], &ns);
        if (status != OK)
            return status;
        deadline = deadline_after(ns);
    }
    enum status status = set_mask(call->arg[4], call->arg[5]);
    return status == OK ? wait_on(call, deadline, &call->result) : status;
}
