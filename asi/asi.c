/*
 * Owns: the policy of the crossings: when the restricted space is left, what each crossing pays, and the counters of
 * both. The crossings themselves are arch/transition.asm.
 *
 * Invariants: GATE, FLUSH-CONTROL, FLUSH-DATA.
 * The control taint of the process's own user code needs no bit: each kernel entry from user code pushes a fresh frame,
 * and a flush marks the frame; so an unmarked frame is the taint. A thread that comes back after others of its process
 * loses its mark, for they may have run user code. Of other processes the CPU has a history, by trust domains, added to
 * where a switch did not flush; what it makes a process owe is asi/trust.c's.
 * Locks: none; state of the running CPU, interrupts off. Space: called in both.
 */
#include "asi/asi.h"

#include "arch/transition.h"
#include "asi/mutant.h"
#include "asi/sites.h"
#include "asi/trust.h"
#include "kernel/assert.h"
#include "kernel/process.h"
#include "mm/ephmap.h"
#include "mm/object.h"
#include "mm/roots.h"
#include "mm/tags.h"

/* Set in the user frame's vector word by a control flush; arch/entry.asm compares the low 16 bits only. */
#define FRAME_FLUSHED (1UL << 32)

enum asi_mode asi_mode = ASI_MODE_NONE; /* until the first process is made: start-up runs unrestricted */
struct asi_flush asi_flush = {.kind = ASI_FLUSH_OFF};

static bool flushes(void) { return asi_flush.kind != ASI_FLUSH_OFF; }

void asi_mark_frame(bool flushed) {
    if (thread_current() == this_cpu->idle)
        return;
    uint64_t *vector = &thread_user_frame()->vector;
    *vector = flushed ? *vector | FRAME_FLUSHED : *vector & ~FRAME_FLUSHED;
}

static bool control_tainted(void) {
    if (this_cpu->control_history != 0)
        return true; /* others' code, trusted or not: what is out there is not the process's to trust anybody with */
    if (thread_current() == this_cpu->idle)
        return true; /* whose user code ran last is not on this stack */
    return !(thread_user_frame()->vector & FRAME_FLUSHED);
}

void asi_note_roots(struct cpu *cpu, const struct process *process) { tags_note_roots(cpu, process); }

/* --- Flushes are counted, and forget what they were owed for ------------------------------------------------------ */

static void note_control_flush(struct cpu *cpu, struct process *process) {
    cpu->counters.control_flushes++;
    counter_add(&process->counters.control_flushes, 1);
    cpu->control_history = 0;
}

/* (Those of a CPU are counted where the instruction is, in arch/transition.inc.) */
static void note_data_flush(struct cpu *cpu, struct process *process) {
    counter_add(&process->counters.data_flushes, 1);
    cpu->data_history = 0;
}

/* --- Exit --------------------------------------------------------------------------------------------------------- */

void asi_leave(enum asi_cause cause, uint64_t site) {
    struct cpu *cpu = cpu_self();
    struct process *process = process_current();
    uint32_t flags = CROSS_UNRESTRICTED;
    ensure(cpu->space == SPACE_RESTRICTED);
    if (flushes() && control_tainted() && !mutant(exit_without_control_flush)) {
        flags |= CROSS_CONTROL_FLUSH;
        note_control_flush(cpu, process);
        asi_mark_frame(true);
    }
    cpu->counters.exits[cause]++;
    counter_add(&process->counters.exits[cause], 1);
    counter_add(&process->counters.cr3_writes, 1);
    asi_site_record(site, cause);
    cpu->taints |= TAINT_DATA_KERNEL;
    cpu->current->stack_dirty |= 1 << SPACE_UNRESTRICTED;
    ephmap_note_cr3_write();
    __atomic_or_fetch(&cpu->current->work, WORK_SPACE, __ATOMIC_RELAXED);
    transition_exit(tags_root(cpu->loaded, SPACE_UNRESTRICTED), flags);
}

void asi_exit(enum asi_cause cause) {
    uint64_t site = (uint64_t)__builtin_return_address(0);
    bool irq = irq_save();
    if (this_cpu->space == SPACE_RESTRICTED)
        asi_leave(cause, site);
    irq_restore(irq);
}

/* What was touched says why, better than the code that touched it could. */
static enum asi_cause cause_of(uint64_t address) {
    frame_t frame = frame_of(address - PHYSMAP_BASE);
    if (!frame_exists(frame))
        return ASI_CAUSE_OTHER;
    const struct frame *info = frame_info(frame);
    if (info->class == FRAME_SECRET && info->object != NULL)
        return (enum asi_cause)info->object->exit_cause;
    return this_cpu->expected_cause;
}

void asi_physmap_fault(uint64_t address, uint64_t site) {
    asi_leave(cause_of(address), site);
    this_cpu->expected_cause = ASI_CAUSE_OTHER;
}

/* --- Enter -------------------------------------------------------------------------------------------------------- */

/* Trust has changed under the loaded process: it may be where no switch would bring it now without a flush. */
static void pay_after_change(struct cpu *cpu, struct process *process) {
    uint32_t flags = trust_debts(NULL, process);
    if (asi_mode == ASI_MODE_CLASSIC)
        flags &= CROSS_CONTROL_FLUSH;
    if (flags & CROSS_CONTROL_FLUSH)
        note_control_flush(cpu, process);
    if (flags & CROSS_DATA_FLUSH)
        note_data_flush(cpu, process); /* what the kernel left outside is paid for where it enters */
    transition_flush(flags);
}

uint64_t asi_prepare_return(uint32_t *flags) {
    struct cpu *cpu = cpu_self();
    struct process *process = process_current();
    enum space home = asi_home_space();
    *flags = 0;
    if (trust_has_changed() && flushes() && asi_mode != ASI_MODE_NONE)
        pay_after_change(cpu, process);
    if (cpu->space == home || mutant(return_unrestricted))
        return 0;
    if (home == SPACE_UNRESTRICTED) {
        asi_leave(ASI_CAUSE_MODE, (uint64_t)__builtin_return_address(0));
        return 0;
    }
    const bool tainted = (cpu->taints & TAINT_DATA_KERNEL) || cpu->data_history != 0;
    if (flushes() && tainted && !mutant(enter_without_data_flush)) {
        *flags = CROSS_DATA_FLUSH;
        note_data_flush(cpu, process);
        cpu->taints &= (uint8_t)~TAINT_DATA_KERNEL;
    }
    cpu->counters.enters++;
    counter_add(&process->counters.enters, 1);
    counter_add(&process->counters.cr3_writes, 1);
    cpu->current->stack_dirty |= 1 << SPACE_RESTRICTED;
    ephmap_note_cr3_write();
    return tags_root(cpu->loaded, SPACE_RESTRICTED);
}

/* --- Process switch ----------------------------------------------------------------------------------------------- */

uint32_t asi_switch_flags(const struct process *from, const struct process *to, enum space wanted) {
    if (!flushes() || asi_mode == ASI_MODE_NONE)
        return 0;
    uint32_t flags = from == to ? 0 : trust_debts(from, to);
    if (asi_mode == ASI_MODE_CLASSIC)
        return flags & CROSS_CONTROL_FLUSH; /* VERW is paid at each return to user code */
    if (this_cpu->space == SPACE_UNRESTRICTED && wanted == SPACE_RESTRICTED)
        flags |= CROSS_DATA_FLUSH;
    if (this_cpu->space == SPACE_RESTRICTED && wanted == SPACE_UNRESTRICTED)
        flags |= CROSS_CONTROL_FLUSH;
    if (mutant(switch_without_control_flush))
        flags &= ~(uint32_t)CROSS_CONTROL_FLUSH;
    if (mutant(switch_without_data_flush))
        flags &= ~(uint32_t)CROSS_DATA_FLUSH;
    return flags;
}

void asi_count_switch(struct process *to, uint32_t flags) {
    struct cpu *cpu = cpu_self();
    counter_add(&to->counters.cr3_writes, 1);
    if (cpu->loaded != to)
        trust_note_left(cpu->loaded);
    if (flags & CROSS_CONTROL_FLUSH)
        note_control_flush(cpu, to);
    if (flags & CROSS_DATA_FLUSH) {
        note_data_flush(cpu, to);
        cpu->taints &= (uint8_t)~TAINT_DATA_KERNEL;
    }
    if (flags & CROSS_UNRESTRICTED)
        cpu->taints |= TAINT_DATA_KERNEL; /* a thread goes on outside: its way back owes what an exit would have */
}
