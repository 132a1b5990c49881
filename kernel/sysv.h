/*
 * System V IPC: what segments, semaphore sets and message queues have in common: ids, keys, rights.
 *
 * One lock, sysv_lock, for all three: their calls are short. An object is found by its id as long as it is in its
 * table; who sleeps for one has only the id, and looks again.
 */
#ifndef KERNEL_SYSV_H
#define KERNEL_SYSV_H

#include <stdbool.h>
#include <stdint.h>

#include "arch/spinlock.h"
#include "kernel/status.h"
#include "kernel/sysv_abi.h"

enum sysv_kind { SYSV_SHM, SYSV_SEM, SYSV_MSG, SYSV_KINDS };

enum { SYSV_IDS_MAX = 4096 }; /* of each kind */

/* The first member of each kind's own structure. Protected by sysv_lock. Class GLOBAL. */
struct sysv_object {
    int32_t id;
    int32_t key;
    uint32_t uid, gid, cuid, cgid;
    uint32_t mode;
};

/* What a *get() call asks for. */
struct sysv_request {
    int32_t key;
    uint32_t flags; /* enum sysv_flag, and rights */
    uint64_t size;  /* bytes, semaphores; 0 */
};

struct sysv_class {
    enum sysv_kind kind;
    /* Whether an object that is there will do. sysv_lock held. */
    enum status (*accept)(const struct sysv_object *object, const struct sysv_request *request);
    /* Makes one, zeroed but for what is its kind's own. sysv_lock held. */
    enum status (*create)(const struct sysv_request *request, struct sysv_object **out);
};

enum { SYSV_MAY_READ = 0444, SYSV_MAY_WRITE = 0222, SYSV_MAY_EXECUTE = 0111 };

extern struct spinlock sysv_lock; /* rank SYSV */

/*
 * Finds or makes one; *id gets its id. ERR_NO_ENTRY, ERR_EXISTS, ERR_ACCESS, ERR_INVALID, ERR_NO_SPACE, ERR_NO_MEMORY.
 */
MUST_USE enum status sysv_get(const struct sysv_class *class, const struct sysv_request *request, int64_t *id);

/* sysv_lock held for all below. NULL: there is none of this id (ERR_INVALID). */
struct sysv_object *sysv_find(enum sysv_kind kind, int32_t id);
/* Why there is none: ERR_REMOVED where there was one once, else ERR_INVALID. */
MUST_USE enum status sysv_missing(enum sysv_kind kind, int32_t id);
/* By the number of its place in the table, as *_STAT ask. */
struct sysv_object *sysv_at(enum sysv_kind kind, int32_t place);
int32_t sysv_highest(enum sysv_kind kind); /* place in use; 0 also when there is none */
uint32_t sysv_count(enum sysv_kind kind);

/* It is found no more. */
void sysv_remove(enum sysv_kind kind, struct sysv_object *object);

/* Whether the caller has one of the rights in `wanted` (SYSV_MAY_*, or the flags of a *get()): ERR_ACCESS. */
MUST_USE enum status sysv_permit(const struct sysv_object *object, uint32_t wanted);
/* Whether it may change or remove it: ERR_NOT_PERMITTED. */
MUST_USE enum status sysv_permit_owner(const struct sysv_object *object);

/* IPC_STAT's and IPC_SET's part. */
void sysv_describe(const struct sysv_object *object, struct ipc64_perm *out);
/* ERR_INVALID (an id that is none): nothing has changed. */
MUST_USE enum status sysv_change(struct sysv_object *object, const struct ipc64_perm *from);

/* Seconds since 1970. */
int64_t sysv_now(void);

struct process;
/* The process ends: what its semaphore operations are to undo is undone. */
void sysv_process_exit(struct process *process);

#endif
