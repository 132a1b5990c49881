/*
 * Writing the journal. A transaction is put together in one buffer, block after block, and written in as few requests
 * as the journal's place on the disk allows. Reading it: journal_replay.c. Guard: the volume's lock.
 */
#include "user/ext4/journal.h"

#include <endian.h>
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "user/ext4/journal_format.h"

enum { OWED_MAX = 4096 };

uint32_t journal_crc(uint32_t seed, const void *bytes, size_t size) { return ext2fs_crc32c_le(seed, bytes, size); }

bool journal_has_checksums(const struct journal *journal) {
    return (journal->incompatible & (JOURNAL_CSUM_V2 | JOURNAL_CSUM_V3)) != 0;
}

unsigned journal_tag_size(const struct journal *journal) {
    if (journal->incompatible & JOURNAL_CSUM_V3) {
        return sizeof(struct journal_tag3);
    }
    return sizeof(struct journal_tag) + (journal->incompatible & JOURNAL_CSUM_V2 ? 2 : 0) -
           (journal->incompatible & JOURNAL_64BIT ? 0 : 4);
}

int journal_read_block(struct journal *journal, uint32_t index, void *bytes) {
    if (index >= journal->blocks) {
        return EIO;
    }
    return journal->disk->read(journal->disk, journal->home[index] * journal->block_size, bytes, journal->block_size);
}

/* --- Opening ------------------------------------------------------------------------------------------------------ */

/* Where the journal's blocks are. */
static int map_journal(struct journal *journal, ext2_filsys fs) {
    ext2_ino_t number = fs->super->s_journal_inum;
    struct ext2_inode inode;
    if (number == 0 || ext2fs_read_inode(fs, number, &inode) != 0) {
        return EIO;
    }
    uint64_t blocks = EXT2_I_SIZE(&inode) / fs->blocksize;
    if (!LINUX_S_ISREG(inode.i_mode) || blocks < 1024 || blocks > ext2fs_blocks_count(fs->super)) {
        return EIO;
    }
    journal->home = calloc(blocks, sizeof *journal->home);
    if (journal->home == NULL) {
        return ENOMEM;
    }
    for (uint64_t i = 0; i < blocks; i++) {
        blk64_t home = 0;
        if (ext2fs_bmap2(fs, number, &inode, NULL, 0, i, NULL, &home) != 0 || home == 0 ||
            home >= ext2fs_blocks_count(fs->super)) {
            return EIO;
        }
        journal->home[i] = home;
    }
    journal->blocks = (uint32_t)blocks;
    return 0;
}

static uint32_t super_checksum(const struct journal_super *super) {
    struct journal_super copy = *super;
    copy.checksum = 0;
    return journal_crc(~0U, &copy, sizeof copy);
}

static int check_super(struct journal *journal) {
    const struct journal_super *super = journal->super;
    if (be32toh(super->header.magic) != JOURNAL_MAGIC || be32toh(super->block_size) != journal->block_size) {
        return EIO;
    }
    if (be32toh(super->header.type) != JOURNAL_SUPER) {
        return EOPNOTSUPP;
    }
    journal->incompatible = be32toh(super->incompatible);
    journal->compatible = be32toh(super->compatible);
    if ((journal->incompatible & ~(uint32_t)(JOURNAL_REVOKES | JOURNAL_64BIT | JOURNAL_CSUM_V2 | JOURNAL_CSUM_V3)) !=
            0 ||
        (journal->compatible & ~(uint32_t)JOURNAL_CHECKSUM) != 0 || super->read_only_compatible != 0) {
        return EOPNOTSUPP;
    }
    if (journal_has_checksums(journal) &&
        (super->checksum_type != JOURNAL_CRC32C || be32toh(super->checksum) != super_checksum(super))) {
        return EIO;
    }
    uint32_t blocks = be32toh(super->blocks), first = be32toh(super->first), start = be32toh(super->start);
    if (blocks > journal->blocks || blocks < 1024 || first == 0 || first >= blocks / 2 ||
        (start != 0 && (start < first || start >= blocks))) {
        return EIO;
    }
    journal->blocks = blocks;
    journal->first = first;
    journal->sequence = be32toh(super->sequence);
    journal->seed = journal_crc(~0U, super->uuid, sizeof super->uuid);
    return 0;
}

int journal_open(struct journal *journal, struct disk *disk, ext2_filsys fs) {
    *journal = (struct journal){.disk = disk, .block_size = fs->blocksize};
    journal->disk_blocks = ext2fs_blocks_count(fs->super);
    journal->super = malloc(journal->block_size); /* at least 1024 */
    int error = journal->super == NULL ? ENOMEM : map_journal(journal, fs);
    if (error == 0) {
        error = journal_read_block(journal, 0, journal->super);
    }
    if (error == 0) {
        error = check_super(journal);
    }
    if (error != 0) {
        journal_close(journal);
    }
    return error;
}

void journal_close(struct journal *journal) {
    free(journal->home);
    free(journal->super);
    free(journal->revoked);
    *journal = (struct journal){0};
}

int journal_write_super(struct journal *journal, uint32_t start) {
    struct journal_super *super = journal->super;
    super->start = htobe32(start);
    super->sequence = htobe32(journal->sequence);
    super->incompatible = htobe32(journal->incompatible);
    super->compatible = htobe32(journal->compatible);
    if (journal_has_checksums(journal)) {
        super->checksum_type = JOURNAL_CRC32C;
        super->checksum = htobe32(super_checksum(super));
    }
    int error = journal->disk->write(journal->disk, journal->home[0] * journal->block_size, super, sizeof *super);
    return error != 0 ? error : journal->disk->flush(journal->disk);
}

int journal_start(struct journal *journal, bool metadata_checksums, bool wide_blocks) {
    journal->incompatible =
        JOURNAL_REVOKES | (wide_blocks ? JOURNAL_64BIT : 0) | (metadata_checksums ? JOURNAL_CSUM_V3 : 0);
    journal->compatible = 0;
    journal->head = journal->first;
    journal->used = 0;
    return journal_write_super(journal, journal->head);
}

unsigned journal_capacity(const struct journal *journal) {
    unsigned half = (journal->blocks - journal->first) / 2;
    return half - half / 16 - 48; /* less descriptors, revokes and the commit block */
}

int journal_revoke(struct journal *journal, uint64_t block) {
    if (journal->revoked_count == journal->revoked_room) {
        unsigned room = journal->revoked_room * 2 + 64;
        uint64_t *larger = realloc(journal->revoked, room * sizeof *larger);
        if (larger == NULL) {
            return ENOMEM;
        }
        journal->revoked = larger;
        journal->revoked_room = room;
    }
    journal->revoked[journal->revoked_count++] = block;
    return 0;
}

/* --- Putting a transaction together ------------------------------------------------------------------------------- */

struct draft {
    struct journal *journal;
    uint8_t *bytes; /* of all blocks */
    unsigned blocks;
};

static uint8_t *draft_block(struct draft *draft, enum journal_block_type type) {
    uint32_t size = draft->journal->block_size;
    uint8_t *block = draft->bytes + (size_t)draft->blocks++ * size;
    memset(block, 0, size);
    *(struct journal_header *)(void *)block = (struct journal_header){
        .magic = htobe32(JOURNAL_MAGIC), .type = htobe32(type), .sequence = htobe32(draft->journal->sequence)};
    return block;
}

/* The checksum in the last word of descriptors and revokes. */
static void seal_block(const struct journal *journal, uint8_t *block) {
    if (journal_has_checksums(journal)) {
        uint32_t sum = htobe32(journal_crc(journal->seed, block, journal->block_size));
        memcpy(block + journal->block_size - sizeof sum, &sum, sizeof sum);
    }
}

static unsigned tail_size(const struct journal *journal) { return journal_has_checksums(journal) ? 4 : 0; }

/* The tag of a block that stands as `copy` in the log. */
static void write_tag(const struct journal *journal, uint8_t *place, uint64_t block, uint32_t flags,
                      const uint8_t *copy) {
    if (journal->incompatible & JOURNAL_CSUM_V3) {
        uint32_t sequence = htobe32(journal->sequence);
        uint32_t sum = journal_crc(journal_crc(journal->seed, &sequence, sizeof sequence), copy, journal->block_size);
        struct journal_tag3 tag = {htobe32((uint32_t)block), htobe32(flags), htobe32((uint32_t)(block >> 32)),
                                   htobe32(sum)};
        memcpy(place, &tag, sizeof tag);
    } else {
        struct journal_tag tag = {htobe32((uint32_t)block), 0, htobe16((uint16_t)flags),
                                  htobe32((uint32_t)(block >> 32))};
        memcpy(place, &tag, journal_tag_size(journal));
    }
}

/* The block as the log has it; whether it had to be escaped. */
static bool copy_escaped(struct draft *draft, const uint8_t *bytes) {
    uint32_t size = draft->journal->block_size, magic;
    uint8_t *copy = draft->bytes + (size_t)draft->blocks++ * size;
    memcpy(copy, bytes, size);
    memcpy(&magic, copy, sizeof magic);
    if (magic != htobe32(JOURNAL_MAGIC)) {
        return false;
    }
    memset(copy, 0, sizeof magic);
    return true;
}

static void draft_blocks(struct draft *draft, struct buffer **buffers, unsigned count) {
    const struct journal *journal = draft->journal;
    unsigned tag_size = journal_tag_size(journal), room = journal->block_size - tail_size(journal);
    for (unsigned i = 0; i < count;) {
        uint8_t *descriptor = draft_block(draft, JOURNAL_DESCRIPTOR);
        unsigned at = sizeof(struct journal_header);
        for (bool first = true, last = false; !last; first = false, i++) {
            unsigned next = at + tag_size + (first ? JOURNAL_UUID_BYTES : 0);
            last = i + 1 == count || next + tag_size > room;
            uint32_t flags = (first ? 0 : TAG_SAME_UUID) | (last ? TAG_LAST : 0);
            const uint8_t *copy = draft->bytes + (size_t)draft->blocks * journal->block_size;
            flags |= copy_escaped(draft, buffers[i]->bytes) ? TAG_ESCAPED : 0;
            write_tag(journal, descriptor + at, buffers[i]->block, flags, copy);
            if (first) {
                memcpy(descriptor + at + tag_size, journal->super->uuid, JOURNAL_UUID_BYTES);
            }
            at = next;
        }
        seal_block(journal, descriptor);
    }
}

static unsigned revoke_size(const struct journal *journal) { return journal->incompatible & JOURNAL_64BIT ? 8 : 4; }

static unsigned revokes_in_block(const struct journal *journal) {
    return (journal->block_size - (unsigned)sizeof(struct journal_revoke) - tail_size(journal)) / revoke_size(journal);
}

static void draft_revokes(struct draft *draft) {
    const struct journal *journal = draft->journal;
    unsigned each = revoke_size(journal), most = revokes_in_block(journal);
    for (unsigned i = 0; i < journal->revoked_count;) {
        uint8_t *block = draft_block(draft, JOURNAL_REVOKE);
        unsigned at = sizeof(struct journal_revoke);
        for (unsigned end = i + most; i < end && i < journal->revoked_count; i++, at += each) {
            uint64_t wide = htobe64(journal->revoked[i]);
            uint32_t narrow = htobe32((uint32_t)journal->revoked[i]);
            memcpy(block + at, each == 8 ? (const void *)&wide : &narrow, each);
        }
        ((struct journal_revoke *)(void *)block)->bytes = htobe32(at);
        seal_block(journal, block);
    }
}

static void draft_commit(struct draft *draft) {
    const struct journal *journal = draft->journal;
    struct journal_commit *commit = (void *)draft_block(draft, JOURNAL_COMMIT);
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    commit->seconds = htobe64((uint64_t)now.tv_sec);
    commit->nanoseconds = htobe32((uint32_t)now.tv_nsec);
    if (journal_has_checksums(journal)) {
        commit->checksum[0] = htobe32(journal_crc(journal->seed, commit, journal->block_size));
    }
}

/* --- Writing ------------------------------------------------------------------------------------------------------ */

static uint32_t following(const struct journal *journal, uint32_t index) {
    return index + 1 == journal->blocks ? journal->first : index + 1;
}

/* `count` blocks of the draft, from `from` on, to the head; neighbours on the disk in one request. */
static int write_log(struct draft *draft, unsigned from, unsigned count) {
    struct journal *journal = draft->journal;
    for (unsigned done = 0; done < count;) {
        uint32_t start = journal->head, at = start;
        unsigned run = 0;
        do {
            run++;
            at = following(journal, at);
        } while (done + run < count && journal->home[at] == journal->home[start] + run);
        int error = journal->disk->write(journal->disk, journal->home[start] * journal->block_size,
                                         draft->bytes + (size_t)(from + done) * journal->block_size,
                                         (size_t)run * journal->block_size);
        if (error != 0) {
            return error;
        }
        journal->head = at;
        done += run;
    }
    return 0;
}

static int write_transaction(struct draft *draft) {
    struct disk *disk = draft->journal->disk;
    int error = write_log(draft, 0, draft->blocks - 1);
    error = error != 0 ? error : disk->flush(disk);
    error = error != 0 ? error : write_log(draft, draft->blocks - 1, 1);
    return error != 0 ? error : disk->flush(disk);
}

static unsigned most_blocks(const struct journal *journal, unsigned count) {
    unsigned tags = (journal->block_size - 64) / journal_tag_size(journal);
    return count + count / tags + 1 + journal->revoked_count / revokes_in_block(journal) + 1 + 1;
}

int journal_commit(struct journal *journal, struct cache *cache) {
    unsigned most = most_blocks(journal, cache->running);
    if (most > journal->blocks - journal->first - journal->used) {
        return EFBIG; /* cannot be: the volume commits before a transaction grows that large */
    }
    struct draft draft = {.journal = journal, .bytes = malloc((size_t)most * journal->block_size)};
    struct buffer **buffers = malloc((cache->running + 1) * sizeof *buffers);
    int error = draft.bytes == NULL || buffers == NULL ? ENOMEM : 0;
    if (error == 0) {
        unsigned count = cache_collect(cache, true, buffers);
        draft_blocks(&draft, buffers, count);
        draft_revokes(&draft);
        draft_commit(&draft);
        error = write_transaction(&draft);
    }
    if (error == 0) {
        journal->used += draft.blocks;
        journal->sequence++;
        journal->revoked_count = 0;
        cache_committed(cache);
    }
    free(draft.bytes);
    free(buffers);
    return error;
}

bool journal_is_filling(const struct journal *journal, const struct cache *cache) {
    return journal->used > (journal->blocks - journal->first) / 2 - 4 || cache->owed > OWED_MAX;
}

int journal_checkpoint(struct journal *journal, struct cache *cache, bool empty) {
    int error = cache_write_home(cache);
    error = error != 0 ? error : journal->disk->flush(journal->disk);
    if (error == 0) {
        journal->used = 0;
        error = journal_write_super(journal, empty ? 0 : journal->head);
    }
    return error;
}
