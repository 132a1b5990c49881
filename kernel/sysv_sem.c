/*
 * Owns: what operations on semaphores do: tried as a whole, undone as a whole, done for those who wait by whoever makes
 * them possible, in the order in which they came.
 *
 * Invariant: nobody waits for what could be done. Locks: sysv_lock, held by the callers. Class GLOBAL. Space: the
 * caller's.
 */
#include "kernel/sysv_sem.h"

#include "kernel/process.h"
#include "mm/heap.h"

static size_t undo_bytes(const struct sem_set *set) { return sizeof(struct sem_undo) + set->count * sizeof(int16_t); }

static struct sem_undo *find_undo(const struct sem_set *set, const struct process *process) {
    list_for_each(link, &set->undos) {
        struct sem_undo *undo = container_of(link, struct sem_undo, set_link);
        if (undo->process == process)
            return undo;
    }
    return NULL;
}

static struct sem_undo *make_undo(struct sem_set *set, struct process *process) {
    struct sem_undo *undo = global_alloc(undo_bytes(set));

    if (undo == NULL)
        return NULL;
    undo->process = process;
    undo->set = set;
    list_push_back(&set->undos, &undo->set_link);
    list_push_back(&process->sem_undos, &undo->process_link);
    return undo;
}

static void free_undo(struct sem_undo *undo) {
    list_remove(&undo->set_link);
    list_remove(&undo->process_link);
    global_free(undo, undo_bytes(undo->set));
}

static enum status undo_for(struct sem_set *set, struct process *process, const struct sembuf *operations,
                            unsigned count, struct sem_undo **out) {
    bool needed = false;

    for (unsigned i = 0; i < count; i++)
        needed = needed || operations[i].flags & SEM_UNDO;
    *out = needed ? find_undo(set, process) : NULL;
    if (needed && *out == NULL)
        *out = make_undo(set, process);
    return needed && *out == NULL ? ERR_NO_MEMORY : OK;
}

/* One operation. On error nothing has changed. */
static enum status do_one(struct sem_set *set, struct sem_undo *undo, const struct sembuf *operation) {
    struct semaphore *semaphore = &set->semaphores[operation->number];
    int32_t value = semaphore->value + operation->operation;

    if (operation->operation == 0)
        return semaphore->value == 0 ? OK : ERR_WOULD_BLOCK;
    if (value < 0)
        return ERR_WOULD_BLOCK;
    if (value > SEM_VALUE_MAX)
        return ERR_RANGE;
    if (operation->flags & SEM_UNDO) {
        int32_t adjust = undo->adjust[operation->number] - operation->operation;
        if (adjust < -SEM_ADJUST_MAX - 1 || adjust > SEM_ADJUST_MAX)
            return ERR_RANGE;
        undo->adjust[operation->number] = (int16_t)adjust;
    }
    semaphore->value = (uint16_t)value;
    return OK;
}

static void take_back(struct sem_set *set, struct sem_undo *undo, const struct sembuf *operations, unsigned count) {
    while (count-- > 0) {
        const struct sembuf *operation = &operations[count];

        set->semaphores[operation->number].value =
            (uint16_t)(set->semaphores[operation->number].value - operation->operation);
        if (operation->flags & SEM_UNDO)
            undo->adjust[operation->number] = (int16_t)(undo->adjust[operation->number] + operation->operation);
    }
}

enum status sem_try(struct sem_set *set, struct process *process, const struct sembuf *operations, unsigned count,
                    unsigned *blocked_at) {
    struct sem_undo *undo;
    enum status status = undo_for(set, process, operations, count, &undo);

    for (unsigned i = 0; i < count && status == OK; i++) {
        status = do_one(set, undo, &operations[i]);
        if (status != OK) {
            *blocked_at = i;
            take_back(set, undo, operations, i);
        }
    }
    if (status != OK)
        return status;
    for (unsigned i = 0; i < count; i++)
        set->semaphores[operations[i].number].last = process->id;
    set->operation_time = sysv_now();
    return OK;
}

/* Whether what it waits for may have come: else there is no need to try. */
static bool may_go_on(const struct sem_set *set, const struct sem_waiter *waiter) {
    const struct sembuf *operation = &waiter->operations[waiter->blocked_at];
    uint16_t value = set->semaphores[operation->number].value;

    return operation->operation == 0 ? value == 0 : value + operation->operation >= 0;
}

static void end_wait(struct sem_waiter *waiter, enum status status) {
    list_remove(&waiter->link);
    waiter->status = status;
    waiter->ended = true;
    wake_all(&waiter->queue);
}

static bool changes_values(const struct sem_waiter *waiter) {
    for (unsigned i = 0; i < waiter->count; i++)
        if (waiter->operations[i].operation != 0)
            return true;
    return false;
}

/* The first that can go on does. False: none; true: values have changed, so that others before it may. */
static bool serve_some(struct sem_set *set) {
    list_for_each_safe(link, &set->waiters) {
        struct sem_waiter *waiter = container_of(link, struct sem_waiter, link);

        if (!may_go_on(set, waiter))
            continue;
        enum status status = sem_try(set, waiter->process, waiter->operations, waiter->count, &waiter->blocked_at);
        if (status == ERR_WOULD_BLOCK)
            continue;
        bool changed = status == OK && changes_values(waiter);
        end_wait(waiter, status);
        if (changed)
            return true;
    }
    return false;
}

void sem_serve_waiters(struct sem_set *set) {
    while (serve_some(set)) {
    }
}

void sem_forget_undo(struct sem_set *set, uint32_t number) {
    list_for_each(link, &set->undos) container_of(link, struct sem_undo, set_link)->adjust[number] = 0;
}

void sem_remove(struct sem_set *set) {
    sysv_remove(SYSV_SEM, &set->base);
    while (!list_empty(&set->undos))
        free_undo(container_of(set->undos.next, struct sem_undo, set_link));
    while (!list_empty(&set->waiters))
        end_wait(container_of(set->waiters.next, struct sem_waiter, link), ERR_REMOVED);
    global_free(set, sem_set_bytes(set->count));
}

/* As Linux: a value that would leave its range stays at the end of it. */
static void apply_undo(const struct sem_undo *undo) {
    struct sem_set *set = undo->set;

    for (uint32_t i = 0; i < set->count; i++) {
        int32_t value = set->semaphores[i].value + undo->adjust[i];

        if (undo->adjust[i] == 0)
            continue;
        set->semaphores[i].value = (uint16_t)(value < 0 ? 0 : value > SEM_VALUE_MAX ? SEM_VALUE_MAX : value);
        set->semaphores[i].last = undo->process->id;
        set->operation_time = sysv_now();
    }
}

void sysv_process_exit(struct process *process) {
    spin_lock(&sysv_lock);
    while (!list_empty(&process->sem_undos)) {
        struct sem_undo *undo = container_of(process->sem_undos.next, struct sem_undo, process_link);
        struct sem_set *set = undo->set;

        apply_undo(undo);
        free_undo(undo);
        sem_serve_waiters(set);
    }
    spin_unlock(&sysv_lock);
}
