/*
 * System calls: the Linux x86-64 numbers, structures and errors.
 *
 * A handler decodes its arguments, validates, acts, and stores what the call returns in call->result. Its status
 * becomes
 * -errno in one place (kernel/syscall.c). Handlers run with interrupts on, in whatever space was loaded, and may sleep.
 */
#ifndef KERNEL_SYSCALL_H
#define KERNEL_SYSCALL_H

#include <stdint.h>

#include "arch/trap_frame.h"
#include "kernel/status.h"

struct syscall {
    uint64_t arg[6];
    int64_t result;           /* returned when the status is OK; 0 before the handler runs */
    struct trap_frame *frame; /* the user's registers; fork, sigreturn and exec change them */
};

typedef enum status (*syscall_handler)(struct syscall *call);

/* From arch/entry.asm: runs the call in the frame and stores rax. */
void syscall_dispatch(struct trap_frame *frame);

/* X(number, function name without sys_) for every implemented call is in kernel/syscall_table.h. */

#endif
