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
#include "kernel/string.h"
#include "mm/boot.h"
#include "mm/ephmap.h"

static struct spinlock frames_lock = SPINLOCK_INIT(RANK_FRAMES);
static uint32_t free_head, dirty_head; /* 0: empty. Protected by frames_lock */
static uint64_t free_count, dirty_count;
static uint32_t table_size; /* frames the table covers. Constant after frames_init */

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

static void push_free(frame_t frame, struct frame *info) {
    info->class = FRAME_FREE;
    info->refs = 0;
    info->owner = 0;
    info->object = NULL;
    info->next = free_head;
    free_head = frame.number;
    free_count++;
}

static void push_dirty(frame_t frame, struct frame *info) {
    info->class = FRAME_DIRTY;
    info->refs = 0;
    info->owner = 0;
    info->object = NULL;
    info->next = dirty_head;
    dirty_head = frame.number;
    dirty_count++;
}

enum status frame_alloc(enum frame_class class, uint32_t owner, frame_t *out) {
    bool irq = spin_lock_irq(&frames_lock);
    while (__builtin_expect(free_head == 0, 0)) {
        bool can_scrub = dirty_head != 0;
        spin_unlock_irq(&frames_lock, irq);
        if (!can_scrub)
            return ERR_NO_MEMORY;
        frame_scrub_dirty(64);
        irq = spin_lock_irq(&frames_lock);
    }
    frame_t frame = {free_head};
    struct frame *info = frame_info(frame);
    ensure(info->class == FRAME_FREE);
    free_head = info->next;
    free_count--;
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
    push_free(frame, info);
    spin_unlock_irq(&frames_lock, irq);
}

void frame_free_dirty(frame_t frame) {
    struct frame *info = frame_info(frame);
    ensure(info->class != FRAME_FREE && info->class != FRAME_DIRTY && info->refs <= 1);
    bool irq = spin_lock_irq(&frames_lock);
    push_dirty(frame, info);
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
        frame_t frame = {dirty_head};
        if (!frame_is_none(frame)) {
            dirty_head = frame_info(frame)->next;
            dirty_count--;
        }
        spin_unlock_irq(&frames_lock, irq);
        if (frame_is_none(frame))
            return;
        asi_exit(ASI_CAUSE_ZERO);
        memset(physmap(frame), 0, PAGE_SIZE);
        irq = spin_lock_irq(&frames_lock);
        push_free(frame, frame_info(frame));
        spin_unlock_irq(&frames_lock, irq);
    }
}

bool frame_any_dirty(void) { return __atomic_load_n(&dirty_head, __ATOMIC_RELAXED) != 0; }

uint64_t frame_free_count(void) { return free_count + dirty_count; }

uint32_t frame_table_size(void) { return table_size; }

void frame_count(struct frame_counts *out) {
    *out = (struct frame_counts){0};
    for (uint32_t number = 1; number < table_size; number++)
        out->by_class[frame_info((frame_t){number})->class]++;
    for (unsigned class = 0; class < FRAME_RESERVED; class ++)
        out->total += out->by_class[class];
}
