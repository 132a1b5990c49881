/*
 * Directories: names to inode numbers.
 *
 * On the disk a directory is a list of entries, block by block. The server keeps a table of the names' hashes for each
 * directory that is in use, so that a look-up reads one block, and how much room each block has. Directories that
 * Linux has indexed (htree) are read as they are; the first new name makes a plain list of one, which Linux reads, too.
 *
 * `number` is the directory's. All are called with the volume's lock held; those that change something are part of an
 * operation. 0 or an errno.
 */
#ifndef USER_EXT4_DIRECTORY_H
#define USER_EXT4_DIRECTORY_H

#include "kernel/fs_abi.h"
#include "user/ext4/volume.h"

struct name {
    const char *text;
    unsigned length;
};

/* ENOENT; ENOTDIR is the caller's to find out. */
int directory_find(struct volume *volume, ext2_ino_t number, struct name name, ext2_ino_t *inode);
/* The name must not be there. `mode` gives the entry's type. */
int directory_add(struct volume *volume, ext2_ino_t number, struct name name, ext2_ino_t inode, uint32_t mode);
int directory_remove(struct volume *volume, ext2_ino_t number, struct name name);
/* The name, which is there, means another inode. */
int directory_replace(struct volume *volume, ext2_ino_t number, struct name name, ext2_ino_t inode, uint32_t mode);
/* The first block of a new one, with "." and "..". */
int directory_make(struct volume *volume, ext2_ino_t number, ext2_ino_t parent);
int directory_parent(struct volume *volume, ext2_ino_t number, ext2_ino_t *parent);
int directory_is_empty(struct volume *volume, ext2_ino_t number, bool *empty);

/* Entries from `position` on, as fs_abi.h has them; *bytes of room in, of entries out. */
int directory_list(struct volume *volume, ext2_ino_t number, uint64_t position, void *entries, size_t *bytes,
                   bool *end);

/* The tables in memory: of one that is gone, and of all when an operation was taken back. */
void directory_forget(struct volume *volume, ext2_ino_t number);
void directory_forget_all(struct volume *volume);

#endif
