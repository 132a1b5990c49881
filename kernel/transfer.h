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

/*
 * A copy in LOCAL memory of `count` linux_iovecs, without the empty ones: *kept of them, *bytes in all, at most what
 * one call transfers. ERR_FAULT, ERR_INVALID, ERR_NO_MEMORY. May sleep.
 */
MUST_USE enum status vectors_copy(vaddr_t vectors, unsigned count, struct linux_iovec **out, unsigned *kept,
                                  size_t *bytes);
void vectors_free(struct linux_iovec *vectors, unsigned count);

/* ERR_BAD_HANDLE, ERR_IS_DIRECTORY, ERR_INVALID, ERR_NOT_SEEKABLE when the file cannot be used in that way. */
MUST_USE enum status transfer_check(const struct file *file, enum transfer_direction direction, uint64_t offset);

/*
 * Of a call that moves bytes from one file to another, one of its two places: where it begins, and where to tell how
 * far it came (0: the file's own position). Begin reads it, end tells it; neither holds anything between.
 */
struct transfer_place {
    struct file *file;
    vaddr_t told_at;
    uint64_t offset;
};
MUST_USE enum status transfer_place_begin(struct transfer_place *place);
MUST_USE enum status transfer_place_end(const struct transfer_place *place);

/* In loops over much data: lets others run where they should. True: a signal is pending, stop with what was done. */
bool transfer_pause(void);

#endif
