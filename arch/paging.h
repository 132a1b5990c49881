/*
 * Page-table entries by name, and the window through which the loaded tables are edited.
 *
 * The window (slot PTWINDOW) is the recursive entry of the restricted root. It reaches every table of the restricted
 * space: those are LOCAL(P) or GLOBAL, so it breaks no invariant, and an edit costs one store and no exit.
 */
#ifndef ARCH_PAGING_H
#define ARCH_PAGING_H

#include "mm/tag_check.h"
#include "mm/types.h"

typedef uint64_t pte_t;

#define PTE_PRESENT    (1UL << 0)
#define PTE_WRITE      (1UL << 1)
#define PTE_USER       (1UL << 2)
#define PTE_UNCACHED   ((1UL << 4) | (1UL << 3))
#define PTE_ACCESSED   (1UL << 5)
#define PTE_DIRTY      (1UL << 6)
#define PTE_LARGE      (1UL << 7)
#define PTE_GLOBAL     (1UL << 8)
#define PTE_COW        (1UL << 9)  /* software: private, copy before the first write */
#define PTE_SEEN       (1UL << 10) /* software: counted already, while mm/view_set.c goes over windows */
#define PTE_DEVICE     (1UL << 11) /* software, user half: registers of a region (mm/region.h), not a frame */
#define PTE_NO_EXECUTE (1UL << 63)
#define PTE_ADDRESS    0x000ffffffffff000UL

static inline frame_t pte_frame(pte_t entry) { return frame_of(entry & PTE_ADDRESS); }
static inline bool pte_present(pte_t entry) { return entry & PTE_PRESENT; }

/* Entries of inner tables: all rights, the leaf decides. */
static inline pte_t pte_table(frame_t table, bool user) {
    return frame_address(table) | PTE_PRESENT | PTE_WRITE | PTE_ACCESSED | (user ? PTE_USER : 0);
}

/* An inner table that is shared and must stay as it is: nobody writes through an entry that leads to it. */
static inline pte_t pte_empty_table(frame_t table) { return frame_address(table) | PTE_PRESENT | PTE_ACCESSED; }

/*
 * A leaf of the kernel half: never executable, never for user code. `global`: the same in every root of every
 * process.
 */
static inline pte_t pte_kernel_data(frame_t frame, bool global) {
    return frame_address(frame) | PTE_PRESENT | PTE_WRITE | PTE_ACCESSED | PTE_DIRTY | PTE_NO_EXECUTE |
           (global ? PTE_GLOBAL : 0);
}

/* The index of `address` in the table of `level` (1: PT … 4: PML4). */
static inline unsigned table_index(vaddr_t address, unsigned level) {
    return (address >> (PAGE_SHIFT + 9 * (level - 1))) & (TABLE_ENTRIES - 1);
}

/* The entries that map `address` in the loaded restricted tables; the levels above must be present. */
static inline pte_t *window_pte(vaddr_t address) {
    return (pte_t *)(PTWINDOW_BASE + ((address & 0x0000fffffffff000UL) >> 9));
}
static inline pte_t *window_pde(vaddr_t address) { return window_pte((vaddr_t)window_pte(address)); }
static inline pte_t *window_pdpte(vaddr_t address) { return window_pte((vaddr_t)window_pde(address)); }
static inline pte_t *window_pml4e(vaddr_t address) { return window_pte((vaddr_t)window_pdpte(address)); }
static inline pte_t *window_entry(vaddr_t address, unsigned level) {
    switch (level) {
    case 4:
        return window_pml4e(address);
    case 3:
        return window_pdpte(address);
    case 2:
        return window_pde(address);
    default:
        return window_pte(address);
    }
}

/* In a value for a root's loading: keep the translations of its PCID. Only where CR4 has PCIDs switched on. */
#define ROOT_KEEP (1UL << 63)

/* Forgets one translation on this CPU, in the loaded root. */
static inline void tlb_forget(vaddr_t address) {
    __asm__ volatile("invlpg (%0)" ::"r"(address) : "memory");
    tag_check_forget(address);
}

/* The same in the root that goes by `pcid`; global pages stay. Where CPUID has INVPCID. */
static inline void tlb_forget_in(uint64_t pcid, vaddr_t address) {
    const struct { uint64_t pcid, address; } descriptor = {pcid, address};
    __asm__ volatile("invpcid %0, %1" ::"m"(descriptor), "r"(0UL) : "memory");
}

#endif
