/*
 * The vDSO: a page of code in every process that tells the time, and the page of data by which it does.
 */
#ifndef KERNEL_VDSO_H
#define KERNEL_VDSO_H

#include <stdbool.h>

#include "kernel/status.h"
#include "mm/types.h"

struct memory_object;

/* Makes the pages. Once, at boot, when the clock runs. Panics when memory is short. */
void vdso_init(void);

/* Maps them into the calling process's user half; *address gets where the ELF header is. ERR_NO_MEMORY. */
MUST_USE enum status vdso_map(vaddr_t *address);

/* Whether an area's object (or NULL) is the vDSO's. Any context. */
bool vdso_is(const struct memory_object *other);

/* The clock has been set: tells user code. One at a time (kernel/time.c's lock). */
void vdso_update(void);

#endif
