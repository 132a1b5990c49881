/*
 * Who may do what with a file: owner, group and others, by the process's ids for files and supplementary groups
 * (kernel/identity.h); while a thread asks what access() asks, by its real ids.
 *
 * User 0 may do everything, but run a file that nobody may. All of it: names_lock held, or not (either value of mode
 * and owner is right).
 */
#ifndef KERNEL_PERMISSION_H
#define KERNEL_PERMISSION_H

#include <stdbool.h>

#include "kernel/inode.h"

enum permission { MAY_EXECUTE = 1, MAY_WRITE = 2, MAY_READ = 4 }; /* as access() has them */

/* Whether the calling process may do all of `wanted`. Boot and kernel threads may. */
bool permitted(const struct inode *inode, unsigned wanted);
/* Whether it may change the file's mode and times. */
bool permitted_as_owner(const struct inode *inode);
/* Whether it is user 0. */
bool permitted_as_root(void);

/* Names may be made and removed in the directory: ERR_ACCESS, ERR_READ_ONLY (also: it is the kernel's own). */
MUST_USE enum status permit_change(const struct inode *directory);
/* This one may be removed from there (a sticky directory: by its owner): ERR_NOT_PERMITTED besides. */
MUST_USE enum status permit_removal(const struct inode *directory, const struct inode *inode);

#endif
