/*
 * Pipes: up to 64 KiB between those who write and those who read.
 */
#ifndef KERNEL_PIPE_H
#define KERNEL_PIPE_H

#include <stddef.h>
#include <stdint.h>

#include "kernel/status.h"
#include "kernel/wait.h"
#include "mm/types.h"

struct file;
struct inode;
struct memory_object;

#define PIPE_SLOTS  16U       /* pages at most */
#define PIPE_SPARES 2U        /* emptied pages kept for the next writer */
#define PIPE_ATOMIC PAGE_SIZE /* PIPE_BUF: a write up to this is never torn */

/* A SECRET frame of pipe.object, or none. All bytes but the unread ones are zero. */
struct pipe_page {
    frame_t frame;
    uint64_t writer;        /* whose bytes it holds, or who wrote it last; PIPE_WRITERS_MIXED, PIPE_WRITER_NONE */
    uint16_t start, length; /* the unread bytes */
};

/* Class GLOBAL: numbers only. Everything below `object` is protected by object->lock. */
struct pipe {
    struct memory_object *object; /* owns the frames, is what handles count as opens of. Constant */
    uint32_t first;               /* slot that is read from */
    uint32_t used;                /* slots from there that hold unread bytes */
    uint32_t slots;               /* how many may: F_SETPIPE_SZ */
    uint32_t bytes;               /* unread */
    uint32_t readers, writers;    /* open files */
    uint32_t spare_count;
    struct wait_queue readable, writable;
    struct pipe_page pages[PIPE_SLOTS];
    struct pipe_page spares[PIPE_SPARES]; /* empty */
};

/* A pipe's inode, with one reference; both ends are file_create()d on it. ERR_NO_MEMORY. */
MUST_USE enum status pipe_create(struct inode **out);

/* From inode_unref(): the last open file is gone. */
void pipe_destroy(struct pipe *pipe);

/* F_SETPIPE_SZ: bytes are rounded up to a power-of-two number of pages. ERR_NOT_PERMITTED (too many), ERR_BUSY,
 * ERR_INVALID. */
MUST_USE enum status pipe_set_capacity(struct file *file, uint64_t bytes, int64_t *result);
MUST_USE enum status pipe_capacity(struct file *file, int64_t *result);

/* Internal: pages, see pipe_pages.c. All with object->lock held. */

/* A writer is a process under a number that is never used again, unlike its id: see pipe.c. */
#define PIPE_WRITER_NONE   0UL
#define PIPE_WRITERS_MIXED UINT64_MAX

/* Where bytes to be written come from: user memory that may fault, or the caller's own kernel memory. */
struct pipe_source {
    vaddr_t user;
    const char *kernel; /* NULL: user */
};

/* Bytes that `writer` can append now; `reads`: that process may read the pipe too. */
size_t pipe_room(const struct pipe *pipe, uint64_t writer, bool reads);

/* Whether the next byte of `writer` would come behind another's: then `reads` matters. */
bool pipe_behind_other(const struct pipe *pipe, uint64_t writer);

/*
 * Appends `bytes` (≤ PIPE_ATOMIC and ≤ room), whole or not at all. ERR_NO_MEMORY; ERR_FAULT: user memory at *fault is
 * absent, nothing has changed.
 */
MUST_USE enum status pipe_append(struct pipe *pipe, uint64_t writer, bool reads, struct pipe_source from, size_t bytes,
                                 vaddr_t *fault);

/* Moves up to `bytes` to user memory and clears them behind it. Returns how many; less than there are: a fault at to +
 * that. */
MUST_USE size_t pipe_take(struct pipe *pipe, vaddr_t to, size_t bytes);

/* Takes every page out of every process's view: after it only those map them again who may. */
void pipe_revoke(struct pipe *pipe);

/* If nobody can read any more (an end may have been opened anew meanwhile) all pages go. Not with the lock held. */
void pipe_drop_pages(struct pipe *pipe);

#endif
