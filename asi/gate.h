/*
 * GATE, watched from inside: ring 3 runs with the root that the mode demands. Every interrupt from user code looks at
 * CR3: entry changes it in no mode but classic, so what it finds there is what user code ran with.
 */
#ifndef ASI_GATE_H
#define ASI_GATE_H

#include "arch/cpu.h"
#include "arch/paging.h"

static inline void gate_check(void) {
    this_cpu->gate_checks++;
    if (__builtin_expect(((this_cpu->loaded_root ^ this_cpu->home_root) & ~ROOT_KEEP) != 0, 0))
        this_cpu->gate_violations++;
}

#endif
