/*
 * GATE, watched from inside: ring 3 runs with the root that the mode demands. Every interrupt from user code looks at CR3:
 * entry changes it in no mode but classic, so what it finds there is what user code ran with.
 */
#ifndef ASI_GATE_H
#define ASI_GATE_H

#include "asi/asi.h"
#include "kernel/process.h"

static inline void gate_check(void) {
    struct cpu *cpu = cpu_self();
    if (asi_mode < ASI_MODE_NAIVE)
        return;
    cpu->gate_checks++;
    if (cpu->loaded_root != frame_address(process_current()->roots.restricted) || cpu->space != SPACE_RESTRICTED)
        cpu->gate_violations++;
}

#endif
