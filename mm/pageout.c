/*
 * Forgetting pages that can be had again: under memory pressure, when a server says so, when asked to.
 *
 * A clock: a page that had a window since the hand was there last loses its windows and stays, so that the next use is
 * seen; one that had none goes. Pages that are mapped, granted, dirty or being stored stay; for dirty ones the
 * write-back process is called, and where nothing else is to be had, what is mapped is unmapped (mm/vm_everywhere.c).
 * The pageout process begins when fewer than `low` frames are free, and scrubs what it gets, outside the restricted
 * space as the scrubber of idle CPUs does; who runs out of memory before helps himself.
 * Invariants: REVOKE, CLEAN (mm/page_drop.h). Locks: object->lock, a while for each part of an object.
 */
#include "asi/mutant.h"
#include "kernel/assert.h"
#include "kernel/process_life.h"
#include "kernel/sched.h"
#include "kernel/time.h"
#include "mm/boot.h"
#include "mm/ephmap.h"
#include "mm/local.h"
#include "mm/page_drop.h"
#include "mm/pager_state.h"
#include "mm/vm.h"

#define AT_ONCE    512U /* pages that the hand passes while an object is locked */
#define LOW_SHARE  24U  /* one part in so many of the memory, and LOW_LEAST frames: fewer are few */
#define LOW_LEAST  1024U
#define HIGH_EXTRA 512U                /* frames above that are free when the pageout process rests */
#define ROUNDS     2                   /* of the hand: the first takes second chances away */
#define SOME       64U                 /* pages, for one that is needed */
#define STORES_MAX 16U                 /* that are waited for: they may be of pages that are mapped again */
#define PATIENCE   (1 * NS_PER_SECOND) /* for dirty pages to be stored; and after the clock found nothing */

struct wait_queue pageout_wanted = WAIT_QUEUE_INIT(pageout_wanted);
static uint64_t low, high; /* frames. Constant after pager_start(); 0 before */

/* --- One object --------------------------------------------------------------------------------------------------- */

struct sweep {
    struct page_drop drop;
    bool at_once;    /* pages get no second chance */
    uint64_t wanted; /* pages */
    uint64_t gone;
    unsigned passed;
    uint64_t next; /* page where to go on; 0: the end was reached */
};

static bool may_go(uint64_t entry) {
    const struct frame *info = frame_info(entry_frame(entry));

    return !(entry & (PAGE_DIRTY | PAGE_STORING)) && __atomic_load_n(&info->refs, __ATOMIC_RELAXED) == 1;
}

/* Takes a page's windows away. Whether there may have been some: that it was used. */
static bool was_used(struct sweep *sweep, frame_t frame) {
    if (!frame_info(frame)->used)
        return false;
    frame_info(frame)->used = 0;
    if (!mutant(window_survives_eviction))
        ephmap_revoke_frame(sweep->drop.object, frame);
    gather_page(&sweep->drop.gather, ephmap_window_address(frame));
    return true;
}

static bool pass_page(void *context, uint64_t page, uint64_t *entry) {
    struct sweep *sweep = context;

    sweep->next = page + 1;
    if (may_go(*entry) && (!was_used(sweep, entry_frame(*entry)) || sweep->at_once)) {
        page_drop(&sweep->drop, *entry);
        *entry = 0;
        sweep->gone++;
    }
    return ++sweep->passed < AT_ONCE && sweep->gone < sweep->wanted;
}

/* From page `first` on, for as long as the lock may be held. */
static void sweep_part(struct memory_object *object, struct sweep *sweep, uint64_t first) {
    sweep->passed = 0;
    page_drop_begin(&sweep->drop, object, false, ephmap_has_open(process_current(), object));
    sweep->drop.gather.object = object; /* windows of pages that were used are to be flushed */
    index_visit(object, first, UINT64_MAX, pass_page, sweep);
    page_drop_end(&sweep->drop);
    if (sweep->passed < AT_ONCE && sweep->gone < sweep->wanted)
        sweep->next = 0;
}

void object_drop_clean(struct memory_object *object, uint64_t first) {
    struct sweep sweep = {.at_once = true, .wanted = UINT64_MAX};

    if (!object->pager)
        return;
    do {
        object_lock(object);
        sweep_part(object, &sweep, first);
        object_unlock(object);
        first = sweep.next;
    } while (first);
}

/* From where the hand is to the end. Returns how many went. */
static uint64_t reclaim_from(struct memory_object *object, uint64_t pages) {
    struct sweep sweep = {.wanted = pages};

    do {
        object_lock(object);
        sweep_part(object, &sweep, object->pager->hand);
        object->pager->hand = sweep.next;
        object_unlock(object);
    } while (sweep.next && sweep.gone < pages);
    return sweep.gone;
}

/* --- All of them -------------------------------------------------------------------------------------------------- */

void pager_drop_clean_pages(void) {
    for (struct memory_object *object = pager_next_object(NULL); object; object = pager_next_object(object))
        object_drop_clean(object, 0);
}

static uint64_t reclaim_from_all(uint64_t pages) {
    uint64_t gone = 0;

    for (struct memory_object *object = pager_next_object(NULL); object; object = pager_next_object(object))
        if (gone < pages)
            gone += reclaim_from(object, pages - gone);
    return gone;
}

uint64_t pager_reclaim(struct memory_object *preferred, uint64_t pages) {
    uint64_t gone = 0;

    for (unsigned round = 0; round < ROUNDS && gone < pages; round++) {
        if (preferred && preferred->pager)
            gone += reclaim_from(preferred, pages - gone);
        if (gone < pages)
            gone += reclaim_from_all(pages - gone);
    }
    __atomic_fetch_add(&pager_counters.evicted_pages, gone, __ATOMIC_RELAXED);
    if (gone < pages && __atomic_load_n(&pager_counters.dirty_pages, __ATOMIC_RELAXED) > 0)
        pager_write_back_soon();
    return gone;
}

/* Until pages were stored, if some still are to be, or it takes too long. False: the thread is being killed. */
static bool wait_for_store(void) {
    enum status status = OK;
    struct waiter waiter;

    wait_begin(&pages_stored, &waiter);
    pager_write_back_soon();
    if (pager_any_unstored())
        status = wait_sleep_killable(time_monotonic() + PATIENCE);
    wait_end(&waiter);
    return status != ERR_RESTART;
}

/* Some pages, or what somebody else has made free meanwhile. */
static bool find_room(struct memory_object *preferred) {
    if (pager_reclaim(preferred, SOME) || (vm_unmap_paged() && pager_reclaim(preferred, SOME)))
        return true;
    return frame_free_count() > 0 || frame_any_dirty();
}

bool pager_make_room(struct memory_object *preferred) {
    for (unsigned tries = 0; tries < STORES_MAX; tries++) {
        const bool more_may_come = pager_any_unstored(); /* first: what is stored while the clock looks, it may miss */
        if (find_room(preferred))
            return true;
        if (!more_may_come || !wait_for_store())
            return false;
    }
    return false;
}

bool pager_make_free(uint64_t frames) {
    for (unsigned tries = 0; frame_free_count() < frames && tries < frames && pager_make_room(NULL); tries++)
        ;
    return frame_free_count() >= frames;
}

/* --- The pageout process ------------------------------------------------------------------------------------------ */

static bool is_wanted(void) { return frame_free_count() < low && !list_empty(&all_pagers); }

void pageout_check(void) {
    if (__builtin_expect(is_wanted(), 0))
        wake_all(&pageout_wanted);
}

/* Whether that was enough. */
static bool free_some(void) {
    uint64_t gone = 1;

    while (gone && frame_free_count() < high) {
        const uint64_t wanted = high - frame_free_count();
        gone = pager_reclaim(NULL, wanted);
        if (gone == 0 && vm_unmap_paged())
            gone = pager_reclaim(NULL, wanted);
        frame_scrub_dirty((unsigned)gone); /* else who needs them first would have to, and leave his space for it */
        frame_fill_reserve();
        sched_yield();
    }
    return gone > 0;
}

/* When there is nothing to be had, looking again at once would only take time from those who have it. */
static void rest(void) {
    static struct wait_queue nobody = WAIT_QUEUE_INIT(nobody);
    struct waiter waiter;
    enum status status;

    wait_begin(&nobody, &waiter);
    status = wait_sleep_killable(time_monotonic() + PATIENCE);
    wait_end(&waiter);
    (void)status; /* it is late */
}

static void pageout_thread(void) {
    local_init();
    process_current()->stores_pages = true;
    for (;;) {
        struct waiter waiter;

        wait_begin(&pageout_wanted, &waiter);
        wait_sleep_uninterruptible();
        wait_end(&waiter);
        frame_fill_reserve();
        if (!free_some())
            rest();
    }
}

void pager_start(void) {
    struct frame_counts counts;
    struct process *process;

    frame_count(&counts);
    high = counts.total / LOW_SHARE + LOW_LEAST + HIGH_EXTRA;
    low = high - HIGH_EXTRA;
    frame_fill_reserve();
    if (process_create_kernel("pageout", pageout_thread, &process) != OK)
        panic("no memory for the pageout process");
    writeback_start();
}
