/*
 * What the kernel asks of memfs (kernel/fs_abi.h), from its bytes to the answer's.
 */
#ifndef USER_MEMFS_OPERATIONS_H
#define USER_MEMFS_OPERATIONS_H

#include "user/memfs/state.h"

enum { OPERATION_BYTES = 65536 };

/* What there is of memory, for FS_STATFS; in pages. */
struct memory_space {
    uint64_t total, free;
};

/*
 * Carries out a call of `length` bytes, at most OPERATION_BYTES. 0 or an errno; `reply` has room for OPERATION_BYTES,
 * *size of them are the answer. `now`: ns since 1970. What was changed is done, whatever happens, when it returns.
 */
uint32_t operation_call(struct state *state, uint32_t op, const void *bytes, size_t length, int64_t now,
                        const struct memory_space *space, void *reply, size_t *size);

#endif
