/*
 * Whole pages from one object to another, without a copy: how the archive becomes files, and buffers become content.
 *
 * In steps of a few pages: taken out of the source under its lock, with every window and mapping gone, and only then
 * put into the target under its own. Invariants: REVOKE – nobody who had the source has a translation of a page when
 * the target gets it. CLEAN – what was in its place at the target goes by mm/page_drop.h. Locks: one object's at a
 * time. Runs in the caller's space.
 */
#include "kernel/process.h"
#include "mm/ephmap.h"
#include "mm/object_index.h"
#include "mm/page_drop.h"
#include "mm/pager_state.h"
#include "mm/vm.h"

#define STEP 32U /* pages */

/* Pages between two objects: frames that nobody can see. */
struct step {
    uint64_t first; /* page of the source */
    uint64_t count; /* pages, holes among them */
    frame_t frame[STEP];
    bool mapped; /* some still are, in user halves */
};

/* Takes the pages out. They keep the object's reference; a page that is mapped looks like one that was cut off. */
static void take_out(struct memory_object *from, struct step *step) {
    struct gather gather;

    gather_begin(&gather);
    gather.object = from;
    step->mapped = false;
    object_lock(from);
    for (uint64_t i = 0; i < step->count; i++) {
        uint64_t *entry = index_entry(from, step->first + i);
        struct frame *info;

        step->frame[i] = FRAME_NONE;
        if (!entry)
            continue;
        step->frame[i] = entry_frame(*entry);
        *entry = 0;
        from->pages--;
        ephmap_revoke_frame(from, step->frame[i]);
        gather_page(&gather, ephmap_window_address(step->frame[i]));
        info = frame_info(step->frame[i]);
        info->object = NULL;
        if (__atomic_load_n(&info->refs, __ATOMIC_RELAXED) > 1) {
            info->class = FRAME_USER;
            step->mapped = true;
        }
    }
    gather_flush(&gather);
    object_unlock(from);
    if (step->mapped)
        vm_forget_cut_pages();
}

/* Whether somebody still refers to one of the pages: a grant, whose device may write to it. */
static bool is_granted(const struct step *step) {
    for (uint64_t i = 0; i < step->count; i++)
        if (!frame_is_none(step->frame[i]) && __atomic_load_n(&frame_info(step->frame[i])->refs, __ATOMIC_ACQUIRE) > 1)
            return true;
    return false;
}

/* A frame that could not be put in: lost with what it holds. */
static void give_up(frame_t frame) {
    if (frame_unref(frame))
        frame_free_dirty(frame);
}

/* Puts one page in where there is none. Object lock held. */
static enum status put_in(struct memory_object *to, uint64_t page, frame_t frame) {
    enum status status = index_put(to, page, frame);
    struct frame *info = frame_info(frame);

    if (status != OK)
        return status;
    info->class = FRAME_SECRET;
    info->owner = 0;
    info->object = to;
    info->used = 1;
    to->pages++;
    pager_note_write(to, page);
    return OK;
}

/*
 * What is in the target's pages goes; the pages of the step come instead. With memory short some are given up. The size
 * becomes `end` bytes at least.
 */
static enum status put_all(struct memory_object *to, uint64_t page, const struct step *step, uint64_t end) {
    struct page_drop drop;
    enum status status = OK;

    object_lock(to);
    page_drop_begin(&drop, to, true, ephmap_has_open(process_current(), to));
    for (uint64_t i = 0; i < step->count; i++) {
        uint64_t *entry = index_entry(to, page + i); /* not index_visit(): nodes that reserve() made stay */

        if (entry)
            page_drop_visitor(&drop, page + i, entry);
    }
    page_drop_end(&drop);
    for (uint64_t i = 0; i < step->count; i++) {
        enum status put = frame_is_none(step->frame[i]) ? OK : put_in(to, page + i, step->frame[i]);

        if (put == OK)
            continue;
        give_up(step->frame[i]);
        status = put;
    }
    if (to->size < end)
        to->size = end;
    object_unlock(to);
    page_drop_unmap(&drop, page);
    return status;
}

/* Nodes of the target's index for all pages: what takes memory is done before anything moves. */
static enum status reserve(struct memory_object *to, uint64_t page, uint64_t count) {
    enum status status = OK;

    object_lock(to);
    for (uint64_t i = 0; i < count && status == OK; i++)
        status = index_reserve(to, page + i);
    object_unlock(to);
    return status;
}

static enum status move_step(struct memory_object *to, uint64_t to_page, struct memory_object *from,
                             struct step *step) {
    enum status status = reserve(to, to_page, step->count), back;

    if (status != OK)
        return status;
    take_out(from, step);
    if (!is_granted(step))
        return put_all(to, to_page, step, (to_page + step->count) << PAGE_SHIFT);
    back = put_all(from, step->first, step, 0);
    return back == OK ? ERR_BUSY : back;
}

static bool range_fits(uint64_t page, uint64_t pages) {
    uint64_t limit = OBJECT_SIZE_MAX >> PAGE_SHIFT;
    return page <= limit && pages <= limit - page;
}

enum status object_move(struct memory_object *to, uint64_t to_page, struct memory_object *from, uint64_t from_page,
                        uint64_t pages) {
    struct step step;
    enum status status = OK;

    if (to == from || !range_fits(to_page, pages) || !range_fits(from_page, pages) ||
        from_page + pages > bytes_to_pages(from->size))
        return ERR_INVALID;
    if (from->pager)
        return ERR_NOT_SUPPORTED;
    for (uint64_t done = 0; done < pages && status == OK; done += step.count) {
        step.first = from_page + done;
        step.count = pages - done < STEP ? pages - done : STEP;
        status = move_step(to, to_page + done, from, &step);
    }
    return status;
}
