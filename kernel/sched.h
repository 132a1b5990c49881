/*
 * Scheduling: per-CPU run queues, by level and round robin within one, time slices; idle CPUs take waiting threads from
 * others. Kernel code is not preempted: a switch happens where a thread sleeps, yields, exits, or on its way back to
 * user code.
 */
#ifndef KERNEL_SCHED_H
#define KERNEL_SCHED_H

#include <stdbool.h>
#include <stdint.h>

struct thread;
struct trap_frame;

#define TIME_SLICE_NS 10000000UL

/* Gives the CPU to the next runnable thread if there is one; the caller stays runnable. */
void sched_yield(void);

/* The same on the way back to user code, if somebody else's turn has come: a real-time thread does not lose its own. */
void sched_preempt(void);

/* Gives up the CPU until the caller is woken, unless it was since wait_begin(). For kernel/wait.c. */
void sched_sleep(bool interruptible);

/* Gives up the CPU for good: the caller is DEAD, interrupts are off. */
_Noreturn void sched_leave(void);

/* Makes a sleeping or new thread runnable. Any context. */
void sched_wake(struct thread *thread);

/*
 * sched_wake() for one that the caller is about to wait for: it stays on this CPU, goes before others of its level and
 * gets the rest of the caller's slice, so two that take turns are to the others like one. Any context.
 */
void sched_wake_successor(struct thread *thread);

/*
 * The CPU from the caller to a partner that sleeps on it, and back some time. sched_claim(): whether that can be,
 * the partner being of `level` from then on; then the queue is locked, and the partner the caller's to change. The
 * caller does so and says who wakes it, as between wait_begin_alone() and wait_sleep(); then
 * sched_switch_to_claimed(), which returns when it was woken. Interrupts off from before the first until after the
 * second. `message`: see arch/transition.h.
 */
bool sched_claim(const struct thread *partner, unsigned level);
void sched_switch_to_claimed(struct thread *partner, const struct trap_frame *message);

/* How urgent it is from now on (kernel/ready_queue.h). Any context. */
void sched_set_level(struct thread *thread, unsigned level);

/* sched_wake(), only if it sleeps interruptibly: a signal has come. If it runs, its CPU looks at its work flags. Any
 * context. */
void sched_interrupt(struct thread *thread);

/* The CPU that runs the thread, if one does, looks at its work flags soon. Any context. */
void sched_kick(struct thread *thread);

/*
 * The thread runs on CPUs of the set only, of which at least one runs. If it is elsewhere now it moves: at once when it
 * waits, on its way back to user code when it runs (the caller itself: call sched_yield()). Any context.
 */
void sched_set_affinity(struct thread *thread, uint64_t allowed);

/* Wakes the thread at `deadline` (ns of time_monotonic) unless cancelled. Any context. */
void sched_sleep_until(struct thread *thread, uint64_t deadline);
void sched_cancel_sleep(struct thread *thread);

/* An interval timer was set: has its expiry interrupt in time (kernel/timer.h). Any context. */
void sched_timers_changed(void);

/* On a new thread's stack, the first thing: ends the switch to it. Interrupts off. */
void sched_first_run(void);

/* From the timer interrupt: slices and sleepers. Interrupts off. */
void sched_tick(void);

/* From the reschedule interrupt, which another CPU has sent. Interrupts off. */
void sched_rescheduled(void);

/* Turns the calling context into the CPU's idle thread. */
_Noreturn void sched_idle(void);

/* Sets up the calling CPU's run queue and idle thread. */
void sched_init_cpu(void);

#endif
