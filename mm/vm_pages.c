/*
 * Ranges of user page-table entries: unmapping, changing rights, moving. Edits the loaded tables through PTWINDOW.
 *
 * Invariant: a frame has one reference for each user entry that names it. REVOKE, CLEAN – by mm/gather.h.
 * Locks: the caller holds user_space->lock. Runs in either space without leaving it.
 */
#include "mm/vm_pages.h"

#include "kernel/process.h"
#include "mm/object.h"
#include "mm/tag_check.h"

bool pages_unmap(struct gather *gather, vaddr_t start, vaddr_t end) {
    struct user_space *space = process_current()->user_space;
    vaddr_t address = user_next_table(start, end);
    bool tables = address < end;

    for (; address < end; address = user_next_table(address, end)) {
        pte_t *entry = user_pte(address);

        for (vaddr_t stop = table_end(address, end); address < stop; address += PAGE_SIZE, entry++) {
            pte_t old = *entry;

            if (!old)
                continue;
            *entry = 0;
            space->resident--;
            if (pte_present(old)) {
                tag_check_weakened(process_current(), address);
                gather_page(gather, address);
            }
            if (!(old & PTE_DEVICE))
                gather_release(gather, pte_frame(old));
        }
    }
    return tables;
}

/* Whether a page that the area allows to write needs no fault first: to copy it, or to tell its pager. */
static bool stays_writable(const struct vma *area, pte_t entry) {
    if (!area->shared)
        return frame_is_exclusive(pte_frame(entry));
    return !area->object || !area->object->pager || entry & PTE_WRITE;
}

void pages_protect(struct gather *gather, const struct vma *area, vaddr_t start, vaddr_t end) {
    bool writable = area->protection & VM_WRITE;

    for (vaddr_t address = user_next_table(start, end); address < end; address = user_next_table(address, end)) {
        pte_t *entry = user_pte(address);

        for (vaddr_t stop = table_end(address, end); address < stop; address += PAGE_SIZE, entry++) {
            pte_t old = *entry;

            if (!old)
                continue;
            if (pte_present(old)) {
                tag_check_weakened(process_current(), address);
                gather_page(gather, address);
            }
            *entry = page_entry_at(area, old & PTE_ADDRESS, writable && stays_writable(area, old));
        }
    }
}

void pages_free_tables(struct gather *gather, const struct vm *vm, vaddr_t start, vaddr_t end) {
    const struct vma *below = vma_last_below(vm, start), *above = below ? below->next : vma_first(vm);
    vaddr_t low = start & ~(PAGE_TABLE_SPAN - 1), high = table_end(end - 1, UINT64_MAX);

    /* A table at either end goes too if no neighbour uses it. */
    if (!below || below->end <= low)
        start = low;
    if (!above || above->start >= high)
        end = high;
    user_free_tables(gather, start, end);
}

enum status pages_prepare_move(vaddr_t from, vaddr_t to, uint64_t bytes) {
    vaddr_t end = from + bytes;

    for (vaddr_t address = user_next_table(from, end); address < end; address = user_next_table(address, end)) {
        const pte_t *entry = user_pte(address);

        for (vaddr_t stop = table_end(address, end); address < stop; address += PAGE_SIZE, entry++) {
            pte_t *target;
            enum status status = *entry ? user_pte_create(address - from + to, &target) : OK;

            if (status != OK)
                return status;
        }
    }
    return OK;
}

void pages_move(struct gather *gather, vaddr_t from, vaddr_t to, uint64_t bytes) {
    vaddr_t end = from + bytes;

    for (vaddr_t address = user_next_table(from, end); address < end; address = user_next_table(address, end)) {
        pte_t *entry = user_pte(address);

        for (vaddr_t stop = table_end(address, end); address < stop; address += PAGE_SIZE, entry++) {
            const pte_t moved = *entry;

            if (!moved)
                continue;
            *entry = 0; /* first: at no moment has the page two entries that can be written */
            if (pte_present(moved)) {
                tag_check_weakened(process_current(), address);
                gather_page(gather, address);
            }
            *user_pte(address - from + to) = moved;
        }
    }
}
