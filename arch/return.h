/*
 * Between arch/entry.asm and kernel/return.c.
 */
#ifndef ARCH_RETURN_H
#define ARCH_RETURN_H

#include <stdint.h>

struct trap_frame;

/* Returned in rax and rdx. */
struct return_action {
    uint64_t root;  /* to load, or 0 */
    uint64_t flags; /* CROSS_* */
};

/* Interrupts off on entry and return; may sleep; may not return. */
struct return_action return_to_user_work(struct trap_frame *frame);

#endif
