/*
 * Signals, as Linux has them: actions are LOCAL (handlers are user addresses), pending sets are GLOBAL bits.
 * Real-time signals queue up, and what a sender says with one is a message (kernel/signal_queue.h); stopping and
 * continuing is kernel/jobs.h.
 */
#ifndef KERNEL_SIGNAL_H
#define KERNEL_SIGNAL_H

#include <stdbool.h>
#include <stdint.h>

#include "kernel/status.h"

struct process;
struct queued_signal;
struct signal_origin;
struct thread;
struct trap_frame;

/* LOCAL; protected by process.signal_lock. The layout of an entry is rt_sigaction's. */
struct signal_action {
    uint64_t handler, flags, restorer, mask;
};
struct signal_actions {
    struct signal_action action[64];
};

/*
 * Sends to a process (any thread); `origin` NULL: the kernel. Numbers out of range do nothing. The caller knows that
 * the target stays. Any context, interrupt handlers included. Takes processes_lock; _locked: the caller holds it.
 */
void signal_send_process(struct process *process, int number, const struct signal_origin *origin);
void signal_send_process_locked(struct process *process, int number, const struct signal_origin *origin);
/* To one thread, not SIGKILL; takes rank SIGNAL alone. processes_lock may be held. */
void signal_send_thread(struct thread *thread, int number, const struct signal_origin *origin);
/* To every process of a group; ERR_NO_PROCESS when it is empty. Takes processes_lock. */
MUST_USE enum status signal_send_group(uint32_t group, int number, const struct signal_origin *origin);

/*
 * The same with an entry, which is the target's from then on if the answer is true; else it would have been lost, and
 * is the caller's still. processes_lock held. An entry that is not lasting comes from queued_signal_create().
 */
MUST_USE bool signal_queue_to_process(struct process *process, struct queued_signal *entry);
MUST_USE bool signal_queue_to_thread(struct thread *thread, struct queued_signal *entry);

/* A lasting entry of the process is pending no more, wherever it was. processes_lock held. */
void signal_unqueue(struct process *process, struct queued_signal *entry);

/* The calling thread, or its process with it, is found by no sender any more: what is pending goes. */
void signal_thread_ends(void);
void signal_process_ends(void);

/* A synchronous fault of the calling thread: delivered even when blocked or ignored (then it kills). */
void signal_fault(int number, int code, uint64_t address);

/* True when a deliverable signal is pending for the calling thread (or it must die); then WORK_SIGNAL is set, too. */
bool signal_pending(void);
/* True when the calling thread is to die: what ends even a long operation that signals do not interrupt. */
bool signal_killed(void);
/* The same, or a signal is pending whose default is to end the process: what ends a wait in the kernel's own name. */
bool signal_fatal(void);

/*
 * The calling thread's mask. _set: for good. _set_for_call: until the way back to user code, which delivers what the
 * mask lets through first (sigsuspend, ppoll, pselect, epoll_pwait).
 */
void signal_mask_set(uint64_t mask);
void signal_mask_set_for_call(uint64_t mask);

/*
 * On the way back to user code: delivers at most one signal by changing the frame and the user stack, or ends the
 * process. Restarts or fails an interrupted call (ERR_RESTART). Leaves WORK_SIGNAL set when there is more to deliver.
 * Interrupts on; may sleep, may not return.
 */
void signal_deliver(struct trap_frame *frame);

/* exec: handlers back to default, alternate stack gone. */
void signal_exec(void);

#endif
