/*
 * Host test of mm/vma.c: random operations on the tree against a map of pages, and the tree's own rules after each.
 *
 * Build and run: gcc -std=gnu17 -O1 -g -DDEBUG -I. tests/host/vma_test.c mm/vma.c -o vma_test && ./vma_test
 */
#include "mm/vma.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "kernel/panic.h"

enum { PAGES = 600, ROUNDS = 200000, MANY = 65000 };

#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition))                                                                                              \
            panic("%s:%d: %s", __FILE__, __LINE__, #condition);                                                        \
    } while (0)

_Noreturn void panic(const char *format, ...) {
    va_list arguments;

    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    exit(1);
}

static int owner[PAGES]; /* the model: which area has the page, 0: none */
static uint64_t seed = 1;

static unsigned random_below(unsigned limit) {
    seed = seed * 6364136223846793005UL + 1442695040888963407UL;
    return (unsigned)(seed >> 33) % limit;
}

static vaddr_t page_address(unsigned page) { return USER_START + page * PAGE_SIZE; }

static unsigned check_subtree(const struct vma *area, uint64_t *largest_gap) {
    uint64_t left_gap = 0, right_gap = 0, gap;
    unsigned left, right;

    if (!area) {
        *largest_gap = 0;
        return 0;
    }
    CHECK(!area->left || (area->left->parent == area && area->left->end <= area->start));
    CHECK(!area->right || (area->right->parent == area && area->right->start >= area->end));
    left = check_subtree(area->left, &left_gap);
    right = check_subtree(area->right, &right_gap);
    CHECK(left <= right + 1 && right <= left + 1);
    CHECK(area->height == (left > right ? left : right) + 1);
    gap = area->start - (area->previous ? area->previous->end : USER_START);
    gap = gap > left_gap ? gap : left_gap;
    gap = gap > right_gap ? gap : right_gap;
    CHECK(area->largest_gap == gap);
    *largest_gap = gap;
    return area->height;
}

static void check_tree(const struct vm *vm) {
    uint64_t gap, areas = 0, pages = 0;
    vaddr_t last = 0;

    CHECK(!vm->root || !vm->root->parent);
    check_subtree(vm->root, &gap);
    for (const struct vma *area = vma_first(vm); area; area = area->next) {
        CHECK(area->start >= last && area->start < area->end);
        CHECK(!area->next || area->next->previous == area);
        last = area->end;
        areas++;
        pages += (area->end - area->start) / PAGE_SIZE;
    }
    CHECK(areas == vm->areas && pages == vm->mapped_pages);
}

static void check_model(const struct vm *vm) {
    for (unsigned page = 0; page < PAGES; page++) {
        vaddr_t address = page_address(page) + random_below(PAGE_SIZE);
        const struct vma *area = vma_find(vm, address);
        unsigned above = page;

        if (owner[page]) {
            CHECK(area && area->start <= address && address < area->end && (int)area->maker == owner[page]);
            CHECK(area->offset == area->start);
            continue;
        }
        while (above < PAGES && !owner[above])
            above++;
        CHECK(above == PAGES ? area == NULL : area && area->start == page_address(above));
    }
}

static void check_gap(const struct vm *vm) {
    unsigned wanted = 1 + random_below(20), top = 1 + random_below(PAGES), run = 0, best = 0;
    bool found = false;

    for (unsigned page = 0; page < top; page++) {
        run = owner[page] ? 0 : run + 1;
        if (run >= wanted) {
            found = true;
            best = page + 1 - wanted;
        }
    }
    CHECK(vma_find_gap(vm, wanted * PAGE_SIZE, page_address(top)) == (found ? page_address(best) : 0));
}

static void mark(unsigned first, unsigned count, int value) {
    for (unsigned page = first; page < first + count; page++)
        owner[page] = value;
}

static void random_insert(struct vm *vm, int id) {
    unsigned first = random_below(PAGES), count = 1 + random_below(6);
    struct vma *area;

    for (unsigned page = first; page < first + count; page++)
        if (page >= PAGES || owner[page])
            return;
    area = calloc(1, sizeof(*area));
    *area = (struct vma){.start = page_address(first),
                         .end = page_address(first + count),
                         .maker = (uint32_t)id,
                         .object = (void *)1,
                         .offset = page_address(first)};
    vma_insert(vm, area);
    mark(first, count, id);
}

static void random_change(struct vm *vm, int id) {
    unsigned page = random_below(PAGES), first, count, at;
    struct vma *area = vma_find(vm, page_address(page)), *upper;

    if (!area || !owner[page])
        return;
    first = (unsigned)((area->start - USER_START) / PAGE_SIZE);
    count = (unsigned)((area->end - area->start) / PAGE_SIZE);
    switch (random_below(4)) {
    case 0:
        vma_remove(vm, area);
        free(area);
        mark(first, count, 0);
        return;
    case 1: /* split, and give the upper part a name of its own */
        if (count < 2)
            return;
        at = 1 + random_below(count - 1);
        upper = malloc(sizeof(*upper));
        vma_split(vm, area, upper, page_address(first + at));
        CHECK(vma_joinable(area, upper));
        upper->maker = (uint32_t)id;
        CHECK(!vma_joinable(area, upper));
        mark(first + at, count - at, id);
        return;
    case 2: /* shrink from below */
        if (count < 2)
            return;
        area->offset += PAGE_SIZE;
        vma_set_bounds(vm, area, area->start + PAGE_SIZE, area->end);
        mark(first, 1, 0);
        return;
    default: /* grow upwards */
        if (first + count >= PAGES || owner[first + count])
            return;
        vma_set_bounds(vm, area, area->start, area->end + PAGE_SIZE);
        mark(first + count, 1, owner[first]);
    }
}

/* As LEBench does: one-page areas, each placed by the search, then every third taken away and the holes found again. */
static void many_areas(void) {
    static struct vma areas[MANY];
    struct vm vm = {0};

    for (unsigned i = 0; i < MANY; i++) {
        areas[i].start = vma_find_gap(&vm, PAGE_SIZE, USER_MMAP_TOP);
        CHECK(areas[i].start == USER_MMAP_TOP - (i + 1) * PAGE_SIZE);
        areas[i].end = areas[i].start + PAGE_SIZE;
        vma_insert(&vm, &areas[i]);
    }
    check_tree(&vm);
    CHECK(vm.root->height <= 24);
    for (unsigned i = 0; i < MANY; i += 3)
        vma_remove(&vm, &areas[i]);
    check_tree(&vm);
    for (unsigned i = 0; i < MANY; i += 3)
        CHECK(vma_find_gap(&vm, PAGE_SIZE, areas[i].start + PAGE_SIZE) == areas[i].start);
    CHECK(vma_find_gap(&vm, USER_END, USER_END) == 0);
}

int main(void) {
    struct vm vm = {0};

    for (int round = 1; round <= ROUNDS; round++) {
        /* Phases of growth and of decay, so that full and empty trees both occur. */
        if (random_below(10) < (round / 2000 % 2 ? 3u : 7u))
            random_insert(&vm, round);
        else
            random_change(&vm, round);
        check_gap(&vm);
        if (round % 16 == 0) {
            check_tree(&vm);
            check_model(&vm);
        }
    }
    while (vm.root) {
        struct vma *area = vm.root;

        vma_remove(&vm, area);
        free(area);
    }
    many_areas();
    printf("vma_test: %d random operations and %d areas: passed\n", ROUNDS, MANY);
    return 0;
}
