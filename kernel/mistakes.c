/*
 * Mistakes made on purpose (kernel/mistakes.h): one for each thing that a debug build checks. Each function makes one,
 * and returns only if nobody noticed. No locks but its own, no invariant. tests/debug has the message that each must
 * lead to. Space: that of the first process.
 */
#include "kernel/mistakes.h"

#ifdef MUTANT_mistakes

#include <stdbool.h>
#include <stdint.h>

#include "arch/spinlock.h"
#include "kernel/options.h"
#include "kernel/panic.h"
#include "kernel/string.h"
#include "mm/heap.h"

#pragma GCC diagnostic ignored "-Wvla"
#pragma GCC diagnostic ignored "-Wnonnull"
#pragma GCC diagnostic ignored "-Wuse-after-free"
#pragma GCC diagnostic ignored "-Warray-bounds"

/* What the compiler cannot know. */
static volatile int largest = INT32_MAX, least = INT32_MIN, zero, four = 4, hundred = 100;
static volatile unsigned char two = 2;
static volatile uintptr_t last_address = UINTPTR_MAX - 8;
static void *volatile nowhere;
static volatile uint64_t sink;

/* --- Undefined behaviour ------------------------------------------------------------------------------------------ */

static void add(void) { sink = (uint64_t)(largest + four); }
static void subtract(void) { sink = (uint64_t)(least - four); }
static void multiply(void) { sink = (uint64_t)(largest * four); }
static void divide(void) { sink = (uint64_t)(four / zero); }
static void negate(void) { sink = (uint64_t)(-least); }
static void shift(void) { sink = (uint64_t)(four << hundred); }

static void pointer(void) {
    char *last = (char *)last_address;
    sink = (uint64_t)(uintptr_t)&last[hundred];
}

static void array_index(void) {
    static uint64_t array[4];
    sink = array[four];
}

static void misaligned(void) {
    static uint64_t pair[2];
    sink = *(uint64_t *)((uintptr_t)pair + (uintptr_t)four - 1);
}

static void empty_array(void) {
    char array[zero];
    sink = (uint64_t)(uintptr_t)array;
}

static void boolean(void) {
    bool value;
    unsigned char byte = two;
    memcpy(&value, &byte, 1);
    sink = value;
}

static void unreachable(void) {
    if (four == 4)
        __builtin_unreachable();
}

static void builtin(void) { sink = (uint64_t)__builtin_ctz((unsigned)zero); }

__attribute__((nonnull, noinline)) static void needs_one(const void *object) { sink = (uint64_t)(uintptr_t)object; }
static void null_argument(void) { needs_one(nowhere); }

/* --- Stack, locks, heaps ------------------------------------------------------------------------------------------ */

__attribute__((noinline)) static void fill(volatile char *to, int bytes) {
    for (int i = 0; i < bytes; i++)
        to[i] = 1;
}

static void stack(void) {
    char array[16];
    fill(array, hundred);
}

static void lock_order(void) {
    static struct spinlock first = SPINLOCK_INIT(RANK_FRAMES), second = SPINLOCK_INIT(RANK_VIEWS);
    spin_lock(&first);
    spin_lock(&second);
}

static void lock_twice(void) {
    static struct spinlock lock = SPINLOCK_INIT(RANK_FRAMES);
    spin_lock(&lock);
    spin_lock(&lock);
}

static void global_after_free(void) {
    uint64_t *volatile chunk = global_alloc(96);
    uint64_t *volatile keeps_the_page = global_alloc(96);
    (void)keeps_the_page;
    global_free(chunk, 96);
    chunk[5] = 1;
    sink = (uint64_t)(uintptr_t)global_alloc(96);
}

static void global_read_after_free(void) {
    uint64_t **volatile chunk = global_alloc(96);
    uint64_t *volatile keeps_the_page = global_alloc(96);
    (void)keeps_the_page;
    global_free(chunk, 96);
    sink = *chunk[5];
}

static void global_free_twice(void) {
    uint64_t *volatile chunk = global_alloc(96);
    uint64_t *volatile keeps_the_page = global_alloc(96);
    (void)keeps_the_page;
    global_free(chunk, 96);
    global_free(chunk, 96);
}

static void local_after_free(void) {
    uint64_t *volatile chunk = local_alloc(128);
    local_free(chunk, 128);
    chunk[15] = 1;
    sink = (uint64_t)(uintptr_t)local_alloc(128);
}

static void local_free_twice(void) {
    uint64_t *volatile chunk = local_alloc(128);
    local_free(chunk, 128);
    local_free(chunk, 128);
}

static const struct mistake {
    const char *name;
    void (*make)(void);
} mistakes[] = {
    {"add", add},
    {"subtract", subtract},
    {"multiply", multiply},
    {"divide", divide},
    {"negate", negate},
    {"shift", shift},
    {"pointer", pointer},
    {"index", array_index},
    {"misaligned", misaligned},
    {"empty-array", empty_array},
    {"boolean", boolean},
    {"unreachable", unreachable},
    {"builtin", builtin},
    {"null-argument", null_argument},
    {"stack", stack},
    {"lock-order", lock_order},
    {"lock-twice", lock_twice},
    {"global-after-free", global_after_free},
    {"global-read-after-free", global_read_after_free},
    {"global-free-twice", global_free_twice},
    {"local-after-free", local_after_free},
    {"local-free-twice", local_free_twice},
};

void mistake_make(void) {
    char name[32];
    if (!option_get("mistake", name, sizeof name))
        return;
    for (unsigned i = 0; i < sizeof mistakes / sizeof mistakes[0]; i++)
        if (strcmp(mistakes[i].name, name) == 0)
            mistakes[i].make();
    panic("mistake %s: nobody noticed", name);
}

#else
typedef int nothing_in_other_builds;
#endif
