/*
 * What file servers listed of their directories, as far as they let it be kept: their answers, piece by piece from the
 * beginning on. A directory that was listed and not changed since is listed again without a message.
 */
#ifndef KERNEL_LISTING_H
#define KERNEL_LISTING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernel/list.h"

struct inode;

/* One answer, whose entries (struct fs_entry) have been checked. Class GLOBAL: names are metadata. Constant. */
struct list_piece {
    struct list_piece *next; /* in its directory. Protected by names_lock */
    uint32_t refs;           /* atomic */
    bool is_last;            /* nothing is behind it */
    uint64_t start, end;     /* the server's positions: of its first entry, and behind its last one */
    size_t bytes;
    char entries[];
};

/* What a directory keeps of them. Protected by names_lock. */
struct listing {
    struct list_piece *first, *last;
    struct list link; /* among those that keep something */
    size_t bytes;     /* allocated for all of them */
    uint64_t changes; /* of its names so far: an answer that crossed one is not kept */
    bool used;        /* since the clock's hand came by */
};

/* How many bytes there may be of all: a share of memory. Once, at boot. */
void listing_init(void);

/* A piece with one reference and room for `bytes`; its entries are the caller's to fill. NULL: no memory. */
struct list_piece *piece_create(uint64_t start, size_t bytes);
/* Drops a reference. Any lock. NULL is none. */
void piece_put(struct list_piece *piece);

/* The piece that begins at a position, with a reference; NULL: it is not known. names_lock held. */
struct list_piece *listing_find(struct inode *directory, uint64_t start);

/*
 * Keeps a piece (with a reference of its own) if it follows on what is kept, and the directory has not changed since
 * `changes` was read; may forget what other directories keep. names_lock held.
 */
void listing_keep(struct inode *directory, struct list_piece *piece, uint64_t changes);

/* A name has come, gone, or may have. names_lock held. */
void listing_forget(struct inode *directory);

/* Forgets those of all directories. Takes names_lock. */
void listing_drop_all(void);

#endif
