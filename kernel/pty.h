/*
 * Pseudo-terminals: a terminal whose line leads to a file instead of a port, its master, which /dev/ptmx makes. Which
 * key does what, and all bytes under way, are with their server (kernel/terminal_abi.h); here are their names and ends.
 */
#ifndef KERNEL_PTY_H
#define KERNEL_PTY_H

#include "kernel/terminal.h"

#define MAJOR_OF_PTYS 136U

/* Makes it possible to open them. Once, at boot, when /dev/pts is there. */
MUST_USE enum status pty_init(void);

/* They are served there from now on. ERR_BUSY: they are already; ERR_NO_MEMORY. */
MUST_USE enum status pty_attach(struct endpoint *endpoint);

/*
 * Masters: file operations. Opening makes a pseudo-terminal: ERR_NO_SPACE (there are too many), ERR_NO_MEMORY,
 * ERR_NO_DEVICE_ADDRESS (nobody serves them), ERR_RESTART, what the server says. Closing ends it. May sleep.
 */
MUST_USE enum status pty_open(struct file *file);
void pty_close(struct file *file);
MUST_USE enum status pty_control(struct file *file, uint32_t command, uint64_t argument, int64_t *result);

/* A file on it is closed: if that was the last, of both ends, its number is free again. */
void pty_settle(struct terminal *terminal);

/* What it is called by: constant; and its number, as in stat(). */
const struct inode *pty_inode(const struct terminal *terminal);
uint32_t pty_device(const struct terminal *terminal);

/* From terminal_unref(): nothing refers to it. */
void pty_free(struct terminal *terminal);

#endif
