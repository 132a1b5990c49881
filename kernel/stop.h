/*
 * Standing still: one CPU has the machine to itself, for a change of mode or an audit.
 *
 * The others are stopped where they hold nothing: no lock, no view, no half-made change. That is user code, idle, and
 * the way back to user code. While they stand they answer requests to forget translations (mm/tlb.h).
 */
#ifndef KERNEL_STOP_H
#define KERNEL_STOP_H

#include <stdbool.h>

struct thread;

/* Returns when all other CPUs stand still. No lock held; interrupts on, or start-up. May sleep: for another's turn. */
void stop_others(void);

/* Lets them go on; each calls `on_each` first, if not NULL, interrupts off, and this returns when all have. */
void resume_others(void (*on_each)(void));

/* From the stop interrupt; `holds_nothing`: it came from user code or idle. Interrupts off. */
void stop_interrupt(bool holds_nothing);

/* Stands still if asked to. Interrupts off; the caller holds nothing. */
void stop_here_if_asked(void);

/* A thread that goes on while the CPU is asked to stand still does so on its way back to user code. Interrupts off. */
void stop_mark_thread(struct thread *thread);

#endif
