/*
 * Owns: the EPHMAP region of every process: windows on object frames, scratch slots, and who has which object open.
 *
 * Invariants: LOGICAL ACCESS – a window is written only for a frame of an object the process has open. REVOKE – the
 * last close, a truncate or an eviction clears windows and flushes before it returns; a scratch view's entry goes at
 * once, its translation before the frame can be reused (gather_flush, ephmap_flush).
 * Locks: views_lock (rank VIEWS) for the sets and the entries of windows, and the object's lock, so that a window which
 * is in use stays; scratch slots belong to the running CPU (kernel code is not preempted).
 * Space: restricted; this is what makes it unnecessary to leave.
 */
#include "mm/ephmap.h"

#include "arch/spinlock.h"
#include "asi/asi.h"
#include "asi/mutant.h"
#include "kernel/assert.h"
#include "kernel/process.h"
#include "kernel/string.h"
#include "mm/heap.h"
#include "mm/object.h"
#include "mm/paging.h"
#include "mm/roots.h"
#include "mm/tag_check.h"
#include "mm/tags.h"
#include "mm/tlb.h"
#include "mm/view_set.h"

bool ephmap_enabled;
enum asi_views ephmap_design = ASI_VIEWS_OPEN;

/* --- Scratch views ------------------------------------------------------------------------------------------------ */

#define COPY_SOURCE_SLOT (EPHMAP_SCRATCH_SLOTS - 2)
#define COPY_TARGET_SLOT (EPHMAP_SCRATCH_SLOTS - 1)
#define COPY_SLOTS       (3UL << COPY_SOURCE_SLOT)

/* Single invalidations up to here, the whole TLB beyond. */
enum { FLUSH_SINGLY = 24 };

static vaddr_t scratch_address(unsigned slot) {
    return EPHMAP_SCRATCH_BASE + (this_cpu->index * EPHMAP_SCRATCH_SLOTS + slot) * PAGE_SIZE;
}

/* A slot that nobody holds and whose last translation is flushed. */
static unsigned free_slot(void) {
    uint64_t busy = this_cpu->scratch_held | this_cpu->scratch_pending | COPY_SLOTS;
    if (__builtin_expect(busy == UINT64_MAX, 0)) {
        ephmap_flush();
        busy = this_cpu->scratch_held | COPY_SLOTS;
        ensure(busy != UINT64_MAX);
    }
    return (unsigned)__builtin_ctzl(~busy);
}

void *ephmap_scratch(frame_t frame) {
    this_cpu->views_held++;
    if (!ephmap_enabled)
        return physmap(frame);
    unsigned slot = free_slot();
    this_cpu->scratch_held |= 1UL << slot;
    vaddr_t address = scratch_address(slot);
    *window_pte(address) = pte_kernel_data(frame, false);
    this_cpu->counters.views_mapped++;
    return (void *)address;
}

void ephmap_scratch_put(void *view) {
    this_cpu->views_held--;
    vaddr_t address = (vaddr_t)view & ~(PAGE_SIZE - 1);
    if (address < EPHMAP_SCRATCH_BASE || address >= EPHMAP_SCRATCH_BASE + PAGE_DIRECTORY_SPAN)
        return; /* made while views were PHYSMAP addresses */
    if (!mutant(scratch_entry_stays))
        *window_pte(address) = 0;
    tag_check_weakened(this_cpu->loaded, address);
    uint64_t bit = 1UL << ((address >> PAGE_SHIFT) % EPHMAP_SCRATCH_SLOTS);
    this_cpu->scratch_held &= ~bit;
    this_cpu->scratch_pending |= bit;
}

/* The addresses of the pending slots; more than FLUSH_SINGLY are TLB_EVERYTHING. */
static unsigned pending_pages(vaddr_t pages[FLUSH_SINGLY]) {
    unsigned count = 0;
    for (uint64_t pending = this_cpu->scratch_pending; pending != 0; pending &= pending - 1) {
        if (count == FLUSH_SINGLY)
            return TLB_EVERYTHING;
        pages[count++] = scratch_address((unsigned)__builtin_ctzl(pending));
    }
    return count;
}

void ephmap_flush_pending(void) {
    vaddr_t pages[FLUSH_SINGLY];
    tlb_flush(this_cpu->loaded, pages, pending_pages(pages));
    this_cpu->scratch_pending = 0;
}

void ephmap_flush_with(vaddr_t page) {
    if (this_cpu->scratch_pending == 0) {
        tlb_flush_page(this_cpu->loaded, page);
        return;
    }
    vaddr_t pages[FLUSH_SINGLY + 1];
    unsigned count = pending_pages(pages);
    if (count != TLB_EVERYTHING)
        pages[count++] = page;
    tlb_flush(this_cpu->loaded, pages, count);
    this_cpu->scratch_pending = 0;
}

void ephmap_note_cr3_write(void) {
    if (!tags_in_use && !tlb_is_shared(this_cpu->loaded))
        this_cpu->scratch_pending = 0;
}

void ephmap_scrub(frame_t frame) {
    asi_expect(ASI_CAUSE_ZERO);
    if (!ephmap_enabled) {
        memset(physmap(frame), 0, PAGE_SIZE);
        return;
    }
    /* A scratch view, got and put at once: each page that a process gives up comes by here. */
    unsigned slot = free_slot();
    vaddr_t address = scratch_address(slot);
    pte_t *entry = window_pte(address);
    *entry = pte_kernel_data(frame, false);
    if (!mutant(scrub_skipped))
        memset((void *)address, 0, PAGE_SIZE);
    *entry = 0;
    this_cpu->scratch_pending |= 1UL << slot;
    this_cpu->counters.views_mapped++;
}

void ephmap_copy_frame(frame_t to, frame_t from) {
    asi_expect(ASI_CAUSE_COW);
    if (!ephmap_enabled) {
        memcpy(physmap(to), physmap(from), PAGE_SIZE);
        return;
    }
    /* Two slots of their own: nothing to look for, and the flush is due at once. */
    vaddr_t source = scratch_address(COPY_SOURCE_SLOT), target = scratch_address(COPY_TARGET_SLOT);
    pte_t *entries = window_pte(source);
    entries[0] = pte_kernel_data(from, false);
    entries[1] = pte_kernel_data(to, false);
    memcpy((void *)target, (const void *)source, PAGE_SIZE);
    entries[0] = entries[1] = 0;
    tlb_forget(source);
    tlb_forget(target);
    if (tlb_is_shared(this_cpu->loaded))
        this_cpu->scratch_pending |= COPY_SLOTS; /* what other CPUs may have of them */
    this_cpu->counters.views_mapped += 2;
    this_cpu->counters.page_flushes += 2;
}

void ephmap_scrub_and_free(frame_t frame) {
    ephmap_scrub(frame);
    ephmap_flush();
    frame_free_clean(frame);
}

/* --- Windows ------------------------------------------------------------------------------------------------------ */

/*
 * Puts a table of the process's own where the shared empty one is, full of `filling` before it is linked: another
 * thread may read any entry at any time. `entries`: where the window shows the table.
 */
static enum status own_table(pte_t *entry, pte_t *entries, frame_t empty, pte_t filling) {
    frame_t table;
    if (!frame_equal(pte_frame(*entry), empty))
        return OK;
    enum status status = frame_alloc(FRAME_LOCAL, process_current()->id, &table);
    if (status != OK)
        return status;
    if (filling != 0) {
        pte_t *view = ephmap_scratch(table);
        for (unsigned i = 0; i < TABLE_ENTRIES; i++)
            view[i] = filling;
        ephmap_scratch_put(view);
    }
    __atomic_fetch_add(&process_current()->window_tables, 1, __ATOMIC_RELAXED);
    *entry = pte_table(table, false);
    tag_check_weakened(process_current(), (vaddr_t)entries);
    tlb_flush_page(process_current(), (vaddr_t)entries);
    return OK;
}

static enum status window_table(vaddr_t address) {
    pte_t *directory = (pte_t *)((vaddr_t)window_pde(address) & ~(PAGE_SIZE - 1));
    pte_t *table = (pte_t *)((vaddr_t)window_pte(address) & ~(PAGE_SIZE - 1));
    enum status status = own_table(window_pdpte(address), directory, shared_tables.empty_window_pd,
                                   pte_empty_table(shared_tables.empty_window_pt));
    return status == OK ? own_table(window_pde(address), table, shared_tables.empty_window_pt, 0) : status;
}

static void *view_for_one_use(frame_t frame) {
    ensure(this_cpu->overflow_view == NULL);
    this_cpu->views_held--;
    return this_cpu->overflow_view = ephmap_scratch(frame);
}

/*
 * First use. What cannot be recorded for REVOKE gets no window: memory is short, or another thread has closed the last
 * handle since this call looked it up. Then a scratch view serves, for this use alone: a call in progress keeps its
 * access.
 */
void *ephmap_map_window(frame_t frame, struct memory_object *object) {
    struct process *process = process_current();
    vaddr_t address = EPHMAP_BASE + frame_address(frame);
    ensure(frame_info(frame)->class == FRAME_SECRET && frame_info(frame)->object == object);
    if (ephmap_design != ASI_VIEWS_OPEN)
        return view_for_one_use(frame);
    spin_lock(&views_lock);
    struct object_view_set *set = view_set_find(process, object);
    bool recorded = set != NULL && window_table(address) == OK && view_set_record(set, frame);
    if (recorded) {
        frame_info(frame)->used = 1;
        *window_pte(address) = pte_kernel_data(frame, false);
    }
    spin_unlock(&views_lock);
    if (!recorded)
        return view_for_one_use(frame);
    this_cpu->counters.views_mapped++;
    counter_add(&process->counters.views_mapped, 1);
    return (void *)address;
}

void ephmap_overflow_put(void) {
    void *view = this_cpu->overflow_view;
    this_cpu->overflow_view = NULL;
    this_cpu->views_held++;
    ephmap_scratch_put(view);
    if (ephmap_design != ASI_VIEWS_BATCH)
        ephmap_flush();
}

/* --- REVOKE: the running process's own windows -------------------------------------------------------------------- */

static bool clear_window(frame_t frame) {
    vaddr_t address = EPHMAP_BASE + frame_address(frame);
    if (!pte_present(*window_pte(address)))
        return false;
    *window_pte(address) = 0;
    tag_check_weakened(this_cpu->loaded, address);
    this_cpu->counters.views_revoked++;
    counter_add(&process_current()->counters.views_revoked, 1);
    return true;
}

void view_set_revoke(struct object_view_set *set) {
    vaddr_t pages[FLUSH_SINGLY];
    unsigned revoked = 0;
    for (uint64_t i = 0; i < set->count; i++) {
        frame_t frame = view_set_frame(set, i);
        if (frame_info(frame)->object != set->object)
            continue; /* revoked when it left the object; a window on it now is another set's */
        if (mutant(window_survives_close) || !clear_window(frame))
            continue;
        if (revoked < FLUSH_SINGLY)
            pages[revoked] = ephmap_window_address(frame);
        revoked = revoked < FLUSH_SINGLY ? revoked + 1 : TLB_EVERYTHING;
    }
    if (revoked == 0 && ephmap_design == ASI_VIEWS_BATCH)
        revoked = TLB_EVERYTHING; /* as in ephmap_flush_windows() */
    if (revoked != 0)
        tlb_flush(set->process, pages, revoked);
    set->count = 0;
}

/* --- REVOKE: another process's window ----------------------------------------------------------------------------- */

/*
 * Clears one entry in the tables of another process, which may run on another CPU: the object's lock keeps it from
 * using the window. Tables are metadata, reached by scratch views.
 */
static void clear_foreign_window(struct process *process, frame_t frame) {
    vaddr_t address = ephmap_window_address(frame);
    frame_t table = process->roots.restricted;
    asi_expect(ASI_CAUSE_TABLE);
    for (unsigned level = 4; level >= 1; level--) {
        pte_t *view = ephmap_scratch(table);
        pte_t entry = view[table_index(address, level)];
        if (level == 1 && pte_present(entry)) {
            view[table_index(address, level)] = 0;
            tag_check_weakened(process, address);
            this_cpu->counters.views_revoked++;
            counter_add(&process->counters.views_revoked, 1);
        }
        ephmap_scratch_put(view);
        if (!pte_present(entry))
            return;
        table = pte_frame(entry);
    }
}

void ephmap_revoke_frame(struct memory_object *object, frame_t frame) {
    if (mutant(window_survives_truncate))
        return;
    spin_lock(&views_lock);
    list_for_each(link, &object->view_sets) {
        struct object_view_set *set = container_of(link, struct object_view_set, object_link);
        if (set->process == this_cpu->loaded)
            clear_window(frame);
        else if (set->count != 0)
            clear_foreign_window(set->process, frame);
    }
    ephmap_flush(); /* the views of others' tables */
    spin_unlock(&views_lock);
}

void ephmap_flush_windows(struct memory_object *object, const vaddr_t *pages, unsigned count) {
    if (count == 0 || mutant(window_survives_truncate))
        return;
    if (ephmap_design == ASI_VIEWS_BATCH)
        count = TLB_EVERYTHING; /* nobody knows which of the put views had the object's pages */
    spin_lock(&views_lock);
    list_for_each(link, &object->view_sets)
        tlb_flush(container_of(link, struct object_view_set, object_link)->process, pages, count);
    spin_unlock(&views_lock);
}

/* The page tables of the windows, when the process goes away: every window is revoked by now. */
void ephmap_free_tables(struct gather *gather) {
    for (unsigned gib = 0; gib < shared_tables.window_gibs; gib++) {
        vaddr_t upper = EPHMAP_BASE + gib * PAGE_DIRECTORY_SPAN;
        pte_t *pdpte = window_pdpte(upper), *directory = window_pde(upper);
        frame_t own = pte_frame(*pdpte);
        if (frame_equal(own, shared_tables.empty_window_pd))
            continue;
        for (unsigned i = 0; i < TABLE_ENTRIES; i++) {
            frame_t table = pte_frame(directory[i]);
            if (!frame_equal(table, shared_tables.empty_window_pt)) {
                gather_page(gather, (vaddr_t)window_pte(upper + i * PAGE_TABLE_SPAN));
                gather_clean_frame(gather, table);
            }
            directory[i] = 0;
        }
        *pdpte = pte_empty_table(shared_tables.empty_window_pd);
        gather_page(gather, (vaddr_t)directory);
        gather_clean_frame(gather, own);
    }
    __atomic_store_n(&process_current()->window_tables, 0, __ATOMIC_RELAXED);
}
