/*
 * Scheduling policies, with Linux' numbers.
 */
#ifndef KERNEL_SCHED_ABI_H
#define KERNEL_SCHED_ABI_H

enum scheduling_policy { SCHED_OTHER, SCHED_FIFO, SCHED_RR, SCHED_BATCH, SCHED_IDLE = 5 };

#endif
