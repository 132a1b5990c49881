/*
 * Descriptors of processes (pidfd): a name that never means another process, and says when it has ended.
 */
#ifndef KERNEL_PIDFD_H
#define KERNEL_PIDFD_H

#include <stdbool.h>
#include <stdint.h>

#include "kernel/status.h"

/* A descriptor of the process with this id, as O_NONBLOCK in `flags` says. ERR_NO_PROCESS, handle_publish()'s. */
MUST_USE enum status pidfd_create(uint32_t id, uint32_t flags, int64_t *fd);

/* The id of the process that a descriptor names, 0 when it has gone; *nonblock: how it was opened. ERR_BAD_HANDLE. */
MUST_USE enum status pidfd_process(int fd, uint32_t *id, bool *nonblock);

/* A process has ended: who polls is told. processes_lock may be held. */
void pidfd_tell_end(void);

#endif
