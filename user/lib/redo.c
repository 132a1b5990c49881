/*
 * The log of changes: a word that says how many bytes of entries are valid, then the entries, each 8-byte aligned.
 *
 * What protects it against a kill is the order of stores, which on x86 other processes see as the program made them;
 * the compiler is held to it by fences. Guards: see redo.h.
 */
#include "user/lib/redo.h"

#include <stdatomic.h>
#include <string.h>

struct entry {
    uint64_t where, length; /* from the beginning of the memory */
    uint8_t bytes[];
};

static size_t rounded(size_t length) { return (length + 7) & ~(size_t)7; }

static _Atomic uint64_t *valid_bytes(struct redo *redo) {
    return (_Atomic uint64_t *)(void *)(redo->memory + redo->log);
}

static uint8_t *entries(struct redo *redo) { return redo->memory + redo->log + sizeof(uint64_t); }

static void carry_out(struct redo *redo) {
    size_t end = atomic_load(valid_bytes(redo));
    for (size_t at = 0; at + sizeof(struct entry) <= end && end <= redo->room;) {
        const struct entry *entry = (const void *)(entries(redo) + at);
        if (entry->length > redo->size || entry->where > redo->size - entry->length) {
            break;
        }
        memcpy(redo->memory + entry->where, entry->bytes, entry->length);
        at += sizeof *entry + rounded(entry->length);
    }
    atomic_store(valid_bytes(redo), 0);
}

void redo_open(struct redo *redo, void *memory, size_t size, size_t offset, size_t bytes) {
    *redo = (struct redo){.memory = memory, .size = size, .log = offset, .room = bytes - sizeof(uint64_t)};
    carry_out(redo);
}

bool redo_put(struct redo *redo, void *where, const void *bytes, size_t length) {
    size_t place = (size_t)((uint8_t *)where - redo->memory), needed = sizeof(struct entry) + rounded(length);
    if (needed > redo->room - redo->written || length > redo->size || place > redo->size - length) {
        return false;
    }
    struct entry *entry = (void *)(entries(redo) + redo->written);
    entry->where = place;
    entry->length = length;
    memcpy(entry->bytes, bytes, length);
    redo->written += needed;
    return true;
}

void redo_commit(struct redo *redo) {
    atomic_store(valid_bytes(redo), redo->written);
    redo->written = 0;
    carry_out(redo);
}

void redo_drop(struct redo *redo) { redo->written = 0; }
