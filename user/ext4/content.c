/*
 * Content in pieces: a piece is what is in one place on the disk. Guard: the volume's lock for pieces being found,
 * reserved and mapped; none while the driver moves them, when the file's number stands in volume->moving.
 */
#include "user/ext4/content.h"

#include <errno.h>
#include <ext2fs/ext3_extents.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "user/ext4/inode.h"

enum piece_kind { PIECE_HOLE, PIECE_WRITTEN, PIECE_UNWRITTEN, PIECE_RESERVED };

struct piece {
    enum piece_kind kind;
    uint64_t block, home, count; /* of the file, on the disk, how many */
};

struct pieces {
    struct piece *piece;
    unsigned count, room;
};

static int add_piece(struct pieces *pieces, struct piece piece) {
    struct piece *last = pieces->count > 0 ? &pieces->piece[pieces->count - 1] : NULL;
    if (last != NULL && last->kind == piece.kind && last->block + last->count == piece.block &&
        (piece.kind == PIECE_HOLE || last->home + last->count == piece.home)) {
        last->count += piece.count;
        return 0;
    }
    if (pieces->count == pieces->room) {
        unsigned room = pieces->room * 2 + 16;
        struct piece *larger = realloc(pieces->piece, room * sizeof *larger);
        if (larger == NULL) {
            return ENOMEM;
        }
        pieces->piece = larger;
        pieces->room = room;
    }
    pieces->piece[pieces->count++] = piece;
    return 0;
}

/* --- Where content is --------------------------------------------------------------------------------------------- */

static bool is_on_disk(const struct volume *volume, uint64_t home, uint64_t count) {
    uint64_t end = ext2fs_blocks_count(volume->fs->super);
    return home >= volume->fs->super->s_first_data_block && home < end && count <= end - home;
}

/*
 * From the extent under the cursor on, the first that ends behind `block`. EXT2_ET_EXTENT_NO_NEXT: there is none. The
 * library visits a leaf that it was sent to once more from its beginning: what was passed already is passed again.
 */
static errcode_t skip_to(ext2_extent_handle_t handle, uint64_t block, struct ext2fs_extent *extent) {
    errcode_t code = ext2fs_extent_get(handle, EXT2_EXTENT_CURRENT, extent);
    while (code == 0 && extent->e_lblk + extent->e_len <= block) {
        code = ext2fs_extent_get(handle, EXT2_EXTENT_NEXT_LEAF, extent);
    }
    return code == EXT2_ET_NO_CURRENT_NODE ? EXT2_ET_EXTENT_NO_NEXT : code;
}

static errcode_t extent_from(ext2_extent_handle_t handle, uint64_t block, struct ext2fs_extent *extent) {
    errcode_t code = ext2fs_extent_goto(handle, block);
    return code != 0 && code != EXT2_ET_EXTENT_NOT_FOUND ? code : skip_to(handle, block, extent);
}

static int find_by_extents(struct volume *volume, ext2_ino_t number, struct ext2_inode *inode, uint64_t block,
                           uint64_t end, struct pieces *pieces) {
    ext2_extent_handle_t handle;
    errcode_t code = ext2fs_extent_open2(volume->fs, number, inode, &handle);
    if (code != 0) {
        return volume_error(code);
    }
    int error = 0;
    struct ext2fs_extent extent;
    code = extent_from(handle, block, &extent);
    while (code == 0 && error == 0 && block < end && extent.e_lblk < end) {
        if (extent.e_lblk > block) {
            error = add_piece(pieces, (struct piece){PIECE_HOLE, block, 0, extent.e_lblk - block});
            block = extent.e_lblk;
        }
        uint64_t skipped = block - extent.e_lblk, count = extent.e_len - skipped;
        count = count < end - block ? count : end - block;
        enum piece_kind kind = extent.e_flags & EXT2_EXTENT_FLAGS_UNINIT ? PIECE_UNWRITTEN : PIECE_WRITTEN;
        if (skipped >= extent.e_len || !is_on_disk(volume, extent.e_pblk + skipped, count)) {
            error = EIO;
        }
        error = error != 0 ? error : add_piece(pieces, (struct piece){kind, block, extent.e_pblk + skipped, count});
        block += count;
        code = block < end ? skip_to(handle, block, &extent) : EXT2_ET_EXTENT_NO_NEXT;
    }
    ext2fs_extent_free(handle);
    if (code != 0 && code != EXT2_ET_EXTENT_NO_NEXT) {
        error = volume_error(code);
    }
    return error != 0 || block >= end ? error : add_piece(pieces, (struct piece){PIECE_HOLE, block, 0, end - block});
}

static int find_by_blocks(struct volume *volume, ext2_ino_t number, struct ext2_inode *inode, uint64_t block,
                          uint64_t end, struct pieces *pieces) {
    int error = 0;
    for (; block < end && error == 0; block++) {
        blk64_t home = 0;
        error = volume_error(ext2fs_bmap2(volume->fs, number, inode, NULL, 0, block, NULL, &home));
        if (error == 0 && home != 0 && !is_on_disk(volume, home, 1)) {
            error = EIO;
        }
        enum piece_kind kind = home == 0 ? PIECE_HOLE : PIECE_WRITTEN;
        error = error != 0 ? error : add_piece(pieces, (struct piece){kind, block, home, 1});
    }
    return error;
}

/* Blocks [block, end) of the file. */
static int find_pieces(struct volume *volume, ext2_ino_t number, struct ext2_inode_large *inode, uint64_t block,
                       uint64_t end, struct pieces *pieces) {
    struct ext2_inode *small = (struct ext2_inode *)inode;
    pieces->count = 0;
    return inode->i_flags & EXT4_EXTENTS_FL ? find_by_extents(volume, number, small, block, end, pieces)
                                            : find_by_blocks(volume, number, small, block, end, pieces);
}

/* --- Files of which content is on its way ------------------------------------------------------------------------- */

static ext2_ino_t *moving_slot(struct volume *volume, ext2_ino_t number) {
    for (unsigned i = 0; i < VOLUME_MOVES; i++) {
        if (volume->moving[i] == number) {
            return &volume->moving[i];
        }
    }
    return NULL;
}

static void start_moving(struct volume *volume, ext2_ino_t number) {
    ext2_ino_t *slot;
    while ((slot = moving_slot(volume, 0)) == NULL) {
        pthread_cond_wait(&volume->moved, &volume->lock);
    }
    *slot = number;
}

static void end_moving(struct volume *volume, ext2_ino_t number) {
    *moving_slot(volume, number) = 0;
    pthread_cond_broadcast(&volume->moved);
}

void content_wait(struct volume *volume, ext2_ino_t number) {
    while (moving_slot(volume, number) != NULL) {
        pthread_cond_wait(&volume->moved, &volume->lock);
    }
}

/* --- Moving ------------------------------------------------------------------------------------------------------- */

struct transfer {
    struct volume *volume;
    ext2_ino_t number;
    uint64_t first, pages; /* of the file */
    uint64_t size;         /* the kernel's idea of the file's; 0 of a fill */
    uint64_t block, end;   /* the blocks of it that are in these pages and in the file */
    int grant;
    struct ext2_inode_large inode;
    struct pieces pieces;
};

/* The file, and which of its blocks the pages are. With the lock. */
static int start(struct transfer *transfer, uint64_t node) {
    struct volume *volume = transfer->volume;
    int error = inode_read(volume, node, &transfer->inode);
    if (error != 0) {
        return error;
    }
    if (!S_ISREG(transfer->inode.i_mode)) {
        return EINVAL;
    }
    unsigned size = volume->fs->blocksize;
    uint64_t old = EXT2_I_SIZE(&transfer->inode), bytes = transfer->size > old ? transfer->size : old;
    uint64_t blocks = (bytes + size - 1) / size, in_page = CONTENT_PAGE / size;
    if (transfer->first > UINT32_MAX || transfer->pages > UINT32_MAX) {
        return EFBIG;
    }
    transfer->number = (ext2_ino_t)node;
    transfer->block = transfer->first * in_page;
    transfer->end = (transfer->first + transfer->pages) * in_page;
    transfer->end = transfer->end < blocks ? transfer->end : blocks;
    if (transfer->block >= transfer->end) {
        transfer->end = transfer->block;
    }
    return find_pieces(volume, transfer->number, &transfer->inode, transfer->block, transfer->end, &transfer->pieces);
}

static int move_pieces(struct transfer *transfer, bool to_disk) {
    struct disk *disk = transfer->volume->disk;
    uint64_t size = transfer->volume->cache.block_size;
    for (unsigned i = 0; i < transfer->pieces.count; i++) {
        const struct piece *piece = &transfer->pieces.piece[i];
        if (piece->kind == PIECE_HOLE || (piece->kind == PIECE_UNWRITTEN && !to_disk)) {
            continue;
        }
        uint64_t offset = piece->block * size - transfer->first * CONTENT_PAGE;
        int error = disk->move(disk, to_disk, transfer->grant, offset, piece->home * size, piece->count * size);
        if (error != 0) {
            return error;
        }
    }
    return 0;
}

/* Without the lock, while the file keeps its blocks. */
static int move(struct transfer *transfer, bool to_disk) {
    struct volume *volume = transfer->volume;
    start_moving(volume, transfer->number);
    pthread_mutex_unlock(&volume->lock);
    int error = move_pieces(transfer, to_disk);
    pthread_mutex_lock(&volume->lock);
    end_moving(volume, transfer->number);
    return error;
}

int content_fill(struct volume *volume, uint64_t node, uint64_t first, uint64_t pages, int grant) {
    struct transfer transfer = {.volume = volume, .first = first, .pages = pages, .grant = grant};
    pthread_mutex_lock(&volume->lock);
    int error = start(&transfer, node);
    error = error != 0 ? error : move(&transfer, false);
    pthread_mutex_unlock(&volume->lock);
    free(transfer.pieces.piece);
    return error;
}

/* --- Storing ------------------------------------------------------------------------------------------------------ */

/* Reserved blocks for a hole. */
static int reserve_hole(struct volume *volume, struct piece hole, uint64_t goal, struct pieces *out) {
    while (hole.count > 0) {
        uint64_t home, count;
        int error = volume_find_blocks(volume, goal, hole.count, &home, &count);
        error = error != 0 ? error : volume_reserve(volume, home, count);
        if (error != 0) {
            return error;
        }
        error = add_piece(out, (struct piece){PIECE_RESERVED, hole.block, home, count});
        if (error != 0) {
            volume_unreserve(volume, home, count);
            return error;
        }
        hole.block += count;
        hole.count -= count;
        goal = home + count;
    }
    return 0;
}

static void unreserve(struct volume *volume, const struct pieces *pieces) {
    for (unsigned i = 0; i < pieces->count; i++) {
        if (pieces->piece[i].kind == PIECE_RESERVED) {
            volume_unreserve(volume, pieces->piece[i].home, pieces->piece[i].count);
        }
    }
}

/* Gives each hole a place. The pieces are those of transfer->pieces, in order. */
static int reserve(struct transfer *transfer) {
    struct volume *volume = transfer->volume;
    struct pieces reserved = {0};
    int error = 0;
    struct ext2_inode *small = (struct ext2_inode *)&transfer->inode;
    uint64_t goal = ext2fs_find_inode_goal(volume->fs, transfer->number, small, transfer->block);
    for (unsigned i = 0; i < transfer->pieces.count && error == 0; i++) {
        struct piece piece = transfer->pieces.piece[i];
        error = piece.kind == PIECE_HOLE ? reserve_hole(volume, piece, goal, &reserved) : add_piece(&reserved, piece);
        goal = reserved.count > 0 ? reserved.piece[reserved.count - 1].home + reserved.piece[reserved.count - 1].count
                                  : goal;
    }
    if (error != 0) {
        unreserve(volume, &reserved);
        free(reserved.piece);
        return error;
    }
    free(transfer->pieces.piece);
    transfer->pieces = reserved;
    return 0;
}

/* The file refers to blocks [home, home + count) at `block`, where it has a hole. */
static errcode_t map_run(ext2_extent_handle_t handle, uint64_t block, uint64_t home, uint64_t count) {
    while (count > 0) {
        struct ext2fs_extent extent;
        errcode_t code = ext2fs_extent_set_bmap(handle, block, home, 0);
        if (code == 0) {
            code = ext2fs_extent_goto(handle, block);
        }
        if (code == 0) {
            code = ext2fs_extent_get(handle, EXT2_EXTENT_CURRENT, &extent);
        }
        if (code != 0) {
            return code;
        }
        uint64_t more = count - 1;
        if (extent.e_lblk + extent.e_len != block + 1 || extent.e_len + more > EXT_INIT_MAX_LEN) {
            more = 0; /* joined with what is behind it: block by block */
        }
        extent.e_len += (uint32_t)more;
        code = more > 0 ? ext2fs_extent_replace(handle, 0, &extent) : 0;
        if (code != 0) {
            return code;
        }
        block += 1 + more;
        home += 1 + more;
        count -= 1 + more;
    }
    return 0;
}

/* What was allocated without being written is written now. */
static errcode_t map_written(ext2_extent_handle_t handle, const struct piece *piece) {
    errcode_t code = 0;
    for (uint64_t i = 0; i < piece->count && code == 0; i++) {
        code = ext2fs_extent_set_bmap(handle, piece->block + i, piece->home + i, 0);
    }
    return code;
}

static errcode_t map_by_extents(struct transfer *transfer, const struct piece *piece) {
    struct volume *volume = transfer->volume;
    struct ext2_inode *small = (struct ext2_inode *)&transfer->inode;
    ext2_extent_handle_t handle;
    errcode_t code = ext2fs_extent_open2(volume->fs, transfer->number, small, &handle);
    if (code != 0) {
        return code;
    }
    code = piece->kind == PIECE_RESERVED ? map_run(handle, piece->block, piece->home, piece->count)
                                         : map_written(handle, piece);
    ext2fs_extent_free(handle);
    return code;
}

static errcode_t map_by_blocks(struct transfer *transfer, const struct piece *piece) {
    struct ext2_inode *small = (struct ext2_inode *)&transfer->inode;
    errcode_t code = 0;
    for (uint64_t i = 0; i < piece->count && code == 0; i++) {
        blk64_t home = piece->home + i;
        code = ext2fs_bmap2(transfer->volume->fs, transfer->number, small, NULL, BMAP_SET | BMAP_ALLOC,
                            piece->block + i, NULL, &home);
    }
    return code;
}

static int map_reserved(struct transfer *transfer, const struct piece *piece) {
    ext2_filsys fs = transfer->volume->fs;
    struct ext2_inode *small = (struct ext2_inode *)&transfer->inode;
    bool extents = transfer->inode.i_flags & EXT4_EXTENTS_FL;
    errcode_t code = extents ? map_by_extents(transfer, piece) : map_by_blocks(transfer, piece);
    for (uint64_t i = 0; i < piece->count && code == 0; i++) {
        ext2fs_block_alloc_stats2(fs, piece->home + i, +1);
    }
    return volume_error(code != 0 ? code : ext2fs_iblk_add_blocks(fs, small, piece->count));
}

/* How long the file is on the disk at least, now that these pages are there. */
static uint64_t stored_end(const struct transfer *transfer) {
    uint64_t end = (transfer->first + transfer->pages) * CONTENT_PAGE;
    return end < transfer->size ? end : transfer->size;
}

static int grow(struct transfer *transfer) {
    uint64_t end = stored_end(transfer);
    if (end <= EXT2_I_SIZE(&transfer->inode)) {
        return 0;
    }
    return volume_error(
        ext2fs_inode_size_set(transfer->volume->fs, (struct ext2_inode *)&transfer->inode, (ext2_off64_t)end));
}

/* The file refers to what has arrived. An operation. */
static int map(struct transfer *transfer) {
    struct volume *volume = transfer->volume;
    int error = inode_read(volume, transfer->number, &transfer->inode);
    for (unsigned i = 0; i < transfer->pieces.count && error == 0; i++) {
        const struct piece *piece = &transfer->pieces.piece[i];
        if (piece->kind == PIECE_RESERVED) {
            error = map_reserved(transfer, piece);
        } else if (piece->kind == PIECE_UNWRITTEN) {
            error = volume_error(map_by_extents(transfer, piece));
        }
    }
    if (error == 0) {
        error = grow(transfer);
    }
    return error != 0 ? error : inode_write(volume, transfer->number, &transfer->inode);
}

static bool needs_mapping(const struct transfer *transfer) {
    for (unsigned i = 0; i < transfer->pieces.count; i++) {
        if (transfer->pieces.piece[i].kind != PIECE_WRITTEN) {
            return true;
        }
    }
    return stored_end(transfer) > EXT2_I_SIZE(&transfer->inode);
}

/* Whether the holes are still there: another call may have stored the same pages meanwhile. With the lock. */
static int check_unchanged(struct transfer *transfer) {
    struct pieces now = {0};
    struct transfer again = {
        .volume = transfer->volume, .first = transfer->first, .pages = transfer->pages, .size = transfer->size};
    int error = start(&again, transfer->number);
    now = again.pieces;
    uint64_t unmapped[2] = {0, 0};
    for (unsigned i = 0; i < transfer->pieces.count; i++) {
        const struct piece *piece = &transfer->pieces.piece[i];
        unmapped[0] += piece->kind != PIECE_WRITTEN ? piece->count : 0;
    }
    for (unsigned i = 0; i < now.count; i++) {
        unmapped[1] += now.piece[i].kind != PIECE_WRITTEN ? now.piece[i].count : 0;
    }
    free(now.piece);
    return error != 0 ? error : unmapped[0] == unmapped[1] ? 0 : EAGAIN;
}

static int store_once(struct transfer *transfer, uint64_t node) {
    struct volume *volume = transfer->volume;
    int error = start(transfer, node);
    error = error != 0 ? error : reserve(transfer);
    if (error != 0) {
        return error;
    }
    error = move(transfer, true);
    if (error == 0 && needs_mapping(transfer)) {
        error = check_unchanged(transfer);
        error = error != 0 ? error : volume_begin(volume);
        if (error == 0) {
            error = volume_end(volume, map(transfer), NULL);
        }
    }
    unreserve(volume, &transfer->pieces);
    return error;
}

int content_store(struct volume *volume, uint64_t node, uint64_t first, uint64_t pages, uint64_t size, int grant) {
    struct transfer transfer = {.volume = volume, .first = first, .pages = pages, .size = size, .grant = grant};
    pthread_mutex_lock(&volume->lock);
    int error = volume->read_only ? EROFS : volume->broken ? EIO : store_once(&transfer, node);
    while (error == EAGAIN || (error == ENOSPC && volume->pinned.count > 0)) { /* a commit makes freed blocks usable */
        error = error == ENOSPC ? volume_commit(volume) : 0;
        error = error != 0 ? error : store_once(&transfer, node);
    }
    pthread_mutex_unlock(&volume->lock);
    free(transfer.pieces.piece);
    return error;
}
