/*
 * The stacks that belong to a CPU and not to a thread: one for each exception that may strike anywhere, even in the
 * middle of a transition (IST). They lie in the STACK slot, so that unrestricted code leaves its registers in frames
 * that no restricted space maps (RESIDUE). The last word of each holds the address of its struct cpu, for entry code
 * that cannot trust %gs.
 */
#ifndef ARCH_CPU_STACKS_H
#define ARCH_CPU_STACKS_H

#include "mm/addrmap.h"

#define CPU_STACK_PAGES  2UL
#define CPU_STACK_SIZE   (CPU_STACK_PAGES * PAGE_SIZE)
#define CPU_STACK_STRIDE (2 * CPU_STACK_SIZE) /* lower half: guard */

enum cpu_stack { CPU_STACK_NMI, CPU_STACK_DOUBLE_FAULT, CPU_STACK_MACHINE_CHECK, CPU_STACK_DEBUG, CPU_STACKS };

/* The first address behind the stack; the CPU starts to push CPU_STACK_RESERVED below. Stacks are aligned to their
 * size. */
#define CPU_STACK_TOP(cpu, stack) (CPU_STACK_BASE + (((cpu)*4UL + (stack)) + 1) * CPU_STACK_STRIDE)
#define CPU_STACK_RESERVED        16

#endif
