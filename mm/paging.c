/*
 * Owns: the shape of an address space: three roots and the kernel-half tables of each process, the user half's tables.
 *
 * Invariants: REACH (what a restricted root shares, it shares by the tables listed in `shared`), CLEAN (a table goes
 * back scrubbed or emptied).
 * Locks: the caller's: a process's user_space->lock for its user half; roots are made before and freed after a process
 * lives.
 * Space: restricted. The loaded tables are edited through the window; another process's through scratch views: page
 * tables hold frame numbers and rights, which are metadata, so a view of a child's tables shows nothing secret.
 */
#include "mm/paging.h"

#include "asi/asi.h"
#include "kernel/assert.h"
#include "kernel/process.h"
#include "kernel/string.h"
#include "mm/ephmap.h"
#include "mm/gather.h"
#include "mm/roots.h"
#include "mm/tag_check.h"
#include "mm/tlb.h"

struct shared_tables shared_tables;

/* Positions in roots.tables of what roots_create makes. */
enum {
    EPHMAP_PDPT,
    EPHMAP_PD,
    EPHMAP_PT,
    LOCAL_PDPT,
    LOCAL_PD,
    LOCAL_PT,
    STACK_PDPT,
    STACK_PD,
    STACK_PT,
    OTHER_STACK_PDPT,
    OTHER_STACK_PD,
    OTHER_STACK_PT,
    ROOT_TABLES,
};
/* Behind these the scratch slots of further CPUs: EPHMAP_PT is of the first ones. Then what threads' stacks need. */
#define CPUS_PER_TABLE     (TABLE_ENTRIES / EPHMAP_SCRATCH_SLOTS)
#define SCRATCH_TABLES_MAX (CPU_MAX / CPUS_PER_TABLE)
#define STACK_TABLES_MAX   (PROCESS_THREADS_MAX * STACK_STRIDE / PAGE_TABLE_SPAN)
_Static_assert(ROOT_TABLES + SCRATCH_TABLES_MAX - 1 + 2 * (STACK_TABLES_MAX - 1) <=
                   sizeof(((struct roots *)0)->tables) / sizeof(frame_t),
               "roots.tables is too small");

/* How many tables a new process needs for the scratch slots of CPUs beyond those of EPHMAP_PT. */
static unsigned further_scratch_tables(void) { return (cpus_found - 1) / CPUS_PER_TABLE; }

static void put_entry(frame_t table, unsigned index, pte_t entry) {
    pte_t *view = ephmap_scratch(table);
    view[index] = entry;
    ephmap_scratch_put(view);
}

static pte_t get_entry(frame_t table, unsigned index) {
    pte_t *view = ephmap_scratch(table);
    pte_t entry = view[index];
    ephmap_scratch_put(view);
    return entry;
}

static void link_table(frame_t upper, unsigned index, frame_t lower) {
    put_entry(upper, index, pte_table(lower, false));
}

static void link_kernel_half(const struct roots *roots, frame_t root, frame_t stack_pdpt) {
    pte_t *view = ephmap_scratch(root);
    view[SLOT_EPHMAP] = pte_table(roots->tables[EPHMAP_PDPT], false);
    view[SLOT_LOCAL] = pte_table(roots->tables[LOCAL_PDPT], false);
    view[SLOT_STACK] = pte_table(stack_pdpt, false);
    view[SLOT_PTWINDOW] = pte_table(roots->restricted, false) | PTE_NO_EXECUTE;
    view[SLOT_GLOBAL] = pte_table(shared_tables.global_pdpt, false);
    view[SLOT_IMAGE] = pte_table(shared_tables.image_pdpt, false);
    ephmap_scratch_put(view);
}

static void link_unrestricted(const struct roots *roots) {
    link_kernel_half(roots, roots->unrestricted, roots->tables[OTHER_STACK_PDPT]);
    pte_t *view = ephmap_scratch(roots->unrestricted);
    for (unsigned i = 0; i < shared_tables.physmap_slots; i++)
        view[SLOT_PHYSMAP + i] = pte_table(shared_tables.physmap_pdpt[i], false);
    ephmap_scratch_put(view);
}

/* Mode classic's user root: the entry code and what it touches. */
static void link_user(const struct roots *roots) {
    pte_t *view = ephmap_scratch(roots->user);
    view[SLOT_STACK] = pte_table(shared_tables.split_stack_pdpt, false);
    view[SLOT_IMAGE] = pte_table(shared_tables.split_image_pdpt, false);
    ephmap_scratch_put(view);
}

static void link_regions(const struct roots *roots) {
    const frame_t *tables = roots->tables;
    for (unsigned gib = 0; gib < shared_tables.window_gibs; gib++)
        put_entry(tables[EPHMAP_PDPT], gib, pte_empty_table(shared_tables.empty_window_pd));
    link_table(tables[EPHMAP_PDPT], table_index(EPHMAP_SCRATCH_BASE, 3), tables[EPHMAP_PD]);
    link_table(tables[EPHMAP_PD], table_index(EPHMAP_SCRATCH_BASE, 2), tables[EPHMAP_PT]);
    for (unsigned i = 0; i < further_scratch_tables(); i++)
        link_table(tables[EPHMAP_PD], table_index(EPHMAP_SCRATCH_BASE, 2) + 1 + i, tables[ROOT_TABLES + i]);
    link_table(tables[LOCAL_PDPT], 0, tables[LOCAL_PD]);
    link_table(tables[LOCAL_PD], 0, tables[LOCAL_PT]);
    link_table(tables[STACK_PDPT], 0, tables[STACK_PD]);
    link_table(tables[STACK_PD], 0, tables[STACK_PT]);
    link_table(tables[STACK_PDPT], table_index(CPU_STACK_BASE, 3), shared_tables.cpu_stacks_pd[SPACE_RESTRICTED]);
    link_table(tables[OTHER_STACK_PDPT], 0, tables[OTHER_STACK_PD]);
    link_table(tables[OTHER_STACK_PD], 0, tables[OTHER_STACK_PT]);
    link_table(tables[OTHER_STACK_PDPT], table_index(CPU_STACK_BASE, 3),
               shared_tables.cpu_stacks_pd[SPACE_UNRESTRICTED]);
    link_table(tables[OTHER_STACK_PDPT], STACK_ALIAS_OFFSET / PAGE_DIRECTORY_SPAN, tables[STACK_PD]);
}

static enum status alloc_tables(struct roots *roots, uint32_t owner) {
    frame_t *const pml4s[] = {&roots->restricted, &roots->unrestricted, &roots->user};
    for (unsigned i = 0; i < 3; i++) {
        enum status status = frame_alloc(FRAME_LOCAL, owner, pml4s[i]);
        if (status != OK)
            return status;
    }
    for (; roots->table_count < ROOT_TABLES + further_scratch_tables(); roots->table_count++) {
        enum status status = frame_alloc(FRAME_LOCAL, owner, &roots->tables[roots->table_count]);
        if (status != OK)
            return status;
    }
    return OK;
}

enum status roots_create(struct roots *roots, uint32_t owner) {
    static uint64_t spaces;
    *roots = (struct roots){.serial = __atomic_add_fetch(&spaces, 1, __ATOMIC_RELAXED), .generation = 1};
    asi_expect(ASI_CAUSE_FORK);
    enum status status = alloc_tables(roots, owner);
    if (status != OK) {
        roots_destroy(roots);
        return status;
    }
    link_kernel_half(roots, roots->restricted, roots->tables[STACK_PDPT]);
    link_unrestricted(roots);
    link_user(roots);
    link_regions(roots);
    return OK;
}

void roots_destroy(struct roots *roots) {
    struct gather gather;
    asi_expect(ASI_CAUSE_DEATH);
    gather_begin(&gather);
    frame_t pml4s[] = {roots->restricted, roots->unrestricted, roots->user};
    for (unsigned i = 0; i < 3; i++)
        if (!frame_is_none(pml4s[i]))
            gather_scrub(&gather, pml4s[i]);
    for (unsigned i = 0; i < roots->table_count; i++)
        gather_scrub(&gather, roots->tables[i]);
    gather_flush(&gather);
    *roots = (struct roots){0};
}

enum status roots_ensure_stack_tables(struct roots *roots, uint32_t owner, uint64_t slot) {
    unsigned directory_index = table_index(stack_bottom(slot), 2);
    const frame_t directories[2] = {roots->tables[STACK_PD], roots->tables[OTHER_STACK_PD]};
    for (unsigned i = 0; i < 2; i++) {
        if (pte_present(get_entry(directories[i], directory_index)))
            continue;
        frame_t table;
        enum status status = frame_alloc(FRAME_LOCAL, owner, &table);
        if (status != OK)
            return status;
        ensure(roots->table_count < sizeof roots->tables / sizeof roots->tables[0]);
        roots->tables[roots->table_count++] = table;
        link_table(directories[i], directory_index, table);
    }
    return OK;
}

void roots_set_stack(const struct roots *roots, enum space space, uint64_t slot, const frame_t frames[STACK_PAGES]) {
    vaddr_t base = stack_bottom(slot);
    frame_t directory = roots->tables[space == SPACE_RESTRICTED ? STACK_PD : OTHER_STACK_PD];
    pte_t *view = ephmap_scratch(pte_frame(get_entry(directory, table_index(base, 2))));
    for (unsigned i = 0; i < STACK_PAGES; i++)
        view[table_index(base + i * PAGE_SIZE, 1)] = pte_kernel_data(frames[i], false);
    ephmap_scratch_put(view);
}

/* --- The loaded user half ----------------------------------------------------------------------------------------- */

pte_t *user_pte(vaddr_t address) {
    if (!pte_present(*window_pml4e(address)) || !pte_present(*window_pdpte(address)) ||
        !pte_present(*window_pde(address)))
        return NULL;
    return window_pte(address);
}

/*
 * It is the table of the user half's owner: what a vfork child makes here stays behind when the child has gone
 * (REACH).
 */
static enum status ensure_table(pte_t *entry) {
    if (pte_present(*entry))
        return OK;
    frame_t table;
    enum status status = frame_alloc(FRAME_LOCAL, process_current()->user_space->owner, &table);
    if (status == OK)
        *entry = pte_table(table, true);
    return status;
}

static bool user_half_is_shared(const struct process *process) {
    return __atomic_load_n(&process->user_space->refs, __ATOMIC_RELAXED) > 1;
}

/* Whose user half it is; the others are vfork children of his, for whom he waits. */
static const struct process *user_half_keeper(void) {
    const struct process *process = process_current();
    while (user_half_is_shared(process) && process->parent != NULL &&
           process->parent->user_space == process->user_space)
        process = process->parent;
    return process;
}

static void set_slot_in_other_roots(const struct roots *roots, unsigned slot, pte_t entry) {
    asi_expect(ASI_CAUSE_TABLE);
    put_entry(roots->unrestricted, slot, entry);
    put_entry(roots->user, slot, entry);
}

/*
 * A slot of the user half is filled once in a process's life, or twice: the two other roots follow. Whoever shares a
 * user half has slots of the keeper's: he may have filled one, in another thread, since the share began.
 */
static enum status ensure_slot(vaddr_t address) {
    pte_t *entry = window_pml4e(address);
    if (pte_present(*entry))
        return OK;
    const struct process *self = process_current(), *keeper = user_half_keeper();
    unsigned slot = table_index(address, 4);
    pte_t kept = keeper != self ? get_entry(keeper->roots.restricted, slot) : 0;
    enum status status = OK;
    if (pte_present(kept))
        *entry = kept;
    else
        status = ensure_table(entry);
    if (status != OK)
        return status;
    set_slot_in_other_roots(&self->roots, slot, *entry);
    if (keeper != self && !pte_present(kept)) {
        put_entry(keeper->roots.restricted, slot, *entry);
        set_slot_in_other_roots(&keeper->roots, slot, *entry);
    }
    return OK;
}

enum status user_pte_create(vaddr_t address, pte_t **out) {
    enum status status = ensure_slot(address);
    if (status == OK)
        status = ensure_table(window_pdpte(address));
    if (status == OK)
        status = ensure_table(window_pde(address));
    if (status == OK)
        *out = window_pte(address);
    return status;
}

/*
 * The next address ≥ `address` and < end whose entry at the level with this span is present; `entry` is the window's
 * entry of `address`. Entries of one table follow each other in the window, so absent ones are passed by a step of the
 * pointer.
 */
static vaddr_t next_present(const pte_t *entry, vaddr_t address, vaddr_t end, uint64_t span) {
    while (address < end && !pte_present(*entry)) {
        address = (address & ~(span - 1)) + span;
        entry++;
    }
    return address < end ? address : end;
}

/* Where the table that has the entries of this span for `address` ends, or `end`. */
static vaddr_t table_end(vaddr_t address, vaddr_t end, uint64_t span) {
    vaddr_t limit = (address & ~(span * TABLE_ENTRIES - 1)) + span * TABLE_ENTRIES;
    return limit < end ? limit : end;
}

/* The next address whose page directory is present, or `end`. */
static vaddr_t next_directory(vaddr_t address, vaddr_t end) {
    while (address < end) {
        address = next_present(window_pml4e(address), address, end, PDPT_SPAN);
        if (address == end)
            break;
        vaddr_t limit = table_end(address, end, PAGE_DIRECTORY_SPAN);
        address = next_present(window_pdpte(address), address, limit, PAGE_DIRECTORY_SPAN);
        if (address < limit)
            return address;
    }
    return end;
}

vaddr_t user_next_table(vaddr_t address, vaddr_t end) {
    while (address < end) {
        address = next_directory(address, end);
        if (address == end)
            break;
        vaddr_t limit = table_end(address, end, PAGE_TABLE_SPAN);
        address = next_present(window_pde(address), address, limit, PAGE_TABLE_SPAN);
        if (address < limit)
            return address;
    }
    return end;
}

static bool table_is_empty(const pte_t *entries) { return memory_is_zero(entries, PAGE_SIZE); }

/* Frees the table that `entry` leads to, whose entries are at `entries` in the window. */
static void free_table(struct gather *gather, pte_t *entry, pte_t *entries) {
    frame_t table = pte_frame(*entry);
    *entry = 0;
    tag_check_weakened(process_current(), (vaddr_t)entries);
    gather_page(gather, (vaddr_t)entries); /* the window's own translation of the table */
    gather_clean_frame(gather, table);
}

static void free_slot(struct gather *gather, vaddr_t address) {
    const struct roots *roots = &process_current()->roots;
    pte_t *entries = window_pdpte(address & ~(PDPT_SPAN - 1));
    /* While it is shared, others' roots lead to it: it stays, until the user half goes at the latest. */
    if (!table_is_empty(entries) || user_half_is_shared(process_current()))
        return;
    set_slot_in_other_roots(roots, table_index(address, 4), 0);
    free_table(gather, window_pml4e(address), entries);
}

void user_free_tables(struct gather *gather, vaddr_t start, vaddr_t end) {
    vaddr_t first = (start + PAGE_TABLE_SPAN - 1) & ~(PAGE_TABLE_SPAN - 1);
    vaddr_t last = end & ~(PAGE_TABLE_SPAN - 1);
    bool any = false;
    for (vaddr_t address = user_next_table(first, last); address < last;
         address = user_next_table(address + PAGE_TABLE_SPAN, last)) {
        free_table(gather, window_pde(address), window_pte(address));
        any = true;
    }
    if (!any && end - start < PAGE_DIRECTORY_SPAN) /* the usual small munmap: nothing above can have become empty */
        return;
    first = start & ~(PAGE_DIRECTORY_SPAN - 1);
    for (vaddr_t address = next_directory(first, end); address < end;
         address = next_directory(address + PAGE_DIRECTORY_SPAN, end)) {
        pte_t *entries = window_pde(address & ~(PAGE_DIRECTORY_SPAN - 1));
        if (table_is_empty(entries))
            free_table(gather, window_pdpte(address), entries);
    }
    for (vaddr_t address = start & ~(PDPT_SPAN - 1); address < end; address += PDPT_SPAN)
        if (pte_present(*window_pml4e(address)))
            free_slot(gather, address);
}

/* --- Another process's user half ---------------------------------------------------------------------------------- */

void builder_begin(struct table_builder *builder, struct process *child) {
    builder->process = child;
    builder->base = 1;
    builder->view = NULL;
}

void builder_end(struct table_builder *builder) {
    if (builder->view != NULL)
        ephmap_scratch_put(builder->view);
    builder->view = NULL;
    builder->base = 1;
}

/* The table one level below `upper` for `address`, made if absent. */
static enum status child_table(struct process *child, frame_t upper, unsigned level, vaddr_t address, frame_t *lower) {
    unsigned index = table_index(address, level);
    const bool user = address < USER_END;
    pte_t entry = get_entry(upper, index);
    if (!pte_present(entry)) {
        frame_t table;
        enum status status = frame_alloc(FRAME_LOCAL, child->id, &table);
        if (status != OK)
            return status;
        entry = pte_table(table, user);
        put_entry(upper, index, entry);
        if (level == 4) {
            put_entry(child->roots.unrestricted, index, entry);
            put_entry(child->roots.user, index, entry);
        }
    }
    *lower = pte_frame(entry);
    return OK;
}

enum status builder_pte(struct table_builder *builder, vaddr_t address, pte_t **out) {
    vaddr_t base = address & ~(PAGE_TABLE_SPAN - 1);
    if (builder->base != base) {
        builder_end(builder);
        asi_expect(ASI_CAUSE_FORK);
        frame_t table = builder->process->roots.restricted;
        for (unsigned level = 4; level > 1; level--) {
            enum status status = child_table(builder->process, table, level, address, &table);
            if (status != OK)
                return status;
        }
        builder->view = ephmap_scratch(table);
        builder->base = base;
    }
    *out = &builder->view[table_index(address, 1)];
    return OK;
}

bool builder_pte_if_present(struct table_builder *builder, vaddr_t address, pte_t **out) {
    vaddr_t base = address & ~(PAGE_TABLE_SPAN - 1);
    if (builder->base != base) {
        builder_end(builder);
        frame_t table = builder->process->roots.restricted;
        for (unsigned level = 4; level > 1; level--) {
            pte_t entry = get_entry(table, table_index(address, level));
            if (!pte_present(entry))
                return false;
            table = pte_frame(entry);
        }
        builder->view = ephmap_scratch(table);
        builder->base = base;
    }
    *out = &builder->view[table_index(address, 1)];
    return true;
}

void builder_free_table(struct table_builder *builder, struct gather *gather, vaddr_t address) {
    frame_t upper = builder->process->roots.restricted;
    builder_end(builder);
    for (unsigned level = 4; level > 2; level--) {
        pte_t entry = get_entry(upper, table_index(address, level));
        if (!pte_present(entry))
            return;
        upper = pte_frame(entry);
    }
    pte_t entry = get_entry(upper, table_index(address, 2));
    if (!pte_present(entry))
        return;
    put_entry(upper, table_index(address, 2), 0);
    gather_clean_frame(gather, pte_frame(entry));
}

/* --- vfork: the child uses the parent's user half ----------------------------------------------------------------- */

void roots_share_user_half(const struct roots *from, const struct roots *to) {
    frame_t child[] = {to->restricted, to->unrestricted, to->user};
    asi_expect(ASI_CAUSE_FORK);
    pte_t *parent_view = ephmap_scratch(from->restricted);
    for (unsigned i = 0; i < 3; i++) {
        pte_t *view = ephmap_scratch(child[i]);
        memcpy(view, parent_view, USER_SLOTS * sizeof(pte_t));
        ephmap_scratch_put(view);
    }
    ephmap_scratch_put(parent_view);
}

void roots_unshare_user_half(const struct roots *roots) {
    const frame_t child[] = {roots->restricted, roots->unrestricted, roots->user};
    asi_expect(ASI_CAUSE_EXEC);
    for (unsigned i = 0; i < 3; i++) {
        pte_t *view = ephmap_scratch(child[i]);
        memset(view, 0, USER_SLOTS * sizeof(pte_t));
        ephmap_scratch_put(view);
    }
    tlb_flush(process_current(), NULL, TLB_EVERYTHING);
}
