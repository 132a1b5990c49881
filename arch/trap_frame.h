/*
 * The registers of interrupted code, as arch/entry.asm pushes them. The last five are pushed by the CPU (or by the
 * system-call entry in the same shape). It lies at the top of the thread's kernel stack when user code was interrupted.
 */
#ifndef ARCH_TRAP_FRAME_H
#define ARCH_TRAP_FRAME_H

#include <stdbool.h>
#include <stdint.h>

struct trap_frame {
    uint64_t r15, r14, r13, r12, rbp, rbx; /* callee-saved first: switch_to() has the same order */
    uint64_t r11, r10, r9, r8, rax, rcx, rdx, rsi, rdi;
    uint64_t vector; /* low 16 bits: exception or interrupt number; FRAME_SYSCALL for a system call */
    uint64_t error;  /* CPU error code or 0; for a system call its number (Linux's orig_rax) */
    uint64_t rip, cs, rflags, rsp, ss;
};

#define FRAME_SYSCALL 256

/* The rest of `vector` is a mark of asi/asi.c's; writing the word anew clears it, which at worst flushes once too
 * often. */
static inline uint16_t frame_vector(const struct trap_frame *frame) { return (uint16_t)frame->vector; }
static inline bool frame_is_syscall(const struct trap_frame *frame) { return frame_vector(frame) == FRAME_SYSCALL; }
static inline bool frame_from_user(const struct trap_frame *frame) { return (frame->cs & 3) == 3; }

#endif
