/*
 * NEST and RESIDUE under torture: the CPU is struck at every instruction of the entry and transition code, and at each
 * strike its state is compared with what the invariants say. docs/nest.md says how to read the result.
 *
 * Only with the boot option `torture=1`, by uid 0; otherwise nest_watching stays false, which is all that is looked at
 * in production.
 */
#ifndef ASI_NEST_H
#define ASI_NEST_H

#include <stdbool.h>
#include <stdint.h>

#include "arch/trap_frame.h"
#include "asi/abi.h"
#include "kernel/status.h"

/* Whether a torture or an NMI storm is on. Changed by the operations below; read at any instruction. */
extern bool nest_watching;

/* Counters and the first violation of all CPUs. Added to atomically at any instruction. */
extern struct asi_nest_report nest_report;

/*
 * A nested exception of kernel code, in its handler; `user_root` as in trap_dispatch_nested(). True: it belongs to the
 * torture and is done with. Any instruction, interrupts off, an IST stack.
 */
bool nest_strike(struct trap_frame *frame, uint64_t user_root, uint64_t gs_base);

/* Likewise for one that met user code; the thread's stack. May send the way back to user code through a handler. */
bool nest_strike_user(struct trap_frame *frame);

/*
 * The state of the CPU where `frame` was interrupted, in kernel code; `root` was in CR3 (no PCID), `gs_base` in use.
 * Counts a check, and what does not hold. Any instruction, interrupts off.
 */
void nest_check(const struct trap_frame *frame, uint64_t root, uint64_t gs_base);

/* RESIDUE: the frames that strikes have left on the CPU's stacks that nobody is on. `stack`: enum cpu_stack. */
void nest_check_stack_left(unsigned stack);

/* Counts a violation; the first of all is kept in words. */
void nest_violation(const char *what, uint64_t rip, uint64_t value);

/* Whether an instruction lies in the entry or transition code, which is what the torture covers. */
bool nest_covers(uint64_t rip);

/* SYS_ASI's operations. ERR_NOT_PERMITTED without the boot option torture=1; ERR_INVALID. On the calling CPU. */
MUST_USE enum status nest_start(const struct asi_nest *what);
MUST_USE enum status nest_stop(void);

/*
 * NMIs to another CPU (or to this one) with random pauses; returns when all are sent. ERR_NOT_PERMITTED, ERR_INVALID,
 * ERR_BUSY while a CPU is tortured.
 */
MUST_USE enum status nest_storm(uint64_t cpu, uint64_t count);

#endif
