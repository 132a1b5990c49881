/*
 * Between the two halves of inotify: watches (inotify.c) and the descriptors that they belong to (sys_inotify.c).
 */
#ifndef KERNEL_INOTIFY_INTERNAL_H
#define KERNEL_INOTIFY_INTERNAL_H

#include "kernel/inotify.h"
#include "kernel/list.h"
#include "kernel/wait.h"

struct notice {
    struct list link;
    int32_t watch;
    uint32_t mask, cookie, length; /* of the name */
    char name[];                   /* not terminated */
};

/* Class GLOBAL. Protected by inotify_lock. */
struct inotify {
    struct list all_link;
    struct list watches;          /* struct watch.own_link */
    struct list retired;          /* likewise: in no inode's chain any more, to be freed by watches_free_retired() */
    struct list notices;          /* to be read */
    struct notice *overflow;      /* what says that some were lost; NULL: it is in the list */
    uint32_t notice_count, bytes; /* bytes: as they are read */
    int32_t last_watch;
    uint32_t watch_count;
    uint32_t uid; /* whose limits it counts to. Constant */
    struct wait_queue readable;
};

/* Class GLOBAL. Protected by inotify_lock. */
struct watch {
    struct watch *next; /* in its inode's chain */
    struct list own_link;
    struct list directory_link;          /* of those on directories */
    struct inotify *instance;            /* constant, as the next two */
    struct inode *inode;                 /* with a reference that inode.watch_refs counts */
    const struct directory_entry *entry; /* of a directory's: what tell_directories() has found, while it tells */
    int32_t number;
    uint32_t mask;
};

extern struct spinlock inotify_lock;  /* rank INOTIFY */
extern struct list inotify_instances; /* struct inotify.all_link. Protected by inotify_lock */

#define NOTICE_HEAD 16U /* bytes of struct inotify_event */

/* Bytes of the name as it is read: terminated, and rounded up. */
static inline uint32_t notice_name_bytes(const struct notice *notice) {
    return notice->length == 0 ? 0 : (notice->length / NOTICE_HEAD + 1) * NOTICE_HEAD;
}

/*
 * Makes the instance watch an inode, or changes what it watches it for: its number in *number. Takes a reference on the
 * inode if need be. ERR_EXISTS (`fresh` only), ERR_NO_SPACE (the user has too many, or there is no number left),
 * ERR_NO_MEMORY. No lock held.
 */
MUST_USE enum status watch_add(struct inotify *instance, struct inode *inode, uint32_t mask, bool fresh, bool more,
                               int64_t *number);
/* ERR_INVALID: there is none of that number. No lock held. */
MUST_USE enum status watch_remove(struct inotify *instance, int32_t number);
void watches_remove_all(struct inotify *instance);
void watches_free_retired(struct inotify *instance);

/* The caller may see `notice` no longer: it is freed, or kept for the next overflow. inotify_lock held. */
void notice_read(struct inotify *instance, struct notice *notice);

#define IN_ONESHOT 0x80000000U /* of a watch: it ends with the first event */

#endif
