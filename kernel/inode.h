/*
 * Inodes: what names name. Class GLOBAL: names, sizes, times and pointers. What a file holds is in its memory object.
 *
 * The kernel's own (devices, /proc, pipes) have no mount and live as long as something refers to them: a directory
 * entry, an open file, a working directory, a child directory. The others are what the kernel remembers of a file
 * server's nodes: kernel/node.h says how long.
 */
#ifndef KERNEL_INODE_H
#define KERNEL_INODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernel/file_abi.h"
#include "kernel/list.h"
#include "kernel/listing.h"
#include "kernel/status.h"
#include "kernel/wait.h"

struct directory_entry;
struct inode;
struct text;
struct file_operations;
struct memory_object;
struct mount;
struct pipe;
struct record_lock;
struct socket;
struct watch;

/* A directory's entries; of a server's directory those that are cached. Protected by names_lock. */
struct directory {
    struct inode *parent;             /* with a reference, but for a root, which is its own */
    struct mount *mounted;            /* whose root is seen here instead, or NULL */
    struct directory_entry *self;     /* the entry that names it; NULL for the root and when it was removed */
    struct directory_entry **slots;   /* by position; holes are NULL */
    struct directory_entry **buckets; /* hash chains; as many as slots */
    uint32_t capacity;                /* of slots and buckets: a power of two, or 0 */
    uint32_t count;                   /* entries */
    uint32_t first_hole;              /* no slot before it is free */
    uint32_t generation;              /* of what is cached: entries of an older one are asked for anew */
    struct listing listing;           /* of a served one: what was listed */
    uint8_t live; /* enum live_directory: whether it is made up as it is looked at (kernel/procfs.h) */
};

/* One device's or synthetic file's own part: constant, static. */
struct special_file {
    const struct file_operations *operations;
    uint32_t major, minor;                                          /* of a device */
    void (*generate)(struct text *text, const struct inode *inode); /* of a /proc file: writes its text */
};

struct inode {
    uint32_t refs; /* atomic */
    uint32_t mode; /* type: constant; permissions: protected by names_lock */
    /* Protected by names_lock to write; readers may see either value. */
    uint32_t links, uid, gid;
    int64_t accessed, modified,
        changed; /* nanoseconds since 1970: one word, written and read at one go without a lock */

    /* What is remembered of a file server's node. `mount` NULL: the kernel's own, and the rest of these unused. */
    struct mount *mount;     /* with a reference; constant */
    struct inode *hash_next; /* Protected by names_lock, as the next ones */
    struct list idle_link;   /* in one of node.c's lists when nothing refers to it */
    bool stale;              /* the server took its attributes back: asked for anew when a walk comes by */
    bool unsavable;          /* its server would not take what was written: nobody waits for that any more */
    bool linkable;           /* it was made without a name, and may get one */
    bool restat;             /* a directory was changed, or a file's links were: stat() asks anew */
    uint64_t size, blocks;   /* as the server said; of a file with an object, the object's size counts */
    uint32_t cache_refs;     /* references that are names in the cache, or child directories. names_lock */
    uint32_t unsaved;        /* enum fs_set: what the server has not been told yet. Atomic */

    /* Of what in /proc tells of a process (kernel/procfs.h): its id and start_time, and which thread, handle or link.
     * Constant once it has a name. */
    uint32_t subject, part;
    uint64_t born; /* 0: of none */

    uint64_t number;                          /* constant; a served one's is the server's number */
    const struct file_operations *operations; /* of files opened on it. Constant */
    struct watch *watches;     /* kernel/inotify.h. Protected by inotify_lock, as the next one; NULL is seen without */
    uint32_t watch_refs;       /* references that are watches */
    bool has_watched_name;     /* a directory that is watched names it, or did. Protected by names_lock */
    struct record_lock *locks; /* advisory locks. Protected by record_locks_lock */
    struct mutex lock; /* a file's: held across a write behind the end, a resize, and what tells its server of them. A
                          directory's: across a message about its names and what the cache learns from the answer */
    union {            /* by type; constant pointers but where said otherwise */
        struct memory_object *object; /* S_IFREG with content: with a reference. A served file's is made when it is
                                         first opened, under names_lock */
        struct directory directory;   /* S_IFDIR */
        char *target;                 /* S_IFLNK: terminated; global_alloc. NULL: one of /proc (live_link), or a served
                                                 link that was not read yet; that is set under names_lock */
        const struct special_file *special; /* S_IFCHR, and S_IFREG of /proc */
        struct pipe *pipe;                  /* S_IFIFO. A served one's: NULL while it is not open, under names_lock */
        struct socket *socket;              /* S_IFSOCK of the kernel's own: with a reference */
    };
};

static inline bool inode_is(const struct inode *inode, uint32_t type) { return (inode->mode & S_IFMT) == type; }

/* An inode with one reference, no links and the current time; the type's own part is still empty. ERR_NO_MEMORY. */
MUST_USE enum status inode_create(uint32_t mode, struct inode **out);

void inode_ref(struct inode *inode);
/* The last one frees it and what it holds. May take long (pages are scrubbed): not with names_lock held. */
void inode_unref(struct inode *inode);

/* Times as they are kept. What lies more than 292 years from 1970 becomes the last that can be told. */
int64_t inode_time(const struct linux_timespec *time);
int64_t inode_time_now(void);
/* The content changed, or the attributes did. Any lock. */
void inode_touch_modified(struct inode *inode);
void inode_touch_changed(struct inode *inode);

/* Frees one that nothing refers to; returns what it referred to itself: a directory its parent. For node.c. */
MUST_USE struct inode *inode_destroy(struct inode *inode);

/* Makes sure that a regular file has its object (regular_file.c). ERR_NO_MEMORY. No lock held. */
MUST_USE enum status regular_prepare(struct inode *inode);

/* Sets the size of a regular file (regular_file.c). ERR_NO_SPACE, ERR_NO_MEMORY, what its server says. May sleep. */
MUST_USE enum status regular_resize(struct inode *inode, uint64_t size);

/* Fills in what stat() tells. Any lock. */
void inode_stat(const struct inode *inode, struct linux_stat *out);

#endif
