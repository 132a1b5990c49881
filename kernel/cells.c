/*
 * Cells: pages of words, and which of them are taken.
 *
 * Invariants: LOGICAL ACCESS – a page holds nothing but cells of one kernel object, and only who has a handle on that
 * makes a window; the last close takes it away (REVOKE). CLEAN – a page is scrubbed when it is freed, by one who had a
 * handle. Locks: cells.object->lock, held by the callers. Stays in the restricted space.
 */
#include "kernel/cells.h"

#include "asi/abi.h"
#include "asi/asi.h"
#include "kernel/string.h"
#include "mm/ephmap.h"
#include "mm/heap.h"
#include "mm/object.h"

#define WORDS (CELLS_PER_PAGE / 64)

struct cell_page {
    frame_t frame;
    uint32_t count;       /* taken */
    uint64_t used[WORDS]; /* a bit each */
};

enum status cells_create(struct cells *cells) {
    *cells = (struct cells){0};
    enum status status = object_create(&cells->object);
    if (status == OK)
        cells->object->exit_cause = ASI_CAUSE_IPC;
    return status;
}

void cells_destroy(struct cells *cells) {
    for (uint32_t i = 0; i < cells->page_count; i++) {
        frame_info(cells->pages[i].frame)->object = NULL;
        ephmap_scrub_and_free(cells->pages[i].frame);
    }
    if (cells->pages != NULL)
        global_free(cells->pages, cells->capacity * sizeof(*cells->pages));
    object_unref(cells->object);
}

static enum status grow_table(struct cells *cells) {
    uint32_t capacity = cells->capacity == 0 ? 1 : cells->capacity * 2;
    struct cell_page *pages = global_alloc(capacity * sizeof(*pages));
    if (pages == NULL)
        return ERR_NO_MEMORY;
    if (cells->pages != NULL) {
        memcpy(pages, cells->pages, cells->page_count * sizeof(*pages));
        global_free(cells->pages, cells->capacity * sizeof(*pages));
    }
    cells->pages = pages;
    cells->capacity = capacity;
    return OK;
}

static enum status add_page(struct cells *cells) {
    enum status status = cells->page_count == cells->capacity ? grow_table(cells) : OK;
    if (status != OK)
        return status;
    struct cell_page *page = &cells->pages[cells->page_count];
    status = frame_alloc(FRAME_SECRET, 0, &page->frame);
    if (status != OK)
        return status;
    frame_info(page->frame)->object = cells->object;
    cells->page_count++;
    return OK;
}

enum status cells_take(struct cells *cells, uint32_t *index) {
    uint32_t n = 0;
    while (n < cells->page_count && cells->pages[n].count == CELLS_PER_PAGE)
        n++;
    enum status status = n == cells->page_count ? add_page(cells) : OK;
    if (status != OK)
        return status;
    struct cell_page *page = &cells->pages[n];
    uint32_t word = 0;
    while (page->used[word] == UINT64_MAX)
        word++;
    uint32_t bit = (uint32_t)__builtin_ctzl(~page->used[word]);
    page->used[word] |= 1UL << bit;
    page->count++;
    *index = (uint32_t)(n * CELLS_PER_PAGE + word * 64 + bit);
    return OK;
}

/* A window on the cell. Put it. */
static uint64_t *view_of(const struct cells *cells, uint32_t index) {
    asi_expect(ASI_CAUSE_IPC);
    return (uint64_t *)ephmap_window(cells->pages[index / CELLS_PER_PAGE].frame, cells->object) +
           index % CELLS_PER_PAGE;
}

uint64_t cells_read(const struct cells *cells, uint32_t index) {
    const uint64_t *view = view_of(cells, index);
    uint64_t value = *view;
    ephmap_window_put();
    return value;
}

void cells_write(struct cells *cells, uint32_t index, uint64_t value) {
    uint64_t *view = view_of(cells, index);
    *view = value;
    ephmap_window_put();
}

/* Not cleared: the caller may have no handle. What the cell says is seen by nobody who has not been able to. */
void cells_give(struct cells *cells, uint32_t index) {
    struct cell_page *page = &cells->pages[index / CELLS_PER_PAGE];
    page->used[index % CELLS_PER_PAGE / 64] &= ~(1UL << index % 64);
    page->count--;
}
