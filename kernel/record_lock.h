/*
 * Advisory locks: fcntl's record locks, which belong to a process, and flock's, which belong to an open file.
 */
#ifndef KERNEL_RECORD_LOCK_H
#define KERNEL_RECORD_LOCK_H

#include <stdbool.h>
#include <stdint.h>

#include "kernel/status.h"

struct file;
struct inode;

/* fcntl(F_GETLK, F_SETLK, F_SETLKW) with a struct flock at user address `argument`. ERR_AGAIN, ERR_RESTART,
 * ERR_INVALID, … */
MUST_USE enum status record_lock_control(struct file *file, int command, uint64_t argument);

/* A process closed a handle on the inode: all its record locks there end, as POSIX has it. */
void record_locks_drop(struct inode *inode, uint32_t process_id);

/* The last reference to an open file is gone: its flock ends. */
void record_locks_drop_file(struct inode *inode, const struct file *file);

#endif
