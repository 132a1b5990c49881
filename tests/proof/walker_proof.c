/*
 * The page-table walker (mm/paging.c as it is), over every state that six pages at the corners of the user half can
 * reach, with memory running out at each allocation: it finds what was mapped and nothing else, touches no table
 * through the window that is not there, makes each table once and hangs it into all three roots, frees each once,
 * empty, with its translation gathered and no entry left that leads to it. The same for the builder of another
 * process's tables.
 */
#include "tests/proof/proof.h"

#include <asm/prctl.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "mm/paging.c"

/* Frames: three roots, then tables; pages have numbers that are no tables. */
enum { ROOTS = 3, TABLE_FRAMES = 24, PAGES = 6, DATA_FRAME = 1000, OWNER = 5, CHILD = 6 };
enum { USER, BUILDER };

static const vaddr_t pages[PAGES] = {
    USER_START,                  /* the first page */
    PAGE_TABLE_SPAN - PAGE_SIZE, /* the last of the same table */
    PAGE_TABLE_SPAN,             /* the next table's first */
    PAGE_DIRECTORY_SPAN,         /* the next directory's first */
    2 * PDPT_SPAN - PAGE_SIZE,   /* the next slot's last */
    USER_END - PAGE_SIZE,        /* the last page of all */
};
/* Where ranges begin and end. */
static const vaddr_t bounds[] = {
    0,
    USER_START,
    USER_START + PAGE_SIZE,
    PAGE_TABLE_SPAN,
    PAGE_TABLE_SPAN + PAGE_SIZE,
    2 * PAGE_TABLE_SPAN,
    PAGE_DIRECTORY_SPAN,
    PAGE_DIRECTORY_SPAN + PAGE_TABLE_SPAN,
    PDPT_SPAN,
    2 * PDPT_SPAN - PAGE_TABLE_SPAN,
    2 * PDPT_SPAN,
    USER_END - PAGE_TABLE_SPAN + PAGE_SIZE,
    USER_END,
};
#define BOUNDS (sizeof bounds / sizeof bounds[0])

static struct cpu cpu; /* reached as this_cpu alone: the compiler takes the two for different objects */
static struct thread thread;
static struct user_space space;
static struct process process;
static bool used[TABLE_FRAMES]; /* by number - 1 */
static unsigned fail_after;     /* this allocation fails; 0: none */
static bool failed_once;
static unsigned views;
static bool window_flushed[TABLE_FRAMES];
static bool freeing[TABLE_FRAMES]; /* gathered, not flushed */
static unsigned which;             /* USER: the loaded process; BUILDER: another's tables */

/* --- What the walker needs of the machine ------------------------------------------------------------------------- */

unsigned cpus_found = 1;

static pte_t *table_of(frame_t frame) {
    CHECK(frame.number >= 1 && frame.number <= TABLE_FRAMES && used[frame.number - 1]);
    return physmap(frame);
}

/* The window: what the MMU reaches by the recursive entry; a table that is absent would be a fault. */
static pte_t *window(vaddr_t address, unsigned level) {
    pte_t *table = table_of(process.roots.restricted);
    CHECK(which == USER && address < USER_END);
    for (unsigned above = 4; above > level; above--) {
        pte_t entry = table[table_index(address, above)];
        CHECK(pte_present(entry));
        table = table_of(pte_frame(entry));
    }
    return &table[table_index(address, level)];
}
pte_t *window_pte(vaddr_t address) { return window(address, 1); }
pte_t *window_pde(vaddr_t address) { return window(address, 2); }
pte_t *window_pdpte(vaddr_t address) { return window(address, 3); }
pte_t *window_pml4e(vaddr_t address) { return window(address, 4); }
void tlb_forget(vaddr_t address) { (void)address; }
void tlb_flush_all(void) {}
void tlb_flush(struct process *of, const vaddr_t *page, unsigned count) { (void)of, (void)page, (void)count; }

enum status frame_alloc(enum frame_class class, uint32_t owner, frame_t *out) {
    CHECK(class == FRAME_LOCAL && owner == (which == USER ? OWNER : CHILD)); /* REACH */
    if (fail_after != 0 && --fail_after == 0) {
        failed_once = true;
        return ERR_NO_MEMORY;
    }
    for (unsigned i = 0; i < TABLE_FRAMES; i++) {
        if (used[i] || freeing[i])
            continue;
        used[i] = true;
        *out = (frame_t){i + 1};
        memset(physmap(*out), 0, PAGE_SIZE);
        return OK;
    }
    CHECK(!"more tables than the pages can need");
}

void *ephmap_scratch(frame_t frame) {
    views++;
    return table_of(frame);
}
void ephmap_scratch_put(void *view) { CHECK(view != NULL && views-- > 0); }
bool memory_is_zero(const void *memory, size_t bytes) {
    const uint64_t *word = memory;
    for (size_t i = 0; i < bytes / sizeof *word; i++)
        if (word[i] != 0)
            return false;
    return true;
}

void gather_page(struct gather *gather, vaddr_t address) {
    (void)gather;
    frame_t table = frame_of(address - PHYSMAP_BASE);
    CHECK(page_offset(address) == 0);
    table_of(table);
    window_flushed[table.number - 1] = true;
}

/* Whether an entry of a table in use leads to the frame. */
static bool is_linked(frame_t frame) {
    for (unsigned i = 0; i < TABLE_FRAMES; i++) {
        const pte_t *table = physmap((frame_t){i + 1});
        for (unsigned j = 0; used[i] && j < TABLE_ENTRIES; j++)
            if (pte_present(table[j]) && frame_equal(pte_frame(table[j]), frame))
                return true;
    }
    return false;
}

void gather_clean_frame(struct gather *gather, frame_t frame) {
    (void)gather;
    CHECK(frame.number > ROOTS && memory_is_zero(table_of(frame), PAGE_SIZE)); /* once, and CLEAN */
    CHECK(!is_linked(frame));
    CHECK(which == BUILDER || window_flushed[frame.number - 1]); /* REVOKE: of the table in the window */
    used[frame.number - 1] = false;
    freeing[frame.number - 1] = true;
}
void gather_scrub(struct gather *gather, frame_t frame) { (void)gather, (void)frame; }
void gather_flush(struct gather *gather) { (void)gather; }

/* --- The tree, by a walk of its own ------------------------------------------------------------------------------- */

/* Which pages are mapped, and which of the tables over them are there. Bits by page: several stand for one table. */
struct tree {
    unsigned char mapped, table[5]; /* table[2]: page tables, [3]: directories, [4]: PDPTs */
};

static uint64_t span_of(unsigned level) { return PAGE_SIZE << (9 * (level - 1)); } /* of an entry */

static unsigned sharing(unsigned page, unsigned level) {
    unsigned bits = 0;
    for (unsigned i = 0; i < PAGES; i++)
        if (pages[i] / span_of(level) == pages[page] / span_of(level))
            bits |= 1U << i;
    return bits;
}

static bool seen[TABLE_FRAMES];

/* `base`: what the table maps from. Every entry must lead to one of the pages, or to a table that no other leads to. */
static void read_table(frame_t frame, unsigned level, vaddr_t base, struct tree *tree) {
    const pte_t *table = table_of(frame);
    CHECK(!seen[frame.number - 1]);
    seen[frame.number - 1] = true;
    for (unsigned i = 0; i < (level == 4 ? USER_SLOTS : TABLE_ENTRIES); i++) {
        vaddr_t address = base + i * span_of(level);
        unsigned page = 0;
        if (table[i] == 0)
            continue;
        while (page < PAGES && pages[page] / span_of(level) != address / span_of(level))
            page++;
        CHECK(page < PAGES);
        if (level == 1) {
            CHECK(table[i] == (frame_address((frame_t){DATA_FRAME + page}) | PTE_PRESENT | PTE_USER));
            tree->mapped |= (unsigned char)(1U << page);
        } else {
            CHECK(table[i] == pte_table(pte_frame(table[i]), true));
            tree->table[level] |= (unsigned char)sharing(page, level);
            read_table(pte_frame(table[i]), level - 1, address, tree);
        }
    }
}

static struct tree read_tree(void) {
    struct tree tree = {0};
    memset(seen, 0, sizeof seen);
    read_table(process.roots.restricted, 4, 0, &tree);
    for (unsigned i = ROOTS; i < TABLE_FRAMES; i++)
        CHECK(used[i] == seen[i]); /* no table is lost */
    const pte_t *restricted = table_of(process.roots.restricted);
    CHECK(memcmp(restricted, table_of(process.roots.unrestricted), USER_SLOTS * sizeof(pte_t)) == 0);
    CHECK(memcmp(restricted, table_of(process.roots.user), USER_SLOTS * sizeof(pte_t)) == 0);
    CHECK(views == 0);
    return tree;
}

static void make_table(pte_t *entry) {
    unsigned i = ROOTS;
    if (*entry != 0)
        return;
    while (used[i])
        i++;
    used[i] = true;
    memset(physmap((frame_t){i + 1}), 0, PAGE_SIZE);
    *entry = pte_table((frame_t){i + 1}, true);
}

static void write_tree(const struct tree *tree) {
    memset(used, 0, sizeof used);
    memset(freeing, 0, sizeof freeing);
    memset(window_flushed, 0, sizeof window_flushed);
    for (unsigned i = 0; i < ROOTS; i++) {
        used[i] = true;
        memset(physmap((frame_t){i + 1}), 0, USER_SLOTS * sizeof(pte_t));
    }
    for (unsigned page = 0; page < PAGES; page++) {
        pte_t *table = physmap(process.roots.restricted);
        for (unsigned level = 4; level > 1 && tree->table[level] >> page & 1; level--) {
            pte_t *entry = &table[table_index(pages[page], level)];
            make_table(entry);
            table = physmap(pte_frame(*entry));
            if (level == 2 && tree->mapped >> page & 1)
                table[table_index(pages[page], 1)] =
                    frame_address((frame_t){DATA_FRAME + page}) | PTE_PRESENT | PTE_USER;
        }
    }
    for (unsigned i = 1; i < ROOTS; i++)
        memcpy(physmap((frame_t){i + 1}), physmap(process.roots.restricted), USER_SLOTS * sizeof(pte_t));
    views = 0;
    fail_after = 0;
    failed_once = false;
}

/* --- States and operations ---------------------------------------------------------------------------------------- */

static void add_tree(const struct tree *tree) {
    struct state state = {{(unsigned char)which}};
    memcpy(&state.byte[1], tree, sizeof *tree);
    search_add(&state);
}

static struct tree set_state(const struct state *state) {
    struct tree tree;
    memcpy(&tree, &state->byte[1], sizeof tree);
    write_tree(&tree);
    return tree;
}

/* Tables on the way to the page that are there afterwards: all, or as many more as there was memory for. */
static void check_made(const struct tree *before, const struct tree *after, unsigned page, bool all) {
    bool gap = false;
    CHECK(after->mapped == before->mapped);
    for (unsigned level = 4; level > 1; level--) {
        unsigned added = sharing(page, level);
        bool there = after->table[level] >> page & 1;
        CHECK((after->table[level] & ~added) == (before->table[level] & ~added));
        CHECK(there || !(before->table[level] >> page & 1));
        CHECK(!all || there);
        CHECK(!gap || !there);
        gap = !there;
    }
}

/* Makes the way to a page, with memory that ends at each allocation, then maps it. */
static void try_map(const struct state *state, unsigned page) {
    proof_operation = "making tables";
    for (unsigned fail = 0; fail <= 4; fail++) {
        struct tree before = set_state(state);
        struct table_builder builder;
        pte_t *pte = NULL;
        fail_after = fail;
        enum status status;
        if (which == USER) {
            status = user_pte_create(pages[page], &pte);
        } else {
            builder_begin(&builder, &process);
            status = builder_pte(&builder, pages[page], &pte);
        }
        CHECK(status == (failed_once ? ERR_NO_MEMORY : OK));
        if (which == BUILDER)
            builder_end(&builder);
        struct tree after = read_tree();
        check_made(&before, &after, page, status == OK);
        if (status == OK) {
            *pte = frame_address((frame_t){DATA_FRAME + page}) | PTE_PRESENT | PTE_USER;
            after = read_tree();
            CHECK(after.mapped == (before.mapped | 1U << page));
        }
        add_tree(&after);
    }
}

static void try_unmap(const struct state *state, unsigned page) {
    proof_operation = "unmapping";
    struct tree before = set_state(state);
    struct table_builder builder;
    pte_t *pte = NULL;
    builder_begin(&builder, &process);
    if (which == USER)
        pte = user_pte(pages[page]);
    else if (!builder_pte_if_present(&builder, pages[page], &pte))
        pte = NULL;
    CHECK((pte != NULL) == (before.table[2] >> page & 1));
    CHECK(pte == NULL || pte_present(*pte) == (before.mapped >> page & 1));
    if (pte != NULL)
        *pte = 0;
    builder_end(&builder);
    struct tree after = read_tree();
    CHECK(after.mapped == (before.mapped & ~(1U << page)));
    CHECK(memcmp(after.table, before.table, sizeof after.table) == 0);
    add_tree(&after);
}

/* The next page table in the range, by looking at all. */
static vaddr_t next_table_by_hand(const struct tree *tree, vaddr_t start, vaddr_t end) {
    vaddr_t next = end;
    for (unsigned page = 0; page < PAGES; page++) {
        vaddr_t base = pages[page] & ~(PAGE_TABLE_SPAN - 1);
        vaddr_t from = base > start ? base : start;
        if ((tree->table[2] >> page & 1) && from < base + PAGE_TABLE_SPAN && from < next)
            next = from;
    }
    return next;
}

/* Frees the tables of a range, if what they map is unmapped as the caller of user_free_tables() has to see to. */
static void try_range(const struct state *state, vaddr_t start, vaddr_t end) {
    struct tree before = set_state(state);
    struct gather gather;
    unsigned inside = 0; /* pages whose table lies in the range */
    proof_operation = "looking for tables";
    CHECK(user_next_table(start, end) == next_table_by_hand(&before, start, end));
    for (unsigned page = 0; page < PAGES; page++) {
        vaddr_t base = pages[page] & ~(PAGE_TABLE_SPAN - 1);
        if (base >= start && base + PAGE_TABLE_SPAN <= end)
            inside |= 1U << page;
    }
    if (before.mapped & inside)
        return;
    proof_operation = "freeing tables";
    user_free_tables(&gather, start, end);
    struct tree after = read_tree();
    CHECK(after.mapped == before.mapped);
    CHECK(after.table[2] == (before.table[2] & ~inside));
    for (unsigned level = 3; level <= 4; level++)
        for (unsigned page = 0; page < PAGES; page++) {
            bool was = before.table[level] >> page & 1, is = after.table[level] >> page & 1;
            bool emptied = (before.table[level - 1] & sharing(page, level)) != 0 &&
                           (after.table[level - 1] & sharing(page, level)) == 0;
            CHECK(was || !is);
            CHECK(!(after.table[level - 1] & sharing(page, level)) || is == was); /* in use: it stays */
            CHECK(!emptied || !is);                                               /* else it goes */
        }
    add_tree(&after);
}

/* The end of a user half: nothing may remain. */
static void try_end(const struct state *state) {
    struct tree before = set_state(state);
    struct gather gather;
    proof_operation = "freeing all tables";
    if (before.mapped != 0)
        return;
    user_free_tables(&gather, 0, page_ceil(USER_END + PAGE_SIZE));
    struct tree after = read_tree();
    CHECK(after.table[2] == 0 && after.table[3] == 0 && after.table[4] == 0);
}

static void try_builder_free(const struct state *state, unsigned page) {
    struct tree before = set_state(state);
    struct table_builder builder;
    struct gather gather;
    proof_operation = "freeing a table of another process";
    if (before.mapped & sharing(page, 2))
        return;
    builder_begin(&builder, &process);
    builder_free_table(&builder, &gather, pages[page]);
    builder_end(&builder);
    struct tree after = read_tree();
    CHECK(after.mapped == before.mapped && after.table[2] == (before.table[2] & ~sharing(page, 2)));
    CHECK(after.table[3] == before.table[3] && after.table[4] == before.table[4]);
    add_tree(&after);
}

/* Two pages by one builder, which keeps the view of the first one's table: each must land in its own. */
static void try_builder_pair(const struct state *state, unsigned first, unsigned second) {
    struct tree before = set_state(state);
    struct table_builder builder;
    const unsigned order[] = {first, second, first};
    proof_operation = "building two";
    builder_begin(&builder, &process);
    for (unsigned i = 0; i < 3; i++) {
        pte_t *pte;
        CHECK(builder_pte(&builder, pages[order[i]], &pte) == OK);
        *pte = frame_address((frame_t){DATA_FRAME + order[i]}) | PTE_PRESENT | PTE_USER;
    }
    builder_end(&builder);
    CHECK(read_tree().mapped == (before.mapped | 1U << first | 1U << second));
}

static void expand(const struct state *state) {
    which = state->byte[0];
    for (unsigned page = 0; page < PAGES; page++) {
        try_map(state, page);
        try_unmap(state, page);
        for (unsigned second = 0; which == BUILDER && second < PAGES; second++)
            try_builder_pair(state, page, second);
        if (which == BUILDER)
            try_builder_free(state, page);
    }
    for (unsigned from = 0; which == USER && from < BOUNDS; from++)
        for (unsigned to = from + 1; to < BOUNDS; to++)
            try_range(state, bounds[from], bounds[to]);
    if (which == USER)
        try_end(state);
}

int main(void) {
    const struct tree empty = {0};
    map_memory(PHYSMAP_BASE, (TABLE_FRAMES + 1) * PAGE_SIZE);
    CHECK(syscall(SYS_arch_prctl, ARCH_SET_GS, &cpu) == 0);
    this_cpu->self = &cpu;
    this_cpu->current = &thread;
    thread.process = &process;
    process.id = CHILD; /* with a user half that it has been lent */
    process.user_space = &space;
    space.owner = OWNER;
    process.roots.restricted = (frame_t){1};
    process.roots.unrestricted = (frame_t){2};
    process.roots.user = (frame_t){3};
    for (which = USER; which <= BUILDER; which++)
        add_tree(&empty);
    size_t states = search_run(expand);
    printf("page-table walker: %zu states of %d pages, each operation and range in each\n", states, PAGES);
    return 0;
}
