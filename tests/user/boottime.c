/*
 * Prints how long the boot took: from the kernel's first instruction to the first of user space, and from power-on to
 * here (the time-stamp counter starts with the machine, and firmware and loader are in it). For tests/run.
 */
#include <stdio.h>

#include "tests/user/lib/penumbra.h"
#include "tests/user/lib/test.h"

int main(void) {
    uint64_t now = __builtin_ia32_rdtsc();
    test_needs_penumbra();
    struct asi_state state = penumbra_state();
    if (state.tsc_hz == 0) {
        return TEST_FAILED;
    }
    printf("boot-to-user %llu us, power-on-to-program %llu us\n",
           (unsigned long long)(state.boot_to_user_ticks * 1000000 / state.tsc_hz),
           (unsigned long long)(now / (state.tsc_hz / 1000000)));
    return TEST_PASSED;
}
