/*
 * Making and unmaking the roots of a process; what all roots share. For process creation and start-up only.
 */
#ifndef MM_ROOTS_H
#define MM_ROOTS_H

#include "arch/cpu.h"
#include "mm/paging.h"

/* Tables that all roots lead to. GLOBAL frames, filled at start-up, constant afterwards. */
struct shared_tables {
    frame_t image_pdpt, global_pdpt;
    frame_t physmap_pdpt[SLOT_IMAGE - SLOT_PHYSMAP];
    unsigned physmap_slots;
    /*
     * Linked, read-only, where a process has no EPHMAP tables of its own: an empty page table, and a directory full of
     * it. So the entry of every frame's window can be read without asking for the levels above.
     */
    frame_t empty_window_pt, empty_window_pd;
    unsigned window_gibs;                       /* of RAM: so many entries of an EPHMAP PDPT lead to directories */
    frame_t cpu_stacks_pd[2];                   /* by enum space */
    frame_t split_stack_pdpt, split_image_pdpt; /* mode classic's user root */
};
extern struct shared_tables shared_tables;

/* Whether an entry of `level` leads to the empty tables: no leaf is in them, and they are linked again and again. */
static inline bool leads_to_empty_window_table(pte_t entry, unsigned level) {
    return (level == 2 && frame_equal(pte_frame(entry), shared_tables.empty_window_pt)) ||
           (level == 3 && frame_equal(pte_frame(entry), shared_tables.empty_window_pd));
}

/* The CR3 value with which kernel code runs in that space. */
static inline uint64_t roots_address(const struct roots *roots, enum space space) {
    return frame_address(space == SPACE_RESTRICTED ? roots->restricted : roots->unrestricted);
}

/* Makes the three roots and the kernel-half tables; the user half is empty. ERR_NO_MEMORY leaves nothing behind. */
MUST_USE enum status roots_create(struct roots *roots, uint32_t owner);

/* Frees them. The user half, LOCAL, EPHMAP windows and stacks are gone already; no CPU has a root loaded. */
void roots_destroy(struct roots *roots);

/* Makes the tables that a stack slot needs, for both spaces. ERR_NO_MEMORY. */
MUST_USE enum status roots_ensure_stack_tables(struct roots *roots, uint32_t owner, uint64_t slot);

/* Maps a thread's stack frames of one space. */
void roots_set_stack(const struct roots *roots, enum space space, uint64_t slot, const frame_t frames[STACK_PAGES]);

/* The lowest address of the stack in `slot`; its top is STACK_SIZE above. */
static inline vaddr_t stack_bottom(uint64_t slot) { return STACK_BASE + slot * STACK_STRIDE + STACK_SIZE; }

/*
 * vfork: `to` gets `from`'s user half, the same tables (a slot that one of them fills later the other finds:
 * user_pte_create()); and back: the child's user half is empty. The second runs in the child.
 */
void roots_share_user_half(const struct roots *from, const struct roots *to);
void roots_unshare_user_half(const struct roots *roots);

#endif
