/*
 * Advisory locks. Each inode has a list of locked ranges, which never overlap for one owner. No deadlock is detected:
 * F_SETLKW waits until a signal ends it.
 *
 * Locks: record_locks_lock guards all lists (rank FILE). Class GLOBAL: owners and ranges are metadata.
 */
#include "kernel/record_lock.h"

#include "arch/uaccess.h"
#include "kernel/names.h"
#include "kernel/open_file.h"
#include "kernel/process.h"
#include "kernel/syscall_table.h"
#include "mm/heap.h"
#include "mm/object.h"

enum lock_type { LOCK_READ = 0, LOCK_WRITE = 1, LOCK_NONE = 2 }; /* F_RDLCK, F_WRLCK, F_UNLCK */

enum { LOCK_SH = 1, LOCK_EX = 2, LOCK_NB = 4, LOCK_UN = 8 }; /* flock() */

struct linux_flock {
    int16_t type, whence;
    int32_t padding;
    int64_t start, length;
    int32_t process;
    int32_t padding2;
};

struct record_lock {
    struct record_lock *next;
    const struct file *file; /* flock's owner; NULL: the process owns it */
    uint32_t process_id;
    enum lock_type type;
    uint64_t start, last; /* bytes, inclusive */
};

static struct spinlock record_locks_lock = SPINLOCK_INIT(RANK_FILE);
static struct wait_queue released = {.lock = SPINLOCK_INIT(RANK_WAIT),
                                     .waiters = {&released.waiters, &released.waiters}};

static bool same_owner(const struct record_lock *a, const struct record_lock *b) {
    return a->file == b->file && (a->file != NULL || a->process_id == b->process_id);
}

static bool overlap(const struct record_lock *a, const struct record_lock *b) {
    return a->start <= b->last && b->start <= a->last;
}

/* The first lock that stands against `wanted`. */
static const struct record_lock *find_conflict(const struct inode *inode, const struct record_lock *wanted) {
    for (const struct record_lock *lock = inode->locks; lock != NULL; lock = lock->next) {
        bool kinds_meet = (lock->file == NULL) == (wanted->file == NULL);
        if (kinds_meet && !same_owner(lock, wanted) && overlap(lock, wanted) &&
            (lock->type == LOCK_WRITE || wanted->type == LOCK_WRITE))
            return lock;
    }
    return NULL;
}

/* Takes `range` out of what its owner has locked. `spare` becomes the rear part when a lock is cut in two; returns it
 * if unused. */
static struct record_lock *cut_out(struct inode *inode, const struct record_lock *range, struct record_lock *spare) {
    struct record_lock **link = &inode->locks;
    while (*link != NULL) {
        struct record_lock *lock = *link;
        if (!same_owner(lock, range) || !overlap(lock, range)) {
            link = &lock->next;
        } else if (lock->start < range->start && lock->last > range->last) {
            *spare = *lock;
            spare->start = range->last + 1;
            lock->last = range->start - 1;
            lock->next = spare;
            return NULL;
        } else if (lock->start < range->start) {
            lock->last = range->start - 1;
            link = &lock->next;
        } else if (lock->last > range->last) {
            lock->start = range->last + 1;
            link = &lock->next;
        } else {
            *link = lock->next;
            global_free(lock, sizeof(*lock));
        }
    }
    return spare;
}

/* Sets `wanted`, waiting for others if told to. */
static enum status set_lock(struct inode *inode, const struct record_lock *wanted, bool wait) {
    struct record_lock *lock = global_alloc(sizeof(*lock)), *spare = global_alloc(sizeof(*spare));
    enum status status = lock != NULL && spare != NULL ? OK : ERR_NO_MEMORY;
    while (status == OK) {
        struct waiter waiter;
        spin_lock(&record_locks_lock);
        if (wanted->type == LOCK_NONE || find_conflict(inode, wanted) == NULL) {
            spare = cut_out(inode, wanted, spare);
            if (wanted->type != LOCK_NONE) {
                *lock = *wanted;
                lock->next = inode->locks;
                inode->locks = lock;
                lock = NULL;
            }
            wake_all(&released); /* a write lock may have become a read lock */
            spin_unlock(&record_locks_lock);
            break;
        }
        if (!wait) {
            spin_unlock(&record_locks_lock);
            status = ERR_AGAIN;
            break;
        }
        wait_begin(&released, &waiter);
        spin_unlock(&record_locks_lock);
        status = wait_sleep(WAIT_FOREVER);
        wait_end(&waiter);
    }
    if (lock != NULL)
        global_free(lock, sizeof(*lock));
    if (spare != NULL)
        global_free(spare, sizeof(*spare));
    return status;
}

/* Bytes [start, last] that a struct flock means. */
static enum status decode_range(const struct file *file, const struct linux_flock *from, struct record_lock *to) {
    int64_t base = 0, start, end;
    if (from->whence == 1)
        base = (int64_t)file->position;
    else if (from->whence == 2)
        base = file->operations->memory ? (int64_t)file_memory(file)->size : 0;
    else if (from->whence != 0)
        return ERR_INVALID;
    if (__builtin_add_overflow(base, from->start, &start) || __builtin_add_overflow(start, from->length, &end))
        return ERR_OVERFLOW;
    if (from->length < 0) { /* the bytes before the start */
        int64_t before = end;
        end = start;
        start = before;
    }
    if (start < 0)
        return ERR_INVALID;
    to->start = (uint64_t)start;
    to->last = from->length == 0 ? INT64_MAX : (uint64_t)end - 1;
    return OK;
}

static enum status get_lock(struct file *file, const struct record_lock *wanted, struct linux_flock *answer) {
    spin_lock(&record_locks_lock);
    const struct record_lock *conflict = find_conflict(file->inode, wanted);
    if (conflict == NULL) {
        answer->type = LOCK_NONE;
    } else {
        answer->type = (int16_t)conflict->type;
        answer->whence = 0;
        answer->start = (int64_t)conflict->start;
        answer->length = conflict->last == INT64_MAX ? 0 : (int64_t)(conflict->last - conflict->start + 1);
        answer->process = (int32_t)conflict->process_id;
    }
    spin_unlock(&record_locks_lock);
    return OK;
}

enum status record_lock_control(struct file *file, int command, uint64_t argument) {
    struct linux_flock request;
    struct record_lock wanted = {.process_id = process_current()->id};
    enum status status = copy_from_user(&request, argument, sizeof(request));
    if (status != OK)
        return status;
    if (request.type < LOCK_READ || request.type > LOCK_NONE || (command == F_GETLK && request.type == LOCK_NONE))
        return ERR_INVALID;
    wanted.type = (enum lock_type)request.type;
    status = decode_range(file, &request, &wanted);
    if (status != OK)
        return status;
    if (command == F_GETLK) {
        status = get_lock(file, &wanted, &request);
        return status == OK ? copy_to_user(argument, &request, sizeof(request)) : status;
    }
    if ((wanted.type == LOCK_READ && !file->readable) || (wanted.type == LOCK_WRITE && !file->writable))
        return ERR_BAD_HANDLE;
    status = set_lock(file->inode, &wanted, command == F_SETLKW);
    /* Another thread may have closed the last handle before the lock was there: nobody would drop it. */
    if (status == OK && wanted.type != LOCK_NONE && !handles_refer_to(file->inode))
        record_locks_drop(file->inode, wanted.process_id);
    return status;
}

static void drop(struct inode *inode, const struct record_lock *owner) {
    spin_lock(&record_locks_lock);
    struct record_lock **link = &inode->locks;
    bool any = false;
    while (*link != NULL) {
        struct record_lock *lock = *link;
        if (!same_owner(lock, owner)) {
            link = &lock->next;
            continue;
        }
        *link = lock->next;
        global_free(lock, sizeof(*lock));
        any = true;
    }
    if (any)
        wake_all(&released);
    spin_unlock(&record_locks_lock);
}

void record_locks_drop(struct inode *inode, uint32_t process_id) {
    const struct record_lock owner = {.process_id = process_id};
    drop(inode, &owner);
}

void record_locks_drop_file(struct inode *inode, const struct file *file) {
    const struct record_lock owner = {.file = file};
    drop(inode, &owner);
}

enum status sys_flock(struct syscall *call) {
    struct file *file;
    unsigned operation = (unsigned)call->arg[1];
    struct record_lock wanted = {.last = INT64_MAX};
    switch (operation & ~(unsigned)LOCK_NB) {
    case LOCK_SH:
        wanted.type = LOCK_READ;
        break;
    case LOCK_EX:
        wanted.type = LOCK_WRITE;
        break;
    case LOCK_UN:
        wanted.type = LOCK_NONE;
        break;
    default:
        return ERR_INVALID;
    }
    enum status status = handle_get((int)call->arg[0], &file);
    if (status != OK)
        return status;
    wanted.file = file;
    wanted.process_id = process_current()->id;
    status = file->flags & O_PATH ? ERR_BAD_HANDLE : set_lock(file->inode, &wanted, !(operation & LOCK_NB));
    file_unref(file);
    return status;
}
