/*
 * Model-specific registers by name, and the control-register bits in use. Source: Intel SDM volume 4, AMD APM volume 2.
 */
#ifndef ARCH_MSR_H
#define ARCH_MSR_H

#include <stdint.h>

#define MSR_APIC_BASE      0x1b
#define MSR_SPEC_CTRL      0x48
#define MSR_PRED_CMD       0x49
#define MSR_EFER           0xc0000080
#define MSR_STAR           0xc0000081
#define MSR_LSTAR          0xc0000082
#define MSR_CSTAR          0xc0000083
#define MSR_SFMASK         0xc0000084
#define MSR_FS_BASE        0xc0000100
#define MSR_GS_BASE        0xc0000101
#define MSR_KERNEL_GS_BASE 0xc0000102

#define PRED_CMD_IBPB 1

#define EFER_SCE (1UL << 0)
#define EFER_NXE (1UL << 11)

#define CR0_MP         (1UL << 1)
#define CR0_EM         (1UL << 2)
#define CR0_TS         (1UL << 3)
#define CR0_NE         (1UL << 5)
#define CR0_WP         (1UL << 16)
#define CR0_AM         (1UL << 18) /* alignment checks, where user code sets EFLAGS.AC */
#define CR4_PGE        (1UL << 7)
#define CR4_OSFXSR     (1UL << 9)
#define CR4_OSXMMEXCPT (1UL << 10)
#define CR4_UMIP       (1UL << 11)
#define CR4_FSGSBASE   (1UL << 16)
#define CR4_PCIDE      (1UL << 17)
#define CR4_OSXSAVE    (1UL << 18)
#define CR4_SMEP       (1UL << 20)
#define CR4_SMAP       (1UL << 21)

#define RFLAGS_CARRY     (1UL << 0)
#define RFLAGS_TRAP      (1UL << 8)
#define RFLAGS_INTERRUPT (1UL << 9)
#define RFLAGS_DIRECTION (1UL << 10)
#define RFLAGS_IOPL      (3UL << 12)
#define RFLAGS_NESTED    (1UL << 14)
#define RFLAGS_RESUME    (1UL << 16)
#define RFLAGS_ALIGNMENT (1UL << 18)

static inline uint64_t msr_read(uint32_t msr) {
    uint32_t low, high;
    __asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(msr));
    return (uint64_t)high << 32 | low;
}
static inline void msr_write(uint32_t msr, uint64_t value) {
    __asm__ volatile("wrmsr" ::"c"(msr), "a"((uint32_t)value), "d"((uint32_t)(value >> 32)) : "memory");
}
static inline uint64_t tsc_read(void) {
    uint32_t low, high;
    __asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
    return (uint64_t)high << 32 | low;
}

#endif
