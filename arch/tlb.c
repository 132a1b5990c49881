/*
 * Owns: the flushing of this CPU's whole TLB. The loaded root is loaded again; that costs what any CR3 write costs, and
 * is counted.
 * Interrupts are switched off inside. Any space.
 */
#include "arch/cpu.h"
#include "arch/paging.h"
#include "arch/transition.h"
#include "asi/mutant.h"
#include "kernel/process.h"
#include "mm/paging.h"
#include "mm/tag_check.h"

void tlb_flush_all(void) {
    bool irq = irq_save();
    this_cpu->counters.tlb_flushes++;
    counter_add(&process_current()->counters.cr3_writes, 1);
    if (mutant(cr3_written_elsewhere))
        __asm__ volatile("mov %%cr3, %%rax; mov %%rax, %%cr3" ::: "rax", "memory");
    transition_load(this_cpu->loaded_root & ~ROOT_KEEP);
    tag_check_forget_all();
    irq_restore(irq);
}
