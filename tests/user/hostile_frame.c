/*
 * Hostile input: signal frames and stacks. Forged code segments, flags, instruction and stack pointers and FPU state
 * handed to rt_sigreturn; frames that cannot be written; segment bases.
 *
 * A forged value is either made harmless or kills; never does it reach ring 3 as it is (GATE), and never the kernel.
 */
#include <cpuid.h>
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#include "tests/user/lib/addresses.h"
#include "tests/user/lib/test.h"

enum { FLAG_INTERRUPT = 1 << 9, FLAG_IOPL = 3 << 12, ARCH_SET_GS = 0x1001, ARCH_SET_FS = 0x1002, ARCH_GET_FS = 0x1003 };

struct forgery {
    int reg; /* of uc_mcontext.gregs; -1: fpregs */
    uint64_t value;
};

static struct forgery forgery;

static void forge(int signal, siginfo_t *info, void *context) {
    ucontext_t *user = context;
    (void)signal;
    (void)info;
    if (forgery.reg < 0) {
        user->uc_mcontext.fpregs = (void *)forgery.value;
    } else if (forgery.reg == REG_CSGSFS) {
        user->uc_mcontext.gregs[REG_CSGSFS] = (long long)forgery.value;
    } else {
        user->uc_mcontext.gregs[forgery.reg] = (long long)forgery.value;
    }
}

static void on_signal(int number, void (*handler)(int, siginfo_t *, void *), int flags) {
    struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | flags};
    CHECK_OK(sigaction(number, &action, NULL));
}

/* Ring 3, interrupts on, no I/O privilege, and a kernel that still answers. */
static void check_unprivileged(void) {
    uint64_t flags;
    uint16_t cs, ss;
    __asm__ volatile("pushf\n pop %0\n mov %%cs, %1\n mov %%ss, %2" : "=r"(flags), "=r"(cs), "=r"(ss));
    CHECK_EQ(cs & 3, 3);
    CHECK_EQ(ss & 3, 3);
    CHECK((flags & FLAG_INTERRUPT) != 0);
    CHECK_EQ(flags & FLAG_IOPL, 0);
    CHECK(syscall(SYS_getpid) > 0);
}

static void return_through_forgery(void *argument) {
    forgery = *(struct forgery *)argument;
    on_signal(SIGUSR1, forge, 0);
    raise(SIGUSR1);
    check_unprivileged();
}

/* The child goes on unprivileged (0) or is killed by its own fault. */
static void try_forgery(int reg, uint64_t value) {
    struct forgery one = {reg, value};
    int status = test_run_child(return_through_forgery, &one);
    int signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    if (status != 0 && signal != SIGSEGV && signal != SIGBUS && signal != SIGILL && signal != SIGTRAP) {
        test_fail(__FILE__, __LINE__, "register %d = %#llx: wait status %#x", reg, (unsigned long long)value, status);
    }
}

static void must_kill(int reg, uint64_t value) {
    struct forgery one = {reg, value};
    int status = test_run_child(return_through_forgery, &one);
    CHECK_SIGNALED(status, SIGSEGV);
}

static void forged_segments(void) {
    for (uint64_t selector = 0; selector <= 0x60; selector++) {
        try_forgery(REG_CSGSFS, selector);                                                /* cs */
        try_forgery(REG_CSGSFS, 0x33 | selector << 48 | selector << 32 | selector << 16); /* ss, fs, gs */
    }
    try_forgery(REG_CSGSFS, ~0ul);
}

static void forged_flags(void) {
    for (int bit = 0; bit < 64; bit++) {
        try_forgery(REG_EFL, 1ul << bit);
        try_forgery(REG_EFL, 0x202 | 1ul << bit);
    }
    try_forgery(REG_EFL, ~0ul);
    try_forgery(REG_EFL, 0);
}

static void forged_pointers(void) {
    for (size_t i = 0; i < COUNT(kernel_addresses); i++) {
        must_kill(REG_RIP, kernel_addresses[i]);
        must_kill(REG_RSP, kernel_addresses[i]);
    }
    for (size_t i = 0; i < COUNT(non_canonical_addresses); i++) {
        must_kill(REG_RIP, non_canonical_addresses[i]);
        try_forgery(REG_RSP, non_canonical_addresses[i]);
    }
    must_kill(REG_RIP, 0);
    must_kill(REG_RIP, USER_END - 1);
}

static void forged_fpu_pointer(void) {
    static uint8_t blank[8192] __attribute__((aligned(64)));
    uint8_t *pages = mmap(NULL, 2 * PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(pages != MAP_FAILED);
    CHECK_OK(munmap(pages + PAGE_SIZE, PAGE_SIZE));
    try_forgery(-1, 0); /* none: the initial state */
    try_forgery(-1, (uintptr_t)blank);
    try_forgery(-1, (uintptr_t)blank + 8);
    try_forgery(-1, (uintptr_t)pages + PAGE_SIZE - 64);
    try_forgery(-1, (uintptr_t)pages + PAGE_SIZE - 576);
    for (size_t i = 0; i < COUNT(kernel_addresses); i++) {
        try_forgery(-1, kernel_addresses[i]);
    }
    for (size_t i = 0; i < COUNT(non_canonical_addresses); i++) {
        try_forgery(-1, non_canonical_addresses[i]);
    }
    memset(blank, 0xff, sizeof(blank)); /* reserved bits of MXCSR and of the XSAVE header: XRSTOR would fault */
    try_forgery(-1, (uintptr_t)blank);
}

static int scribble_offset;

static void scribble(int signal, siginfo_t *info, void *context) {
    uint8_t *state = (uint8_t *)((ucontext_t *)context)->uc_mcontext.fpregs;
    (void)signal;
    (void)info;
    for (int i = 0; state != NULL && i < 8; i++) {
        state[scribble_offset + i] = 0xff;
    }
}

static void return_through_scribble(void *argument) {
    scribble_offset = (int)(intptr_t)argument;
    on_signal(SIGUSR1, scribble, 0);
    raise(SIGUSR1);
    check_unprivileged();
}

/* The real state, eight bytes of it spoilt: control words, MXCSR, the software bytes, the XSAVE header, the tail. */
static void forged_fpu_state(void) {
    for (int offset = 0; offset < 1024; offset += 8) {
        int status = test_run_child(return_through_scribble, (void *)(intptr_t)offset);
        CHECK(status == 0 || WTERMSIG(status) == SIGSEGV || WTERMSIG(status) == SIGFPE);
    }
}

static void return_from_nowhere(void *argument) {
    __asm__ volatile("mov %0, %%rsp\n mov $15, %%eax\n syscall\n ud2" : : "r"(argument) : "rax", "memory");
}

static void no_frame(void) {
    static uint8_t zeros[4 * TEST_PAGE] __attribute__((aligned(64)));
    CHECK_SIGNALED(test_run_child(return_from_nowhere, zeros + 64), SIGSEGV);
    memset(zeros, 0xff, sizeof(zeros));
    CHECK_SIGNALED(test_run_child(return_from_nowhere, zeros + 64), SIGSEGV);
    CHECK_SIGNALED(test_run_child(return_from_nowhere, NULL), SIGSEGV);
    for (size_t i = 0; i < COUNT(kernel_addresses); i++) {
        CHECK_SIGNALED(test_run_child(return_from_nowhere, (void *)kernel_addresses[i]), SIGSEGV);
    }
    CHECK_SIGNALED(test_run_child(return_from_nowhere, (void *)non_canonical_addresses[0]), SIGSEGV);
}

/* A signal that comes while the stack pointer is no good: the frame cannot be written, the process is killed. */
static void signal_on_bad_stack(void *argument) {
    on_signal(SIGALRM, forge, 0);
    struct itimerval timer = {.it_value = {.tv_usec = 10000}};
    setitimer(ITIMER_REAL, &timer, NULL);
    __asm__ volatile("mov %0, %%rsp\n 1: pause\n jmp 1b" : : "r"(argument));
}

static void unwritable_frames(void) {
    uint8_t *read_only = mmap(NULL, 4 * PAGE_SIZE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(read_only != MAP_FAILED);
    CHECK_SIGNALED(test_run_child(signal_on_bad_stack, read_only + 4 * PAGE_SIZE), SIGSEGV);
    CHECK_SIGNALED(test_run_child(signal_on_bad_stack, NULL), SIGSEGV);
    CHECK_SIGNALED(test_run_child(signal_on_bad_stack, (void *)64), SIGSEGV);
    for (size_t i = 0; i < COUNT(kernel_addresses); i++) {
        CHECK_SIGNALED(test_run_child(signal_on_bad_stack, (void *)kernel_addresses[i]), SIGSEGV);
    }
    for (size_t i = 0; i < COUNT(non_canonical_addresses); i++) {
        CHECK_SIGNALED(test_run_child(signal_on_bad_stack, (void *)non_canonical_addresses[i]), SIGSEGV);
    }
}

static void alternate_stack_at(void *argument) {
    stack_t stack = {.ss_sp = argument, .ss_size = 65536};
    on_signal(SIGUSR1, forge, SA_ONSTACK);
    if (syscall(SYS_sigaltstack, &stack, NULL) == 0) {
        raise(SIGUSR1);
        test_fail(__FILE__, __LINE__, "a handler ran on a stack at %p", argument);
    }
    raise(SIGSEGV); /* refused: as good */
}

static void handler_at(void *argument) {
    struct sigaction action = {.sa_sigaction = (void (*)(int, siginfo_t *, void *))argument};
    if (sigaction(SIGUSR1, &action, NULL) == 0) {
        raise(SIGUSR1);
        test_fail(__FILE__, __LINE__, "a handler ran at %p", argument);
    }
    raise(SIGSEGV);
}

static void bad_handlers_and_stacks(void) {
    for (size_t i = 0; i < COUNT(kernel_addresses); i++) {
        void *bad = (void *)kernel_addresses[i];
        CHECK_SIGNALED(test_run_child(handler_at, bad), SIGSEGV);
        CHECK_SIGNALED(test_run_child(alternate_stack_at, (uint8_t *)bad - 65536 / 2), SIGSEGV);
    }
    CHECK_SIGNALED(test_run_child(handler_at, (void *)non_canonical_addresses[0]), SIGSEGV);
    CHECK_SIGNALED(test_run_child(alternate_stack_at, (void *)non_canonical_addresses[0]), SIGSEGV);
}

static void segment_bases_by_call(void) {
    for (size_t i = 0; i < COUNT(kernel_addresses); i++) {
        CHECK_ERRNO(syscall(SYS_arch_prctl, ARCH_SET_FS, kernel_addresses[i]), EPERM);
        CHECK_ERRNO(syscall(SYS_arch_prctl, ARCH_SET_GS, kernel_addresses[i]), EPERM);
        CHECK_ERRNO(syscall(SYS_arch_prctl, ARCH_GET_FS, kernel_addresses[i]), EFAULT);
    }
    for (size_t i = 0; i < COUNT(non_canonical_addresses); i++) {
        CHECK_ERRNO(syscall(SYS_arch_prctl, ARCH_SET_FS, non_canonical_addresses[i]), EPERM);
    }
    CHECK_ERRNO(syscall(SYS_arch_prctl, 0x9999, 0), EINVAL);
}

static __attribute__((target("fsgsbase"))) void use_bases(void *argument) {
    uint64_t base = *(uint64_t *)argument;
    uint64_t end = test_now_ns() + 5000000;
    __asm__ volatile("wrgsbase %0" : : "r"(base));
    while (test_now_ns() < end) {
        uint64_t now;
        CHECK(syscall(SYS_getpid) > 0);
        sched_yield();
        __asm__ volatile("rdgsbase %0" : "=r"(now));
        CHECK_EQ(now, base);
    }
}

/* With FSGSBASE a program may have any GS base, the kernel's own included; entries must not be fooled by it. */
static void segment_bases_by_instruction(void) {
    unsigned a, b = 0, c, d;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || (b & bit_FSGSBASE) == 0) {
        test_skip("no FSGSBASE");
    }
    uint64_t small = 0;
    int status = test_run_child(use_bases, &small);
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGILL) {
        return; /* the kernel does not let programs use it */
    }
    CHECK_EXITED(status);
    for (size_t i = 0; i < COUNT(kernel_addresses); i++) {
        uint64_t base = kernel_addresses[i];
        CHECK_EXITED(test_run_child(use_bases, &base));
    }
}

static const struct test_case cases[] = {
    {"segments", forged_segments},
    {"flags", forged_flags},
    {"pointers", forged_pointers},
    {"fpu-pointer", forged_fpu_pointer},
    {"fpu-state", forged_fpu_state},
    {"sigreturn-without-frame", no_frame},
    {"unwritable-frames", unwritable_frames},
    {"bad-handlers-and-stacks", bad_handlers_and_stacks},
    {"arch-prctl-bases", segment_bases_by_call},
    {"gs-base", segment_bases_by_instruction},
};
TEST_MAIN(cases)
