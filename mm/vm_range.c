/*
 * What can be asked of, or done to, mapped ranges without changing the areas: dropping pages, making them present,
 * whether they are mapped, what a futex in them is known by.
 *
 * Locks: takes user_space->lock. Areas are LOCAL. Runs in either space without leaving it.
 */
#include "mm/boot.h"
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

/*
 * Nobody who only asks for pages gets the last ones: those that others touch come first, for who finds none is killed.
 */
static bool memory_is_short(void) {
    static uint64_t total; /* frames; the same from whoever writes it */
    struct frame_counts frames;

    if (total == 0) {
        frame_count(&frames);
        total = frames.total;
    }
    return frame_free_count() < total / 16;
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
        status = memory_is_short() ? ERR_NO_MEMORY : fault_page(address, write, false, &si_code, &wanted);
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

static enum status check_advice(const struct vm *vm, vaddr_t start, vaddr_t end, unsigned set) {
    if (!covered(vm, start, end))
        return ERR_NO_MEMORY;
    for (const struct vma *area = vma_find(vm, start); area && area->start < end; area = area->next)
        if (set == VMA_FORK_WIPE && (area->shared || vma_is_backed(area)))
            return ERR_INVALID;
    return OK;
}

static unsigned advised(const struct vma *area, unsigned set, unsigned clear) { return (area->fork & ~clear) | set; }

/* Makes area boundaries at both ends where the areas will differ. */
static enum status split_ends(struct vm *vm, vaddr_t start, vaddr_t end, unsigned set, unsigned clear) {
    struct vma *first = vma_find(vm, start), *last = vma_find(vm, end - 1);
    enum status status = OK;

    if (last->end > end && last->fork != advised(last, set, clear))
        status = area_split(vm, last, end);
    if (status == OK && first->start < start && first->fork != advised(first, set, clear))
        status = area_split(vm, first, start);
    return status;
}

enum status vm_advise_fork(vaddr_t address, uint64_t bytes, unsigned set, unsigned clear) {
    struct vm *vm = &LOCAL->vm;
    const vaddr_t end = address + bytes;

    if (bytes > USER_END || address > USER_END - bytes)
        return ERR_NO_MEMORY;
    if (bytes == 0)
        return OK;
    struct mutex *lock = lock_user_half();
    enum status status = check_advice(vm, address, end, set);
    if (status == OK)
        status = split_ends(vm, address, end, set, clear);
    if (status == OK) {
        vm_note_change(vm);
        vm->adviser = process_current()->id;
        for (struct vma *area = vma_find(vm, address); area && area->start < end; area = area->next)
            area->fork = (uint8_t)advised(area, set, clear);
        areas_join(vm, address, end);
    }
    mutex_unlock(lock);
    return status;
}

/* Where the first area behind `address` begins and ends that is not a stack, which comes as it is touched. */
static bool next_populated(vaddr_t address, vaddr_t *start, vaddr_t *end) {
    struct mutex *lock = lock_user_half();
    const struct vma *area = vma_find(&LOCAL->vm, address);

    while (area && (area->start < address || area->grows_down || area->protection == 0 || area->region))
        area = area->next;
    if (area) {
        *start = area->start;
        *end = area->end;
    }
    mutex_unlock(lock);
    return area != NULL;
}

void vm_populate_all(void) {
    vaddr_t start, end = 0;

    while (next_populated(end, &start, &end))
        (void)!vm_populate(start, end - start, false);
}

void vm_populate_new(bool populate) {
    struct mutex *lock = lock_user_half();

    LOCAL->vm.populates = populate;
    if (populate)
        LOCAL->vm.adviser = process_current()->id;
    mutex_unlock(lock);
}

static bool page_is_resident(const struct vma *area, vaddr_t address) {
    const pte_t *entry = user_next_table(address, address + PAGE_SIZE) == address ? user_pte(address) : NULL;
    frame_t frame;

    if (entry && *entry)
        return true;
    if (!area->object || object_page(area->object, (area->offset + (address - area->start)) >> PAGE_SHIFT,
                                     PAGE_IF_RESIDENT, &frame) != OK)
        return false;
    object_page_put(frame);
    return true;
}

enum status vm_residency(vaddr_t address, unsigned count, uint8_t *resident) {
    const vaddr_t end = address + count * PAGE_SIZE;
    struct mutex *lock = lock_user_half();
    enum status status = covered(&LOCAL->vm, address, end) ? OK : ERR_NO_MEMORY;
    const struct vma *area = vma_find(&LOCAL->vm, address);

    for (; status == OK && address < end; address += PAGE_SIZE) {
        if (address == area->end)
            area = area->next;
        *resident++ = page_is_resident(area, address);
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
