/*
 * Where the parts of a new program lie in its user half: at random (docs/programs.md), or where they always are.
 *
 * What is chosen is a secret of the process: it is kept in LOCAL memory and on the process's own stacks, never in
 * GLOBAL memory.
 */
#ifndef KERNEL_LAYOUT_H
#define KERNEL_LAYOUT_H

#include "mm/types.h"

struct layout {
    vaddr_t stack_top;       /* whole pages */
    uint64_t stack_gap;      /* bytes, a multiple of 16 below a page: free below the strings */
    vaddr_t program_base;    /* of a position-independent program, before its alignment */
    uint64_t mmap_shift;     /* bytes, whole pages: how far below USER_MMAP_TOP mmap begins */
    uint64_t heap_gap;       /* bytes, whole pages: between the program's end and its heap */
    uint64_t address_secret; /* struct vm's */
};

/* Reads the boot option aslr=. Once. */
void layout_init(void);

/* Draws a layout for the caller's next program. Does not sleep. */
void layout_choose(struct layout *layout);

#endif
