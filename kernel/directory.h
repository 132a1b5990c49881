/*
 * Directories: from a name to an inode, and from a position to a name. All with names_lock held.
 */
#ifndef KERNEL_DIRECTORY_H
#define KERNEL_DIRECTORY_H

#include <stddef.h>
#include <stdint.h>

#include "kernel/inode.h"

/* GLOBAL: a name is metadata. Protected by names_lock. */
struct directory_entry {
    struct directory_entry *next; /* in its hash chain */
    struct inode *inode;          /* with a reference; NULL: a file server says that there is no such name */
    /* Of a served directory: kernel/name_cache.c. */
    struct inode *directory; /* whose entry it is; NULL: one of the kernel's own */
    struct list age_link;    /* in the list of all cached entries */
    uint32_t generation;     /* good as long as it is the directory's */
    bool used;               /* since eviction last looked */
    bool pinned;             /* the kernel's own, to be seen also in a root that is mounted here */
    uint32_t hash;
    uint32_t slot; /* in directory.slots: its position, constant while the entry lives */
    uint8_t length;
    char name[]; /* terminated */
};

/* The entry called name[0..length), or NULL. "." and ".." are not entries. */
struct directory_entry *directory_find(const struct directory *directory, const char *name, size_t length);

/*
 * Adds an entry, in two steps: prepare can fail (ERR_NO_MEMORY) and changes nothing that is seen; insert cannot. The
 * name is not in the directory yet when insert is called. Insert takes a reference on the inode, if there is one.
 * discard: instead of insert.
 */
MUST_USE enum status directory_prepare(struct directory *directory, const char *name, size_t length,
                                       struct directory_entry **out);
void directory_insert(struct directory *directory, struct directory_entry *entry, struct inode *inode);
void directory_discard(struct directory_entry *entry);

/*
 * Takes the entry out and frees it; its reference on the inode, if any, passes to the caller, who drops it without
 * names_lock.
 */
MUST_USE struct inode *directory_remove(struct directory *directory, struct directory_entry *entry);

/* The first entry at `position` or behind; NULL at the end. Positions are slot numbers: they survive other entries'
 * changes. */
struct directory_entry *directory_at(const struct directory *directory, uint64_t position);

/* Frees the tables of an empty directory. */
void directory_free(struct directory *directory);

#endif
