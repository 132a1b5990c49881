/*
 * Command lines as exec left them, for those others who may see them (ps, top, pgrep -f).
 *
 * A command line is user data: a copy of it lies in SECRET frames that hold it and nothing else, and is seen through
 * scratch views of whoever may ask for it: the process, who is allowed to trace it (all of its ids are one's own), user
 * 0. docs/procfs.md.
 */
#ifndef KERNEL_COMMAND_LINE_H
#define KERNEL_COMMAND_LINE_H

#include <stdbool.h>

struct exec_arguments;
struct inode;
struct process;
struct text;

/* exec: the calling process's from now on, cut off at some length. Without memory it has none. May sleep. */
void command_line_set(const struct exec_arguments *arguments);
/* fork: the child, which does not run yet, has its parent's. */
void command_line_inherit(struct process *child);
/* exit: the calling process has none any more. */
void command_line_forget(void);

/* Whether the calling process may read that of the process which a file of /proc tells of; it is another. */
bool command_line_permitted(const struct inode *inode);
/* Adds it to a LOCAL text, if so. */
void command_line_add(struct text *text, const struct inode *inode);

#endif
