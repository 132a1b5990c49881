/*
 * Penumbra's own system calls for C programs (kernel/ipc_abi.h says what they do). Like the C library's: -1 and errno.
 */
#ifndef USER_LIB_NATIVE_H
#define USER_LIB_NATIVE_H

#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include "kernel/ipc_abi.h"

/* A message in registers. `extra` may be NULL. */
struct ipc {
    uint32_t label;
    uint64_t word[3];
    uint64_t badge; /* of what was received */
    uint64_t token; /* of what was received: for ipc_reply() */
    struct ipc_extra *extra;
};

/* 0, or -1 with errno. They send what is in *ipc and leave there what came. */
int ipc_call(int endpoint, struct ipc *ipc);
int ipc_receive(int endpoint, struct ipc *ipc);
int ipc_reply_receive(int endpoint, struct ipc *ipc);
int ipc_reply(uint64_t token, struct ipc *ipc);

static inline int ipc_notify(int endpoint, uint64_t bits) { return (int)syscall(SYS_IPC_NOTIFY, endpoint, bits); }
static inline int endpoint_create(void) { return (int)syscall(SYS_ENDPOINT_CREATE); }
static inline int endpoint_watch(int watched, int endpoint, uint64_t bits) {
    return (int)syscall(SYS_ENDPOINT_WATCH, watched, endpoint, bits);
}
static inline int handle_mint(int handle, uint32_t keep, uint64_t badge) {
    return (int)syscall(SYS_HANDLE_MINT, handle, keep, badge);
}
static inline long handle_rights(int handle) { return syscall(SYS_HANDLE_RIGHTS, handle); }
static inline int authority(void) { return (int)syscall(SYS_AUTHORITY); }

#endif
