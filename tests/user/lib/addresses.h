/*
 * Addresses that no user program may use: the start and the inside of every region of the kernel half (mm/addrmap.h),
 * the borders of the user half, and what is not canonical. On Linux they are as forbidden, whatever lies there.
 */
#ifndef TESTS_USER_LIB_ADDRESSES_H
#define TESTS_USER_LIB_ADDRESSES_H

#include <stddef.h>
#include <stdint.h>

#include "mm/addrmap.h"

#define NON_CANONICAL_FIRST (1ul << 47)
#define NON_CANONICAL_LAST  (SLOT_BASE(USER_SLOTS) - 1)

/* In the kernel half and canonical: a touch is a page fault. */
static const uintptr_t kernel_addresses[] = {
    EPHMAP_BASE,
    EPHMAP_SCRATCH_BASE,
    LOCAL_BASE,
    LOCAL_BASE + 2 * PAGE_SIZE,
    STACK_BASE + STACK_STRIDE - 64,
    CPU_STACK_BASE + STACK_STRIDE - 64,
    PTWINDOW_BASE,
    GLOBAL_BASE,
    GLOBAL_HEAP_BASE,
    DEVICE_BASE,
    PHYSMAP_BASE,
    PHYSMAP_BASE + (1ul << 20),
    IMAGE_BASE,
    IMAGE_BASE + (1ul << 20),
    IMAGE_BASE + (2ul << 20),
    -PAGE_SIZE,
    -8ul,
};

/* A touch is a general-protection fault. */
static const uintptr_t non_canonical_addresses[] = {NON_CANONICAL_FIRST, 0x0123456789abcdef, 1ul << 62, 1ul << 63,
                                                    NON_CANONICAL_LAST};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

#endif
