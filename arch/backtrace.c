/*
 * Walks frame pointers: rbp leads to the caller's rbp and, 8 bytes above, the return address. Reads only memory of the
 * kernel half that a stack can be in. Any space.
 */
#include "arch/backtrace.h"

#include <stdbool.h>

#include "kernel/ksyms.h"
#include "mm/addrmap.h"

static bool may_be_stack(uint64_t address) {
    bool thread_stack = address >= STACK_BASE && address < SLOT_BASE(SLOT_PTWINDOW);
    bool boot_stack = address >= IMAGE_BASE && address < IMAGE_BASE + PAGE_DIRECTORY_SPAN;
    return (thread_stack || boot_stack) && address % 8 == 0;
}

static void say_caller(uint64_t address, void (*say)(const char *format, ...)) {
    const char *name;
    uint64_t offset;
    if (ksym_lookup(address, &name, &offset))
        say("  %016lx  %s+%#lx\n", (unsigned long)address, name, (unsigned long)offset);
    else
        say("  %016lx\n", (unsigned long)address);
}

void backtrace(uint64_t rbp, uint64_t rip, void (*say)(const char *format, ...)) {
    enum { DEPTH_MAX = 24 };
    if (rip != 0)
        say_caller(rip, say);
    for (unsigned depth = 0; depth < DEPTH_MAX && may_be_stack(rbp); depth++) {
        const uint64_t *frame = (const uint64_t *)rbp;
        say_caller(frame[1], say);
        if (frame[0] <= rbp)
            return;
        rbp = frame[0];
    }
}
