/*
 * Pages on their way out of an object: cut off, evicted, moved to another. Internal to mm/object*.c and mm/page*.c.
 *
 * The object's lock is held from the first page_drop() to page_drop_end(), for which no translation is left and the
 * frames that nobody else refers to are free. Then, without the lock, page_drop_unmap() for those that were mapped.
 */
#ifndef MM_PAGE_DROP_H
#define MM_PAGE_DROP_H

#include "mm/gather.h"
#include "mm/object.h"

struct page_drop {
    struct memory_object *object;
    bool revoke;  /* windows may exist */
    bool visible; /* the calling process may see the pages, and so may scrub them itself */
    bool mapped;  /* some are in a user half */
    struct gather gather;
};

void page_drop_begin(struct page_drop *drop, struct memory_object *object, bool revoke, bool visible);

/* The page of an index entry, which the caller clears. */
void page_drop(struct page_drop *drop, uint64_t entry);
void page_drop_end(struct page_drop *drop);

/* For index_visit(): drops each page. */
bool page_drop_visitor(void *drop, uint64_t page, uint64_t *entry);

/*
 * Takes what was dropped and is mapped out of all user halves. `page`: no page before it was dropped. Takes
 * user_space->lock and stops other CPUs: no lock held.
 */
void page_drop_unmap(const struct page_drop *drop, uint64_t page);

#endif
