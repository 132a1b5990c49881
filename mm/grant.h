/*
 * Grants: the right to have a device move the bytes of some frames. Whoever holds one cannot see the frames (but by
 * RIGHT_READ and SYS_GRANT_COPY, which the kernel gives to no pager of files).
 *
 * A grant ends when its last handle is closed, or before: a pager's when the pager has answered or was given up. From
 * then on nothing can be done with it; its frames are let go of when no device has it any more.
 *
 * Invariants: LOGICAL ACCESS – a grant is no mapping. CLEAN – frames of a grant stay allocated as long as a device has
 * it, also when their object has given them up meanwhile: a late device writes into nobody's memory.
 * A grant is a GLOBAL object behind a handle (struct file): its frames' numbers are metadata.
 */
#ifndef MM_GRANT_H
#define MM_GRANT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernel/ipc_abi.h"
#include "kernel/status.h"
#include "mm/types.h"

struct file;
struct grant;

/*
 * A grant on `count` (1 … GRANT_PAGES_MAX) frames, each of which gets a reference, behind a new file with `rights`.
 * ERR_NO_MEMORY, ERR_TOO_MANY_FILES.
 */
MUST_USE enum status grant_create(enum grant_direction direction, const frame_t *frames, unsigned count,
                                  uint32_t rights, struct file **out);

/* The grant behind a file, or NULL. It lives as long as the file. */
struct grant *grant_of(const struct file *file);

enum grant_direction grant_direction(const struct grant *grant);
unsigned grant_count(const struct grant *grant);
frame_t grant_frame(const struct grant *grant, unsigned index);

/*
 * A device is about to get at the frames, and cannot any more. Between the two the frames stay, and the caller keeps
 * its reference on the file. May nest. ERR_BROKEN_PIPE: the grant has ended.
 */
MUST_USE enum status grant_lend(struct grant *grant);
void grant_take_back(struct grant *grant);

/*
 * Copies between the frames, from byte `offset` on, and user memory at `user`. The file is a grant's, and the caller
 * has checked its rights. ERR_INVALID (not within the grant), ERR_FAULT, ERR_BROKEN_PIPE (it has ended). May sleep.
 */
MUST_USE enum status grant_copy(struct file *file, uint64_t offset, vaddr_t user, size_t bytes, bool into);

/* Ends it. False when a device still has it: what the frames hold may still change. */
bool grant_end(struct grant *grant);

#endif
