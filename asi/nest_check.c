/*
 * Owns: what must hold of a CPU at any instruction (NEST), compared with what was found where it was struck.
 *
 * Nothing here is taken from the code under test but the labels of its few exceptions: CR3 and the GS bases are read
 * from the CPU, the roots come from the process.
 * Locks: none. Space: whichever is loaded; it touches GLOBAL memory and the stacks of the CPU only, and takes no fault.
 * Runs inside handlers, interrupts off.
 */
#include "arch/cpu.h"
#include "arch/cpu_stacks.h"
#include "arch/debug_registers.h"
#include "asi/nest.h"
#include "kernel/print.h"
#include "kernel/process.h"
#include "mm/roots.h"

extern const char entry_text_start[], entry_text_end[], transition_text_start[], transition_text_end[];
extern const char syscall_entry[], syscall_on_stack[], sysret_off_stack[], syscall_split[], syscall_split_on_stack[];
extern const char interrupt_common[], interrupt_swapped[], nested_common[], nested_return[], interrupt_stubs[];
extern const char exit_root[], exit_root_noted[], enter_root[], enter_root_noted[], switch_root[], switch_root_noted[];

enum { BYTES_OF_STUB = 16, VECTORS = 256 };

struct asi_nest_report nest_report;

static bool within(uint64_t rip, const char *first, const char *end) {
    return rip >= (uint64_t)first && rip < (uint64_t)end;
}

static bool in_entry(uint64_t rip) { return within(rip, entry_text_start, entry_text_end); }
static bool in_transition(uint64_t rip) { return within(rip, transition_text_start, transition_text_end); }
bool nest_covers(uint64_t rip) { return in_entry(rip) || in_transition(rip); }

static bool code_is(uint64_t rip, unsigned first, unsigned second, unsigned third) {
    const uint8_t *code = (const uint8_t *)rip;
    return code[0] == first && code[1] == second && (code[2] & 0xf8) == (third & 0xf8);
}
/* swapgs lies behind, sysret or iretq ahead: both begin with REX.W, and nothing that follows an entry's swapgs does. */
static bool leaves_kernel(uint64_t rip) {
    return nest_covers(rip - 3) && code_is(rip - 3, 0x0f, 0x01, 0xf8) && *(const uint8_t *)rip == 0x48;
}
static bool after_cr3_write(uint64_t rip) { return nest_covers(rip - 3) && code_is(rip - 3, 0x0f, 0x22, 0xd8); }

void nest_violation(const char *what, uint64_t rip, uint64_t value) {
    if (__atomic_fetch_add(&nest_report.violations, 1, __ATOMIC_RELAXED) == 0)
        format_string(nest_report.first, sizeof nest_report.first, "%s: at %#lx, found %#lx, CPU %u", what,
                      (unsigned long)rip, (unsigned long)value, this_cpu->index);
}

static void expect(bool holds, const char *what, uint64_t rip, uint64_t value) {
    if (!holds)
        nest_violation(what, rip, value);
}

static bool on_cpu_stack(const struct cpu *cpu, uint64_t rsp) {
    for (unsigned stack = 0; stack < CPU_STACKS; stack++) {
        uint64_t top = CPU_STACK_TOP(cpu->index, stack);
        if (rsp <= top && rsp >= top - CPU_STACK_SIZE)
            return true;
    }
    return false;
}

/* --- Roots -------------------------------------------------------------------------------------------------------- */

static uint64_t bare(uint64_t root) { return root & ~(PAGE_SIZE - 1) & ~(1UL << 63); }

static bool is_root_of(const struct process *process, uint64_t root, enum space *space) {
    *space = SPACE_UNRESTRICTED;
    if (root == frame_address(process->roots.unrestricted))
        return true;
    if (this_cpu->split && root == frame_address(process->roots.user))
        return true;
    *space = SPACE_RESTRICTED;
    return root == frame_address(process->roots.restricted);
}

/* switch_to() notes the next process before context_switch loads its root. */
static bool may_be_between_processes(uint64_t rip) { return !in_entry(rip); }

static bool in_root_window(uint64_t rip) {
    return (within(rip, exit_root, exit_root_noted) && rip != (uint64_t)exit_root) ||
           (within(rip, enter_root, enter_root_noted) && rip != (uint64_t)enter_root) ||
           (within(rip, switch_root, switch_root_noted) && rip != (uint64_t)switch_root);
}

/* Ring 3 has just been left: what it ran with is still loaded. */
static bool just_left_user(const struct trap_frame *frame) {
    if (frame->rip == (uint64_t)syscall_entry)
        return true;
    if (frame->rip != (uint64_t)interrupt_common && frame->rip != (uint64_t)nested_common)
        return false;
    const uint64_t *pushed = (const uint64_t *)frame->rsp; /* vector, error code, rip, cs */
    return (pushed[3] & 3) == 3;
}

static void check_root(const struct trap_frame *frame, uint64_t root) {
    const struct cpu *cpu = cpu_self();
    const uint64_t rip = frame->rip;
    enum space space;
    bool known = is_root_of(cpu->loaded, root, &space);
    const bool in_handler = on_cpu_stack(cpu, frame->rsp); /* what it met may be any instruction */
    if (!known && (in_handler || may_be_between_processes(rip)) && root == bare(cpu->loaded_root))
        return;
    expect(known, "NEST: CR3 is no root of the process", rip, root);
    if (!known || in_handler)
        return;
    if (!in_root_window(rip))
        expect(cpu->space == space, "NEST: cpu->space and CR3 disagree", rip, root);
    bool is_user_root = cpu->split && root == frame_address(cpu->loaded->roots.user);
    if (!after_cr3_write(rip) && !is_user_root) /* the handler has loaded the kernel's instead, and noted it */
        expect(bare(cpu->loaded_root) == root, "NEST: loaded_root and CR3 disagree", rip, root);
    expect(!is_user_root || in_entry(rip), "NEST: the user root outside the entry code", rip, root);
    if (just_left_user(frame))
        expect(root == bare(cpu->split ? cpu->user_root : cpu->home_root), "GATE: ring 3 had another root", rip, root);
}

/* --- Segments ----------------------------------------------------------------------------------------------------- */

static void check_segments(const struct trap_frame *frame, uint64_t gs_base) {
    const uint64_t rip = frame->rip, cpu = (uint64_t)cpu_self(), other = debug_other_gs_base();
    const bool stub = within(rip, interrupt_stubs, interrupt_stubs + VECTORS * BYTES_OF_STUB);
    const bool nested = within(rip, nested_common, nested_return);
    const bool at_entry = stub || within(rip, interrupt_common, interrupt_swapped) || rip == (uint64_t)nested_return;
    if (rip == (uint64_t)syscall_entry || leaves_kernel(rip))
        expect(gs_base != cpu && other == cpu, "NEST: %gs is not the user's", rip, gs_base);
    else if (at_entry || nested)
        expect(gs_base == cpu || other == cpu, "NEST: %gs is nobody's", rip, gs_base);
    else
        expect(gs_base == cpu, "NEST: %gs is not the CPU's", rip, gs_base);
}

/* --- Stacks ------------------------------------------------------------------------------------------------------- */

static bool rsp_is_no_stack(uint64_t rip) {
    return within(rip, syscall_entry, syscall_on_stack) || within(rip, sysret_off_stack, syscall_split) ||
           within(rip, syscall_split, syscall_split_on_stack);
}

static bool on_current_stack(const struct cpu *cpu, uint64_t rsp) {
    return rsp <= cpu->stack_top && rsp >= cpu->stack_top - STACK_SIZE;
}

/* Its address is made in two steps, from that of struct cpu. */
static bool on_entry_stack(const struct cpu *cpu, uint64_t rsp) {
    uint64_t bottom = (uint64_t)cpu->entry_stack;
    if (cpu->split && rsp == (uint64_t)cpu)
        return true;
    return cpu->split && rsp >= bottom && rsp <= bottom + sizeof cpu->entry_stack;
}

/* Of a thread of this process, or of idle. */
static bool on_any_stack(uint64_t rsp) {
    return (rsp >= STACK_BASE && rsp < STACK_BASE + PAGE_DIRECTORY_SPAN) || rsp >= GLOBAL_BASE;
}

static void check_stack(const struct trap_frame *frame) {
    const struct cpu *cpu = cpu_self();
    const uint64_t rip = frame->rip, rsp = frame->rsp;
    if (rsp_is_no_stack(rip))
        return;
    const bool switching = may_be_between_processes(rip) || cpu->current == cpu->idle;
    expect(on_current_stack(cpu, rsp) || on_cpu_stack(cpu, rsp) || on_entry_stack(cpu, rsp) ||
               (switching && on_any_stack(rsp)),
           "NEST: rsp is on no stack of the CPU's", rip, rsp);
}

/* --- RESIDUE ------------------------------------------------------------------------------------------------------ */

/* What push_registers puts there; the constant words above it (vector to ss) say where the CPU was in kernel code. */
enum { REGISTERS = 15 };

void nest_check_stack_left(unsigned stack) {
    const uint64_t top = CPU_STACK_TOP(this_cpu->index, stack) - CPU_STACK_RESERVED;
    const struct trap_frame *left = (const struct trap_frame *)(top - sizeof(struct trap_frame));
    const uint64_t *words = (const uint64_t *)left;
    for (unsigned i = 0; i < REGISTERS; i++)
        expect(words[i] == 0, "RESIDUE: a register is left on a CPU's stack", left->rip, i);
    /* Classic has no restricted space that could show it, and its user root no stack to avoid it by. */
    expect(this_cpu->split || left->rsp == 0 || left->rsp >= USER_END, "RESIDUE: the user's stack pointer is left",
           left->rip, left->rsp);
}

/* Classic's entry stack, and the words of struct cpu that hold a register for a moment. */
static void check_cpu_page(uint64_t rip, uint64_t rsp) {
    const struct cpu *cpu = cpu_self();
    if (in_entry(rip) || on_cpu_stack(cpu, rsp))
        return;
    expect(cpu->scratch == 0, "RESIDUE: cpu->scratch", rip, cpu->scratch);
    expect(cpu->user_rsp == 0, "RESIDUE: cpu->user_rsp", rip, cpu->user_rsp);
}

void nest_check(const struct trap_frame *frame, uint64_t root, uint64_t gs_base) {
    __atomic_fetch_add(&nest_report.checks, 1, __ATOMIC_RELAXED);
    check_root(frame, root);
    check_segments(frame, gs_base);
    check_stack(frame);
    check_cpu_page(frame->rip, frame->rsp);
}
