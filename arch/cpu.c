/*
 * Owns: control registers and MSRs of a CPU, and the boot-time patching of SMAP instructions.
 * Runs at start-up, unrestricted, interrupts off.
 */
#include "arch/cpu.h"

#include "arch/descriptors.h"
#include "arch/features.h"
#include "arch/fpu.h"
#include "arch/msr.h"
#include "arch/patch.h"
#include "arch/selectors.h"
#include "asi/mutant.h"
#include "kernel/string.h"

extern const char syscall_entry[];

/* The operand of VERW: any writable data segment. */
const uint16_t verw_operand = KERNEL_DS;

static uint64_t cr4_read(void) {
    uint64_t value;
    __asm__ volatile("mov %%cr4, %0" : "=r"(value));
    return value;
}
static void cr4_write(uint64_t value) { __asm__ volatile("mov %0, %%cr4" ::"r"(value) : "memory"); }

static void set_control_registers(void) {
    const struct cpu_features *has = &cpu_features;
    uint64_t cr0;
    __asm__ volatile("mov %%cr0, %0" : "=r"(cr0));
    cr0 = (cr0 & ~(CR0_EM | CR0_TS)) | CR0_MP | CR0_NE | CR0_WP | CR0_AM;
    __asm__ volatile("mov %0, %%cr0" ::"r"(cr0) : "memory");

    /* Each bit only where CPUID has it: writing a reserved one faults, or wedges an emulator. */
    uint64_t cr4 = cr4_read() | CR4_OSFXSR | CR4_OSXMMEXCPT;
    cr4 |= has->pge ? CR4_PGE : 0;
    cr4 |= has->smep ? CR4_SMEP : 0;
    cr4 |= has->smap ? CR4_SMAP : 0;
    cr4 |= has->umip ? CR4_UMIP : 0;
    cr4 |= has->fsgsbase ? CR4_FSGSBASE : 0;
    cr4 |= has->pcid ? CR4_PCIDE : 0; /* CR3 holds the early root: PCID 0, as this wants it */
    cr4 |= has->xsave ? CR4_OSXSAVE : 0;
    cr4_write(cr4);
}

static void set_syscall_registers(void) {
    msr_write(MSR_EFER, msr_read(MSR_EFER) | EFER_SCE | EFER_NXE);
    /* sysret takes SS = this + 8 and CS = this + 16. */
    msr_write(MSR_STAR, (uint64_t)(USER_CS32) << 48 | (uint64_t)KERNEL_CS << 32);
    msr_write(MSR_LSTAR, (uint64_t)syscall_entry);
    msr_write(MSR_CSTAR, 0);
    msr_write(MSR_SFMASK, RFLAGS_TRAP | RFLAGS_INTERRUPT | RFLAGS_DIRECTION | RFLAGS_IOPL | RFLAGS_NESTED |
                              RFLAGS_RESUME | RFLAGS_ALIGNMENT);
}

void cpu_set_global_pages(bool on) {
    if (cpu_features.pge)
        cr4_write(on ? cr4_read() | CR4_PGE : cr4_read() & ~CR4_PGE);
}

void cpu_init(unsigned index) {
    struct cpu *cpu = &cpus[index];
    cpu->self = cpu;
    cpu->index = index;
    cpu->space = SPACE_UNRESTRICTED;
    descriptors_load(cpu);
    set_control_registers();
    set_syscall_registers();
    fpu_init_cpu();
}

/* A site and what it is to become: arch/transition.inc writes them. */
struct smap_site {
    uint8_t *address;
    uint64_t instruction; /* 0: clac, 1: stac */
};
extern const struct smap_site smap_sites_start[], smap_sites_end[];

void smap_patch(void *(*writable)(void *)) {
    static const uint8_t instructions[2][3] = {{0x0f, 0x01, 0xca}, {0x0f, 0x01, 0xcb}};
    if (!cpu_features.smap)
        return;
    for (const struct smap_site *site = smap_sites_start; site < smap_sites_end; site++)
        memcpy(writable(site->address), instructions[site->instruction & 1], 3);
}

void cpu_forget_registers(void) {
    if (mutant(idle_keeps_registers))
        return;
    __asm__ volatile("xorl %%eax, %%eax\n\txorl %%ecx, %%ecx\n\txorl %%edx, %%edx\n\txorl %%esi, %%esi\n\t"
                     "xorl %%edi, %%edi\n\txorl %%r8d, %%r8d\n\txorl %%r9d, %%r9d\n\txorl %%r10d, %%r10d\n\t"
                     "xorl %%r11d, %%r11d" ::
                         : "rax", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "cc");
}
