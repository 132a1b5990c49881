/*
 * A directory is an array of entries (slots, which give getdents its positions) and a hash table over the same entries,
 * so that 100,000 names cost no more to look up than ten. Both double together.
 *
 * Invariant: every entry is in exactly one slot and one chain; a slot does not move while its entry lives.
 * Locks: names_lock, held by the callers. Class GLOBAL. Runs in the caller's space, never leaves the restricted one.
 */
#include "kernel/directory.h"

#include "kernel/assert.h"
#include "kernel/string.h"
#include "mm/heap.h"

#define CAPACITY_FIRST 8U
#define CAPACITY_MAX   (1U << 26)

/* FNV-1a: names are short. */
static uint32_t hash_name(const char *name, size_t length) {
    uint32_t hash = 2166136261U;
    for (size_t i = 0; i < length; i++)
        hash = (hash ^ (uint8_t)name[i]) * 16777619U;
    return hash ^ hash >> 15; /* the low bits choose the bucket */
}

static size_t table_bytes(uint32_t capacity) { return capacity * sizeof(struct directory_entry *); }

static size_t entry_bytes(size_t length) { return sizeof(struct directory_entry) + length + 1; }

struct directory_entry *directory_find(const struct directory *directory, const char *name, size_t length) {
    if (directory->capacity == 0)
        return NULL;
    uint32_t hash = hash_name(name, length);
    struct directory_entry *entry = directory->buckets[hash & (directory->capacity - 1)];
    while (entry != NULL && (entry->hash != hash || entry->length != length || memcmp(entry->name, name, length) != 0))
        entry = entry->next;
    return entry;
}

static void chain_insert(struct directory *directory, struct directory_entry *entry) {
    struct directory_entry **bucket = &directory->buckets[entry->hash & (directory->capacity - 1)];
    entry->next = *bucket;
    *bucket = entry;
}

static enum status grow(struct directory *directory) {
    uint32_t capacity = directory->capacity != 0 ? directory->capacity * 2 : CAPACITY_FIRST;
    if (capacity > CAPACITY_MAX)
        return ERR_NO_SPACE;
    struct directory_entry **slots = global_alloc(table_bytes(capacity));
    struct directory_entry **buckets = global_alloc(table_bytes(capacity));
    if (slots == NULL || buckets == NULL) {
        global_free(slots, table_bytes(capacity));
        global_free(buckets, table_bytes(capacity));
        return ERR_NO_MEMORY;
    }
    if (directory->capacity != 0)
        memcpy(slots, directory->slots, directory->capacity * sizeof(*slots));
    directory_free(directory);
    directory->slots = slots;
    directory->buckets = buckets;
    directory->capacity = capacity;
    for (uint32_t slot = 0; slot < capacity; slot++) {
        if (slots[slot] != NULL)
            chain_insert(directory, slots[slot]);
    }
    return OK;
}

enum status directory_prepare(struct directory *directory, const char *name, size_t length,
                              struct directory_entry **out) {
    if (directory->count == directory->capacity) {
        enum status status = grow(directory);
        if (status != OK)
            return status;
    }
    struct directory_entry *entry = global_alloc(entry_bytes(length));
    if (entry == NULL)
        return ERR_NO_MEMORY;
    entry->length = (uint8_t)length;
    entry->hash = hash_name(name, length);
    memcpy(entry->name, name, length);
    *out = entry;
    return OK;
}

void directory_insert(struct directory *directory, struct directory_entry *entry, struct inode *inode) {
    uint32_t slot = directory->first_hole;
    while (directory->slots[slot] != NULL) {
        slot++;
        assert(slot < directory->capacity);
    }
    directory->first_hole = slot + 1;
    directory->slots[slot] = entry;
    directory->count++;
    entry->slot = slot;
    if (inode != NULL)
        inode_ref(inode);
    entry->inode = inode;
    chain_insert(directory, entry);
}

void directory_discard(struct directory_entry *entry) { global_free(entry, entry_bytes(entry->length)); }

struct inode *directory_remove(struct directory *directory, struct directory_entry *entry) {
    struct directory_entry **link = &directory->buckets[entry->hash & (directory->capacity - 1)];
    while (*link != entry)
        link = &(*link)->next;
    *link = entry->next;
    directory->slots[entry->slot] = NULL;
    directory->count--;
    if (entry->slot < directory->first_hole)
        directory->first_hole = entry->slot;
    struct inode *inode = entry->inode;
    directory_discard(entry);
    return inode;
}

struct directory_entry *directory_at(const struct directory *directory, uint64_t position) {
    for (uint64_t slot = position; slot < directory->capacity; slot++) {
        if (directory->slots[slot] != NULL)
            return directory->slots[slot];
    }
    return NULL;
}

void directory_free(struct directory *directory) {
    global_free(directory->slots, table_bytes(directory->capacity));
    global_free(directory->buckets, table_bytes(directory->capacity));
    directory->slots = directory->buckets = NULL;
    directory->capacity = 0;
}
