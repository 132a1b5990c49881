/*
 * The memory in which memfs keeps all it knows: cells of one size, changed only by whole changes.
 *
 * It is a memory object that init holds, too, so it outlives the process; a new one opens it and goes on. A change is
 * put together in copies of the cells that it touches, which state_edit() makes and state_cell() finds; state_commit()
 * carries it out, all of it whenever the process is killed (user/lib/redo.h), state_drop() forgets it. Cells are known
 * by their numbers; 0 is none.
 *
 * One thread at a time, by the caller's lock.
 */
#ifndef USER_MEMFS_STATE_H
#define USER_MEMFS_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernel/fs_abi.h"
#include "user/lib/redo.h"

enum {
    CELL_BYTES = 128,
    TEXT_BYTES = CELL_BYTES - 8,
    NAME_IN_ENTRY = 78, /* bytes; what is longer goes on in text cells */
    FIRST_ANSWER = 1,   /* of as many as changes may be under way */
    ROOT_NODE = FIRST_ANSWER + FS_CHANGES_MAX,
    FIRST_FREE = ROOT_NODE + 1,
};

enum cell_kind { CELL_FREE, CELL_HEADER, CELL_ANSWER, CELL_NODE, CELL_ENTRY, CELL_TEXT };

struct header {
    uint32_t kind;
    uint32_t used;             /* cells from here on hold nothing */
    uint32_t free, free_count; /* list of those before that hold nothing either */
    uint32_t nodes;
    uint32_t filled; /* 1: what the archive had is in */
    uint64_t seed;   /* of the names' hashes: nobody can choose names that meet */
    uint64_t magic;
};

/* What a call was answered that changed something. */
struct answer {
    uint32_t kind;
    uint64_t request; /* 0: none yet */
    struct fs_reply reply;
};

struct node {
    uint32_t kind;
    uint32_t text;              /* of a symbolic link: its target */
    uint32_t parent;            /* of a directory */
    uint32_t first, last, tree; /* of a directory: entries in the order they came; a tree by the hash of their names */
    uint32_t count;             /* … how many */
    uint64_t position;          /* … of the last that came */
    struct fs_attributes attributes;
};

struct entry {
    uint32_t kind;
    uint32_t directory, node;
    uint32_t child[2];       /* in the tree */
    uint32_t previous, next; /* in the order they came */
    uint32_t text;
    uint64_t hash, position;
    uint16_t length;
    char name[NAME_IN_ENTRY];
};

struct text {
    uint32_t kind, next;
    char bytes[TEXT_BYTES];
};

union cell {
    struct {
        uint32_t kind, next, previous;
    } free;
    struct header header;
    struct answer answer;
    struct node node;
    struct entry entry;
    struct text text;
    uint8_t bytes[CELL_BYTES];
};

_Static_assert(sizeof(union cell) == CELL_BYTES, "cells are of one size");

enum { EDITS_MAX = 128 };

struct state;

/*
 * Gives memory to the bytes of the object from `from` up to `to`; or, where `to` is less, takes it from what is behind
 * `to`. False: there is none.
 */
typedef bool state_size_to(struct state *state, uint64_t from, uint64_t to);

struct state {
    union cell *cells;
    struct redo redo;
    uint64_t room;  /* how many cells there can ever be */
    uint64_t ready; /* cells that have memory behind them */
    state_size_to *size_to;
    int object;     /* for size_to() */
    unsigned edits; /* cells of the change that is being put together */
    uint32_t edited[EDITS_MAX];
    union cell copies[EDITS_MAX];
    bool failed; /* no memory, or too large a change: it cannot be committed */
};

/* How many bytes of memory are needed for so many cells; most of it need not be there. */
size_t state_size(uint64_t cells);

/* Finishes what was valid; makes a root if the memory is new. False: no memory. `seed`: random, for a new one. */
bool state_open(struct state *state, void *memory, uint64_t cells, uint64_t seed, state_size_to *size_to, int object);

/* To read, as the change so far has it. NULL: not a cell in use of that kind. Stays valid until the next edit of it. */
const union cell *state_cell(const struct state *state, uint64_t number, enum cell_kind kind);
/* To write. Of a cell that is there. */
union cell *state_edit(struct state *state, uint32_t number);

/* A new one, all zero but its kind. 0: no memory, and the change has failed. */
uint32_t state_take(struct state *state, enum cell_kind kind);
void state_give(struct state *state, uint32_t number);

/* A chain of text cells. 0 with `length` > 0: no memory. */
uint32_t state_take_text(struct state *state, const char *bytes, size_t length);
void state_give_text(struct state *state, uint32_t number);
void state_read_text(const struct state *state, uint32_t number, char *bytes, size_t length);

/*
 * Free cells at the end are given up, some at a time, and at last the memory behind them. True: there may be more. When
 * no change is being put together.
 */
bool state_tidy(struct state *state);
bool state_is_tidy(const struct state *state);

/* False: it had failed, nothing was changed. */
bool state_commit(struct state *state);
void state_drop(struct state *state);

#endif
