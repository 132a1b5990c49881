/*
 * Making threads for processes other than the running one. For kernel/process*.c and start-up.
 */
#ifndef KERNEL_THREAD_CREATE_H
#define KERNEL_THREAD_CREATE_H

#include "kernel/status.h"
#include "kernel/thread.h"

/* LOCAL state with the initial FPU image, in the running process's LOCAL. NULL when memory is short. */
struct thread_local *thread_local_create(void);
void thread_local_free(struct thread_local *local);

/* A copy of the caller's, to be carried into a child by local_fork() and freed in the parent afterwards. */
struct thread_local *thread_local_for_child(void);

MUST_USE enum status thread_create_with(struct process *process, struct thread_local *local, const struct trap_frame *frame,
                                        struct thread **out);

/* A thread that begins in kernel code, in its process's own space, and goes to user code if `entry` returns. */
MUST_USE enum status thread_create_kernel(struct process *process, void (*entry)(void), struct thread **out);

/* A thread that will not run (again): its clean stack is kept for the next. */
void thread_give_back(struct process *process, struct thread *thread);
/* Frees struct and stack frames, which are clean. */
void thread_free(struct thread *thread);

/* From arch/entry.asm: what a new thread does before it first enters user code. Interrupts off. */
void thread_first_run(struct trap_frame *frame);

/* A pid nobody has. processes_lock held. */
uint32_t process_next_id(void);

#endif
