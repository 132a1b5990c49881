/*
 * Endpoints: where calls are sent and received; the kernel's side of them (user space: kernel/ipc_abi.h).
 *
 * An endpoint is GLOBAL: queues and bits. What a message says is never in GLOBAL memory: it crosses in registers or in
 * SECRET frames that hold this message and nothing else.
 */
#ifndef KERNEL_ENDPOINT_H
#define KERNEL_ENDPOINT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernel/ipc_abi.h"
#include "kernel/status.h"
#include "mm/types.h"

struct endpoint;
struct file;

/*
 * A call that the kernel makes in the calling thread's name. Buffers: LOCAL, the caller's stack, or metadata; where
 * they are NULL, the caller's user memory, within the user half, which may fault (ERR_FAULT).
 */
struct message {
    uint32_t label; /* in: of the call. Out: of the answer */
    bool binding;   /* once it was received not even a signal that kills ends the wait */
    uint64_t word[3];
    const void *bytes;
    vaddr_t user_bytes;
    size_t length;
    void *buffer; /* for the answer's bytes */
    vaddr_t user_buffer;
    size_t room;                           /* in: how many fit. Out: how many came */
    struct file *handles[IPC_HANDLES_MAX]; /* sent: the caller keeps its references */
    unsigned handle_count;
    struct file *taken[IPC_HANDLES_MAX]; /* came: with a reference, which passes to the caller */
    unsigned taken_room, taken_count;
};

/*
 * Calls and waits for the answer. Only a signal that kills ends the wait early (ERR_RESTART; see `binding`).
 * ERR_BROKEN_PIPE (nobody can receive, or the receiver died), ERR_TIMED_OUT, ERR_NO_MEMORY, ERR_FAULT. May sleep; no
 * lock held. Never exits.
 */
MUST_USE enum status endpoint_call(struct endpoint *endpoint, struct message *message, uint64_t timeout_ns);

/* Sets bits of the endpoint's notification and wakes a receiver. Any context but NMI. */
void endpoint_notify(struct endpoint *endpoint, uint64_t bits);

/* Whether somebody can receive on it, now or later. */
bool endpoint_is_alive(const struct endpoint *endpoint);

/* A new one behind a file with every right of an endpoint. ERR_NO_MEMORY, ERR_TOO_MANY_FILES. */
MUST_USE enum status endpoint_create(struct file **out);

/*
 * When nobody can receive on `endpoint` any more, `target` is notified; at once if so already. As long as both live
 * there is one watch for the two, with the bits of all. ERR_NO_MEMORY.
 */
MUST_USE enum status endpoint_watch(struct endpoint *endpoint, struct endpoint *target, uint64_t bits);

/*
 * The endpoint behind a descriptor of the calling process, with a reference. ERR_BAD_HANDLE, ERR_INVALID (it is
 * something else), ERR_ACCESS (a right is missing). `badge` may be NULL.
 */
MUST_USE enum status endpoint_get(int fd, uint32_t rights, struct endpoint **out, uint64_t *badge);
void endpoint_ref(struct endpoint *endpoint);
void endpoint_unref(struct endpoint *endpoint);

#endif
