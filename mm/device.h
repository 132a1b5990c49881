/*
 * Device registers that the kernel itself uses: GLOBAL mappings, uncached (so no load of them is ever speculative).
 */
#ifndef MM_DEVICE_H
#define MM_DEVICE_H

#include "mm/types.h"

/* Maps `bytes` of device memory for good. Panics when there is no room: start-up only. */
void *device_map(paddr_t address, uint64_t bytes);

#endif
