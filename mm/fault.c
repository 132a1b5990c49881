/*
 * Page faults on the user half: demand zero, file pages, copy-on-write, growing stacks.
 *
 * The first touch of anonymous memory is the path that must be short: free frames are zero already (CLEAN), so nothing
 * is cleared here. Copies go through EPHMAP scratch views. Invariants: a frame has one reference for each user entry
 * that names it. LOGICAL ACCESS – only frames that the area entitles the process to are mapped or viewed. A page that a
 * pager has to bring is asked for with the user half unlocked, and the fault taken again. Locks: user_space->lock, and
 * inside it an object's. Data: LOCAL areas, the loaded tables. Runs in either space.
 */
#include "arch/uaccess.h"
#include "kernel/assert.h"
#include "kernel/limits.h"
#include "kernel/string.h"
#include "mm/ephmap.h"
#include "mm/pager_state.h"
#include "mm/region.h"
#include "mm/tag_check.h"
#include "mm/vm_areas.h"
#include "mm/vm_pages.h"

#define FAULT_AROUND 16 /* pages, aligned: resident neighbours of a file page are mapped along with it */
#define TRIES_MAX    64 /* when there is no memory: somebody else may take what was made free */
_Static_assert(FAULT_AROUND <= 32, "object_resident_pages() takes a 32-bit set");
#define FAULT_AROUND_BYTES (FAULT_AROUND * PAGE_SIZE)

static uint64_t stack_limit(void) {
    const uint64_t limit = limit_current(RLIMIT_STACK);

    return limit < VM_STACK_MAX ? limit : VM_STACK_MAX;
}

/* Extends a stack down to the page of `address`, if it may come that far. */
static bool grow_stack(struct vm *vm, struct vma *area, vaddr_t address) {
    vaddr_t start = page_floor(address);
    vaddr_t floor = area->previous ? area->previous->end : USER_START;

    if (!area->grows_down || area->end - start > stack_limit() || start < floor || start - floor < VM_STACK_GUARD)
        return false;
    vm_note_change(vm);
    vma_set_bounds(vm, area, start, area->end);
    return true;
}

static inline struct vma *area_at(struct vm *vm, vaddr_t address) {
    struct vma *area = vm->last;

    if (area && address >= area->start && address < area->end)
        return area;
    area = vma_find(vm, address);
    if (!area || (address < area->start && !grow_stack(vm, area, address)))
        return NULL;
    vm->last = area;
    return area;
}

static inline bool access_allowed(const struct vma *area, bool write, bool execute) {
    if (write)
        return area->protection & VM_WRITE;
    return execute ? area->protection & VM_EXECUTE : area->protection != 0;
}

static inline void set_entry(struct process *process, pte_t *entry, pte_t value) {
    *entry = value;
    if (++process->user_space->resident > process->user_space->peak)
        process->user_space->peak = process->user_space->resident;
}

static inline enum status map_zero_page(struct process *process, const struct vma *area, pte_t *entry) {
    frame_t frame;
    enum status status = frame_alloc(FRAME_USER, process->id, &frame);

    if (status == OK)
        set_entry(process, entry, page_entry(area, frame, area->protection & VM_WRITE));
    return status;
}

static inline void map_device_page(struct process *process, const struct vma *area, vaddr_t page, pte_t *entry) {
    const paddr_t address = region_address(area->region) + area->offset + (page - area->start);

    set_entry(process, entry, page_entry_at(area, address, area->protection & VM_WRITE));
}

/* Gives back a reference that was, or was to be, an entry's. */
static void release_frame(frame_t frame) {
    if (frame_unref(frame))
        ephmap_scrub_and_free(frame);
}

/* A frame of the process's own with the first `valid` bytes of `source`, zero behind. */
static enum status copy_page(struct process *process, frame_t source, uint64_t valid, frame_t *out) {
    enum status status = frame_alloc(FRAME_USER, process->id, out);

    if (status != OK)
        return status;
    ephmap_copy_frame(*out, source);
    if (valid < PAGE_SIZE) {
        char *view = ephmap_scratch(*out);

        memset(view + valid, 0, PAGE_SIZE - valid);
        ephmap_scratch_put(view);
    }
    return OK;
}

static uint64_t page_of_object(const struct vma *area, vaddr_t page) {
    return (area->offset + (page - area->start)) >> PAGE_SHIFT;
}

/* A shared page is mapped writable when it may be, but for a pager's: it must know that the page is written to. */
static bool maps_writable(const struct vma *area, bool write) {
    return area->shared && area->protection & VM_WRITE && (write || !area->object->pager);
}

/* Maps the resident neighbours of a page of an object that a read has just touched. */
static void fault_around(struct process *process, const struct vma *area, vaddr_t page, pte_t *entry) {
    vaddr_t first = page & ~(FAULT_AROUND_BYTES - 1), end = first + FAULT_AROUND_BYTES;
    uint64_t limit = area->object_limit == VMA_NO_LIMIT ? UINT64_MAX : area->object_limit - area->offset;
    bool write = maps_writable(area, false);
    frame_t frames[32];
    uint32_t wanted = 0, found;
    unsigned count;

    first = first < area->start ? area->start : first;
    end = end > area->end ? area->end : end;
    if (end - area->start > page_floor(limit)) /* the page that is only partly the object's is copied, never mapped */
        end = area->start + page_floor(limit);
    if (end <= first)
        return;
    count = (unsigned)((end - first) >> PAGE_SHIFT);
    entry -= (page - first) >> PAGE_SHIFT; /* aligned, so in the same table */
    for (unsigned i = 0; i < count; i++)
        wanted |= (uint32_t)!entry[i] << i;

    found = object_resident_pages(area->object, (area->offset + (first - area->start)) >> PAGE_SHIFT, wanted, frames);
    for (; found; found &= found - 1) {
        unsigned i = (unsigned)__builtin_ctz(found);

        set_entry(process, entry + i, page_entry(area, frames[i], write));
    }
}

/* The frame of an object's page, with a reference. */
static enum status get_object_page(const struct vma *area, uint64_t page, bool write, frame_t *frame,
                                   struct wanted_page *wanted) {
    enum status status = object_page(area->object, page, area->shared && write ? PAGE_MODIFY : PAGE_USE, frame);

    if (status == ERR_WOULD_BLOCK) {
        object_ref(area->object);
        *wanted = (struct wanted_page){area->object, page};
    }
    return status == ERR_INVALID ? ERR_IO : status;
}

static enum status map_object_page(struct process *process, const struct vma *area, vaddr_t page, pte_t *entry,
                                   bool write, struct wanted_page *wanted) {
    uint64_t position = area->offset + (page - area->start), valid = area->object_limit - position;
    frame_t frame, copy;
    enum status status;

    if (position >= area->object_limit)
        return map_zero_page(process, area, entry);
    status = get_object_page(area, position >> PAGE_SHIFT, write, &frame, wanted);
    if (status != OK)
        return status;

    if (area->shared || (!write && valid >= PAGE_SIZE)) {
        set_entry(process, entry, page_entry(area, frame, maps_writable(area, write)));
        if (!write)
            fault_around(process, area, page, entry);
        return OK;
    }
    status = copy_page(process, frame, valid, &copy);
    ephmap_flush();
    release_frame(frame);
    if (status == OK)
        set_entry(process, entry, page_entry(area, copy, area->protection & VM_WRITE));
    return status;
}

/* A write to a private page that is mapped read-only, because the frame is, or was, somebody else's too. */
static enum status break_sharing(struct process *process, const struct vma *area, vaddr_t page, pte_t *entry) {
    frame_t old = pte_frame(*entry), copy;
    enum status status;

    if (frame_is_exclusive(old)) {
        *entry = page_entry(area, old, true);
        tlb_forget(page);
        return OK;
    }
    status = copy_page(process, old, PAGE_SIZE, &copy);
    if (status != OK)
        return status;
    *entry = page_entry(area, copy, true);
    tag_check_weakened(process_current(), page);
    ephmap_flush_with(page);
    release_frame(old);
    return OK;
}

/*
 * The first write to a page of a pager's that is mapped read-only. Where the object has another page there by now, this
 * entry is about to be taken out (mm/vm_everywhere.c): the fault is taken again.
 */
static void make_writable(const struct vma *area, vaddr_t page, pte_t *entry) {
    frame_t frame;

    if (area->object && area->object->pager) {
        if (object_page(area->object, page_of_object(area, page), PAGE_MODIFY, &frame) != OK)
            return;
        object_page_put(frame); /* the entry's reference keeps it */
        if (!frame_equal(frame, pte_frame(*entry)))
            return;
    }
    *entry |= PTE_WRITE | PTE_DIRTY;
}

enum status fault_page(vaddr_t address, bool write, bool execute, int *si_code, struct wanted_page *wanted) {
    struct process *process = process_current();
    struct vma *area = area_at(&LOCAL->vm, address);
    pte_t *entry;
    enum status status;

    if (!area) {
        *si_code = VM_NOT_MAPPED;
        return ERR_FAULT;
    }
    if (!access_allowed(area, write, execute)) {
        *si_code = VM_NOT_ALLOWED;
        return ERR_FAULT;
    }
    address = page_floor(address);
    status = user_pte_create(address, &entry);
    if (status != OK)
        return status;
    if (!*entry && area->region) {
        map_device_page(process, area, address, entry);
        return OK;
    }
    if (!*entry)
        return area->object ? map_object_page(process, area, address, entry, write, wanted)
                            : map_zero_page(process, area, entry);
    assert(pte_present(*entry));
    if (write && !(*entry & PTE_WRITE)) {
        if (!area->shared)
            return break_sharing(process, area, address, entry);
        make_writable(area, address, entry);
    }
    tlb_forget(address); /* another thread was faster, or the translation was older than the entry */
    return OK;
}

enum status fault_wanted(const struct wanted_page *wanted) {
    enum status status = pager_page_in(wanted->object, wanted->page, 1, true);

    object_unref(wanted->object);
    return status;
}

enum status vm_fault(vaddr_t address, bool write, bool execute, int *si_code) {
    struct mutex *lock = &process_current()->user_space->lock;
    struct wanted_page wanted;
    enum status status;
    unsigned tries = 0;
    bool again;

    do {
        mutex_lock(lock);
        status = fault_page(address, write, execute, si_code, &wanted);
        mutex_unlock(lock);
        if (status == ERR_WOULD_BLOCK) {
            status = fault_wanted(&wanted); /* which makes room itself */
            again = status == OK;
        } else
            again = status == ERR_NO_MEMORY && tries++ < TRIES_MAX && pager_make_room(NULL);
    } while (again);
    return status;
}

enum status user_fault_in(vaddr_t address, bool write) {
    int si_code;
    enum status status = vm_fault(address, write, false, &si_code);

    return status == ERR_IO ? ERR_FAULT : status;
}
