/*
 * Gathering of unmapped pages and frames: one flush for many. State is the caller's, on its stack; no locks.
 * Invariants: REVOKE, CLEAN. Space: restricted; scrubbing goes through EPHMAP.
 */
#include "mm/gather.h"

#include "arch/cpu.h"
#include "asi/asi.h"
#include "asi/mutant.h"
#include "kernel/assert.h"
#include "mm/ephmap.h"
#include "mm/tlb.h"

void gather_page(struct gather *gather, vaddr_t address) {
    if (gather->pages < GATHER_PAGES)
        gather->page[gather->pages] = address;
    if (gather->pages <= GATHER_PAGES)
        gather->pages++;
}

/* Queues it and returns its place. */
static unsigned add_frame(struct gather *gather, frame_t frame) {
    if (gather->frames == GATHER_FRAMES) {
        struct memory_object *object = gather->object;
        gather_flush(gather);
        gather->object = object;
    }
    gather->frame[gather->frames] = frame;
    return gather->frames++;
}

void gather_clean_frame(struct gather *gather, frame_t frame) { add_frame(gather, frame); }

void gather_dirty_frame(struct gather *gather, frame_t frame) { gather->dirty |= 1UL << add_frame(gather, frame); }

/* Whether another CPU may still have a translation of what was unmapped. */
static bool others_may_write(const struct gather *gather) {
    return (gather->object != NULL && cpu_count > 1) || tlb_is_shared(this_cpu->loaded);
}

void gather_scrub(struct gather *gather, frame_t frame) {
    if (others_may_write(gather) && !mutant(scrub_before_flush)) {
        gather->unscrubbed |= 1UL << add_frame(gather, frame);
    } else {
        ephmap_scrub(frame);
        add_frame(gather, frame);
    }
}

void gather_release(struct gather *gather, frame_t frame) {
    if (frame_info(frame)->class == FRAME_SECRET && tlb_is_shared(this_cpu->loaded))
        gather->held |= 1UL << add_frame(gather, frame);
    else if (frame_unref(frame))
        gather_scrub(gather, frame);
}

/* A flush of everything on the way serves for the scratch views, too. */
static void flush_pages(const struct gather *gather) {
    struct process *process = this_cpu->loaded;
    if (gather->object != NULL)
        ephmap_flush_windows(gather->object, gather->page, gather->pages);
    else if (gather->pages != 0)
        tlb_flush(process, gather->page, gather->pages);
    if (gather->pages == TLB_EVERYTHING)
        this_cpu->scratch_pending = 0;
}

void gather_flush(struct gather *gather) {
    flush_pages(gather);
    for (uint64_t left = gather->held; left != 0; left &= left - 1)
        if (frame_unref(gather->frame[__builtin_ctzl(left)])) /* its object has let go of it meanwhile */
            gather->unscrubbed |= left & -left;
    for (uint64_t left = gather->unscrubbed; left != 0; left &= left - 1)
        ephmap_scrub(gather->frame[__builtin_ctzl(left)]);
    ephmap_flush();
    for (unsigned i = 0; i < gather->frames; i++) {
        if ((gather->held & ~gather->unscrubbed) >> i & 1)
            continue; /* somebody else has it */
        if (gather->dirty >> i & 1)
            frame_free_dirty(gather->frame[i]);
        else
            frame_free_clean(gather->frame[i]);
    }
    gather_begin(gather);
}
