/*
 * Windows and their record (mm/ephmap.c and mm/view_set.c as they are, with room for few frames in a record), over
 * every state of two processes that both may run, two objects and two frames that come and go: a window is only on a
 * frame of an object that its process has open (LOGICAL ACCESS), is recorded or not made, and is gone from tables and
 * TLBs when the object is closed or the frame leaves it (REVOKE). Memory runs out at each allocation.
 *
 * TLBs remember every window that was ever present, until they are told to forget it for that process.
 */
#include "tests/proof/proof.h"

#include <asm/prctl.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "mm/ephmap.c"
#include "mm/view_set.c"

enum { PROCESSES = 2, OBJECTS = 2, FRAMES = 2, HANDLES_MAX = 1, LEVELS = 4, TABLES = PROCESSES * LEVELS };
enum { FIRST_TABLE = FRAMES + 1, EMPTY_DIRECTORY = FIRST_TABLE + TABLES, EMPTY_TABLE, FRAME_COUNT };

static struct cpu cpu; /* reached as this_cpu alone: the compiler takes the two for different objects */
static struct thread threads[PROCESSES];
static struct process processes[PROCESSES];
static struct memory_object objects[OBJECTS];
static uint8_t tlb[PROCESSES]; /* bit per frame whose window some CPU may have */
static unsigned fail_after;    /* this allocation fails; 0: none */
static unsigned allocated;     /* sets and pages */

/* --- What the record needs of the machine ------------------------------------------------------------------------- */

unsigned cpu_count = 2, cpus_found = 2;
bool tags_in_use;
struct shared_tables shared_tables;

static frame_t table_frame(unsigned process, unsigned level) {
    return (frame_t){FIRST_TABLE + process * LEVELS + LEVELS - level};
}

static unsigned running(void) { return (unsigned)(this_cpu->loaded - processes); }

/* Each process's tables are there, one for each level. */
static pte_t *window(vaddr_t address, unsigned level) {
    CHECK(address >= EPHMAP_BASE && address < EPHMAP_BASE + PAGE_TABLE_SPAN);
    return (pte_t *)physmap(table_frame(running(), level)) + table_index(address, level);
}
pte_t *window_pte(vaddr_t address) { return window(address, 1); }
pte_t *window_pde(vaddr_t address) { return window(address, 2); }
pte_t *window_pdpte(vaddr_t address) { return window(address, 3); }
pte_t *window_pml4e(vaddr_t address) { return window(address, 4); }

static pte_t *entry_of(unsigned process, unsigned frame) {
    return (pte_t *)physmap(table_frame(process, 1)) + table_index(EPHMAP_BASE, 1) + frame;
}

static void look(void) {
    for (unsigned process = 0; process < PROCESSES; process++)
        for (unsigned frame = 1; frame <= FRAMES; frame++)
            if (pte_present(*entry_of(process, frame)))
                tlb[process] |= (uint8_t)(1U << frame);
}

void tlb_flush(struct process *process, const vaddr_t *pages, unsigned count) {
    uint8_t *remembered = &tlb[process - processes];
    look();
    for (unsigned i = 0; i < count && count <= TLB_PAGES_MAX; i++)
        *remembered &= (uint8_t) ~(1U << (pages[i] - EPHMAP_BASE) / PAGE_SIZE);
    if (count > TLB_PAGES_MAX)
        *remembered = 0;
}
/* On this CPU alone; the other one may run the process, too. */
void tlb_forget(vaddr_t address) { (void)address; }
void tlb_flush_all(void) {}

static bool fails(void) { return fail_after != 0 && --fail_after == 0; }

static void *allocate(size_t bytes) {
    void *memory = fails() ? NULL : calloc(1, bytes);
    allocated += memory != NULL;
    return memory;
}
static void release(void *memory) {
    CHECK(memory != NULL && allocated-- > 0);
    free(memory);
}
void *global_alloc(size_t bytes) { return allocate(bytes); }
void *global_alloc_pages(size_t count) { return allocate(count * PAGE_SIZE); }
void global_free(void *memory, size_t bytes) { (void)bytes, release(memory); }
void global_free_pages(void *memory, size_t count) { (void)count, release(memory); }

enum status frame_alloc(enum frame_class class, uint32_t owner, frame_t *out) {
    (void)class, (void)owner, (void)out;
    CHECK(!"tables are there");
}
void frame_free_clean(frame_t frame) { CHECK(frame.number == 0); }
void object_ref(struct memory_object *object) { object->refs++; }
void object_unref(struct memory_object *object) { CHECK(object->refs-- > 1 && !object->lock.locked); }
void gather_page(struct gather *gather, vaddr_t address) { (void)gather, (void)address; }
void gather_clean_frame(struct gather *gather, frame_t frame) { (void)gather, (void)frame; }
void spin_lock(struct spinlock *lock) {
    CHECK(!lock->locked);
    lock->locked = 1;
}
void spin_lock_exclusive(struct spinlock *lock, const uint32_t *sharers) {
    CHECK(*sharers == 0);
    spin_lock(lock);
}
void spin_unlock(struct spinlock *lock) {
    CHECK(lock->locked);
    lock->locked = 0;
}

/* --- States: handles, records and limits of each set; frames' objects; windows; who runs -------------------------- */

static struct object_view_set *set_of(unsigned process, unsigned object) {
    return view_set_find(&processes[process], &objects[object]);
}

static unsigned object_of(unsigned frame) { /* OBJECTS: none */
    const struct memory_object *object = frame_info((frame_t){frame})->object;
    return object == NULL ? OBJECTS : (unsigned)(object - objects);
}

/* What is in a record counts, not where: how often each frame. */
static void add_state(void) {
    struct state state = {{0}};
    unsigned char *byte = state.byte;
    *byte++ = (unsigned char)running();
    for (unsigned frame = 1; frame <= FRAMES; frame++) {
        *byte++ = (unsigned char)object_of(frame);
        for (unsigned process = 0; process < PROCESSES; process++)
            *byte++ = pte_present(*entry_of(process, frame));
    }
    for (unsigned process = 0; process < PROCESSES; process++)
        for (unsigned object = 0; object < OBJECTS; object++) {
            const struct object_view_set *set = set_of(process, object);
            *byte++ = set != NULL ? (unsigned char)set->handles : 0;
            *byte++ = set != NULL ? (unsigned char)set->tidy_at : 0;
            for (uint64_t i = 0; set != NULL && i < set->count; i++)
                byte[view_set_frame(set, i).number - 1]++;
            byte += FRAMES;
        }
    search_add(&state);
}

static void free_all(void) {
    for (unsigned object = 0; object < OBJECTS; object++)
        while (!list_empty(&objects[object].view_sets))
            free_set(container_of(objects[object].view_sets.next, struct object_view_set, object_link));
    CHECK(allocated == 0); /* a set and its pages go together */
}

static void set_running(unsigned process) {
    this_cpu->loaded = &processes[process];
    this_cpu->current = &threads[process];
}

static void set_state(const struct state *state) {
    const unsigned char *byte = state->byte;
    free_all();
    fail_after = 0;
    views_lock.locked = 0;
    set_running(*byte++);
    for (unsigned frame = 1; frame <= FRAMES; frame++) {
        *frame_info((frame_t){frame}) = (struct frame){.class = FRAME_SECRET, .refs = 1};
        frame_info((frame_t){frame})->object = *byte < OBJECTS ? &objects[*byte] : NULL;
        byte++;
        for (unsigned process = 0; process < PROCESSES; process++)
            *entry_of(process, frame) = *byte++ ? pte_kernel_data((frame_t){frame}, false) : 0;
    }
    memset(tlb, 0, sizeof tlb);
    for (unsigned object = 0; object < OBJECTS; object++) {
        objects[object].refs = 1;
        objects[object].lock.locked = 0;
    }
    for (unsigned process = 0; process < PROCESSES; process++)
        for (unsigned object = 0; object < OBJECTS; object++) {
            unsigned handles = *byte++, tidy_at = *byte++;
            for (unsigned i = 0; i < handles; i++)
                CHECK(ephmap_open_for(&processes[process], &objects[object]) == OK);
            struct object_view_set *set = set_of(process, object);
            for (unsigned frame = 1; frame <= FRAMES; frame++, byte++)
                for (unsigned i = 0; i < *byte; i++) {
                    set->tidy_at = UINT64_MAX;
                    CHECK(view_set_record(set, (frame_t){frame}));
                }
            if (set != NULL)
                set->tidy_at = tidy_at;
        }
    look();
}

/* --- What must hold ----------------------------------------------------------------------------------------------- */

static bool is_recorded(const struct object_view_set *set, unsigned frame) {
    for (uint64_t i = 0; i < set->count; i++)
        if (view_set_frame(set, i).number == frame)
            return true;
    return false;
}

static void check_all(void) {
    CHECK(!views_lock.locked && this_cpu->views_held == 0 && this_cpu->overflow_view == NULL);
    for (unsigned process = 0; process < PROCESSES; process++)
        for (unsigned frame = 1; frame <= FRAMES; frame++) {
            pte_t entry = *entry_of(process, frame);
            CHECK(entry == 0 || entry == pte_kernel_data((frame_t){frame}, false));
            CHECK(pte_present(entry) || !(tlb[process] >> frame & 1)); /* REVOKE */
            if (!pte_present(entry))
                continue;
            CHECK(object_of(frame) < OBJECTS); /* LOGICAL ACCESS */
            const struct object_view_set *set = set_of(process, object_of(frame));
            CHECK(set != NULL && set->handles > 0);
            CHECK(is_recorded(set, frame));
        }
    for (unsigned object = 0; object < OBJECTS; object++) {
        CHECK(!objects[object].lock.locked);
        CHECK(objects[object].refs ==
              1U + (set_of(0, object) != NULL) + (set_of(1, object) != NULL)); /* a set keeps its object */
    }
}

/* --- Operations: false when they cannot be done now --------------------------------------------------------------- */

enum { OPEN, CLOSE, TOUCH, LEAVE, COME, SWITCH, EXIT, OPERATIONS };
static const char *const names[] = {"open", "close", "window", "frame leaves", "frame comes", "switch", "exit"};

/* The hot path of ephmap_window() and a use: `which` is a frame. */
static bool touch(unsigned frame) {
    if (object_of(frame) == OBJECTS)
        return false;
    bool had = pte_present(*entry_of(running(), frame));
    this_cpu->views_held++;
    void *view = had ? NULL : ephmap_map_window((frame_t){frame}, &objects[object_of(frame)]);
    look();
    bool has = pte_present(*entry_of(running(), frame));
    CHECK(has == (had || view == (void *)(EPHMAP_BASE + frame * PAGE_SIZE)));
    CHECK(has || view == physmap((frame_t){frame})); /* a scratch view serves this once */
    ephmap_window_put();
    return true;
}

static bool leave(unsigned frame) {
    unsigned object = object_of(frame);
    if (object == OBJECTS)
        return false;
    const vaddr_t page = ephmap_window_address((frame_t){frame});
    ephmap_revoke_frame(&objects[object], (frame_t){frame});
    ephmap_flush_windows(&objects[object], &page, 1);
    for (unsigned process = 0; process < PROCESSES; process++)
        CHECK(!pte_present(*entry_of(process, frame)) &&
              !(tlb[process] >> frame & 1)); /* REVOKE: it may be freed now */
    frame_info((frame_t){frame})->object = NULL;
    return true;
}

static bool operate(unsigned operation, unsigned which) {
    unsigned object = which % OBJECTS, frame = which % FRAMES + 1;
    const struct object_view_set *set = set_of(running(), object);
    switch (operation) {
    case OPEN:
        if (set != NULL && set->handles == HANDLES_MAX)
            return false;
        (void)!ephmap_open(&objects[object]);
        return true;
    case CLOSE:
        if (set == NULL)
            return false;
        ephmap_close(&objects[object]);
        return true;
    case TOUCH:
        return touch(frame);
    case LEAVE:
        return leave(frame);
    case COME:
        if (object_of(frame) != OBJECTS)
            return false;
        frame_info((frame_t){frame})->object = &objects[which / FRAMES];
        return true;
    case SWITCH:
        set_running(1 - running());
        return which == 0;
    default:
        ephmap_forget_process(this_cpu->loaded);
        return which == 0;
    }
}

static void expand(const struct state *state) {
    for (unsigned operation = 0; operation < OPERATIONS; operation++)
        for (unsigned which = 0; which < OBJECTS * FRAMES; which++)
            for (unsigned fail = 0; fail <= 2; fail++) {
                if (which >= FRAMES && operation != COME)
                    continue;
                set_state(state);
                proof_operation = names[operation];
                fail_after = fail;
                if (!operate(operation, which) || (fail != 0 && fail_after != 0))
                    continue; /* not possible, or not so many allocations */
                check_all();
                add_state();
            }
}

static void make_tables(void) {
    for (unsigned process = 0; process < PROCESSES; process++) {
        processes[process].roots.restricted = table_frame(process, 4);
        for (unsigned level = 4; level > 1; level--)
            ((pte_t *)physmap(table_frame(process, level)))[table_index(EPHMAP_BASE, level)] =
                pte_table(table_frame(process, level - 1), false);
        threads[process].process = &processes[process];
        list_init(&processes[process].view_sets);
    }
    shared_tables.empty_window_pd = (frame_t){EMPTY_DIRECTORY};
    shared_tables.empty_window_pt = (frame_t){EMPTY_TABLE};
}

int main(void) {
    map_memory(FRAME_TABLE_BASE, PAGE_SIZE);
    map_memory(PHYSMAP_BASE, FRAME_COUNT * PAGE_SIZE);
    CHECK(syscall(SYS_arch_prctl, ARCH_SET_GS, &cpu) == 0);
    this_cpu->self = &cpu;
    make_tables();
    set_running(0);
    for (unsigned object = 0; object < OBJECTS; object++) {
        list_init(&objects[object].view_sets);
        objects[object].refs = 1;
    }
    add_state();
    size_t states = search_run(expand);
    printf("windows: %zu states of %d processes, %d objects and %d frames, records of %d\n", states, PROCESSES, OBJECTS,
           FRAMES, VIEW_SET_INLINE);
    return 0;
}
