/*
 * Names of kernel functions, for backtraces and for the list of exit sites. Names and kernel addresses are metadata.
 */
#ifndef KERNEL_KSYMS_H
#define KERNEL_KSYMS_H

#include <stdbool.h>
#include <stdint.h>

/*
 * The function that holds `address`: its name (constant, terminated) and how far into it the address lies, in bytes.
 * False where `address` is not kernel code. Any context, also while panicking: takes no lock, allocates nothing.
 */
bool ksym_lookup(uint64_t address, const char **name, uint64_t *offset);

/* The other way: where the function or label of that name begins. False when there is none. */
bool ksym_find(const char *name, uint64_t *address);

#endif
