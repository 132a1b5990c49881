/*
 * Inodes: attributes as the kernel knows them, making and freeing, the list of orphans, sizes.
 *
 * An inode without a name lives until the kernel forgets it. It is on the file system's list of orphans meanwhile, so
 * that after a crash it is freed, and so is one that is being cut shorter in several steps.
 *
 * All are called with the volume's lock held; those that change something are part of an operation. 0 or an errno.
 */
#ifndef USER_EXT4_INODE_H
#define USER_EXT4_INODE_H

#include "kernel/fs_abi.h"
#include "user/ext4/volume.h"

/* One that is in use. ESTALE: there is none of this number; EIO: damaged. */
int inode_read(struct volume *volume, uint64_t number, struct ext2_inode_large *inode);
int inode_write(struct volume *volume, ext2_ino_t number, const struct ext2_inode_large *inode);

void inode_attributes(struct volume *volume, ext2_ino_t number, const struct ext2_inode_large *inode,
                      struct fs_attributes *out);
void inode_set_times(struct volume *volume, struct ext2_inode_large *inode, uint32_t set,
                     const struct fs_attributes *times);
/* Content or names changed now. */
void inode_touch(struct volume *volume, struct ext2_inode_large *inode, bool modified);
void inode_set_owner(struct ext2_inode_large *inode, uint32_t uid, uint32_t gid);

/* A new one, with no name yet. `links` is 1, or 2 for a directory. */
int inode_make(struct volume *volume, ext2_ino_t parent, const struct fs_attributes *wanted, ext2_ino_t *number,
               struct ext2_inode_large *inode);

/* The link count, where a directory with many has 1. */
uint32_t inode_links(const struct ext2_inode_large *inode);
int inode_add_links(struct volume *volume, struct ext2_inode_large *inode, int change);

int orphan_add(struct volume *volume, ext2_ino_t number, struct ext2_inode_large *inode);
int orphan_remove(struct volume *volume, ext2_ino_t number, struct ext2_inode_large *inode);
bool orphan_is(const struct volume *volume, ext2_ino_t number);
/* Reads the list from the disk. EUCLEAN: it is none. */
int orphan_load(struct volume *volume);

/* Part of an operation: frees the last blocks from `first` on, as many as fit into one. *more: there are others. */
int inode_cut_step(struct volume *volume, ext2_ino_t number, uint64_t first, bool *more);

/* Operations of their own, as many as it takes: frees blocks from `first` on; frees an inode without names. */
int inode_cut(struct volume *volume, ext2_ino_t number, uint64_t first);
int inode_free(struct volume *volume, ext2_ino_t number, const struct survivor_answer *answer);
/* The orphans of the machine's last life. */
int orphan_free_all(struct volume *volume);

#endif
