/*
 * What is kept of an object's pager. Between mm/object*.c, mm/pager*.c and mm/pageout.c; everyone else uses mm/pager.h.
 */
#ifndef MM_PAGER_STATE_H
#define MM_PAGER_STATE_H

#include "kernel/wait.h"
#include "mm/object_index.h"
#include "mm/pager.h"

/* Class GLOBAL. "Locked": by the object's lock. */
struct pager {
    struct memory_object *object; /* constant, as are the next three */
    struct server *server;        /* with a reference */
    uint64_t id;
    uint32_t flags; /* enum pager_flag */

    uint64_t known; /* bytes: what lies behind them the pager has never had, or no longer: it reads as zero. Locked */
    uint64_t dirty; /* pages. Locked */
};

/* Whether a page that is not resident is to be asked of a pager; if not, it is a hole. Locked, shared or not. */
static inline bool pager_knows(const struct memory_object *object, uint64_t page) {
    return object->pager && page < bytes_to_pages(object->pager->known);
}

/* The page, which is resident, is being modified. Locked. */
static inline void pager_note_write(struct memory_object *object, uint64_t page) {
    uint64_t *entry;

    if (!object->pager)
        return;
    entry = index_entry(object, page);
    object->pager->dirty += !(*entry & PAGE_DIRTY);
    *entry |= PAGE_DIRTY;
}

#endif
