/*
 * The trace: who crossed, switched, called, faulted, flushed and mapped what, and when; read by tools/trace.
 *
 * It costs nothing while it is off, not an instruction: the kernel's own branches to the functions of
 * asi/trace_points.h are what is patched. With trace=on each of them leads to its traced_ twin of asi/trace_points.c.
 */
#ifndef ASI_TRACE_H
#define ASI_TRACE_H

#include <stdint.h>

#include "asi/trace_abi.h"
#include "kernel/status.h"

/*
 * With trace=on on the command line, redirects the branches. Once, before the first thread, text being writable at the
 * alias that `writable` gives for an address.
 */
void trace_patch(void *(*writable)(void *));

/*
 * Allocates the rings, trace.records= records each [4096; 16 to 1048576, rounded up to a power of two], measures what a
 * record costs and says so. Nothing without trace=on. ERR_INVALID: a value is not understood; ERR_NO_MEMORY. Once, on
 * the boot CPU, when other CPUs are known and none is started.
 */
MUST_USE enum status trace_init(void);

/* Records. Any context, NMI included; a CPU that has no ring yet records nothing. */
void trace_record(enum trace_kind kind, unsigned cause, uint64_t address, uint64_t value);

#endif
