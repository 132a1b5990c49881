/*
 * Segment selectors. The order is what syscall/sysret demand: kernel code, kernel data, (user code 32: unused), user
 * data, user code 64.
 */
#ifndef ARCH_SELECTORS_H
#define ARCH_SELECTORS_H

#define KERNEL_CS    0x08
#define KERNEL_DS    0x10
#define USER_CS32    0x1b
#define USER_DS      0x23
#define USER_CS      0x2b
#define TSS_SELECTOR 0x30

/* Its limit is the number of the CPU, for user code to read (arch/vdso/). */
#define CPU_NUMBER_SELECTOR 0x43

#endif
