/*
 * Room on the disks of file servers. Pages that are written wait in the kernel until they are stored: a write that
 * would not fit is to fail when it is made, not when nobody listens any more.
 */
#ifndef KERNEL_SPACE_H
#define KERNEL_SPACE_H

#include <stddef.h>

#include "kernel/fs_abi.h"
#include "kernel/status.h"

struct inode;

/* Asks the server of a node what it has. ERR_IO; otherwise as fs_call(). May sleep. */
MUST_USE enum status space_ask(struct inode *inode, struct fs_space *out);

/*
 * Takes the room for a write of *bytes at `offset` of a regular file, and lowers *bytes to what there is room for.
 * ERR_NO_SPACE: for none. What lies within the file has its room already (a hole has not, and is not looked for), and
 * files whose pages are memory are not spoken of. May ask the server, and sleep: no lock but mutexes.
 */
MUST_USE enum status space_take(struct inode *inode, uint64_t offset, size_t *bytes);

#endif
