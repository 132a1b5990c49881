/*
 * The journal: transactions of metadata blocks, all of each or nothing of it on the disk after a crash.
 *
 * Order: blocks that the transaction has, and file content that was written before, are flushed; then the commit block
 * is written and flushed. Blocks go home later, when the journal fills up (journal_checkpoint()), which only happens
 * right after a commit: then the cache holds nothing that is not committed.
 *
 * Guard: the volume's lock.
 */
#ifndef USER_EXT4_JOURNAL_H
#define USER_EXT4_JOURNAL_H

#include "user/ext4/cache.h"

struct journal_super;

struct journal {
    struct disk *disk;
    uint32_t block_size, seed; /* seed: of its checksums */
    uint64_t *home;            /* of each of its blocks: where it is on the disk */
    uint64_t disk_blocks;
    struct journal_super *super; /* as on the disk */
    uint32_t blocks, first;      /* the log is [first, blocks) */
    uint32_t incompatible, compatible;
    uint32_t head, used; /* next block to write; blocks that hold what is not at home */
    uint32_t sequence;   /* of the next commit */
    uint64_t *revoked;   /* blocks that the running transaction frees and that an earlier one has in the log */
    unsigned revoked_count, revoked_room;
};

/* Reads the journal of the file system. EOPNOTSUPP: of a kind that is not known here; EIO, EINVAL: it is damaged. */
int journal_open(struct journal *journal, struct disk *disk, ext2_filsys fs);
void journal_close(struct journal *journal);

/* Carries out what the log has (journal_replay.c). *replayed: transactions. */
int journal_replay(struct journal *journal, unsigned *replayed);

/* After a replay: an empty log that counts on (`in_use`: until journal_checkpoint() says otherwise). */
int journal_start(struct journal *journal, bool metadata_checksums, bool wide_blocks);

/* How many blocks a transaction may have. */
unsigned journal_capacity(const struct journal *journal);

int journal_revoke(struct journal *journal, uint64_t block);

/* Makes the running transaction durable. On failure nothing of it counts, and the file system must not go on. */
int journal_commit(struct journal *journal, struct cache *cache);
bool journal_is_filling(const struct journal *journal, const struct cache *cache);

/* Brings all home. The running transaction must be empty. `empty`: the journal says so, for a clean end. */
int journal_checkpoint(struct journal *journal, struct cache *cache, bool empty);

/* For journal_replay.c. */
int journal_read_block(struct journal *journal, uint32_t index, void *bytes);
uint32_t journal_crc(uint32_t seed, const void *bytes, size_t size);
unsigned journal_tag_size(const struct journal *journal);
bool journal_has_checksums(const struct journal *journal);
int journal_write_super(struct journal *journal, uint32_t start);

#endif
