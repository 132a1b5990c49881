/*
 * What arch/entry.asm calls for exceptions and interrupts. Interrupts off on entry and return.
 */
#ifndef ARCH_TRAPS_H
#define ARCH_TRAPS_H

struct trap_frame;

/* On the thread's stack (or the interrupted kernel stack). May sleep when the frame is from user code. */
void trap_dispatch(struct trap_frame *frame);

/*
 * On a stack of the CPU: NMI, double fault, machine check and debug traps out of kernel code. Must not sleep or
 * fault.
 */
void trap_dispatch_nested(struct trap_frame *frame);

#endif
