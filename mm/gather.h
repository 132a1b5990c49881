/*
 * Gathering: unmap many pages, then flush once, then free.
 *
 * Invariant: REVOKE, CLEAN – a frame reaches the free list only scrubbed and after every translation to it is flushed:
 * the user half's and EPHMAP's, on every CPU. Where other CPUs may still write to a frame through a translation they
 * have, it is scrubbed after their flush; where there is no other, before it, and one flush serves for both.
 */
#ifndef MM_GATHER_H
#define MM_GATHER_H

#include "mm/frame.h"
#include "mm/tlb.h"

#define GATHER_PAGES  TLB_PAGES_MAX /* more than this: one flush of everything instead of one per page */
#define GATHER_FRAMES 64            /* bits of a word */

struct memory_object;

struct gather {
    unsigned pages;               /* used in page[]; GATHER_PAGES + 1: too many, flush everything */
    unsigned frames;              /* used in frame[]: to be freed after the flush */
    uint64_t unscrubbed;          /* bit per frame[]: to be cleared after the flush of pages */
    uint64_t dirty;               /* bit per frame[]: the scrubber's */
    uint64_t held;                /* bit per frame[]: an entry's reference on it is to be dropped after the flush */
    struct memory_object *object; /* page[] has windows on it: they go from every process that has it open; or NULL */
    vaddr_t page[GATHER_PAGES];
    frame_t frame[GATHER_FRAMES];
};

static inline void gather_begin(struct gather *gather) {
    gather->pages = gather->frames = 0;
    gather->unscrubbed = gather->dirty = gather->held = 0;
    gather->object = NULL;
}

/* The translation of page `address` (user half, EPHMAP or page-table window) was removed or weakened. */
void gather_page(struct gather *gather, vaddr_t address);

/*
 * Drops the reference that a cleared page-table entry had on `frame`; when it was the last, scrubs the frame and queues
 * it. An object's page, which others may take away as soon as nobody refers to it, loses the reference after the flush
 * where another CPU may still have the translation.
 */
void gather_release(struct gather *gather, frame_t frame);

/* Queues a frame that is all zero (an emptied page table). */
void gather_clean_frame(struct gather *gather, frame_t frame);

/* Queues a frame whose content the caller may not see: it becomes the scrubber's. */
void gather_dirty_frame(struct gather *gather, frame_t frame);

/* Clears a frame whose content the caller may see, and queues it. */
void gather_scrub(struct gather *gather, frame_t frame);

/* Flushes, then frees all that was queued. The gather is empty afterwards and may be used again. */
void gather_flush(struct gather *gather);

#endif
