/*
 * What can be asked of, or done to, mapped ranges without changing the areas: dropping pages, making them present,
 * whether they are mapped, what a futex in them is known by.
 *
 * Locks: takes user_space->lock. Areas are LOCAL. Runs in either space without leaving it.
 */
#include "mm/pager_state.h"
#include "mm/vm_areas.h"
#include "mm/vm_pages.h"

static struct mutex *lock_user_half(void) {
    struct mutex *lock = &process_current()->user_space->lock;
    mutex_lock(lock);
    return lock;
}

/* Whether areas cover [start, end) without a hole. */
static bool covered(const struct vm *vm, vaddr_t start, vaddr_t end) {
    for (const struct vma *area = vma_find(vm, start); area && area->start <= start; area = area->next) {
        if (area->end >= end)
            return true;
        start = area->end;
    }
    return start >= end;
}

bool vm_range_mapped(vaddr_t address, uint64_t bytes) {
    struct mutex *lock;
    bool mapped;

    if (bytes > USER_END || address > USER_END - bytes)
        return false;
    lock = lock_user_half();
    mapped = covered(&LOCAL->vm, address, address + bytes);
    mutex_unlock(lock);
    return mapped;
}

static bool any_object(const struct vm *vm, vaddr_t start, vaddr_t end) {
    for (const struct vma *area = vma_find(vm, start); area && area->start < end; area = area->next)
        if (vma_is_backed(area))
            return true;
    return false;
}

enum status vm_discard(vaddr_t address, uint64_t bytes, bool anonymous_only) {
    struct gather gather;
    struct mutex *lock;
    vaddr_t end = address + bytes;
    enum status status;

    if (bytes > USER_END || address > USER_END - bytes)
        return ERR_NO_MEMORY;
    lock = lock_user_half();
    status = covered(&LOCAL->vm, address, end) ? OK : ERR_NO_MEMORY;
    if (anonymous_only && any_object(&LOCAL->vm, address, end)) {
        status = ERR_INVALID;
    } else {
        gather_begin(&gather);
        pages_unmap(&gather, address, end);
        gather_flush(&gather);
    }
    mutex_unlock(lock);
    return status;
}

enum status vm_populate(vaddr_t address, uint64_t bytes, bool write) {
    enum status status = OK;
    struct mutex *lock;
    vaddr_t end = address + bytes;
    int si_code = VM_NOT_MAPPED;
    struct wanted_page wanted;

    if (bytes > USER_END || address > USER_END - bytes)
        return ERR_NO_MEMORY;
    lock = lock_user_half();
    if (!covered(&LOCAL->vm, address, end))
        status = ERR_NO_MEMORY;
    while (status == OK && address < end) {
        status = fault_page(address, write, false, &si_code, &wanted);
        if (status == OK)
            address += PAGE_SIZE;
        if (status != ERR_WOULD_BLOCK)
            continue;
        mutex_unlock(lock);
        status = fault_wanted(&wanted);
        mutex_lock(lock);
    }
    mutex_unlock(lock);
    return status;
}

void vm_forget_pages(struct memory_object *object, uint64_t page) {
    uint64_t position = page << PAGE_SHIFT;
    struct gather gather;
    struct mutex *lock = lock_user_half();

    gather_begin(&gather);
    for (const struct vma *area = vma_first(&LOCAL->vm); area; area = area->next) {
        uint64_t kept = area->offset < position ? position - area->offset : 0;

        if (area->object == object && kept < area->end - area->start)
            pages_unmap(&gather, area->start + kept, area->end);
    }
    gather_flush(&gather);
    mutex_unlock(lock);
}

/* The first area at or behind `address` that is shared with an object which has a pager. */
static const struct vma *first_paged(const struct vm *vm, vaddr_t address, vaddr_t end) {
    for (const struct vma *area = vma_find(vm, address); area && area->start < end; area = area->next)
        if (area->shared && area->object && area->object->pager)
            return area;
    return NULL;
}

enum status vm_sync(vaddr_t address, uint64_t bytes) {
    vaddr_t end = address + bytes;
    enum status status = OK;

    while (status == OK && address < end) {
        struct mutex *lock = lock_user_half();
        const struct vma *area = first_paged(&LOCAL->vm, address, end);
        struct memory_object *object = area ? area->object : NULL;
        uint64_t first = 0, count = 0;

        if (object) {
            vaddr_t from = area->start > address ? area->start : address;

            first = (area->offset + (from - area->start)) >> PAGE_SHIFT;
            address = area->end;
            count = ((address < end ? address : end) - from) >> PAGE_SHIFT;
            object_ref(object);
        }
        mutex_unlock(lock);
        if (!object)
            break;
        status = object_sync_range(object, first, count);
        object_unref(object);
    }
    return status;
}

enum status vm_futex_key(vaddr_t address, struct memory_object **object, uint64_t *offset) {
    struct mutex *lock = lock_user_half();
    const struct vma *area = vma_find(&LOCAL->vm, address);
    enum status status = OK;

    *object = NULL;
    *offset = 0;
    if (!area || area->start > address || !area->protection || area->region) {
        status = ERR_FAULT;
    } else if (area->shared) {
        *object = area->object;
        *offset = area->offset + (address - area->start);
        object_ref(*object);
    }
    mutex_unlock(lock);
    return status;
}
