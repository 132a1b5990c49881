/*
 * FS and GS bases of user code. While the kernel runs the user's GS base is in KERNEL_GS_BASE (swapgs).
 * No locks; the running thread's own registers.
 */
#include "arch/user_segments.h"

#include "arch/features.h"
#include "arch/msr.h"

void user_fs_set(uint64_t base) {
    if (cpu_features.fsgsbase)
        __asm__ volatile("wrfsbase %0" ::"r"(base));
    else
        msr_write(MSR_FS_BASE, base);
}

uint64_t user_fs_get(void) {
    uint64_t base;
    if (!cpu_features.fsgsbase)
        return msr_read(MSR_FS_BASE);
    __asm__ volatile("rdfsbase %0" : "=r"(base));
    return base;
}

void user_gs_set(uint64_t base) { msr_write(MSR_KERNEL_GS_BASE, base); }
uint64_t user_gs_get(void) { return msr_read(MSR_KERNEL_GS_BASE); }
