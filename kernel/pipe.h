/*
 * Pipes: up to 64 KiB between those who write and those who read. One without a name lives as long as its inode; the
 * one of a FIFO in a file system as long as that is open.
 */
#ifndef KERNEL_PIPE_H
#define KERNEL_PIPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernel/channel.h"
#include "kernel/status.h"
#include "kernel/wait.h"

struct file;
struct inode;

/* Class GLOBAL: numbers only. Protected by channel.object->lock. */
struct pipe {
    struct channel channel;
    uint32_t readers, writers;           /* open files */
    uint32_t readers_came, writers_came; /* in all; may wrap */
    uint32_t users;                      /* of a FIFO's: files that are open or being opened. Protected by names_lock */
    bool held;                           /* bytes are on their way out of it by splice(): other readers wait */
    struct wait_queue readable, writable;
};

/* A pipe's inode, with one reference; both ends are file_create()d on it. ERR_NO_MEMORY. */
MUST_USE enum status pipe_create(struct inode **out);

/* From inode_unref(): the last open file is gone. */
void pipe_destroy(struct pipe *pipe);

bool file_is_pipe(const struct file *file);

/*
 * Moving bytes between pipes and other files (kernel/sys_splice.c). `wait`: until there is something to do, else
 * ERR_WOULD_BLOCK. ERR_BROKEN_PIPE (with the signal), ERR_RESTART, ERR_FAULT besides.
 *
 * pipe_hold(): the first bytes are the caller's, who may read the file, until pipe_let_go(): he looks at them, and
 * takes out what he could bring away. Not *any: there are none and no writer, nothing is held.
 */
MUST_USE enum status pipe_hold(struct file *file, bool wait, bool *any);
void pipe_let_go(struct file *file);
/* Copies from behind the first `skip` bytes. Returns how many. */
MUST_USE size_t pipe_peek(struct file *file, size_t skip, char *to, size_t bytes);
/* `scratch`: room for as many. */
void pipe_consume(struct file *file, char *scratch, size_t bytes);

/* Until a page's room is there; and what fits now, at least a byte. */
MUST_USE enum status pipe_wait_for_room(struct file *file, bool wait);
MUST_USE enum status pipe_write_some(struct file *file, struct channel_source from, size_t bytes, size_t *done);

/* A read that may be told not to wait. */
MUST_USE enum status pipe_read_now(struct file *file, vaddr_t to, size_t bytes, bool wait, size_t *done);

/* F_SETPIPE_SZ: bytes are rounded up to a power-of-two number of pages. ERR_NOT_PERMITTED (too many), ERR_BUSY,
 * ERR_INVALID. */
MUST_USE enum status pipe_set_capacity(struct file *file, uint64_t bytes, int64_t *result);
MUST_USE enum status pipe_capacity(struct file *file, int64_t *result);

#endif
