/*
 * The frame allocator (mm/frame.c as it is), over every state that a machine of few frames can reach: no frame is
 * handed out twice or dirty, each is on one list or with one holder or never given, lists and counts agree, classes
 * change only at alloc and free. Every pair of operations is interleaved wherever the first gives the lock away, as by
 * another CPU.
 */
#include "tests/proof/proof.h"

#include <asm/prctl.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

void *checked_memset(void *to, int value, size_t bytes);
#define memset checked_memset
#include "mm/frame.h"
#undef FRAME_RESERVE
#define FRAME_RESERVE 2U
#include "mm/frame.c"
#undef memset

/* Frames 1 to FRAMES; frame 0 is none. */
enum { FRAMES = 3, REFS_MAX = 2, CLASSES = 2 };
static const enum frame_class classes[CLASSES] = {FRAME_LOCAL, FRAME_SECRET};

static struct cpu cpu; /* reached as this_cpu alone: the compiler takes the two for different objects */
static struct thread thread;
static struct process process;

/* What must be so, kept beside the allocator. */
static struct {
    bool given; /* RAM that start-up has given to the allocator, or claimed */
    bool held;
    uint8_t class, refs;
} model[FRAMES + 1];

static bool unrestricted, interfered;

/* --- What the allocator needs of the machine ---------------------------------------------------------------------- */

static const struct operation *rival; /* another CPU's operation */
static int rival_at;                  /* at which release of the lock */
static void interfere(void);

bool spin_lock_irq(struct spinlock *lock) {
    CHECK(!lock->locked);
    lock->locked = 1;
    return true;
}

void spin_unlock_irq(struct spinlock *lock, bool irq_was_on) {
    CHECK(lock->locked && irq_was_on);
    lock->locked = 0;
    if (rival != NULL && rival_at-- == 0)
        interfere();
}

void asi_exit(enum asi_cause cause) { unrestricted = cause == ASI_CAUSE_ZERO; }

/* PHYSMAP is not there before asi_exit(). */
void *checked_memset(void *to, int value, size_t bytes) {
    CHECK(unrestricted);
    return memset(to, value, bytes);
}

/* --- Content ------------------------------------------------------------------------------------------------------ */

static bool is_clean(uint32_t number) {
    const uint64_t *word = physmap((frame_t){number});
    for (unsigned i = 0; i < PAGE_SIZE / sizeof *word; i++)
        if (word[i] != 0)
            return false;
    return true;
}

/* A secret in the first byte and in the last. */
static void set_content(uint32_t number, bool clean) {
    char *page = physmap((frame_t){number});
    memset(page, 0, PAGE_SIZE);
    page[0] = page[PAGE_SIZE - 1] = clean ? 0 : 's';
}

/* --- Operations: false when the operation may not be called now --------------------------------------------------- */

static bool do_alloc(uint32_t class, uint32_t stores) {
    frame_t frame = {0};
    process.stores_pages = stores;
    const bool kept = !stores && (classes[class] == FRAME_SECRET || reserve.count == 1);
    bool none = free_frames.head == 0 && dirty_frames.head == 0 && (reserve.head == 0 || kept);
    enum status status = frame_alloc(classes[class], 7, &frame);
    CHECK(status == (none ? ERR_NO_MEMORY : OK) || interfered);
    if (status != OK)
        return true;
    CHECK(frame.number >= 1 && frame.number <= FRAMES && frame_exists(frame));
    CHECK(model[frame.number].given && !model[frame.number].held);
    CHECK(is_clean(frame.number)); /* CLEAN */
    CHECK(frame_info(frame)->refs == 1 && frame_info(frame)->owner == 7 && frame_info(frame)->object == NULL);
    model[frame.number].held = true;
    model[frame.number].refs = 1;
    model[frame.number].class = (uint8_t)classes[class];
    return true;
}

static bool do_write(uint32_t number, uint32_t clean) {
    if (!model[number].held)
        return false;
    set_content(number, clean);
    frame_info((frame_t){number})->object = clean ? NULL : (struct memory_object *)8;
    return true;
}

static bool do_free_clean(uint32_t number, uint32_t unused) {
    (void)unused;
    if (!model[number].held || model[number].refs > 1 || !is_clean(number))
        return false;
    model[number].held = false;
    frame_free_clean((frame_t){number});
    return true;
}

static bool do_free_dirty(uint32_t number, uint32_t unused) {
    (void)unused;
    if (!model[number].held || model[number].refs > 1)
        return false;
    model[number].held = false;
    frame_free_dirty((frame_t){number});
    return true;
}

/* Start-up: RAM is given as it is, or kept for something. */
static bool do_give(uint32_t number, uint32_t claim) {
    if (model[number].given)
        return false;
    model[number].given = true;
    if (claim) {
        model[number].held = true;
        model[number].refs = 1;
        model[number].class = FRAME_GLOBAL;
        frame_claim_at_boot((frame_t){number}, FRAME_GLOBAL);
    } else {
        frame_free_dirty((frame_t){number});
    }
    return true;
}

static bool do_ref(uint32_t number, uint32_t unused) {
    (void)unused;
    if (!model[number].held || model[number].refs == 0 || model[number].refs == REFS_MAX)
        return false;
    model[number].refs++;
    frame_ref((frame_t){number});
    return true;
}

static bool do_unref(uint32_t number, uint32_t unused) {
    (void)unused;
    if (!model[number].held || model[number].refs == 0)
        return false;
    bool last = --model[number].refs == 0;
    CHECK(frame_unref((frame_t){number}) == last);
    return true;
}

static bool do_scrub(uint32_t number, uint32_t unused) {
    (void)unused;
    frame_scrub_dirty(number);
    return true;
}

static bool do_fill_reserve(uint32_t unused, uint32_t unused_too) {
    (void)unused, (void)unused_too;
    const uint64_t before = reserve.count;
    frame_fill_reserve();
    CHECK(reserve.count == before || free_frames.count + 1 >= reserve.count || interfered);
    CHECK(reserve.count == FRAME_RESERVE || free_frames.count <= reserve.count || interfered);
    return true;
}

static const struct operation {
    const char *name;
    bool (*run)(uint32_t a, uint32_t b);
    uint32_t first, last, variants; /* of a, and how many of b */
} operations[] = {
    {"alloc", do_alloc, 0, CLASSES - 1, 2},
    {"write", do_write, 1, FRAMES, 2},
    {"free_clean", do_free_clean, 1, FRAMES, 1},
    {"free_dirty", do_free_dirty, 1, FRAMES, 1},
    {"give", do_give, 1, FRAMES, 2},
    {"ref", do_ref, 1, FRAMES, 1},
    {"unref", do_unref, 1, FRAMES, 1},
    {"scrub", do_scrub, 1, FRAMES, 1},
    {"fill_reserve", do_fill_reserve, 0, 0, 1},
};
#define OPERATIONS (sizeof operations / sizeof operations[0])

static uint32_t rival_a, rival_b;

static void interfere(void) {
    const struct operation *operation = rival;
    const char *before = proof_operation;
    rival = NULL;
    interfered = true;
    proof_operation = operation->name;
    operation->run(rival_a, rival_b);
    proof_operation = before;
    unrestricted = true; /* each CPU has its own space */
}

/* --- What must hold between operations ---------------------------------------------------------------------------- */

static void check_list(const struct frame_list *list, enum frame_class class, bool *seen) {
    uint64_t length = 0;
    for (uint32_t number = list->head; number != 0; number = frame_info((frame_t){number})->next) {
        CHECK(number <= FRAMES && !seen[number]);
        CHECK(frame_info((frame_t){number})->class == class && frame_info((frame_t){number})->refs == 0);
        CHECK(model[number].given && !model[number].held);
        CHECK(class != FRAME_FREE || is_clean(number)); /* CLEAN */
        seen[number] = true;
        length++;
    }
    CHECK(length == list->count);
}

static void check_all(void) {
    bool seen[FRAMES + 1] = {false};
    struct frame_counts counts;
    uint64_t held = 0, reserved = 0;
    CHECK(!frames_lock.locked);
    check_list(&free_frames, FRAME_FREE, seen);
    check_list(&reserve, FRAME_FREE, seen);
    CHECK(reserve.count <= FRAME_RESERVE);
    check_list(&dirty_frames, FRAME_DIRTY, seen);
    for (uint32_t number = 1; number <= FRAMES; number++) {
        const struct frame *info = frame_info((frame_t){number});
        held += model[number].held;
        reserved += !model[number].given;
        CHECK(seen[number] == (model[number].given && !model[number].held));
        CHECK(model[number].given || info->class == FRAME_RESERVED);
        CHECK(!model[number].held || (info->class == model[number].class && info->refs == model[number].refs));
    }
    frame_count(&counts);
    CHECK(counts.by_class[FRAME_FREE] == free_frames.count + reserve.count);
    CHECK(counts.by_class[FRAME_DIRTY] == dirty_frames.count);
    CHECK(counts.by_class[FRAME_RESERVED] == reserved && counts.total == FRAMES - reserved);
    CHECK(frame_free_count() + reserve.count + held + reserved == FRAMES);
    CHECK(frame_any_dirty() == (dirty_frames.count != 0));
}

/* --- States ------------------------------------------------------------------------------------------------------- */

static void add_state(void) {
    struct state state = {{0}};
    unsigned char *byte = state.byte;
    for (uint32_t number = 1; number <= FRAMES; number++) {
        const struct frame *info = frame_info((frame_t){number});
        *byte++ = info->class;
        *byte++ = (unsigned char)info->refs;
        *byte++ = (unsigned char)(info->class == FRAME_FREE || info->class == FRAME_DIRTY ? info->next : 0);
        *byte++ = (unsigned char)(model[number].given | model[number].held << 1 | !is_clean(number) << 2);
    }
    *byte++ = (unsigned char)free_frames.head;
    *byte++ = (unsigned char)dirty_frames.head;
    *byte++ = (unsigned char)free_frames.count;
    *byte++ = (unsigned char)dirty_frames.count;
    *byte++ = (unsigned char)reserve.head;
    *byte++ = (unsigned char)reserve.count;
    search_add(&state);
}

static void set_state(const struct state *state) {
    const unsigned char *byte = state->byte;
    for (uint32_t number = 1; number <= FRAMES; number++, byte += 4) {
        bool held = byte[3] >> 1 & 1, clean = !(byte[3] >> 2 & 1);
        model[number].given = byte[3] & 1;
        model[number].held = held;
        model[number].class = byte[0];
        model[number].refs = byte[1];
        *frame_info((frame_t){number}) = (struct frame){.class = byte[0], .refs = byte[1], .next = byte[2]};
        if (held) {
            frame_info((frame_t){number})->owner = 7;
            frame_info((frame_t){number})->object = clean ? NULL : (struct memory_object *)8;
        }
        if (is_clean(number) != clean)
            set_content(number, clean);
    }
    free_frames = (struct frame_list){byte[0], byte[2]};
    dirty_frames = (struct frame_list){byte[1], byte[3]};
    reserve = (struct frame_list){byte[4], byte[5]};
    frames_lock.locked = 0;
    unrestricted = interfered = false;
    rival = NULL;
}

static uint32_t wrong;
static void free_clean_wrongly(void) { frame_free_clean((frame_t){wrong}); }
static void free_dirty_wrongly(void) { frame_free_dirty((frame_t){wrong}); }
static void unref_wrongly(void) { CHECK(!frame_unref((frame_t){wrong})); }

/* What nobody may ask for is refused, not done. */
static void check_refusals(const struct state *state) {
    for (wrong = 1; wrong <= FRAMES; wrong++) {
        set_state(state);
        bool free = model[wrong].given && !model[wrong].held;
        bool shared = model[wrong].held && model[wrong].refs > 1;
        CHECK(!(free || shared || !model[wrong].given) || panics(free_clean_wrongly));
        set_state(state);
        CHECK(!(free || shared) || panics(free_dirty_wrongly));
        set_state(state);
        CHECK(!free || panics(unref_wrongly));
    }
}

/*
 * One operation, and another CPU's (or NULL) at the given release of the lock. False: the operation may not be called,
 * or the lock was not released so often.
 */
static bool step(const struct state *state, const struct operation *operation, uint32_t a, uint32_t b,
                 const struct operation *other, int at) {
    set_state(state);
    proof_operation = operation->name;
    rival = other;
    rival_at = at;
    bool ran = operation->run(a, b);
    rival = NULL;
    if (!ran || (other != NULL && !interfered))
        return false;
    check_all();
    add_state();
    return true;
}

static void expand_with(const struct state *state, const struct operation *operation, uint32_t a, uint32_t b) {
    if (!step(state, operation, a, b, NULL, 0))
        return;
    for (const struct operation *other = operations; other < operations + OPERATIONS; other++)
        for (rival_a = other->first; rival_a <= other->last; rival_a++)
            for (rival_b = 0; rival_b < other->variants; rival_b++)
                for (int at = 0; step(state, operation, a, b, other, at); at++)
                    ;
}

static void expand(const struct state *state) {
    check_refusals(state);
    for (const struct operation *operation = operations; operation < operations + OPERATIONS; operation++)
        for (uint32_t a = operation->first; a <= operation->last; a++)
            for (uint32_t b = 0; b < operation->variants; b++)
                expand_with(state, operation, a, b);
}

int main(void) {
    map_memory(FRAME_TABLE_BASE, PAGE_SIZE);
    CHECK(syscall(SYS_arch_prctl, ARCH_SET_GS, &cpu) == 0);
    this_cpu->self = &cpu;
    this_cpu->current = &thread;
    thread.process = &process;
    map_memory(PHYSMAP_BASE, (FRAMES + 1) * PAGE_SIZE);
    frames_init(FRAMES + 1);
    for (uint32_t number = 1; number <= FRAMES; number++)
        set_content(number, false); /* what was in RAM before */
    check_all();
    add_state();
    size_t states = search_run(expand);
    printf("frame allocator: %zu states of %d frames, each operation and each pair of two CPUs in each\n", states,
           FRAMES);
    return 0;
}
