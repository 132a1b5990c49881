/*
 * Semaphore sets: operations on several semaphores at once, who waits for them, and what is undone at a process's end.
 *
 * Values of semaphores say how processes take turns, as exit statuses and signals do: they count as metadata here.
 */
#ifndef KERNEL_SYSV_SEM_H
#define KERNEL_SYSV_SEM_H

#include "kernel/list.h"
#include "kernel/sysv.h"
#include "kernel/wait.h"

/* Linux's limits. */
enum {
    SEM_COUNT_MAX = 32000, /* in a set */
    SEM_OPERATIONS_MAX = 500,
    SEM_VALUE_MAX = 32767,
    SEM_ADJUST_MAX = SEM_VALUE_MAX,
};

struct semaphore {
    uint16_t value;
    uint32_t last; /* process that changed it */
};

/* Class GLOBAL. Protected by sysv_lock. */
struct sem_set {
    struct sysv_object base; /* first: found by it */
    uint32_t count;
    int64_t operation_time, change_time;
    struct list waiters; /* of struct sem_waiter, first come first */
    struct list undos;   /* of struct sem_undo.set_link */
    struct semaphore semaphores[];
};

/* A thread whose operations have to wait. Whoever changes the set does them for it. Protected by sysv_lock. */
struct sem_waiter {
    struct list link;
    struct process *process;
    const struct sembuf *operations; /* GLOBAL memory */
    unsigned count;
    unsigned blocked_at;     /* which of them cannot be done */
    bool ended;              /* and in no list any more; `status` says how */
    enum status status;      /* OK, or ERR_REMOVED */
    struct wait_queue queue; /* of one */
};

/* What a process's end adds to each semaphore of a set. Protected by sysv_lock. */
struct sem_undo {
    struct list set_link, process_link;
    struct process *process;
    struct sem_set *set;
    int16_t adjust[];
};

/*
 * All of the operations or none. ERR_WOULD_BLOCK (*blocked_at says which has to wait), ERR_RANGE, ERR_NO_MEMORY (undo):
 * nothing has changed. sysv_lock held.
 */
MUST_USE enum status sem_try(struct sem_set *set, struct process *process, const struct sembuf *operations,
                             unsigned count, unsigned *blocked_at);

/* The set has changed: does what can be done now for those who wait. sysv_lock held. */
void sem_serve_waiters(struct sem_set *set);

/* The semaphore was set by other means than an operation: nothing is left to undo. sysv_lock held. */
void sem_forget_undo(struct sem_set *set, uint32_t number);

/* Takes the set away: those who wait get ERR_REMOVED. sysv_lock held. */
void sem_remove(struct sem_set *set);

/* Bytes of a set. */
static inline size_t sem_set_bytes(uint32_t count) { return sizeof(struct sem_set) + count * sizeof(struct semaphore); }

#endif
