/*
 * Random bytes for one process: a ChaCha20 generator (RFC 8439's block function), state LOCAL. Its key comes from the
 * parent's generator, and from RDRAND where there is one, the TSC, and what a device's driver seeds.
 */
#ifndef KERNEL_RANDOM_H
#define KERNEL_RANDOM_H

#include <stddef.h>
#include <stdint.h>

struct random_state {
    uint32_t key[8];
    uint64_t counter;
    uint32_t owner; /* process id it was seeded for; another: reseed */
};

/* At fork: a generator for a child, which tells it nothing of the caller's. process.local_lock held. */
void random_split(struct random_state *child);

#define RANDOM_SEED_BYTES 32U

/*
 * Mixes a seed into the generator of every process, differently in each. The seed is in LOCAL memory or on the caller's
 * stack. Stops the other CPUs and leaves the restricted space: it writes what no process may see. No lock held.
 */
void random_seed(const uint8_t seed[RANDOM_SEED_BYTES]);

/* Mixes a seed into one generator; another `which`, another mixture. */
void random_stir(struct random_state *state, const uint32_t seed[8], uint64_t which);

/* Fills LOCAL memory or the caller's stack. Does not sleep. */
void random_bytes(void *to, size_t bytes);

#endif
