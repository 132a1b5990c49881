/*
 * Areas (VMAs) of a user half and the balanced tree that holds them: what a process asked for, before any page exists.
 *
 * The tree is pure bookkeeping: it touches neither page tables nor references on objects; mm/vm.c does. Everything here
 * is LOCAL; the caller holds user_space->lock. Nothing sleeps.
 */
#ifndef MM_VMA_H
#define MM_VMA_H

#include <stdbool.h>
#include <stdint.h>

#include "kernel/status.h"
#include "mm/types.h"
#include "mm/vm.h"

struct memory_object;
struct region;

/* What a fork does with an area, but copy it. Bits. */
enum vma_fork {
    VMA_FORK_WIPE = 1, /* private anonymous memory: the child's is zero */
    VMA_FORK_DROP = 2, /* the child has it not */
};

/* One range of pages with the same rights and the same backing. Protected by user_space->lock. */
struct vma {
    vaddr_t start, end; /* whole pages, start < end */
    /* The tree, by address; the list, in the same order. */
    struct vma *left, *right, *parent;
    struct vma *next, *previous;
    uint64_t largest_gap; /* bytes: the largest free range just below an area of this subtree */
    uint8_t height;       /* of the subtree: 1 for a leaf */

    uint8_t protection; /* enum vm_protection bits */
    bool shared;        /* writes are seen by all who map the object */
    bool grows_down;    /* a fault below extends it */
    bool may_write;     /* mprotect may add VM_WRITE */
    uint8_t fork;       /* enum vma_fork bits */
    uint32_t maker;     /* id of the vfork child that made it in its parent's user half; else 0. See mm/vm_share.c */

    struct memory_object *object; /* NULL: anonymous, or a region */
    struct region *region;        /* device registers, always shared; or NULL */
    uint64_t offset;              /* byte of object or region at `start`, whole pages */
    uint64_t object_limit;        /* private: bytes of the object from here on read as zero (VMA_NO_LIMIT: none) */
};

#define VMA_NO_LIMIT UINT64_MAX

/* Whether `offset` means something. */
static inline bool vma_is_backed(const struct vma *area) { return area->object || area->region; }

/* The first area that ends behind `address` (it holds the address or lies above it), or NULL. */
struct vma *vma_find(const struct vm *vm, vaddr_t address);

/* The highest area that starts below `address`, or NULL. */
struct vma *vma_last_below(const struct vm *vm, vaddr_t address);

/* The lowest area, or NULL; the others follow by ->next. */
struct vma *vma_first(const struct vm *vm);

/* Puts in an area that overlaps no other; its start, end and attributes are set. Counts it. */
void vma_insert(struct vm *vm, struct vma *area);

/* Takes it out; its memory stays the caller's. */
void vma_remove(struct vm *vm, struct vma *area);

/* Moves its ends; it must still overlap no other. `offset` is the caller's to keep right. */
void vma_set_bounds(struct vm *vm, struct vma *area, vaddr_t start, vaddr_t end);

/* Cuts it at `at` (inside, whole pages): it keeps what is below, `upper` (not yet in the tree) becomes the rest. */
void vma_split(struct vm *vm, struct vma *area, struct vma *upper, vaddr_t at);

/* Whether two neighbours, the lower first, could be one area. */
bool vma_joinable(const struct vma *lower, const struct vma *upper);

/* The highest start of `bytes` free bytes (whole pages) that end at or below `top`; 0 when there is none. */
vaddr_t vma_find_gap(const struct vm *vm, uint64_t bytes, vaddr_t top);

#endif
