/*
 * Who waits for signals by descriptors: told of each signal that a process with such a descriptor gets.
 */
#ifndef KERNEL_SIGNALFD_H
#define KERNEL_SIGNALFD_H

struct process;

/* A signal is pending for `process` or one of its threads. Any context; rank SIGNAL may be held. */
void signalfd_tell(struct process *process);

#endif
