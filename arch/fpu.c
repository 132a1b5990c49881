/*
 * Owns: the format of FPU areas (XSAVE standard format, or FXSAVE where there is no XSAVE). No locks; any space that
 * maps the area. Source: Intel SDM volume 1, chapters 10 and 13.
 */
#include "arch/fpu.h"

#include "arch/features.h"
#include "kernel/string.h"

enum { FXSAVE_SIZE = 512, XSAVE_HEADER_SIZE = 64, MXCSR_OFFSET = 24, MXCSR_MASK_OFFSET = 28, FCW_OFFSET = 0 };
#define FCW_INITIAL        0x37f
#define MXCSR_INITIAL      0x1f80
#define MXCSR_MASK_DEFAULT 0xffbf

static uint32_t mxcsr_mask = MXCSR_MASK_DEFAULT; /* constant after start-up */

void fpu_init_cpu(void) {
    if (cpu_features.xsave)
        __asm__ volatile("xsetbv" ::"c"(0), "a"((uint32_t)cpu_features.xcr0), "d"((uint32_t)(cpu_features.xcr0 >> 32)));
    __asm__ volatile("fninit");
    _Alignas(16) uint8_t image[FXSAVE_SIZE];
    memset(image, 0, sizeof image);
    __asm__ volatile("fxsave64 %0" : "=m"(image));
    uint32_t mask;
    memcpy(&mask, image + MXCSR_MASK_OFFSET, sizeof mask);
    if (mask != 0)
        mxcsr_mask = mask;
}

size_t fpu_area_size(void) { return cpu_features.xsave ? cpu_features.xsave_size : FXSAVE_SIZE; }
uint64_t fpu_features(void) { return cpu_features.xsave ? cpu_features.xcr0 : 0; }

void fpu_save(void *area) {
    if (cpu_features.xsave)
        __asm__ volatile("xsave64 (%0)" ::"r"(area), "a"(-1), "d"(-1) : "memory");
    else
        __asm__ volatile("fxsave64 (%0)" ::"r"(area) : "memory");
}

void fpu_restore(const void *area) {
    if (cpu_features.xsave)
        __asm__ volatile("xrstor64 (%0)" ::"r"(area), "a"(-1), "d"(-1) : "memory");
    else
        __asm__ volatile("fxrstor64 (%0)" ::"r"(area) : "memory");
}

void fpu_reset(void *area) {
    const uint16_t control = FCW_INITIAL;
    const uint32_t mxcsr = MXCSR_INITIAL;
    memset(area, 0, fpu_area_size());
    memcpy((uint8_t *)area + FCW_OFFSET, &control, sizeof control);
    memcpy((uint8_t *)area + MXCSR_OFFSET, &mxcsr, sizeof mxcsr);
}

int fpu_exception_code(bool simd) {
    enum {
        INVALID = 1,
        DENORMAL = 2,
        DIVIDE = 4,
        OVERFLOW = 8,
        UNDERFLOW = 16,
        PRECISION = 32,
        ALL = 63,
        MASKS_SHIFT = 7
    };
    enum { FPE_FLTDIV = 3, FPE_FLTOVF = 4, FPE_FLTUND = 5, FPE_FLTRES = 6, FPE_FLTINV = 7 };
    uint16_t status, control;
    uint32_t mxcsr, raised;
    if (simd) {
        __asm__ volatile("stmxcsr %0" : "=m"(mxcsr));
        raised = mxcsr & ~(mxcsr >> MASKS_SHIFT) & ALL;
    } else {
        __asm__ volatile("fnstsw %0\n\tfnstcw %1" : "=m"(status), "=m"(control));
        raised = (uint32_t)status & ~(uint32_t)control & ALL;
    }
    if (raised & INVALID)
        return FPE_FLTINV;
    if (raised & DIVIDE)
        return FPE_FLTDIV;
    if (raised & OVERFLOW)
        return FPE_FLTOVF;
    if (raised & (DENORMAL | UNDERFLOW))
        return FPE_FLTUND;
    return raised & PRECISION ? FPE_FLTRES : 0;
}

enum status fpu_area_check(void *area) {
    uint32_t mxcsr;
    memcpy(&mxcsr, (uint8_t *)area + MXCSR_OFFSET, sizeof mxcsr);
    mxcsr &= mxcsr_mask;
    memcpy((uint8_t *)area + MXCSR_OFFSET, &mxcsr, sizeof mxcsr);
    if (cpu_features.xsave) {
        uint64_t *header = (uint64_t *)(void *)((uint8_t *)area + FXSAVE_SIZE);
        header[0] &= cpu_features.xcr0; /* XSTATE_BV */
        for (unsigned i = 1; i < XSAVE_HEADER_SIZE / sizeof header[0]; i++)
            header[i] = 0; /* XCOMP_BV: standard format; the rest is reserved */
    }
    return OK;
}
