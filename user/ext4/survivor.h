/*
 * What outlives the server's process: the blocks of the running transaction and the answers to the last calls.
 *
 * An operation that was answered must not be lost when the server is killed, though it is not in the journal yet; and
 * one that was not answered must not be half there. So the blocks that operations changed since the last commit stand
 * in slots of a memory object that the supervisor holds, too (user/lib/redo.h), with the answer to each call by its
 * number. When the machine stops, the object is gone and the journal decides.
 *
 * Guard: the volume's lock.
 */
#ifndef USER_EXT4_SURVIVOR_H
#define USER_EXT4_SURVIVOR_H

#include "kernel/fs_abi.h"
#include "user/lib/redo.h"

enum {
    SURVIVOR_SLOTS = 2048,     /* blocks of the running transaction, new versions beside old ones included */
    SURVIVOR_CHANGE_MAX = 512, /* blocks that one operation may change */
    SURVIVOR_NO_SLOT = -1,
};

struct survivor_answer {
    uint64_t request; /* 0: none */
    uint32_t label;
    uint32_t unused;
    struct fs_reply reply;
};

struct survivor_memory;

struct survivor {
    struct survivor_memory *memory;
    uint8_t *blocks;
    size_t block_size;
    struct redo redo;
    uint16_t free_slots[SURVIVOR_SLOTS], dropped[SURVIVOR_SLOTS];
    unsigned free_count, dropped_count;
};

size_t survivor_size(size_t block_size);

/*
 * `memory`: survivor_size() bytes, zero or what an earlier process left. True in *again: an earlier one served the file
 * system of this UUID, and its blocks and answers stand. Otherwise all is cleared.
 */
void survivor_open(struct survivor *survivor, void *memory, size_t block_size, const uint8_t uuid[16], bool *again);

/* The change of an operation: blocks, those that are no part of the transaction any more, the answer; then publish. */
int survivor_put_block(struct survivor *survivor, int old_slot, uint64_t block, const void *bytes);
void survivor_drop_block(struct survivor *survivor, int slot);
void survivor_put_answer(struct survivor *survivor, const struct survivor_answer *answer);
void survivor_publish(struct survivor *survivor);

/* Whether an operation of any size still fits. */
bool survivor_has_room(const struct survivor *survivor);

/* The transaction is in the journal. */
void survivor_clear(struct survivor *survivor);

/* The block in a slot, or false. */
bool survivor_get_block(struct survivor *survivor, int slot, uint64_t *block, const void **bytes);
/* NULL: none; without a journal (nothing is changed then) there are none. */
const struct survivor_answer *survivor_find_answer(const struct survivor *survivor, uint64_t request);

#endif
