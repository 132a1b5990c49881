/*
 * What the torture (asi/nest.h) needs of a CPU: breakpoints on instructions, the trap flag's status, and exceptions on
 * demand. Nothing else uses the debug registers. The running CPU's, interrupts off.
 */
#ifndef ARCH_DEBUG_REGISTERS_H
#define ARCH_DEBUG_REGISTERS_H

#include <stdint.h>

#define DEBUG_BREAKPOINTS 4

/* The address of an instruction for breakpoint `number`; 0 takes it off. In force once debug_arm() was called. */
void debug_set(unsigned number, uint64_t address);

/* All breakpoints that have an address are watched, or none is. */
void debug_arm(void);
void debug_disarm(void);

/* The root in CR3, without PCID. */
uint64_t debug_root(void);

/* The GS base in use, and the one that swapgs would bring. */
uint64_t debug_gs_base(void);
uint64_t debug_other_gs_base(void);

/* Exceptions in the middle of C code: through the gates of the NMI and of the machine check, and a page fault that the
 * exception table resolves. All registers come back. */
void debug_strike_nmi(void);
void debug_strike_machine_check(void);
void debug_strike_page_fault(void);

/* Sets the trap flag: the debug exception comes behind the next instruction. */
void debug_step_from_here(void);

/* Gives DR6 back to its idle state. */
void debug_forget_status(void);

#endif
