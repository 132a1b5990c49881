/*
 * Messages in registers: what the C library's syscall() cannot do, since more than rax comes back.
 */
#include "user/lib/native.h"

#include <errno.h>

/* Leaves in *ipc what came, unless `came` is false. */
static int exchange(long number, uint64_t first, struct ipc *ipc, int came) {
    register uint64_t rdi __asm__("rdi") = first;
    register uint64_t rsi __asm__("rsi") = ipc->label;
    register uint64_t rdx __asm__("rdx") = ipc->word[0];
    register uint64_t r10 __asm__("r10") = ipc->word[1];
    register uint64_t r8 __asm__("r8") = ipc->word[2];
    register uint64_t r9 __asm__("r9") = (uint64_t)(uintptr_t)ipc->extra;
    long status = number;
    __asm__ volatile("syscall"
                     : "+a"(status), "+r"(rdi), "+r"(rsi), "+r"(rdx), "+r"(r10), "+r"(r8), "+r"(r9)
                     :
                     : "rcx", "r11", "memory");
    if (status < 0) {
        errno = (int)-status;
        return -1;
    }
    if (came) {
        *ipc = (struct ipc){
            .label = (uint32_t)rsi, .word = {rdx, r10, r8}, .badge = rdi, .token = r9, .extra = ipc->extra};
    }
    return 0;
}

int ipc_call(int endpoint, struct ipc *ipc) { return exchange(SYS_IPC_CALL, (uint64_t)endpoint, ipc, 1); }
int ipc_receive(int endpoint, struct ipc *ipc) { return exchange(SYS_IPC_RECEIVE, (uint64_t)endpoint, ipc, 1); }
int ipc_reply_receive(int endpoint, struct ipc *ipc) {
    return exchange(SYS_IPC_REPLY_RECEIVE, (uint64_t)endpoint, ipc, 1);
}
int ipc_reply(uint64_t token, struct ipc *ipc) { return exchange(SYS_IPC_REPLY, token, ipc, 0); }
