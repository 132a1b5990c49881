/*
 * The journal on the disk (jbd2), as Linux and e2fsck read and write it. All numbers are big-endian.
 *
 * Block 0 of the journal is its superblock. A transaction is descriptor blocks, each followed by the blocks that it
 * describes, revoke blocks, and a commit block; all have its sequence number. A block that begins with JOURNAL_MAGIC is
 * written with zeros there, and flagged.
 */
#ifndef USER_EXT4_JOURNAL_FORMAT_H
#define USER_EXT4_JOURNAL_FORMAT_H

#include <stdint.h>

#define JOURNAL_MAGIC 0xc03b3998U

enum journal_block_type { JOURNAL_DESCRIPTOR = 1, JOURNAL_COMMIT, JOURNAL_SUPER_V1, JOURNAL_SUPER, JOURNAL_REVOKE };

enum journal_incompatible {
    JOURNAL_REVOKES = 0x1,
    JOURNAL_64BIT = 0x2,
    JOURNAL_ASYNC_COMMIT = 0x4,
    JOURNAL_CSUM_V2 = 0x8,
    JOURNAL_CSUM_V3 = 0x10,
    JOURNAL_FAST_COMMIT = 0x20,
};
enum journal_compatible { JOURNAL_CHECKSUM = 0x1 };

enum journal_tag_flag { TAG_ESCAPED = 1, TAG_SAME_UUID = 2, TAG_DELETED = 4, TAG_LAST = 8 };

enum { JOURNAL_CRC32C = 4, JOURNAL_UUID_BYTES = 16 };

struct journal_header {
    uint32_t magic, type, sequence;
};

struct journal_super {
    struct journal_header header;
    uint32_t block_size, blocks, first; /* first: of the log */
    uint32_t sequence, start;           /* the first commit that is expected in the log, and where; 0: empty */
    uint32_t error;
    uint32_t compatible, incompatible, read_only_compatible;
    uint8_t uuid[16];
    uint32_t users, dynamic_super, max_transaction, max_data;
    uint8_t checksum_type, unused[3];
    uint32_t fast_commit_blocks, head, unused2[40];
    uint32_t checksum;
    uint8_t user_list[16 * 48];
};

/* With JOURNAL_CSUM_V3. */
struct journal_tag3 {
    uint32_t block, flags, block_high, checksum;
};

/* Without; the last word only with JOURNAL_64BIT. */
struct journal_tag {
    uint32_t block;
    uint16_t checksum, flags;
    uint32_t block_high;
};

struct journal_revoke {
    struct journal_header header;
    uint32_t bytes; /* used, this head included; the block numbers follow: 8 bytes each with JOURNAL_64BIT, or 4 */
};

struct journal_commit {
    struct journal_header header;
    uint8_t checksum_type, checksum_size, unused[2];
    uint32_t checksum[8];
    uint64_t seconds;
    uint32_t nanoseconds;
};

_Static_assert(sizeof(struct journal_super) == 1024, "the superblock of a journal");

#endif
