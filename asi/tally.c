/*
 * Owns: the count of pages that the restricted spaces of ending processes map, by region, and the largest of them.
 *
 * Each process walks its own restricted tables, through PTWINDOW, and adds numbers only. Nobody pays for it but while
 * it is asked for: one look at a flag for each process that ends.
 * Locks: processes_lock for the result. Other CPUs stand still during a walk, so no shared table changes. Space: any;
 * the window is that of the restricted root in every mode.
 */
#include "asi/tally.h"

#include "arch/paging.h"
#include "kernel/process.h"
#include "kernel/stop.h"
#include "kernel/string.h"
#include "mm/roots.h"

static bool counting; /* atomic */
static struct asi_tally result;

/* What one process has mapped, by PML4 slot of the upper half; slot 0: the user half. */
struct count {
    uint64_t user, windows, local, global;
};

static uint64_t *region_of(struct count *count, vaddr_t address) {
    const unsigned slot = table_index(address, 4);
    if (slot < USER_SLOTS)
        return &count->user;
    return slot == SLOT_EPHMAP                         ? &count->windows
           : slot == SLOT_GLOBAL || slot == SLOT_IMAGE ? &count->global
                                                       : &count->local;
}

/* Registers of devices hold nobody's data and are not counted; nor are the tables, which the window shows as pages. */
static void count_table(struct count *count, unsigned level, vaddr_t base) {
    const pte_t *entries = window_entry(base, level);
    const unsigned shift = PAGE_SHIFT + 9 * (level - 1);
    for (unsigned i = 0; i < TABLE_ENTRIES; i++) {
        const pte_t entry = __atomic_load_n(&entries[i], __ATOMIC_RELAXED);
        const vaddr_t address = level == 4 && i >= USER_SLOTS ? SLOT_BASE(i) : base + ((uint64_t)i << shift);
        if (!pte_present(entry) || (level == 4 && i == SLOT_PTWINDOW))
            continue;
        if (level > 1 && !(entry & PTE_LARGE && level < 4)) {
            if (!leads_to_empty_window_table(entry, level))
                count_table(count, level - 1, address);
        } else if ((entry & PTE_UNCACHED) != PTE_UNCACHED && !(entry & PTE_DEVICE && level == 1)) {
            *region_of(count, address) += 1UL << (shift - PAGE_SHIFT);
        }
    }
}

static uint64_t own_pages(const struct count *count) { return count->user + count->windows + count->local; }

static void record(const struct process *process, const struct count *count) {
    bool irq = spin_lock_irq(&processes_lock);
    result.processes++;
    if (own_pages(count) > result.user + result.windows + result.local) {
        result.user = count->user;
        result.windows = count->windows;
        result.local = count->local;
        result.global = count->global;
        memcpy(result.name, process->name, sizeof result.name);
    }
    spin_unlock_irq(&processes_lock, irq);
}

void tally_process(void) {
    struct count count = {0};
    if (!__atomic_load_n(&counting, __ATOMIC_RELAXED))
        return;
    stop_others();
    count_table(&count, 4, 0);
    resume_others(NULL);
    record(process_current(), &count);
}

void tally_begin(void) {
    bool irq = spin_lock_irq(&processes_lock);
    result = (struct asi_tally){0};
    spin_unlock_irq(&processes_lock, irq);
    __atomic_store_n(&counting, true, __ATOMIC_RELAXED);
}

void tally_end(struct asi_tally *out) {
    __atomic_store_n(&counting, false, __ATOMIC_RELAXED);
    bool irq = spin_lock_irq(&processes_lock);
    *out = result;
    spin_unlock_irq(&processes_lock, irq);
}
