/*
 * What the compiler calls in debug builds (-fsanitize=undefined, -fstack-protector-strong) when C's rules are broken:
 * the kernel's end, with the place. Not compiled into release builds. Any context.
 */
#ifdef DEBUG

#include <stdint.h>

#include "kernel/panic.h"

/* How GCC's sanitizer describes a place; every handler's first argument begins with one. Layout: GCC's ubsan.cc. */
struct source_location {
    const char *file;
    uint32_t line, column;
};

static _Noreturn void report(const struct source_location *place, const char *what) {
    panic("undefined behaviour: %s at %s:%u", what, place->file, place->line);
}

/* X(handler, words) – one for each check; further arguments, which differ, are not looked at. */
#define UBSAN_HANDLERS(X)                                                                                              \
    X(add_overflow, "addition overflows")                                                                              \
    X(sub_overflow, "subtraction overflows")                                                                           \
    X(mul_overflow, "multiplication overflows")                                                                        \
    X(divrem_overflow, "division overflows")                                                                           \
    X(negate_overflow, "negation overflows")                                                                           \
    X(pointer_overflow, "pointer arithmetic overflows")                                                                \
    X(shift_out_of_bounds, "shift out of bounds")                                                                      \
    X(out_of_bounds, "index out of bounds")                                                                            \
    X(type_mismatch_v1, "null, misaligned or too small object")                                                        \
    X(vla_bound_not_positive, "array of no size")                                                                      \
    X(load_invalid_value, "value its type does not have")                                                              \
    X(builtin_unreachable, "unreachable code reached")                                                                 \
    X(missing_return, "no value returned")                                                                             \
    X(invalid_builtin, "builtin called with an invalid value")                                                         \
    X(nonnull_arg, "null where it is not allowed")

#define UBSAN_HANDLER(name, words)                                                                                     \
    _Noreturn void __ubsan_handle_##name(const struct source_location *place);                                         \
    void __ubsan_handle_##name(const struct source_location *place) { report(place, words); }
UBSAN_HANDLERS(UBSAN_HANDLER)

/* Constant: it is to catch mistakes, not attackers. */
extern const uint64_t __stack_chk_guard;
const uint64_t __stack_chk_guard = 0x00ff1e5a7c0de5af;

_Noreturn void __stack_chk_fail(void);
void __stack_chk_fail(void) { panic("a function wrote beyond its part of the stack"); }

#else
typedef int nothing_in_release_builds;
#endif
