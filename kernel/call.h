/*
 * Calls under way: who waits for whom. The protocol of endpoints, without what messages say and without user memory.
 *
 * A call belongs to the thread that makes it and lies in its struct thread. It is QUEUED at its endpoint until a thread
 * receives it; then it is RECEIVED, known by a token to the process of that thread, until that answers it or dies.
 * A thread makes one call at a time, and none from within its wait.
 */
#ifndef KERNEL_CALL_H
#define KERNEL_CALL_H

#include <stdbool.h>
#include <stdint.h>

#include "kernel/list.h"
#include "kernel/message.h"
#include "kernel/status.h"

struct endpoint;
struct process;
struct thread;

enum call_state { CALL_NONE, CALL_QUEUED, CALL_RECEIVED, CALL_ANSWERED };

/* Class GLOBAL, in struct thread. Protected by ipc_lock while the state is not NONE. */
struct call {
    struct list link; /* QUEUED: endpoint.calls. RECEIVED: process.calls of the receiver */
    enum call_state state;
    enum status status;        /* ANSWERED: OK, or why there is no answer */
    bool in_frame;             /* the answer may be words alone, put into the caller's frame (kernel/call_direct.h) */
    uint32_t room;             /* bytes that the caller takes */
    struct thread *worker;     /* RECEIVED: the thread that received it, or NULL: it has ended */
    uint64_t token;            /* RECEIVED: never used again */
    uint64_t badge;            /* of the handle that it was made by */
    struct endpoint *endpoint; /* the caller has a reference meanwhile */
    struct parcel parcel;      /* QUEUED: what is sent. ANSWERED: the answer, or what was sent and not received. An
                                  answer without a buffer is in the caller's frame. Else empty */
};

/* What a thread waits for in a receive, and what it got. Class GLOBAL, in struct thread. Protected by ipc_lock. */
struct reception {
    struct list link; /* endpoint.receivers, while waiting */
    bool waiting;
    bool in_frame; /* what comes may be words alone, put into the receiver's frame */
    enum status status;
    uint32_t room;        /* bytes that the receiver takes */
    uint64_t bits;        /* of a notification, or 0: a call */
    uint64_t token;       /* of the call */
    uint64_t badge;       /* likewise */
    struct parcel parcel; /* likewise. Without a buffer: it is in the receiver's frame */
};

/* What a thread takes, and when its wait ends without it. */
struct call_terms {
    uint32_t room;
    bool in_frame;
    bool only_killed;  /* signals that do not kill are no reason to end the wait */
    bool binding;      /* likewise what kills, once the call was received: the caller must know what became of it */
    uint64_t deadline; /* ns of time_monotonic(), or WAIT_FOREVER */
};

/*
 * Sends *parcel, waits, leaves the answer there; without one (any error), what was sent and nobody took. `endpoint`:
 * the caller has a reference. ERR_BROKEN_PIPE, ERR_TIMED_OUT, ERR_RESTART, ERR_MESSAGE_SIZE, ERR_TOO_MANY_HANDLES
 * (the receiver has no room for a handle). May sleep; no lock held.
 */
MUST_USE enum status call_send(struct endpoint *endpoint, uint64_t badge, struct parcel *parcel,
                               const struct call_terms *terms);
/* The second half: for a call that is under way already. */
MUST_USE enum status call_wait(struct parcel *parcel, const struct call_terms *terms);

/*
 * Waits for a call or a notification: thread_current()->reception has it. The thread becomes the holder of the parcel.
 * ERR_BROKEN_PIPE (the last handle to receive by was closed), ERR_TIMED_OUT, ERR_RESTART. May sleep; no lock held.
 */
MUST_USE enum status call_receive(struct endpoint *endpoint, const struct call_terms *terms);
/* The second half: for one that waits already. */
MUST_USE enum status call_receive_wait(const struct call_terms *terms);

/*
 * Answers a call that the calling process received; *parcel is empty afterwards. `receives_next`: what the thread will
 * receive from at once, or NULL. ERR_NO_ENTRY (not received, answered
 * already, or its caller has gone), ERR_MESSAGE_SIZE (the caller has no room for it): nothing has changed.
 */
MUST_USE enum status call_answer(uint64_t token, struct parcel *parcel, const struct endpoint *receives_next);

/* What was received could not be delivered to user code: the call is in front of the queue again. *parcel is empty
 * afterwards. */
void call_put_back(uint64_t token, struct parcel *parcel);

/* A call that was received ends without an answer. */
void call_refuse(uint64_t token, enum status status);

/* The calling thread ends. */
void calls_forget_worker(void);

/* The calling process dies or is replaced by exec: what it received and did not answer ends with ERR_BROKEN_PIPE. */
void calls_abandon(void);

#endif
