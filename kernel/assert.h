/*
 * Two kinds of check on the kernel's own state, neither on user input: `assert` in debug builds (type-checked in all),
 * `ensure` always on, for what would break an isolation invariant if it failed.
 */
#ifndef KERNEL_ASSERT_H
#define KERNEL_ASSERT_H

#include "kernel/panic.h"

#define ensure(condition)                                                                                              \
    do {                                                                                                               \
        if (__builtin_expect(!(condition), 0))                                                                         \
            panic("ensure failed: %s (%s:%d)", #condition, __FILE__, __LINE__);                                        \
    } while (0)

#ifdef DEBUG
#define assert(condition) ensure(condition)
#else
#define assert(condition)                                                                                              \
    do {                                                                                                               \
        if (0)                                                                                                         \
            (void)(condition);                                                                                         \
    } while (0)
#endif

#endif
