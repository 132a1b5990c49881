/*
 * The radix tree of a memory object's frames. Class GLOBAL (frame numbers). Locks: the caller holds the object's lock.
 * Runs in either space. Recursion is as deep as the tree: at most four levels for OBJECT_SIZE_MAX.
 */
#include "mm/object_index.h"

#include "mm/heap.h"

static struct index_node *node_at(uint64_t entry) { return (struct index_node *)entry; }

static uint64_t node_create(void) { return (uint64_t)global_alloc_pages(1); }

/* Puts nodes on top until the root covers `page`. */
static enum status raise_root(struct memory_object *object, uint64_t page) {
    while (page >> (object->levels * INDEX_BITS)) {
        if (object->root) {
            uint64_t node = node_create();

            if (!node)
                return ERR_NO_MEMORY;
            node_at(node)->entry[0] = object->root;
            object->root = node;
        }
        object->levels++;
    }
    return OK;
}

enum status index_put(struct memory_object *object, uint64_t page, frame_t frame) {
    enum status status = raise_root(object, page);
    uint64_t *entry = &object->root;

    if (status != OK)
        return status;
    for (unsigned shift = object->levels * INDEX_BITS; shift;) {
        if (!*entry)
            *entry = node_create();
        if (!*entry)
            return ERR_NO_MEMORY; /* nodes made so far stay: empty, found again by the next put */
        shift -= INDEX_BITS;
        entry = &node_at(*entry)->entry[(page >> shift) & (TABLE_ENTRIES - 1)];
    }
    *entry = frame.number;
    return OK;
}

/* What hangs at an entry of `level`: pages ≥ `first`, counted from the entry's own first page, go. */
static void remove_below(uint64_t *entry, unsigned level, uint64_t first, index_drop *drop, void *context) {
    unsigned shift = (level - 1) * INDEX_BITS;

    if (!*entry)
        return;
    if (level == 0) {
        drop(context, (frame_t){(uint32_t)*entry});
        *entry = 0;
        return;
    }
    for (uint64_t i = first >> shift; i < TABLE_ENTRIES; i++) {
        uint64_t start = i << shift;

        remove_below(&node_at(*entry)->entry[i], level - 1, first > start ? first - start : 0, drop, context);
    }
    if (first == 0) {
        global_free_pages(node_at(*entry), 1);
        *entry = 0;
    }
}

void index_remove_from(struct memory_object *object, uint64_t first, index_drop *drop, void *context) {
    if (!(first >> (object->levels * INDEX_BITS)))
        remove_below(&object->root, object->levels, first, drop, context);
    if (!object->root)
        object->levels = 0;
}
