/*
 * The tree of areas: an AVL tree by address whose nodes know the largest gap below any area of their subtree, so that
 * finding the area of an address and finding a free range both take a number of steps that grows with the tree's
 * height.
 *
 * Class LOCAL: at fork the region is copied to the same addresses, so the links stay right in the child.
 * Locks: the caller holds user_space->lock. Runs in either space. No recursion.
 */
#include "mm/vma.h"

#include "kernel/assert.h"

static unsigned height_of(const struct vma *area) { return area ? area->height : 0; }

static uint64_t gap_below(const struct vma *area) {
    return area->start - (area->previous ? area->previous->end : USER_START);
}

/* Recomputes what a node knows of its subtree from its children. */
static void refresh(struct vma *area) {
    unsigned left = height_of(area->left), right = height_of(area->right);
    uint64_t gap = gap_below(area);

    if (area->left && area->left->largest_gap > gap)
        gap = area->left->largest_gap;
    if (area->right && area->right->largest_gap > gap)
        gap = area->right->largest_gap;
    area->height = (uint8_t)((left > right ? left : right) + 1);
    area->largest_gap = gap;
}

/* Puts `new` (or nothing) where `old` hangs. */
static void replace_child(struct vm *vm, struct vma *old, struct vma *new) {
    struct vma *parent = old->parent;

    if (!parent)
        vm->root = new;
    else if (parent->left == old)
        parent->left = new;
    else
        parent->right = new;
    if (new)
        new->parent = parent;
}

static struct vma *rotate_left(struct vm *vm, struct vma *area) {
    struct vma *top = area->right;

    replace_child(vm, area, top);
    area->right = top->left;
    if (area->right)
        area->right->parent = area;
    top->left = area;
    area->parent = top;
    refresh(area);
    refresh(top);
    return top;
}

static struct vma *rotate_right(struct vm *vm, struct vma *area) {
    struct vma *top = area->left;

    replace_child(vm, area, top);
    area->left = top->right;
    if (area->left)
        area->left->parent = area;
    top->right = area;
    area->parent = top;
    refresh(area);
    refresh(top);
    return top;
}

/* Refreshes a node whose subtrees are right and restores the balance there; returns what now tops the subtree. */
static struct vma *balance(struct vm *vm, struct vma *area) {
    int lean = (int)height_of(area->left) - (int)height_of(area->right);

    if (lean > 1) {
        if (height_of(area->left->left) < height_of(area->left->right))
            rotate_left(vm, area->left);
        return rotate_right(vm, area);
    }
    if (lean < -1) {
        if (height_of(area->right->right) < height_of(area->right->left))
            rotate_right(vm, area->right);
        return rotate_left(vm, area);
    }
    refresh(area);
    return area;
}

/*
 * Upwards from a node that changed, until nothing is left to correct: what a parent knows is what its child said
 * last.
 */
static void repair(struct vm *vm, struct vma *area) {
    while (area) {
        unsigned height = area->height;
        uint64_t gap = area->largest_gap;

        area = balance(vm, area);
        if (area->height == height && area->largest_gap == gap)
            return;
        area = area->parent;
    }
}

struct vma *vma_find(const struct vm *vm, vaddr_t address) {
    struct vma *area = vm->root, *found = NULL;

    while (area) {
        if (area->end > address) {
            found = area;
            if (area->start <= address)
                return found;
            area = area->left;
        } else {
            area = area->right;
        }
    }
    return found;
}

struct vma *vma_first(const struct vm *vm) {
    struct vma *area = vm->root;

    while (area && area->left)
        area = area->left;
    return area;
}

struct vma *vma_last_below(const struct vm *vm, vaddr_t address) {
    struct vma *area = vm->root, *found = NULL;

    while (area) {
        if (area->start < address) {
            found = area;
            area = area->right;
        } else {
            area = area->left;
        }
    }
    return found;
}

void vma_insert(struct vm *vm, struct vma *area) {
    struct vma *previous = vma_last_below(vm, area->start);
    struct vma *next = previous ? previous->next : vma_first(vm);

    assert(area->start >= USER_START && area->start < area->end && area->end <= USER_END);
    assert(!previous || previous->end <= area->start);
    assert(!next || next->start >= area->end);

    area->left = area->right = area->parent = NULL;
    area->height = 0; /* differs from any real one: the repair goes on to the parent */
    area->largest_gap = 0;
    area->previous = previous;
    area->next = next;
    if (previous)
        previous->next = area;
    if (next)
        next->previous = area;

    /* Of two neighbours the upper one has a free left side or the lower one a free right side. */
    if (previous && !previous->right) {
        previous->right = area;
        area->parent = previous;
    } else if (next) {
        next->left = area;
        area->parent = next;
    } else {
        vm->root = area;
    }
    repair(vm, area);
    if (next)
        repair(vm, next);

    vm->areas++;
    vm->mapped_pages += (area->end - area->start) >> PAGE_SHIFT;
}

/* Unlinks a node with two children: the next area, which has no left child, takes its place. Returns where to repair
 * from. */
static struct vma *replace_by_next(struct vm *vm, struct vma *area) {
    struct vma *heir = area->next;
    struct vma *changed = heir;

    if (heir->parent != area) {
        changed = heir->parent;
        replace_child(vm, heir, heir->right);
        heir->right = area->right;
        heir->right->parent = heir;
    }
    heir->left = area->left;
    heir->left->parent = heir;
    heir->height = area->height; /* what its new parent knows; the repair compares with it */
    heir->largest_gap = area->largest_gap;
    replace_child(vm, area, heir);
    return changed;
}

void vma_remove(struct vm *vm, struct vma *area) {
    struct vma *changed, *next = area->next;

    if (area->left && area->right) {
        changed = replace_by_next(vm, area);
    } else {
        changed = area->parent;
        replace_child(vm, area, area->left ? area->left : area->right);
    }
    if (area->previous)
        area->previous->next = next;
    if (next)
        next->previous = area->previous;
    repair(vm, changed);
    if (next)
        repair(vm, next);

    if (vm->last == area)
        vm->last = NULL;
    vm->areas--;
    vm->mapped_pages -= (area->end - area->start) >> PAGE_SHIFT;
}

void vma_set_bounds(struct vm *vm, struct vma *area, vaddr_t start, vaddr_t end) {
    assert(start >= USER_START && start < end && end <= USER_END);
    vm->mapped_pages -= (area->end - area->start) >> PAGE_SHIFT;
    vm->mapped_pages += (end - start) >> PAGE_SHIFT;
    area->start = start;
    area->end = end;
    repair(vm, area);
    if (area->next)
        repair(vm, area->next);
}

void vma_split(struct vm *vm, struct vma *area, struct vma *upper, vaddr_t at) {
    vaddr_t end = area->end;

    assert(area->start < at && at < end);
    *upper = *area;
    upper->start = at;
    if (vma_is_backed(upper))
        upper->offset += at - area->start;
    upper->grows_down = false;
    vma_set_bounds(vm, area, area->start, at);
    upper->end = end;
    vma_insert(vm, upper);
}

bool vma_joinable(const struct vma *lower, const struct vma *upper) {
    if (lower->end != upper->start || lower->protection != upper->protection || lower->object != upper->object ||
        lower->region != upper->region || lower->shared != upper->shared || lower->may_write != upper->may_write ||
        lower->maker != upper->maker || lower->fork != upper->fork || lower->grows_down || upper->grows_down)
        return false;
    return !vma_is_backed(lower) ||
           (lower->offset + (lower->end - lower->start) == upper->offset && lower->object_limit == upper->object_limit);
}

vaddr_t vma_find_gap(const struct vm *vm, uint64_t bytes, vaddr_t top) {
    const struct vma *area = vma_last_below(vm, top);
    vaddr_t free_from = area ? area->end : USER_START;

    if (free_from < top && top - free_from >= bytes)
        return top - bytes;
    /* Downwards through the gaps below each area, skipping every subtree that has none large enough. */
    while (area) {
        if (gap_below(area) >= bytes)
            return area->start - bytes;
        if (area->left && area->left->largest_gap >= bytes) {
            area = area->left;
            while (area->right && area->right->largest_gap >= bytes)
                area = area->right;
            continue;
        }
        while (area->parent && area->parent->left == area)
            area = area->parent;
        area = area->parent;
    }
    return 0;
}
