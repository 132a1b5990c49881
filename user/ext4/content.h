/*
 * File content between the disk and pages of the kernel: where it is, and having the driver move it.
 *
 * The server never sees it. What comes with a call is a grant, a handle that the driver can give to its device; it is
 * passed on. Content goes to blocks that nothing refers to yet, or to those that the file has; the file refers to new
 * ones only when it is there. So no crash makes a file show what another one had.
 *
 * Called without the volume's lock. 0 or an errno.
 */
#ifndef USER_EXT4_CONTENT_H
#define USER_EXT4_CONTENT_H

#include "user/ext4/volume.h"

enum { CONTENT_PAGE = 4096 };

/* Pages [first, first + pages) of the file into the grant. What is a hole or behind the end is left as it is. */
int content_fill(struct volume *volume, uint64_t node, uint64_t first, uint64_t pages, int grant);
/*
 * … from the grant to the disk. The kernel's file has `size` bytes: when it is longer than the one on the disk, that
 * grows as far as it is stored. What is behind the end is not stored. ENOSPC.
 */
int content_store(struct volume *volume, uint64_t node, uint64_t first, uint64_t pages, uint64_t size, int grant);

/* With the volume's lock: waits until nothing of the file is on its way. Its blocks may be freed then. */
void content_wait(struct volume *volume, ext2_ino_t number);

#endif
