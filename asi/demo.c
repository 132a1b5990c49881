/*
 * Owns: the gadget of `make demo`, and the models that stand for what a CPU keeps behind the program's back. It breaks
 * nothing that the invariants speak of: the gadget reads what the loaded tables map, and nothing else.
 *
 * Faithful are: the tables, which are those that are loaded, walked as the CPU walks them; the flushes, which are the
 * ones that the kernel pays or does not pay by its own rules; the bytes. Simulated are: that a branch is mispredicted
 * at all, the cache (a mark for each line), the predictor (one entry), the fill buffer (one line). An entry of the last
 * two lives until this CPU's next IBPB or VERW: it has the count of those (struct cpu's counters) for a date.
 * Locks: none: one CPU (docs/demo.md). Space: the caller's; leaves it where DEMO_OUTSIDE says so.
 */
#include "asi/demo.h"

#ifdef MUTANT_demo

#include <stdbool.h>

#include "arch/cpu.h"
#include "arch/demo_gadget.h"
#include "arch/paging.h"
#include "arch/uaccess.h"
#include "asi/asi.h"
#include "asi/demo_abi.h"
#include "kernel/process.h"
#include "mm/ephmap.h"

#define LINE_BYTES 64

static bool cached[DEMO_LINES]; /* the cache: which lines of the probe array are in it */

static struct {
    bool to_gadget; /* what the predictor says of the one branch that all share */
    uint64_t date;  /* IBPBs of this CPU when it learned that */
} predictor;

static struct {
    uint8_t line[LINE_BYTES];
    uint64_t date; /* VERWs of this CPU when it was filled */
} fill_buffer = {.date = UINT64_MAX};

/* --- The tables, as the CPU goes through them --------------------------------------------------------------------- */

/* The entry of `level` for an address: through the window where that is the loaded root, else through PHYSMAP. */
static pte_t entry_at(frame_t table, vaddr_t address, unsigned level) {
    if (this_cpu->space == SPACE_UNRESTRICTED)
        return ((const pte_t *)physmap(table))[table_index(address, level)];
    return *window_entry(address, level);
}

static void walk(vaddr_t address, struct demo_walk *walk) {
    frame_t table = frame_of(this_cpu->loaded_root & PTE_ADDRESS);
    walk->levels = walk->mapped = 0;
    for (unsigned level = 4; level >= 1; level--) {
        const pte_t entry = entry_at(table, address, level);
        walk->index[walk->levels] = table_index(address, level);
        walk->entry[walk->levels++] = entry;
        if (!pte_present(entry))
            return;
        if (level == 1 || (entry & PTE_LARGE && level < 4)) {
            walk->mapped = (entry & PTE_UNCACHED) != PTE_UNCACHED; /* devices are not speculated on */
            return;
        }
        table = pte_frame(entry);
    }
}

/* --- The gadget --------------------------------------------------------------------------------------------------- */

static bool is_canonical(vaddr_t address) { return (uint64_t)((int64_t)address >> 47) + 1 <= 1; }

/* What the CPU would have in a register for some tens of instructions; false: no translation, nothing is loaded. */
static bool speculate_load(vaddr_t address, uint8_t *value) {
    struct demo_walk found;
    if (!is_canonical(address))
        return false;
    walk(address, &found);
    if (!found.mapped)
        return false;
    if (address < USER_END)
        return copy_from_user_held(value, address, 1) == 0;
    *value = *(const volatile uint8_t *)address;
    return true;
}

/* if (index < size) touch(probe[array[index]]), with a wrong guess. Nothing of it is to be seen but a line. */
static void gadget(vaddr_t address) {
    uint8_t value;
    if (speculate_load(address, &value))
        cached[value] = true;
}

static enum status time_lines(const struct syscall *call) {
    uint16_t ticks[DEMO_LINES];
    if (call->arg[3] < sizeof ticks)
        return ERR_INVALID;
    for (unsigned i = 0; i < DEMO_LINES; i++)
        ticks[i] = cached[i] ? DEMO_HIT : DEMO_MISS;
    return copy_to_user(call->arg[2], ticks, sizeof ticks);
}

/* --- The predictor ------------------------------------------------------------------------------------------------ */

static void leave_for(uint64_t flags) {
    if (flags & DEMO_OUTSIDE)
        asi_exit(ASI_CAUSE_DEBUG);
}

static void train(void) {
    predictor.to_gadget = true;
    predictor.date = this_cpu->counters.control_flushes;
}

/* Where the branch goes in truth is to the instruction behind it. */
static void branch(vaddr_t in_register, uint64_t flags) {
    leave_for(flags);
    if (predictor.to_gadget && predictor.date == this_cpu->counters.control_flushes)
        gadget(in_register);
}

/* --- The fill buffer ---------------------------------------------------------------------------------------------- */

static enum status load(vaddr_t address, uint64_t flags) {
    struct demo_walk found;
    enum status status = OK;
    leave_for(flags);
    if (address < USER_END) {
        status = copy_from_user(fill_buffer.line, address, sizeof fill_buffer.line);
    } else {
        walk(address, &found); /* rightly: it does what the caller may not, but no more than kernel code could */
        if (!found.mapped || address % PAGE_SIZE > PAGE_SIZE - LINE_BYTES)
            return ERR_FAULT;
        for (unsigned i = 0; i < LINE_BYTES; i++)
            fill_buffer.line[i] = ((const volatile uint8_t *)address)[i];
    }
    fill_buffer.date = this_cpu->counters.data_flushes;
    return status;
}

static void sample(uint64_t offset) {
    if (fill_buffer.date == this_cpu->counters.data_flushes)
        cached[fill_buffer.line[offset % LINE_BYTES]] = true;
}

/* --- What the demonstration, not the attacker, needs to know ------------------------------------------------------ */

static void look_in(frame_t frame, struct demo_find *find) {
    const vaddr_t start = (vaddr_t)physmap(frame);
    const uint64_t places = PAGE_SIZE - sizeof(uint64_t) + 1;
    uint64_t first, done = 0;
    while (done < places && find->count < DEMO_FOUND &&
           memory_scan(start + done, places - done, find->masked, find->mask, &first) != 0) {
        find->physical[find->count++] = first - PHYSMAP_BASE;
        done = first - start + 1;
    }
}

static enum status find_pattern(const struct syscall *call) {
    struct demo_find find;
    if (!identity_is_root())
        return ERR_NOT_PERMITTED;
    if (call->arg[3] < sizeof find)
        return ERR_INVALID;
    enum status status = copy_from_user(&find, call->arg[2], sizeof find);
    if (status != OK)
        return status;
    find.count = 0;
    asi_exit(ASI_CAUSE_DEBUG);
    for (frame_t frame = {1}; frame_exists(frame); frame.number++)
        if (find.classes & 1U << frame_info(frame)->class)
            look_in(frame, &find);
    return copy_to_user(call->arg[2], &find, sizeof find);
}

static enum status explain(const struct syscall *call) {
    struct demo_walk found;
    if (call->arg[3] < sizeof found)
        return ERR_INVALID;
    enum status status = copy_from_user(&found, call->arg[2], sizeof found);
    if (status != OK)
        return status;
    if (!is_canonical(found.address))
        return ERR_INVALID;
    found = (struct demo_walk){.address = found.address};
    walk(found.address, &found);
    const frame_t frame = frame_of(found.address - PHYSMAP_BASE);
    if (found.address >= PHYSMAP_BASE && found.address < PHYSMAP_END && frame_exists(frame)) {
        found.class = frame_info(frame)->class;
        found.owner = frame_info(frame)->owner;
    }
    return copy_to_user(call->arg[2], &found, sizeof found);
}

/* The CPU's own speculation. Which way the branch goes is in the data, so that no branch here tells the predictor. */
static enum status spectre(const struct syscall *call) {
    enum { ROUNDS = 64, EACH = 8 };
    struct demo_spectre what;
    if (call->arg[3] < sizeof what)
        return ERR_INVALID;
    enum status status = copy_from_user(&what, call->arg[2], sizeof what);
    const uint64_t bytes = DEMO_LINES * DEMO_STRIDE;
    if (status == OK && !user_range_ok(what.probe, bytes))
        status = ERR_FAULT;
    for (uint64_t at = 0; status == OK && at < bytes; at += PAGE_SIZE)
        status = user_fault_in(what.probe + at, true);
    if (status != OK)
        return status;
    const uint64_t beyond = what.address - (uint64_t)demo_array;
    for (unsigned i = 1; i <= ROUNDS; i++) {
        const uint64_t last = (uint64_t)(i % EACH != 0) - 1; /* all ones in each EACHth round */
        demo_speculate((beyond & last) | (i % DEMO_ARRAY & ~last), what.probe);
    }
    return OK;
}

static void forget(bool predictors) {
    for (unsigned i = 0; i < DEMO_LINES; i++)
        cached[i] = false;
    if (!predictors)
        return;
    predictor.to_gadget = false;
    fill_buffer.date = UINT64_MAX;
}

enum status demo_call(struct syscall *call) {
    switch (call->arg[0]) {
    case DEMO_OP_FORGET:
        forget(call->arg[1] != 0);
        return OK;
    case DEMO_OP_TIME:
        return time_lines(call);
    case DEMO_OP_READ:
        gadget(call->arg[1]);
        return OK;
    case DEMO_OP_TRAIN:
        train();
        return OK;
    case DEMO_OP_BRANCH:
        branch(call->arg[1], call->arg[3]);
        return OK;
    case DEMO_OP_LOAD:
        return load(call->arg[1], call->arg[3]);
    case DEMO_OP_SAMPLE:
        sample(call->arg[1]);
        return OK;
    case DEMO_OP_FIND:
        return find_pattern(call);
    case DEMO_OP_WALK:
        return explain(call);
    case DEMO_OP_SPECTRE:
        return spectre(call);
    default:
        return ERR_INVALID;
    }
}

#else
typedef int nothing_in_other_builds;
#endif
