/*
 * epoll: a set of files that is waited for, and the list of those that may be ready.
 *
 * An item stands for one descriptor in the set. It is told by the file's own wait queues when something happens there,
 * and puts itself on the ready list; so a wait looks at those files alone. An item holds no reference on its file: it
 * goes with the file, as on Linux.
 */
#ifndef KERNEL_EPOLL_H
#define KERNEL_EPOLL_H

#include "kernel/cells.h"
#include "kernel/list.h"
#include "kernel/poll.h"
#include "kernel/wait.h"

struct file;

#define EPOLL_BUCKETS 225U /* with them a set fills a page */
#define EPOLL_DEPTH   5U   /* sets in sets in sets … */
#define EPOLL_OUTER   100U /* sets that one set is in */

/* Bits of an item's events that are not POLL*. */
#define EPOLLEXCLUSIVE (1U << 28)
#define EPOLLWAKEUP    (1U << 29)
#define EPOLLONESHOT   (1U << 30)
#define EPOLLET        (1U << 31)
#define EPOLL_MANNER   (EPOLLEXCLUSIVE | EPOLLWAKEUP | EPOLLONESHOT | EPOLLET)

/* Class GLOBAL, but for what a cell holds: struct epoll_event.data. */
struct epoll {
    uint32_t refs;                      /* atomic: the file, and who removes an item of a file that is closed */
    struct mutex mutex;                 /* held across every change of the set, and while its files are asked */
    struct cells data;                  /* a cell for each item */
    uint32_t count;                     /* items. Protected by mutex, as the next two */
    struct list asked;                  /* epoll_item.ready_link: those that the wait under way has yet to ask */
    struct list buckets[EPOLL_BUCKETS]; /* epoll_item.hash_link */

    struct spinlock lock;       /* rank READY, interrupts off */
    struct list ready;          /* epoll_item.ready_link. Protected by lock */
    struct wait_queue sleepers; /* its lock has rank READY, too */

    /* Sets of which this one is a member, and such members of this one. Protected by epoll_links_lock. */
    struct list outer, inner; /* epoll_item.outer_link, inner_link */
    uint32_t outer_count;
    uint32_t walk, depth; /* which walk has been here last, and what it found */
};

_Static_assert(sizeof(struct epoll) <= PAGE_SIZE - 64, "one chunk of a slab");

struct epoll_watch {
    struct wait_node node;
    struct wait_queue *queue; /* NULL: unused */
    struct epoll_item *item;
};

/* Class GLOBAL. Constant but where said otherwise. */
struct epoll_item {
    struct epoll *epoll;
    struct file *file; /* without a reference */
    int fd;
    uint32_t cell;
    uint32_t events;        /* POLL* and EPOLL_MANNER; no POLL* bits: disabled. Protected by epoll.mutex; atomic */
    struct list hash_link;  /* Protected by epoll.mutex */
    struct list file_link;  /* in file.watchers. Protected by epoll_links_lock */
    struct list ready_link; /* Protected by epoll.lock */
    struct epoll *watched;  /* what the file is, if it is an epoll itself */
    struct list outer_link, inner_link;
    struct epoll_watch watches[2]; /* Protected by epoll.mutex */
};

extern struct spinlock epoll_links_lock; /* rank LINKS, interrupts off */
extern const struct file_operations epoll_operations;

struct epoll_event { /* as user space has it */
    uint32_t events;
    uint64_t data;
} __attribute__((packed));

MUST_USE enum status epoll_create(struct epoll **out);
void epoll_ref(struct epoll *epoll);
void epoll_unref(struct epoll *epoll);

/* The item of that descriptor, or NULL. epoll.mutex held. */
struct epoll_item *epoll_find(struct epoll *epoll, const struct file *file, int fd);

/*
 * Adds, changes, removes; epoll.mutex held. ERR_NO_MEMORY; adding another epoll: ERR_TOO_MANY_SYMLINKS (a circle, or
 * too deep), ERR_INVALID (in too many).
 */
MUST_USE enum status epoll_add(struct epoll *epoll, struct file *file, int fd, const struct epoll_event *event);
void epoll_change(struct epoll_item *item, const struct epoll_event *event);
void epoll_remove(struct epoll_item *item);

/* A file is going away: it leaves all sets. No lock held. May sleep. */
void epoll_forget_file(struct file *file);

/*
 * Of the files that may be ready those that are: up to `room` events. Takes epoll.mutex. The calling process has a
 * handle on the epoll.
 */
unsigned epoll_collect(struct epoll *epoll, struct epoll_event *events, unsigned room);

/* Whether any is ready. Takes epoll.mutex. */
bool epoll_any_ready(struct epoll *epoll);

/* The item may be ready: on the list with it, and who waits is woken, also in sets around. Any context. */
void epoll_mark_ready(struct epoll_item *item);

#endif
