/*
 * FPU, SSE and AVX state of user threads. The kernel uses none of these registers. An area is fpu_area_size() bytes,
 * aligned to 64, class LOCAL: it holds user data.
 */
#ifndef ARCH_FPU_H
#define ARCH_FPU_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernel/status.h"

/* Enables what the CPU has. Once per CPU, interrupts off. */
void fpu_init_cpu(void);

size_t fpu_area_size(void);
uint64_t fpu_features(void); /* XCR0, or 0 when areas are FXSAVE images */

/* Registers → area and back. Interrupts off or the caller is the area's thread. */
void fpu_save(void *area);
void fpu_restore(const void *area);

/* The initial state, into an area. */
void fpu_reset(void *area);

/* Sanitises an area that user code wrote, so that fpu_restore cannot fault. ERR_FAULT when it is beyond mending. */
MUST_USE enum status fpu_area_check(void *area);

/*
 * siginfo's code for the floating-point exception (#MF, or #XM with `simd`) that the registers hold; 0: none is
 * raised.
 */
int fpu_exception_code(bool simd);

#endif
