/*
 * The page-table side of areas: entries of the loaded user half, in ranges. Internal to mm/vm*.c and mm/fault.c.
 *
 * An entry of the user half is 0 (no page), present, or *hidden*: it keeps its frame but not PTE_PRESENT, because the
 * area allows nothing (PROT_NONE). A hidden entry names a frame of the process itself, so that even a CPU which
 * speculates past the present bit reads nothing foreign.
 *
 * The caller holds user_space->lock for everything here. Nothing sleeps.
 */
#ifndef MM_VM_PAGES_H
#define MM_VM_PAGES_H

#include "mm/frame.h"
#include "mm/gather.h"
#include "mm/paging.h"
#include "mm/vma.h"

/* Where the page table that maps `address` ends, or `end` if that is nearer. */
static inline vaddr_t table_end(vaddr_t address, vaddr_t end) {
    vaddr_t next = (address | (PAGE_TABLE_SPAN - 1)) + 1;
    return next < end ? next : end;
}

/* Whether this process may write the frame of a private mapping without copying it first: nobody else has it. */
static inline bool frame_is_exclusive(frame_t frame) {
    const struct frame *info = frame_info(frame);
    return info->class == FRAME_USER && info->refs == 1;
}

/*
 * The one place that says what an area's rights mean for the hardware. `write`: now; else a private one copies first.
 */
static inline pte_t page_entry_at(const struct vma *area, paddr_t address, bool write) {
    pte_t entry = address | PTE_USER | PTE_ACCESSED;

    if (area->protection)
        entry |= PTE_PRESENT;
    if (write)
        entry |= PTE_WRITE | PTE_DIRTY;
    else if (!area->shared && area->protection & VM_WRITE)
        entry |= PTE_COW;
    if (area->region)
        entry |= PTE_DEVICE | PTE_UNCACHED;
    return area->protection & VM_EXECUTE ? entry : entry | PTE_NO_EXECUTE;
}

static inline pte_t page_entry(const struct vma *area, frame_t frame, bool write) {
    return page_entry_at(area, frame_address(frame), write);
}

/* Takes out every entry of the range and drops what it refers to; returns whether there were tables at all. */
bool pages_unmap(struct gather *gather, vaddr_t start, vaddr_t end);

/* Rewrites the entries of the part [start, end) of an area after its rights have changed. */
void pages_protect(struct gather *gather, const struct vma *area, vaddr_t start, vaddr_t end);

/* Frees the tables that serve nothing but the free range around [start, end), which no area uses any more. */
void pages_free_tables(struct gather *gather, const struct vm *vm, vaddr_t start, vaddr_t end);

/* Makes tables at `to` for everything present at `from`, so that pages_move() cannot fail. ERR_NO_MEMORY. */
MUST_USE enum status pages_prepare_move(vaddr_t from, vaddr_t to, uint64_t bytes);

/* Moves the entries as they are; the ranges do not overlap and `to` is empty. */
void pages_move(struct gather *gather, vaddr_t from, vaddr_t to, uint64_t bytes);

#endif
