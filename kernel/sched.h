/*
 * Scheduling: per-CPU run queues, round robin, time slices. Kernel code is not preempted: a switch happens where a
 * thread sleeps, yields, exits, or on its way back to user code.
 */
#ifndef KERNEL_SCHED_H
#define KERNEL_SCHED_H

#include <stdbool.h>
#include <stdint.h>

struct thread;

#define TIME_SLICE_NS 10000000UL

/* Gives the CPU to the next runnable thread if there is one; the caller stays runnable. */
void sched_yield(void);

/* Gives up the CPU; the caller's state says SLEEPING or DEAD. Returns when it runs again. Run-queue internals: see
 * wait.c. */
void sched_block(void);

/* Gives up the CPU for good: the caller is DEAD, interrupts are off. */
_Noreturn void sched_leave(void);

/* Makes a sleeping or new thread runnable. Any context. */
void sched_wake(struct thread *thread);

/* The same, only if it sleeps interruptibly: a signal has come. Any context. */
void sched_interrupt(struct thread *thread);

/* Wakes the thread at `deadline` (ns of time_monotonic) unless cancelled. Any context. */
void sched_sleep_until(struct thread *thread, uint64_t deadline);
void sched_cancel_sleep(struct thread *thread);

/* An interval timer was set: has its expiry interrupt in time (kernel/timer.h). Any context. */
void sched_timers_changed(void);

/* On a new thread's stack, the first thing: ends the switch to it. Interrupts off. */
void sched_first_run(void);

/* From the timer interrupt: slices and sleepers. Interrupts off. */
void sched_tick(void);

/* Turns the calling context into the CPU's idle thread. */
_Noreturn void sched_idle(void);

/* Sets up the calling CPU's run queue and idle thread. */
void sched_init_cpu(void);

#endif
