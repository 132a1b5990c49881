/*
 * Draws layouts from the caller's own random generator (kernel/random.h).
 *
 * As many bits as Linux takes on x86-64: 28 of pages for position-independent programs and for mappings, 22 for the
 * stack, 13 for the heap. With aslr=off at boot, or after personality(ADDR_NO_RANDOMIZE), each part lies where it
 * always does; only the secret is drawn all the same. No locks. Any space; nothing is GLOBAL but the boot option.
 */
#include "kernel/layout.h"

#include "kernel/local.h"
#include "kernel/options.h"
#include "kernel/random.h"
#include "kernel/string.h"
#include "kernel/syscall_table.h"

enum { MAPPING_BITS = 28, STACK_BITS = 22, HEAP_BITS = 13 };
enum { ADDR_NO_RANDOMIZE = 0x0040000 };
#define PERSONALITY_QUERY 0xffffffffU

#define STACK_SPAN (PAGE_SIZE << STACK_BITS)

/* Where a position-independent program begins at the lowest: far from the heap's and the mappings' ways. */
#define PROGRAM_BASE (USER_END / 3 * 2 & ~(PAGE_SIZE - 1))
_Static_assert(PROGRAM_BASE + (PAGE_SIZE << MAPPING_BITS) <
                   USER_MMAP_TOP - STACK_SPAN - (PAGE_SIZE << MAPPING_BITS) - (8UL << 40),
               "8 TiB between programs and mappings, however both fall");

static bool switched_off; /* constant after start-up */

void layout_init(void) {
    char value[8];

    switched_off = option_get("aslr", value, sizeof(value)) && strcmp(value, "off") == 0;
}

static uint64_t pages(uint32_t random, unsigned bits) { return (uint64_t)(random & ((1U << bits) - 1)) * PAGE_SIZE; }

void layout_choose(struct layout *layout) {
    struct {
        uint64_t secret;
        uint32_t program, mappings, stack, heap, gap;
    } random;

    random_bytes(&random, sizeof(random));
    *layout = (struct layout){
        .stack_top = USER_STACK_TOP, .program_base = PROGRAM_BASE, .address_secret = random.secret & ~3UL};
    if (switched_off || LOCAL->personality & ADDR_NO_RANDOMIZE)
        return;
    layout->stack_top -= pages(random.stack, STACK_BITS);
    layout->stack_gap = random.gap % PAGE_SIZE & ~15UL;
    layout->program_base += pages(random.program, MAPPING_BITS);
    layout->mmap_shift = STACK_SPAN + pages(random.mappings, MAPPING_BITS);
    layout->heap_gap = pages(random.heap, HEAP_BITS);
}

/* Linux stores whatever it is given; of it, only ADDR_NO_RANDOMIZE changes anything here. */
enum status sys_personality(struct syscall *call) {
    uint32_t wanted = (uint32_t)call->arg[0];

    call->result = LOCAL->personality;
    if (wanted != PERSONALITY_QUERY)
        LOCAL->personality = wanted;
    return OK;
}
