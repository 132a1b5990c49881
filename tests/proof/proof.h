/*
 * What the proofs share: exhaustive search over the states that kernel code can reach. A state is a short row of bytes
 * that the proof packs and unpacks; the search takes each state once, applies each operation, and stops at the first
 * check that fails. No bound on the length of a sequence: when no new state turns up, all are covered.
 */
#ifndef TESTS_PROOF_PROOF_H
#define TESTS_PROOF_PROOF_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define STATE_BYTES 48

struct state {
    unsigned char byte[STATE_BYTES]; /* those not used are zero */
};

/* What is being done, for the message of a check that fails. */
extern const char *proof_operation;

_Noreturn void proof_failed(const char *file, int line, const char *what);

#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition))                                                                                              \
            proof_failed(__FILE__, __LINE__, #condition);                                                              \
    } while (0)

/* Adds a state to the search, unless it was there already. */
void search_add(const struct state *state);

/* Takes every state once: expand() adds those that follow. Returns how many there were. */
size_t search_run(void (*expand)(const struct state *state));

/* Memory at a fixed address, all zero. */
void map_memory(uint64_t address, size_t bytes);

/* Runs `operation` and returns whether it ended in the kernel's panic(). */
bool panics(void (*operation)(void));

#endif
