/*
 * Between the files that make and end processes.
 */
#ifndef KERNEL_PROCESS_LIFE_H
#define KERNEL_PROCESS_LIFE_H

#include "kernel/process.h"

/* Lists, locks and queues of a zeroed struct process. */
void process_init(struct process *process);

/* A process with an id and roots, in no list. ERR_AGAIN, ERR_NO_MEMORY. Undo: process_free. */
MUST_USE enum status process_allocate(struct process **out);
/*
 * Makes it a child of `parent`, in its group: it can be found and sent signals, though it has no thread yet.
 * ERR_RESTART: `parent` is the caller's, and a signal is first, which may be one for the group. Undo:
 * process_unlink_from_tree.
 */
MUST_USE enum status process_link_into_tree(struct process *process, struct process *parent);
void process_unlink_from_tree(struct process *process);
/* The same of one that nobody will ask for any more. processes_lock held. */
void process_unlink_collected(struct process *process);

/* Frees one that has neither user half nor LOCAL any more and is in no list. */
void process_free(struct process *process);

MUST_USE struct user_space *user_space_create(uint32_t owner);

/* A process born in the kernel, with its first thread, which begins with `entry`. Not started. */
MUST_USE enum status process_create_kernel(const char *name, void (*entry)(void), struct process **out);

/* The last thread is about to leave: everything of the process is taken down but stacks and tables. */
void process_becomes_zombie(struct process *process);
/* A zombie has got another parent, which is told of it. processes_lock held. */
void process_tell_new_parent(struct process *zombie);

/* pid 1 has left the machine (kernel/main.c). */
void init_has_exited(int status);

#endif
