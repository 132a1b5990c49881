/*
 * The index of a memory object: which frame holds page n. A radix tree of GLOBAL pages with 512 entries each; an object
 * of one page has no node at all, so thousands of small files and one-page mappings cost nothing but their frame.
 *
 * Frame numbers and states of pages only: metadata. The caller holds the object's lock.
 */
#ifndef MM_OBJECT_INDEX_H
#define MM_OBJECT_INDEX_H

#include "kernel/status.h"
#include "mm/object.h"

#define INDEX_BITS 9 /* a node has as many entries as a page holds */

/*
 * An entry (and the object's `root`) at level 0 is a frame number and enum page_state bits, above it the address of a
 * node; 0: nothing there. A root at level n covers the pages 0 … 512^n - 1.
 */
struct index_node {
    uint64_t entry[TABLE_ENTRIES];
};
_Static_assert(sizeof(struct index_node) == PAGE_SIZE, "one GLOBAL page");

/* Of a page of an object with a pager (mm/pager.h), above the frame number. */
#define PAGE_DIRTY        (1UL << 32) /* its pager has not got what it holds */
#define PAGE_WRITE_MAPPED (1UL << 33) /* may be mapped writable: as long as it is mapped it stays dirty */
#define PAGE_STORING      (1UL << 34) /* its pager is being given it */

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

static inline frame_t entry_frame(uint64_t entry) { return (frame_t){(uint32_t)entry}; }

/* Enters a frame where there is none. ERR_NO_MEMORY. */
MUST_USE enum status index_put(struct memory_object *object, uint64_t page, frame_t frame);

/* Makes room for it: index_put() of the page cannot fail until pages are next taken out. ERR_NO_MEMORY. */
MUST_USE enum status index_reserve(struct memory_object *object, uint64_t page);

/* The entry of a page that is there, for changing its state; NULL: it is not there. */
uint64_t *index_entry(struct memory_object *object, uint64_t page);

/*
 * Calls `visit` for every page there is from `first` to `last`, in order, until it returns false. It may set *entry to
 * 0, which takes the page out; nodes that are left empty are freed.
 */
typedef bool index_visitor(void *context, uint64_t page, uint64_t *entry);
void index_visit(struct memory_object *object, uint64_t first, uint64_t last, index_visitor *visit, void *context);

#endif
