/*
 * Owns: for each root under each tag of each CPU, the translations that are to be flushed there. Debug builds only.
 *
 * Invariant: REVOKE, as mm/tags.c keeps it. Entries that are cleared or weakened enter the lists of every tag that has
 * the process; invlpg, INVPCID and loads that flush take them out; a load that keeps must find the list empty. Nothing
 * here looks at generations.
 * What may stay in a list: a scratch view put back, whose slot is not used again before its flush (mm/ephmap.c); and
 * what is in the list when a process leaves its restricted space, perhaps between clearing an entry and its flush. With
 * several CPUs a process may be loaded while another CPU is at work on it and has not asked for its flush yet; so only
 * loads of a process that no other CPU has are judged, and only what a process does to itself is noted.
 * Classic's user root is not looked at: entry code loads it.
 * Locks: one of its own, unranked, for it is taken below all others. Space: any; GLOBAL: addresses.
 */
#include "mm/tag_check.h"

#include "arch/cpu.h"
#include "arch/io.h"
#include "kernel/panic.h"
#include "kernel/process.h"
#include "mm/ephmap.h"
#include "mm/tlb.h"

#if TAG_CHECK

#define OWED_MAX (2 * TLB_PAGES_MAX)
#define TOO_MANY (OWED_MAX + 1)

/* Of one root under one tag: the translations that are to be flushed before it is kept. */
struct owed {
    unsigned count; /* of page[], or TOO_MANY: only a flush of everything helps */
    vaddr_t page[OWED_MAX];
};

static struct shadow {
    uint64_t serial;
    const struct user_space *user_space; /* compared, never followed */
    struct owed owed[TAG_CHECK_ROOTS];
} shadows[CPU_MAX][TAG_CHECK_TAGS];
static struct { unsigned tag, root; } loaded[CPU_MAX];
static bool locked;

static bool lock(void) {
    bool irq = irq_save();
    while (__atomic_exchange_n(&locked, true, __ATOMIC_ACQUIRE))
        cpu_relax();
    return irq;
}

static void unlock(bool irq) {
    __atomic_store_n(&locked, false, __ATOMIC_RELEASE);
    irq_restore(irq);
}

static void owe(struct owed *owed, vaddr_t page) {
    if (owed->count == TOO_MANY)
        return;
    for (unsigned i = 0; i < owed->count; i++)
        if (owed->page[i] == page)
            return;
    if (owed->count < OWED_MAX)
        owed->page[owed->count] = page;
    owed->count++;
}

static void settle(struct owed *owed, vaddr_t page) {
    for (unsigned i = 0; owed->count != TOO_MANY && i < owed->count; i++)
        if (owed->page[i] == page)
            owed->page[i] = owed->page[--owed->count];
}

static bool has(const struct shadow *shadow, const struct process *process, vaddr_t page) {
    const bool lent = page < USER_END && process->user_space != NULL && shadow->user_space == process->user_space;
    return shadow->serial != 0 && (shadow->serial == process->roots.serial || lent);
}

void tag_check_weakened(const struct process *process, vaddr_t page) {
    if (cpu_count > 1 && process != this_cpu->loaded)
        return;
    bool irq = lock();
    for (unsigned cpu = 0; cpu < cpu_count; cpu++)
        for (struct shadow *shadow = shadows[cpu]; shadow < shadows[cpu] + TAG_CHECK_TAGS; shadow++)
            for (unsigned root = 0; root < TAG_CHECK_ROOTS && has(shadow, process, page); root++)
                owe(&shadow->owed[root], page & ~(PAGE_SIZE - 1));
    unlock(irq);
}

/* A scratch view's slot that is not to be used before it is flushed. */
static bool waits_for_flush(vaddr_t page) {
    if (page < EPHMAP_SCRATCH_BASE || page >= EPHMAP_SCRATCH_BASE + PAGE_DIRECTORY_SPAN)
        return false;
    const uint64_t slot = (page - EPHMAP_SCRATCH_BASE) / PAGE_SIZE;
    return cpus[slot / EPHMAP_SCRATCH_SLOTS].scratch_pending >> slot % EPHMAP_SCRATCH_SLOTS & 1;
}

/* A page that may not be kept; 0 if there is none, UINT64_MAX if there are many. */
static vaddr_t offence(const struct owed *owed, bool own_half) {
    if (owed->count == TOO_MANY)
        return UINT64_MAX;
    for (unsigned i = 0; i < owed->count; i++)
        if (!waits_for_flush(owed->page[i]) && (own_half || owed->page[i] >= USER_END))
            return owed->page[i];
    return 0;
}

void tag_check_load(const struct process *process, unsigned tag, unsigned root, bool keep) {
    bool irq = lock();
    const unsigned cpu = this_cpu->index;
    struct shadow *shadow = &shadows[cpu][tag];
    const uint64_t serial = process->roots.serial;
    const bool own_half = shadow->user_space == process->user_space; /* an exec may have put another in its place */
    const bool leaves = root == SPACE_UNRESTRICTED && shadows[cpu][loaded[cpu].tag].serial == serial;
    const bool shared = cpu_count > 1 && (process->cpus & ~(1UL << cpu)) != 0;
    const bool recycled = keep && shadow->serial != serial;
    const vaddr_t page = keep && !leaves && !shared ? offence(&shadow->owed[root], own_half) : 0;
    shadow->serial = serial;
    shadow->user_space = process->user_space;
    if (!keep)
        shadow->owed[root].count = 0;
    loaded[cpu].tag = tag;
    loaded[cpu].root = root;
    unlock(irq);
    if (recycled)
        panic("tag check: tag %u is kept for process %u, and was another's", tag, process->id);
    if (page != 0)
        panic("tag check: tag %u is kept for process %u with a stale translation of %s%#lx", tag, process->id,
              page == UINT64_MAX ? "more than can be named: " : "", (unsigned long)page);
}

void tag_check_forget(vaddr_t page) {
    const unsigned cpu = this_cpu->index;
    tag_check_forget_in(loaded[cpu].tag, loaded[cpu].root, page);
}

void tag_check_forget_in(unsigned tag, unsigned root, vaddr_t page) {
    if (root >= TAG_CHECK_ROOTS)
        return;
    bool irq = lock();
    settle(&shadows[this_cpu->index][tag].owed[root], page & ~(PAGE_SIZE - 1));
    unlock(irq);
}

void tag_check_forget_all(void) {
    bool irq = lock();
    const unsigned cpu = this_cpu->index;
    shadows[cpu][loaded[cpu].tag].owed[loaded[cpu].root].count = 0;
    unlock(irq);
}

#endif
