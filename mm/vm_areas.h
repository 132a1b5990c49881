/*
 * Areas together with what hangs on them (objects, pages): the steps that mapping, unmapping, protecting and moving
 * share. Internal to mm/vm*.c and mm/fault.c.
 *
 * A vfork child that shares its parent's user half has a copy of the parent's areas, with references of its own:
 * another thread of the parent's may unmap one meanwhile. What the child adds bears its id in `maker`. See
 * mm/vm_share.c.
 *
 * The caller holds user_space->lock for everything here. Nothing sleeps.
 */
#ifndef MM_VM_AREAS_H
#define MM_VM_AREAS_H

#include "kernel/local.h"
#include "kernel/process.h"
#include "mm/vma.h"

/*
 * Whether the process is a vfork child that runs in its parent's user half. The parent waits, so its fields are
 * stable.
 */
static inline bool user_half_is_lent(const struct process *process) {
    return process->vfork_parent && process->user_space == process->vfork_parent->process->user_space;
}

/* The reference on its object or region that an area holds, if it has one, and the return of it. */
void area_ref_object(const struct vma *area);
void area_unref_object(const struct vma *area);

/* Takes an area out of the tree, drops its object and frees it. Its pages are unmapped already. */
void area_delete(struct vm *vm, struct vma *area);

/* Cuts an area in two, both with a reference. ERR_NO_MEMORY (also: too many areas). */
MUST_USE enum status area_split(struct vm *vm, struct vma *area, vaddr_t at);

/* Makes one area of neighbours in and around [start, end) that can be one. */
void areas_join(struct vm *vm, vaddr_t start, vaddr_t end);

/* Whether no area lies in [start, end). */
bool areas_absent(const struct vm *vm, vaddr_t start, vaddr_t end);

/* Unmaps [start, end): areas, pages and tables. ERR_NO_MEMORY (a split): nothing has changed. */
MUST_USE enum status areas_remove(struct vm *vm, vaddr_t start, vaddr_t end);

/* Drops and frees all areas and resets the bookkeeping; page tables are not touched. */
void areas_forget_all(struct vm *vm);

/* Called before a change of the areas, so that a vfork child hands them back. */
void vm_note_change(struct vm *vm);

/* Drops what vfork children left for a user half that is going away. */
void handovers_discard(const struct user_space *space);

/* A page that a fault needs of an object's pager. */
struct wanted_page {
    struct memory_object *object; /* with a reference */
    uint64_t page;
};

/*
 * vm_fault() with the lock held. ERR_WOULD_BLOCK: *wanted says what is to be asked for, without the lock, by
 * fault_wanted(), which takes the reference; then again.
 */
MUST_USE enum status fault_page(vaddr_t address, bool write, bool execute, int *si_code, struct wanted_page *wanted);
MUST_USE enum status fault_wanted(const struct wanted_page *wanted);

#endif
