/*
 * Futexes: sleeping on a user word. A word is known by its user space and address, or, where it lies in a shared
 * mapping, by the object and the offset in it.
 */
#ifndef KERNEL_FUTEX_H
#define KERNEL_FUTEX_H

#include <stdbool.h>
#include <stdint.h>

#include "kernel/status.h"
#include "mm/types.h"

/* Once, at boot. */
void futex_init(void);

#define FUTEX_ANY_BITS UINT32_MAX

/*
 * Sleeps while the word is `expected`, until a wake with one of `bits`, or `deadline` (time_monotonic). `private`: the
 * word is known to be in private memory. ERR_WOULD_BLOCK (another value), ERR_TIMED_OUT, ERR_RESTART, ERR_FAULT,
 * ERR_INVALID (not aligned), ERR_NO_MEMORY.
 */
MUST_USE enum status futex_wait(vaddr_t word, bool private, uint32_t expected, uint64_t deadline, uint32_t bits);

/* Wakes up to `count` sleepers that have one of `bits`; *woken says how many. */
MUST_USE enum status futex_wake(vaddr_t word, bool private, unsigned count, uint32_t bits, unsigned *woken);

/*
 * Wakes `count` sleepers of `from` and makes up to `move` others sleep on `to`; with `expected` != NULL only while the
 * word is that (else ERR_WOULD_BLOCK). *affected: woken and moved.
 */
MUST_USE enum status futex_requeue(vaddr_t from, vaddr_t to, bool private, unsigned count, unsigned move,
                                   const uint32_t *expected, unsigned *affected);

/* A word that is waited for along with others. */
struct futex_wanted {
    vaddr_t word;
    uint32_t value;
    bool private;
};
#define FUTEX_WAITV_MAX 128

/*
 * Sleeps while each word has its value; *woken: one whose wake came. Errors as futex_wait(). `wanted` is kernel memory.
 */
MUST_USE enum status futex_wait_any(const struct futex_wanted *wanted, unsigned count, uint64_t deadline,
                                    unsigned *woken);

/* Bits of the word of a mutex that the kernel knows of: robust ones, and those with priority inheritance. */
#define FUTEX_WAITERS    0x80000000U
#define FUTEX_OWNER_DIED 0x40000000U
#define FUTEX_OWNER_MASK 0x3fffffffU

/*
 * A mutex whose word is its owner's id: locks it, for which the owner inherits the urgency of who waits. `attempt`: not
 * waiting (ERR_WOULD_BLOCK). ERR_DEADLOCK, ERR_NO_PROCESS (there is no such owner), ERR_NOT_PERMITTED (the kernel's),
 * ERR_TIMED_OUT, ERR_RESTART, ERR_FAULT, ERR_INVALID, ERR_NO_MEMORY.
 */
MUST_USE enum status futex_lock_pi(vaddr_t word, bool private, uint64_t deadline, bool attempt);

/* To the most urgent of those who wait, or free. ERR_NOT_PERMITTED (it is not the caller's), ERR_FAULT, ERR_INVALID. */
MUST_USE enum status futex_unlock_pi(vaddr_t word, bool private);

/* The calling thread ends, or its program does: mutexes that others wait for are theirs. */
void futex_pi_exit(void);

void futex_pi_init(void);

/*
 * The end of the calling thread: marks the robust mutexes that it holds, clears clear_child_tid and wakes who waits for
 * it. The user half must still be there. May sleep. Also for exec.
 */
void futex_thread_exit(void);

#endif
