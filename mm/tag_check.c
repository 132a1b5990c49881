/*
 * Owns: for each PCID of each CPU, the translations that it is owed a flush of. Debug builds only.
 *
 * Invariant: REVOKE, as mm/tags.c keeps it. Entries that are cleared or weakened enter the list of every PCID that has
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

#define PCIDS    24 /* more than mm/tags.c uses */
#define OWED_MAX (2 * TLB_PAGES_MAX)
#define TOO_MANY (OWED_MAX + 1)

static struct shadow {
    uint64_t serial;
    const struct user_space *user_space; /* compared, never followed */
    unsigned owed;                       /* of page[], or TOO_MANY: only a flush of everything helps */
    vaddr_t page[OWED_MAX];
} shadows[CPU_MAX][PCIDS];
static unsigned loaded[CPU_MAX]; /* the PCID in use */
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

static void owe(struct shadow *shadow, vaddr_t page) {
    for (unsigned i = 0; i < shadow->owed && i < OWED_MAX; i++)
        if (shadow->page[i] == page)
            return;
    if (shadow->owed < OWED_MAX)
        shadow->page[shadow->owed] = page;
    if (shadow->owed < TOO_MANY)
        shadow->owed++;
}

static void settle(struct shadow *shadow, vaddr_t page) {
    for (unsigned i = 0; shadow->owed <= OWED_MAX && i < shadow->owed; i++)
        if (shadow->page[i] == page)
            shadow->page[i] = shadow->page[--shadow->owed];
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
        for (unsigned id = 0; id < PCIDS; id++)
            if (has(&shadows[cpu][id], process, page))
                owe(&shadows[cpu][id], page & ~(PAGE_SIZE - 1));
    unlock(irq);
}

/* A scratch view's slot that is not to be used before it is flushed. */
static bool waits_for_flush(vaddr_t page) {
    if (page < EPHMAP_SCRATCH_BASE || page >= EPHMAP_SCRATCH_BASE + PAGE_DIRECTORY_SPAN)
        return false;
    const uint64_t slot = (page - EPHMAP_SCRATCH_BASE) / PAGE_SIZE;
    return cpus[slot / EPHMAP_SCRATCH_SLOTS].scratch_pending >> slot % EPHMAP_SCRATCH_SLOTS & 1;
}

/* A page that may not be kept, or 0. */
static vaddr_t offence(const struct shadow *shadow, const struct process *process) {
    const bool own_half = shadow->user_space == process->user_space; /* an exec may have put another in its place */
    if (shadow->owed > OWED_MAX)
        return UINT64_MAX;
    for (unsigned i = 0; i < shadow->owed; i++)
        if (!waits_for_flush(shadow->page[i]) && (own_half || shadow->page[i] >= USER_END))
            return shadow->page[i];
    return 0;
}

void tag_check_load(const struct process *process, unsigned pcid, bool unrestricted, bool keep) {
    bool irq = lock();
    struct shadow *shadow = &shadows[this_cpu->index][pcid];
    const bool exits =
        unrestricted && shadows[this_cpu->index][loaded[this_cpu->index]].serial == process->roots.serial;
    const bool others = cpu_count > 1 && (process->cpus & ~(1UL << this_cpu->index)) != 0;
    const bool another = shadow->serial != process->roots.serial;
    const vaddr_t page = keep && !exits && !others ? offence(shadow, process) : 0;
    shadow->serial = process->roots.serial;
    shadow->user_space = process->user_space;
    if (!keep)
        shadow->owed = 0;
    loaded[this_cpu->index] = pcid;
    unlock(irq);
    if (keep && another)
        panic("tag check: PCID %u is kept for process %u, and was another's", pcid, process->id);
    if (page != 0)
        panic("tag check: PCID %u is kept for process %u with %s%#lx", pcid, process->id,
              page == UINT64_MAX ? "more stale translations than can be named " : "a stale translation of ",
              (unsigned long)page);
}

void tag_check_forget(vaddr_t page) { tag_check_forget_in(loaded[this_cpu->index], page); }

void tag_check_forget_in(unsigned pcid, vaddr_t page) {
    bool irq = lock();
    settle(&shadows[this_cpu->index][pcid], page & ~(PAGE_SIZE - 1));
    unlock(irq);
}

void tag_check_forget_all(void) {
    bool irq = lock();
    struct shadow *shadow = &shadows[this_cpu->index][loaded[this_cpu->index]];
    shadow->owed = 0;
    unlock(irq);
}

#endif
