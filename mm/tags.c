/*
 * Owns: each CPU's table of the processes that ran on it last, with a PCID for each of their roots.
 *
 * Invariant: REVOKE – a load keeps the translations of a tag only if none was taken away from the process since they
 * were made. The process counts generations, one for each flush asked for (mm/tlb.c); the tag notes, for each root, of
 * which generation it has nothing left. A process is known by its space's serial number, which is never used again.
 * What is in the tag of a process that is not loaded is out of reach: no instruction, no speculation uses another PCID
 * than the loaded one's. So tags of the dead are left alone, and flushed when they are given to the next.
 * Locks: none. A table belongs to its CPU, interrupts off. Space: any; everything here is GLOBAL.
 */
#include "mm/tags.h"

#include "arch/features.h"
#include "arch/paging.h"
#include "asi/asi.h"
#include "asi/mutant.h"
#include "kernel/options.h"
#include "kernel/string.h"
#include "mm/roots.h"
#include "mm/tag_check.h"
#include "mm/tlb.h"

#define TAGS          6 /* processes; a CPU has 4,096 PCIDs, but translations of long ago are gone anyway */
#define INVPCID_PAGES 4 /* a flush of more leaves the other roots to be flushed whole, should they be loaded again */
#define NOT_CLEAN     0UL

/* The third root of a process, behind those of enum space. */
enum { ROOT_USER = SPACE_UNRESTRICTED + 1, ROOTS };

#if TAG_CHECK
_Static_assert(TAGS <= TAG_CHECK_TAGS, "mm/tag_check.h knows fewer tags");
#endif

struct tag {
    uint64_t serial;       /* of the process's space; 0: nobody's */
    uint64_t clean[ROOTS]; /* the generation of which it has no translation that was taken away, or NOT_CLEAN */
};

static struct table {
    struct tag tag[TAGS];
    unsigned loaded; /* the tag of the loaded process */
    unsigned noted;  /* the tag that this_cpu->user_root is of: the same, but for a moment of a switch */
    unsigned next;   /* to be given away, in turn */
} __attribute__((aligned(64))) tables[CPU_MAX];

/* Constant after tags_init(). */
bool tags_in_use;
static bool in_hardware, has_invpcid;

void tags_init(void) {
    char value[8];
    bool off = option_get("tags", value, sizeof value) && strcmp(value, "off") == 0;
    bool plain = option_get("tags", value, sizeof value) && strcmp(value, "plain") == 0;
    in_hardware = cpu_features.pcid && !off;
    tags_in_use = (in_hardware || TAG_CHECK) && !off;
    has_invpcid = (cpu_features.invpcid || !in_hardware) && !plain;
}

/* PCID 0 is that of start-up. */
static unsigned pcid(unsigned tag, unsigned root) { return 1 + tag * ROOTS + root; }

static frame_t root_frame(const struct roots *roots, unsigned root) {
    if (root == ROOT_USER)
        return roots->user;
    return root == SPACE_RESTRICTED ? roots->restricted : roots->unrestricted;
}

static uint64_t value_of(const struct process *process, unsigned tag, unsigned root) {
    return frame_address(root_frame(&process->roots, root)) | (in_hardware ? pcid(tag, root) : 0);
}

static uint64_t kept(uint64_t value, bool keep) { return value | (keep && in_hardware ? ROOT_KEEP : 0); }

/* --- The table ---------------------------------------------------------------------------------------------------- */

static unsigned find(const struct table *table, uint64_t serial) {
    unsigned index = 0;
    while (index < TAGS && table->tag[index].serial != serial)
        index++;
    return index;
}

/* The process's tag, another's if it has none. The one that is being left stays. */
static struct tag *tag_of(struct table *table, const struct process *process) {
    const uint64_t serial = process->roots.serial;
    if (table->tag[table->loaded].serial == serial)
        return &table->tag[table->loaded];
    unsigned index = find(table, serial);
    if (index == TAGS) {
        table->next = (table->next + 1) % TAGS;
        if (table->next == table->loaded)
            table->next = (table->next + 1) % TAGS;
        index = table->next;
        table->tag[index] = (struct tag){.serial = serial};
    }
    table->loaded = index;
    return &table->tag[index];
}

/*
 * What a process does to a user half that is lent, it does to another's, whose generation knows nothing of it. So none
 * of them keeps anything meanwhile.
 */
static bool is_lent(const struct process *process) {
    const struct user_space *space = process->user_space;
    return space != NULL && __atomic_load_n(&space->refs, __ATOMIC_SEQ_CST) > 1;
}

static uint64_t generation_of(const struct process *process) {
    return __atomic_load_n(&process->roots.generation, __ATOMIC_SEQ_CST);
}

/* Whether the tag's translations of a root may be kept; from now on it is as clean as can be. */
static bool keeps(struct tag *tag, const struct process *process, unsigned root) {
    const uint64_t generation = generation_of(process); /* first: lending begins before the generation that it begins */
    if (is_lent(process)) {
        tag->clean[root] = NOT_CLEAN;
        return false;
    }
    const bool keep = tag->clean[root] == generation;
    tag->clean[root] = generation;
    return keep;
}

/* --- Values ------------------------------------------------------------------------------------------------------- */

uint64_t tags_root(struct process *process, enum space space) {
    if (!tags_in_use)
        return roots_address(&process->roots, space);
    struct table *table = &tables[this_cpu->index];
    const bool keep = keeps(tag_of(table, process), process, space);
    tag_check_load(process, table->loaded, space, keep);
    if (keep) {
        this_cpu->self->counters.tag_hits++;
        counter_add(&process->counters.tag_hits, 1);
    }
    return kept(value_of(process, table->loaded, space), keep);
}

/* Classic's user root is loaded by entry code, which sets ROOT_KEEP then: what has not been loaded is still owed. */
static void settle_user_root(struct table *table) {
    if (!(this_cpu->user_root & ROOT_KEEP))
        table->tag[table->noted].clean[ROOT_USER] = NOT_CLEAN;
    table->noted = table->loaded;
}

/* Kernel code in classic is entered from user code, before which the unrestricted root was loaded: it is clean. */
void tags_note_roots(struct cpu *cpu, const struct process *process) {
    struct table *table = &tables[cpu->index];
    bool keeps_user = false;
    if (!tags_in_use && !cpu->split) { /* the others are classic's, and made when that begins */
        cpu->home_root = roots_address(&process->roots, asi_home_space());
        return;
    }
    if (tags_in_use) {
        struct tag *tag = tag_of(table, process);
        settle_user_root(table);
        keeps_user = cpu->split && keeps(tag, process, ROOT_USER);
    }
    cpu->root_keep = kept(0, true);
    cpu->kernel_root = kept(value_of(process, table->loaded, SPACE_UNRESTRICTED), true);
    cpu->user_root = kept(value_of(process, table->loaded, ROOT_USER), keeps_user);
    cpu->home_root = value_of(process, table->loaded, asi_home_space());
}

/* --- Flushes ------------------------------------------------------------------------------------------------------ */

uint64_t tags_new_generation(struct process *process) {
    if (!tags_in_use || mutant(stale_tag))
        return NOT_CLEAN;
    return __atomic_add_fetch(&process->roots.generation, 1, __ATOMIC_SEQ_CST);
}

/* A page of the window goes with the table that it shows; what other roots know of that table goes by no address. */
static bool shows_table(vaddr_t page) { return page >= PTWINDOW_BASE && page < PTWINDOW_BASE + PDPT_SPAN; }

/* Forgets a few pages in a root that is not loaded. Whether it did. */
static bool forget_in(unsigned tag, unsigned root, const vaddr_t *pages, unsigned count) {
    if (!has_invpcid || count > INVPCID_PAGES)
        return false;
    for (unsigned i = 0; i < count; i++)
        if (shows_table(pages[i]))
            return false;
    for (unsigned i = 0; i < count; i++) {
        if (in_hardware)
            tlb_forget_in(pcid(tag, root), pages[i]);
        tag_check_forget_in(tag, root, pages[i]);
    }
    return true;
}

/* Classic's user root is loaded by entry code, which asks nobody: its value says whether to flush. */
static bool flush_at_next_load(unsigned root) {
    if (root != ROOT_USER || !this_cpu->split)
        return false;
    this_cpu->user_root &= ~ROOT_KEEP;
    return true;
}

void tags_flushed(const struct process *process, const vaddr_t *pages, unsigned count, uint64_t generation) {
    struct table *table = &tables[this_cpu->index];
    struct tag *tag = &table->tag[table->loaded];
    const unsigned here = this_cpu->space;
    if (generation == NOT_CLEAN || tag->serial != process->roots.serial)
        return;
    if (count == TLB_EVERYTHING && tag->clean[here] != NOT_CLEAN && tag->clean[here] < generation && !is_lent(process))
        tag->clean[here] = generation;
    for (unsigned root = 0; root < ROOTS; root++) {
        if (tag->clean[root] != generation - 1)
            continue; /* it misses more than this, or was loaded since */
        if (root == here || forget_in(table->loaded, root, pages, count) || flush_at_next_load(root))
            tag->clean[root] = generation;
    }
}

void tags_forget_all(void) {
    struct table *table = &tables[this_cpu->index];
    for (unsigned index = 0; index < TAGS; index++)
        memset(table->tag[index].clean, 0, sizeof table->tag[index].clean);
    this_cpu->user_root &= ~ROOT_KEEP;
}

void tags_flushed_global(void) {
    struct table *table = &tables[this_cpu->index];
    uint64_t *here = &table->tag[table->loaded].clean[this_cpu->space];
    if (!tags_in_use || !this_cpu->split)
        return;
    const uint64_t clean = *here;
    tags_forget_all();
    *here = clean;
}

void tags_lend(struct process *process) { (void)tags_new_generation(process); }
