/*
 * CPUID, read once. Constant afterwards; any space. Source: Intel SDM volume 2, CPUID; AMD APM volume 3.
 */
#include "arch/features.h"

#include "arch/cpuid.h"

struct cpu_features cpu_features;

static void detect_xsave(struct cpu_features *features) {
    const uint64_t wanted = 7; /* x87, SSE, AVX */
    struct cpuid_result state = cpuid(0xd, 0);
    features->xcr0 = (state.eax | (uint64_t)state.edx << 32) & wanted;
    /* Standard-format offsets are fixed: legacy area and header 576 bytes, AVX at the offset that leaf 2 names. */
    features->xsave_size = 576;
    if (features->xcr0 & 4) {
        struct cpuid_result avx = cpuid(0xd, 2);
        features->xsave_size = avx.ebx + avx.eax;
    }
}

void features_detect(void) {
    struct cpu_features *features = &cpu_features;
    uint32_t highest = cpuid(0, 0).eax;
    struct cpuid_result basic = cpuid(1, 0);
    struct cpuid_result structured = highest >= 7 ? cpuid(7, 0) : (struct cpuid_result){0};
    uint32_t highest_extended = cpuid(0x80000000, 0).eax;
    struct cpuid_result extended = highest_extended >= 0x80000001 ? cpuid(0x80000001, 0) : (struct cpuid_result){0};
    struct cpuid_result sizes =
        highest_extended >= 0x80000008 ? cpuid(0x80000008, 0) : (struct cpuid_result){.eax = 36};

    features->pge = basic.edx >> 13 & 1;
    features->pcid = basic.ecx >> 17 & 1;
    features->x2apic = basic.ecx >> 21 & 1;
    features->tsc_deadline = basic.ecx >> 24 & 1;
    features->xsave = basic.ecx >> 26 & 1;
    features->rdrand = basic.ecx >> 30 & 1;
    features->fsgsbase = structured.ebx >> 0 & 1;
    features->smep = structured.ebx >> 7 & 1;
    features->erms = structured.ebx >> 9 & 1;
    features->invpcid = structured.ebx >> 10 & 1;
    features->smap = structured.ebx >> 20 & 1;
    features->umip = structured.ecx >> 2 & 1;
    features->md_clear = structured.edx >> 10 & 1;
    features->ibpb = (structured.edx >> 26 & 1) || (sizes.ebx >> 12 & 1);
    features->nx = extended.edx >> 20 & 1;
    features->large_1g = extended.edx >> 26 & 1;
    features->physical_address_bits = sizes.eax & 0xff;
    if (features->xsave && highest >= 0xd)
        detect_xsave(features);
    else
        features->xsave = false;
}
