/*
 * Pages taken out of the user halves of all processes: those that were cut off an object (the next touch is SIGBUS),
 * and for want of memory those that a pager has, too (the next touch maps them again, or asks for them).
 *
 * A page that was cut off has left its object and is of class USER without an owner (page_drop() in mm/object.c);
 * nothing else is. Areas are LOCAL to their process, so what is searched is page tables, through scratch views:
 * metadata. That is a walk over every process, with the others standing still; a mapped file is cut seldom, and what is
 * mapped is the last to go.
 *
 * Invariants: REVOKE – no CPU keeps a translation when this returns. CLEAN – by mm/gather.h. Locks: none; the others
 * hold none where they stand, nor do they sleep with a user half locked. Space: restricted.
 */
#include "kernel/process.h"
#include "kernel/stop.h"
#include "mm/ephmap.h"
#include "mm/gather.h"
#include "mm/object.h"
#include "mm/tlb.h"
#include "mm/vm.h"

#define BATCH 32

/* Entries are being cleared in one process after the other. */
struct search {
    bool (*is_wanted)(frame_t frame);
    struct process *process;
    uint64_t cleared;     /* in all */
    unsigned count;       /* in this process, frames not released yet */
    frame_t frame[BATCH]; /* those */
};

static bool is_cut_off(frame_t frame) {
    const struct frame *info = frame_info(frame);
    return info->class == FRAME_USER && info->owner == 0;
}

static bool has_pager(frame_t frame) {
    const struct frame *info = frame_info(frame);
    return info->class == FRAME_SECRET && info->object != NULL && info->object->pager != NULL;
}

static void release(struct search *search) {
    struct gather gather;
    if (search->count == 0)
        return;
    tlb_flush(search->process, NULL, TLB_EVERYTHING);
    gather_begin(&gather);
    for (unsigned i = 0; i < search->count; i++)
        gather_release(&gather, search->frame[i]);
    gather_flush(&gather);
    search->count = 0;
}

static void take_out(struct search *search, pte_t *entry, frame_t frame) {
    if (*entry & PTE_ACCESSED) /* whoever evicts is to pass it by once */
        frame_info(frame)->used = 1;
    *entry = 0;
    search->process->user_space->resident--;
    search->cleared++;
    search->frame[search->count++] = frame;
    if (search->count == BATCH)
        release(search);
}

/* The part of the user half below one table. An entry that is hidden (PROT_NONE) names its frame, too. */
static void search_table(struct search *search, frame_t table, unsigned level) {
    pte_t *view = ephmap_scratch(table);
    const unsigned entries = level == 4 ? USER_SLOTS : TABLE_ENTRIES;
    for (unsigned i = 0; i < entries; i++) {
        if (view[i] == 0 || (level == 1 && view[i] & PTE_DEVICE))
            continue;
        const frame_t frame = pte_frame(view[i]);
        if (level > 1)
            search_table(search, frame, level - 1);
        else if (search->is_wanted(frame))
            take_out(search, &view[i], frame);
    }
    ephmap_scratch_put(view);
}

/* `all`: of processes that have locked memory, too. */
static uint64_t take_out_everywhere(bool (*is_wanted)(frame_t frame), bool all) {
    struct search search = {.is_wanted = is_wanted};
    stop_others();
    list_for_each(link, &all_processes) {
        search.process = container_of(link, struct process, all_link);
        const struct user_space *space = search.process->user_space;
        if (space == NULL || (space->is_locked && !all))
            continue; /* about to die, or not made yet; or what it has mapped stays */
        search_table(&search, search.process->roots.restricted, 4);
        release(&search);
    }
    ephmap_flush();
    resume_others(NULL);
    return search.cleared;
}

void vm_forget_cut_pages(void) { (void)take_out_everywhere(is_cut_off, true); }

uint64_t vm_unmap_paged(void) { return take_out_everywhere(has_pager, false); }
