/*
 * The crossings of arch/transition.asm, as C sees them. All with interrupts off. Flags are CROSS_* of asi/asi.h.
 */
#ifndef ARCH_TRANSITION_H
#define ARCH_TRANSITION_H

#include <stdint.h>

struct thread;
struct trap_frame;

/* Restricted → unrestricted root; the live stack moves along. */
void transition_exit(uint64_t root, uint32_t flags);

/* Pays the flushes of `flags` where no root is loaded. */
void transition_flush(uint32_t flags);

/* Loads a root that maps the running stack as the present one does; also the way to flush the TLB. */
void transition_load(uint64_t root);

/*
 * Switches threads; returns when `from` runs again. `root` 0: the loaded one stays. With CROSS_MESSAGE: rsi, rdx, r10
 * and r8 of `message`, the user's frame of `from`, are put into that of `to`, and into no other memory.
 */
void context_switch(struct thread *from, struct thread *to, uint64_t root, uint32_t flags,
                    const struct trap_frame *message);

/* Switches away for good and clears the stack whose lowest address is given. */
_Noreturn void context_die(struct thread *to, uint64_t root, uint32_t flags, uint64_t stack_bottom);

#endif
