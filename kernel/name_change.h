/*
 * Changes of names as system calls ask for them: permissions, then the kernel's own tree or the file server.
 *
 * All with names_lock held, where a walk has just ended. A file server is asked without it: then the walk holds no
 * longer, and what else was walked neither. ERR_ACCESS, ERR_NOT_PERMITTED, ERR_READ_ONLY, and what the server says.
 */
#ifndef KERNEL_NAME_CHANGE_H
#define KERNEL_NAME_CHANGE_H

#include "kernel/names.h"

/*
 * Makes a file, directory or link (to `target`) of `mode`, owned by the caller, at the name that the walk did not find.
 * *out: it, with a reference. ERR_EXISTS: the name exists (also: by now).
 */
MUST_USE enum status change_make(const struct path_walk *walk, uint32_t mode, const char *target, struct inode **out);

/*
 * The same of a regular file without a name, on the disk of `directory`. `linkable`: change_link() may give it one.
 */
MUST_USE enum status change_make_nameless(struct inode *directory, uint32_t mode, bool linkable, struct inode **out);

/* One more name for a file. The caller has a reference on it. ERR_CROSS_DEVICE. */
MUST_USE enum status change_link(const struct path_walk *walk, struct inode *inode);

/* Removes the name of a file, or of a directory. */
MUST_USE enum status change_remove(const struct path_walk *walk, bool directory);

/* ERR_CROSS_DEVICE. ERR_NOT_CACHED: others were faster, walk again. */
MUST_USE enum status change_rename(const struct path_walk *from, const struct path_walk *to, bool replace);

#endif
