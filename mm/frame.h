/*
 * Physical frames: who owns each, and the list of free ones.
 *
 * The frame table (GLOBAL) has one entry per 4 KiB of RAM. Its layout is a contract with tools/audit, which reads it
 * from outside: keep it plain.
 */
#ifndef MM_FRAME_H
#define MM_FRAME_H

#include "kernel/status.h"
#include "mm/types.h"

struct memory_object;

/* Who may have the frame mapped in a restricted space: see design.md, section 2. */
enum frame_class {
    FRAME_FREE,     /* nobody; all zero */
    FRAME_GLOBAL,   /* everyone */
    FRAME_LOCAL,    /* the process in `owner` */
    FRAME_USER,     /* the processes that have it in their user half */
    FRAME_SECRET,   /* nobody but through EPHMAP or a mapping of `object` */
    FRAME_DIRTY,    /* SECRET that nobody uses: waits for the scrubber */
    FRAME_RESERVED, /* not RAM, or RAM that the firmware keeps */
};

struct frame {
    uint8_t class; /* enum frame_class */
    uint8_t
        used; /* SECRET: had a window, or was filled, since eviction last looked. Object lock; set under a shared one */
    uint16_t grants; /* how many of the references are grants'. Atomic */
    uint32_t
        refs; /* USER: page-table entries; SECRET: entries + 1 for the object. Guarded by frame_ref/unref (atomic). */
    uint32_t owner;               /* LOCAL: process id. USER: id of the process that allocated it. SECRET: 0 */
    uint32_t next;                /* FREE and DIRTY: next frame number in the list */
    struct memory_object *object; /* SECRET: the object it belongs to, or NULL */
};
_Static_assert(sizeof(struct frame) == 24, "tools/audit reads this layout");

/* The frame's table entry. The frame must be RAM (frame_exists). */
static inline struct frame *frame_info(frame_t frame) { return (struct frame *)FRAME_TABLE_BASE + frame.number; }

/* Whether the number names a frame the table covers. */
bool frame_exists(frame_t frame);

/*
 * Takes a frame from the free list: all zero (CLEAN), refs 1. `owner` is the process id for LOCAL and USER, 0
 * otherwise.
 * Errors: ERR_NO_MEMORY. May exit (cause zero) when only dirty frames are left. Interrupts may be off.
 */
MUST_USE enum status frame_alloc(enum frame_class class, uint32_t owner, frame_t *out);

/*
 * Sets up to FRAME_RESERVE free frames aside for when nothing is free: for the kernel's own needs, and for processes
 * that store pages (process.stores_pages), for memory comes free by what they do, and that takes memory. Any context.
 */
#define FRAME_RESERVE 256U
void frame_fill_reserve(void);

/* Returns a frame that is all zero already (a page table whose entries were cleared one by one). refs must be ≤ 1. */
void frame_free_clean(frame_t frame);

/*
 * Returns a frame whose content is unknown and which the caller may not see: the scrubber clears it before anyone gets
 * it. For frames the caller may see use ephmap_scrub_and_free(): it costs no exit.
 */
void frame_free_dirty(frame_t frame);

/* Adds or drops one reference. frame_unref returns true when it was the last: the caller then frees the frame. */
void frame_ref(frame_t frame);
MUST_USE bool frame_unref(frame_t frame);

/* Clears up to `count` dirty frames through PHYSMAP and frees them. Leaves the restricted space if called in it. */
void frame_scrub_dirty(unsigned count);

struct frame_counts {
    uint64_t total, by_class[FRAME_RESERVED + 1];
};
void frame_count(struct frame_counts *out);

/* How many LOCAL and USER frames have an owner whose bit is set; owners from `limit` on have none. */
uint64_t frame_count_owned(const uint64_t *owners, uint64_t limit);

#endif
