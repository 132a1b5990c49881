/*
 * What a futex word is known by, and the lock of all futexes. Internal to kernel/futex*.c.
 */
#ifndef KERNEL_FUTEX_KEY_H
#define KERNEL_FUTEX_KEY_H

#include "arch/spinlock.h"
#include "kernel/futex.h"

struct memory_object;

/* Class GLOBAL. */
struct futex_key {
    const void *space; /* struct user_space or struct memory_object; the sleeper keeps it from going away */
    uint64_t offset;   /* offset in the object, or user address ^ address_secret */
};

extern struct spinlock futex_lock; /* rank FUTEX: one for all, because a requeue needs two buckets at once */

/*
 * *object: NULL, or a reference that keeps the key meaningful, to be dropped by futex_key_put(). ERR_INVALID (not
 * aligned), ERR_FAULT.
 */
MUST_USE enum status futex_key_get(vaddr_t word, bool private, struct futex_key *key, struct memory_object **object);
void futex_key_put(struct memory_object *object);

static inline bool futex_key_same(struct futex_key a, struct futex_key b) {
    return a.space == b.space && a.offset == b.offset;
}

/* 0 to 255. */
static inline unsigned futex_key_hash(struct futex_key key) {
    return (unsigned)((((uint64_t)key.space >> 4 ^ key.offset >> 2) * 0x9e3779b97f4a7c15) >> 56);
}

/* With futex_lock held: ERR_FAULT instead of bringing the page in. */
MUST_USE enum status futex_load_held(vaddr_t word, uint32_t *value);
MUST_USE enum status futex_exchange_held(vaddr_t word, uint32_t expected, uint32_t desired, uint32_t *old);

#endif
