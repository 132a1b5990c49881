/*
 * Owns: which directories keep what their servers listed.
 *
 * A piece is shared: the directory has a reference, and so has each open file that has not taken all of it; so a list
 * that is being read goes on as it began, whatever is forgotten meanwhile. What a server lists again from a position on
 * is right however the list before was interrupted: positions are its own, and stable (kernel/fs_abi.h).
 * Too many bytes: a clock over the directories, as for names. Locks: names_lock, held by the callers. Class GLOBAL.
 */
#include "kernel/listing.h"

#include "kernel/inode.h"
#include "kernel/names.h"
#include "mm/frame.h"
#include "mm/heap.h"

#define MEMORY_SHARE 64U /* one part in so many of it */

static struct list keepers = {&keepers, &keepers}; /* directories with pieces, the clock's hand at the front */
static uint64_t kept_bytes, kept_limit;            /* the latter constant */

void listing_init(void) {
    struct frame_counts counts;
    frame_count(&counts);
    kept_limit = (counts.total << PAGE_SHIFT) / MEMORY_SHARE;
}

/* --- Pieces ------------------------------------------------------------------------------------------------------- */

static size_t piece_size(size_t bytes) { return sizeof(struct list_piece) + bytes; }

struct list_piece *piece_create(uint64_t start, size_t bytes) {
    struct list_piece *piece = global_alloc(piece_size(bytes));
    if (piece == NULL)
        return NULL;
    piece->next = NULL;
    piece->refs = 1;
    piece->start = piece->end = start;
    piece->bytes = bytes;
    return piece;
}

void piece_put(struct list_piece *piece) {
    if (piece == NULL || __atomic_sub_fetch(&piece->refs, 1, __ATOMIC_ACQ_REL) != 0)
        return;
    global_free(piece, piece_size(piece->bytes));
}

/* --- Directories -------------------------------------------------------------------------------------------------- */

static void drop_pieces(struct listing *listing) {
    if (listing->first == NULL)
        return;
    list_remove(&listing->link);
    kept_bytes -= listing->bytes;
    listing->bytes = 0;
    while (listing->first != NULL) {
        struct list_piece *piece = listing->first;
        listing->first = piece->next;
        piece_put(piece);
    }
    listing->last = NULL;
}

void listing_forget(struct inode *directory) {
    directory->directory.listing.changes++;
    drop_pieces(&directory->directory.listing);
}

void listing_drop_all(void) {
    spin_lock(&names_lock);
    while (!list_empty(&keepers))
        drop_pieces(container_of(keepers.next, struct listing, link));
    spin_unlock(&names_lock);
}

struct list_piece *listing_find(struct inode *directory, uint64_t start) {
    struct listing *listing = &directory->directory.listing;
    struct list_piece *piece = listing->first;
    while (piece != NULL && piece->start != start)
        piece = piece->next;
    if (piece == NULL)
        return NULL;
    listing->used = true;
    __atomic_fetch_add(&piece->refs, 1, __ATOMIC_RELAXED);
    return piece;
}

/* Makes room for so many bytes, at others' cost. False: there is too little even so. */
static bool make_room(const struct listing *keeper, size_t bytes) {
    while (kept_bytes + bytes > kept_limit && !list_empty(&keepers)) {
        struct listing *listing = container_of(keepers.next, struct listing, link);
        if (listing == keeper && listing->link.next == &keepers)
            return false; /* there is no other */
        list_remove(&listing->link);
        list_push_back(&keepers, &listing->link);
        if (listing->used)
            listing->used = false;
        else if (listing != keeper)
            drop_pieces(listing);
    }
    return kept_bytes + bytes <= kept_limit;
}

void listing_keep(struct inode *directory, struct list_piece *piece, uint64_t changes) {
    struct listing *listing = &directory->directory.listing;
    const uint64_t known = listing->last != NULL ? listing->last->end : 0;
    const size_t size = global_bytes(piece_size(piece->bytes));
    if (listing->changes != changes || piece->start != known || directory->links == 0)
        return;
    if ((listing->last != NULL && listing->last->is_last) || !make_room(listing, size))
        return;
    if (listing->first == NULL) {
        list_push_back(&keepers, &listing->link);
        listing->first = piece;
    } else {
        listing->last->next = piece;
    }
    listing->last = piece;
    listing->bytes += size;
    listing->used = true;
    kept_bytes += size;
    __atomic_fetch_add(&piece->refs, 1, __ATOMIC_RELAXED);
}
