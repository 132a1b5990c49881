/*
 * Pages that were cut off an object, out of the user halves of all processes: the next touch is SIGBUS.
 *
 * Such a page has left its object and is of class USER without an owner (drop_page() in mm/object.c); nothing else is.
 * Areas are LOCAL to their process, so what is searched is page tables, through scratch views: metadata. That is a walk
 * over every process, with the others standing still; a mapped file is cut seldom.
 *
 * Invariants: REVOKE – no CPU keeps a translation when this returns. CLEAN – by mm/gather.h. Locks: none; the others
 * hold none where they stand, nor do they sleep with a user half locked. Space: restricted.
 */
#include "kernel/process.h"
#include "kernel/stop.h"
#include "mm/ephmap.h"
#include "mm/gather.h"
#include "mm/tlb.h"
#include "mm/vm.h"

#define BATCH 32

/* Entries that were cleared in one process, whose frames are not released yet. */
struct cut {
    struct process *process;
    unsigned count;
    frame_t frame[BATCH];
};

static bool is_cut_off(frame_t frame) {
    const struct frame *info = frame_info(frame);
    return info->class == FRAME_USER && info->owner == 0;
}

static void release(struct cut *cut) {
    struct gather gather;
    if (cut->count == 0)
        return;
    tlb_flush(cut->process, NULL, TLB_EVERYTHING);
    gather_begin(&gather);
    for (unsigned i = 0; i < cut->count; i++)
        gather_release(&gather, cut->frame[i]);
    gather_flush(&gather);
    cut->count = 0;
}

/* The part of the user half below one table. An entry that is hidden (PROT_NONE) names its frame, too. */
static void search(struct cut *cut, frame_t table, unsigned level) {
    pte_t *view = ephmap_scratch(table);
    const unsigned entries = level == 4 ? USER_SLOTS : TABLE_ENTRIES;
    for (unsigned i = 0; i < entries; i++) {
        if (view[i] == 0 || (level == 1 && view[i] & PTE_DEVICE))
            continue;
        const frame_t frame = pte_frame(view[i]);
        if (level > 1) {
            search(cut, frame, level - 1);
        } else if (is_cut_off(frame)) {
            view[i] = 0;
            cut->process->user_space->resident--;
            cut->frame[cut->count++] = frame;
            if (cut->count == BATCH)
                release(cut);
        }
    }
    ephmap_scratch_put(view);
}

void vm_forget_cut_pages(void) {
    struct cut cut = {.count = 0};
    stop_others();
    list_for_each(link, &all_processes) {
        cut.process = container_of(link, struct process, all_link);
        if (cut.process->user_space == NULL)
            continue; /* about to die, or not made yet */
        search(&cut, cut.process->roots.restricted, 4);
        release(&cut);
    }
    ephmap_flush();
    resume_others(NULL);
}
