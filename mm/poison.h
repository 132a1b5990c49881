/*
 * Poison for freed chunks of the two heaps, in debug builds: what is written to a chunk after it was freed, and a chunk
 * that is freed twice, is the kernel's end, with the heap, size and address. In release builds nothing is done.
 *
 * The first word of a free chunk is the heap's own (the list); the words behind it hold the poison, which is odd and no
 * canonical address: whoever follows a pointer that he reads there is told of a misaligned object, or faults. Only
 * chunks in pages that stay with their heap are poisoned: a page that leaves it is all zero (CLEAN).
 */
#ifndef MM_POISON_H
#define MM_POISON_H

#include <stddef.h>

#ifdef DEBUG

#include <stdbool.h>
#include <stdint.h>

#include "kernel/panic.h"
#include "kernel/string.h"

#define POISON 0xdeadf4ee0ddba115UL

/* The word of the chunk, but for the first, that is not poison, or `bytes` when there is none. */
static inline size_t poison_broken_at(const void *chunk, size_t bytes) {
    const uint64_t *word = chunk;
    size_t i = 1;
    while (i < bytes / sizeof *word && word[i] == POISON)
        i++;
    return i * sizeof *word;
}

/* A chunk that has never been in use. `bytes`: its whole size, a multiple of 8, at least 16. */
static inline void poison_fresh(void *chunk, size_t bytes) {
    uint64_t *word = chunk;
    for (size_t i = 1; i < bytes / sizeof *word; i++)
        word[i] = POISON;
}

/* A chunk is being freed. */
static inline void poison_put(void *chunk, size_t bytes, const char *heap) {
    if (poison_broken_at(chunk, bytes) == bytes)
        panic("%s heap: a chunk of %lu bytes at %p is freed twice", heap, bytes, chunk);
    poison_fresh(chunk, bytes);
}

/* A chunk has been taken off its list to be handed out; it is all zero after this. */
static inline void poison_take(void *chunk, size_t bytes, const char *heap) {
    size_t broken = poison_broken_at(chunk, bytes);
    if (broken < bytes)
        panic("%s heap: a chunk of %lu bytes at %p was written to, at byte %lu, after it was freed", heap, bytes, chunk,
              broken);
    memset(chunk, 0, bytes);
}

#else

static inline void poison_fresh(void *chunk, size_t bytes) { (void)chunk, (void)bytes; }
static inline void poison_put(void *chunk, size_t bytes, const char *heap) { (void)chunk, (void)bytes, (void)heap; }
static inline void poison_take(void *chunk, size_t bytes, const char *heap) { (void)chunk, (void)bytes, (void)heap; }

#endif

#endif
