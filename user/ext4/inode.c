/*
 * Inodes on the disk, by libext2fs. See inode.h; what frees them is in inode_free.c. Guard: the volume's lock.
 */
#include "user/ext4/inode.h"

#include <errno.h>
#include <ext2fs/ext3_extents.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>

#define SECOND      1000000000LL
#define LINKS_MAX   65000U
#define LARGE_BYTES (sizeof(struct ext2_inode_large) - EXT2_GOOD_OLD_INODE_SIZE) /* of i_extra_isize */

static bool is_valid_number(const struct volume *volume, uint64_t number) {
    const struct ext2_super_block *super = volume->fs->super;
    return number == EXT2_ROOT_INO || (number >= EXT2_FIRST_INODE(super) && number <= super->s_inodes_count);
}

int inode_read(struct volume *volume, uint64_t number, struct ext2_inode_large *inode) {
    if (!is_valid_number(volume, number)) {
        return ESTALE;
    }
    memset(inode, 0, sizeof *inode);
    errcode_t code = ext2fs_read_inode_full(volume->fs, (ext2_ino_t)number, (struct ext2_inode *)inode, sizeof *inode);
    if (code != 0) {
        return volume_error(code);
    }
    if (inode->i_links_count == 0 && !orphan_is(volume, (ext2_ino_t)number)) {
        return ESTALE;
    }
    return inode->i_mode == 0 ? EIO : 0;
}

int inode_write(struct volume *volume, ext2_ino_t number, const struct ext2_inode_large *inode) {
    struct ext2_inode_large copy = *inode;
    return volume_error(ext2fs_write_inode_full(volume->fs, number, (struct ext2_inode *)&copy, sizeof copy));
}

/* --- Times: seconds since 1970 in 32 bits; two more bits and nanoseconds in the extra word ------------------------ */

static bool has_extra(const struct volume *volume, const struct ext2_inode_large *inode) {
    return EXT2_INODE_SIZE(volume->fs->super) > EXT2_GOOD_OLD_INODE_SIZE && inode->i_extra_isize >= 24;
}

static int64_t time_of(uint32_t seconds, uint32_t extra) {
    int64_t whole = (int32_t)seconds + ((int64_t)(extra & EXT4_EPOCH_MASK) << 32);
    return whole * SECOND + (extra >> EXT4_EPOCH_BITS) % SECOND;
}

static void put_time(int64_t time, bool extra, uint32_t *seconds, uint32_t *more) {
    int64_t nanoseconds = (time % SECOND + SECOND) % SECOND, whole = (time - nanoseconds) / SECOND;
    *seconds = (uint32_t)whole;
    if (extra) {
        *more = (uint32_t)((whole - (int32_t)whole) >> 32 & EXT4_EPOCH_MASK) | (uint32_t)nanoseconds << EXT4_EPOCH_BITS;
    }
}

void inode_set_times(struct volume *volume, struct ext2_inode_large *inode, uint32_t set,
                     const struct fs_attributes *times) {
    bool extra = has_extra(volume, inode);
    if (set & FS_SET_ACCESSED) {
        put_time(times->accessed, extra, &inode->i_atime, &inode->i_atime_extra);
    }
    if (set & FS_SET_MODIFIED) {
        put_time(times->modified, extra, &inode->i_mtime, &inode->i_mtime_extra);
    }
    if (set & FS_SET_CHANGED) {
        put_time(times->changed, extra, &inode->i_ctime, &inode->i_ctime_extra);
    }
}

static int64_t now(void) {
    struct timespec time;
    clock_gettime(CLOCK_REALTIME, &time);
    return time.tv_sec * SECOND + time.tv_nsec;
}

void inode_touch(struct volume *volume, struct ext2_inode_large *inode, bool modified) {
    int64_t time = now();
    struct fs_attributes times = {.modified = time, .changed = time};
    inode_set_times(volume, inode, FS_SET_CHANGED | (modified ? FS_SET_MODIFIED : 0), &times);
}

/* --- Attributes --------------------------------------------------------------------------------------------------- */

static uint64_t device_of(const struct ext2_inode_large *inode) {
    if (inode->i_block[0] != 0) {
        return inode->i_block[0] & 0xffff;
    }
    uint32_t code = inode->i_block[1];
    return (uint64_t)(code & 0xfff00) | (code & 0xff) | (uint64_t)(code & 0xfff00000) >> 12;
}

uint32_t inode_links(const struct ext2_inode_large *inode) { return inode->i_links_count; }

void inode_attributes(struct volume *volume, ext2_ino_t number, const struct ext2_inode_large *inode,
                      struct fs_attributes *out) {
    bool extra = has_extra(volume, inode);
    struct ext2_inode *small = (struct ext2_inode *)(uintptr_t)inode;
    *out = (struct fs_attributes){
        .node = number,
        .size = EXT2_I_SIZE(inode),
        .blocks = ext2fs_get_stat_i_blocks(volume->fs, small),
        .mode = inode->i_mode,
        .links = inode_links(inode),
        .uid = inode_uid(*inode),
        .gid = inode_gid(*inode),
        .accessed = time_of(inode->i_atime, extra ? inode->i_atime_extra : 0),
        .modified = time_of(inode->i_mtime, extra ? inode->i_mtime_extra : 0),
        .changed = time_of(inode->i_ctime, extra ? inode->i_ctime_extra : 0),
    };
    if (S_ISCHR(inode->i_mode) || S_ISBLK(inode->i_mode)) {
        out->device = device_of(inode);
    }
}

void inode_set_owner(struct ext2_inode_large *inode, uint32_t uid, uint32_t gid) {
    inode->i_uid = (uint16_t)uid;
    inode->osd2.linux2.l_i_uid_high = (uint16_t)(uid >> 16);
    inode->i_gid = (uint16_t)gid;
    inode->osd2.linux2.l_i_gid_high = (uint16_t)(gid >> 16);
}

int inode_add_links(struct volume *volume, struct ext2_inode_large *inode, int change) {
    bool directory = S_ISDIR(inode->i_mode);
    if (directory && inode->i_links_count == 1) {
        return 0; /* has more than can be counted */
    }
    uint32_t links = inode->i_links_count + (uint32_t)change;
    if (links > LINKS_MAX) {
        if (!directory || !ext2fs_has_feature_dir_nlink(volume->fs->super)) {
            return EMLINK;
        }
        links = 1;
    }
    inode->i_links_count = (uint16_t)links;
    return 0;
}

/* --- Making ------------------------------------------------------------------------------------------------------- */

static void set_device(struct ext2_inode_large *inode, uint64_t device) {
    uint32_t major = (uint32_t)(device >> 8) & 0xfff, minor = (uint32_t)(device & 0xff);
    inode->i_block[0] = major < 256 ? major << 8 | minor : 0;
    inode->i_block[1] = major < 256 ? 0 : major << 8 | minor;
}

int inode_make(struct volume *volume, ext2_ino_t parent, const struct fs_attributes *wanted, ext2_ino_t *number,
               struct ext2_inode_large *inode) {
    ext2_filsys fs = volume->fs;
    bool directory = S_ISDIR(wanted->mode);
    int error = volume_new_inode(volume, parent, directory, number);
    if (error != 0) {
        return error;
    }
    memset(inode, 0, sizeof *inode);
    inode->i_mode = (uint16_t)wanted->mode;
    inode->i_links_count = directory ? 2 : 1;
    inode_set_owner(inode, wanted->uid, wanted->gid);
    if (EXT2_INODE_SIZE(fs->super) > EXT2_GOOD_OLD_INODE_SIZE) {
        inode->i_extra_isize = LARGE_BYTES;
    }
    if (getrandom(&inode->i_generation, sizeof inode->i_generation, GRND_NONBLOCK) < 0) {
        inode->i_generation = (uint32_t)now();
    }
    int64_t time = now();
    struct fs_attributes times = {.accessed = time, .modified = time, .changed = time};
    inode_set_times(volume, inode, FS_SET_ACCESSED | FS_SET_MODIFIED | FS_SET_CHANGED, &times);
    put_time(time, has_extra(volume, inode), &inode->i_crtime, &inode->i_crtime_extra);
    if (S_ISCHR(wanted->mode) || S_ISBLK(wanted->mode)) {
        set_device(inode, wanted->device);
    }
    if ((directory || S_ISREG(wanted->mode)) && ext2fs_has_feature_extents(fs->super)) {
        inode->i_flags |= EXT4_EXTENTS_FL;
        struct ext3_extent_header *header = (void *)inode->i_block;
        header->eh_magic = EXT3_EXT_MAGIC;
        header->eh_max = (sizeof inode->i_block - sizeof *header) / sizeof(struct ext3_extent);
    }
    return volume_error(ext2fs_write_inode_full(fs, *number, (struct ext2_inode *)inode, sizeof *inode));
}
