/*
 * Mounts: file systems that a server keeps, and where in the tree their roots are seen.
 *
 * A mount lives as long as its handle or one of its nodes. When the handle is closed it is taken out of the tree and
 * its server is not asked any more: what is still open says ERR_IO from then on.
 */
#ifndef KERNEL_MOUNT_H
#define KERNEL_MOUNT_H

#include "kernel/inode.h"
#include "kernel/ipc_abi.h"
#include "kernel/server.h"

struct mount {
    uint32_t refs;                /* atomic: the handle's, and one for each node */
    uint32_t id;                  /* st_dev; constant */
    struct server *server;        /* constant */
    struct mount_options options; /* constant */
    struct mutex rename_lock;     /* held across a rename: meanwhile no directory moves */
    uint64_t changes;          /* calls so far that change something, from a start that is no other mount's. Atomic */
    uint32_t changing;         /* a bit for each of FS_CHANGES_MAX that is under way. Atomic */
    struct wait_queue changed; /* woken when one of them has ended */
    struct mutex room_lock;    /* while the server is asked how much room it has */
    int64_t room;              /* pages that may be written without asking (kernel/space.c). Atomic */
    uint64_t calls;            /* messages sent. Atomic */
    uint64_t unforgotten;      /* nodes that the server could not be told to free. Atomic */

    /* Protected by names_lock. */
    struct inode *root;    /* with a reference; NULL when it was taken out */
    struct inode *covered; /* the directory in whose place the root is seen, with a reference; likewise */
    struct list link;      /* in the list of mounts */
    bool pinned;           /* names of the kernel's own are seen in the root, too: those that `covered` pins */
    uint32_t generation;   /* counts what the server took back: an answer that was on its way then is not kept */
    uint64_t names, negative_names, hits, misses;
};

static inline bool mount_is_memory(const struct mount *mount) { return mount->options.flags & MOUNT_MEMORY; }
static inline bool mount_is_alive(const struct mount *mount) { return mount->root != NULL; }

/*
 * A mount with the root that the server tells of, not in the tree yet. One reference. Asks the server: may sleep.
 * ERR_NO_MEMORY, ERR_IO, ERR_NOT_DIRECTORY.
 */
MUST_USE enum status mount_create(struct server *server, const struct mount_options *options, struct mount **out);
/* Its root is seen in the place of `directory` from now on. ERR_NO_ENTRY (removed meanwhile). Takes names_lock. */
MUST_USE enum status mount_enter(struct mount *mount, struct inode *directory);
/* Takes it out of the tree and ends its server's part. Once. Takes names_lock; may sleep. */
void mount_remove(struct mount *mount);

void mount_ref(struct mount *mount);
void mount_unref(struct mount *mount);

/* What is seen in the place of a directory: itself, or the root that covers it. names_lock held. */
struct inode *mount_cross(struct inode *directory);
/* The directory that a root covers, and so on, until it is none. names_lock held. */
struct inode *mount_uncross(struct inode *directory);

/* The mount number `index` of the list, with a reference; NULL behind the last. Takes names_lock. */
struct mount *mount_at(unsigned index);

/* What SYS_MOUNT_TABLE tells. `state` is LOCAL. Takes names_lock. */
void mount_describe(struct mount *mount, struct mount_state *state);

/* Tells all servers to make durable what they know: sync(). May sleep. */
void mounts_sync(void);

/* The kernel's own root directory for users' changes: ERR_READ_ONLY where they cannot be. */
static inline enum status mount_writable(const struct mount *mount) {
    return mount != NULL && (mount->options.flags & MOUNT_READ_ONLY) ? ERR_READ_ONLY : OK;
}

#endif
