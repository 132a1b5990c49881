/*
 * Address space isolation: modes, the crossing between the restricted and the unrestricted space, who pays which flush.
 */
#ifndef ASI_ASI_H
#define ASI_ASI_H

#include "arch/cpu.h"
#include "arch/trap_frame.h"
#include "asi/abi.h"
#include "kernel/status.h"

struct process;
struct thread;

/* The mode in force. Changed only by asi_set_mode() with every other CPU stopped. */
extern enum asi_mode asi_mode;
extern struct asi_flush asi_flush;

/* The space in which user code and a freshly entered kernel run. */
static inline enum space asi_home_space(void) {
    return asi_mode >= ASI_MODE_NAIVE ? SPACE_RESTRICTED : SPACE_UNRESTRICTED;
}

/*
 * Leaves the restricted space and stays out until the return to user code. Records cause, `site` (a kernel instruction)
 * and pays the control flush if one is owed. Interrupts off. Only in the restricted space.
 */
void asi_leave(enum asi_cause cause, uint64_t site);

/* The same on request: a no-op when already out. Any context but NMI. */
void asi_exit(enum asi_cause cause);

/* Names the cause for a fault on PHYSMAP that the next instructions may take. */
static inline void asi_expect(enum asi_cause cause) { this_cpu->expected_cause = (uint8_t)cause; }

/* A restricted kernel instruction at `site` touched PHYSMAP at `address`. Interrupts off. */
void asi_physmap_fault(uint64_t address, uint64_t site);

/*
 * The last step before user code runs, interrupts off: what the return path must do. Returns the root to load with
 * CROSS_* flags in *flags, or 0 when the loaded space is right. May leave the restricted space itself (mode switch).
 */
uint64_t asi_prepare_return(uint32_t *flags);

/* Flags for arch/transition.asm. */
#define CROSS_CONTROL_FLUSH 1
#define CROSS_DATA_FLUSH    2
#define CROSS_UNRESTRICTED  4  /* the root to be loaded is an unrestricted one */
#define CROSS_MESSAGE       16 /* label and words of a message cross, from user frame to user frame */
#define CROSS_SCRUB_ALIAS   8  /* a dying thread's restricted stack is to be cleared too */

/* What a switch of this CPU from process `from` to `to` owes (CROSS_* flush flags). */
uint32_t asi_switch_flags(const struct process *from, const struct process *to, enum space wanted);

/* Counts what the switch to `to` pays. */
void asi_count_switch(struct process *to, uint32_t flags);

/* Notes what entry code and the GATE check need of the process whose tables are loaded. Interrupts off. */
void asi_note_roots(struct cpu *cpu, const struct process *process);

/* Marks the entry frame of the running thread: no user code has run since the last control flush, or some may have. */
void asi_mark_frame(bool flushed);

MUST_USE enum status asi_set_mode(enum asi_mode mode);
MUST_USE enum status asi_set_flush(const struct asi_flush *flush);

/* How pages of files are viewed in mode asi. */
MUST_USE enum status asi_set_views(enum asi_views design);

/* Parses "mode=" and "flush=" values. ERR_INVALID. */
MUST_USE enum status asi_parse_mode(const char *text, enum asi_mode *mode);
MUST_USE enum status asi_parse_flush(const char *text, struct asi_flush *flush);

const char *asi_mode_name(enum asi_mode mode);

#endif
