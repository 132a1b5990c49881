/*
 * memfd_create(): files without a name, whose content or size can be sealed.
 */
#ifndef KERNEL_MEMFD_H
#define KERNEL_MEMFD_H

#include "kernel/open_file.h"

/* fcntl's F_GET_SEALS and F_ADD_SEALS. ERR_INVALID (no such file), ERR_NOT_PERMITTED, ERR_BUSY. */
MUST_USE enum status memfd_seals(const struct file *file, int64_t *result);
MUST_USE enum status memfd_add_seals(struct file *file, uint64_t seals);

#endif
