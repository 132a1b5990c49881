/*
 * Random bytes for one process: a ChaCha20 generator (RFC 8439's block function), state LOCAL, seeded from RDRAND where
 * there is one and the TSC. A child reseeds before its first use.
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

/* Fills LOCAL memory or the caller's stack. Does not sleep. */
void random_bytes(void *to, size_t bytes);

#endif
