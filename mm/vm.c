/*
 * The user half of the calling process: mapping, unmapping, changing rights, the heap's end, taking it all down.
 *
 * Decode first, commit then: each function checks what user space asked for and reserves what it needs before it
 * changes anything. Locks: takes user_space->lock. Areas are LOCAL.
 * Runs in either space without leaving it.
 */
#include "mm/vm.h"

#include "mm/ephmap.h"
#include "mm/heap.h"
#include "mm/object.h"
#include "mm/region.h"
#include "mm/vm_areas.h"
#include "mm/vm_pages.h"

static struct mutex *lock_user_half(void) {
    struct mutex *lock = &process_current()->user_space->lock;
    mutex_lock(lock);
    return lock;
}

static enum status check_protection(unsigned protection) {
    if (protection & ~(unsigned)(VM_READ | VM_WRITE | VM_EXECUTE))
        return ERR_INVALID;
    return protection & VM_WRITE && protection & VM_EXECUTE && process_current()->refuses_exec_gain ? ERR_ACCESS : OK;
}

/* Rounds a range to pages; false when it is empty or does not lie in the user half. */
static bool round_range(vaddr_t address, uint64_t *bytes) {
    if (*bytes == 0 || *bytes > USER_END || address > USER_END - page_ceil(*bytes))
        return false;
    *bytes = page_ceil(*bytes);
    return true;
}

static enum status check_region(const struct vm_map_request *request) {
    const uint64_t bytes = page_ceil(request->bytes), size = region_bytes(request->region);

    if (!request->shared || bytes > size || request->offset > size - bytes)
        return ERR_INVALID;
    return request->protection & VM_EXECUTE ? ERR_ACCESS : OK;
}

/* What the request asks for, place aside, as an area. */
static enum status describe(const struct vm_map_request *request, struct vma *area) {
    enum status status = check_protection(request->protection);

    if (status != OK)
        return status;
    if (request->bytes == 0 || page_offset(request->offset))
        return ERR_INVALID;
    if (request->bytes > USER_END)
        return ERR_NO_MEMORY;
    if (request->object && request->offset > UINT64_MAX - page_ceil(request->bytes))
        return ERR_OVERFLOW;
    if (request->region && (status = check_region(request)) != OK)
        return status;
    *area = (struct vma){
        .protection = (uint8_t)request->protection,
        .shared = request->shared,
        .grows_down = request->grows_down && !request->object && !request->shared,
        .may_write = !request->shared || (!request->object && !request->region) || request->writable_file,
        .maker = user_half_is_lent(process_current()) ? process_current()->id : 0,
        .object = request->object,
        .region = request->region,
        .offset = request->object || request->region ? request->offset : 0,
        .object_limit = VMA_NO_LIMIT,
    };
    if (request->object && request->file_bytes && request->file_bytes < page_ceil(request->bytes))
        area->object_limit = request->offset + request->file_bytes;
    return request->protection & VM_WRITE && !area->may_write ? ERR_ACCESS : OK;
}

static enum status choose_place(const struct vm *vm, const struct vm_map_request *request, struct vma *area) {
    uint64_t bytes = page_ceil(request->bytes);
    vaddr_t start = page_floor(request->address);

    if (request->fixed) {
        if (start != request->address)
            return ERR_INVALID;
        if (start < USER_START)
            return ERR_NOT_PERMITTED;
        if (start > USER_END - bytes)
            return ERR_NO_MEMORY;
        if (request->no_replace && !areas_absent(vm, start, start + bytes))
            return ERR_EXISTS;
    } else if (start < USER_START || start > USER_END - bytes || !areas_absent(vm, start, start + bytes)) {
        start = vma_find_gap(vm, bytes, USER_MMAP_TOP - vm->mmap_shift);
        if (!start)
            return ERR_NO_MEMORY;
    }
    area->start = start;
    area->end = start + bytes;
    return OK;
}

/* Lets a neighbour grow over a new area's place, if it can stand for both. */
static bool extend_neighbour(struct vm *vm, const struct vma *area) {
    struct vma *below = vma_last_below(vm, area->start), *above = below ? below->next : vma_first(vm);

    if (below && vma_joinable(below, area)) {
        vma_set_bounds(vm, below, below->start, area->end);
        areas_join(vm, below->start, below->end);
        return true;
    }
    if (above && vma_joinable(area, above)) {
        above->offset = area->offset;
        vma_set_bounds(vm, above, area->start, above->end);
        return true;
    }
    return false;
}

/* Puts in a described and placed area, instead of what is there. On error nothing has changed. */
static enum status add_area(struct vm *vm, const struct vma *area) {
    bool replaces = !areas_absent(vm, area->start, area->end);
    struct vma *node;
    enum status status;

    if (!replaces && extend_neighbour(vm, area))
        return OK;
    node = vm->areas < VM_AREAS_MAX ? local_alloc(sizeof(*node)) : NULL;
    if (!node)
        return ERR_NO_MEMORY;
    status = replaces ? areas_remove(vm, area->start, area->end) : OK;
    if (status == OK && !extend_neighbour(vm, area)) {
        *node = *area;
        area_ref_object(node);
        vma_insert(vm, node);
        return OK;
    }
    local_free(node, sizeof(*node));
    return status;
}

/* The memory behind a shared anonymous mapping: an object that fills as it is touched. */
static enum status create_shared_memory(uint64_t bytes, struct memory_object **out) {
    enum status status = object_create(out);

    if (status != OK)
        return status;
    status = object_resize(*out, page_ceil(bytes));
    if (status == OK)
        return OK;
    object_unref(*out);
    return ERR_NO_MEMORY;
}

enum status vm_map(const struct vm_map_request *request, vaddr_t *address) {
    bool make_object = request->shared && !request->object && !request->region;
    struct vma area;
    struct mutex *lock;
    enum status status = describe(request, &area);

    if (status == OK && make_object)
        status = create_shared_memory(request->bytes, &area.object);
    if (status != OK)
        return status;

    lock = lock_user_half();
    vm_note_change(&LOCAL->vm);
    status = choose_place(&LOCAL->vm, request, &area);
    if (status == OK)
        status = add_area(&LOCAL->vm, &area);
    mutex_unlock(lock);

    if (make_object)
        object_unref(area.object); /* the area has its own reference by now */
    *address = area.start;
    if (status == OK && (request->populate || LOCAL->vm.populates) && request->protection &&
        vm_populate(area.start, area.end - area.start, request->protection & VM_WRITE) != OK)
        return OK; /* as many pages as there are */
    return status;
}

vaddr_t vm_free_place(uint64_t bytes) {
    struct mutex *lock = lock_user_half();
    vaddr_t place = vma_find_gap(&LOCAL->vm, page_ceil(bytes), USER_MMAP_TOP - LOCAL->vm.mmap_shift);

    mutex_unlock(lock);
    return place;
}

enum status vm_unmap(vaddr_t address, uint64_t bytes) {
    struct mutex *lock;
    enum status status;

    if (page_offset(address) || !round_range(address, &bytes))
        return ERR_INVALID;
    lock = lock_user_half();
    vm_note_change(&LOCAL->vm);
    status = areas_remove(&LOCAL->vm, address, address + bytes);
    mutex_unlock(lock);
    return status;
}

/* Whether it is a part of a segment that was mapped at `address`. */
static bool is_part_of_segment(const struct vma *area, vaddr_t address) {
    return area->object && area->object->segment && area->start >= address && area->start - address == area->offset;
}

enum status vm_detach_segment(vaddr_t address) {
    struct vm *vm = &LOCAL->vm;
    struct mutex *lock = lock_user_half();
    const struct memory_object *object = NULL;
    struct vma *area = vma_find(vm, address), *next;
    enum status status = OK;

    while (area && !is_part_of_segment(area, address))
        area = area->next;
    if (area) {
        vm_note_change(vm);
        object = area->object;
    }
    for (; area && status == OK; area = next) { /* all of an area at a time: nothing is split, so nothing fails */
        next = area->next;
        if (area->object == object && is_part_of_segment(area, address))
            status = areas_remove(vm, area->start, area->end);
    }
    mutex_unlock(lock);
    return object ? status : ERR_INVALID;
}

/* Whether areas cover [start, end) without a hole, and all of them may get the rights. */
static enum status check_areas(const struct vm *vm, vaddr_t start, vaddr_t end, unsigned protection) {
    const struct vma *area = vma_find(vm, start);

    for (; start < end; start = area->end, area = area->next) {
        if (!area || area->start > start)
            return ERR_NO_MEMORY;
        if ((protection & VM_WRITE && !area->may_write) || (protection & VM_EXECUTE && area->region))
            return ERR_ACCESS;
        if (protection & VM_EXECUTE && !(area->protection & VM_EXECUTE) && process_current()->refuses_exec_gain)
            return ERR_ACCESS;
    }
    return OK;
}

/* Makes area boundaries at both ends of the range where the rights will differ. */
static enum status split_ends(struct vm *vm, vaddr_t start, vaddr_t end, unsigned protection) {
    struct vma *first = vma_find(vm, start), *last = vma_find(vm, end - 1);
    enum status status = OK;

    if (last->end > end && last->protection != protection)
        status = area_split(vm, last, end);
    if (status == OK && first->start < start && first->protection != protection)
        status = area_split(vm, first, start);
    return status;
}

static enum status protect(struct vm *vm, vaddr_t start, vaddr_t end, unsigned protection) {
    struct gather gather;
    enum status status = check_areas(vm, start, end, protection);

    if (status == OK)
        status = split_ends(vm, start, end, protection);
    if (status != OK)
        return status;
    gather_begin(&gather);
    for (struct vma *area = vma_find(vm, start); area && area->start < end; area = area->next) {
        if (area->protection == protection)
            continue;
        area->protection = (uint8_t)protection;
        pages_protect(&gather, area, area->start, area->end);
    }
    gather_flush(&gather);
    areas_join(vm, start, end);
    return OK;
}

enum status vm_protect(vaddr_t address, uint64_t bytes, unsigned protection) {
    struct mutex *lock;
    enum status status = page_offset(address) ? ERR_INVALID : check_protection(protection);

    if (status != OK || bytes == 0)
        return status;
    if (!round_range(address, &bytes))
        return ERR_NO_MEMORY;
    lock = lock_user_half();
    vm_note_change(&LOCAL->vm);
    status = protect(&LOCAL->vm, address, address + bytes, protection);
    mutex_unlock(lock);
    return status;
}

vaddr_t vm_break(vaddr_t end) {
    struct vm *vm = &LOCAL->vm;
    struct mutex *lock = lock_user_half();
    vaddr_t old_top = page_ceil(vm->heap_end), new_top = page_ceil(end);
    enum status status = OK;

    vm_note_change(vm);
    if (!vm->heap_start || end < vm->heap_start || end > USER_END - PAGE_SIZE) {
        end = vm->heap_end;
    } else if (new_top > old_top) {
        struct vm_map_request request = {.bytes = new_top - old_top, .protection = VM_READ | VM_WRITE};
        struct vma area;

        status = areas_absent(vm, old_top, new_top) ? describe(&request, &area) : ERR_NO_MEMORY;
        if (status == OK) {
            area.start = old_top;
            area.end = new_top;
            status = add_area(vm, &area);
        }
    } else if (new_top < old_top) {
        status = areas_remove(vm, new_top, old_top);
    }
    if (status == OK)
        vm->heap_end = end;
    end = vm->heap_end;
    mutex_unlock(lock);
    return end;
}

void vm_destroy(void) {
    struct memory_object *executable = LOCAL->vm.executable;
    struct mutex *lock = lock_user_half();
    struct gather gather;

    gather_begin(&gather);
    pages_unmap(&gather, USER_START, USER_END);
    user_free_tables(&gather, 0, USER_SLOTS * PDPT_SPAN);
    gather_flush(&gather);
    handovers_discard(process_current()->user_space);
    process_current()->user_space->is_locked = false;
    areas_forget_all(&LOCAL->vm);
    mutex_unlock(lock);
    if (executable) {
        ephmap_close(executable);
        object_end_run(executable);
        object_unref(executable);
    }
}

void vm_reset(void) { LOCAL->vm = (struct vm){0}; }
