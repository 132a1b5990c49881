/*
 * The two kernel heaps. There is no default: each allocation names its class by the function it calls.
 *
 * global_*: mapped for everyone: metadata only, never a byte that came from user memory, a file, a device or the RNG.
 * local_*: the calling process's own; at fork the whole region is copied page by page to the same addresses, so
 * pointers
 *          inside it stay valid in the child. Not for other processes' eyes, not reachable from them.
 *
 * Both return zeroed memory, aligned to 16 (whole pages: to a page). Not for interrupt handlers. NULL when memory is
 * short.
 */
#ifndef MM_HEAP_H
#define MM_HEAP_H

#include <stddef.h>

#include "kernel/status.h"
#include "mm/types.h"

MUST_USE void *global_alloc(size_t bytes);
void global_free(void *memory, size_t bytes);

/* Whole pages of GLOBAL memory, virtually contiguous. */
MUST_USE void *global_alloc_pages(size_t pages);
void global_free_pages(void *memory, size_t pages);

MUST_USE void *local_alloc(size_t bytes);
void local_free(void *memory, size_t bytes);

/* What an allocation of `bytes` takes of it. */
size_t global_bytes(size_t bytes);

/* Bytes of GLOBAL heap in use. */
size_t global_heap_in_use(void);

/* State of a LOCAL heap: the first member of struct local. Guarded by the process's local_lock (taken inside). */
struct local_heap {
    vaddr_t end;         /* first address not mapped yet */
    void *free_lists[9]; /* chunks of 16 << i bytes, up to a page */
    void *free_runs;     /* of several pages */
};

#endif
