/*
 * Address spaces as the hardware sees them: the three roots of a process and the tables below.
 */
#ifndef MM_PAGING_H
#define MM_PAGING_H

#include "arch/paging.h"
#include "kernel/status.h"
#include "mm/frame.h"

struct process;

/* The roots and kernel-half tables of one process. Frames are LOCAL(process). Constant between create and destroy. */
struct roots {
    frame_t restricted, unrestricted, user; /* PML4s; `user` is mode classic's */
    frame_t tables[24];                     /* the tables below them that were made with them */
    unsigned table_count;
    uint64_t serial;     /* of no other space, ever */
    uint64_t generation; /* how often translations were taken from it, and one: mm/tags.c. Atomic */
};

/*
 * The entry for user page `address` in the loaded tables, or NULL when the tables above it are absent. The user space's
 * lock is held by the caller for all of these.
 */
pte_t *user_pte(vaddr_t address);

/* The same, making the tables (LOCAL). ERR_NO_MEMORY. */
MUST_USE enum status user_pte_create(vaddr_t address, pte_t **out);

/*
 * The next address ≥ `address` and < end whose page table is present (skips absent 2 MiB, 1 GiB, 512 GiB ranges), or
 * `end`. For walking large sparse ranges.
 */
vaddr_t user_next_table(vaddr_t address, vaddr_t end);

struct gather;
/* Frees the page tables that lie wholly inside [start, end), whose entries are all clear by now. */
void user_free_tables(struct gather *gather, vaddr_t start, vaddr_t end);

/*
 * Another process's user tables, for building a child: reached through scratch views, never more than one held.
 */
struct table_builder {
    struct process *process;
    vaddr_t base; /* what the viewed page table maps, 2 MiB-aligned; 1 when none is viewed */
    pte_t *view;
};
void builder_begin(struct table_builder *builder, struct process *child);
/* The entry for `address` in the child's tables, making tables (LOCAL(child)). Valid until the next call.
 * ERR_NO_MEMORY. */
MUST_USE enum status builder_pte(struct table_builder *builder, vaddr_t address, pte_t **out);
/* The same, but makes nothing: false when a table above is absent. */
bool builder_pte_if_present(struct table_builder *builder, vaddr_t address, pte_t **out);
/* Frees the page table for `address`, if there is one. Its entries are clear. */
void builder_free_table(struct table_builder *builder, struct gather *gather, vaddr_t address);
void builder_end(struct table_builder *builder);

/* For mm/tlb.c: forgets every translation that is not global, on this CPU. Counts as a CR3 write. */
void tlb_flush_all(void);

#endif
