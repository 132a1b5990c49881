/*
 * Owns: DR0–DR3, DR6, DR7. State of the running CPU; interrupts off. Any space. Source: Intel SDM volume 3, chapter 17.
 */
#include "arch/debug_registers.h"

#include "arch/cpu.h"
#include "arch/msr.h"
#include "mm/addrmap.h"

#define DR6_IDLE     0xffff0ff0UL
#define DR7_IDLE     0x400UL
#define ROOT_ADDRESS (~(PAGE_SIZE - 1) & ~(1UL << 63))

void debug_set(unsigned number, uint64_t address) {
    switch (number) {
    case 0:
        __asm__ volatile("mov %0, %%dr0" ::"r"(address));
        break;
    case 1:
        __asm__ volatile("mov %0, %%dr1" ::"r"(address));
        break;
    case 2:
        __asm__ volatile("mov %0, %%dr2" ::"r"(address));
        break;
    default:
        __asm__ volatile("mov %0, %%dr3" ::"r"(address));
    }
}

static uint64_t debug_get(unsigned number) {
    uint64_t address;
    switch (number) {
    case 0:
        __asm__ volatile("mov %%dr0, %0" : "=r"(address));
        break;
    case 1:
        __asm__ volatile("mov %%dr1, %0" : "=r"(address));
        break;
    case 2:
        __asm__ volatile("mov %%dr2, %0" : "=r"(address));
        break;
    default:
        __asm__ volatile("mov %%dr3, %0" : "=r"(address));
    }
    return address;
}

/* Condition and length are 0 for each: execution. Bits 1, 3, 5 and 7 switch them on. */
void debug_arm(void) {
    uint64_t control = DR7_IDLE;
    for (unsigned number = 0; number < DEBUG_BREAKPOINTS; number++)
        if (debug_get(number) != 0)
            control |= 2UL << (2 * number);
    __asm__ volatile("mov %0, %%dr7" ::"r"(control) : "memory");
}

void debug_disarm(void) { __asm__ volatile("mov %0, %%dr7" ::"r"(DR7_IDLE) : "memory"); }
void debug_forget_status(void) { __asm__ volatile("mov %0, %%dr6" ::"r"(DR6_IDLE)); }

void debug_step_from_here(void) {
    __asm__ volatile("pushfq\n\t"
                     "orq %0, (%%rsp)\n\t"
                     "popfq" ::"i"(RFLAGS_TRAP)
                     : "memory", "cc");
}

uint64_t debug_root(void) {
    uint64_t root;
    __asm__ volatile("mov %%cr3, %0" : "=r"(root));
    return root & ROOT_ADDRESS;
}

uint64_t debug_gs_base(void) { return msr_read(MSR_GS_BASE); }
uint64_t debug_other_gs_base(void) { return msr_read(MSR_KERNEL_GS_BASE); }

void debug_strike_nmi(void) { __asm__ volatile("int $2" ::: "memory"); }
void debug_strike_machine_check(void) { __asm__ volatile("int $18" ::: "memory"); }

/* The first page of the user half is mapped nowhere. The code below may be a page fault's that has not read CR2. */
void debug_strike_page_fault(void) {
    uint64_t address;
    __asm__ volatile("mov %%cr2, %0" : "=r"(address));
    cpu_forget_registers(); /* they are pushed, and may have been compared with the interrupted code's */
    __asm__ volatile("1:\tmovb (%0), %%al\n"
                     "2:\n\t"
                     ".pushsection .extable, \"a\"\n\t"
                     ".quad 1b, 2b, 2b\n\t"
                     ".popsection" ::"r"(USER_START - PAGE_SIZE)
                     : "al", "memory");
    __asm__ volatile("mov %0, %%cr2" ::"r"(address));
}
