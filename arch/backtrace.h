/*
 * Symbolised backtraces by frame pointers.
 */
#ifndef ARCH_BACKTRACE_H
#define ARCH_BACKTRACE_H

#include <stdint.h>

/* Prints a line per caller, beginning at `rip` (0: with the first caller). Stops where frame pointers leave kernel
 * stacks. */
void backtrace(uint64_t rbp, uint64_t rip, void (*say)(const char *format, ...));

#endif
