/*
 * Tables of directories: open addressing, kept for those used last, as long as they are not too large together.
 * Guard: the volume's lock.
 */
#include "user/ext4/directory_table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { ENTRIES_MAX = 1 << 20, TAIL_BYTES = 12, ENTRY_HEAD = 8 };

unsigned directory_entry_size(unsigned name_length) { return (ENTRY_HEAD + name_length + 3) & ~3U; }

unsigned directory_block_end(const struct volume *volume) {
    return volume->fs->blocksize - (ext2fs_has_feature_metadata_csum(volume->fs->super) ? TAIL_BYTES : 0);
}

/* --- Blocks ------------------------------------------------------------------------------------------------------- */

static bool is_well_formed(const uint8_t *bytes, unsigned size) {
    for (unsigned at = 0; at < size;) {
        struct ext2_dir_entry head;
        memcpy(&head, bytes + at, ENTRY_HEAD);
        unsigned length = head.rec_len, name = head.name_len & 0xff;
        if (length < ENTRY_HEAD + 4 || length % 4 != 0 || length > size - at ||
            (head.inode != 0 && ENTRY_HEAD + name > length)) {
            return false;
        }
        at += length;
    }
    return true;
}

int directory_read(struct volume *volume, const struct directory *directory, uint32_t block, void *bytes) {
    errcode_t code = ext2fs_read_dir_block4(volume->fs, directory->home[block], bytes, 0, directory->number);
    if (code != 0) {
        return volume_error(code);
    }
    return is_well_formed(bytes, volume->fs->blocksize) ? 0 : EIO;
}

unsigned directory_room(const struct volume *volume, const uint8_t *bytes) {
    unsigned most = 0;
    for (unsigned at = 0, end = directory_block_end(volume); at < end;) {
        struct ext2_dir_entry head;
        memcpy(&head, bytes + at, ENTRY_HEAD);
        unsigned length = at + head.rec_len > end ? end - at : head.rec_len;
        unsigned room = length - (head.inode != 0 ? directory_entry_size(head.name_len & 0xff) : 0);
        most = room > most ? room : most;
        at += head.rec_len;
    }
    return most;
}

/* --- Slots -------------------------------------------------------------------------------------------------------- */

uint32_t table_hash(struct name name) {
    uint32_t hash = 2166136261U;
    for (unsigned i = 0; i < name.length; i++) {
        hash = (hash ^ (uint8_t)name.text[i]) * 16777619U;
    }
    return hash ^ hash >> 15;
}

struct slot *table_next(struct directory *directory, uint32_t hash, size_t *cursor) {
    for (; *cursor < directory->capacity; ++*cursor) {
        struct slot *slot = &directory->slots[(hash + *cursor) & (directory->capacity - 1)];
        if (slot->number == 0 && slot->offset != SLOT_REMOVED) {
            return NULL;
        }
        if (slot->number != 0 && slot->hash == hash) {
            ++*cursor;
            return slot;
        }
    }
    return NULL;
}

static void put(struct directory *directory, struct slot slot) {
    size_t at = slot.hash;
    while (directory->slots[at & (directory->capacity - 1)].number != 0) {
        at++;
    }
    struct slot *place = &directory->slots[at & (directory->capacity - 1)];
    directory->removed -= place->offset == SLOT_REMOVED;
    *place = slot;
}

static int grow(struct directory *directory) {
    struct directory old = *directory;
    size_t capacity = 64;
    while (capacity < (directory->used + 1) * 2) {
        capacity *= 2;
    }
    struct slot *slots = calloc(capacity, sizeof *slots);
    if (slots == NULL) {
        return ENOMEM;
    }
    directory->slots = slots;
    directory->capacity = capacity;
    directory->removed = 0;
    for (size_t i = 0; i < old.capacity; i++) {
        if (old.slots[i].number != 0) {
            put(directory, old.slots[i]);
        }
    }
    free(old.slots);
    return 0;
}

int table_add(struct volume *volume, struct directory *directory, struct slot slot) {
    if ((directory->used + directory->removed + 1) * 4 > directory->capacity * 3 && grow(directory) != 0) {
        return ENOMEM;
    }
    put(directory, slot);
    directory->used++;
    volume->directory_entries++;
    return 0;
}

void table_remove(struct volume *volume, struct directory *directory, struct slot *slot) {
    slot->number = 0;
    slot->offset = SLOT_REMOVED;
    directory->used--;
    directory->removed++;
    volume->directory_entries--;
}

int table_add_block(struct directory *directory, blk64_t home, unsigned room) {
    uint32_t count = directory->blocks;
    if ((count & (count - 1)) == 0) {
        size_t more = count == 0 ? 1 : (size_t)count * 2;
        blk64_t *homes = realloc(directory->home, more * sizeof *homes);
        if (homes == NULL) {
            return ENOMEM;
        }
        directory->home = homes;
        uint16_t *rooms = realloc(directory->room, more * sizeof *rooms);
        if (rooms == NULL) {
            return ENOMEM;
        }
        directory->room = rooms;
    }
    directory->home[count] = home;
    directory->room[count] = (uint16_t)room;
    directory->blocks++;
    return 0;
}

/* --- Reading ------------------------------------------------------------------------------------------------------ */

static int read_block(struct volume *volume, struct directory *directory, uint32_t block, uint8_t *bytes) {
    int error = directory_read(volume, directory, block, bytes);
    for (unsigned at = 0, size = volume->fs->blocksize; at < size && error == 0;) {
        struct ext2_dir_entry head;
        memcpy(&head, bytes + at, ENTRY_HEAD);
        if (head.inode != 0) {
            struct name name = {(const char *)bytes + at + ENTRY_HEAD, head.name_len & 0xff};
            struct slot slot = {table_hash(name), head.inode, block, at};
            error = table_add(volume, directory, slot);
        }
        at += head.rec_len;
    }
    if (error == 0) {
        directory->room[block] = (uint16_t)directory_room(volume, bytes);
    }
    return error;
}

static int read_table(struct volume *volume, struct directory *directory) {
    struct ext2_inode inode;
    ext2_filsys fs = volume->fs;
    int error = volume_error(ext2fs_read_inode(fs, directory->number, &inode));
    uint8_t *bytes = malloc(fs->blocksize);
    uint64_t blocks = EXT2_I_SIZE(&inode) / fs->blocksize;
    if (error == 0) {
        error = !S_ISDIR(inode.i_mode) ? ENOTDIR : bytes == NULL ? ENOMEM : 0;
    }
    if (error == 0 && (blocks == 0 || blocks > ext2fs_blocks_count(fs->super))) {
        error = EIO;
    }
    directory->indexed = (inode.i_flags & EXT2_INDEX_FL) != 0;
    for (uint64_t block = 0; block < blocks && error == 0; block++) {
        blk64_t home = 0;
        error = volume_error(ext2fs_bmap2(fs, directory->number, &inode, NULL, 0, block, NULL, &home));
        if (error == 0 && (home == 0 || home >= ext2fs_blocks_count(fs->super))) {
            error = EIO;
        }
        error = error != 0 ? error : table_add_block(directory, home, 0);
        error = error != 0 ? error : read_block(volume, directory, (uint32_t)block, bytes);
    }
    free(bytes);
    return error;
}

/* --- Those in memory ---------------------------------------------------------------------------------------------- */

static void forget(struct volume *volume, struct directory **link) {
    struct directory *directory = *link;
    *link = directory->next;
    volume->directory_entries -= directory->used;
    free(directory->slots);
    free(directory->home);
    free(directory->room);
    free(directory);
}

static struct directory **find(struct volume *volume, ext2_ino_t number) {
    struct directory **link = &volume->directories;
    while (*link != NULL && (*link)->number != number) {
        link = &(*link)->next;
    }
    return link;
}

void directory_forget(struct volume *volume, ext2_ino_t number) {
    struct directory **link = find(volume, number);
    if (*link != NULL) {
        forget(volume, link);
    }
}

void directory_forget_all(struct volume *volume) {
    while (volume->directories != NULL) {
        forget(volume, &volume->directories);
    }
}

/* Forgets those used longest ago; of an operation the two directories that were used last stay. */
static void make_room(struct volume *volume) {
    enum { KEEP = 3, TABLES_MAX = 256 };
    struct directory **link = &volume->directories;
    size_t entries = 0;
    for (unsigned count = 0; *link != NULL; count++) {
        entries += (*link)->used;
        if (count >= KEEP && (entries > ENTRIES_MAX || count >= TABLES_MAX)) {
            forget(volume, link);
        } else {
            link = &(*link)->next;
        }
    }
}

int table_get(struct volume *volume, ext2_ino_t number, struct directory **directory) {
    struct directory **link = find(volume, number), *found = *link;
    if (found != NULL) {
        *link = found->next;
    } else {
        found = calloc(1, sizeof *found);
        if (found == NULL) {
            return ENOMEM;
        }
        found->number = number;
    }
    bool is_new = found->blocks == 0;
    found->next = volume->directories;
    volume->directories = found;
    if (is_new) {
        int error = read_table(volume, found);
        if (error != 0) {
            forget(volume, &volume->directories);
            return error;
        }
        make_room(volume);
    }
    *directory = found;
    return 0;
}
