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

/* The place for a page's entry, with the nodes that lead there. */
static enum status make_place(struct memory_object *object, uint64_t page, uint64_t **out) {
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
    *out = entry;
    return OK;
}

enum status index_put(struct memory_object *object, uint64_t page, frame_t frame) {
    uint64_t *entry;
    enum status status = make_place(object, page, &entry);

    if (status == OK)
        *entry = frame.number;
    return status;
}

enum status index_reserve(struct memory_object *object, uint64_t page) {
    uint64_t *entry;
    return make_place(object, page, &entry);
}

uint64_t *index_entry(struct memory_object *object, uint64_t page) {
    unsigned shift = object->levels * INDEX_BITS;
    uint64_t *entry = &object->root;

    if (page >> shift)
        return NULL;
    while (shift && *entry) {
        shift -= INDEX_BITS;
        entry = &node_at(*entry)->entry[(page >> shift) & (TABLE_ENTRIES - 1)];
    }
    return *entry ? entry : NULL;
}

struct visit {
    uint64_t first, last;
    index_visitor *visitor;
    void *context;
    bool ended;
};

static bool node_is_empty(const struct index_node *node) {
    for (unsigned i = 0; i < TABLE_ENTRIES; i++)
        if (node->entry[i])
            return false;
    return true;
}

/* What hangs at an entry of `level` whose first page is `base`. */
static void visit_below(struct visit *visit, uint64_t *entry, unsigned level, uint64_t base) {
    unsigned shift = (level - 1) * INDEX_BITS;
    uint64_t i;

    if (!*entry)
        return;
    if (level == 0) {
        visit->ended = !visit->visitor(visit->context, base, entry);
        return;
    }
    i = visit->first > base ? (visit->first - base) >> shift : 0;
    for (; i < TABLE_ENTRIES && base + (i << shift) <= visit->last && !visit->ended; i++)
        visit_below(visit, &node_at(*entry)->entry[i], level - 1, base + (i << shift));
    if (node_is_empty(node_at(*entry))) {
        global_free_pages(node_at(*entry), 1);
        *entry = 0;
    }
}

void index_visit(struct memory_object *object, uint64_t first, uint64_t last, index_visitor *visitor, void *context) {
    struct visit visit = {.first = first, .last = last, .visitor = visitor, .context = context};

    if (!(first >> (object->levels * INDEX_BITS)))
        visit_below(&visit, &object->root, object->levels, 0);
    if (!object->root)
        object->levels = 0;
}
