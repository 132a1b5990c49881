/*
 * System calls on semaphore sets: decode and check, then act through kernel/sysv_sem.h.
 *
 * Locks: sysv_lock; none is held while user memory is touched or a thread sleeps. Space: the caller's; may sleep.
 */
#include "arch/uaccess.h"
#include "kernel/process.h"
#include "kernel/signal.h"
#include "kernel/string.h"
#include "kernel/syscall_table.h"
#include "kernel/sysv_sem.h"
#include "kernel/timespec.h"
#include "mm/heap.h"

enum { SEM_ALL_MAX = 1024000000 };

static struct sem_set *find(int32_t id) { return (struct sem_set *)sysv_find(SYSV_SEM, id); }

static enum status accept_set(const struct sysv_object *object, const struct sysv_request *request) {
    return request->size > ((const struct sem_set *)object)->count ? ERR_INVALID : OK;
}

static enum status create_set(const struct sysv_request *request, struct sysv_object **out) {
    if (request->size == 0)
        return ERR_INVALID;
    struct sem_set *set = global_alloc(sem_set_bytes((uint32_t)request->size));
    if (set == NULL)
        return ERR_NO_MEMORY;
    set->count = (uint32_t)request->size;
    set->change_time = sysv_now();
    list_init(&set->waiters);
    list_init(&set->undos);
    *out = &set->base;
    return OK;
}

static const struct sysv_class sets = {SYSV_SEM, accept_set, create_set};

enum status sys_semget(struct syscall *call) {
    const int32_t count = (int32_t)call->arg[1];
    const struct sysv_request request = {(int32_t)call->arg[0], (uint32_t)call->arg[2], (uint64_t)count};

    return count < 0 || count > SEM_COUNT_MAX ? ERR_INVALID : sysv_get(&sets, &request, &call->result);
}

/* --- semop -------------------------------------------------------------------------------------------------------- */

/* Rights and numbers. sysv_lock held. */
static enum status check_operations(const struct sem_set *set, const struct sembuf *operations, unsigned count) {
    bool alters = false;

    for (unsigned i = 0; i < count; i++) {
        if (operations[i].number >= set->count)
            return ERR_FILE_TOO_BIG;
        alters = alters || operations[i].operation != 0;
    }
    return sysv_permit(&set->base, alters ? SYSV_MAY_WRITE : SYSV_MAY_READ);
}

static bool has_ended(const struct sem_waiter *waiter) {
    spin_lock(&sysv_lock);
    bool ended = waiter->ended;
    spin_unlock(&sysv_lock);
    return ended;
}

/* Entered in its set's list. Returns when the operations were done, or will not be. */
static enum status wait_for_operations(struct sem_waiter *waiter, uint64_t deadline) {
    struct waiter self;
    enum status status = OK;

    wait_begin(&waiter->queue, &self);
    while ((status == OK || (status == ERR_RESTART && !signal_pending())) && !has_ended(waiter))
        status = wait_sleep(deadline);
    wait_end(&self);
    spin_lock(&sysv_lock);
    if (waiter->ended)
        status = waiter->status;
    else
        list_remove(&waiter->link);
    spin_unlock(&sysv_lock);
    if (status == ERR_TIMED_OUT)
        return ERR_WOULD_BLOCK;
    return status == ERR_RESTART ? ERR_INTERRUPTED : status; /* whatever the handler says */
}

/* `waiter` has the operations, in GLOBAL memory. */
static enum status operate(int32_t id, struct sem_waiter *waiter, uint64_t deadline) {
    struct process *process = process_current();

    spin_lock(&sysv_lock);
    struct sem_set *set = find(id);
    enum status status =
        set == NULL ? sysv_missing(SYSV_SEM, id) : check_operations(set, waiter->operations, waiter->count);
    if (status == OK) {
        status = sem_try(set, process, waiter->operations, waiter->count, &waiter->blocked_at);
        if (status == OK)
            sem_serve_waiters(set);
    }
    if (status != ERR_WOULD_BLOCK || waiter->operations[waiter->blocked_at].flags & IPC_NOWAIT) {
        spin_unlock(&sysv_lock);
        return status;
    }
    waiter->process = process;
    list_push_back(&set->waiters, &waiter->link);
    spin_unlock(&sysv_lock);
    return wait_for_operations(waiter, deadline);
}

static enum status operate_within(const struct syscall *call, uint64_t deadline) {
    const uint64_t count = (uint32_t)call->arg[2];
    struct sem_waiter *waiter;
    struct sembuf *operations;

    if (count == 0 || (int32_t)call->arg[0] < 0)
        return ERR_INVALID;
    if (count > SEM_OPERATIONS_MAX)
        return ERR_TOO_BIG;
    const size_t bytes = sizeof(*waiter) + count * sizeof(*operations);
    if ((waiter = global_alloc(bytes)) == NULL)
        return ERR_NO_MEMORY;
    operations = (struct sembuf *)(waiter + 1);
    enum status status = copy_from_user(operations, call->arg[1], count * sizeof(*operations));
    if (status == OK) {
        waiter->operations = operations;
        waiter->count = (unsigned)count;
        wait_queue_init(&waiter->queue);
        status = operate((int32_t)call->arg[0], waiter, deadline);
    }
    global_free(waiter, bytes);
    return status;
}

enum status sys_semop(struct syscall *call) { return operate_within(call, WAIT_FOREVER); }

enum status sys_semtimedop(struct syscall *call) {
    uint64_t ns;

    if (call->arg[3] == 0)
        return operate_within(call, WAIT_FOREVER);
    enum status status = timespec_from_user(call->arg[3], &ns);
    return status == OK ? operate_within(call, deadline_after(ns)) : status;
}

/* --- semctl ------------------------------------------------------------------------------------------------------- */

static enum status stat_set(struct syscall *call, bool by_place, bool any) {
    const int32_t which = (int32_t)call->arg[0];
    struct semid64_ds out = {.count = 0};

    spin_lock(&sysv_lock);
    const struct sem_set *set = by_place ? (struct sem_set *)sysv_at(SYSV_SEM, which) : find(which);
    enum status status = set != NULL ? OK : by_place ? ERR_INVALID : sysv_missing(SYSV_SEM, which);
    if (status == OK && !any)
        status = sysv_permit(&set->base, SYSV_MAY_READ);
    if (status == OK) {
        sysv_describe(&set->base, &out.perm);
        out.operation_time = set->operation_time;
        out.change_time = set->change_time;
        out.count = set->count;
        call->result = by_place ? set->base.id : 0;
    }
    spin_unlock(&sysv_lock);
    return status == OK ? copy_to_user(call->arg[3], &out, sizeof(out)) : status;
}

static enum status change_set(const struct syscall *call, uint32_t command) {
    const int32_t id = (int32_t)call->arg[0];
    struct semid64_ds from;
    enum status status = OK;

    if (command == IPC_SET && (status = copy_from_user(&from, call->arg[3], sizeof(from))) != OK)
        return status;
    spin_lock(&sysv_lock);
    struct sem_set *set = find(id);
    status = set == NULL ? sysv_missing(SYSV_SEM, id) : sysv_permit_owner(&set->base);
    if (status == OK && command == IPC_RMID)
        sem_remove(set);
    else if (status == OK && (status = sysv_change(&set->base, &from.perm)) == OK)
        set->change_time = sysv_now();
    spin_unlock(&sysv_lock);
    return status;
}

/* How many wait for this semaphore to become zero, or larger. sysv_lock held. */
static int64_t count_waiters(const struct sem_set *set, uint32_t number, bool for_zero) {
    int64_t count = 0;

    list_for_each(link, &set->waiters) {
        const struct sem_waiter *waiter = container_of(link, struct sem_waiter, link);
        const struct sembuf *operation = &waiter->operations[waiter->blocked_at];
        count += operation->number == number && (operation->operation == 0) == for_zero;
    }
    return count;
}

static int64_t get_one(const struct sem_set *set, uint32_t command, uint32_t number) {
    switch (command) {
    case GETVAL:
        return set->semaphores[number].value;
    case GETPID:
        return set->semaphores[number].last;
    default:
        return count_waiters(set, number, command == GETZCNT);
    }
}

static void set_value(struct sem_set *set, uint32_t number, uint16_t value) {
    set->semaphores[number].value = value;
    set->semaphores[number].last = process_current()->id;
    set->change_time = sysv_now();
    sem_forget_undo(set, number);
}

/* GETVAL and its like, and SETVAL. */
static enum status one_semaphore(struct syscall *call, uint32_t command) {
    const int32_t id = (int32_t)call->arg[0], value = (int32_t)call->arg[3];
    const uint32_t number = (uint32_t)call->arg[1];

    if (command == SETVAL && (value < 0 || value > SEM_VALUE_MAX))
        return ERR_RANGE;
    spin_lock(&sysv_lock);
    struct sem_set *set = find(id);
    enum status status = set == NULL ? sysv_missing(SYSV_SEM, id)
                                     : sysv_permit(&set->base, command == SETVAL ? SYSV_MAY_WRITE : SYSV_MAY_READ);
    if (status == OK && number >= set->count)
        status = ERR_INVALID;
    if (status == OK && command == SETVAL) {
        set_value(set, number, (uint16_t)value);
        sem_serve_waiters(set);
    } else if (status == OK) {
        call->result = get_one(set, command, number);
    }
    spin_unlock(&sysv_lock);
    return status;
}

/* How many semaphores the set has, if the caller has the right. */
static enum status count_of(int32_t id, uint32_t wanted, uint32_t *count) {
    spin_lock(&sysv_lock);
    const struct sem_set *set = find(id);
    enum status status = set == NULL ? sysv_missing(SYSV_SEM, id) : sysv_permit(&set->base, wanted);
    *count = set != NULL ? set->count : 0;
    spin_unlock(&sysv_lock);
    return status;
}

static enum status values_ok(const uint16_t *values, uint32_t count) {
    for (uint32_t i = 0; i < count; i++)
        if (values[i] > SEM_VALUE_MAX)
            return ERR_RANGE;
    return OK;
}

/* All values into or out of the buffer, unless the set has gone meanwhile. */
static enum status exchange_values(int32_t id, uint16_t *values, bool set_them) {
    spin_lock(&sysv_lock);
    struct sem_set *set = find(id);
    for (uint32_t i = 0; set != NULL && i < set->count; i++) {
        if (set_them)
            set_value(set, i, values[i]);
        else
            values[i] = set->semaphores[i].value;
    }
    if (set != NULL && set_them)
        sem_serve_waiters(set);
    spin_unlock(&sysv_lock);
    return set != NULL ? OK : ERR_REMOVED;
}

/* GETALL and SETALL. An id's set never changes its count. */
static enum status all_semaphores(const struct syscall *call, bool set_them) {
    const int32_t id = (int32_t)call->arg[0];
    uint32_t count;
    enum status status = count_of(id, set_them ? SYSV_MAY_WRITE : SYSV_MAY_READ, &count);

    if (status != OK)
        return status;
    const size_t bytes = count * sizeof(uint16_t);
    uint16_t *values = local_alloc(bytes);
    if (values == NULL)
        return ERR_NO_MEMORY;
    if (set_them && (status = copy_from_user(values, call->arg[3], bytes)) == OK)
        status = values_ok(values, count);
    if (status == OK)
        status = exchange_values(id, values, set_them);
    if (status == OK && !set_them)
        status = copy_to_user(call->arg[3], values, bytes);
    local_free(values, bytes);
    return status;
}

static enum status information(struct syscall *call, bool usage) {
    struct seminfo out = {.map = SEM_ALL_MAX,
                          .max_ids = SYSV_IDS_MAX,
                          .max_all = SEM_ALL_MAX,
                          .max_undo_all = SEM_ALL_MAX,
                          .max_count = SEM_COUNT_MAX,
                          .max_operations = SEM_OPERATIONS_MAX,
                          .max_undo = SEM_OPERATIONS_MAX,
                          .undo_bytes = 20,
                          .max_value = SEM_VALUE_MAX,
                          .max_adjust = SEM_ADJUST_MAX};

    spin_lock(&sysv_lock);
    call->result = sysv_highest(SYSV_SEM);
    if (usage) { /* in two fields of other meaning */
        out.undo_bytes = (int32_t)sysv_count(SYSV_SEM);
        out.max_adjust = 0;
        for (int32_t place = 0; place <= call->result; place++) {
            const struct sem_set *set = (struct sem_set *)sysv_at(SYSV_SEM, place);
            out.max_adjust += set != NULL ? (int32_t)set->count : 0;
        }
    }
    spin_unlock(&sysv_lock);
    return copy_to_user(call->arg[3], &out, sizeof(out));
}

enum status sys_semctl(struct syscall *call) {
    const uint32_t command = (uint32_t)call->arg[2];

    if ((int32_t)call->arg[0] < 0)
        return ERR_INVALID;
    switch (command) {
    case IPC_INFO:
    case SEM_INFO:
        return information(call, command == SEM_INFO);
    case IPC_STAT:
        return stat_set(call, false, false);
    case SEM_STAT:
    case SEM_STAT_ANY:
        return stat_set(call, true, command == SEM_STAT_ANY);
    case IPC_RMID:
    case IPC_SET:
        return change_set(call, command);
    case GETVAL:
    case GETPID:
    case GETNCNT:
    case GETZCNT:
    case SETVAL:
        return one_semaphore(call, command);
    case GETALL:
    case SETALL:
        return all_semaphores(call, command == SETALL);
    default:
        return ERR_INVALID;
    }
}
