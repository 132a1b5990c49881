/*
 * DMA objects: the right of one PCI function to reach memory, and what of memory it reaches.
 *
 * Invariant: CLEAN – frames that a function may reach are held by its object, and let go of only when the function
 * cannot reach them any more: an IOMMU says so, or its driver (dma_revoke), or it is cut off (the object's end).
 */
#ifndef KERNEL_DMA_H
#define KERNEL_DMA_H

#include <stdbool.h>

#include "kernel/ipc_abi.h"
#include "kernel/status.h"
#include "mm/types.h"

struct file;

#define DMA_MEMORY_PAGES 16U

/*
 * The object of a function behind a new file; at its last close the function is cut off and everything released.
 * ERR_NO_DEVICE (no such function), ERR_BUSY (it has one), ERR_NO_MEMORY, ERR_NO_SPACE.
 */
MUST_USE enum status dma_create(uint32_t function, struct file **out);

/* The object behind a descriptor, with a reference. ERR_BAD_HANDLE, ERR_INVALID, ERR_ACCESS. */
MUST_USE enum status dma_get(int fd, struct file **out);

void dma_enable(const struct file *dma, bool on);

/*
 * From here on the function reaches the grant's pages, at addresses[] (GRANT_PAGES_MAX of them), *count pages in a row.
 * The grant is held. ERR_INVALID (no grant, or of the other direction), ERR_ACCESS, ERR_BUSY (it has it already),
 * ERR_BROKEN_PIPE (the grant has ended), ERR_NO_SPACE, ERR_NO_MEMORY.
 */
MUST_USE enum status dma_grant(const struct file *dma, struct file *grant, enum grant_direction direction,
                               uint64_t *addresses, unsigned *count);

/* It has finished with them. ERR_INVALID, ERR_NO_ENTRY (it was not given this grant). */
MUST_USE enum status dma_revoke(const struct file *dma, const struct file *grant);

/*
 * Memory for driver and function together, 1 to DMA_MEMORY_PAGES pages: a new file on a memory object, whose pages the
 * function reaches at addresses[] as long as the DMA object lives. ERR_INVALID, ERR_NO_SPACE, ERR_NO_MEMORY.
 */
MUST_USE enum status dma_memory(const struct file *dma, unsigned pages, uint64_t *addresses, struct file **out);

/* How often the function tried to reach what it may not. ERR_NOT_SUPPORTED: there is no IOMMU to say so. */
MUST_USE enum status dma_faults(const struct file *dma, uint64_t *count);

#endif
