/*
 * Moving bytes between open files and user memory: what read(), pread(), readv() and their like have in common.
 */
#ifndef KERNEL_TRANSFER_H
#define KERNEL_TRANSFER_H

#include "kernel/open_file.h"

enum transfer_direction { TRANSFER_READ, TRANSFER_WRITE };

#define POSITION_OF_FILE UINT64_MAX /* an offset that says: at the file's own position, and move it */

/*
 * One read or write of user memory, checked and cut to what one call may transfer. *done as the call returns it; an
 * error behind some progress is not reported. May sleep.
 */
MUST_USE enum status transfer(struct file *file, enum transfer_direction direction, vaddr_t buffer, size_t bytes,
                              uint64_t offset, size_t *done);

/* The same over `count` linux_iovecs at user address `vectors`. */
MUST_USE enum status transfer_vectors(struct file *file, enum transfer_direction direction, vaddr_t vectors,
                                      int64_t count, uint64_t offset, size_t *done);

/* ERR_BAD_HANDLE, ERR_IS_DIRECTORY, ERR_INVALID, ERR_NOT_SEEKABLE when the file cannot be used in that way. */
MUST_USE enum status transfer_check(const struct file *file, enum transfer_direction direction, uint64_t offset);

/* In loops over much data: lets others run where they should. True: a signal is pending, stop with what was done. */
bool transfer_pause(void);

#endif
