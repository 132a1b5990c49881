/*
 * Taking translations away from every CPU that may have them.
 *
 * A CPU may have translations of the process whose root it has loaded, and of no other: a CR3 write drops the rest, or
 * leaves them under a tag, which is looked at before it is used again (docs/smp.md, docs/pcid.md). So each process has
 * the set of CPUs that have it loaded, and a process that runs on one CPU sends no interrupt.
 *
 * The order that makes this right: the entry is changed first, then the set is read; a CPU enters the set first and
 * loads the root then. Either the CPU is in the set, or it reads the new entry.
 *
 * A CPU that asks waits until all have done it, and does what others ask meanwhile. So does every CPU that spins for a
 * lock (arch/lock.c). Therefore all of these may be called with locks held and interrupts off.
 */
#ifndef MM_TLB_H
#define MM_TLB_H

#include "arch/paging.h"
#include "arch/smp.h"
#include "kernel/process.h"
#include "mm/tags.h"
#include "mm/types.h"

#define TLB_PAGES_MAX  32 /* of one request; more than that is TLB_EVERYTHING */
#define TLB_EVERYTHING (TLB_PAGES_MAX + 1)

/*
 * No CPU keeps a translation of the `count` pages in `process` (its user half, LOCAL, EPHMAP or page-table window);
 * with TLB_EVERYTHING of any. The entries were changed before.
 */
void tlb_flush(struct process *process, const vaddr_t *pages, unsigned count);

/* Of this CPU only. */
static inline void tlb_forget_counted(vaddr_t page) {
    tlb_forget(page);
    this_cpu->counters.page_flushes++;
}

/* The same for at most TLB_PAGES_MAX pages of GLOBAL, which every process has. */
void tlb_flush_global(const vaddr_t *pages, unsigned count);

/* Whether another CPU may have translations of the process. What the caller has changed is seen by one that joins. */
static inline bool tlb_is_shared(const struct process *process) {
    if (cpu_count == 1)
        return false;
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    const struct user_space *space = process->user_space;
    const bool lent = space != NULL && __atomic_load_n(&space->refs, __ATOMIC_RELAXED) > 1;
    return lent || (__atomic_load_n(&process->cpus, __ATOMIC_RELAXED) & ~(1UL << this_cpu->index)) != 0;
}

/* tlb_flush() for one page of the process that this CPU has loaded. */
static inline void tlb_flush_page(struct process *process, vaddr_t page) {
    if (tags_in_use || tlb_is_shared(process))
        tlb_flush(process, &page, 1);
    else
        tlb_forget_counted(page);
}

/*
 * Around a change of roots, interrupts off: the CPU is in the set of `to` before its root is loaded, and in that of
 * `from` until after.
 */
void tlb_enter(struct process *to);
void tlb_left(struct process *from);

/* Returns when no CPU has a root of the process loaded any more: it has no thread left, idle CPUs have borrowed it. */
void tlb_expel(struct process *process);

/* What other CPUs have asked of this one. From the interrupt, and while spinning. Any context but NMI. */
void tlb_serve(void);

/* Whether there is something: for loops that spin with interrupts off. */
bool tlb_is_asked(void);

#endif
