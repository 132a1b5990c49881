/*
 * What can be asked of, or done to, mapped ranges without changing the areas: dropping pages, making them present,
 * whether they are mapped, what a futex in them is known by.
 *
 * Locks: takes user_space->lock. Areas are LOCAL. Runs in either space without leaving it.
 */
#include "mm/object.h"
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

    if (bytes > USER_END || address > USER_END - bytes)
        return ERR_NO_MEMORY;
    lock = lock_user_half();
    if (!covered(&LOCAL->vm, address, end))
        status = ERR_NO_MEMORY;
    for (; status == OK && address < end; address += PAGE_SIZE)
        status = fault_page(address, write, false, &si_code);
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
