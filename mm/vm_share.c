/*
 * A user half that a vfork child shares with its parent. The page tables are one, the areas two copies: the child's is
 * in its own LOCAL memory. If the child maps or unmaps something meanwhile (its malloc does), it leaves its areas
 * behind when the share ends, and the parent takes them over before it goes on: to the program it was one address space
 * all the time.
 *
 * What is left behind is metadata (rights, objects), class GLOBAL; addresses in it are mixed with the program's secret,
 * which parent and child have in LOCAL memory. Each of its areas holds the references that an area holds. Locks:
 * user_space->lock for the areas; handovers_lock for the list. Runs in either space without leaving it.
 */
#include "kernel/list.h"
#include "mm/ephmap.h"
#include "mm/heap.h"
#include "mm/object.h"
#include "mm/vm_areas.h"
#include "mm/vm_pages.h"

/* The areas that a child left for the owner of `space`. Constant while in the list. */
struct handover {
    struct list link;
    const struct user_space *space;
    size_t pages;     /* of GLOBAL memory that this takes */
    vaddr_t heap_end; /* mixed, as the areas' start and end */
    uint64_t count;
    struct vma area[]; /* without the links */
};

static struct spinlock handovers_lock = SPINLOCK_INIT(RANK_OBJECT);
static struct list handovers = {&handovers, &handovers}; /* of struct handover. Protected by handovers_lock */

void vm_lend(void) {
    for (const struct vma *area = vma_first(&LOCAL->vm); area; area = area->next)
        area_ref_object(area);
}

void vm_lend_undo(void) {
    for (const struct vma *area = vma_first(&LOCAL->vm); area; area = area->next)
        area_unref_object(area);
}

void vm_note_change(struct vm *vm) {
    const struct process *process = process_current();

    if (user_half_is_lent(process))
        vm->changer = process->id;
}

/* The oldest handover for a user half comes out of the list, or NULL. */
static struct handover *take_handover(const struct user_space *space) {
    struct handover *found = NULL;

    spin_lock(&handovers_lock);
    list_for_each(link, &handovers) {
        struct handover *handover = container_of(link, struct handover, link);

        if (handover->space == space) {
            found = handover;
            list_remove(link);
            break;
        }
    }
    spin_unlock(&handovers_lock);
    return found;
}

/* What an address looks like to those who do not know the program's secret, and back. */
static vaddr_t mixed(const struct vm *vm, vaddr_t address) { return address ^ vm->address_secret; }

static bool leave_handover(const struct vm *vm) {
    size_t pages = bytes_to_pages(sizeof(struct handover) + vm->areas * sizeof(struct vma));
    struct handover *handover = global_alloc_pages(pages);

    if (!handover)
        return false;
    handover->space = process_current()->user_space;
    handover->pages = pages;
    handover->heap_end = mixed(vm, vm->heap_end);
    for (const struct vma *area = vma_first(vm); area; area = area->next) {
        struct vma *left = &handover->area[handover->count++];

        *left = (struct vma){.protection = area->protection,
                             .shared = area->shared,
                             .grows_down = area->grows_down,
                             .may_write = area->may_write,
                             .object = area->object,
                             .region = area->region,
                             .offset = area->offset,
                             .object_limit = area->object_limit,
                             .start = mixed(vm, area->start),
                             .end = mixed(vm, area->end)};
        area_ref_object(area);
    }
    spin_lock(&handovers_lock);
    list_push_back(&handovers, &handover->link);
    spin_unlock(&handovers_lock);
    return true;
}

/* The child's own mappings go, where the parent cannot be told of them. */
static void unmap_own(const struct vm *vm) {
    struct gather gather;

    gather_begin(&gather);
    for (const struct vma *area = vma_first(vm); area; area = area->next)
        if (area->maker == process_current()->id)
            pages_unmap(&gather, area->start, area->end);
    gather_flush(&gather);
}

void vm_disown(void) {
    struct vm *vm = &LOCAL->vm;
    struct memory_object *executable = vm->executable;
    struct mutex *lock = &process_current()->user_space->lock;

    mutex_lock(lock);
    if (vm->changer == process_current()->id && !leave_handover(vm))
        unmap_own(vm);
    areas_forget_all(vm);
    mutex_unlock(lock);
    if (executable)
        ephmap_close(executable); /* the reference is the parent's */
}

static void free_handover(struct handover *handover) { global_free_pages(handover, handover->pages); }

void handovers_discard(const struct user_space *space) {
    struct handover *handover;

    while ((handover = take_handover(space))) {
        for (uint64_t i = 0; i < handover->count; i++)
            area_unref_object(&handover->area[i]);
        free_handover(handover);
    }
}

/* `count` areas of LOCAL memory, linked by ->next, in *out. False: none. */
static bool alloc_areas(uint64_t count, struct vma **out) {
    for (*out = NULL; count > 0; count--) {
        struct vma *area = local_alloc(sizeof(*area));

        if (!area) {
            while ((area = *out)) {
                *out = area->next;
                local_free(area, sizeof(*area));
            }
            return false;
        }
        area->next = *out;
        *out = area;
    }
    return true;
}

static void take_over(struct vm *vm, const struct handover *handover, struct vma *nodes) {
    const struct process *process = process_current();
    uint32_t maker = user_half_is_lent(process) ? process->id : 0;
    const struct vm before = *vm;

    areas_forget_all(vm);
    vm->heap_start = before.heap_start;
    vm->heap_end = mixed(&before, handover->heap_end);
    vm->mmap_shift = before.mmap_shift;
    vm->address_secret = before.address_secret;
    vm->executable = before.executable;
    vm->changer = maker;
    for (uint64_t i = 0; i < handover->count; i++) {
        struct vma *node = nodes;

        nodes = node->next;
        *node = handover->area[i];
        node->start = mixed(&before, node->start);
        node->end = mixed(&before, node->end);
        node->maker = maker;
        vma_insert(vm, node);
    }
}

void vm_rejoin(void) {
    struct user_space *space = process_current()->user_space;
    struct handover *handover;
    struct vma *nodes;

    mutex_lock(&space->lock);
    while ((handover = take_handover(space))) {
        if (alloc_areas(handover->count, &nodes)) {
            take_over(&LOCAL->vm, handover, nodes);
        } else { /* what the child changed is lost to the parent: as good as can be done */
            for (uint64_t i = 0; i < handover->count; i++)
                area_unref_object(&handover->area[i]);
        }
        free_handover(handover);
    }
    mutex_unlock(&space->lock);
}
