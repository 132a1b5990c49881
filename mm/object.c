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
#include "mm/pager_state.h"
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
    if (entry & PAGE_DIRTY)
        pager_note_clean(drop->object->pager);
    info->object = NULL;
    if (page_is_mapped(info)) { /* see mm/vm_everywhere.c */
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
    if (object->pager && !pager_let_go(object))
        return;
    assert(object->mappings == 0);
    if (object->root) {
        page_drop_begin(&drop, object, false, true);
        index_visit(object, 0, UINT64_MAX, page_drop_visitor, &drop);
        page_drop_end(&drop);
    }
    if (object->pager)
        pager_destroy(object->pager);
    global_free(object, sizeof(*object));
}

/* One more of those who count by `step`, unless there are any of the others. */
static enum status use_text(struct memory_object *object, int32_t step) {
    int32_t text = __atomic_load_n(&object->text, __ATOMIC_RELAXED);
    do {
        if (step > 0 ? text < 0 : text > 0)
            return ERR_TEXT_BUSY;
    } while (!__atomic_compare_exchange_n(&object->text, &text, text + step, true, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED));
    return OK;
}

enum status object_begin_run(struct memory_object *object) { return use_text(object, -1); }
enum status object_begin_write(struct memory_object *object) { return use_text(object, 1); }

/* Makes a frame a page of the object, where there is none. Object lock held. */
static enum status put_page(struct memory_object *object, uint64_t page, frame_t frame) {
    enum status status = index_put(object, page, frame);

    if (status != OK)
        return status;
    frame_info(frame)->object = object;
    frame_info(frame)->used = 1;
    object->pages++;
    return OK;
}

enum status object_take_frames(struct memory_object *object, frame_t first, uint64_t bytes) {
    enum status status = OK;

    object_lock(object);
    for (uint64_t page = 0; page < bytes_to_pages(bytes) && status == OK; page++)
        status = put_page(object, page, (frame_t){first.number + (uint32_t)page});
    object->size = bytes;
    object_unlock(object);
    return status;
}

/* Fills a hole with a clean frame. Object lock held. */
static enum status add_page(struct memory_object *object, uint64_t page, frame_t *out) {
    enum status status = frame_alloc(mutant(secret_as_global) ? FRAME_GLOBAL : FRAME_SECRET, 0, out);

    if (status != OK)
        return status;
    status = put_page(object, page, *out);
    if (status != OK)
        frame_free_clean(*out);
    return status;
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

/*
 * Copies out of one page or hole; returns how many bytes were not copied: none are of a page that its pager is to be
 * asked for. Object lock held.
 */
static inline size_t read_page(struct memory_object *object, uint64_t offset, vaddr_t to, size_t bytes) {
    frame_t frame = index_get(object, offset >> PAGE_SHIFT);
    size_t left;

    if (__builtin_expect(frame_is_none(frame), 0)) {
        if (pager_knows(object, offset >> PAGE_SHIFT))
            return bytes;
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
            size_t usable = 0;

            if (object->pager)
                status = pager_page_in(object, offset >> PAGE_SHIFT, bytes_to_pages(page_offset(offset) + bytes), true);
            if (status == OK)
                usable = bring_in(to, left, true, &status);
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

/*
 * A page that a pager knows, written as a whole: it need not be asked for. Only once all of it could be copied it is
 * the object's. ERR_AGAIN: the user's page is to be made present first. Object lock held.
 */
static enum status overwrite_page(struct memory_object *object, uint64_t page, vaddr_t from, frame_t *out) {
    enum status status = frame_alloc(FRAME_SECRET, 0, out);
    size_t left;
    char *view;

    if (status != OK)
        return status;
    view = ephmap_scratch(*out);
    left = copy_from_user_held(view, from, PAGE_SIZE);
    ephmap_scratch_put(view);
    status = left ? ERR_AGAIN : put_page(object, page, *out);
    if (status == OK)
        ephmap_flush();
    else
        ephmap_scrub_and_free(*out);
    return status;
}

/*
 * Makes the absent page to which `bytes` from `from` are to be written. OK: it is there, and the lock still held. Else
 * the lock is given up; ERR_AGAIN: look again. Object lock held.
 */
static __attribute__((noinline)) enum status page_for_write(struct memory_object *object, uint64_t page, vaddr_t from,
                                                            size_t bytes, bool readable, frame_t *out) {
    bool known = pager_knows(object, page), whole = bytes == PAGE_SIZE;
    enum status status = ERR_AGAIN;

    if (!known)
        status = add_page(object, page, out);
    else if (whole)
        status = overwrite_page(object, page, from, out);
    if (status == OK)
        return OK;
    object_unlock(object);
    if (status == ERR_NO_MEMORY)
        return object->pager && pager_make_room(object) ? ERR_AGAIN : ERR_NO_MEMORY;
    status = OK;
    if (whole && bring_in(from, PAGE_SIZE, false, &status) == PAGE_SIZE)
        return ERR_AGAIN;
    if (status == OK) /* only a part is to be, or can be, written */
        status = pager_page_in(object, page, 1, readable);
    return status == OK ? ERR_AGAIN : status;
}

enum status object_write(struct memory_object *object, uint64_t offset, vaddr_t from, size_t bytes, bool readable,
                         size_t *done) {
    enum status status = OK;
    const vaddr_t start = from;

    *done = 0;
    if (bytes && offset >= OBJECT_SIZE_MAX)
        return ERR_FILE_TOO_BIG;
    bytes = smaller(bytes, OBJECT_SIZE_MAX - offset);
    if (object->pager)
        status = pager_throttle(object);
    if (status != OK)
        return status;
    while (bytes) {
        size_t chunk = smaller(PAGE_SIZE - page_offset(offset), bytes), left;
        frame_t frame;

        object_lock(object);
        frame = index_get(object, offset >> PAGE_SHIFT);
        if (frame_is_none(frame)) {
            status = page_for_write(object, offset >> PAGE_SHIFT, from, chunk, readable, &frame);
            if (status == ERR_AGAIN) {
                status = OK;
                continue;
            }
            if (status != OK)
                break;
        }
        left = write_page(object, frame, offset, from, chunk, readable);
        pager_note_write(object, offset >> PAGE_SHIFT);
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

/* Copies out of one page or hole into kernel memory. Object lock held. */
static void read_page_kernel(frame_t frame, uint64_t offset, void *to, size_t bytes) {
    if (frame_is_none(frame)) {
        memset(to, 0, bytes);
    } else {
        /* A scratch view: such reads are seldom repeated, and the first window costs tables. */
        char *view = ephmap_scratch(frame);
        memcpy(to, view + page_offset(offset), bytes);
        ephmap_scratch_put(view);
    }
}

enum status object_read_kernel(struct memory_object *object, uint64_t offset, void *to, size_t bytes, size_t *done) {
    enum status status = OK;
    size_t total = 0;

    object_lock_shared(object);
    while (status == OK && total < bytes && offset < object->size) {
        size_t left = smaller(bytes - total, object->size - offset);
        size_t chunk = smaller(PAGE_SIZE - page_offset(offset), left);
        frame_t frame = index_get(object, offset >> PAGE_SHIFT);

        if (frame_is_none(frame) && pager_knows(object, offset >> PAGE_SHIFT)) {
            object_unlock_shared(object);
            status = pager_page_in(object, offset >> PAGE_SHIFT, bytes_to_pages(page_offset(offset) + left), true);
            object_lock_shared(object);
            continue;
        }
        read_page_kernel(frame, offset, (char *)to + total, chunk);
        total += chunk;
        offset += chunk;
    }
    ephmap_flush();
    object_unlock_shared(object);
    *done = total;
    return status;
}

/* One page's part. ERR_AGAIN: its pager was asked for it; look again. */
static enum status write_page_kernel(struct memory_object *object, uint64_t offset, const void *from, size_t bytes) {
    uint64_t page = offset >> PAGE_SHIFT;
    frame_t frame;
    enum status status = OK;

    object_lock(object);
    frame = index_get(object, page);
    if (frame_is_none(frame)) {
        status = pager_knows(object, page) ? ERR_AGAIN : add_page(object, page, &frame);
        if (status != OK) {
            object_unlock(object);
            if (status == ERR_AGAIN)
                status = pager_page_in(object, page, 1, true);
            return status == OK ? ERR_AGAIN : status;
        }
    }
    memcpy((char *)ephmap_window(frame, object) + page_offset(offset), from, bytes);
    ephmap_window_put();
    pager_note_write(object, page);
    if (object->size < offset + bytes)
        object->size = offset + bytes;
    object_unlock(object);
    return OK;
}

enum status object_write_kernel(struct memory_object *object, uint64_t offset, const void *from, size_t bytes) {
    if (bytes > OBJECT_SIZE_MAX || offset > OBJECT_SIZE_MAX - bytes)
        return ERR_FILE_TOO_BIG;
    while (bytes) {
        size_t chunk = smaller(PAGE_SIZE - page_offset(offset), bytes);
        enum status status = write_page_kernel(object, offset, from, chunk);

        if (status == ERR_AGAIN)
            continue;
        if (status != OK)
            return status;
        from = (const char *)from + chunk;
        offset += chunk;
        bytes -= chunk;
    }
    return OK;
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
    pager_note_write(object, size >> PAGE_SHIFT);
}

enum status object_resize(struct memory_object *object, uint64_t size) {
    struct page_drop drop = {.mapped = false};
    bool shrunk;

    if (size > OBJECT_SIZE_MAX)
        return ERR_FILE_TOO_BIG;
    object_lock(object);
    shrunk = size < object->size;
    if (object->seals & (shrunk ? SEAL_SHRINK : SEAL_GROW) && size != object->size) {
        object_unlock(object);
        return ERR_NOT_PERMITTED;
    }
    object->size = size;
    if (shrunk && object->pager)
        pager_cut(object);
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

/* The page with a reference, if it is there. Object lock held, shared unless it is to be modified. */
static enum status find_page(struct memory_object *object, uint64_t index, enum page_use use, frame_t *out) {
    if (index >= bytes_to_pages(object->size))
        return ERR_INVALID;
    *out = index_get(object, index);
    if (frame_is_none(*out))
        return ERR_NO_ENTRY;
    if (use == PAGE_MODIFY && object->pager)
        pager_note_mapped_write(object, index);
    frame_ref(*out);
    return OK;
}

static enum status find_or_add_page(struct memory_object *object, uint64_t index, enum page_use use, frame_t *out) {
    enum status status;

    object_lock(object);
    status = find_page(object, index, use, out); /* another may have been faster */
    if (status == ERR_NO_ENTRY && pager_knows(object, index)) {
        status = ERR_WOULD_BLOCK;
    } else if (status == ERR_NO_ENTRY) {
        status = add_page(object, index, out);
        if (status == OK)
            status = find_page(object, index, use, out);
    }
    object_unlock(object);
    return status;
}

enum status object_page(struct memory_object *object, uint64_t index, enum page_use use, frame_t *out) {
    enum status status = ERR_NO_ENTRY;

    if (use != PAGE_MODIFY || !object->pager) {
        object_lock_shared(object);
        status = find_page(object, index, use, out);
        object_unlock_shared(object);
    }
    return status == ERR_NO_ENTRY && use != PAGE_IF_RESIDENT ? find_or_add_page(object, index, use, out) : status;
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
