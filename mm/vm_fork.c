/*
 * The child's half of a fork: every private page is shared copy-on-write, entry by entry, into tables that are built
 * through scratch views. Pages of shared mappings are not entered: the child finds them in their object when it touches
 * them.
 *
 * Invariant: a frame has one reference for each user entry that names it, in whichever process.
 * Locks: the caller holds the parent's user_space->lock; the child does not run yet. Runs in either space without
 * leaving it.
 */
#include "mm/ephmap.h"
#include "mm/object.h"
#include "mm/tag_check.h"
#include "mm/tlb.h"
#include "mm/vm_areas.h"
#include "mm/vm_pages.h"

/* The page of entry `index` in the table that has the entry of `address`. */
static inline vaddr_t page_of_entry(vaddr_t address, unsigned index) {
    return (address & ~(PAGE_TABLE_SPAN - 1)) + index * PAGE_SIZE;
}

/* Shares the entries of one table's part [address, stop): `from` and `to` are the tables' first entries. */
static uint64_t share_entries(pte_t *from, pte_t *to, vaddr_t address, vaddr_t stop) {
    unsigned last = table_index(stop - PAGE_SIZE, 1);
    uint64_t shared = 0;

    for (unsigned i = table_index(address, 1); i <= last; i++) {
        pte_t entry = from[i];

        if (!entry)
            continue;
        if (entry & PTE_WRITE) {
            entry = (entry & ~PTE_WRITE) | PTE_COW;
            from[i] = entry;
            tag_check_weakened(process_current(), page_of_entry(address, i));
        }
        frame_ref(pte_frame(entry));
        to[i] = entry;
        shared++;
    }
    return shared;
}

static enum status share_area(struct table_builder *builder, const struct vma *area) {
    uint64_t *resident = &builder->process->user_space->resident;

    for (vaddr_t address = user_next_table(area->start, area->end); address < area->end;) {
        vaddr_t stop = table_end(address, area->end);
        unsigned first = table_index(address, 1);
        pte_t *to;
        enum status status = builder_pte(builder, address, &to);

        if (status != OK)
            return status;
        *resident += share_entries(user_pte(address) - first, to - first, address, stop);
        address = user_next_table(stop, area->end);
    }
    return OK;
}

/* The child's areas are a copy of the parent's, so it holds the same references once more. */
static void ref_objects(const struct vm *vm) {
    for (const struct vma *area = vma_first(vm); area; area = area->next)
        area_ref_object(area);
    if (vm->executable) {
        object_ref(vm->executable);
        object_runs_again(vm->executable);
    }
}

static void unref_objects(const struct vm *vm) {
    for (const struct vma *area = vma_first(vm); area; area = area->next)
        area_unref_object(area);
    if (vm->executable) {
        object_end_run(vm->executable);
        object_unref(vm->executable);
    }
}

enum status vm_fork(struct process *child) {
    const struct vm *vm = &LOCAL->vm;
    struct table_builder builder;
    enum status status = OK;

    ref_objects(vm);
    builder_begin(&builder, child);
    for (const struct vma *area = vma_first(vm); area && status == OK; area = area->next)
        if (!area->shared && !area->fork)
            status = share_area(&builder, area);
    builder_end(&builder);
    tlb_flush(process_current(), NULL, TLB_EVERYTHING); /* what the parent could write it may now only read */
    if (status != OK)
        vm_fork_undo(child);
    return status;
}

/*
 * Empties a table of the child and all below it: the lowest level drops references, every table goes back to be
 * freed.
 */
static void take_down(struct gather *gather, frame_t table, unsigned level) {
    pte_t *view = ephmap_scratch(table);

    for (unsigned i = 0; i < TABLE_ENTRIES; i++) {
        pte_t entry = view[i];

        if (!entry)
            continue;
        view[i] = 0;
        if (level > 1)
            take_down(gather, pte_frame(entry), level - 1);
        else
            gather_release(gather, pte_frame(entry));
    }
    ephmap_scratch_put(view);
    gather_clean_frame(gather, table);
}

static void clear_user_slots(frame_t root) {
    pte_t *view = ephmap_scratch(root);

    for (unsigned slot = 0; slot < USER_SLOTS; slot++)
        view[slot] = 0;
    ephmap_scratch_put(view);
}

void vm_fork_undo(struct process *child) {
    struct gather gather;

    gather_begin(&gather);
    for (unsigned slot = 0; slot < USER_SLOTS; slot++) {
        pte_t *root = ephmap_scratch(child->roots.restricted);
        pte_t entry = root[slot];

        ephmap_scratch_put(root);
        if (entry)
            take_down(&gather, pte_frame(entry), 3);
    }
    clear_user_slots(child->roots.restricted);
    clear_user_slots(child->roots.unrestricted);
    clear_user_slots(child->roots.user);
    gather_flush(&gather);
    child->user_space->resident = 0;
    unref_objects(&LOCAL->vm);
}

/* Areas that the parent did not want its child to have, on the child's side, before its first instruction. */
void vm_settle_fork(void) {
    struct process *process = process_current();
    struct vm *vm = &LOCAL->vm;
    struct vma *next;

    if (vm->adviser == 0 || vm->adviser == process->id || user_half_is_lent(process))
        return;
    mutex_lock(&process->user_space->lock);
    for (struct vma *area = vma_first(vm); area; area = next) {
        next = area->next;
        if (area->fork & VMA_FORK_DROP)
            (void)!areas_remove(vm, area->start, area->end); /* all of it: nothing is split, so nothing fails */
    }
    vm->adviser = process->id;
    vm->populates = false;
    mutex_unlock(&process->user_space->lock);
}
