/*
 * Grants: the right to have a device move the bytes of some frames. Whoever holds one cannot see the frames (but by
 * RIGHT_READ and SYS_GRANT_COPY, which the kernel gives to none of its own pagers).
 *
 * Invariants: LOGICAL ACCESS – a grant is no mapping. CLEAN – frames of a grant stay allocated until the last reference
 * to it is gone, also when their object has given them up meanwhile: a late device writes into nobody's memory.
 * A grant is a GLOBAL object behind a handle (struct file): its frames' numbers are metadata.
 */
#ifndef MM_GRANT_H
#define MM_GRANT_H

#include "kernel/ipc_abi.h"
#include "kernel/status.h"
#include "mm/types.h"

struct file;
struct grant;

/* A grant on `count` frames, each of which gets a reference, behind a new file with `rights`. ERR_NO_MEMORY. */
MUST_USE enum status grant_create(enum grant_direction direction, const frame_t *frames, unsigned count,
                                  uint32_t rights, struct file **out);

/* The grant behind a file, or NULL. It lives as long as the file. */
struct grant *grant_of(const struct file *file);

enum grant_direction grant_direction(const struct grant *grant);
unsigned grant_count(const struct grant *grant);
frame_t grant_frame(const struct grant *grant, unsigned index);

#endif
