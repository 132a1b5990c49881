/*
 * Inodes: what names name. Class GLOBAL: names, sizes, times and pointers. What a file holds is in its memory object.
 *
 * An inode lives as long as something refers to it: a directory entry, an open file, a working directory, a child
 * directory. An unlinked file that is still open thus lives on, and the last close frees its pages.
 */
#ifndef KERNEL_INODE_H
#define KERNEL_INODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernel/file_abi.h"
#include "kernel/status.h"
#include "kernel/wait.h"

struct directory_entry;
struct file_operations;
struct memory_object;
struct pipe;
struct record_lock;

/* A directory's entries. Protected by names_lock. */
struct directory {
    struct inode *parent;             /* with a reference, but for the root, which is its own */
    struct directory_entry *self;     /* the entry that names it; NULL for the root and when it was removed */
    struct directory_entry **slots;   /* by position; holes are NULL */
    struct directory_entry **buckets; /* hash chains; as many as slots */
    uint32_t capacity;                /* of slots and buckets: a power of two, or 0 */
    uint32_t count;                   /* entries */
    uint32_t first_hole;              /* no slot before it is free */
};

/* One device's or synthetic file's own part: constant, static. */
struct special_file {
    const struct file_operations *operations;
    uint32_t major, minor;                         /* of a device */
    size_t (*generate)(char *buffer, size_t size); /* of a /proc file: its text, as format_string() tells its length */
};

struct inode {
    uint32_t refs; /* atomic */
    uint32_t mode; /* type: constant; permissions: protected by names_lock */
    /* Protected by names_lock to write; readers may see either value. */
    uint32_t links, uid, gid;
    int64_t accessed, modified,
        changed; /* nanoseconds since 1970: one word, written and read at one go without a lock */

    uint64_t number;                          /* constant */
    const struct file_operations *operations; /* of files opened on it. Constant */
    struct record_lock *locks;                /* advisory locks. Protected by record_locks_lock */
    struct mutex append_lock;                 /* held across a write behind the end, and a resize */
    union {                                   /* by type; constant pointers */
        struct memory_object *object;         /* S_IFREG with content: with a reference */
        struct directory directory;           /* S_IFDIR */
        char *target;                         /* S_IFLNK: terminated; global_alloc. NULL: /proc/self/exe */
        const struct special_file *special;   /* S_IFCHR, and S_IFREG of /proc */
        struct pipe *pipe;                    /* S_IFIFO */
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

/* Sets the size of a regular file (regular_file.c). ERR_NO_SPACE, ERR_NO_MEMORY. May sleep. */
MUST_USE enum status regular_resize(struct inode *inode, uint64_t size);

/* Fills in what stat() tells. Any lock. */
void inode_stat(const struct inode *inode, struct linux_stat *out);

#endif
