/*
 * Owns: the GLOBAL heap: slabs of small chunks in single pages, and runs of whole pages.
 *
 * A single page lies at the address that its frame number gives (a sparse map, like EPHMAP's windows), so no address
 * has to be chosen; runs of pages take theirs from a bitmap. Page tables for both are made at start-up, so an
 * allocation takes exactly the frames it shows. Metadata only: class GLOBAL.
 *
 * Invariant: REVOKE, for a space that everybody shares – with several CPUs a page that is unmapped goes into
 * quarantine, and its frame to the free list only after all CPUs have flushed it, many at a time.
 * Locks: heap_lock (rank HEAP). Space: any.
 */
#include "mm/heap.h"

#include "arch/cpu.h"
#include "arch/paging.h"
#include "arch/spinlock.h"
#include "kernel/assert.h"
#include "kernel/list.h"
#include "kernel/string.h"
#include "mm/frame.h"
#include "mm/heap_boot.h"
#include "mm/poison.h"
#include "mm/tlb.h"

#define SLAB_MAGIC 0x51ab
#define SLAB_SPACE (PAGE_SIZE - sizeof(struct slab))

struct slab {
    struct list link; /* in its class's list while it has a free chunk */
    void *free;       /* chained through the first word of each chunk */
    uint16_t used, class, magic, padding;
};
_Static_assert(sizeof(struct slab) % 16 == 0, "chunks are aligned to 16");

/* As many chunks of each size as fill a page. */
static const uint16_t chunk_bytes[] = {32, 48, 64, 96, 128, 192, 256, 336, 448, 576, 800, 1008, 1344, 2016, 4032};
#define CLASSES (sizeof chunk_bytes / sizeof chunk_bytes[0])

static struct spinlock heap_lock = SPINLOCK_INIT(RANK_HEAP);
static struct list partial[CLASSES]; /* slabs with a free chunk. Protected by heap_lock */
static uint64_t run_bitmap[HEAP_RUN_PAGES / 64];
static size_t bytes_in_use;
static struct {
    unsigned pages;
    vaddr_t page[TLB_PAGES_MAX];
    frame_t frame[TLB_PAGES_MAX];
} quarantine; /* cleared and unmapped, not flushed. Protected by heap_lock */

void global_heap_init(void) {
    for (unsigned class = 0; class < CLASSES; class ++)
        list_init(&partial[class]);
}

static void map_page(vaddr_t address, frame_t frame) { *window_pte(address) = pte_kernel_data(frame, true); }

/* heap_lock held. */
static void empty_quarantine(void) {
    if (quarantine.pages == 0)
        return;
    tlb_flush_global(quarantine.page, quarantine.pages);
    for (unsigned i = 0; i < quarantine.pages; i++)
        frame_free_clean(quarantine.frame[i]);
    quarantine.pages = 0;
}

/* Clears and unmaps a page of the heap: through its own address, before the translation goes. heap_lock held. */
static void unmap_page(vaddr_t address) {
    frame_t frame = pte_frame(*window_pte(address));
    memset((void *)address, 0, PAGE_SIZE);
    *window_pte(address) = 0;
    if (cpu_count == 1) {
        tlb_forget(address);
        tags_flushed_global();
        frame_free_clean(frame);
        return;
    }
    if (quarantine.pages == TLB_PAGES_MAX)
        empty_quarantine();
    quarantine.page[quarantine.pages] = address;
    quarantine.frame[quarantine.pages++] = frame;
}

static void *page_alloc(void) {
    frame_t frame;
    if (frame_alloc(FRAME_GLOBAL, 0, &frame) != OK)
        return NULL;
    vaddr_t address = GLOBAL_HEAP_BASE + frame_address(frame);
    map_page(address, frame);
    return (void *)address;
}

static unsigned class_of(size_t bytes) {
    unsigned class = 0;
    while (class < CLASSES && chunk_bytes[class] < bytes)
        class ++;
    return class;
}

static struct slab *slab_create(unsigned class) {
    struct slab *slab = page_alloc();
    if (slab == NULL)
        return NULL;
    slab->class = (uint16_t) class;
    slab->magic = SLAB_MAGIC;
    char *chunk = (char *)(slab + 1);
    for (size_t room = SLAB_SPACE; room >= chunk_bytes[class];
         room -= chunk_bytes[class], chunk += chunk_bytes[class]) {
        poison_fresh(chunk, chunk_bytes[class]);
        *(void **)(void *)chunk = slab->free;
        slab->free = chunk;
    }
    return slab;
}

size_t global_bytes(size_t bytes) {
    unsigned class = class_of(bytes);
    return class == CLASSES ? bytes_to_pages(bytes) * PAGE_SIZE : chunk_bytes[class];
}

void *global_alloc(size_t bytes) {
    unsigned class = class_of(bytes);
    if (class == CLASSES)
        return global_alloc_pages(bytes_to_pages(bytes));
    bool irq = spin_lock_irq(&heap_lock);
    if (list_empty(&partial[class])) {
        struct slab *slab = slab_create(class);
        if (slab == NULL) {
            spin_unlock_irq(&heap_lock, irq);
            return NULL;
        }
        list_push_front(&partial[class], &slab->link);
    }
    struct slab *slab = container_of(partial[class].next, struct slab, link);
    void *chunk = slab->free;
    slab->free = *(void **)chunk;
    poison_take(chunk, chunk_bytes[class], "GLOBAL");
    slab->used++;
    if (slab->free == NULL)
        list_remove(&slab->link);
    __atomic_fetch_add(&bytes_in_use, chunk_bytes[class], __ATOMIC_RELAXED);
    spin_unlock_irq(&heap_lock, irq);
    memset(chunk, 0, (bytes + 7) & ~7UL);
    return chunk;
}

void global_free(void *memory, size_t bytes) {
    if (memory == NULL)
        return;
    unsigned class = class_of(bytes);
    if (class == CLASSES) {
        global_free_pages(memory, bytes_to_pages(bytes));
        return;
    }
    struct slab *slab = (struct slab *)((vaddr_t)memory & ~(PAGE_SIZE - 1));
    ensure(slab->magic == SLAB_MAGIC && slab->class == class);
    bool irq = spin_lock_irq(&heap_lock);
    if (slab->free == NULL)
        list_push_front(&partial[class], &slab->link);
    poison_put(memory, chunk_bytes[class], "GLOBAL");
    *(void **)memory = slab->free;
    slab->free = memory;
    slab->used--;
    __atomic_fetch_sub(&bytes_in_use, chunk_bytes[class], __ATOMIC_RELAXED);
    /* One empty slab of a class may stay, for the next allocation; global_heap_trim() takes it. */
    if (slab->used == 0 && (slab->link.next != &partial[class] || slab->link.previous != &partial[class])) {
        list_remove(&slab->link);
        unmap_page((vaddr_t)slab);
    }
    spin_unlock_irq(&heap_lock, irq);
}

void global_heap_trim(void) {
    bool irq = spin_lock_irq(&heap_lock);
    for (unsigned class = 0; class < CLASSES; class ++) {
        list_for_each_safe(link, &partial[class]) {
            struct slab *slab = container_of(link, struct slab, link);
            if (slab->used == 0) {
                list_remove(&slab->link);
                unmap_page((vaddr_t)slab);
            }
        }
    }
    empty_quarantine();
    spin_unlock_irq(&heap_lock, irq);
}

/* --- Runs of pages ------------------------------------------------------------------------------------------------ */

static bool run_bit(size_t page) { return run_bitmap[page / 64] >> (page % 64) & 1; }

static void set_run(size_t first, size_t pages, bool taken) {
    for (size_t page = first; page < first + pages; page++) {
        uint64_t bit = 1UL << (page % 64);
        run_bitmap[page / 64] = taken ? run_bitmap[page / 64] | bit : run_bitmap[page / 64] & ~bit;
    }
}

static bool find_run(size_t pages, size_t *first) {
    size_t length = 0;
    for (size_t page = 0; page < HEAP_RUN_PAGES; page++) {
        length = run_bit(page) ? 0 : length + 1;
        if (length == pages) {
            *first = page + 1 - pages;
            return true;
        }
    }
    return false;
}

/* Unmaps the pages of a run, or a single one. */
static void unmap_run(vaddr_t base, size_t pages) {
    bool irq = spin_lock_irq(&heap_lock);
    for (size_t page = 0; page < pages; page++)
        unmap_page(base + page * PAGE_SIZE);
    spin_unlock_irq(&heap_lock, irq);
}

/* Others may use the addresses of an unmapped run: no CPU has a translation of them from here on. */
static void free_run(size_t first, size_t pages) {
    bool irq = spin_lock_irq(&heap_lock);
    empty_quarantine();
    set_run(first, pages, false);
    spin_unlock_irq(&heap_lock, irq);
}

static void *run_alloc(size_t pages) {
    size_t first;
    bool irq = spin_lock_irq(&heap_lock);
    bool found = find_run(pages, &first);
    if (found)
        set_run(first, pages, true);
    spin_unlock_irq(&heap_lock, irq);
    if (!found)
        return NULL;
    vaddr_t base = HEAP_RUN_BASE + first * PAGE_SIZE;
    for (size_t page = 0; page < pages; page++) {
        frame_t frame;
        if (frame_alloc(FRAME_GLOBAL, 0, &frame) != OK) {
            unmap_run(base, page);
            free_run(first, pages);
            return NULL;
        }
        map_page(base + page * PAGE_SIZE, frame);
    }
    return (void *)base;
}

void *global_alloc_pages(size_t pages) {
    void *memory = pages == 1 ? page_alloc() : pages <= HEAP_RUN_PAGES && pages > 0 ? run_alloc(pages) : NULL;
    if (memory != NULL)
        __atomic_fetch_add(&bytes_in_use, pages * PAGE_SIZE, __ATOMIC_RELAXED);
    return memory;
}

void global_free_pages(void *memory, size_t pages) {
    if (memory == NULL)
        return;
    vaddr_t base = (vaddr_t)memory;
    unmap_run(base, pages);
    if (pages > 1)
        free_run((base - HEAP_RUN_BASE) / PAGE_SIZE, pages);
    __atomic_fetch_sub(&bytes_in_use, pages * PAGE_SIZE, __ATOMIC_RELAXED);
}

size_t global_heap_in_use(void) { return bytes_in_use; }
