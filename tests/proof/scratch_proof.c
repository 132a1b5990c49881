/*
 * The allocator of EPHMAP's scratch slots (mm/ephmap.c as it is), over every state of a CPU with few free slots: no
 * slot is given out while it is held or while any CPU may have its last translation; a put takes the entry away; after
 * a flush nothing is left of what was put; and no frame is freed that a translation leads to.
 *
 * The TLBs are the worst there can be: they remember every entry that was present while they could have looked, on this
 * CPU and, while another one runs the same process, on that one, until they are told to forget it.
 */
#include "tests/proof/proof.h"

#include <asm/prctl.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

void *translated_memset(void *to, int value, size_t bytes);
void *translated_memcpy(void *to, const void *from, size_t bytes);
#define memset translated_memset
#define memcpy translated_memcpy
#include "mm/ephmap.c"
#undef memset
#undef memcpy

/* Slots of the 64 that are free to begin with; what holds the others never puts them. Frames 1 to FRAMES. */
enum { SLOTS = 3, FRAMES = 2, COPY = SLOTS, TRACKED = SLOTS + 2 };
#define TAKEN (~COPY_SLOTS & ~((1UL << SLOTS) - 1))

static struct cpu cpu; /* reached as this_cpu alone: the compiler takes the two for different objects */
static struct thread thread;
static struct process process;
static pte_t entries[TRACKED];
static uint8_t here[TRACKED], elsewhere[TRACKED]; /* bit per frame whose translation the TLBs may have */
static unsigned freed;

/* --- What the slots need of the machine --------------------------------------------------------------------------- */

unsigned cpu_count = 2, cpus_found = 2;
bool tags_in_use; /* PCID: a CR3 write forgets nothing */
struct shared_tables shared_tables;
struct spinlock views_lock;

/* By the slot's place in what is tracked here. */
static unsigned place_of(vaddr_t address) {
    vaddr_t slot = (address - EPHMAP_SCRATCH_BASE) / PAGE_SIZE;
    CHECK(address >= EPHMAP_SCRATCH_BASE && (slot < SLOTS || slot == COPY_SOURCE_SLOT || slot == COPY_TARGET_SLOT));
    return (unsigned)(slot < SLOTS ? slot : slot - COPY_SOURCE_SLOT + COPY);
}

pte_t *window_pte(vaddr_t address) { return &entries[place_of(address)]; }
pte_t *window_pde(vaddr_t address) { return window_pte(address); }
pte_t *window_pdpte(vaddr_t address) { return window_pte(address); }
pte_t *window_pml4e(vaddr_t address) { return window_pte(address); }

static bool is_shared(void) { return process.cpus & ~1UL; }

/* Every TLB that can sees the entries as they are now. */
static void look(void) {
    for (unsigned i = 0; i < TRACKED; i++) {
        uint8_t bit = pte_present(entries[i]) ? (uint8_t)(1U << pte_frame(entries[i]).number) : 0;
        here[i] |= bit;
        elsewhere[i] |= is_shared() ? bit : 0;
    }
}

void tlb_forget(vaddr_t address) { here[place_of(address)] = 0; }
void tlb_flush(struct process *of, const vaddr_t *pages, unsigned count) {
    CHECK(of == &process && (count <= TLB_PAGES_MAX || count == TLB_EVERYTHING));
    for (unsigned i = 0; i < TRACKED && count == TLB_EVERYTHING; i++)
        here[i] = elsewhere[i] = 0;
    for (unsigned i = 0; i < count && count <= TLB_PAGES_MAX; i++)
        here[place_of(pages[i])] = elsewhere[place_of(pages[i])] = 0;
    look();
}
void tlb_flush_all(void) { memset(here, 0, sizeof here); }

/* An access: the translation must be the entry's, whatever the TLB remembers. */
static void touch(vaddr_t address, frame_t frame) {
    look();
    CHECK(pte_present(*window_pte(address)) && frame_equal(pte_frame(*window_pte(address)), frame));
    CHECK(here[place_of(address)] == 1U << frame.number);
}

static frame_t expected_to, expected_from;
void *translated_memset(void *to, int value, size_t bytes) {
    CHECK(bytes == PAGE_SIZE && value == 0);
    touch((vaddr_t)to, expected_to);
    return to;
}
void *translated_memcpy(void *to, const void *from, size_t bytes) {
    CHECK(bytes == PAGE_SIZE);
    touch((vaddr_t)to, expected_to);
    touch((vaddr_t)from, expected_from);
    return to;
}

/* REVOKE: what was put, and not flushed, must not lead to it. A view that is held is its holder's own affair. */
void frame_free_clean(frame_t frame) {
    for (unsigned i = 0; i < TRACKED; i++)
        CHECK(pte_present(entries[i]) || !((here[i] | elsewhere[i]) >> frame.number & 1));
    freed++;
}
enum status frame_alloc(enum frame_class class, uint32_t owner, frame_t *out) {
    (void)class, (void)owner, (void)out;
    return ERR_NO_MEMORY;
}
struct object_view_set *view_set_find(struct process *of, struct memory_object *object) {
    return (void)of, (void)object, NULL;
}
bool view_set_record(struct object_view_set *set, frame_t frame) { return (void)set, (void)frame, false; }
frame_t view_set_frame(const struct object_view_set *set, uint64_t index) {
    return (void)set, (frame_t){(uint32_t)index};
}
void gather_page(struct gather *gather, vaddr_t address) { (void)gather, (void)address; }
void gather_clean_frame(struct gather *gather, frame_t frame) { (void)gather, (void)frame; }
void spin_lock(struct spinlock *lock) { (void)lock; }
void spin_unlock(struct spinlock *lock) { (void)lock; }

/* --- States ------------------------------------------------------------------------------------------------------- */

static void add_state(void) {
    struct state state = {{0}};
    unsigned char *byte = state.byte;
    *byte++ = (unsigned char)(this_cpu->scratch_held & ~TAKEN);
    *byte++ = (unsigned char)(this_cpu->scratch_pending & ~COPY_SLOTS);
    *byte++ = (unsigned char)(this_cpu->scratch_pending >> COPY_SOURCE_SLOT);
    *byte++ = is_shared();
    *byte++ = tags_in_use;
    for (unsigned i = 0; i < TRACKED; i++) {
        *byte++ = (unsigned char)pte_frame(entries[i]).number;
        *byte++ = here[i];
        *byte++ = elsewhere[i];
    }
    search_add(&state);
}

static void set_state(const struct state *state) {
    const unsigned char *byte = state->byte;
    this_cpu->scratch_held = TAKEN | *byte++;
    this_cpu->scratch_pending = *byte++;
    this_cpu->scratch_pending |= (uint64_t)*byte++ << COPY_SOURCE_SLOT;
    process.cpus = *byte++ ? 3 : 1;
    tags_in_use = *byte++;
    for (unsigned i = 0; i < TRACKED; i++) {
        entries[i] = *byte != 0 ? pte_kernel_data((frame_t){*byte}, false) : 0;
        byte++;
        here[i] = *byte++;
        elsewhere[i] = *byte++;
    }
    this_cpu->views_held = (unsigned)__builtin_popcountl(this_cpu->scratch_held);
}

static void check_all(void) {
    for (unsigned i = 0; i < TRACKED; i++) {
        bool held = i < SLOTS && this_cpu->scratch_held >> i & 1;
        CHECK(pte_present(entries[i]) == held); /* REACH: no entry but those of views that are held */
        bool pending = this_cpu->scratch_pending >> (i < SLOTS ? i : COPY_SOURCE_SLOT + i - COPY) & 1;
        CHECK(held || pending || here[i] + elsewhere[i] == 0); /* what may be left is known */
        uint8_t own = held ? (uint8_t)(1U << pte_frame(entries[i]).number) : 0;
        CHECK(!held || ((here[i] | elsewhere[i]) & ~own) == 0);
    }
    CHECK(this_cpu->views_held == (unsigned)__builtin_popcountl(this_cpu->scratch_held));
    CHECK(!(this_cpu->scratch_held & this_cpu->scratch_pending));
}

static unsigned held_slots(void) { return (unsigned)__builtin_popcountl(this_cpu->scratch_held & ~TAKEN); }

/* Nothing is left of what was put, on any CPU. */
static void check_flushed(void) {
    CHECK(this_cpu->scratch_pending == 0);
    for (unsigned i = 0; i < TRACKED; i++)
        CHECK(pte_present(entries[i]) || here[i] + elsewhere[i] == 0);
}

static uint32_t view_frame;
static void get_view(void) {
    uint64_t before = this_cpu->scratch_held;
    vaddr_t view = (vaddr_t)ephmap_scratch((frame_t){view_frame});
    CHECK(!(before >> place_of(view) & 1) && this_cpu->scratch_held == (before | 1UL << place_of(view)));
    touch(view, (frame_t){view_frame});
}

enum { GET, SCRUB, SCRUB_AND_FREE, COPY_FRAME, OVERFLOW, PUT, FLUSH, FLUSH_WITH, CR3_WRITE, JOIN, LEAVE, OPERATIONS };
static const char *const names[] = {"get",   "scrub",      "scrub and free", "copy", "overflow", "put",
                                    "flush", "flush with", "CR3 write",      "join", "leave"};

/* The operation with a frame or slot; false when it cannot be done now. */
static bool operate(unsigned operation, unsigned which) {
    const frame_t frame = {which + 1}, other = {FRAMES - which};
    expected_to = frame;
    expected_from = other;
    switch (operation) {
    case GET:
        view_frame = frame.number;
        if (which >= FRAMES || held_slots() == SLOTS)
            return false;
        get_view();
        return true;
    case SCRUB:
    case SCRUB_AND_FREE:
        if (which >= FRAMES || held_slots() == SLOTS)
            return false;
        if (operation == SCRUB)
            ephmap_scrub(frame);
        else
            ephmap_scrub_and_free(frame);
        if (operation == SCRUB_AND_FREE)
            check_flushed();
        return true;
    case COPY_FRAME:
        if (which >= FRAMES)
            return false;
        ephmap_copy_frame(frame, other);
        return true;
    case OVERFLOW: /* a window that could not be recorded: got, used, put; flushed at once */
        if (which >= FRAMES || held_slots() == SLOTS)
            return false;
        this_cpu->overflow_view = ephmap_scratch(frame);
        touch((vaddr_t)this_cpu->overflow_view, frame);
        this_cpu->views_held--; /* the window's put */
        ephmap_overflow_put();
        CHECK(this_cpu->overflow_view == NULL);
        check_flushed();
        return true;
    case PUT:
        if (!(this_cpu->scratch_held >> which & 1))
            return false;
        ephmap_scratch_put((void *)(scratch_address(which) + 8));
        return true;
    case FLUSH:
        ephmap_flush();
        check_flushed();
        return which == 0;
    case FLUSH_WITH:
        ephmap_flush_with(scratch_address(COPY_SOURCE_SLOT)); /* as good as a user page: it is known here */
        check_flushed();
        return which == 0;
    case CR3_WRITE:
        if (!tags_in_use)
            memset(here, 0, sizeof here);
        look();
        ephmap_note_cr3_write();
        return which == 0;
    case JOIN:
        process.cpus = 3;
        look();
        return which == 0;
    default: /* the other CPU loads another root: its translations go first, then its bit */
        if (!tags_in_use)
            memset(elsewhere, 0, sizeof elsewhere);
        process.cpus = 1;
        return which == 0;
    }
}

static void expand(const struct state *state) {
    for (unsigned operation = 0; operation < OPERATIONS; operation++)
        for (unsigned which = 0; which < SLOTS; which++) {
            set_state(state);
            proof_operation = names[operation];
            if (!operate(operation, which))
                continue;
            check_all();
            add_state();
        }
    set_state(state);
    proof_operation = "one view too many";
    view_frame = 1;
    CHECK(held_slots() < SLOTS || panics(get_view));
}

int main(void) {
    CHECK(syscall(SYS_arch_prctl, ARCH_SET_GS, &cpu) == 0);
    this_cpu->self = &cpu;
    this_cpu->current = &thread;
    this_cpu->loaded = &process;
    thread.process = &process;
    process.cpus = 1;
    this_cpu->scratch_held = TAKEN;
    ephmap_enabled = true;
    add_state();
    tags_in_use = true;
    add_state();
    size_t states = search_run(expand);
    CHECK(freed != 0);
    printf("scratch slots: %zu states of %d slots and %d frames on two CPUs, each operation in each\n", states, SLOTS,
           FRAMES);
    return 0;
}
