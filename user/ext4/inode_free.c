/*
 * Freeing: blocks of a file in steps that fit into a transaction, inodes, and the list of orphans.
 *
 * The list is linked through i_dtime from the superblock on; here it is an array whose last element is the head.
 * Guard: the volume's lock.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "user/ext4/directory.h"
#include "user/ext4/inode.h"

enum { CUT_STEP = 16384 }; /* blocks that are freed in one operation: they touch two bitmaps at most, and few extents */

/* --- Orphans ------------------------------------------------------------------------------------------------------ */

bool orphan_is(const struct volume *volume, ext2_ino_t number) {
    for (unsigned i = 0; i < volume->orphan_count; i++) {
        if (volume->orphans[i] == number) {
            return true;
        }
    }
    return false;
}

static int note_orphan(struct volume *volume, ext2_ino_t number) {
    if (volume->orphan_count == volume->orphan_room) {
        unsigned room = volume->orphan_room * 2 + 64;
        ext2_ino_t *larger = realloc(volume->orphans, room * sizeof *larger);
        if (larger == NULL) {
            return ENOMEM;
        }
        volume->orphans = larger;
        volume->orphan_room = room;
    }
    volume->orphans[volume->orphan_count++] = number;
    return 0;
}

int orphan_load(struct volume *volume) {
    struct ext2_super_block *super = volume->fs->super;
    volume->orphan_count = 0;
    for (ext2_ino_t number = super->s_last_orphan; number != 0;) {
        struct ext2_inode inode;
        if (number < EXT2_FIRST_INODE(super) || number > super->s_inodes_count || orphan_is(volume, number) ||
            ext2fs_read_inode(volume->fs, number, &inode) != 0) {
            return EUCLEAN;
        }
        int error = note_orphan(volume, number);
        if (error != 0) {
            return error;
        }
        number = inode.i_dtime;
    }
    for (unsigned i = 0; i < volume->orphan_count / 2; i++) { /* the head last */
        ext2_ino_t *low = &volume->orphans[i], *high = &volume->orphans[volume->orphan_count - 1 - i], swap = *low;
        *low = *high;
        *high = swap;
    }
    return 0;
}

int orphan_add(struct volume *volume, ext2_ino_t number, struct ext2_inode_large *inode) {
    if (orphan_is(volume, number)) {
        return 0;
    }
    int error = note_orphan(volume, number);
    if (error == 0) {
        inode->i_dtime = volume->fs->super->s_last_orphan;
        volume->fs->super->s_last_orphan = number;
        error = inode_write(volume, number, inode);
    }
    return error;
}

/* Takes it from the list; i_dtime is then the caller's to set and *inode to write. */
int orphan_remove(struct volume *volume, ext2_ino_t number, struct ext2_inode_large *inode) {
    unsigned at = 0;
    while (at < volume->orphan_count && volume->orphans[at] != number) {
        at++;
    }
    if (at == volume->orphan_count) {
        return 0;
    }
    int error = 0;
    if (at + 1 == volume->orphan_count) {
        volume->fs->super->s_last_orphan = inode->i_dtime;
    } else {
        struct ext2_inode before;
        ext2_ino_t number_before = volume->orphans[at + 1];
        error = volume_error(ext2fs_read_inode(volume->fs, number_before, &before));
        before.i_dtime = inode->i_dtime;
        error = error != 0 ? error : volume_error(ext2fs_write_inode(volume->fs, number_before, &before));
    }
    memmove(&volume->orphans[at], &volume->orphans[at + 1], (volume->orphan_count - at - 1) * sizeof *volume->orphans);
    volume->orphan_count--;
    inode->i_dtime = 0;
    return error;
}

/* --- Blocks ------------------------------------------------------------------------------------------------------- */

/* Behind the last mapped block of a file with extents. */
static int end_of_blocks(struct volume *volume, ext2_ino_t number, struct ext2_inode_large *inode, uint64_t *end) {
    ext2_extent_handle_t handle;
    struct ext2fs_extent extent;
    *end = 0;
    errcode_t code = ext2fs_extent_open2(volume->fs, number, (struct ext2_inode *)inode, &handle);
    if (code != 0) {
        return volume_error(code);
    }
    code = ext2fs_extent_get(handle, EXT2_EXTENT_ROOT, &extent);
    if (code == 0) {
        code = ext2fs_extent_get(handle, EXT2_EXTENT_LAST_LEAF, &extent);
    }
    if (code == 0) {
        *end = extent.e_lblk + extent.e_len;
    }
    ext2fs_extent_free(handle);
    return code == EXT2_ET_NO_CURRENT_NODE || code == EXT2_ET_EXTENT_NO_NEXT || code == EXT2_ET_EXTENT_NO_DOWN
               ? 0
               : volume_error(code);
}

static bool has_blocks(const struct ext2_inode_large *inode) {
    return S_ISREG(inode->i_mode) || S_ISDIR(inode->i_mode) || (S_ISLNK(inode->i_mode) && inode->i_blocks != 0);
}

int inode_cut_step(struct volume *volume, ext2_ino_t number, uint64_t first, bool *more) {
    struct ext2_inode_large inode;
    uint64_t end, from = first;
    int error = inode_read(volume, number, &inode);
    *more = false;
    if (error != 0 || !has_blocks(&inode)) {
        return error;
    }
    if (inode.i_flags & EXT4_EXTENTS_FL) {
        error = end_of_blocks(volume, number, &inode, &end);
        if (error != 0 || end <= first) {
            return error;
        }
        from = end - first > CUT_STEP ? end - CUT_STEP : first;
        *more = from > first;
    }
    return volume_error(ext2fs_punch(volume->fs, number, (struct ext2_inode *)&inode, NULL, from, ~0ULL));
}

int inode_cut(struct volume *volume, ext2_ino_t number, uint64_t first) {
    for (bool more = true; more;) {
        int error = volume_begin(volume);
        if (error == 0) {
            error = volume_end(volume, inode_cut_step(volume, number, first, &more), NULL);
        }
        if (error != 0) {
            return error;
        }
    }
    return 0;
}

/* --- Inodes ------------------------------------------------------------------------------------------------------- */

static int free_attributes(struct volume *volume, ext2_ino_t number, struct ext2_inode_large *inode) {
    if (ext2fs_file_acl_block(volume->fs, (struct ext2_inode *)inode) == 0) {
        return 0;
    }
    int error = volume_error(ext2fs_free_ext_attr(volume->fs, number, inode));
    return error != 0 ? error : inode_read(volume, number, inode);
}

static int free_inode(struct volume *volume, ext2_ino_t number) {
    struct ext2_inode_large inode;
    int error = inode_read(volume, number, &inode);
    error = error != 0 ? error : free_attributes(volume, number, &inode);
    error = error != 0 ? error : orphan_remove(volume, number, &inode);
    if (error != 0) {
        return error;
    }
    inode.i_links_count = 0;
    inode.i_size = inode.i_size_high = 0;
    inode.i_dtime = (uint32_t)time(NULL);
    volume_count_inode(volume, number, -1, S_ISDIR(inode.i_mode));
    return inode_write(volume, number, &inode);
}

int inode_free(struct volume *volume, ext2_ino_t number, const struct survivor_answer *answer) {
    directory_forget(volume, number);
    int error = inode_cut(volume, number, 0);
    error = error != 0 ? error : volume_begin(volume);
    return error != 0 ? error : volume_end(volume, free_inode(volume, number), answer);
}

/* One that was being cut shorter: the cut is finished, and it is no orphan any more. */
static int finish_cut(struct volume *volume, ext2_ino_t number, struct ext2_inode_large *inode) {
    uint64_t first = (EXT2_I_SIZE(inode) + volume->fs->blocksize - 1) / volume->fs->blocksize;
    int error = inode_cut(volume, number, first);
    error = error != 0 ? error : volume_begin(volume);
    if (error != 0) {
        return error;
    }
    error = inode_read(volume, number, inode);
    error = error != 0 ? error : orphan_remove(volume, number, inode);
    return volume_end(volume, error != 0 ? error : inode_write(volume, number, inode), NULL);
}

int orphan_free_all(struct volume *volume) {
    while (volume->orphan_count > 0) {
        ext2_ino_t number = volume->orphans[volume->orphan_count - 1];
        struct ext2_inode_large inode;
        int error = inode_read(volume, number, &inode);
        if (error == 0) {
            error = inode.i_links_count == 0 ? inode_free(volume, number, NULL) : finish_cut(volume, number, &inode);
        }
        if (error != 0) {
            return error;
        }
    }
    return 0;
}
