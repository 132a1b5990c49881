/*
 * The life of a process's LOCAL region. For process creation and exit; everyone else uses local_alloc (mm/heap.h).
 */
#ifndef MM_LOCAL_H
#define MM_LOCAL_H

#include "kernel/status.h"

struct process;

/* Maps an empty struct local in a new process. ERR_NO_MEMORY: undo with local_fork_undo. */
MUST_USE enum status local_create_for(struct process *process);

/* First steps of a process made by local_create_for, in its own context. */
void local_init(void);

/*
 * Copies the caller's region into the child, and the GLOBAL fields that belong to its signal actions. The caller holds
 * user_space->lock and handle_lock. ERR_NO_MEMORY: undo.
 */
MUST_USE enum status local_fork(struct process *child);
void local_fork_undo(struct process *child);

/* Clears and frees the running process's region. Nothing LOCAL may be touched afterwards. */
void local_destroy(void);

#endif
