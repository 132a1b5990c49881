/*
 * What arch/entry.asm calls for exceptions and interrupts. Interrupts off on entry and return.
 */
#ifndef ARCH_TRAPS_H
#define ARCH_TRAPS_H

#include <stdint.h>

struct trap_frame;

/* On the thread's stack (or the interrupted kernel stack). May sleep when the frame is from user code. */
void trap_dispatch(struct trap_frame *frame);

/*
 * On a stack of the CPU: NMI, double fault, machine check and debug traps out of kernel code. Must not sleep or
 * fault. `user_root`: the root of mode classic that was loaded, or 0 when it was another, which still is; `gs_base`:
 * what %gs had. Returns the frame to go on from: `frame`, or a copy on the thread's stack.
 */
struct trap_frame *trap_dispatch_nested(struct trap_frame *frame, uint64_t user_root, uint64_t gs_base);

#endif
