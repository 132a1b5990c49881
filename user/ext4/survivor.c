/*
 * The memory that outlives the server: a head, a table that says which block is in which slot, a log, the slots.
 *
 * A slot that is in the table is never written: a block's new version goes to a free slot, and the change of the table
 * is what the log makes atomic. Clearing the table after a commit needs no log: whatever of it is left when the process
 * is killed is what the journal has, too. Guard: the volume's lock.
 */
#include "user/ext4/survivor.h"

#include <stdatomic.h>
#include <string.h>

#define SURVIVOR_MAGIC 0x3465787400000001ULL
#define LOG_BYTES      65536U
#define PAGE_BYTES     4096U

struct survivor_memory {
    _Atomic uint64_t magic; /* written last */
    uint64_t block_size;
    uint8_t uuid[16];
    struct survivor_answer answers[FS_CHANGES_MAX]; /* by their requests' remainders (kernel/fs_abi.h) */
    uint64_t table[SURVIVOR_SLOTS];                 /* block + 1; 0: free */
    uint8_t log[LOG_BYTES];
};

static size_t head_size(void) { return (sizeof(struct survivor_memory) + PAGE_BYTES - 1) & ~(size_t)(PAGE_BYTES - 1); }

size_t survivor_size(size_t block_size) { return head_size() + block_size * SURVIVOR_SLOTS; }

static void collect_free_slots(struct survivor *survivor) {
    survivor->free_count = 0;
    for (unsigned slot = SURVIVOR_SLOTS; slot-- > 0;) {
        if (survivor->memory->table[slot] == 0) {
            survivor->free_slots[survivor->free_count++] = (uint16_t)slot;
        }
    }
}

void survivor_open(struct survivor *survivor, void *memory, size_t block_size, const uint8_t uuid[16], bool *again) {
    struct survivor_memory *head = memory;
    survivor->memory = head;
    survivor->blocks = (uint8_t *)memory + head_size();
    survivor->block_size = block_size;
    survivor->dropped_count = 0;
    *again = head->magic == SURVIVOR_MAGIC && head->block_size == block_size && memcmp(head->uuid, uuid, 16) == 0;
    if (!*again) {
        atomic_store(&head->magic, 0);
        memset(memory, 0, sizeof *head);
        head->block_size = block_size;
        memcpy(head->uuid, uuid, sizeof head->uuid);
        atomic_store(&head->magic, SURVIVOR_MAGIC);
    }
    redo_open(&survivor->redo, memory, sizeof *head, offsetof(struct survivor_memory, log), LOG_BYTES);
    collect_free_slots(survivor);
}

bool survivor_has_room(const struct survivor *survivor) { return survivor->free_count >= SURVIVOR_CHANGE_MAX; }

static void set_table(struct survivor *survivor, int slot, uint64_t value) {
    (void)redo_put(&survivor->redo, &survivor->memory->table[slot], &value, sizeof value); /* has room by its size */
}

void survivor_drop_block(struct survivor *survivor, int slot) {
    set_table(survivor, slot, 0);
    survivor->dropped[survivor->dropped_count++] = (uint16_t)slot;
}

int survivor_put_block(struct survivor *survivor, int old_slot, uint64_t block, const void *bytes) {
    int slot = survivor->free_slots[--survivor->free_count];
    memcpy(survivor->blocks + (size_t)slot * survivor->block_size, bytes, survivor->block_size);
    set_table(survivor, slot, block + 1);
    if (old_slot != SURVIVOR_NO_SLOT) {
        survivor_drop_block(survivor, old_slot);
    }
    return slot;
}

void survivor_put_answer(struct survivor *survivor, const struct survivor_answer *answer) {
    struct survivor_answer *place = &survivor->memory->answers[answer->request % FS_CHANGES_MAX];
    (void)redo_put(&survivor->redo, place, answer, sizeof *answer);
}

void survivor_publish(struct survivor *survivor) {
    redo_commit(&survivor->redo);
    while (survivor->dropped_count > 0) {
        survivor->free_slots[survivor->free_count++] = survivor->dropped[--survivor->dropped_count];
    }
}

void survivor_clear(struct survivor *survivor) {
    memset(survivor->memory->table, 0, sizeof survivor->memory->table);
    collect_free_slots(survivor);
}

bool survivor_get_block(struct survivor *survivor, int slot, uint64_t *block, const void **bytes) {
    uint64_t entry = survivor->memory->table[slot];
    *block = entry - 1;
    *bytes = survivor->blocks + (size_t)slot * survivor->block_size;
    return entry != 0;
}

const struct survivor_answer *survivor_find_answer(const struct survivor *survivor, uint64_t request) {
    if (request == 0 || survivor->memory == NULL) {
        return NULL;
    }
    const struct survivor_answer *answer = &survivor->memory->answers[request % FS_CHANGES_MAX];
    return answer->request == request ? answer : NULL;
}
