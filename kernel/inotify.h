/*
 * inotify: telling watchers what was done to files and names. Names and events are metadata.
 *
 * Nothing is looked at as long as nobody watches anything. What file servers change by themselves, and what is written
 * through mappings, nobody is told of.
 */
#ifndef KERNEL_INOTIFY_H
#define KERNEL_INOTIFY_H

#include <stddef.h>

#include "kernel/open_file.h"

enum inotify_event {
    IN_ACCESS = 0x1,
    IN_MODIFY = 0x2,
    IN_ATTRIB = 0x4,
    IN_CLOSE_WRITE = 0x8,
    IN_CLOSE_NOWRITE = 0x10,
    IN_OPEN = 0x20,
    IN_MOVED_FROM = 0x40,
    IN_MOVED_TO = 0x80,
    IN_CREATE = 0x100,
    IN_DELETE = 0x200,
    IN_DELETE_SELF = 0x400,
    IN_MOVE_SELF = 0x800,
    IN_Q_OVERFLOW = 0x4000,
    IN_IGNORED = 0x8000,
    IN_ISDIR = 0x40000000,
};

#define INOTIFY_QUEUE_MAX     2048U /* events that wait to be read at one descriptor */
#define INOTIFY_QUEUE_LEAST   64U   /* of them those that may in any case; the others only if */
#define INOTIFY_NOTICES_MAX   8192U /* as long as fewer than these wait at all descriptors of the user */
#define INOTIFY_INSTANCES_MAX 128U  /* of a user */
#define INOTIFY_WATCHES_MAX   8192U /* of a user */

extern uint32_t inotify_watches; /* how many there are. Atomic */

/* Whether it is worth telling. */
static inline bool inotify_watched(void) {
    return __builtin_expect(__atomic_load_n(&inotify_watches, __ATOMIC_RELAXED) != 0, 0);
}

/* Something was done to the inode: its watchers are told, and those of directories that it has a name in. No lock. */
void inotify_tell(struct inode *inode, uint32_t event);

static inline void inotify_file(const struct file *file, uint32_t event, size_t done) {
    if (inotify_watched() && done > 0)
        inotify_tell(file->inode, event);
}

/* The same, only its own watchers are told, and just that. Any lock of a lower rank. */
void inotify_tell_self(struct inode *inode, uint32_t event);

/*
 * A name in the directory came to mean something, or ceased to (with IN_ISDIR: a directory). `cookie`: what both
 * ends of a move have in common, else 0. names_lock may be held.
 */
void inotify_tell_name(const struct inode *directory, const char *name, size_t length, uint32_t event, uint32_t cookie);
/* IN_ISDIR or 0. */
uint32_t inotify_type(const struct inode *inode);
uint32_t inotify_cookie(void);

/* A reference on an inode without a name was given back: nobody may have it but who watches it. names_lock held. */
void inotify_check_gone(struct inode *inode);

/* A name in a directory was learnt: who watches that wants to hear of the inode. names_lock held. */
static inline void inotify_name_known(const struct inode *directory, struct inode *inode) {
    if (__builtin_expect(directory->watches != NULL, 0))
        inode->has_watched_name = true;
}

#endif
