/*
 * One thread's sequence: calls by weight with arguments by kind; now and then a new object, so that there is something
 * to use. A child of fork() makes a few calls and ends.
 */
#include "tests/fuzz/guest/fuzz.h"

#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "asi/abi.h"

long fuzz_syscall(long number, const long arguments[6]) {
    register long rax __asm__("rax") = number;
    register long rdi __asm__("rdi") = arguments[0];
    register long rsi __asm__("rsi") = arguments[1];
    register long rdx __asm__("rdx") = arguments[2];
    register long r10 __asm__("r10") = arguments[3];
    register long r8 __asm__("r8") = arguments[4];
    register long r9 __asm__("r9") = arguments[5];
    __asm__ volatile("syscall"
                     : "+r"(rax), "+r"(rdi), "+r"(rsi), "+r"(rdx), "+r"(r10), "+r"(r8), "+r"(r9)
                     :
                     : "rcx", "r11", "memory");
    return rax;
}

static void trace(const struct fuzz_thread *thread, long number, const long arguments[6], long result) {
    char line[256];
    int length = snprintf(line, sizeof line, "%d.%u %s(%#lx, %#lx, %#lx, %#lx, %#lx, %#lx) = %ld\n", thread->lane->pid,
                          thread->index, fuzz_call_name((uint32_t)number), arguments[0], arguments[1], arguments[2],
                          arguments[3], arguments[4], arguments[5], result);
    fuzz_syscall3(SYS_write, 1, (long)line, length);
}

static bool makes_process(long number) {
    return number == SYS_fork || number == SYS_clone || number == 435 /* clone3 */ || number == SYS_vfork;
}

/* The numbers that are no call's, and those of calls that this kernel has not got. */
static long number_of(struct fuzz_thread *thread, const struct fuzz_call *call) {
    if (call->number != 0 || strcmp(call->name, "unknown") != 0) {
        return call->number;
    }
    switch (fuzz_below(&thread->random, 3)) {
    case 0:
        return (long)fuzz_next(&thread->random);
    case 1:
        return SYS_ASI + (long)fuzz_below(&thread->random, 80);
    default:
        return (long)fuzz_below(&thread->random, 470);
    }
}

static void note(struct fuzz_lane *lane, long number, long result) {
    atomic_fetch_add_explicit(&lane->calls, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&fuzz->errors[result < 0 && result > -256 ? -result : 0], 1, memory_order_relaxed);
    if (number >= 0 && number < FUZZ_CALLS) {
        atomic_fetch_add_explicit(&fuzz->done[number], 1, memory_order_relaxed);
        if (result >= 0 || result < -4095) {
            atomic_fetch_add_explicit(&fuzz->useful[number], 1, memory_order_relaxed);
        }
    }
}

/* Returns true in a child that the call has made. */
static bool one_call(struct fuzz_thread *thread) {
    long arguments[6];
    const struct fuzz_call *call = fuzz_choose_call(&thread->random, thread->process->root);
    long number = number_of(thread, call);
    for (unsigned i = 0; i < 6; i++) {
        arguments[i] = fuzz_argument(thread, call->kinds[i]);
    }
    if (call->number == SYS_close && arguments[0] <= 2) {
        arguments[0] = 3;
    }
    if (settings.trace) {
        trace(thread, number, arguments, 0);
    }
    atomic_store_explicit(&thread->lane->number, (uint32_t)number, memory_order_relaxed);
    long result = fuzz_syscall(number, arguments);
    bool child = makes_process(number) && result == 0 && fuzz_syscall3(SYS_getpid, 0, 0, 0) != thread->lane->pid;
    note(thread->lane, number, result);
    thread->results[fuzz_below(&thread->random, 8)] = result;
    return child || (makes_process(number) && result == 0);
}

void fuzz_lane_run(struct fuzz_thread *thread, unsigned calls) {
    bool child = false;
    for (unsigned i = 0; i < calls; i++) {
        if (fuzz_one_in(&thread->random, 24)) {
            fuzz_make_object(thread);
        }
        if (one_call(thread)) {
            if (child) {
                break;
            }
            child = true;
            calls = i + 1 + (unsigned)fuzz_below(&thread->random, 20);
        }
    }
    if (child) {
        fuzz_syscall3(SYS_exit_group, 0, 0, 0);
    }
}
