/*
 * GDT, TSS and IDT of the calling CPU.
 */
#ifndef ARCH_DESCRIPTORS_H
#define ARCH_DESCRIPTORS_H

#include <stdint.h>

struct cpu;

/* Builds the one IDT. Once, on the boot CPU. */
void idt_init(void);

/* Loads all descriptor tables on the calling CPU; sets %gs to `cpu`. Interrupts off. */
void descriptors_load(struct cpu *cpu);

/* The stack for interrupts that arrive in user code: the thread's, or in split mode the CPU's own. Interrupts off. */
void tss_set_stack(struct cpu *cpu);

#endif
