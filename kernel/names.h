/*
 * The name tree and walking it. Kept minimal: a later issue moves names into a server.
 *
 * One lock guards all of it. Nothing sleeps under it, so a walk hands out plain pointers that hold until
 * names_unlock(); whoever keeps one longer takes a reference. References are dropped after names_unlock() (that may
 * free pages).
 */
#ifndef KERNEL_NAMES_H
#define KERNEL_NAMES_H

#include <stdbool.h>
#include <stddef.h>

#include "arch/spinlock.h"
#include "kernel/directory.h"
#include "kernel/inode.h"

extern struct spinlock names_lock; /* rank NAMES */

/* Constant after names_make_root(). */
extern struct inode *root_inode;

/* What files on regular files, directories … can do: the types' own C files define them. */
extern const struct file_operations regular_operations, directory_operations, pipe_operations, nothing_operations;

enum walk_flags {
    WALK_FOLLOW = 1, /* if the last component is a symbolic link, go where it leads */
    WALK_PARENT = 2, /* the last component itself is to be made or removed: never follow it, not even before a slash */
};

struct walk_answer;

enum walk_last { LAST_NAME, LAST_ROOT, LAST_DOT, LAST_DOT_DOT };

struct path_walk {
    struct inode *directory; /* where the last component is, or would be */
    const char *name;        /* the last component: in the path given or in a link's target; not terminated */
    size_t length;
    struct inode *inode; /* what it names; NULL: nothing */
    enum walk_last last;
    bool slash; /* a slash followed the last component */
};

/*
 * Walks `path` (not empty) from `start`. OK also when the last component alone does not exist. ERR_NO_ENTRY,
 * ERR_NOT_DIRECTORY, ERR_TOO_MANY_SYMLINKS, ERR_NAME_TOO_LONG, ERR_ACCESS. names_lock held.
 *
 * ERR_NOT_CACHED: a file server is to be asked for walk->name in walk->directory, or, where walk->inode is a link,
 * where that leads; system calls use path_resolve() (kernel/path.h), which does. `answers`: see kernel/name_cache.h.
 */
MUST_USE enum status path_walk(struct inode *start, const char *path, const struct walk_answer *answers, unsigned flags,
                               struct path_walk *walk);

/*
 * Where the caller's absolute paths begin, and what ".." does not leave: the root, or where it called chroot(). And
 * whether a directory is it or below it. names_lock held.
 */
struct inode *names_root(void);
bool names_is_below_root(struct inode *directory);

/* The target of a symbolic link, terminated; "" when it leads nowhere. names_lock held. */
const char *link_target(const struct inode *link);

/* Makes the root. Once, at boot. */
MUST_USE enum status names_make_root(void);

/*
 * The kernel's own names, at boot: an inode of that kind, owned by user 0, with one reference; and the name that a walk
 * did not find for it. names_lock held for the latter. ERR_NO_MEMORY, ERR_EXISTS.
 */
MUST_USE enum status names_new_directory(uint32_t mode, struct inode **out);
MUST_USE enum status names_new_link(const char *target, struct inode **out);
MUST_USE enum status names_attach(const struct path_walk *walk, struct inode *inode);

/* Whether the two places allow a rename, as far as no server has to be asked. names_lock held. */
MUST_USE enum status names_check_rename(const struct path_walk *from, const struct path_walk *to, bool replace);

/*
 * Writes the absolute path of a directory, or of `name` in it (NULL: of itself), at the END of buffer[0..size);
 * *text is where it begins, terminated. It is the path from the caller's root, for what is not below that the
 * machine's. ERR_NO_ENTRY (removed), ERR_RANGE (does not fit). names_lock held.
 */
MUST_USE enum status names_path(struct inode *directory, const char *name, size_t length, char *buffer, size_t size,
                                char **text);

#endif
