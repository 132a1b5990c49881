/*
 * Linux's struct rusage.
 */
#ifndef KERNEL_RUSAGE_H
#define KERNEL_RUSAGE_H

#include "kernel/status.h"
#include "mm/types.h"

/*
 * Writes one with `cpu_time` (ns) as user time, the most `pages` that were resident, page faults and switches to other
 * processes; the kernel does not account the rest. ERR_FAULT. May sleep.
 */
struct usage {
    uint64_t cpu_time, pages, faults, switches;
};
MUST_USE enum status rusage_to_user(vaddr_t to, const struct usage *usage);

#endif
