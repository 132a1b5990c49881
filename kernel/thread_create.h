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

/* The caller's own with its registers saved: local_fork() makes the child's of it, at the same address. */
struct thread_local *thread_local_for_child(void);

MUST_USE enum status thread_create_with(struct process *process, struct thread_local *local,
                                        const struct trap_frame *frame, struct thread **out);

/* A thread that begins in kernel code, in its process's own space, and goes to user code if `entry` returns. */
MUST_USE enum status thread_create_kernel(struct process *process, void (*entry)(void), struct thread **out);

/* A thread that will not run (again): its clean stack is kept for the next. */
void thread_give_back(struct process *process, struct thread *thread);
/* Frees struct and stack frames, which are clean. */
void thread_free(struct thread *thread);

/* From arch/entry.asm: what a new thread does before it first enters user code. Interrupts off. */
void thread_first_run(struct trap_frame *frame);

/* Gives a new thread its id and makes it one of the process's. If that one's threads are being ended, so is this. */
void process_add_thread(struct process *process, struct thread *thread);

#endif
