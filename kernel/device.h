/*
 * The character devices that are always there, and other files that the kernel itself makes.
 */
#ifndef KERNEL_DEVICE_H
#define KERNEL_DEVICE_H

#include <stdint.h>

#include "kernel/inode.h"

/* Makes /dev and its files. Once, at boot, when the root exists. */
MUST_USE enum status devices_init(void);

/* Makes /proc and /sys. Likewise. */
MUST_USE enum status procfs_init(void);

/* For all of them: makes directories along `path` as needed, and a special file or link there. The path is absolute.
 * Boot only. */
MUST_USE enum status names_make_directories(const char *path);
MUST_USE enum status names_make_special(const char *path, uint32_t mode, const struct special_file *special);
MUST_USE enum status names_make_symlink(const char *path, const char *target);

#endif
