/*
 * Endpoints from the inside: what kernel/endpoint.c (life, rights, notifications) and kernel/call.c (calls) share.
 */
#ifndef KERNEL_ENDPOINT_QUEUES_H
#define KERNEL_ENDPOINT_QUEUES_H

#include "arch/spinlock.h"
#include "kernel/call.h"
#include "kernel/endpoint.h"

struct thread;

/*
 * Guards all endpoints, and who waits for whom at them. One lock, interrupts off (notifications come from interrupt
 * handlers), held for a few list operations, never while a message is copied.
 */
extern struct spinlock ipc_lock; /* rank IPC */

/* Class GLOBAL. Protected by ipc_lock. */
struct endpoint {
    uint32_t refs;              /* atomic */
    uint32_t receive_files;     /* open files with RIGHT_RECEIVE; 0: dead, for good */
    uint64_t bits;              /* notified and not received */
    struct call *last_received; /* of those from here that are received and not answered; or NULL */
    struct list calls;          /* struct call.link, first come first */
    struct list receivers;      /* struct reception.link, last come first: its cache is warm */
    struct list watches;        /* struct watch.link */
};

extern uint64_t call_last_token; /* protected by ipc_lock */

/* Brings together what waits on both sides. */
void endpoint_match(struct endpoint *endpoint);

/* Ends every call that is queued and every wait to receive: nobody can receive any more. */
void endpoint_end_waits(struct endpoint *endpoint);

#endif
