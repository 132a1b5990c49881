/*
 * The search of the proofs: states in a row, found again by a hash table of places in it.
 */
#include "tests/proof/proof.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>

#include "kernel/panic.h"

const char *proof_operation = "start";

static struct state *states;
static size_t count, room;
static uint32_t *table; /* place + 1; 0: empty */
static size_t slots;
static jmp_buf *catcher;

_Noreturn void proof_failed(const char *file, int line, const char *what) {
    printf("%s:%d: not so, after %s: %s\n", file, line, proof_operation, what);
    exit(1);
}

_Noreturn void panic(const char *format, ...) {
    if (catcher != NULL)
        longjmp(*catcher, 1);
    va_list arguments;
    va_start(arguments, format);
    printf("panic in %s: ", proof_operation);
    vprintf(format, arguments);
    printf("\n");
    va_end(arguments);
    exit(1);
}

bool panics(void (*operation)(void)) {
    jmp_buf here;
    jmp_buf *before = catcher;
    if (setjmp(here) != 0) {
        catcher = before;
        return true;
    }
    catcher = &here;
    operation();
    catcher = before;
    return false;
}

static size_t hash(const struct state *state) {
    uint64_t sum = 14695981039346656037U;
    for (unsigned i = 0; i < STATE_BYTES; i++)
        sum = (sum ^ state->byte[i]) * 1099511628211U;
    return sum ^ sum >> 29;
}

static uint32_t *find(const struct state *state) {
    size_t slot = hash(state) & (slots - 1);
    while (table[slot] != 0 && memcmp(&states[table[slot] - 1], state, sizeof *state) != 0)
        slot = (slot + 1) & (slots - 1);
    return &table[slot];
}

static void grow(void) {
    room = room == 0 ? 1 << 12 : 2 * room;
    slots = 4 * room;
    states = realloc(states, room * sizeof *states);
    free(table);
    table = calloc(slots, sizeof *table);
    CHECK(states != NULL && table != NULL);
    for (size_t i = 0; i < count; i++)
        *find(&states[i]) = (uint32_t)(i + 1);
}

void search_add(const struct state *state) {
    if (count == room)
        grow();
    uint32_t *place = find(state);
    if (*place != 0)
        return;
    states[count] = *state;
    *place = (uint32_t)++count;
}

size_t search_run(void (*expand)(const struct state *state)) {
    for (size_t i = 0; i < count; i++) {
        const struct state state = states[i];
        expand(&state);
    }
    return count;
}

void map_memory(uint64_t address, size_t bytes) {
    void *memory = mmap((void *)address, bytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE | MAP_NORESERVE, -1, 0);
    CHECK(memory == (void *)address);
}
