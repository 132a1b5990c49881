/*
 * The index of a memory object: which frame holds page n. A radix tree of GLOBAL pages with 512 entries each; an object
 * of one page has no node at all, so thousands of small files and one-page mappings cost nothing but their frame.
 *
 * Frame numbers only: metadata. The caller holds the object's lock.
 */
#ifndef MM_OBJECT_INDEX_H
#define MM_OBJECT_INDEX_H

#include "kernel/status.h"
#include "mm/object.h"

#define INDEX_BITS 9 /* a node has as many entries as a page holds */

/*
 * An entry (and the object's `root`) at level 0 is a frame number, above it the address of a node; 0: nothing there.
 * A root at level n covers the pages 0 … 512^n - 1.
 */
struct index_node {
    uint64_t entry[TABLE_ENTRIES];
};
_Static_assert(sizeof(struct index_node) == PAGE_SIZE, "one GLOBAL page");

/* The frame of a page, or FRAME_NONE. The inner loop of every read and write. */
static inline frame_t index_get(const struct memory_object *object, uint64_t page) {
    unsigned shift = object->levels * INDEX_BITS;
    uint64_t entry = object->root;

    if (page >> shift)
        return FRAME_NONE;
    while (shift && entry) {
        shift -= INDEX_BITS;
        entry = ((const struct index_node *)entry)->entry[(page >> shift) & (TABLE_ENTRIES - 1)];
    }
    return (frame_t){(uint32_t)entry};
}

/* Enters a frame where there is none. ERR_NO_MEMORY. */
MUST_USE enum status index_put(struct memory_object *object, uint64_t page, frame_t frame);

/*
 * Takes out every page ≥ `first`, handing each frame to `drop`, and frees the nodes that are left empty behind
 * `first`.
 */
typedef void index_drop(void *context, frame_t frame);
void index_remove_from(struct memory_object *object, uint64_t first, index_drop *drop, void *context);

#endif
