/*
 * Tags: which address-space identifier (PCID) has whose translations, and whether they may be kept. docs/pcid.md
 *
 * Every value that goes into CR3 once processes run is made here, but mode classic's two, which this file hands to the
 * entry code. Where the CPU has no PCID, or `tags=off` was said, values are plain addresses and each load flushes.
 */
#ifndef MM_TAGS_H
#define MM_TAGS_H

#include <stdbool.h>

#include "arch/cpu.h"
#include "kernel/process.h"
#include "mm/types.h"

/*
 * Whether a load may keep translations: a CPU with PCID, or a debug build, where the same is decided on any CPU and
 * mm/tag_check.c looks at it. Constant after tags_init().
 */
extern bool tags_in_use;

/* Looks at CPUID and at `tags=off` (plain values) or `tags=plain` (no INVPCID). Boot CPU, before cpu_init(). */
void tags_init(void);

/*
 * The value with which this CPU enters `space` of `process`. To be loaded at once, interrupts off, without serving
 * others' requests in between: it counts as loaded. The CPU is in process->cpus already (tlb_enter).
 */
uint64_t tags_root(struct process *process, enum space space);

/* The values that entry code loads in mode classic, and the one that ring 3 is entered from. After tags_root(). */
void tags_note_roots(struct cpu *cpu, const struct process *process);

/*
 * Translations of the process are to be flushed, after the entries were changed: no tag that has the process now is
 * good any more, on any CPU. Returns the generation that begins, to be given to tags_flushed() where they are flushed.
 */
uint64_t tags_new_generation(struct process *process);

/*
 * This CPU, which has the process loaded, has forgotten in the present root what generation `generation` took away:
 * these pages, or everything. Settles the process's other roots on this CPU. Interrupts off.
 */
void tags_flushed(const struct process *process, const vaddr_t *pages, unsigned count, uint64_t generation);

/* The CPU keeps nothing at its next loads: its global pages were switched, or a space was left in a hurry. */
void tags_forget_all(void);

/* Pages of GLOBAL were flushed in the present root: where they are not global pages, the other roots have them, too. */
void tags_flushed_global(void);

/* Interrupts off; a process is about to lend its user half: no CPU keeps what it knew of it. */
void tags_lend(struct process *process);

#endif
