/*
 * Owns: the scan for a pattern. It walks the loaded restricted tables through PTWINDOW and reads what they map, at the
 * addresses at which speculation would: so it sees what any flaw of this process's kernel code could be made to read.
 *
 * Invariants: it looks for what breaks REACH and RESIDUE. The pattern is never in plain in a register or in memory:
 * each word that is read gets the mask put over it.
 * Locks: none; all other CPUs are stopped and this thread, alone in the kernel, changes no table. Space: restricted.
 */
#include "asi/scan.h"

#include "arch/cpu.h"
#include "arch/paging.h"
#include "arch/uaccess.h"
#include "asi/asi.h"
#include "kernel/stop.h"
#include "mm/roots.h"

#define PATTERN sizeof(uint64_t)

/* A word that begins in a page and ends in the next is looked at when both are mapped, one behind the other. */
static void scan_bytes(struct asi_scan *scan, vaddr_t start, uint64_t bytes) {
    uint64_t first;
    uint64_t found = memory_scan(start, bytes - PATTERN + 1, scan->masked, scan->mask, &first);
    if (scan->found == 0 && found != 0)
        scan->first = first;
    scan->found += found;
}

static void scan_leaf(struct asi_scan *scan, vaddr_t address, pte_t entry, uint64_t bytes, vaddr_t *scanned_to) {
    if ((entry & PTE_UNCACHED) == PTE_UNCACHED)
        return;
    const uint64_t before = *scanned_to == address ? PATTERN - 1 : 0;
    scan_bytes(scan, address - before, bytes + before);
    scan->bytes += bytes;
    scan->pages += bytes / PAGE_SIZE;
    *scanned_to = address + bytes;
}

static void scan_table(struct asi_scan *scan, unsigned level, vaddr_t base, vaddr_t *scanned_to) {
    const pte_t *entries = window_entry(base, level);
    for (unsigned i = 0; i < TABLE_ENTRIES; i++) {
        const unsigned shift = PAGE_SHIFT + 9 * (level - 1);
        vaddr_t address = base + ((uint64_t)i << shift);
        pte_t entry = entries[i];
        if (level == 4 && i >= USER_SLOTS)
            address = SLOT_BASE(i);
        if (!pte_present(entry))
            continue;
        if (level == 1 || (entry & PTE_LARGE && level < 4))
            scan_leaf(scan, address, entry, 1UL << shift, scanned_to);
        else if (!leads_to_empty_window_table(entry, level) &&
                 !(level == 4 && i < USER_SLOTS && (scan->flags & ASI_SCAN_KERNEL_HALF)))
            scan_table(scan, level - 1, address, scanned_to);
    }
}

enum status asi_scan(struct asi_scan *scan) {
    vaddr_t scanned_to = 0;
    if (scan->flags & ~(uint64_t)ASI_SCAN_KERNEL_HALF)
        return ERR_INVALID;
    if (this_cpu->space != SPACE_RESTRICTED)
        return ERR_NOT_SUPPORTED;
    scan->bytes = scan->pages = scan->found = scan->first = 0;
    stop_others();
    scan_table(scan, 4, 0, &scanned_to);
    resume_others(NULL);
    return OK;
}
