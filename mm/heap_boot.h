/*
 * What start-up and statistics need of the GLOBAL heap.
 */
#ifndef MM_HEAP_BOOT_H
#define MM_HEAP_BOOT_H

#include "mm/types.h"

/* The part of the heap for runs of pages; the sparse part for single pages begins at GLOBAL_HEAP_BASE. */
#define HEAP_RUN_BASE  (GLOBAL_HEAP_END - PAGE_DIRECTORY_SPAN)
#define HEAP_RUN_PAGES 16384UL /* 64 MiB */

void global_heap_init(void);

/* Frees the empty slabs that are kept for speed. Not in interrupt handlers. */
void global_heap_trim(void);

#endif
