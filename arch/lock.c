/*
 * Spinlocks. In debug builds a CPU's held ranks are a bit set, and taking a lock of a rank not above all of them
 * panics. Any space; the locks lie in GLOBAL memory.
 */
#include "arch/spinlock.h"

#include <stddef.h>

#include "arch/cpu.h"
#include "arch/io.h"
#include "kernel/panic.h"
#include "mm/tlb.h"

_Static_assert(RANK_COUNT <= 64, "ranks are bits of one word");

void spin_init(struct spinlock *lock, enum lock_rank rank) {
    lock->locked = 0;
    lock->rank = rank;
}

#ifdef DEBUG
/* Before cpu_init() %gs leads nowhere, and messages are printed already. */
static bool ranks_are_kept(void) { return cpus[0].self != NULL; }
#endif

static inline void rank_take(const struct spinlock *lock) {
#ifdef DEBUG
    if (!ranks_are_kept())
        return;
    uint64_t held = this_cpu->locks_held;
    if (held >> lock->rank != 0)
        panic("a lock of rank %u is taken while those of the ranks %lx are held", lock->rank, held);
    this_cpu->locks_held |= 1UL << lock->rank;
#else
    (void)lock;
#endif
}

static inline void rank_drop(const struct spinlock *lock) {
#ifdef DEBUG
    if (!ranks_are_kept())
        return;
    this_cpu->locks_held &= ~(1UL << lock->rank);
#else
    (void)lock;
#endif
}

#ifdef DEBUG
uint64_t lock_ranks_put_aside(void) {
    uint64_t ranks = this_cpu->locks_held;
    this_cpu->locks_held = 0;
    return ranks;
}

void lock_ranks_restore(uint64_t ranks) {
    if (this_cpu->locks_held != 0)
        panic("an interrupt handler ends with locks of the ranks %lx held", this_cpu->locks_held);
    this_cpu->locks_held = ranks;
}
#endif

/* Interrupts may be off, and the holder may wait for this CPU's answer to a request: see mm/tlb.h. */
static __attribute__((noinline)) void spin_until_free(const struct spinlock *lock) {
    while (__atomic_load_n(&lock->locked, __ATOMIC_RELAXED)) {
        tlb_serve();
        cpu_relax();
    }
}

void spin_until_taken(struct spinlock *lock) {
    do
        spin_until_free(lock);
    while (__atomic_exchange_n(&lock->locked, 1, __ATOMIC_ACQUIRE));
}

#ifdef DEBUG
void spin_lock(struct spinlock *lock) {
    rank_take(lock);
    if (__atomic_exchange_n(&lock->locked, 1, __ATOMIC_ACQUIRE))
        spin_until_taken(lock);
}

void spin_unlock(struct spinlock *lock) {
    rank_drop(lock);
    __atomic_store_n(&lock->locked, 0, __ATOMIC_RELEASE);
}
#endif

void spin_lock_shared(struct spinlock *lock, uint32_t *sharers) {
    rank_take(lock);
    for (;;) {
        __atomic_fetch_add(sharers, 1, __ATOMIC_SEQ_CST); /* said before looking: see spin_lock_exclusive() */
        if (__builtin_expect(!__atomic_load_n(&lock->locked, __ATOMIC_ACQUIRE), 1))
            return;
        __atomic_fetch_sub(sharers, 1, __ATOMIC_RELEASE);
        spin_until_free(lock);
    }
}

void spin_unlock_shared(struct spinlock *lock, uint32_t *sharers) {
    rank_drop(lock);
    __atomic_fetch_sub(sharers, 1, __ATOMIC_RELEASE);
}

void spin_lock_exclusive(struct spinlock *lock, const uint32_t *sharers) {
    spin_lock(lock); /* a full barrier: either a sharer sees this, or its count is seen here */
    while (__builtin_expect(__atomic_load_n(sharers, __ATOMIC_ACQUIRE) != 0, 0)) {
        tlb_serve();
        cpu_relax();
    }
}

bool spin_lock_irq(struct spinlock *lock) {
    bool irq_was_on = irq_save();
    spin_lock(lock);
    return irq_was_on;
}

void spin_unlock_irq(struct spinlock *lock, bool irq_was_on) {
    spin_unlock(lock);
    irq_restore(irq_was_on);
}
