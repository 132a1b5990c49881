/*
 * What is known of pending signals: for each of the classic ones what its first sender said, for real-time ones (and
 * those of sigqueue) an entry for each, in the order they came.
 *
 * Class GLOBAL: who, when and which number are metadata. What a sender wants to say besides (a siginfo_t) is a message:
 * it lies in a message buffer of its own (kernel/message.h), which passes from the sender to the receiver.
 * All of it is protected by the receiving process's signal_lock.
 */
#ifndef KERNEL_SIGNAL_QUEUE_H
#define KERNEL_SIGNAL_QUEUE_H

#include <stdbool.h>
#include <stdint.h>

#include "kernel/list.h"
#include "kernel/status.h"

struct message_buffer;
struct signal_queue;

#define SIGNAL_COUNT    64
#define SIGNAL_REALTIME 32 /* the first of them */

/* Of one process at most so many entries, of all at most so many: each may hold a frame. */
#define SIGNALS_QUEUED_MAX     1024U
#define SIGNALS_QUEUED_MAX_ALL 4096U

/* What is known of a pending signal's sender: metadata. */
struct signal_origin {
    int32_t code; /* SI_USER, CLD_EXITED, … */
    uint32_t pid, uid;
    int32_t status;
};

struct queued_signal {
    struct list link; /* in signal_queue.entries; of itself while in none */
    int number;
    struct signal_queue *queue; /* that it is in, or NULL */
    bool lasting;               /* its owner keeps it (a timer's): it is not freed when it has been taken */
    struct signal_origin origin;
    struct message_buffer *info; /* what the sender said, or NULL */
};

/* Of a process, or of one thread. Which are pending at all is said by a word beside it. */
struct signal_queue {
    struct signal_origin origin[SIGNAL_REALTIME - 1];
    struct list entries; /* of struct queued_signal */
    uint32_t count;      /* of them */
};

void signal_queue_init(struct signal_queue *queue);

/* An entry, counted; its sender's until it is queued. ERR_AGAIN, ERR_NO_MEMORY. Not for interrupt handlers. */
MUST_USE enum status queued_signal_create(int number, struct queued_signal **out);
/* Gives one up that is in no queue, and the message in it, whose holder the caller is. No lock is held. */
void queued_signal_free(struct queued_signal *entry);

/* Notes that `number` has become pending; `entry` may be NULL for one without. */
void signal_queue_add(struct signal_queue *queue, int number, const struct signal_origin *origin,
                      struct queued_signal *entry);
/*
 * Takes one out. *entry: it had one, which is the caller's now (unless lasting: a copy of its origin is in *origin), or
 * NULL. True when `number` stays pending, because there is another.
 */
MUST_USE bool signal_queue_take(struct signal_queue *queue, int number, struct signal_origin *origin,
                                struct queued_signal **entry);
/* Takes a certain one out of the queue that it is in. True: `number` stays pending there. */
MUST_USE bool signal_queue_remove(struct queued_signal *entry);
/* Moves the entries of `number` (0: all) to `to`; they are no longer pending. */
void signal_queue_forget(struct signal_queue *queue, int number, struct list *to);
/* Frees what signal_queue_forget() found. The caller's process is their holder; no lock is held. */
void queued_signals_free(struct list *entries);

#endif
