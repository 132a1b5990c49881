/*
 * Linux's struct rusage.
 */
#ifndef KERNEL_RUSAGE_H
#define KERNEL_RUSAGE_H

#include "kernel/status.h"
#include "mm/types.h"

/* Writes one with `cpu_time` (ns) as user time; the kernel does not account the rest. ERR_FAULT. May sleep. */
MUST_USE enum status rusage_to_user(vaddr_t to, uint64_t cpu_time);

#endif
