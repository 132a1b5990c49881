/*
 * The authority: a handle whose rights say what over devices and names its holder may do.
 */
#ifndef KERNEL_AUTHORITY_H
#define KERNEL_AUTHORITY_H

#include <stdint.h>

#include "kernel/status.h"

/* Whether descriptor `fd` is an authority with these enum handle_right bits. ERR_BAD_HANDLE, ERR_INVALID,
 * ERR_NOT_PERMITTED. */
MUST_USE enum status authority_check(int fd, uint32_t rights);

#endif
