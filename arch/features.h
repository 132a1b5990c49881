/*
 * What CPUID says this machine can do. Filled by features_detect() on the boot CPU, constant afterwards.
 */
#ifndef ARCH_FEATURES_H
#define ARCH_FEATURES_H

#include <stdbool.h>
#include <stdint.h>

struct cpu_features {
    bool nx, pge, smep, smap, umip, fsgsbase, pcid, invpcid, xsave, ibpb, md_clear, rdrand, large_1g, x2apic, erms;
    bool tsc_deadline;
    uint32_t physical_address_bits;
    uint32_t xsave_size; /* bytes for all features in xcr0 */
    uint64_t xcr0;       /* x87, SSE and AVX as far as present */
};

extern struct cpu_features cpu_features;

void features_detect(void);

#endif
