/*
 * mremap: an area, or a part of one, becomes shorter, longer or another place's. Pages move by their entries, uncopied.
 *
 * Decode first, commit then: the splits and tables that a move needs are made before anything moves.
 * Locks: takes user_space->lock. Areas are LOCAL. Runs in either space without leaving it.
 */
#include "mm/heap.h"
#include "mm/object.h"
#include "mm/vm_areas.h"
#include "mm/vm_pages.h"

/* Makes [start, end), which lies in one area, an area of its own. ERR_NO_MEMORY. */
static enum status isolate(struct vm *vm, vaddr_t start, vaddr_t end, struct vma **out) {
    struct vma *area = vma_find(vm, start);
    enum status status = area->end > end ? area_split(vm, area, end) : OK;

    if (status == OK && area->start < start) {
        status = area_split(vm, area, start);
        area = area->next;
    }
    *out = area;
    return status;
}

/* Moves [from, from + bytes) to the free range [to, to + new_bytes). */
static enum status move(struct vm *vm, vaddr_t from, uint64_t bytes, vaddr_t to, uint64_t new_bytes) {
    struct gather gather;
    struct vma *area;
    enum status status = isolate(vm, from, from + bytes, &area);

    if (status == OK)
        status = pages_prepare_move(from, to, bytes);
    gather_begin(&gather);
    if (status == OK) {
        pages_move(&gather, from, to, bytes);
        vma_remove(vm, area);
        area->start = to;
        area->end = to + new_bytes;
        area->grows_down = false;
        vma_insert(vm, area);
        pages_free_tables(&gather, vm, from, from + bytes);
    } else {
        pages_free_tables(&gather, vm, to, to + new_bytes);
    }
    gather_flush(&gather);
    areas_join(vm, from, from + bytes);
    areas_join(vm, to, to + new_bytes);
    return status;
}

/*
 * Another area at the free range [to, to + new_bytes), of what is at `from`, whose pages of [from, from + bytes) go
 * there. What they came from stays mapped, and empty: it fills again when it is touched.
 */
static enum status move_and_keep(struct vm *vm, vaddr_t from, uint64_t bytes, vaddr_t to, uint64_t new_bytes) {
    const struct vma *area = vma_find(vm, from);
    struct vma *copy = vm->areas < VM_AREAS_MAX ? local_alloc(sizeof(*copy)) : NULL;
    enum status status = copy ? pages_prepare_move(from, to, bytes) : ERR_NO_MEMORY;
    struct gather gather;

    gather_begin(&gather);
    if (status == OK) {
        *copy = *area;
        copy->start = to;
        copy->end = to + new_bytes;
        copy->grows_down = false;
        copy->maker = user_half_is_lent(process_current()) ? process_current()->id : 0;
        if (vma_is_backed(copy))
            copy->offset += from - area->start;
        area_ref_object(copy);
        pages_move(&gather, from, to, bytes);
        vma_insert(vm, copy);
    } else {
        pages_free_tables(&gather, vm, to, to + new_bytes);
        local_free(copy, sizeof(*copy));
    }
    gather_flush(&gather);
    return status;
}

static bool can_grow_in_place(const struct vma *area, vaddr_t end, vaddr_t new_end) {
    vaddr_t limit = area->next ? area->next->start : USER_END;
    return area->end == end && new_end <= limit;
}

/* To the free range at `to`: by moving, or by leaving something behind. */
static enum status move_to(struct vm *vm, const struct vm_remap_request *request, uint64_t bytes, vaddr_t to) {
    if (request->keep || bytes == 0)
        return move_and_keep(vm, request->address, bytes, to, request->new_bytes);
    return move(vm, request->address, bytes, to, request->new_bytes);
}

static enum status move_to_fixed(struct vm *vm, const struct vm_remap_request *request, vaddr_t to) {
    enum status status = areas_remove(vm, to, to + request->new_bytes);
    uint64_t bytes = request->bytes;

    if (status == OK && request->new_bytes < bytes) {
        status = areas_remove(vm, request->address + request->new_bytes, request->address + bytes);
        bytes = request->new_bytes;
    }
    return status == OK ? move_to(vm, request, bytes, to) : status;
}

/* What Linux says of areas that must not grow, or be in two places. */
static enum status check_area(const struct vma *area, const struct vm_remap_request *request) {
    if (request->bytes == 0 && !area->shared)
        return ERR_INVALID;
    if (area->region && request->keep)
        return ERR_INVALID;
    if (area->end < request->address + request->bytes)
        return ERR_FAULT;
    return area->region && request->new_bytes > request->bytes ? ERR_FAULT : OK;
}

/* The request's sizes are whole pages and its ranges lie in the user half. */
static enum status remap(struct vm *vm, const struct vm_remap_request *request, vaddr_t *address) {
    vaddr_t start = request->address, end = start + request->bytes, new_end = start + request->new_bytes,
            hint = *address;
    struct vma *area = vma_find(vm, start);
    bool anew = request->keep || request->bytes == 0;
    enum status status;

    if (!area || area->start > start)
        return ERR_FAULT;
    if (!request->fixed && !anew && new_end <= end) {
        *address = start;
        return areas_remove(vm, new_end, end);
    }
    status = check_area(area, request);
    if (status != OK)
        return status;
    if (request->fixed)
        return move_to_fixed(vm, request, *address);
    *address = start;
    if (!anew && can_grow_in_place(area, end, new_end)) {
        vma_set_bounds(vm, area, area->start, new_end);
        areas_join(vm, start, new_end);
        return OK;
    }
    if (request->keep && hint >= USER_START && !page_offset(hint) && hint <= USER_END - request->new_bytes &&
        areas_absent(vm, hint, hint + request->new_bytes))
        *address = hint;
    else
        *address = request->may_move ? vma_find_gap(vm, request->new_bytes, USER_MMAP_TOP - vm->mmap_shift) : 0;
    return *address ? move_to(vm, request, request->bytes, *address) : ERR_NO_MEMORY;
}

/* Sizes and places. ERR_INVALID. */
static enum status check_request(const struct vm_remap_request *request, vaddr_t to) {
    if (page_offset(request->address) || request->new_bytes == 0)
        return ERR_INVALID;
    if ((request->fixed || request->keep) && !request->may_move)
        return ERR_INVALID;
    if (request->keep && request->bytes != request->new_bytes)
        return ERR_INVALID;
    if (!request->fixed)
        return OK;
    if (page_offset(to) || request->new_bytes > USER_END || to > USER_END - request->new_bytes)
        return ERR_INVALID;
    if (to < request->address + request->bytes && request->address < to + request->new_bytes)
        return ERR_INVALID;
    return to < USER_START ? ERR_NOT_PERMITTED : OK;
}

enum status vm_remap(const struct vm_remap_request *request, vaddr_t *address) {
    struct vm_remap_request rounded = *request;
    struct mutex *lock;
    enum status status;

    if (request->new_bytes > USER_END)
        return page_offset(request->address) ? ERR_INVALID : ERR_NO_MEMORY;
    if (request->bytes > USER_END)
        return ERR_FAULT;
    rounded.new_bytes = page_ceil(request->new_bytes);
    rounded.bytes = page_ceil(request->bytes);
    status = check_request(&rounded, *address);
    if (status != OK)
        return status;
    if (request->address > USER_END - rounded.bytes)
        return ERR_FAULT;

    lock = &process_current()->user_space->lock;
    mutex_lock(lock);
    vm_note_change(&LOCAL->vm);
    status = remap(&LOCAL->vm, &rounded, address);
    mutex_unlock(lock);
    return status;
}
