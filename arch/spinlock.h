/*
 * Spinlocks with ranks. A lock may be taken only while all locks held on this CPU have a lower rank (checked in debug
 * builds). Kernel code is not preempted, so a lock that no interrupt handler takes needs no interrupt flag; for the
 * others use the _irq pair.
 */
#ifndef ARCH_SPINLOCK_H
#define ARCH_SPINLOCK_H

#include <stdbool.h>
#include <stdint.h>

#include "kernel/lock_rank.h"

struct spinlock {
    uint32_t locked; /* atomic */
    uint32_t rank;   /* enum lock_rank, constant */
};

#define SPINLOCK_INIT(rank_)                                                                                           \
    { .locked = 0, .rank = (rank_) }

void spin_init(struct spinlock *lock, enum lock_rank rank);
void spin_until_taken(struct spinlock *lock);
#ifdef DEBUG
void spin_lock(struct spinlock *lock);
void spin_unlock(struct spinlock *lock);
#else
static inline void spin_lock(struct spinlock *lock) {
    if (__builtin_expect(__atomic_exchange_n(&lock->locked, 1, __ATOMIC_ACQUIRE), 0))
        spin_until_taken(lock);
}
static inline void spin_unlock(struct spinlock *lock) { __atomic_store_n(&lock->locked, 0, __ATOMIC_RELEASE); }
#endif

/*
 * A lock that is also shared: `sharers` counts those who have it so (atomic, 0 at first). Who wants it alone goes
 * first. spin_unlock() gives an exclusive lock back. Not in interrupt handlers.
 */
void spin_lock_shared(struct spinlock *lock, uint32_t *sharers);
void spin_unlock_shared(struct spinlock *lock, uint32_t *sharers);
void spin_lock_exclusive(struct spinlock *lock, const uint32_t *sharers);

/*
 * An interrupt handler orders its locks by itself, whatever the code holds that it interrupted: what either takes was
 * taken with interrupts off. So the ranks held are put aside while it runs. Nothing to do but in debug builds.
 */
#ifdef DEBUG
uint64_t lock_ranks_put_aside(void);
void lock_ranks_restore(uint64_t ranks); /* and the handler has released all it took */
#else
static inline uint64_t lock_ranks_put_aside(void) { return 0; }
static inline void lock_ranks_restore(uint64_t ranks) { (void)ranks; }
#endif

/* With interrupts off while held; returns what irq_restore() needs. */
bool spin_lock_irq(struct spinlock *lock);
void spin_unlock_irq(struct spinlock *lock, bool irq_was_on);

#endif
