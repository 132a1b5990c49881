/*
 * Operations on the volume, and what belongs to all of them: bitmaps, group descriptors, the superblock.
 *
 * libext2fs keeps bitmaps and counters in memory; at the end of an operation the groups that it changed are written to
 * the cache, and so are part of it. An operation that fails leaves the cache as it was, and libext2fs is opened anew on
 * it. Mounting: volume_mount.c. Guard: the volume's lock.
 */
#include "user/ext4/volume.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "user/ext4/directory.h"
#include "user/ext4/volume_open.h"

enum { DIRTY_BLOCKS = 1, DIRTY_INODES = 2, SUPER_OFFSET = 1024, OPERATION_BLOCKS = 128 };

int volume_error(errcode_t code) {
    if (code >= 0 && code < 256) {
        return (int)code;
    }
    switch (code) {
    case EXT2_ET_NO_MEMORY:
        return ENOMEM;
    case EXT2_ET_BLOCK_ALLOC_FAIL:
    case EXT2_ET_INODE_ALLOC_FAIL:
        return ENOSPC;
    case EXT2_ET_FILE_TOO_BIG:
        return EFBIG;
    default:
        return EIO;
    }
}

/* --- Blocks and inodes that are free ------------------------------------------------------------------------------ */

static uint64_t last_block(const struct volume *volume) { return ext2fs_blocks_count(volume->fs->super) - 1; }

/* libext2fs has taken or given back blocks. What is freed stays withheld until the transaction is committed. */
static void note_change(struct volume *volume, uint64_t start, uint64_t count, int in_use) {
    volume->changed = true;
    for (uint64_t i = 0; i < count; i++) {
        volume->dirty_groups[ext2fs_group_of_blk2(volume->fs, start + i)] |= DIRTY_BLOCKS;
    }
    if (in_use > 0) {
        ext2fs_unmark_block_bitmap_range2(volume->withheld, start, (unsigned)count);
        return;
    }
    ext2fs_mark_block_bitmap_range2(volume->fs->block_map, start, (unsigned)count);
    ext2fs_mark_block_bitmap_range2(volume->withheld, start, (unsigned)count);
    if (ranges_add(&volume->freed, start, count) != 0) {
        volume->broken = true; /* the block would be used again too early */
    }
}

static void note_block(ext2_filsys fs, blk64_t block, int in_use) { note_change(fs->priv_data, block, 1, in_use); }

static void note_blocks(ext2_filsys fs, blk64_t block, blk_t count, int in_use) {
    note_change(fs->priv_data, block, count, in_use);
}

int volume_find_blocks(struct volume *volume, uint64_t goal, uint64_t most, uint64_t *start, uint64_t *count) {
    ext2fs_block_bitmap map = volume->fs->block_map;
    uint64_t first = volume->fs->super->s_first_data_block, last = last_block(volume);
    blk64_t found;
    goal = goal < first || goal > last ? first : goal;
    if (ext2fs_find_first_zero_block_bitmap2(map, goal, last, &found) != 0 &&
        ext2fs_find_first_zero_block_bitmap2(map, first, goal, &found) != 0) {
        return ENOSPC;
    }
    *start = found;
    *count = 1;
    while (*count < most && found + *count <= last && !ext2fs_fast_test_block_bitmap2(map, found + *count)) {
        ++*count;
    }
    return 0;
}

static errcode_t find_for_library(ext2_filsys fs, blk64_t goal, blk64_t *found, struct blk_alloc_ctx *context) {
    uint64_t start, count;
    (void)context;
    if (volume_find_blocks(fs->priv_data, goal, 1, &start, &count) != 0) {
        return EXT2_ET_BLOCK_ALLOC_FAIL;
    }
    *found = start;
    return 0;
}

void volume_hook_library(struct volume *volume) {
    volume->fs->priv_data = volume;
    ext2fs_set_block_alloc_stats_callback(volume->fs, note_block, NULL);
    ext2fs_set_block_alloc_stats_range_callback(volume->fs, note_blocks, NULL);
    volume->fs->get_alloc_block2 = find_for_library;
}

static void withhold(struct volume *volume, uint64_t start, uint64_t count) {
    ext2fs_mark_block_bitmap_range2(volume->fs->block_map, start, (unsigned)count);
    ext2fs_mark_block_bitmap_range2(volume->withheld, start, (unsigned)count);
}

static void release(struct volume *volume, uint64_t start, uint64_t count) {
    ext2fs_unmark_block_bitmap_range2(volume->fs->block_map, start, (unsigned)count);
    ext2fs_unmark_block_bitmap_range2(volume->withheld, start, (unsigned)count);
}

int volume_reserve(struct volume *volume, uint64_t start, uint64_t count) {
    int error = ranges_add(&volume->reserved, start, count);
    if (error == 0) {
        withhold(volume, start, count);
    }
    return error;
}

void volume_unreserve(struct volume *volume, uint64_t start, uint64_t count) {
    ranges_remove(&volume->reserved, start, count);
    for (uint64_t i = 0; i < count; i++) { /* what was used meanwhile is withheld no more */
        if (ext2fs_test_block_bitmap2(volume->withheld, start + i)) {
            release(volume, start + i, 1);
        }
    }
}

void volume_withhold_again(struct volume *volume) {
    const struct ranges *lists[] = {&volume->pinned, &volume->reserved};
    for (unsigned list = 0; list < 2; list++) {
        for (unsigned i = 0; i < lists[list]->count; i++) {
            withhold(volume, lists[list]->range[i].start, lists[list]->range[i].count);
        }
    }
}

int volume_new_inode(struct volume *volume, ext2_ino_t parent, bool directory, ext2_ino_t *number) {
    ext2_filsys fs = volume->fs;
    ext2_ino_t first = EXT2_FIRST_INODE(fs->super), last = fs->super->s_inodes_count;
    ext2_ino_t goal = (ext2_ino_t)ext2fs_group_of_ino(fs, parent) * fs->super->s_inodes_per_group + 1;
    goal = goal < first ? first : goal;
    if (ext2fs_find_first_zero_inode_bitmap2(fs->inode_map, goal, last, number) != 0 &&
        ext2fs_find_first_zero_inode_bitmap2(fs->inode_map, first, goal, number) != 0) {
        return ENOSPC;
    }
    volume_count_inode(volume, *number, +1, directory);
    return 0;
}

void volume_count_inode(struct volume *volume, ext2_ino_t number, int change, bool directory) {
    ext2_filsys fs = volume->fs;
    dgrp_t group = ext2fs_group_of_ino(fs, number);
    volume->changed = true;
    ext2fs_inode_alloc_stats2(fs, number, change, directory);
    ext2fs_bg_flags_clear(fs, group, EXT2_BG_BLOCK_UNINIT);
    volume->dirty_groups[group] |= DIRTY_INODES | DIRTY_BLOCKS;
}

/* --- What an operation changed in memory, into the cache ---------------------------------------------------------- */

static int write_block_bitmap(struct volume *volume, dgrp_t group, uint8_t *bits, uint8_t *hidden) {
    ext2_filsys fs = volume->fs;
    uint64_t first = ext2fs_group_first_block2(fs, group);
    unsigned count = (unsigned)(ext2fs_group_last_block2(fs, group) - first + 1);
    unsigned bytes = fs->super->s_blocks_per_group / 8;
    memset(bits, 0, bytes);
    memset(hidden, 0, bytes);
    errcode_t code = ext2fs_get_block_bitmap_range2(fs->block_map, first, count, bits);
    if (code == 0) {
        code = ext2fs_get_block_bitmap_range2(volume->withheld, first, count, hidden);
    }
    if (code != 0) {
        return volume_error(code);
    }
    for (unsigned i = 0; i < bytes; i++) {
        bits[i] &= (uint8_t)~hidden[i];
    }
    for (unsigned i = count; i < fs->blocksize * 8; i++) { /* what is behind the end of the disk counts as used */
        ext2fs_set_bit(i, bits);
    }
    ext2fs_block_bitmap_csum_set(fs, group, (char *)bits, (int)bytes);
    return cache_write(&volume->cache, ext2fs_block_bitmap_loc(fs, group) * fs->blocksize, bits, fs->blocksize);
}

static int write_inode_bitmap(struct volume *volume, dgrp_t group, uint8_t *bits) {
    ext2_filsys fs = volume->fs;
    unsigned count = fs->super->s_inodes_per_group;
    memset(bits, 0xff, fs->blocksize);
    errcode_t code = ext2fs_get_inode_bitmap_range2(fs->inode_map, (uint64_t)group * count + 1, count, bits);
    if (code != 0) {
        return volume_error(code);
    }
    ext2fs_inode_bitmap_csum_set(fs, group, (char *)bits, (int)(count / 8));
    return cache_write(&volume->cache, ext2fs_inode_bitmap_loc(fs, group) * fs->blocksize, bits, fs->blocksize);
}

static int write_descriptor(struct volume *volume, dgrp_t group) {
    ext2_filsys fs = volume->fs;
    unsigned index = group / EXT2_DESC_PER_BLOCK(fs->super);
    blk64_t home = ext2fs_descriptor_block_loc2(fs, fs->super->s_first_data_block, index);
    ext2fs_group_desc_csum_set(fs, group);
    return cache_write(&volume->cache, home * fs->blocksize, (char *)fs->group_desc + (size_t)index * fs->blocksize,
                       fs->blocksize);
}

static int write_group(struct volume *volume, dgrp_t group, uint8_t *bits) {
    int error = 0;
    if (volume->dirty_groups[group] & DIRTY_BLOCKS) {
        error = write_block_bitmap(volume, group, bits, bits + volume->fs->blocksize);
    }
    if (error == 0 && volume->dirty_groups[group] & DIRTY_INODES) {
        error = write_inode_bitmap(volume, group, bits);
    }
    return error != 0 ? error : write_descriptor(volume, group);
}

static int write_groups(struct volume *volume) {
    uint8_t *bits = malloc(2 * (size_t)volume->fs->blocksize);
    int error = bits == NULL ? ENOMEM : 0;
    for (dgrp_t group = 0; group < volume->fs->group_desc_count && error == 0; group++) {
        if (volume->dirty_groups[group] != 0) {
            error = write_group(volume, group, bits);
        }
    }
    free(bits);
    ext2fs_superblock_csum_set(volume->fs, volume->fs->super);
    return error != 0 ? error : cache_write(&volume->cache, SUPER_OFFSET, volume->fs->super, SUPERBLOCK_SIZE);
}

/* --- Operations --------------------------------------------------------------------------------------------------- */

/* Whether one more operation fits into the running transaction. */
static bool has_room(const struct volume *volume) {
    return volume->cache.running + OPERATION_BLOCKS <= journal_capacity(&volume->journal) &&
           survivor_has_room(&volume->survivor);
}

int volume_begin(struct volume *volume) {
    if (volume->read_only) {
        return EROFS;
    }
    if (volume->broken) {
        return EIO;
    }
    int error = has_room(volume) ? 0 : volume_commit(volume);
    volume->in_operation = error == 0;
    return error;
}

static void end_operation(struct volume *volume) {
    volume->freed.count = 0;
    memset(volume->dirty_groups, 0, volume->fs->group_desc_count);
    volume->in_operation = volume->changed = false;
}

static void take_back(struct volume *volume) {
    bool changed = volume->changed || volume->cache.changing_count > 0;
    end_operation(volume);
    cache_abort(&volume->cache);
    if (!changed) {
        return;
    }
    directory_forget_all(volume);
    if (volume_reopen(volume) != 0) {
        volume->broken = true;
    }
}

/* The blocks that the operation freed need not be written any more, and must not be by a replay. */
static int forget_freed(struct volume *volume) {
    for (unsigned i = 0; i < volume->freed.count; i++) {
        const struct range *range = &volume->freed.range[i];
        for (uint64_t block = range->start; block < range->start + range->count; block++) {
            if (cache_forget(&volume->cache, block) && journal_revoke(&volume->journal, block) != 0) {
                return ENOMEM;
            }
        }
    }
    return ranges_move(&volume->pinned, &volume->freed);
}

int volume_end(struct volume *volume, int error, const struct survivor_answer *answer) {
    if (error == 0) {
        error = write_groups(volume);
    }
    if (error == 0 && (volume->cache.too_large ||
                       volume->cache.running + volume->cache.changing_count > journal_capacity(&volume->journal))) {
        error = EFBIG;
    }
    if (error != 0 || volume->broken) {
        take_back(volume);
        return error != 0 ? error : EIO;
    }
    if (forget_freed(volume) != 0) {
        volume->broken = true;
        return EIO;
    }
    cache_accept(&volume->cache);
    if (answer != NULL) {
        survivor_put_answer(&volume->survivor, answer);
    }
    survivor_publish(&volume->survivor);
    end_operation(volume);
    return 0;
}

bool volume_is_dirty(const struct volume *volume) { return volume->cache.running > 0; }

static void release_pinned(struct volume *volume) {
    for (unsigned i = 0; i < volume->pinned.count; i++) {
        release(volume, volume->pinned.range[i].start, volume->pinned.range[i].count);
    }
    volume->pinned.count = 0;
}

int volume_commit(struct volume *volume) {
    if (volume->broken) {
        return EIO;
    }
    if (volume->read_only) {
        return 0;
    }
    if (!volume_is_dirty(volume)) {
        return volume->disk->flush(volume->disk);
    }
    int error = journal_commit(&volume->journal, &volume->cache);
    if (error == 0) {
        survivor_clear(&volume->survivor);
        release_pinned(volume);
        volume->commits++;
        if (journal_is_filling(&volume->journal, &volume->cache)) {
            error = journal_checkpoint(&volume->journal, &volume->cache, false);
        }
    }
    volume->broken = error != 0;
    return error;
}
