/*
 * Cells, the list of free ones, and changes. See state.h. The log of the change lies behind a page's worth of nothing
 * at the beginning, the cells behind it: both places are fixed, so that what was written by one process is understood
 * by the next.
 */
#include "user/memfs/state.h"

#include <string.h>
#include <sys/stat.h>

enum { LOG_BYTES = 32768, GROWTH = 16384, TIDY_CELLS = 32 };

#define MAGIC 0x31736674656d6d65ULL

static uint64_t offset_of(uint64_t cell) { return LOG_BYTES + cell * CELL_BYTES; }

static bool ensure_ready(struct state *state, uint64_t cells) {
    while (state->ready < cells) {
        uint64_t from = offset_of(state->ready), to = (from / GROWTH + 1) * GROWTH;
        if (!state->size_to(state, from, to)) {
            return false;
        }
        state->ready += (to - from) / CELL_BYTES;
    }
    return true;
}

size_t state_size(uint64_t cells) { return offset_of(cells); }

/* A state without its magic number was not made to the end: it is made again. */
static bool make_new(struct state *state, uint64_t seed) {
    state->ready = 0;
    if (!state->size_to(state, 0, LOG_BYTES) || !ensure_ready(state, FIRST_FREE)) {
        return false;
    }
    memset(state->cells, 0, FIRST_FREE * sizeof *state->cells);
    for (unsigned i = 0; i < FS_CHANGES_MAX; i++) {
        state->cells[FIRST_ANSWER + i].answer.kind = CELL_ANSWER;
    }
    struct node *root = &state->cells[ROOT_NODE].node;
    root->kind = CELL_NODE;
    root->parent = ROOT_NODE;
    root->attributes = (struct fs_attributes){.node = ROOT_NODE, .mode = S_IFDIR | 0755, .links = 2};
    union cell first = {.header = {.kind = CELL_HEADER, .used = FIRST_FREE, .nodes = 1, .seed = seed, .magic = MAGIC}};
    return redo_put(&state->redo, &state->cells[0], &first, sizeof first) && (redo_commit(&state->redo), true);
}

bool state_open(struct state *state, void *memory, uint64_t cells, uint64_t seed, state_size_to *size_to, int object) {
    *state = (struct state){.cells = (void *)((uint8_t *)memory + LOG_BYTES),
                            .room = cells < UINT32_MAX ? cells : UINT32_MAX,
                            .size_to = size_to,
                            .object = object};
    redo_open(&state->redo, memory, state_size(cells), 0, LOG_BYTES);
    const struct header *header = &state->cells[0].header;
    if (header->magic != MAGIC) {
        return make_new(state, seed);
    }
    state->ready = header->used;
    return true;
}

/* The copy of a cell that the change has; NULL: it does not touch it. */
static union cell *copy_of(const struct state *state, uint64_t number) {
    for (unsigned i = 0; i < state->edits; i++) {
        if (state->edited[i] == number) {
            return (union cell *)(uintptr_t)&state->copies[i];
        }
    }
    return NULL;
}

const union cell *state_cell(const struct state *state, uint64_t number, enum cell_kind kind) {
    const union cell *cell = copy_of(state, number);
    if (cell == NULL && number >= state->cells[0].header.used) {
        return NULL;
    }
    cell = cell != NULL ? cell : &state->cells[number];
    return cell->free.kind == kind ? cell : NULL;
}

/* Where there is no room for another copy the change has failed: what is written then goes nowhere. */
static union cell *new_copy(struct state *state, uint32_t number) {
    static union cell nowhere;
    if (state->edits == EDITS_MAX) {
        state->failed = true;
        return &nowhere;
    }
    state->edited[state->edits] = number;
    return &state->copies[state->edits++];
}

union cell *state_edit(struct state *state, uint32_t number) {
    union cell *copy = copy_of(state, number);
    if (copy == NULL) {
        copy = new_copy(state, number);
        *copy = state->cells[number];
    }
    return copy;
}

static void take_from_free(struct state *state, uint32_t number) {
    struct header *header = &state_edit(state, 0)->header;
    uint32_t next = state_cell(state, number, CELL_FREE)->free.next;
    uint32_t previous = state_cell(state, number, CELL_FREE)->free.previous;
    if (previous != 0) {
        state_edit(state, previous)->free.next = next;
    } else {
        header->free = next;
    }
    if (next != 0) {
        state_edit(state, next)->free.previous = previous;
    }
    header->free_count--;
}

uint32_t state_take(struct state *state, enum cell_kind kind) {
    struct header *header = &state_edit(state, 0)->header;
    uint32_t number = header->free;
    union cell *cell;
    if (number != 0) {
        take_from_free(state, number);
        cell = state_edit(state, number);
    } else if (header->used < state->room && ensure_ready(state, header->used + 1ULL)) {
        number = header->used++;
        cell = new_copy(state, number);
    } else {
        state->failed = true;
        return 0;
    }
    memset(cell, 0, sizeof *cell);
    cell->free.kind = kind;
    return number;
}

void state_give(struct state *state, uint32_t number) {
    struct header *header = &state_edit(state, 0)->header;
    union cell *cell = state_edit(state, number);
    memset(cell, 0, sizeof *cell);
    cell->free.kind = CELL_FREE;
    cell->free.next = header->free;
    if (header->free != 0) {
        state_edit(state, header->free)->free.previous = number;
    }
    header->free = number;
    header->free_count++;
}

uint32_t state_take_text(struct state *state, const char *bytes, size_t length) {
    uint32_t first = 0, last = 0;
    for (size_t at = 0; at < length; at += TEXT_BYTES) {
        uint32_t number = state_take(state, CELL_TEXT);
        if (number == 0) {
            return 0;
        }
        size_t part = length - at < TEXT_BYTES ? length - at : TEXT_BYTES;
        memcpy(state_edit(state, number)->text.bytes, bytes + at, part);
        if (last != 0) {
            state_edit(state, last)->text.next = number;
        } else {
            first = number;
        }
        last = number;
    }
    return first;
}

void state_give_text(struct state *state, uint32_t number) {
    const union cell *cell;
    while ((cell = state_cell(state, number, CELL_TEXT)) != NULL) {
        uint32_t next = cell->text.next;
        state_give(state, number);
        number = next;
    }
}

void state_read_text(const struct state *state, uint32_t number, char *bytes, size_t length) {
    const union cell *cell;
    for (size_t at = 0; at < length && (cell = state_cell(state, number, CELL_TEXT)) != NULL; at += TEXT_BYTES) {
        memcpy(bytes + at, cell->text.bytes, length - at < TEXT_BYTES ? length - at : TEXT_BYTES);
        number = cell->text.next;
    }
}

/* What is ready for the cells in use. */
static uint64_t least_ready(const struct state *state) {
    uint64_t end = offset_of(state->cells[0].header.used);
    return ((end + GROWTH - 1) / GROWTH * GROWTH - LOG_BYTES) / CELL_BYTES;
}

bool state_is_tidy(const struct state *state) {
    return state->cells[state->cells[0].header.used - 1].free.kind != CELL_FREE && state->ready <= least_ready(state);
}

bool state_tidy(struct state *state) {
    uint32_t used = state->cells[0].header.used;
    for (unsigned i = 0; i < TIDY_CELLS && state->cells[used - 1].free.kind == CELL_FREE; i++) {
        take_from_free(state, --used);
        state_edit(state, 0)->header.used = used;
    }
    if (state->edits > 0) {
        return state_commit(state);
    }
    uint64_t least = least_ready(state);
    if (state->ready > least && state->size_to(state, offset_of(state->ready), offset_of(least))) {
        state->ready = least;
    }
    return false;
}

bool state_commit(struct state *state) {
    for (unsigned i = 0; i < state->edits && !state->failed; i++) {
        state->failed = !redo_put(&state->redo, &state->cells[state->edited[i]], &state->copies[i], CELL_BYTES);
    }
    bool whole = !state->failed;
    if (whole && state->edits > 0) {
        redo_commit(&state->redo);
    }
    state_drop(state);
    return whole;
}

void state_drop(struct state *state) {
    redo_drop(&state->redo);
    state->edits = 0;
    state->failed = false;
}
