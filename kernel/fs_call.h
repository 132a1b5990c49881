/*
 * Calls on file servers: making the message, and trusting nothing in the answer.
 */
#ifndef KERNEL_FS_CALL_H
#define KERNEL_FS_CALL_H

#include <stddef.h>

#include "kernel/fs_abi.h"
#include "kernel/status.h"

struct mount;

struct fs_call {
    enum fs_op op;
    struct fs_request request; /* in: node, node2, position, set, attributes; the rest is fs_call()'s */
    const char *name, *name2;  /* in: LOCAL, stack or GLOBAL; NULL: none */
    size_t length, length2;
    struct fs_reply reply; /* out */
    void *data;            /* in: LOCAL, for what comes behind the reply; NULL: nothing may */
    size_t room;           /* in: how much fits; out: how much came */
};

/*
 * The server's verdict. OK: the answer is well-formed, and its attributes, where the operation has some, are of a node
 * that can be. What is not is ERR_IO. ERR_NO_ENTRY of FS_LOOKUP: reply.caching counts. ERR_RESTART: the thread is being
 * killed. ERR_NO_MEMORY. May sleep; no lock but mutexes.
 */
MUST_USE enum status fs_call(struct mount *mount, struct fs_call *call);

#endif
