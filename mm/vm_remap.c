/*
 * mremap: an area, or a part of one, becomes shorter, longer or another place's. Pages move by their entries, uncopied.
 *
 * Decode first, commit then: the splits and tables that a move needs are made before anything moves.
 * Locks: takes user_space->lock. Areas are LOCAL. Runs in either space without leaving it.
 */
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

static bool can_grow_in_place(const struct vma *area, vaddr_t end, vaddr_t new_end) {
    vaddr_t limit = area->next ? area->next->start : USER_END;
    return area->end == end && new_end <= limit;
}

static enum status move_to_fixed(struct vm *vm, const struct vm_remap_request *request, vaddr_t to) {
    enum status status = areas_remove(vm, to, to + request->new_bytes);
    uint64_t bytes = request->bytes;

    if (status == OK && request->new_bytes < bytes) {
        status = areas_remove(vm, request->address + request->new_bytes, request->address + bytes);
        bytes = request->new_bytes;
    }
    return status == OK ? move(vm, request->address, bytes, to, request->new_bytes) : status;
}

/* The request's sizes are whole pages and its ranges lie in the user half. */
static enum status remap(struct vm *vm, const struct vm_remap_request *request, vaddr_t *address) {
    vaddr_t start = request->address, end = start + request->bytes, new_end = start + request->new_bytes;
    struct vma *area = vma_find(vm, start);

    if (!area || area->start > start || area->end < end)
        return ERR_FAULT;
    if (area->region && request->new_bytes > request->bytes)
        return ERR_FAULT; /* as Linux says of what must not grow */
    if (request->fixed)
        return move_to_fixed(vm, request, *address);
    *address = start;
    if (new_end <= end)
        return areas_remove(vm, new_end, end);
    if (can_grow_in_place(area, end, new_end)) {
        vma_set_bounds(vm, area, area->start, new_end);
        areas_join(vm, start, new_end);
        return OK;
    }
    *address = request->may_move ? vma_find_gap(vm, request->new_bytes, USER_MMAP_TOP) : 0;
    return *address ? move(vm, start, request->bytes, *address, request->new_bytes) : ERR_NO_MEMORY;
}

enum status vm_remap(const struct vm_remap_request *request, vaddr_t *address) {
    struct vm_remap_request rounded = *request;
    struct mutex *lock;
    enum status status;

    if (page_offset(request->address) || request->bytes == 0 || request->new_bytes == 0)
        return ERR_INVALID;
    if (request->new_bytes > USER_END)
        return ERR_NO_MEMORY;
    rounded.new_bytes = page_ceil(request->new_bytes);
    if (request->fixed) {
        vaddr_t to = *address;

        if (page_offset(to) || to < USER_START || to > USER_END - rounded.new_bytes || !request->may_move)
            return ERR_INVALID;
    }
    if (request->bytes > USER_END || request->address > USER_END - page_ceil(request->bytes))
        return ERR_FAULT;
    rounded.bytes = page_ceil(request->bytes);
    if (request->fixed && *address < request->address + rounded.bytes &&
        request->address < *address + rounded.new_bytes)
        return ERR_INVALID;

    lock = &process_current()->user_space->lock;
    mutex_lock(lock);
    vm_note_change(&LOCAL->vm);
    status = remap(&LOCAL->vm, &rounded, address);
    mutex_unlock(lock);
    return status;
}
