/*
 * Cells: words of a kernel object that are content – what a process wrote and another may read – and not metadata.
 *
 * They lie in SECRET frames of a memory object that every handle on the kernel object counts as an open of, and are
 * reached through its windows. So a process sees them as long as it has such a handle (LOGICAL ACCESS).
 */
#ifndef KERNEL_CELLS_H
#define KERNEL_CELLS_H

#include "kernel/status.h"
#include "mm/types.h"

struct memory_object;

#define CELLS_PER_PAGE (PAGE_SIZE / sizeof(uint64_t))

/* Class GLOBAL. Everything but `object` is protected by object->lock. */
struct cells {
    struct memory_object *object; /* whose lock callers hold. Constant */
    struct cell_page *pages;
    uint32_t page_count, capacity; /* of `pages` */
};

/* None yet. ERR_NO_MEMORY. */
MUST_USE enum status cells_create(struct cells *cells);
/* No process has a handle any more. */
void cells_destroy(struct cells *cells);

/* A free one, of any value, which the caller sets; and back. object->lock held. ERR_NO_MEMORY. */
MUST_USE enum status cells_take(struct cells *cells, uint32_t *index);
void cells_give(struct cells *cells, uint32_t index);

/* object->lock held; the calling process has a handle. */
uint64_t cells_read(const struct cells *cells, uint32_t index);
void cells_write(struct cells *cells, uint32_t index, uint64_t value);

#endif
