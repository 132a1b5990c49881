/*
 * The path that a system call names: its text copied from user space, and where it starts.
 *
 *     struct path path;
 *     enum status status = path_begin(&path, dirfd, address, 0);
 *     if (status != OK) return status;
 *     spin_lock(&names_lock);
 *     status = path_walk(path_start(&path), path.text, flags, &walk);
 *     …
 *     spin_unlock(&names_lock);
 *     path_end(&path);
 */
#ifndef KERNEL_PATH_H
#define KERNEL_PATH_H

#include "kernel/names.h"
#include "kernel/open_file.h"

#define PATH_SMALL 256U /* most paths are shorter and stay on the stack */

struct path {
    const char *text;
    struct file *at; /* the file behind dirfd, with a reference; NULL: the working directory */
    char *large;     /* LOCAL, PATH_MAX bytes, or NULL */
    char small[PATH_SMALL];
};

/*
 * Copies the path. `flags`: AT_EMPTY_PATH allows an empty one, which names what dirfd is open on. ERR_FAULT,
 * ERR_NO_ENTRY (empty), ERR_NAME_TOO_LONG, ERR_BAD_HANDLE, ERR_NO_MEMORY. May sleep. path_end() only after OK.
 */
MUST_USE enum status path_begin(struct path *path, int dirfd, vaddr_t address, unsigned flags);
void path_end(struct path *path);

/* Where a relative path begins. names_lock held. */
struct inode *path_start(const struct path *path);

/* The walk from there, with path.text; an empty path ends where it starts. names_lock held. */
MUST_USE enum status path_resolve(const struct path *path, unsigned flags, struct path_walk *walk);

/* The same, and it must exist: ERR_NO_ENTRY. */
MUST_USE enum status path_find(const struct path *path, unsigned flags, struct inode **out);

/* Both steps: begins, finds, takes a reference on the inode, ends. */
MUST_USE enum status path_lookup(int dirfd, vaddr_t address, unsigned at_flags, struct inode **out);

#endif
