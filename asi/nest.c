/*
 * Owns: the torture: breakpoints where it begins, the trap flag from there on, and the strikes.
 *
 * The debug exception comes at each instruction of the entry and transition code, on its own stack, and may
 *  - raise an NMI, a machine check or a page fault right there, nested in the debug handler; or
 *  - deliver an NMI or a machine check to the interrupted instruction as the CPU would: the five words on that
 *    exception's stack, and on at its stub, which is stepped in turn. That the interrupted code is found as it was left
 *    is checked when it goes on.
 * Invariants: NEST, RESIDUE, GATE are checked (asi/nest_check.c). Breakpoints are off while a handler runs, so none
 * strikes on the debug stack. Locks: none; the state is the CPU's, interrupts off. Space: any.
 */
#include "asi/nest.h"

#include "arch/apic.h"
#include "arch/cpu.h"
#include "arch/cpu_stacks.h"
#include "arch/debug_registers.h"
#include "arch/msr.h"
#include "arch/selectors.h"
#include "arch/smp.h"
#include "kernel/ksyms.h"
#include "kernel/options.h"
#include "kernel/process.h"
#include "kernel/string.h"

enum { DEBUG_TRAP = 1, NMI = 2, MACHINE_CHECK = 18, BYTES_OF_STUB = 16, RETURN_BREAKPOINT = 3 };
enum { STORM_MAX = 1000000, STORM_PAUSE_MAX = 2000 };
enum flight_kind { FLIGHT_NMI, FLIGHT_MACHINE_CHECK, FLIGHTS };

extern const char entry_text_start[], interrupt_stubs[], nested_common[], nested_return[];

/* A strike that was delivered, until its handler has returned. */
struct flight {
    bool active;
    uint64_t root, gs_base;
    struct trap_frame frame; /* of the interrupted code. Cleared when it has gone on */
};

struct torture {
    struct asi_nest what;
    bool stepping;  /* the last step was in covered code: leaving it now is a call or a return */
    bool returning; /* a delivered strike's handler is on its way back to entry code */
    bool in_debug;  /* the debug handler runs */
    uint64_t random;
    struct flight flights[FLIGHTS];
};

bool nest_watching;
static struct torture tortures[CPU_MAX]; /* owner CPU, interrupts off */

static const struct {
    unsigned vector;
    enum cpu_stack stack;
    uint32_t strike;
} kinds[FLIGHTS] = {{NMI, CPU_STACK_NMI, ASI_STRIKE_NMI_HERE},
                    {MACHINE_CHECK, CPU_STACK_MACHINE_CHECK, ASI_STRIKE_MACHINE_CHECK_HERE}};

static struct torture *own(void) { return &tortures[this_cpu->index]; }

static void count(uint64_t *counter) { __atomic_fetch_add(counter, 1, __ATOMIC_RELAXED); }

static uint32_t random_below(struct torture *torture, uint32_t limit) {
    torture->random ^= torture->random << 13;
    torture->random ^= torture->random >> 7;
    torture->random ^= torture->random << 17;
    return (uint32_t)(torture->random >> 32) % limit;
}

static void mark(uint8_t *map, uint64_t rip) {
    uint64_t bit = rip - (uint64_t)entry_text_start;
    if (bit < ASI_NEST_TEXT)
        __atomic_fetch_or(&map[bit / 8], (uint8_t)(1 << bit % 8), __ATOMIC_RELAXED);
}

/* --- Delivered strikes -------------------------------------------------------------------------------------------- */

/* What the CPU would do: push on the exception's stack, go to its stub. It is stepped because the trap flag stays. */
static void deliver(struct trap_frame *frame, enum flight_kind kind, uint64_t root, uint64_t gs_base) {
    struct flight *flight = &own()->flights[kind];
    uint64_t *top = (uint64_t *)(CPU_STACK_TOP(this_cpu->index, kinds[kind].stack) - CPU_STACK_RESERVED);
    flight->active = true;
    flight->root = root;
    flight->gs_base = gs_base;
    memcpy(&flight->frame, frame, sizeof *frame); /* not by way of the stack: RESIDUE */
    top[-1] = frame->ss;
    top[-2] = frame->rsp;
    top[-3] = frame->rflags;
    top[-4] = frame->cs;
    top[-5] = frame->rip;
    frame->rip = (uint64_t)interrupt_stubs + kinds[kind].vector * BYTES_OF_STUB;
    frame->rsp = (uint64_t)(top - 5);
    frame->rflags = (frame->rflags & ~(RFLAGS_INTERRUPT | RFLAGS_NESTED | RFLAGS_ALIGNMENT)) | RFLAGS_TRAP;
    frame->cs = KERNEL_CS;
    frame->ss = KERNEL_DS;
    count(&nest_report.delivered);
}

/* All registers, and the flags but for those that the torture itself sets. */
static bool same_registers(const struct trap_frame *a, const struct trap_frame *b) {
    const uint64_t ignored = RFLAGS_TRAP | RFLAGS_RESUME;
    return memcmp(a, b, __builtin_offsetof(struct trap_frame, vector)) == 0 && a->rip == b->rip && a->rsp == b->rsp &&
           a->cs == b->cs && a->ss == b->ss && ((a->rflags ^ b->rflags) & ~ignored) == 0;
}

/* Whether `frame` is where a delivered strike came in; then it must be as it was. */
static bool land(const struct trap_frame *frame, uint64_t root, uint64_t gs_base) {
    struct torture *torture = own();
    for (unsigned kind = 0; kind < FLIGHTS; kind++) {
        struct flight *flight = &torture->flights[kind];
        if (!flight->active || frame->rip != flight->frame.rip || frame->rsp != flight->frame.rsp)
            continue;
        flight->active = false;
        if (!same_registers(frame, &flight->frame))
            nest_violation("NEST: registers changed under a strike", frame->rip, kinds[kind].vector);
        if (root != flight->root)
            nest_violation("NEST: CR3 changed under a strike", frame->rip, root);
        if (gs_base != flight->gs_base)
            nest_violation("NEST: %gs changed under a strike", frame->rip, gs_base);
        memset(&flight->frame, 0, sizeof flight->frame);
        count(&nest_report.resumed);
        nest_check_stack_left(kinds[kind].stack);
        return true;
    }
    return false;
}

/* A kind of strike that none is under way of: an NMI comes in no NMI, and neither comes in a machine check's. */
static bool choose(struct torture *torture, enum flight_kind *kind) {
    enum flight_kind chosen = random_below(torture, 2) == 0 ? FLIGHT_NMI : FLIGHT_MACHINE_CHECK;
    if (!(torture->what.strikes & kinds[chosen].strike))
        return false;
    *kind = chosen;
    return !torture->flights[chosen].active && !torture->flights[FLIGHT_MACHINE_CHECK].active;
}

/* --- Steps -------------------------------------------------------------------------------------------------------- */

/* Neither exception comes while its handler runs: the CPU sees to it for NMIs, and stops at a second machine check. */
static void strike_nested(struct torture *torture) {
    switch (torture->what.strikes & (1U << random_below(torture, 3))) {
    case ASI_STRIKE_NMI:
        if (!torture->flights[FLIGHT_NMI].active)
            debug_strike_nmi();
        break;
    case ASI_STRIKE_MACHINE_CHECK:
        if (!torture->flights[FLIGHT_MACHINE_CHECK].active)
            debug_strike_machine_check();
        break;
    case ASI_STRIKE_FAULT:
        debug_strike_page_fault();
        count(&nest_report.faults);
        break;
    default:
        break;
    }
}

static void strike(struct trap_frame *frame, uint64_t root, uint64_t gs_base) {
    struct torture *torture = own();
    enum flight_kind kind;
    if (random_below(torture, torture->what.one_in) != 0)
        return;
    if (random_below(torture, 2) == 0) {
        strike_nested(torture);
    } else if (choose(torture, &kind)) {
        mark(nest_report.struck, frame->rip);
        deliver(frame, kind, root, gs_base);
    }
}

/* The debug exception's own way: no breakpoint may be on it. */
static bool on_handlers_way(uint64_t rip) {
    return (rip >= (uint64_t)nested_common && rip <= (uint64_t)nested_return) ||
           rip - (uint64_t)interrupt_stubs - DEBUG_TRAP * BYTES_OF_STUB < BYTES_OF_STUB;
}

/* Entry code has called C: go on where it comes back. Delivered strikes have another way to (nest_strike). */
static void expect_return(const struct trap_frame *frame) {
    uint64_t back = *(const uint64_t *)frame->rsp;
    if (nest_covers(back) && !on_handlers_way(back))
        debug_set(RETURN_BREAKPOINT, back);
}

static void step(struct trap_frame *frame, uint64_t root, uint64_t gs_base) {
    struct torture *torture = own();
    const bool landed = land(frame, root, gs_base);
    nest_check(frame, root, gs_base);
    count(&nest_report.steps);
    frame->rflags |= RFLAGS_RESUME;
    if (nest_covers(frame->rip)) {
        count(&nest_report.covered_steps);
        mark(nest_report.stepped, frame->rip);
        frame->rflags |= RFLAGS_TRAP;
        torture->stepping = true;
        torture->returning = false;
        if (!landed)
            strike(frame, root, gs_base);
        return;
    }
    if (torture->stepping)
        expect_return(frame);
    torture->stepping = false;
    if (!torture->returning && (!torture->what.through || this_cpu->current == this_cpu->idle))
        frame->rflags &= ~RFLAGS_TRAP;
}

/* The handler of a delivered strike. */
static bool is_flight(const struct torture *torture, const struct trap_frame *frame) {
    for (unsigned kind = 0; kind < FLIGHTS; kind++)
        if (frame_vector(frame) == kinds[kind].vector)
            return torture->flights[kind].active;
    return false;
}

static bool on_stack(uint64_t rsp, enum cpu_stack stack) {
    uint64_t top = CPU_STACK_TOP(this_cpu->index, stack);
    return rsp <= top && rsp > top - CPU_STACK_SIZE;
}

bool nest_strike(struct trap_frame *frame, uint64_t user_root, uint64_t gs_base) {
    struct torture *torture = own();
    const uint64_t root = user_root != 0 ? user_root & ~(PAGE_SIZE - 1) : debug_root();
    if (frame_vector(frame) == DEBUG_TRAP) {
        debug_disarm();
        torture->in_debug = true;
        step(frame, root, gs_base);
        torture->in_debug = false;
        debug_forget_status();
        if (torture->what.one_in != 0)
            debug_arm();
        else
            frame->rflags &= ~RFLAGS_TRAP;
        return true;
    }
    nest_check(frame, root, gs_base);
    if (!torture->in_debug && !on_stack(frame->rsp, CPU_STACK_DEBUG))
        nest_check_stack_left(CPU_STACK_DEBUG);
    count(frame_vector(frame) == NMI ? &nest_report.nmis : &nest_report.machine_checks);
    torture->returning = !torture->in_debug && is_flight(torture, frame);
    if (torture->returning)
        debug_step_from_here();
    return frame_vector(frame) == MACHINE_CHECK; /* an NMI may be a panic's, too */
}

bool nest_strike_user(struct trap_frame *frame) {
    struct torture *torture = own();
    const unsigned vector = frame_vector(frame);
    enum flight_kind kind;
    if (vector == NMI || vector == MACHINE_CHECK) {
        count(vector == NMI ? &nest_report.nmis : &nest_report.machine_checks);
        return vector == MACHINE_CHECK;
    }
    if (vector != DEBUG_TRAP || torture->what.one_in == 0 || (frame->rflags & RFLAGS_TRAP))
        return false;
    debug_forget_status();
    debug_set(RETURN_BREAKPOINT, 0); /* were this way back stepped, too, iretq would lead here again, for ever */
    frame->rflags |= RFLAGS_RESUME;
    /* A handler of work would take the frame for one of user code. */
    bool may_strike = !land(frame, debug_root(), debug_other_gs_base()) && this_cpu->current->work == 0;
    if (may_strike && (torture->what.strikes & ASI_STRIKE_USER_HERE) && choose(torture, &kind)) {
        count(&nest_report.user_strikes);
        deliver(frame, kind, debug_root(), debug_other_gs_base());
        torture->flights[kind].frame.rflags &= ~RFLAGS_RESUME;
    }
    return true;
}

/* --- Control ------------------------------------------------------------------------------------------------------ */

static bool allowed(void) {
    char value[4];
    return option_get("torture", value, sizeof value) && strcmp(value, "1") == 0;
}

/* A label, or "stub N". */
static bool find_start(const char *text, uint64_t *address) {
    if (memcmp(text, "stub ", 5) != 0)
        return ksym_find(text, address) && nest_covers(*address) && !on_handlers_way(*address);
    unsigned vector = 0;
    for (text += 5; *text >= '0' && *text <= '9'; text++)
        vector = vector * 10 + (unsigned)(*text - '0');
    *address = (uint64_t)interrupt_stubs + vector * BYTES_OF_STUB;
    return *text == '\0' && vector < 256 && !on_handlers_way(*address);
}

enum status nest_start(const struct asi_nest *what) {
    uint64_t starts[ASI_NEST_STARTS] = {0};
    if (!allowed())
        return ERR_NOT_PERMITTED;
    if (what->one_in == 0 || what->seed == 0)
        return ERR_INVALID;
    for (unsigned i = 0; i < ASI_NEST_STARTS; i++) {
        char label[sizeof what->start[i]];
        strlcpy(label, what->start[i], sizeof label);
        if (label[0] != '\0' && !find_start(label, &starts[i]))
            return ERR_INVALID;
    }
    bool irq = irq_save();
    *own() = (struct torture){.what = *what, .random = what->seed};
    nest_report.text = (uint64_t)entry_text_start;
    nest_watching = true;
    for (unsigned i = 0; i < ASI_NEST_STARTS; i++)
        debug_set(i, starts[i]);
    debug_set(RETURN_BREAKPOINT, 0);
    debug_arm();
    irq_restore(irq);
    return OK;
}

enum status nest_stop(void) {
    if (!allowed())
        return ERR_NOT_PERMITTED;
    bool irq = irq_save();
    nest_watching = false; /* first: this code may be stepped itself, and a step arms the breakpoints again */
    debug_disarm();
    *own() = (struct torture){0};
    irq_restore(irq);
    return OK;
}

enum status nest_storm(uint64_t cpu, uint64_t number) {
    if (!allowed())
        return ERR_NOT_PERMITTED;
    if (cpu >= cpu_count || number > STORM_MAX)
        return ERR_INVALID;
    for (unsigned i = 0; i < cpu_count; i++)
        if (tortures[i].what.one_in != 0)
            return ERR_BUSY; /* the CPU does not know that a delivered NMI is one: another would take its stack */
    struct torture pauses = {.random = tsc_read() | 1};
    const bool was_watching = __atomic_exchange_n(&nest_watching, true, __ATOMIC_SEQ_CST);
    for (; number > 0; number--) {
        apic_send_nmi((unsigned)cpu);
        for (uint32_t pause = random_below(&pauses, STORM_PAUSE_MAX); pause > 0; pause--)
            __builtin_ia32_pause();
    }
    __atomic_store_n(&nest_watching, was_watching, __ATOMIC_SEQ_CST);
    return OK;
}
