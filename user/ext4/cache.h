/*
 * The metadata blocks of the disk in memory, and what is to become of the changed ones.
 *
 * A block is changed by an operation first (its earlier content is kept: a failed operation is taken back), then part
 * of the running transaction, then in the journal and owed to its home on the disk. libext2fs reads and writes through
 * cache_io_manager, which is this cache. File content never comes here.
 *
 * Guard: the volume's lock.
 */
#ifndef USER_EXT4_CACHE_H
#define USER_EXT4_CACHE_H

#include <ext2fs/ext2fs.h>
#include <stdbool.h>
#include <stdint.h>

#include "user/ext4/disk.h"
#include "user/ext4/survivor.h"

struct buffer {
    uint64_t block;
    uint8_t *bytes;
    uint8_t *before; /* as it was before the operation under way, which has changed it */
    bool changing;   /* by the operation under way */
    bool fresh;      /* … which wrote it whole: there is no earlier content to go back to */
    bool running;    /* part of the running transaction */
    bool owed;       /* in the journal, but not at home */
    int slot;        /* in the memory that survives, or SURVIVOR_NO_SLOT */
    struct buffer *next_of_hash, *newer, *older;
};

struct cache {
    struct disk *disk;
    struct survivor *survivor;
    uint32_t block_size;
    uint64_t blocks; /* of the disk */
    struct buffer **table;
    struct buffer *newest, *oldest; /* by use */
    unsigned count, limit, running, owed;
    struct buffer *changing[SURVIVOR_CHANGE_MAX];
    unsigned changing_count;
    bool too_large; /* the operation under way changes more than may be */
};

int cache_create(struct cache *cache, struct disk *disk, struct survivor *survivor, uint32_t block_size);
void cache_destroy(struct cache *cache);

/* Part of a block or several, by byte offset on the disk. Writes are for operations. 0 or an errno. */
int cache_read(struct cache *cache, uint64_t offset, void *bytes, size_t size);
int cache_write(struct cache *cache, uint64_t offset, const void *bytes, size_t size);

/* A block's bytes, valid until the next call; NULL: it cannot be read, *error says why. */
const uint8_t *cache_peek(struct cache *cache, uint64_t block, int *error);

/* Takes back what the operation under way changed. */
void cache_abort(struct cache *cache);
/* Makes it part of the running transaction and of the memory that survives; the caller publishes. */
void cache_accept(struct cache *cache);
/* The block is free: its content matters no more. True: it stands in the journal, where it must be revoked. */
bool cache_forget(struct cache *cache, uint64_t block);
/* A block of the running transaction, as the memory that survived has it. */
int cache_restore(struct cache *cache, uint64_t block, const void *bytes, int slot);

/* All buffers with the flag, by block number. `found` has room for cache->running or cache->owed. */
unsigned cache_collect(struct cache *cache, bool running, struct buffer **found);
/* The running transaction is in the journal. */
void cache_committed(struct cache *cache);
/* Writes home what is owed. */
int cache_write_home(struct cache *cache);

/* The io_manager of a cache: ext2fs_open() finds the cache by cache_name() of it. */
extern struct struct_io_manager cache_io_manager;
const char *cache_name(const struct cache *cache, char name[32]);

#endif
