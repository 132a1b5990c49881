/*
 * Mounting and unmounting: the journal first, then what an earlier process left in memory, then libext2fs, then
 * orphans. Nothing that the disk says is believed unchecked: libext2fs checks sums and structures, here are features
 * and bounds.
 * Guard: nobody else uses the volume yet, or any more.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "user/ext4/directory.h"
#include "user/ext4/inode.h"
#include "user/ext4/volume_open.h"

enum { SUPER_OFFSET = 1024 };

#define CAN_READ                                                                                                       \
    (EXT2_FEATURE_INCOMPAT_FILETYPE | EXT3_FEATURE_INCOMPAT_RECOVER | EXT2_FEATURE_INCOMPAT_META_BG |                  \
     EXT3_FEATURE_INCOMPAT_EXTENTS | EXT4_FEATURE_INCOMPAT_64BIT | EXT4_FEATURE_INCOMPAT_FLEX_BG |                     \
     EXT4_FEATURE_INCOMPAT_CSUM_SEED | EXT4_FEATURE_INCOMPAT_LARGEDIR)
#define CAN_WRITE                                                                                                      \
    (EXT2_FEATURE_RO_COMPAT_SPARSE_SUPER | EXT2_FEATURE_RO_COMPAT_LARGE_FILE | EXT4_FEATURE_RO_COMPAT_HUGE_FILE |      \
     EXT4_FEATURE_RO_COMPAT_GDT_CSUM | EXT4_FEATURE_RO_COMPAT_DIR_NLINK | EXT4_FEATURE_RO_COMPAT_EXTRA_ISIZE |         \
     EXT4_FEATURE_RO_COMPAT_METADATA_CSUM)

/* --- The superblock ----------------------------------------------------------------------------------------------- */

static int read_super(struct disk *disk, struct ext2_super_block *super) {
    _Static_assert(sizeof *super == SUPERBLOCK_SIZE, "as on the disk");
    return disk->size < 2 * SUPER_OFFSET ? EINVAL : disk->read(disk, SUPER_OFFSET, super, sizeof *super);
}

static int check_super(const struct disk *disk, struct ext2_super_block *super) {
    if (super->s_magic != EXT2_SUPER_MAGIC) {
        return EINVAL;
    }
    if (super->s_log_block_size > 2 || (super->s_feature_incompat & ~(unsigned)CAN_READ) != 0 ||
        !ext2fs_has_feature_filetype(super) || super->s_creator_os != EXT2_OS_LINUX) {
        return EOPNOTSUPP;
    }
    uint64_t size = 1024U << super->s_log_block_size, blocks = ext2fs_blocks_count(super);
    if (blocks == 0 || blocks > disk->size / size || super->s_first_data_block > 1 || super->s_inodes_per_group == 0 ||
        super->s_blocks_per_group == 0 || super->s_blocks_per_group > 8 * size || super->s_blocks_per_group % 8 != 0 ||
        super->s_inodes_per_group > 8 * size || super->s_inodes_per_group % 8 != 0 ||
        EXT2_INODE_SIZE(super) < EXT2_GOOD_OLD_INODE_SIZE || EXT2_INODE_SIZE(super) > size ||
        (EXT2_INODE_SIZE(super) & (EXT2_INODE_SIZE(super) - 1)) != 0) {
        return EUCLEAN;
    }
    return 0;
}

/* Why it cannot be written, or NULL. */
static const char *why_read_only(const struct disk *disk, struct ext2_super_block *super) {
    if (disk->read_only) {
        return "the disk cannot be written";
    }
    if (!ext2fs_has_feature_journal(super)) {
        return "it has no journal";
    }
    if ((super->s_feature_ro_compat & ~(unsigned)CAN_WRITE) != 0) {
        return "it has features that only a reader can ignore";
    }
    if (super->s_state & EXT2_ERROR_FS) {
        return "it is marked as damaged: e2fsck, please";
    }
    return NULL;
}

/* Sets or clears the mark that says: replay the journal first. Straight to the disk, between transactions. */
static int mark_in_use(struct volume *volume, bool in_use) {
    struct disk *disk = volume->disk;
    struct ext2_super_block super;
    int error = read_super(disk, &super);
    if (error != 0) {
        return error;
    }
    if (in_use) {
        ext2fs_set_feature_journal_needs_recovery(&super);
    } else {
        ext2fs_clear_feature_journal_needs_recovery(&super);
    }
    ext2fs_superblock_csum_set(volume->fs, &super);
    error = disk->write(disk, SUPER_OFFSET, &super, sizeof super);
    return error != 0 ? error : disk->flush(disk);
}

/* --- Opening libext2fs -------------------------------------------------------------------------------------------- */

static int open_library(struct volume *volume, int flags) {
    char name[32];
    errcode_t code = ext2fs_open2(cache_name(&volume->cache, name), NULL, flags | EXT2_FLAG_64BITS, 0, 0,
                                  &cache_io_manager, &volume->fs);
    if (code != 0) {
        volume->fs = NULL;
    }
    return code == 0 ? 0 : code < 256 ? (int)code : EUCLEAN;
}

static void close_library(struct volume *volume) {
    if (volume->withheld != NULL) {
        ext2fs_free_block_bitmap(volume->withheld);
        volume->withheld = NULL;
    }
    if (volume->fs != NULL) {
        ext2fs_free(volume->fs);
        volume->fs = NULL;
    }
    free(volume->dirty_groups);
    volume->dirty_groups = NULL;
}

/* Blocks that descriptors name must be on the disk. */
static int check_groups(ext2_filsys fs) {
    uint64_t end = ext2fs_blocks_count(fs->super);
    for (dgrp_t group = 0; group < fs->group_desc_count; group++) {
        if (ext2fs_block_bitmap_loc(fs, group) == 0 || ext2fs_block_bitmap_loc(fs, group) >= end ||
            ext2fs_inode_bitmap_loc(fs, group) == 0 || ext2fs_inode_bitmap_loc(fs, group) >= end ||
            ext2fs_inode_table_loc(fs, group) == 0 ||
            ext2fs_inode_table_loc(fs, group) + fs->inode_blocks_per_group > end) {
            return EUCLEAN;
        }
    }
    return 0;
}

/* The sums of the groups' counters: what Linux leaves in the superblock may be older. */
static void count_free(ext2_filsys fs) {
    uint64_t blocks = 0, inodes = 0;
    for (dgrp_t group = 0; group < fs->group_desc_count; group++) {
        blocks += ext2fs_bg_free_blocks_count(fs, group);
        inodes += ext2fs_bg_free_inodes_count(fs, group);
    }
    ext2fs_free_blocks_count_set(fs->super, blocks);
    fs->super->s_free_inodes_count = (uint32_t)inodes;
}

static int read_bitmaps(struct volume *volume) {
    ext2_filsys fs = volume->fs;
    fs->default_bitmap_type = EXT2FS_BMAP64_BITARRAY;
    errcode_t code = ext2fs_read_bitmaps(fs);
    if (code == 0) {
        code = ext2fs_allocate_block_bitmap(fs, "withheld", &volume->withheld);
    }
    volume->dirty_groups = calloc(fs->group_desc_count, 1);
    if (code == EXT2_ET_NO_MEMORY || volume->dirty_groups == NULL) {
        return ENOMEM;
    }
    return code == 0 ? 0 : code < 256 ? (int)code : EUCLEAN;
}

int volume_reopen(struct volume *volume) {
    close_library(volume);
    int error = open_library(volume, volume->read_only ? 0 : EXT2_FLAG_RW);
    error = error != 0 ? error : check_groups(volume->fs);
    if (error == 0 && !volume->read_only) {
        error = read_bitmaps(volume);
        if (error == 0) {
            volume_hook_library(volume);
            volume_withhold_again(volume);
            count_free(volume->fs);
            error = orphan_load(volume);
        }
    }
    return error;
}

/* --- Mounting ----------------------------------------------------------------------------------------------------- */

/* What the journal has goes home; then it is empty and in use. */
static int start_journal(struct volume *volume, bool needs_replay, unsigned *replayed) {
    int error = open_library(volume, EXT2_FLAG_IGNORE_CSUM_ERRORS);
    error = error != 0 ? error : check_groups(volume->fs);
    error = error != 0 ? error : journal_open(&volume->journal, volume->disk, volume->fs);
    if (error == 0) {
        volume->has_journal = true;
        error = needs_replay ? journal_replay(&volume->journal, replayed) : 0;
    }
    if (error == 0) {
        struct ext2_super_block *super = volume->fs->super;
        error =
            journal_start(&volume->journal, ext2fs_has_feature_metadata_csum(super), ext2fs_has_feature_64bit(super));
    }
    error = error != 0 ? error : mark_in_use(volume, true);
    close_library(volume);
    return error == EIO ? EUCLEAN : error;
}

/* Blocks of the transaction that an earlier process was at. */
static int take_over(struct volume *volume) {
    int error = 0;
    for (int slot = 0; slot < SURVIVOR_SLOTS && error == 0; slot++) {
        uint64_t block;
        const void *bytes;
        if (survivor_get_block(&volume->survivor, slot, &block, &bytes)) {
            error = cache_restore(&volume->cache, block, bytes, slot);
        }
    }
    return error;
}

static int mount_to_write(struct volume *volume, struct ext2_super_block *super, void *memory, char note[160]) {
    bool again, needs_replay = ext2fs_has_feature_journal_needs_recovery(super);
    unsigned replayed = 0;
    survivor_open(&volume->survivor, memory, volume->cache.block_size, super->s_uuid, &again);
    int error = start_journal(volume, needs_replay, &replayed);
    cache_destroy(&volume->cache); /* the replay changed the disk under it */
    if (error == 0) {
        error = cache_create(&volume->cache, volume->disk, &volume->survivor, 1024U << super->s_log_block_size);
    } else {
        volume->cache.table = NULL;
    }
    error = error != 0 ? error : take_over(volume);
    error = error != 0 ? error : volume_reopen(volume);
    error = error != 0 ? error : volume_commit(volume);
    unsigned orphans = volume->orphan_count;
    if (error == 0 && !again) {
        error = orphan_free_all(volume);
    }
    if (error == 0 && !again && (replayed > 0 || orphans > 0)) {
        snprintf(note, 160, "%u transactions replayed, %u orphans freed", replayed, orphans);
    }
    return error;
}

static int mount_to_read(struct volume *volume, struct ext2_super_block *super, const char *why, char note[160]) {
    if (ext2fs_has_feature_journal_needs_recovery(super)) {
        return EROFS;
    }
    volume->read_only = true;
    snprintf(note, 160, "read-only: %s", why);
    return volume_reopen(volume);
}

int volume_mount(struct volume *volume, struct disk *disk, void *memory, char note[160]) {
    struct ext2_super_block super;
    *volume = (struct volume){.disk = disk};
    note[0] = '\0';
    pthread_mutex_init(&volume->lock, NULL);
    pthread_cond_init(&volume->moved, NULL);
    int error = read_super(disk, &super);
    error = error != 0 ? error : check_super(disk, &super);
    error = error != 0 ? error : cache_create(&volume->cache, disk, &volume->survivor, 1024U << super.s_log_block_size);
    if (error == 0) {
        const char *why = why_read_only(disk, &super);
        pthread_mutex_lock(&volume->lock);
        error = why != NULL ? mount_to_read(volume, &super, why, note) : mount_to_write(volume, &super, memory, note);
        pthread_mutex_unlock(&volume->lock);
    }
    if (error != 0) {
        volume_destroy(volume);
    }
    return error;
}

int volume_unmount(struct volume *volume) {
    pthread_mutex_lock(&volume->lock);
    int error = volume->read_only || volume->broken ? 0 : orphan_free_all(volume); /* nobody has them open any more */
    error = error != 0 ? error : volume_commit(volume);
    if (error == 0 && !volume->read_only) {
        error = journal_checkpoint(&volume->journal, &volume->cache, true);
        error = error != 0 ? error : mark_in_use(volume, false);
    }
    volume->read_only = true;
    pthread_mutex_unlock(&volume->lock);
    return error;
}

void volume_destroy(struct volume *volume) {
    directory_forget_all(volume);
    close_library(volume);
    if (volume->has_journal) {
        journal_close(&volume->journal);
    }
    if (volume->cache.table != NULL) {
        cache_destroy(&volume->cache);
    }
    ranges_destroy(&volume->freed);
    ranges_destroy(&volume->pinned);
    ranges_destroy(&volume->reserved);
    free(volume->orphans);
    pthread_cond_destroy(&volume->moved);
    pthread_mutex_destroy(&volume->lock);
    *volume = (struct volume){0};
}
