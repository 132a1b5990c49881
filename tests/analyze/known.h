/*
 * What the static analyser is told besides the source (tests/analyze/run, by -include): who frees what, so that it sees
 * leaks and uses after free in the kernel's heaps; and that `this_cpu` is an object, for at address 0 of %gs it sees a
 * null pointer and follows no path further.
 */
#ifndef TESTS_ANALYZE_KNOWN_H
#define TESTS_ANALYZE_KNOWN_H

#include <stddef.h>

#ifndef __clang__
#define FREED_BY(function) __attribute__((malloc(function, 1)))
#else
#define FREED_BY(function)
#endif

void global_free(void *memory, size_t bytes);
FREED_BY(global_free) void *global_alloc(size_t bytes);
void global_free_pages(void *memory, size_t pages);
FREED_BY(global_free_pages) void *global_alloc_pages(size_t pages);
void local_free(void *memory, size_t bytes);
FREED_BY(local_free) void *local_alloc(size_t bytes);

#include "arch/cpu.h"

extern struct cpu analysed_cpu;
#undef this_cpu
#define this_cpu         (&analysed_cpu)
#define cpu_self()       (this_cpu->self)
#define thread_current() (this_cpu->current)

#endif
