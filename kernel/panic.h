/*
 * The end of the kernel: what went wrong, registers, the space, a symbolised backtrace, and a power-off with status
 * 255.
 */
#ifndef KERNEL_PANIC_H
#define KERNEL_PANIC_H

struct trap_frame;

/* Never returns. May be called in any context. Other CPUs are halted. */
_Noreturn void panic(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The same, with the registers of the trap that led to it. */
_Noreturn void panic_with_frame(const struct trap_frame *frame, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* From the NMI that another CPU's panic sends: never returns then. Any context. */
void panic_join(void);

#endif
