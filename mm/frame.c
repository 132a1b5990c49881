/*
 * Owns: the frame table and the lists of free and dirty frames.
 *
 * Invariant: CLEAN – what is on the free list is all zero; a frame changes owner only through it.
 * Locks: frames_lock (rank FRAMES) for the lists and classes; refs are atomic.
 * Space: any. Only the scrubber touches frames, through PHYSMAP: it leaves the restricted space first.
 */
#include "mm/frame.h"

#include "arch/cpu.h"
#include "arch/spinlock.h"
#include "asi/asi.h"
#include "kernel/assert.h"
#include "kernel/process.h"
#include "kernel/string.h"
#include "mm/boot.h"
#include "mm/ephmap.h"

static struct spinlock frames_lock = SPINLOCK_INIT(RANK_FRAMES);
/* Chained through frame.next. Protected by frames_lock. */
struct frame_list {
    uint32_t head; /* frame number; 0: empty */
    uint64_t count;
};
static struct frame_list free_frames, dirty_frames;
static struct frame_list reserve; /* clean; for when nothing is free: may_use_reserve() */
static uint32_t table_size;       /* frames the table covers. Constant after frames_init */

bool frame_exists(frame_t frame) { return frame.number < table_size && frame.number != 0; }

/* The table is zeroed memory already; everything starts as RESERVED. */
void frames_init(uint32_t count) {
    table_size = count;
    for (uint32_t number = 0; number < count; number++)
        frame_info((frame_t){number})->class = FRAME_RESERVED;
}

void frame_claim_at_boot(frame_t frame, enum frame_class class) {
    struct frame *info = frame_info(frame);
    info->class = (uint8_t) class;
    info->refs = 1;
}

/* frames_lock held. */
static void push(struct frame_list *list, enum frame_class class, frame_t frame) {
    struct frame *info = frame_info(frame);
    info->class = (uint8_t) class;
    info->refs = 0;
    info->owner = 0;
    info->object = NULL;
    info->next = list->head;
    list->head = frame.number;
    list->count++;
}

/* Takes the first of a list that is not empty. frames_lock held. */
static frame_t pop(struct frame_list *list) {
    frame_t frame = {list->head};
    list->head = frame_info(frame)->next;
    list->count--;
    return frame;
}

/*
 * Whether the caller may have a frame of the reserve. Programs' pages, of which any number may be asked for, never come
 * from there; half of it is for what the kernel needs besides, all of it for processes that store pages: they are what
 * makes memory free again. frames_lock held.
 */
static bool may_use_reserve(enum frame_class class) {
    const bool bulk = class == FRAME_USER || class == FRAME_SECRET;
    if (reserve.head == 0 || process_current()->stores_pages)
        return reserve.head != 0;
    return !bulk && reserve.count > FRAME_RESERVE / 2;
}

void frame_fill_reserve(void) {
    bool irq = spin_lock_irq(&frames_lock);
    while (reserve.count < FRAME_RESERVE && free_frames.count > reserve.count)
        push(&reserve, FRAME_FREE, pop(&free_frames));
    spin_unlock_irq(&frames_lock, irq);
}

enum status frame_alloc(enum frame_class class, uint32_t owner, frame_t *out) {
    bool irq = spin_lock_irq(&frames_lock);
    while (__builtin_expect(free_frames.head == 0, 0)) {
        bool can_scrub = dirty_frames.head != 0;
        if (!can_scrub && may_use_reserve(class)) {
            push(&free_frames, FRAME_FREE, pop(&reserve));
            break;
        }
        spin_unlock_irq(&frames_lock, irq);
        if (!can_scrub)
            return ERR_NO_MEMORY;
        frame_scrub_dirty(64);
        irq = spin_lock_irq(&frames_lock);
    }
    frame_t frame = pop(&free_frames);
    struct frame *info = frame_info(frame);
    ensure(info->class == FRAME_FREE);
    info->class = (uint8_t) class;
    info->refs = 1;
    info->owner = owner;
    info->next = 0;
    spin_unlock_irq(&frames_lock, irq);
    *out = frame;
    return OK;
}

void frame_free_clean(frame_t frame) {
    struct frame *info = frame_info(frame);
    ensure(info->class != FRAME_FREE && info->class != FRAME_DIRTY && info->class != FRAME_RESERVED && info->refs <= 1);
    bool irq = spin_lock_irq(&frames_lock);
    push(&free_frames, FRAME_FREE, frame);
    spin_unlock_irq(&frames_lock, irq);
}

void frame_free_dirty(frame_t frame) {
    struct frame *info = frame_info(frame);
    ensure(info->class != FRAME_FREE && info->class != FRAME_DIRTY && info->refs <= 1);
    bool irq = spin_lock_irq(&frames_lock);
    push(&dirty_frames, FRAME_DIRTY, frame);
    spin_unlock_irq(&frames_lock, irq);
}

void frame_ref(frame_t frame) { __atomic_fetch_add(&frame_info(frame)->refs, 1, __ATOMIC_RELAXED); }

bool frame_unref(frame_t frame) {
    uint32_t before = __atomic_fetch_sub(&frame_info(frame)->refs, 1, __ATOMIC_ACQ_REL);
    ensure(before != 0);
    return before == 1;
}

void frame_scrub_dirty(unsigned count) {
    for (; count > 0; count--) {
        bool irq = spin_lock_irq(&frames_lock);
        frame_t frame = dirty_frames.head == 0 ? FRAME_NONE : pop(&dirty_frames);
        spin_unlock_irq(&frames_lock, irq);
        if (frame_is_none(frame))
            return;
        asi_exit(ASI_CAUSE_ZERO);
        memset(physmap(frame), 0, PAGE_SIZE);
        irq = spin_lock_irq(&frames_lock);
        push(&free_frames, FRAME_FREE, frame);
        spin_unlock_irq(&frames_lock, irq);
    }
}

bool frame_any_dirty(void) { return __atomic_load_n(&dirty_frames.head, __ATOMIC_RELAXED) != 0; }

uint64_t frame_free_count(void) { return free_frames.count + dirty_frames.count; }

uint32_t frame_table_size(void) { return table_size; }

void frame_count(struct frame_counts *out) {
    *out = (struct frame_counts){0};
    for (uint32_t number = 1; number < table_size; number++)
        out->by_class[frame_info((frame_t){number})->class]++;
    for (unsigned class = 0; class < FRAME_RESERVED; class ++)
        out->total += out->by_class[class];
}

uint64_t frame_count_owned(const uint64_t *owners, uint64_t limit) {
    uint64_t count = 0;
    for (uint32_t number = 1; number < table_size; number++) {
        const struct frame *info = frame_info((frame_t){number});
        const bool owned = info->class == FRAME_LOCAL || info->class == FRAME_USER;
        count += owned && info->owner < limit && (owners[info->owner / 64] >> info->owner % 64 & 1);
    }
    return count;
}
