/*
 * Memory objects: the page cache. Owns the frames of every file, pipe and shared memory, from birth to the free list.
 *
 * Invariants: LOGICAL ACCESS – a page is touched through a window of a process that has the object open for reading, or
 * outside the restricted space. REVOKE – a page that leaves the object has no window left. CLEAN – new pages come
 * clean, and the bytes behind the size stay zero. Locks: object->lock (rank OBJECT) is held across each page's copy,
 * shared by those who read, and never across a fault on the user side. Runs in either space; what this file itself
 * keeps is GLOBAL.
 */
#include "mm/object.h"

#include "arch/uaccess.h"
#include "asi/asi.h"
#include "asi/mutant.h"
#include "kernel/assert.h"
#include "kernel/process.h"
#include "kernel/string.h"
#include "mm/ephmap.h"
#include "mm/heap.h"
#include "mm/object_index.h"
#include "mm/page_drop.h"
#include "mm/vm.h"

static size_t smaller(size_t a, size_t b) { return a < b ? a : b; }

enum status object_create(struct memory_object **out) {
    struct memory_object *object = global_alloc(sizeof(*object));

    if (!object)
        return ERR_NO_MEMORY;
    spin_init(&object->lock, RANK_OBJECT);
    object->refs = 1;
    list_init(&object->view_sets);
    *out = object;
    return OK;
}

void object_ref(struct memory_object *object) { __atomic_add_fetch(&object->refs, 1, __ATOMIC_RELAXED); }

void page_drop_begin(struct page_drop *drop, struct memory_object *object, bool revoke, bool visible) {
    drop->object = object;
    drop->revoke = revoke;
    drop->visible = visible;
    drop->mapped = false;
    gather_begin(&drop->gather);
    drop->gather.object = revoke ? object : NULL;
}

/* Whether a user half has it: the other references are the object's own and those of grants. */
static bool page_is_mapped(const struct frame *info) {
    return __atomic_load_n(&info->refs, __ATOMIC_RELAXED) > 1U + __atomic_load_n(&info->grants, __ATOMIC_RELAXED);
}

void page_drop(struct page_drop *drop, uint64_t entry) {
    frame_t frame = entry_frame(entry);
    struct frame *info = frame_info(frame);

    if (drop->revoke) {
        ephmap_revoke_frame(drop->object, frame);
        gather_page(&drop->gather, ephmap_window_address(frame));
    }
    drop->object->pages--;
    info->object = NULL;
    if (page_is_mapped(info)) { /* see mm/vm_cut.c */
        info->class = FRAME_USER;
        drop->mapped = true;
    }
    if (!frame_unref(frame))
        return;
    if (drop->visible)
        gather_scrub(&drop->gather, frame);
    else
        gather_dirty_frame(&drop->gather, frame);
}

void page_drop_end(struct page_drop *drop) { gather_flush(&drop->gather); }

bool page_drop_visitor(void *context, uint64_t page, uint64_t *entry) {
    (void)page;
    page_drop(context, *entry);
    *entry = 0;
    return true;
}

void page_drop_unmap(const struct page_drop *drop, uint64_t page) {
    if (!drop->mapped)
        return;
    vm_forget_pages(drop->object, page);
    vm_forget_cut_pages();
}

void object_unref(struct memory_object *object) {
    struct page_drop drop;

    if (__atomic_sub_fetch(&object->refs, 1, __ATOMIC_ACQ_REL) != 0)
        return;
    assert(object->mappings == 0);
    if (object->root) {
        page_drop_begin(&drop, object, false, true);
        index_visit(object, 0, UINT64_MAX, page_drop_visitor, &drop);
        page_drop_end(&drop);
    }
    global_free(object, sizeof(*object));
}

/* Fills a hole with a clean frame. Object lock held. */
static enum status add_page(struct memory_object *object, uint64_t page, frame_t *out) {
    enum status status = frame_alloc(mutant(secret_as_global) ? FRAME_GLOBAL : FRAME_SECRET, 0, out);

    if (status != OK)
        return status;
    status = index_put(object, page, *out);
    if (status != OK) {
        frame_free_clean(*out);
        return status;
    }
    frame_info(*out)->object = object;
    object->pages++;
    return OK;
}

/*
 * A copy stopped at user address `at` with `left` bytes to go, which end on this page or the next: makes them present.
 * Returns how many can be copied now: all, those of the first page, or none (*status says why).
 */
static __attribute__((noinline)) size_t bring_in(vaddr_t at, size_t left, bool write, enum status *status) {
    size_t first = PAGE_SIZE - page_offset(at);

    *status = user_fault_in(at, write);
    if (*status != OK)
        return 0;
    return left <= first || user_fault_in(at + first, write) == OK ? left : first;
}

/* Copies out of one page or hole; returns how many bytes were not copied. Object lock held. */
static inline size_t read_page(struct memory_object *object, uint64_t offset, vaddr_t to, size_t bytes) {
    frame_t frame = index_get(object, offset >> PAGE_SHIFT);
    size_t left;

    if (__builtin_expect(frame_is_none(frame), 0)) {
        this_cpu->views_held++; /* the lock is held: a fault must stop the clearing */
        left = clear_user_held(to, bytes);
        this_cpu->views_held--;
        return left;
    }
    left = copy_to_user_held(to, (char *)ephmap_window(frame, object) + page_offset(offset), bytes);
    ephmap_window_put();
    return left;
}

enum status object_read(struct memory_object *object, uint64_t offset, vaddr_t to, size_t bytes, size_t *done) {
    enum status status = OK;
    const vaddr_t start = to;

    while (bytes) {
        size_t chunk = smaller(PAGE_SIZE - page_offset(offset), bytes), left;

        object_lock_shared(object);
        if (offset >= object->size) {
            object_unlock_shared(object);
            break;
        }
        chunk = smaller(chunk, object->size - offset);
        if (mutant(read_ends_with_page) && asi_mode == ASI_MODE_ASI)
            bytes = chunk;
        left = read_page(object, offset, to, chunk);
        object_unlock_shared(object);

        chunk -= left;
        to += chunk;
        offset += chunk;
        bytes -= chunk;
        if (__builtin_expect(left != 0, 0)) {
            size_t usable = bring_in(to, left, true, &status);

            if (usable < left)
                bytes = usable;
        }
    }
    *done = to - start;
    return status;
}

/* Copies into one page; returns how many bytes were not copied. Object lock held. */
static inline size_t write_page(struct memory_object *object, frame_t frame, uint64_t offset, vaddr_t from,
                                size_t bytes, bool readable) {
    size_t left;

    if (!readable) {
        asi_exit(ASI_CAUSE_FILE); /* LOGICAL ACCESS: the process may not see the rest of the page */
        this_cpu->views_held++;
        left = copy_from_user_held((char *)physmap(frame) + page_offset(offset), from, bytes);
        this_cpu->views_held--;
        return left;
    }
    left = copy_from_user_held((char *)ephmap_window(frame, object) + page_offset(offset), from, bytes);
    ephmap_window_put();
    return left;
}

enum status object_write(struct memory_object *object, uint64_t offset, vaddr_t from, size_t bytes, bool readable,
                         size_t *done) {
    enum status status = OK;
    const vaddr_t start = from;

    *done = 0;
    if (bytes && offset >= OBJECT_SIZE_MAX)
        return ERR_FILE_TOO_BIG;
    bytes = smaller(bytes, OBJECT_SIZE_MAX - offset);
    while (bytes) {
        size_t chunk = smaller(PAGE_SIZE - page_offset(offset), bytes), left;
        frame_t frame;

        object_lock(object);
        frame = index_get(object, offset >> PAGE_SHIFT);
        if (frame_is_none(frame)) {
            status = add_page(object, offset >> PAGE_SHIFT, &frame);
            if (status != OK) {
                object_unlock(object);
                break;
            }
        }
        left = write_page(object, frame, offset, from, chunk, readable);
        chunk -= left;
        from += chunk;
        offset += chunk;
        bytes -= chunk;
        if (chunk && object->size < offset)
            object->size = offset;
        object_unlock(object);

        if (__builtin_expect(left != 0, 0)) {
            size_t usable = bring_in(from, left, false, &status);

            if (usable < left)
                bytes = usable;
        }
    }
    *done = from - start;
    return status;
}

enum status object_read_kernel(struct memory_object *object, uint64_t offset, void *to, size_t bytes, size_t *done) {
    size_t total = 0;

    object_lock_shared(object);
    while (total < bytes && offset < object->size) {
        size_t chunk = smaller(PAGE_SIZE - page_offset(offset), smaller(bytes - total, object->size - offset));
        frame_t frame = index_get(object, offset >> PAGE_SHIFT);

        if (frame_is_none(frame)) {
            memset((char *)to + total, 0, chunk);
        } else {
            /* A scratch view: such reads are seldom repeated, and the first window costs tables. */
            char *view = ephmap_scratch(frame);
            memcpy((char *)to + total, view + page_offset(offset), chunk);
            ephmap_scratch_put(view);
        }
        total += chunk;
        offset += chunk;
    }
    ephmap_flush();
    object_unlock_shared(object);
    *done = total;
    return OK;
}

enum status object_write_kernel(struct memory_object *object, uint64_t offset, const void *from, size_t bytes) {
    enum status status = OK;

    if (bytes > OBJECT_SIZE_MAX || offset > OBJECT_SIZE_MAX - bytes)
        return ERR_FILE_TOO_BIG;
    object_lock(object);
    while (bytes) {
        size_t chunk = smaller(PAGE_SIZE - page_offset(offset), bytes);
        frame_t frame = index_get(object, offset >> PAGE_SHIFT);

        if (frame_is_none(frame))
            status = add_page(object, offset >> PAGE_SHIFT, &frame);
        if (status != OK)
            break;
        memcpy((char *)ephmap_window(frame, object) + page_offset(offset), from, chunk);
        ephmap_window_put();
        from = (const char *)from + chunk;
        offset += chunk;
        bytes -= chunk;
        if (object->size < offset)
            object->size = offset;
    }
    object_unlock(object);
    return status;
}

/* Zeroes what the last page holds behind `size`. Object lock held. */
static void clear_tail(struct memory_object *object, uint64_t size, bool visible) {
    frame_t frame = index_get(object, size >> PAGE_SHIFT);
    size_t start = page_offset(size);

    if (start == 0 || frame_is_none(frame))
        return;
    if (visible) {
        memset((char *)ephmap_window(frame, object) + start, 0, PAGE_SIZE - start);
        ephmap_window_put();
    } else {
        asi_exit(ASI_CAUSE_FILE);
        memset((char *)physmap(frame) + start, 0, PAGE_SIZE - start);
    }
}

enum status object_resize(struct memory_object *object, uint64_t size) {
    struct page_drop drop = {.mapped = false};
    bool shrunk;

    if (size > OBJECT_SIZE_MAX)
        return ERR_FILE_TOO_BIG;
    object_lock(object);
    shrunk = size < object->size;
    object->size = size;
    if (shrunk && object->root) {
        page_drop_begin(&drop, object, true, ephmap_has_open(process_current(), object));
        index_visit(object, bytes_to_pages(size), UINT64_MAX, page_drop_visitor, &drop);
        clear_tail(object, size, drop.visible);
        page_drop_end(&drop);
    }
    object_unlock(object);
    page_drop_unmap(&drop, bytes_to_pages(size));
    return OK;
}

/* The page with a reference, if it is there. Object lock held, shared or not. */
static enum status find_page(struct memory_object *object, uint64_t index, frame_t *out) {
    if (index >= bytes_to_pages(object->size))
        return ERR_INVALID;
    *out = index_get(object, index);
    if (frame_is_none(*out))
        return ERR_NO_ENTRY;
    frame_ref(*out);
    return OK;
}

enum status object_page(struct memory_object *object, uint64_t index, bool create, frame_t *out) {
    enum status status;

    object_lock_shared(object);
    status = find_page(object, index, out);
    object_unlock_shared(object);
    if (status != ERR_NO_ENTRY || !create)
        return status;
    object_lock(object);
    status = find_page(object, index, out); /* another may have been faster */
    if (status == ERR_NO_ENTRY) {
        status = add_page(object, index, out);
        if (status == OK)
            frame_ref(*out);
    }
    object_unlock(object);
    return status;
}

void object_page_put(frame_t frame) {
    if (frame_unref(frame)) /* the object let go of it meanwhile, and nobody has it open for sure */
        frame_free_dirty(frame);
}

uint32_t object_resident_pages(struct memory_object *object, uint64_t index, uint32_t wanted, frame_t out[32]) {
    uint32_t found = 0;

    object_lock_shared(object);
    for (; wanted; wanted &= wanted - 1) {
        unsigned i = (unsigned)__builtin_ctz(wanted);

        if (index + i >= bytes_to_pages(object->size))
            break;
        out[i] = index_get(object, index + i);
        if (frame_is_none(out[i]))
            continue;
        frame_ref(out[i]);
        found |= 1U << i;
    }
    object_unlock_shared(object);
    return found;
}
