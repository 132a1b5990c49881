/*
 * Owns: GDT, TSS (in struct cpu, one page each) and the IDT (one for all). In .entry.data: classic's user root maps
 * them. Constant after start-up but for the TSS's stack pointer. Source: Intel SDM volume 3, chapters 3, 6 and 8.
 */
#include "arch/descriptors.h"

#include "arch/cpu.h"
#include "arch/cpu_stacks.h"
#include "arch/msr.h"
#include "arch/selectors.h"
#include "asi/mutant.h"
#include "kernel/string.h"

struct gate {
    uint16_t offset_low, selector;
    uint8_t ist, type;
    uint16_t offset_middle;
    uint32_t offset_high, reserved;
};

struct table_pointer {
    uint16_t limit;
    uint64_t base;
} __attribute__((packed));

/* Offsets in the 64-bit TSS. */
enum { TSS_RSP0 = 4, TSS_IST1 = 36, TSS_IOMAP = 102, TSS_SIZE = 104 };
enum { GATE_INTERRUPT = 0x8e, GATE_USER = 0x60, STUB_SIZE = 16 };

static struct gate idt[256] __attribute__((section(".entry.data"), aligned(PAGE_SIZE)));
struct cpu cpus[CPU_MAX] __attribute__((section(".entry.data")));

extern const char interrupt_stubs[];

static const struct {
    uint8_t vector;
    enum cpu_stack stack;
} nested_vectors[] = {
    {1, CPU_STACK_DEBUG}, {2, CPU_STACK_NMI}, {8, CPU_STACK_DOUBLE_FAULT}, {18, CPU_STACK_MACHINE_CHECK}};

void idt_init(void) {
    for (unsigned vector = 0; vector < 256; vector++) {
        uint64_t stub = (uint64_t)interrupt_stubs + vector * STUB_SIZE;
        bool user_may_call = vector == 3 || vector == 4; /* int3, into */
        idt[vector] = (struct gate){
            .offset_low = (uint16_t)stub,
            .selector = KERNEL_CS,
            .type = (uint8_t)(GATE_INTERRUPT | (user_may_call ? GATE_USER : 0)),
            .offset_middle = (uint16_t)(stub >> 16),
            .offset_high = (uint32_t)(stub >> 32),
        };
    }
    for (unsigned i = 0; i < sizeof nested_vectors / sizeof nested_vectors[0]; i++)
        idt[nested_vectors[i].vector].ist = mutant(nested_stack_shared) ? 1 : (uint8_t)(nested_vectors[i].stack + 1);
}

/* The TSS has words at odd places. */
typedef uint64_t __attribute__((aligned(4), may_alias)) unaligned_word;

void tss_set_stack(struct cpu *cpu) {
    uint64_t entry_stack_top = (uint64_t)cpu->entry_stack + sizeof cpu->entry_stack;
    uint64_t top = cpu->split ? entry_stack_top : cpu->stack_top;
    *(unaligned_word *)(cpu->tss + TSS_RSP0) = top;
}

static void build_tss(struct cpu *cpu) {
    memset(cpu->tss, 0, TSS_SIZE);
    for (unsigned stack = 0; stack < CPU_STACKS; stack++) {
        uint64_t top = CPU_STACK_TOP(cpu->index, stack) - CPU_STACK_RESERVED;
        memcpy(cpu->tss + TSS_IST1 + stack * sizeof top, &top, sizeof top);
    }
    const uint16_t no_io_map = TSS_SIZE;
    memcpy(cpu->tss + TSS_IOMAP, &no_io_map, sizeof no_io_map);
}

static void build_gdt(struct cpu *cpu) {
    const uint64_t tss = (uint64_t)cpu->tss;
    cpu->gdt[0] = 0;
    cpu->gdt[KERNEL_CS / 8] = 0x00af9b000000ffff; /* 64-bit code, ring 0 */
    cpu->gdt[KERNEL_DS / 8] = 0x00cf93000000ffff;
    cpu->gdt[USER_CS32 / 8] = 0; /* no 32-bit programs */
    cpu->gdt[USER_DS / 8] = 0x00cff3000000ffff;
    cpu->gdt[USER_CS / 8] = 0x00affb000000ffff; /* 64-bit code, ring 3 */
    cpu->gdt[TSS_SELECTOR / 8] = (TSS_SIZE - 1) | (tss & 0xffffff) << 16 | 0x89UL << 40 | (tss >> 24 & 0xff) << 56;
    cpu->gdt[TSS_SELECTOR / 8 + 1] = tss >> 32;
    cpu->gdt[CPU_NUMBER_SELECTOR / 8] = 0x0040f10000000000 | cpu->index; /* data, ring 3, to read only */
}

void descriptors_load(struct cpu *cpu) {
    build_tss(cpu);
    build_gdt(cpu);
    const struct table_pointer gdt_pointer = {sizeof cpu->gdt - 1, (uint64_t)cpu->gdt};
    const struct table_pointer idt_pointer = {sizeof idt - 1, (uint64_t)idt};
    __asm__ volatile("lgdt %0\n\t"
                     "pushq %2\n\t"
                     "leaq 1f(%%rip), %%rax\n\t"
                     "pushq %%rax\n\t"
                     "lretq\n"
                     "1:\tmovl %3, %%eax\n\t"
                     "movl %%eax, %%ds\n\t"
                     "movl %%eax, %%es\n\t"
                     "movl %%eax, %%ss\n\t"
                     "xorl %%eax, %%eax\n\t"
                     "movl %%eax, %%fs\n\t"
                     "movl %%eax, %%gs\n\t"
                     "lidt %1\n\t"
                     "ltr %w4"
                     :
                     : "m"(gdt_pointer), "m"(idt_pointer), "i"(KERNEL_CS), "i"(KERNEL_DS), "r"(TSS_SELECTOR)
                     : "rax", "memory");
    msr_write(MSR_GS_BASE, (uint64_t)cpu);
    msr_write(MSR_KERNEL_GS_BASE, 0);
}
