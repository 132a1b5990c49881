/*
 * Timers by descriptors that ring at a point of the wall clock.
 */
#ifndef KERNEL_TIMERFD_H
#define KERNEL_TIMERFD_H

/* The wall clock was set: they ring by what it says now, and those that asked for it are told. No lock held. */
void timerfd_clock_was_set(void);

#endif
