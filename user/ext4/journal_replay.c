/*
 * Reading the journal after a crash: finds the whole transactions of the log, then what they revoke, then writes home
 * the newest version of each block that is not revoked later.
 *
 * Nothing that the log says is believed unchecked: a block whose checksum, number or place is wrong ends the log there.
 * Guard: nobody else uses the volume yet.
 */
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "user/ext4/journal.h"
#include "user/ext4/journal_format.h"

enum pass { PASS_SCAN, PASS_REVOKE, PASS_REPLAY };

struct revoked {
    uint64_t block;
    uint32_t sequence;
};

struct replay {
    struct journal *journal;
    enum pass pass;
    uint8_t *block, *data;
    struct revoked *revoked;
    unsigned revoked_count, revoked_room;
    uint32_t at, read; /* where in the log, and how many blocks of it were read in this pass */
};

static bool is_before(uint32_t one, uint32_t other) { return (int32_t)(one - other) < 0; }

/* The next block of the log. ENODATA: all of it was read. */
static int next_block(struct replay *replay, uint8_t *bytes) {
    struct journal *journal = replay->journal;
    if (replay->read == journal->blocks - journal->first) {
        return ENODATA;
    }
    int error = journal_read_block(journal, replay->at, bytes);
    replay->at = replay->at + 1 == journal->blocks ? journal->first : replay->at + 1;
    replay->read++;
    return error;
}

static bool is_sealed(const struct journal *journal, uint8_t *block) {
    if (!journal_has_checksums(journal)) {
        return true;
    }
    uint32_t sum;
    uint8_t *tail = block + journal->block_size - sizeof sum;
    memcpy(&sum, tail, sizeof sum);
    memset(tail, 0, sizeof sum);
    return be32toh(sum) == journal_crc(journal->seed, block, journal->block_size);
}

/* --- Revokes ------------------------------------------------------------------------------------------------------ */

static int add_revoked(struct replay *replay, uint64_t block, uint32_t sequence) {
    if (replay->revoked_count == replay->revoked_room) {
        unsigned room = replay->revoked_room * 2 + 256;
        struct revoked *larger = realloc(replay->revoked, room * sizeof *larger);
        if (larger == NULL) {
            return ENOMEM;
        }
        replay->revoked = larger;
        replay->revoked_room = room;
    }
    replay->revoked[replay->revoked_count++] = (struct revoked){block, sequence};
    return 0;
}

static int by_block_and_sequence(const void *left, const void *right) {
    const struct revoked *one = left, *other = right;
    if (one->block != other->block) {
        return one->block < other->block ? -1 : 1;
    }
    return is_before(one->sequence, other->sequence) ? -1 : one->sequence != other->sequence;
}

/* Whether the block is revoked in this transaction or a later one: by the last entry of it that is sorted. */
static bool is_revoked(const struct replay *replay, uint64_t block, uint32_t sequence) {
    unsigned low = 0, high = replay->revoked_count;
    while (low < high) {
        unsigned middle = (low + high) / 2;
        if (replay->revoked[middle].block <= block) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low > 0 && replay->revoked[low - 1].block == block &&
           !is_before(replay->revoked[low - 1].sequence, sequence);
}

static int read_revokes(struct replay *replay, uint32_t sequence) {
    const struct journal *journal = replay->journal;
    unsigned each = journal->incompatible & JOURNAL_64BIT ? 8 : 4;
    uint32_t end = be32toh(((const struct journal_revoke *)(void *)replay->block)->bytes);
    if (end > journal->block_size) {
        return ENODATA;
    }
    for (uint32_t at = sizeof(struct journal_revoke); at + each <= end; at += each) {
        uint64_t wide = 0;
        uint32_t narrow = 0;
        memcpy(each == 8 ? (void *)&wide : &narrow, replay->block + at, each);
        int error = add_revoked(replay, each == 8 ? be64toh(wide) : be32toh(narrow), sequence);
        if (error != 0) {
            return error;
        }
    }
    return 0;
}

/* --- Blocks ------------------------------------------------------------------------------------------------------- */

struct tag {
    uint64_t block;
    uint32_t flags, checksum;
};

static struct tag read_tag(const struct journal *journal, const uint8_t *place) {
    if (journal->incompatible & JOURNAL_CSUM_V3) {
        struct journal_tag3 tag;
        memcpy(&tag, place, sizeof tag);
        return (struct tag){.block = (uint64_t)be32toh(tag.block_high) << 32 | be32toh(tag.block),
                            .flags = be32toh(tag.flags),
                            .checksum = be32toh(tag.checksum)};
    }
    struct journal_tag tag = {0};
    memcpy(&tag, place, journal->incompatible & JOURNAL_64BIT ? sizeof tag : sizeof tag - sizeof tag.block_high);
    return (struct tag){.block = (uint64_t)be32toh(tag.block_high) << 32 | be32toh(tag.block),
                        .flags = be16toh(tag.flags),
                        .checksum = be16toh(tag.checksum)};
}

static bool data_is_right(const struct replay *replay, const struct tag *tag, uint32_t sequence) {
    const struct journal *journal = replay->journal;
    if (tag->block >= journal->disk_blocks) {
        return false;
    }
    if (!journal_has_checksums(journal)) {
        return true;
    }
    uint32_t big = htobe32(sequence);
    uint32_t sum = journal_crc(journal_crc(journal->seed, &big, sizeof big), replay->data, journal->block_size);
    return journal->incompatible & JOURNAL_CSUM_V3 ? sum == tag->checksum : (sum & 0xffff) == tag->checksum;
}

static int write_home(struct replay *replay, const struct tag *tag) {
    struct journal *journal = replay->journal;
    if (tag->flags & TAG_ESCAPED) {
        uint32_t magic = htobe32(JOURNAL_MAGIC);
        memcpy(replay->data, &magic, sizeof magic);
    }
    return journal->disk->write(journal->disk, tag->block * journal->block_size, replay->data, journal->block_size);
}

/* The blocks behind the descriptor in replay->block. */
static int read_described(struct replay *replay, uint32_t sequence) {
    const struct journal *journal = replay->journal;
    unsigned tag_size = journal_tag_size(journal),
             room = journal->block_size - (journal_has_checksums(journal) ? 4 : 0);
    for (unsigned at = sizeof(struct journal_header); at + tag_size <= room;) {
        struct tag tag = read_tag(journal, replay->block + at);
        int error = next_block(replay, replay->data);
        if (error == 0 && !data_is_right(replay, &tag, sequence)) {
            error = ENODATA;
        }
        if (error == 0 && replay->pass == PASS_REPLAY && !is_revoked(replay, tag.block, sequence)) {
            error = write_home(replay, &tag);
        }
        if (error != 0 || tag.flags & TAG_LAST) {
            return error;
        }
        at += tag_size + (tag.flags & TAG_SAME_UUID ? 0 : JOURNAL_UUID_BYTES);
    }
    return 0;
}

static bool commit_is_right(const struct journal *journal, uint8_t *block) {
    if (!journal_has_checksums(journal)) {
        return true;
    }
    struct journal_commit *commit = (void *)block;
    uint32_t sum = be32toh(commit->checksum[0]);
    commit->checksum[0] = 0;
    return sum == journal_crc(journal->seed, block, journal->block_size);
}

/* Reads one transaction. 0: it is whole. ENODATA: there is none. */
static int read_transaction(struct replay *replay, uint32_t sequence) {
    struct journal *journal = replay->journal;
    for (;;) {
        int error = next_block(replay, replay->block);
        if (error != 0) {
            return error;
        }
        struct journal_header header;
        memcpy(&header, replay->block, sizeof header);
        if (be32toh(header.magic) != JOURNAL_MAGIC || be32toh(header.sequence) != sequence) {
            return ENODATA;
        }
        switch (be32toh(header.type)) {
        case JOURNAL_DESCRIPTOR:
            error = is_sealed(journal, replay->block) ? read_described(replay, sequence) : ENODATA;
            break;
        case JOURNAL_REVOKE:
            if (!is_sealed(journal, replay->block)) {
                return ENODATA;
            }
            error = replay->pass == PASS_REVOKE ? read_revokes(replay, sequence) : 0;
            break;
        case JOURNAL_COMMIT:
            return commit_is_right(journal, replay->block) ? 0 : ENODATA;
        default:
            return ENODATA;
        }
        if (error != 0) {
            return error;
        }
    }
}

/* Reads `most` transactions, or all that are whole; *found says how many. */
static int run_pass(struct replay *replay, enum pass pass, unsigned most, unsigned *found) {
    struct journal *journal = replay->journal;
    replay->pass = pass;
    replay->at = be32toh(journal->super->start);
    replay->read = 0;
    for (*found = 0; *found < most; ++*found) {
        int error = read_transaction(replay, journal->sequence + *found);
        if (error != 0) {
            return error == ENODATA && pass == PASS_SCAN ? 0 : error;
        }
    }
    return 0;
}

int journal_replay(struct journal *journal, unsigned *replayed) {
    struct replay replay = {.journal = journal};
    *replayed = 0;
    if (journal->super->start == 0) {
        return 0;
    }
    replay.block = malloc(journal->block_size);
    replay.data = malloc(journal->block_size);
    unsigned whole = 0, again;
    int error = replay.block == NULL || replay.data == NULL ? ENOMEM : run_pass(&replay, PASS_SCAN, ~0U, &whole);
    error = error != 0 ? error : run_pass(&replay, PASS_REVOKE, whole, &again);
    if (error == 0 && replay.revoked_count > 0) {
        qsort(replay.revoked, replay.revoked_count, sizeof *replay.revoked, by_block_and_sequence);
    }
    error = error != 0 ? error : run_pass(&replay, PASS_REPLAY, whole, &again);
    error = error != 0 ? error : journal->disk->flush(journal->disk);
    journal->sequence += whole + 1; /* what is left of an unfinished transaction has this number: never used again */
    *replayed = whole;
    free(replay.block);
    free(replay.data);
    free(replay.revoked);
    return error == ENODATA ? EIO : error;
}
