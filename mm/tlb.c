/*
 * Owns: requests between CPUs to forget translations, and the sets of CPUs that may have any.
 *
 * Invariant: REVOKE – when a request returns, no CPU has what it named. Page tables are freed only after such a
 * request, or when no CPU has the root loaded (tlb_expel).
 * Locks: none. A CPU has one request out at a time, with interrupts off; it is in requests[] until all have answered.
 * Space: any; everything here is GLOBAL: addresses and process pointers.
 */
#include "mm/tlb.h"

#include "arch/apic.h"
#include "arch/io.h"
#include "arch/paging.h"
#include "arch/transition.h"
#include "asi/asi.h"
#include "asi/mutant.h"
#include "asi/trust.h"
#include "kernel/assert.h"
#include "kernel/string.h"
#include "mm/paging.h"
#include "mm/tags.h"

struct request {
    struct process *process; /* NULL: pages of GLOBAL */
    unsigned count;          /* of page[], or TLB_EVERYTHING */
    uint64_t generation;     /* that it begins for the process: mm/tags.h */
    vaddr_t page[TLB_PAGES_MAX];
    uint64_t unanswered; /* a bit for each CPU that has not done it yet. Atomic */
};

/* Each on cache lines of its own: others spin on them. */
static struct request requests[CPU_MAX] __attribute__((aligned(64)));
static struct {
    uint64_t by; /* a bit for each CPU whose request waits for this one. Atomic */
} __attribute__((aligned(64))) asked[CPU_MAX];

static void flush_here(const vaddr_t *pages, unsigned count) {
    if (count > TLB_PAGES_MAX) {
        tlb_flush_all();
        return;
    }
    for (unsigned i = 0; i < count; i++)
        tlb_forget(pages[i]);
    this_cpu->counters.page_flushes += count;
}

/* --- Asking ------------------------------------------------------------------------------------------------------- */

static void interrupt_cpus(uint64_t targets, uint64_t self) {
    uint64_t sent = 0;
    for (uint64_t left = targets; left != 0; left &= left - 1) {
        unsigned target = (unsigned)__builtin_ctzl(left);
        if (__atomic_fetch_or(&asked[target].by, self, __ATOMIC_ACQ_REL) != 0)
            continue; /* an interrupt is on its way already */
        apic_send(target, VECTOR_SHOOTDOWN);
        sent++;
    }
    this_cpu->counters.shootdowns++;
    this_cpu->counters.ipis_sent += sent;
    counter_add(&process_current()->counters.shootdowns, 1);
    counter_add(&process_current()->counters.ipis_sent, sent);
}

/* Sends `what` to the CPUs in `targets`, which may contain the caller, and waits until all have answered. */
static void ask(const struct request *what, const vaddr_t *pages, uint64_t targets) {
    bool irq = irq_save();
    struct request *request = &requests[this_cpu->index];
    const uint64_t self = 1UL << this_cpu->index;
    targets &= ~self;
    if (targets != 0) {
        request->process = what->process;
        request->count = what->count;
        request->generation = what->generation;
        if (what->count <= TLB_PAGES_MAX)
            memcpy(request->page, pages, what->count * sizeof *pages);
        __atomic_store_n(&request->unanswered, targets, __ATOMIC_RELEASE);
        interrupt_cpus(targets, self);
        while (__atomic_load_n(&request->unanswered, __ATOMIC_ACQUIRE) != 0) {
            tlb_serve();
            cpu_relax();
        }
    }
    irq_restore(irq);
}

/* A user half that is lent is loaded with the roots of several processes. */
static uint64_t cpus_with(const struct process *process) {
    const struct user_space *space = process->user_space;
    if (space != NULL && __atomic_load_n(&space->refs, __ATOMIC_RELAXED) > 1)
        return cpus_running();
    return __atomic_load_n(&process->cpus, __ATOMIC_RELAXED);
}

void tlb_flush(struct process *process, const vaddr_t *pages, unsigned count) {
    const uint64_t generation = tags_new_generation(process);
    if (process == this_cpu->loaded) {
        flush_here(pages, count);
        tags_flushed(process, pages, count, generation);
    }
    if (tlb_is_shared(process) && !mutant(shootdown_forgotten))
        ask(&(struct request){.process = process, .count = count, .generation = generation}, pages, cpus_with(process));
}

void tlb_flush_global(const vaddr_t *pages, unsigned count) {
    ensure(count <= TLB_PAGES_MAX);
    flush_here(pages, count);
    tags_flushed_global();
    if (cpu_count > 1)
        ask(&(struct request){.count = count}, pages, cpus_running());
}

/* --- Answering ---------------------------------------------------------------------------------------------------- */

/* Idle has borrowed the space; whoever takes pages from it will do so again. */
static void give_borrowed_space_back(void) {
    struct process *process = this_cpu->loaded;
    tlb_enter(&kernel_process);
    this_cpu->loaded = &kernel_process;
    trust_note_left(process);
    const uint64_t root = tags_root(&kernel_process, this_cpu->space);
    asi_note_roots(cpu_self(), &kernel_process);
    transition_load(root);
    tlb_left(process);
}

static void answer(const struct request *request) {
    if (request->process == NULL) {
        flush_here(request->page, request->count);
        tags_flushed_global();
        return;
    }
    const struct process *loaded = this_cpu->loaded;
    const bool lent = loaded->user_space != NULL && loaded->user_space == request->process->user_space;
    if (loaded != request->process && !lent)
        return; /* it has been left since, and with its root its translations */
    if (this_cpu->current == this_cpu->idle && loaded != &kernel_process) {
        give_borrowed_space_back();
        return;
    }
    flush_here(request->page, request->count);
    if (loaded == request->process)
        tags_flushed(loaded, request->page, request->count, request->generation);
}

bool tlb_is_asked(void) { return __atomic_load_n(&asked[this_cpu->index].by, __ATOMIC_RELAXED) != 0; }

void tlb_serve(void) {
    const unsigned index = this_cpu->index;
    if (!tlb_is_asked())
        return;
    uint64_t by = __atomic_exchange_n(&asked[index].by, 0, __ATOMIC_ACQ_REL);
    for (; by != 0; by &= by - 1) {
        struct request *request = &requests[__builtin_ctzl(by)];
        bool irq = irq_save();
        answer(request);
        irq_restore(irq);
        __atomic_and_fetch(&request->unanswered, ~(1UL << index), __ATOMIC_RELEASE);
    }
}

/* --- The sets ----------------------------------------------------------------------------------------------------- */

void tlb_enter(struct process *to) {
    if (cpu_count > 1)
        __atomic_or_fetch(&to->cpus, 1UL << this_cpu->index, __ATOMIC_SEQ_CST);
}

void tlb_left(struct process *from) {
    if (cpu_count > 1)
        __atomic_and_fetch(&from->cpus, ~(1UL << this_cpu->index), __ATOMIC_RELEASE);
}

void tlb_expel(struct process *process) {
    if (cpu_count == 1)
        return;
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    uint64_t borrowers = __atomic_load_n(&process->cpus, __ATOMIC_ACQUIRE);
    if (borrowers != 0)
        ask(&(struct request){.process = process, .count = TLB_EVERYTHING}, NULL, borrowers);
    ensure(__atomic_load_n(&process->cpus, __ATOMIC_ACQUIRE) == 0);
}
