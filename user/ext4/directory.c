/*
 * Names in directories: finding, adding, removing, listing. A name's entry stays where it is as long as it lives.
 * Guard: the volume's lock.
 */
#include "user/ext4/directory.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "user/ext4/directory_table.h"

enum { HEAD = 8, DOTS_BLOCK_OFFSET = 12 };

/* An entry in a block's bytes. */
static struct ext2_dir_entry *entry_at(uint8_t *bytes, unsigned offset) { return (void *)(bytes + offset); }

static uint8_t type_of(uint32_t mode) {
    switch (mode & S_IFMT) {
    case S_IFREG:
        return EXT2_FT_REG_FILE;
    case S_IFDIR:
        return EXT2_FT_DIR;
    case S_IFLNK:
        return EXT2_FT_SYMLINK;
    case S_IFCHR:
        return EXT2_FT_CHRDEV;
    case S_IFBLK:
        return EXT2_FT_BLKDEV;
    case S_IFIFO:
        return EXT2_FT_FIFO;
    case S_IFSOCK:
        return EXT2_FT_SOCK;
    default:
        return EXT2_FT_UNKNOWN;
    }
}

static uint32_t mode_of(uint8_t type) {
    static const uint32_t modes[] = {
        [EXT2_FT_REG_FILE] = S_IFREG, [EXT2_FT_DIR] = S_IFDIR,  [EXT2_FT_SYMLINK] = S_IFLNK, [EXT2_FT_CHRDEV] = S_IFCHR,
        [EXT2_FT_BLKDEV] = S_IFBLK,   [EXT2_FT_FIFO] = S_IFIFO, [EXT2_FT_SOCK] = S_IFSOCK};
    return type < sizeof modes / sizeof *modes ? modes[type] : 0;
}

static unsigned name_length(const struct ext2_dir_entry *entry) { return entry->name_len & 0xff; }

static void set_name(struct ext2_dir_entry *entry, struct name name, ext2_ino_t number, uint8_t type) {
    entry->inode = number;
    entry->name_len = (uint16_t)(name.length | (unsigned)type << 8);
    memcpy(entry->name, name.text, name.length);
}

static int write_block(struct volume *volume, const struct directory *directory, uint32_t block, void *bytes) {
    return volume_error(ext2fs_write_dir_block4(volume->fs, directory->home[block], bytes, 0, directory->number));
}

/* An empty block: an entry of nothing, and the place for the checksum. */
static void clear_block(const struct volume *volume, uint8_t *bytes) {
    memset(bytes, 0, volume->fs->blocksize);
    entry_at(bytes, 0)->rec_len = (uint16_t)directory_block_end(volume);
    if (directory_block_end(volume) < volume->fs->blocksize) {
        ext2fs_initialize_dirent_tail(volume->fs, EXT2_DIRENT_TAIL(bytes, volume->fs->blocksize));
    }
}

/* --- Finding ------------------------------------------------------------------------------------------------------ */

/* The entry's slot; its block is in `bytes`. */
static int find(struct volume *volume, struct directory *directory, struct name name, uint8_t *bytes,
                struct slot **found) {
    uint32_t hash = table_hash(name);
    size_t cursor = 0;
    for (struct slot *slot; (slot = table_next(directory, hash, &cursor)) != NULL;) {
        int error = directory_read(volume, directory, slot->block, bytes);
        if (error != 0) {
            return error;
        }
        const struct ext2_dir_entry *entry = entry_at(bytes, slot->offset);
        if (name_length(entry) == name.length && memcmp(entry->name, name.text, name.length) == 0) {
            *found = slot;
            return 0;
        }
    }
    return ENOENT;
}

int directory_find(struct volume *volume, ext2_ino_t number, struct name name, ext2_ino_t *inode) {
    struct directory *directory;
    struct slot *slot = NULL;
    int error = table_get(volume, number, &directory);
    if (error != 0) {
        return error;
    }
    uint8_t *bytes = malloc(volume->fs->blocksize);
    error = bytes == NULL ? ENOMEM : find(volume, directory, name, bytes, &slot);
    free(bytes);
    *inode = slot != NULL ? slot->number : 0;
    return error;
}

int directory_parent(struct volume *volume, ext2_ino_t number, ext2_ino_t *parent) {
    return directory_find(volume, number, (struct name){"..", 2}, parent);
}

int directory_is_empty(struct volume *volume, ext2_ino_t number, bool *empty) {
    struct directory *directory;
    int error = table_get(volume, number, &directory);
    *empty = error == 0 && directory->used <= 2;
    return error;
}

/* --- Adding ------------------------------------------------------------------------------------------------------- */

/* Puts an entry where there is room for it in the block. False: there is none. */
static bool insert(const struct volume *volume, uint8_t *bytes, struct name name, ext2_ino_t number, uint8_t type,
                   unsigned *offset) {
    unsigned needed = directory_entry_size(name.length), end = directory_block_end(volume);
    for (unsigned at = 0; at < end; at += entry_at(bytes, at)->rec_len) {
        struct ext2_dir_entry *entry = entry_at(bytes, at);
        unsigned taken = entry->inode != 0 ? directory_entry_size(name_length(entry)) : 0;
        unsigned length = entry->rec_len;
        if (length - taken < needed) {
            continue;
        }
        if (taken > 0) {
            entry->rec_len = (uint16_t)taken;
        }
        entry = entry_at(bytes, at + taken);
        entry->rec_len = (uint16_t)(length - taken);
        set_name(entry, name, number, type);
        *offset = at + taken;
        return true;
    }
    return false;
}

/* Of an indexed directory: what the index is in becomes room for entries. */
static int make_plain(struct volume *volume, struct directory *directory, uint8_t *bytes) {
    struct ext2_inode inode;
    int error = directory_read(volume, directory, 0, bytes);
    if (error == 0) {
        ext2_ino_t parent = entry_at(bytes, DOTS_BLOCK_OFFSET)->inode;
        clear_block(volume, bytes);
        unsigned end = directory_block_end(volume);
        set_name(entry_at(bytes, 0), (struct name){".", 1}, directory->number, EXT2_FT_DIR);
        entry_at(bytes, 0)->rec_len = DOTS_BLOCK_OFFSET;
        set_name(entry_at(bytes, DOTS_BLOCK_OFFSET), (struct name){"..", 2}, parent, EXT2_FT_DIR);
        entry_at(bytes, DOTS_BLOCK_OFFSET)->rec_len = (uint16_t)(end - DOTS_BLOCK_OFFSET);
        error = write_block(volume, directory, 0, bytes);
        directory->room[0] = (uint16_t)directory_room(volume, bytes);
    }
    for (uint32_t block = 1; block < directory->blocks && error == 0; block++) {
        error = directory_read(volume, directory, block, bytes);
        if (error == 0 && entry_at(bytes, 0)->inode == 0 && entry_at(bytes, 0)->rec_len == volume->fs->blocksize) {
            clear_block(volume, bytes); /* a node of the index */
            error = write_block(volume, directory, block, bytes);
            directory->room[block] = (uint16_t)directory_room(volume, bytes);
        }
    }
    error = error != 0 ? error : volume_error(ext2fs_read_inode(volume->fs, directory->number, &inode));
    if (error == 0) {
        inode.i_flags &= ~(unsigned)EXT2_INDEX_FL;
        error = volume_error(ext2fs_write_inode(volume->fs, directory->number, &inode));
        directory->indexed = false;
    }
    return error;
}

static int append_block(struct volume *volume, struct directory *directory, uint8_t *bytes) {
    ext2_filsys fs = volume->fs;
    struct ext2_inode inode;
    blk64_t home = 0;
    errcode_t code = ext2fs_read_inode(fs, directory->number, &inode);
    if (code == 0) {
        code = ext2fs_bmap2(fs, directory->number, &inode, NULL, BMAP_ALLOC, directory->blocks, NULL, &home);
    }
    if (code == 0) {
        code = ext2fs_inode_size_set(fs, &inode, ((ext2_off64_t)directory->blocks + 1) * fs->blocksize);
    }
    if (code == 0) {
        code = ext2fs_write_inode(fs, directory->number, &inode);
    }
    int error = volume_error(code);
    if (error == 0) {
        clear_block(volume, bytes);
        error = table_add_block(directory, home, directory_room(volume, bytes));
    }
    return error;
}

/* A block with room for the entry, in `bytes`. */
static int find_room(struct volume *volume, struct directory *directory, unsigned needed, uint8_t *bytes,
                     uint32_t *block) {
    enum { FULL = 24 }; /* a block with less room is passed by from now on */
    bool full = true;
    for (*block = directory->hint; *block < directory->blocks; ++*block) {
        if (directory->room[*block] >= needed) {
            return directory_read(volume, directory, *block, bytes);
        }
        full = full && directory->room[*block] < FULL;
        directory->hint = full ? *block + 1 : directory->hint;
    }
    return append_block(volume, directory, bytes);
}

int directory_add(struct volume *volume, ext2_ino_t number, struct name name, ext2_ino_t inode, uint32_t mode) {
    struct directory *directory;
    uint32_t block = 0;
    unsigned offset = 0;
    int error = table_get(volume, number, &directory);
    if (error != 0) {
        return error;
    }
    uint8_t *bytes = malloc(volume->fs->blocksize);
    error = bytes == NULL ? ENOMEM : directory->indexed ? make_plain(volume, directory, bytes) : 0;
    if (error == 0) {
        error = find_room(volume, directory, directory_entry_size(name.length), bytes, &block);
    }
    if (error == 0 && !insert(volume, bytes, name, inode, type_of(mode), &offset)) {
        error = EIO;
    }
    error = error != 0 ? error : write_block(volume, directory, block, bytes);
    if (error == 0) {
        directory->room[block] = (uint16_t)directory_room(volume, bytes);
        error = table_add(volume, directory, (struct slot){table_hash(name), inode, block, offset});
    }
    free(bytes);
    return error;
}

int directory_make(struct volume *volume, ext2_ino_t number, ext2_ino_t parent) {
    struct directory made = {.number = number};
    uint8_t *bytes = malloc(volume->fs->blocksize);
    int error = bytes == NULL ? ENOMEM : append_block(volume, &made, bytes);
    if (error == 0) {
        unsigned offset;
        insert(volume, bytes, (struct name){".", 1}, number, EXT2_FT_DIR, &offset);
        insert(volume, bytes, (struct name){"..", 2}, parent, EXT2_FT_DIR, &offset);
        error = write_block(volume, &made, 0, bytes);
    }
    free(bytes);
    free(made.home);
    free(made.room);
    return error;
}

/* --- Removing and replacing --------------------------------------------------------------------------------------- */

/* The entry before the one at `offset` takes its place in; the first of a block becomes one of nothing. */
static void take_out(uint8_t *bytes, unsigned offset) {
    struct ext2_dir_entry *entry = entry_at(bytes, offset);
    unsigned before = 0;
    if (offset == 0) {
        entry->inode = 0;
        return;
    }
    while (before + entry_at(bytes, before)->rec_len < offset) {
        before += entry_at(bytes, before)->rec_len;
    }
    entry_at(bytes, before)->rec_len = (uint16_t)(entry_at(bytes, before)->rec_len + entry->rec_len);
    memset(entry, 0, HEAD);
}

static int change(struct volume *volume, ext2_ino_t number, struct name name, ext2_ino_t inode, uint32_t mode) {
    struct directory *directory;
    struct slot *slot;
    int error = table_get(volume, number, &directory);
    if (error != 0) {
        return error;
    }
    uint8_t *bytes = malloc(volume->fs->blocksize);
    error = bytes == NULL ? ENOMEM : find(volume, directory, name, bytes, &slot);
    if (error == 0 && inode != 0) {
        set_name(entry_at(bytes, slot->offset), name, inode, type_of(mode));
        slot->number = inode;
    } else if (error == 0) {
        take_out(bytes, slot->offset);
        directory->room[slot->block] = (uint16_t)directory_room(volume, bytes);
        directory->hint = slot->block < directory->hint ? slot->block : directory->hint;
    }
    error = error != 0 ? error : write_block(volume, directory, slot->block, bytes);
    if (error == 0 && inode == 0) {
        table_remove(volume, directory, slot);
    }
    free(bytes);
    return error;
}

int directory_remove(struct volume *volume, ext2_ino_t number, struct name name) {
    return change(volume, number, name, 0, 0);
}

int directory_replace(struct volume *volume, ext2_ino_t number, struct name name, ext2_ino_t inode, uint32_t mode) {
    return change(volume, number, name, inode, mode);
}

/* --- Listing ------------------------------------------------------------------------------------------------------ */

static bool is_dots(const struct ext2_dir_entry *entry) {
    return entry->name[0] == '.' && (name_length(entry) == 1 || (name_length(entry) == 2 && entry->name[1] == '.'));
}

/* Appends an entry. False: there is no room for it. */
static bool list_entry(const struct ext2_dir_entry *entry, uint64_t next, uint8_t *entries, size_t room, size_t *used) {
    size_t size = (sizeof(struct fs_entry) + name_length(entry) + 7) & ~(size_t)7;
    if (size > room - *used) {
        return false;
    }
    struct fs_entry *out = (void *)(entries + *used);
    memset(out, 0, size);
    out->node = entry->inode;
    out->next = next;
    out->bytes = (uint16_t)size;
    out->name_length = (uint16_t)name_length(entry);
    out->mode = mode_of((uint8_t)(entry->name_len >> 8));
    memcpy(out->name, entry->name, name_length(entry));
    *used += size;
    return true;
}

int directory_list(struct volume *volume, ext2_ino_t number, uint64_t position, void *entries, size_t *bytes,
                   bool *end) {
    struct directory *directory;
    unsigned size = volume->fs->blocksize;
    size_t used = 0, room = *bytes;
    int error = table_get(volume, number, &directory);
    uint8_t *block = malloc(size);
    error = error == 0 && block == NULL ? ENOMEM : error;
    bool full = false;
    for (uint64_t index = position / size; error == 0 && !full && index < directory->blocks; index++) {
        error = directory_read(volume, directory, (uint32_t)index, block);
        for (unsigned at = 0; error == 0 && !full && at < size; at += entry_at(block, at)->rec_len) {
            const struct ext2_dir_entry *entry = entry_at(block, at);
            if (index * size + at >= position && entry->inode != 0 && !is_dots(entry)) {
                full = !list_entry(entry, index * size + at + entry->rec_len, entries, room, &used);
            }
        }
    }
    free(block);
    *bytes = used;
    *end = error == 0 && !full;
    return error == 0 && full && used == 0 ? EINVAL : error;
}
