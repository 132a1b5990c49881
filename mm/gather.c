/*
 * Gathering of unmapped pages and frames: one flush for many. State is the caller's, on its stack; no locks.
 * Invariants: REVOKE, CLEAN. Space: restricted; scrubbing goes through EPHMAP.
 */
#include "mm/gather.h"

#include "arch/paging.h"
#include "asi/asi.h"
#include "kernel/assert.h"
#include "mm/ephmap.h"
#include "mm/paging.h"

void gather_page(struct gather *gather, vaddr_t address) {
    if (gather->pages < GATHER_PAGES)
        gather->page[gather->pages] = address;
    if (gather->pages <= GATHER_PAGES)
        gather->pages++;
}

void gather_clean_frame(struct gather *gather, frame_t frame) {
    if (gather->frames == GATHER_FRAMES)
        gather_flush(gather);
    gather->frame[gather->frames++] = frame;
}

void gather_scrub(struct gather *gather, frame_t frame) {
    ephmap_scrub(frame);
    gather_clean_frame(gather, frame);
}

void gather_release(struct gather *gather, frame_t frame) {
    if (frame_unref(frame))
        gather_scrub(gather, frame);
}

void gather_flush(struct gather *gather) {
    if (gather->pages > GATHER_PAGES) {
        tlb_flush_all(); /* covers the scratch views, too */
    } else {
        for (unsigned i = 0; i < gather->pages; i++)
            tlb_forget(gather->page[i]);
        ephmap_flush();
    }
    for (unsigned i = 0; i < gather->frames; i++)
        frame_free_clean(gather->frame[i]);
    gather_begin(gather);
}
