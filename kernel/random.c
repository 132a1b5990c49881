/*
 * Random bytes. Each process has a ChaCha20 generator of its own in LOCAL: no process learns anything of another's.
 *
 * After each block the key is replaced by half of it, so that a state that leaks does not give away what came before.
 * Lock: process.local_lock (rank HEAP). Runs in either space; class of all state and output: LOCAL or the caller's
 * stack.
 *
 * Without RDRAND the first seed is the TSC alone, which an attacker on the machine can guess, until the driver of a
 * random number device has brought another (random_seed.c): docs/security.md says so.
 */
#include "kernel/random.h"

#include "arch/cpu.h"
#include "arch/features.h"
#include "arch/spinlock.h"
#include "kernel/local.h"
#include "kernel/process.h"
#include "kernel/string.h"

enum { BLOCK_WORDS = 16, KEY_WORDS = 8, ROUNDS = 20, RDRAND_TRIES = 10 };

static uint32_t rotate(uint32_t value, unsigned bits) { return value << bits | value >> (32 - bits); }

static void quarter_round(uint32_t *x, unsigned a, unsigned b, unsigned c, unsigned d) {
    x[a] += x[b], x[d] = rotate(x[d] ^ x[a], 16);
    x[c] += x[d], x[b] = rotate(x[b] ^ x[c], 12);
    x[a] += x[b], x[d] = rotate(x[d] ^ x[a], 8);
    x[c] += x[d], x[b] = rotate(x[b] ^ x[c], 7);
}

/* The block function of RFC 8439, section 2.3; the nonce is zero, the counter 64 bits. */
static void chacha_block(const struct random_state *state, uint32_t out[BLOCK_WORDS]) {
    uint32_t start[BLOCK_WORDS] = {0x61707865, 0x3320646e, 0x79622d32, 0x6b206574};

    memcpy(start + 4, state->key, sizeof(state->key));
    start[12] = (uint32_t)state->counter;
    start[13] = (uint32_t)(state->counter >> 32);
    memcpy(out, start, sizeof(start));
    for (unsigned i = 0; i < ROUNDS; i += 2) {
        quarter_round(out, 0, 4, 8, 12);
        quarter_round(out, 1, 5, 9, 13);
        quarter_round(out, 2, 6, 10, 14);
        quarter_round(out, 3, 7, 11, 15);
        quarter_round(out, 0, 5, 10, 15);
        quarter_round(out, 1, 6, 11, 12);
        quarter_round(out, 2, 7, 8, 13);
        quarter_round(out, 3, 4, 9, 14);
    }
    for (unsigned i = 0; i < BLOCK_WORDS; i++)
        out[i] += start[i];
}

/* The next KEY_WORDS words of output. */
static void next_block(struct random_state *state, uint32_t out[KEY_WORDS]) {
    uint32_t block[BLOCK_WORDS];

    chacha_block(state, block);
    state->counter++;
    memcpy(state->key, block, sizeof(state->key));
    memcpy(out, block + KEY_WORDS, KEY_WORDS * sizeof(*out));
}

__attribute__((target("rdrnd"))) static uint64_t hardware_random(void) {
    unsigned long long value = 0;

    if (cpu_features.rdrand) {
        for (unsigned i = 0; i < RDRAND_TRIES && !__builtin_ia32_rdrand64_step(&value); i++)
            continue;
    }
    return value;
}

/* The key that came from the parent stays in the mix: a child is never seeded worse than its parent. */
static void reseed(struct random_state *state, uint32_t owner) {
    uint32_t discarded[KEY_WORDS];

    for (unsigned i = 0; i < KEY_WORDS; i += 2) {
        uint64_t word = hardware_random() ^ __builtin_ia32_rdtsc() * 0x9e3779b97f4a7c15;
        state->key[i] ^= (uint32_t)word;
        state->key[i + 1] ^= (uint32_t)(word >> 32);
    }
    state->counter ^= (uint64_t)owner << 32;
    state->owner = owner;
    next_block(state, discarded);
}

/* The caller's key moves on behind what it gives away, and does not follow from it. */
void random_split(struct random_state *child) {
    struct random_state *state = &LOCAL->random;

    if (state->owner != process_current()->id)
        reseed(state, process_current()->id);
    *child = (struct random_state){.owner = 0};
    next_block(state, child->key);
}

void random_stir(struct random_state *state, const uint32_t seed[KEY_WORDS], uint64_t which) {
    struct random_state source = {.counter = which};
    uint32_t block[KEY_WORDS];

    memcpy(source.key, seed, sizeof(source.key));
    next_block(&source, block);
    for (unsigned i = 0; i < KEY_WORDS; i++)
        state->key[i] ^= block[i];
}

void random_bytes(void *to, size_t bytes) {
    struct process *process = process_current();
    struct random_state *state = &LOCAL->random;
    uint8_t *out = to;

    while (bytes > 0) {
        uint32_t block[KEY_WORDS];
        size_t part = bytes < sizeof(block) ? bytes : sizeof(block);

        spin_lock(&process->local_lock);
        if (state->owner != process->id)
            reseed(state, process->id);
        next_block(state, block);
        spin_unlock(&process->local_lock);
        memcpy(out, block, part);
        out += part;
        bytes -= part;
    }
}
