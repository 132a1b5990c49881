/*
 * SYS_ASI, the system call of asi/abi.h.
 */
#ifndef ASI_CONTROL_H
#define ASI_CONTROL_H

#include "kernel/syscall.h"

MUST_USE enum status sys_asi(struct syscall *call);

/* Notes when the first user instruction is about to run. Once. */
void asi_note_first_user(void);

extern uint64_t boot_entry_tsc; /* TSC at the kernel's first instruction */

#endif
