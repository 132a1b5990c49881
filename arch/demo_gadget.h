/*
 * A true Spectre-v1 gadget, for the kernel of `make demo` (asi/demo.h).
 */
#ifndef ARCH_DEMO_GADGET_H
#define ARCH_DEMO_GADGET_H

#include <stdint.h>

#include "mm/types.h"

#define DEMO_ARRAY 16 /* bytes of it */
extern const uint8_t demo_array[DEMO_ARRAY];

/*
 * Touches line demo_array[index] of the probe array in user memory, which is present, if index < DEMO_ARRAY; that it
 * has to wait for, since the array's size is flushed from the cache first.
 */
void demo_speculate(uint64_t index, vaddr_t probe);

#endif
