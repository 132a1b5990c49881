/*
 * The table of a directory's names in memory: by hash, where each entry is. Between directory.c and directory_table.c.
 */
#ifndef USER_EXT4_DIRECTORY_TABLE_H
#define USER_EXT4_DIRECTORY_TABLE_H

#include "user/ext4/directory.h"

struct slot {
    uint32_t hash, number; /* number: of the inode; 0: the slot is free */
    uint32_t block;        /* of the directory, not of the disk */
    uint32_t offset;       /* SLOT_REMOVED: look further */
};

#define SLOT_REMOVED UINT32_MAX

struct directory {
    ext2_ino_t number;
    bool indexed;    /* by Linux, and not made a plain list yet */
    uint32_t blocks; /* of the directory */
    blk64_t *home;   /* of each */
    uint16_t *room;  /* the longest new entry that fits into each */
    uint32_t hint;   /* blocks before this one are full */
    struct slot *slots;
    size_t capacity, used, removed;
    struct directory *next; /* less used */
};

/* The table of a directory, read now or before. ENOTDIR, EIO, ENOMEM. */
int table_get(struct volume *volume, ext2_ino_t number, struct directory **directory);

uint32_t table_hash(struct name name);
/* Slots with the hash, one after the other: *cursor is 0 at first. NULL behind the last. */
struct slot *table_next(struct directory *directory, uint32_t hash, size_t *cursor);
int table_add(struct volume *volume, struct directory *directory, struct slot slot);
void table_remove(struct volume *volume, struct directory *directory, struct slot *slot);
/* A block was appended. */
int table_add_block(struct directory *directory, blk64_t home, unsigned room);

/* Reads a block into `bytes`, and checks that its entries are well formed. */
int directory_read(struct volume *volume, const struct directory *directory, uint32_t block, void *bytes);

/* The room for a new entry in a block: the longest. */
unsigned directory_room(const struct volume *volume, const uint8_t *bytes);
/* Bytes that an entry with so long a name takes. */
unsigned directory_entry_size(unsigned name_length);
/* Where entries end: what is behind is a checksum. */
unsigned directory_block_end(const struct volume *volume);

#endif
