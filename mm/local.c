/*
 * Owns: the LOCAL region of the running process: struct local, and behind it a heap of power-of-two chunks.
 *
 * Invariant: REACH – its frames are LOCAL(P), mapped in P alone. It is copied page by page to the child at fork and
 * cleared by the process itself before it dies, so nobody else ever needs to see it.
 * Locks: process->local_lock. Space: restricted.
 */
#include "mm/local.h"

#include "arch/cpu.h"
#include "arch/paging.h"
#include "kernel/assert.h"
#include "kernel/local.h"
#include "kernel/process.h"
#include "kernel/string.h"
#include "mm/ephmap.h"
#include "mm/gather.h"
#include "mm/poison.h"

#define SMALLEST_SHIFT 4
_Static_assert(sizeof(((struct local_heap *)0)->free_lists) / sizeof(void *) == PAGE_SHIFT - SMALLEST_SHIFT + 1,
               "sizes");

static unsigned list_of(size_t bytes) {
    unsigned list = 0;
    while ((16UL << list) < bytes)
        list++;
    return list;
}

static enum status map_next_page(struct local_heap *heap) {
    frame_t frame;
    uint32_t owner = process_current()->id;
    if (heap->end == LOCAL_END)
        return ERR_NO_MEMORY;
    pte_t *pde = window_pde(heap->end);
    if (!pte_present(*pde)) {
        enum status status = frame_alloc(FRAME_LOCAL, owner, &frame);
        if (status != OK)
            return status;
        *pde = pte_table(frame, false);
    }
    enum status status = frame_alloc(FRAME_LOCAL, owner, &frame);
    if (status != OK)
        return status;
    *window_pte(heap->end) = pte_kernel_data(frame, false);
    heap->end += PAGE_SIZE;
    return OK;
}

static void push(struct local_heap *heap, unsigned list, void *chunk) {
    *(void **)chunk = heap->free_lists[list];
    heap->free_lists[list] = chunk;
}

/* Takes the first of a list that is not empty. */
static void *pop(struct local_heap *heap, unsigned list) {
    void *chunk = heap->free_lists[list];
    heap->free_lists[list] = *(void **)chunk;
    poison_take(chunk, 16UL << list, "LOCAL");
    return chunk;
}

/* A part of a page that has not been a chunk of this size. */
static void push_fresh(struct local_heap *heap, unsigned list, void *chunk) {
    poison_fresh(chunk, 16UL << list);
    push(heap, list, chunk);
}

/* Pages in a row that were in use once. Begins the first of them. */
struct free_run {
    struct free_run *next;
    size_t pages;
};

/* The last `pages` of the first free run that has so many, or NULL. */
static void *take_run(struct local_heap *heap, size_t pages) {
    struct free_run *previous = NULL, *run = heap->free_runs;
    while (run != NULL && run->pages < pages) {
        previous = run;
        run = run->next;
    }
    if (run == NULL)
        return NULL;
    run->pages -= pages;
    if (run->pages == 0 && previous != NULL)
        previous->next = run->next;
    else if (run->pages == 0)
        heap->free_runs = run->next;
    return (char *)run + run->pages * PAGE_SIZE;
}

static bool ends_at(const struct free_run *run, const void *place) {
    return run != NULL && (const char *)run + run->pages * PAGE_SIZE == place;
}

/* The list is by address, and neighbours are one: else runs of several sizes in turns would cut all up in time. */
static void put_run(struct local_heap *heap, void *memory, size_t pages) {
    struct free_run *previous = NULL, *next = heap->free_runs, *run = memory;
    while (next != NULL && (vaddr_t)next < (vaddr_t)run) {
        previous = next;
        next = next->next;
    }
    *run = (struct free_run){next, pages};
    if (ends_at(run, next))
        *run = (struct free_run){next->next, pages + next->pages};
    if (ends_at(previous, run))
        *previous = (struct free_run){run->next, previous->pages + run->pages};
    else if (previous != NULL)
        previous->next = run;
    else
        heap->free_runs = run;
}

/* Pages in a row: used ones, or fresh ones at the end. */
static void *alloc_run(struct local_heap *heap, size_t pages) {
    void *used = take_run(heap, pages);
    if (used != NULL)
        return used;
    vaddr_t start = heap->end;
    for (size_t page = 0; page < pages; page++) {
        if (map_next_page(heap) != OK) {
            for (vaddr_t at = start; at < heap->end; at += PAGE_SIZE)
                push_fresh(heap, PAGE_SHIFT - SMALLEST_SHIFT, (void *)at);
            return NULL;
        }
    }
    return (void *)start;
}

static void *alloc_chunk(struct local_heap *heap, unsigned list) {
    const unsigned page_list = PAGE_SHIFT - SMALLEST_SHIFT;
    if (heap->free_lists[list] == NULL) {
        char *page = heap->free_lists[page_list] != NULL ? pop(heap, page_list) : alloc_run(heap, 1);
        if (page == NULL)
            return NULL;
        for (size_t offset = 0; offset < PAGE_SIZE; offset += 16UL << list)
            push_fresh(heap, list, page + offset);
    }
    return pop(heap, list);
}

void *local_alloc(size_t bytes) {
    struct spinlock *lock = &process_current()->local_lock;
    struct local_heap *heap = &LOCAL->heap;
    if (bytes > LOCAL_END - LOCAL_BASE)
        return NULL;
    spin_lock(lock);
    void *memory = bytes > PAGE_SIZE ? alloc_run(heap, bytes_to_pages(bytes)) : alloc_chunk(heap, list_of(bytes));
    spin_unlock(lock);
    if (memory != NULL)
        memset(memory, 0, bytes);
    return memory;
}

void local_free(void *memory, size_t bytes) {
    if (memory == NULL)
        return;
    struct spinlock *lock = &process_current()->local_lock;
    struct local_heap *heap = &LOCAL->heap;
    ensure((vaddr_t)memory >= LOCAL_BASE && (vaddr_t)memory < heap->end);
    spin_lock(lock);
    if (bytes <= PAGE_SIZE) {
        poison_put(memory, 16UL << list_of(bytes), "LOCAL");
        push(heap, list_of(bytes), memory);
    } else {
        put_run(heap, memory, bytes_to_pages(bytes));
    }
    spin_unlock(lock);
}

/* --- Life of the region ------------------------------------------------------------------------------------------- */

static vaddr_t first_heap_page(void) { return LOCAL_BASE + page_ceil(sizeof(struct local)); }

enum status local_create_for(struct process *process) {
    struct table_builder builder;
    enum status status = OK;
    builder_begin(&builder, process);
    for (vaddr_t address = LOCAL_BASE; address < first_heap_page() && status == OK; address += PAGE_SIZE) {
        frame_t frame;
        pte_t *pte;
        status = builder_pte(&builder, address, &pte);
        if (status == OK)
            status = frame_alloc(FRAME_LOCAL, process->id, &frame);
        if (status == OK)
            *pte = pte_kernel_data(frame, false);
    }
    builder_end(&builder);
    return status;
}

void local_init(void) { LOCAL->heap.end = first_heap_page(); }

/*
 * struct local: the caller holds the locks of its members but the signals', of which a sender's copies must agree with
 * the table.
 */
static void copy_head(struct process *child, void *to) {
    struct process *parent = process_current();
    bool irq = spin_lock_irq(&parent->signal_lock);
    memcpy(to, LOCAL, PAGE_SIZE);
    random_split(&((struct local *)to)->random);
    child->ignored = parent->ignored;
    child->caught = parent->caught;
    spin_unlock_irq(&parent->signal_lock, irq);
}
_Static_assert(sizeof(struct local) <= PAGE_SIZE, "copied at one go");

enum status local_fork(struct process *child) {
    struct spinlock *lock = &process_current()->local_lock;
    struct table_builder builder;
    enum status status = OK;
    builder_begin(&builder, child);
    spin_lock(lock);
    for (vaddr_t address = LOCAL_BASE; address < LOCAL->heap.end && status == OK; address += PAGE_SIZE) {
        frame_t frame;
        pte_t *pte;
        status = builder_pte(&builder, address, &pte);
        if (status == OK)
            status = frame_alloc(FRAME_LOCAL, child->id, &frame);
        if (status != OK)
            break;
        *pte = pte_kernel_data(frame, false);
        void *copy = ephmap_scratch(frame);
        if (address == LOCAL_BASE)
            copy_head(child, copy);
        else
            memcpy(copy, (const void *)address, PAGE_SIZE);
        ephmap_scratch_put(copy);
    }
    spin_unlock(lock);
    builder_end(&builder);
    return status;
}

/* The child was never run: its copy is the parent's own data, which the parent may see. */
void local_fork_undo(struct process *child) {
    struct table_builder builder;
    struct gather gather;
    gather_begin(&gather);
    builder_begin(&builder, child);
    for (vaddr_t address = LOCAL_BASE; address < LOCAL->heap.end; address += PAGE_SIZE) {
        pte_t *pte;
        if (!builder_pte_if_present(&builder, address, &pte) || !pte_present(*pte))
            continue;
        gather_scrub(&gather, pte_frame(*pte));
        *pte = 0;
    }
    for (vaddr_t address = LOCAL_BASE + PAGE_TABLE_SPAN; address < LOCAL->heap.end; address += PAGE_TABLE_SPAN)
        builder_free_table(&builder, &gather, address);
    builder_end(&builder);
    gather_flush(&gather);
}

void local_destroy(void) {
    struct gather gather;
    gather_begin(&gather);
    vaddr_t end = LOCAL->heap.end;
    for (vaddr_t address = LOCAL_BASE; address < end; address += PAGE_SIZE) {
        pte_t *pte = window_pte(address);
        frame_t frame = pte_frame(*pte);
        memset((void *)address, 0, PAGE_SIZE);
        *pte = 0;
        gather_page(&gather, address);
        gather_clean_frame(&gather, frame);
    }
    /* The first page table was made with the roots and goes with them. */
    for (vaddr_t address = LOCAL_BASE + PAGE_TABLE_SPAN; address < end; address += PAGE_TABLE_SPAN) {
        pte_t *pde = window_pde(address);
        gather_page(&gather, (vaddr_t)window_pte(address));
        gather_clean_frame(&gather, pte_frame(*pde));
        *pde = 0;
    }
    gather_flush(&gather);
}
