/*
 * What mapping, unmapping, protecting and moving have in common: splitting, joining and removing areas with their pages
 * and their references.
 *
 * Invariant: each area with an object holds one reference on it and counts as one of its mappings, also in a
 * user half that is shared. Locks: the caller holds user_space->lock. LOCAL data only. Runs in either space without
 * leaving it.
 */
#include "mm/vm_areas.h"

#include "kernel/sysv_shm.h"
#include "mm/heap.h"
#include "mm/object.h"
#include "mm/region.h"
#include "mm/vm_pages.h"

void area_ref_object(const struct vma *area) {
    if (area->region)
        region_ref(area->region);
    if (!area->object)
        return;
    object_ref(area->object);
    if (area->object->seals && area->shared && area->may_write)
        object_writer_begins(area->object);
    if (area->object->segment)
        segment_attached(area->object);
    else
        __atomic_add_fetch(&area->object->mappings, 1, __ATOMIC_RELAXED);
}

void area_unref_object(const struct vma *area) {
    if (area->region)
        region_unref(area->region);
    if (!area->object)
        return;
    if (area->object->seals && area->shared && area->may_write)
        object_writer_ends(area->object);
    if (area->object->segment)
        segment_detached(area->object);
    else
        __atomic_sub_fetch(&area->object->mappings, 1, __ATOMIC_RELAXED);
    object_unref(area->object);
}

void area_delete(struct vm *vm, struct vma *area) {
    vma_remove(vm, area);
    area_unref_object(area);
    local_free(area, sizeof(*area));
}

enum status area_split(struct vm *vm, struct vma *area, vaddr_t at) {
    struct vma *upper = vm->areas < VM_AREAS_MAX ? local_alloc(sizeof(*upper)) : NULL;

    if (!upper)
        return ERR_NO_MEMORY;
    vma_split(vm, area, upper, at);
    area_ref_object(upper);
    return OK;
}

void areas_join(struct vm *vm, vaddr_t start, vaddr_t end) {
    struct vma *area = vma_last_below(vm, start);

    if (!area)
        area = vma_first(vm);
    while (area && area->start < end) {
        struct vma *next = area->next;
        vaddr_t next_end;

        if (!next || !vma_joinable(area, next)) {
            area = next;
            continue;
        }
        next_end = next->end;
        area_delete(vm, next);
        vma_set_bounds(vm, area, area->start, next_end);
    }
}

bool areas_absent(const struct vm *vm, vaddr_t start, vaddr_t end) {
    const struct vma *area = vma_find(vm, start);
    return !area || area->start >= end;
}

/* Trims or takes out the areas of the range; those that are gone altogether form a list by ->next. */
static struct vma *cut_out(struct vm *vm, struct vma *area, vaddr_t start, vaddr_t end) {
    struct vma *gone = NULL, *next;

    for (; area && area->start < end; area = next) {
        next = area->next;
        if (area->start < start) {
            vma_set_bounds(vm, area, area->start, start);
        } else if (area->end > end) {
            if (vma_is_backed(area))
                area->offset += end - area->start;
            vma_set_bounds(vm, area, end, area->end);
        } else {
            vma_remove(vm, area);
            area->next = gone;
            gone = area;
        }
    }
    return gone;
}

enum status areas_remove(struct vm *vm, vaddr_t start, vaddr_t end) {
    struct vma *area = vma_find(vm, start), *gone;
    struct gather gather;

    if (!area || area->start >= end)
        return OK;
    if (area->start < start && area->end > end) {
        enum status status = area_split(vm, area, end);

        if (status != OK)
            return status;
    }
    gather_begin(&gather);
    gone = cut_out(vm, area, start, end);
    if (pages_unmap(&gather, start, end))
        pages_free_tables(&gather, vm, start, end);
    gather_flush(&gather);
    /* Only now: an object that dies frees its pages, and no translation to them may be left (REVOKE). */
    while (gone) {
        struct vma *next = gone->next;

        area_unref_object(gone);
        local_free(gone, sizeof(*gone));
        gone = next;
    }
    return OK;
}

void areas_forget_all(struct vm *vm) {
    struct vma *next;

    for (struct vma *area = vma_first(vm); area; area = next) {
        next = area->next;
        area_unref_object(area);
        local_free(area, sizeof(*area));
    }
    vm_reset();
}
