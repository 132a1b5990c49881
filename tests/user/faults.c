/*
 * Conformance: what a program gets for touching what it may not: signal, si_code, si_addr; guard pages and the stack.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <ucontext.h>
#include <unistd.h>

#include "tests/user/lib/test.h"

enum { PAGE = TEST_PAGE };

enum access { LOAD, STORE, EXECUTE };

static sigjmp_buf resume;
static volatile int seen_signal, seen_code;
static volatile uintptr_t seen_address;

static void note_fault(int signal, siginfo_t *info, void *context) {
    (void)context;
    seen_signal = signal;
    seen_code = info->si_code;
    seen_address = (uintptr_t)info->si_addr;
    siglongjmp(resume, 1);
}

static void watch_faults(void) {
    struct sigaction action = {.sa_sigaction = note_fault, .sa_flags = SA_SIGINFO};
    CHECK_OK(sigaction(SIGSEGV, &action, NULL));
    CHECK_OK(sigaction(SIGBUS, &action, NULL));
}

/* Touch the address; returns the signal, 0 when there was none. */
static int touch(uintptr_t address, enum access access) {
    volatile uint8_t *byte = (volatile uint8_t *)address;
    seen_signal = 0;
    if (sigsetjmp(resume, 1) == 0) {
        if (access == LOAD) {
            (void)*byte;
        } else if (access == STORE) {
            *byte = 1;
        } else {
            ((void (*)(void))address)();
        }
    }
    return seen_signal;
}

#define CHECK_FAULT(address, access, code)                                                                             \
    do {                                                                                                               \
        CHECK_EQ(touch((uintptr_t)(address), access), SIGSEGV);                                                        \
        CHECK_EQ(seen_code, code);                                                                                     \
        CHECK_EQ(seen_address, (uintptr_t)(address));                                                                  \
    } while (0)

static uint8_t *map(size_t length, int protection) {
    void *address = mmap(NULL, length, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(address != MAP_FAILED);
    return address;
}

static void unmapped(void) {
    watch_faults();
    uint8_t *memory = map(3 * PAGE, PROT_READ | PROT_WRITE);
    CHECK_OK(munmap(memory + PAGE, PAGE));
    CHECK_FAULT(0, LOAD, SEGV_MAPERR);
    CHECK_FAULT(8, STORE, SEGV_MAPERR);
    CHECK_FAULT(memory + PAGE + 123, LOAD, SEGV_MAPERR);
    CHECK_FAULT(memory + PAGE + 123, STORE, SEGV_MAPERR);
    CHECK_FAULT(memory + PAGE + 16, EXECUTE, SEGV_MAPERR);
    CHECK_EQ(touch((uintptr_t)memory, STORE), 0);
    CHECK_EQ(touch((uintptr_t)memory + 2 * PAGE, STORE), 0);
}

static void protected(void) {
    watch_faults();
    uint8_t *memory = map(4 * PAGE, PROT_READ | PROT_WRITE);
    memset(memory, 0xc3, 4 * PAGE); /* ret */
    CHECK_OK(mprotect(memory + PAGE, PAGE, PROT_READ));
    CHECK_OK(mprotect(memory + 2 * PAGE, PAGE, PROT_NONE));
    CHECK_FAULT(memory + PAGE + 5, STORE, SEGV_ACCERR);
    CHECK_EQ(touch((uintptr_t)memory + PAGE + 5, LOAD), 0);
    CHECK_FAULT(memory + 2 * PAGE, LOAD, SEGV_ACCERR);
    CHECK_FAULT(memory, EXECUTE, SEGV_ACCERR); /* NX */
    CHECK_OK(mprotect(memory, PAGE, PROT_READ | PROT_EXEC));
    CHECK_EQ(touch((uintptr_t)memory, EXECUTE), 0);
    CHECK_FAULT(memory, STORE, SEGV_ACCERR);
    CHECK_OK(mprotect(memory, PAGE, PROT_READ | PROT_WRITE));
    CHECK_FAULT(memory, EXECUTE, SEGV_ACCERR);
    CHECK_EQ(touch((uintptr_t)memory, STORE), 0);
}

static void program_text(void) {
    static const char constant[PAGE] = "constant";
    watch_faults();
    CHECK_FAULT(constant, STORE, SEGV_ACCERR);
    CHECK_FAULT(program_text, STORE, SEGV_ACCERR);
    static uint8_t data[16] = {0xc3};
    CHECK_FAULT(data, EXECUTE, SEGV_ACCERR);
    uint8_t on_stack[16] = {0xc3};
    CHECK_FAULT(on_stack, EXECUTE, SEGV_ACCERR);
}

/* Linux tells user space nothing about its half: MAPERR throughout, non-canonical addresses without an address. */
static void kernel_half(void) {
    static const uintptr_t regions[] = {
        0xffff800000000000, 0xffff800000001000, 0xffff808000000000, 0xffff810000000000, 0xffff820000000000,
        0xffff888000000000, 0xffffa00000000000, 0xffffffff80000000, 0xffffffff80200000, 0xfffffffffffff000,
    };
    watch_faults();
    for (size_t i = 0; i < sizeof(regions) / sizeof(regions[0]); i++) {
        for (enum access access = LOAD; access <= EXECUTE; access++) {
            CHECK_EQ(touch(regions[i], access), SIGSEGV);
            CHECK(seen_code == SEGV_MAPERR || seen_code == SEGV_ACCERR);
            CHECK_EQ(seen_address, regions[i]);
        }
    }
    static const uintptr_t non_canonical[] = {0x800000000000, 0x0123456789abcdef, 0xffff7fffffffffff};
    for (size_t i = 0; i < sizeof(non_canonical) / sizeof(non_canonical[0]); i++) {
        CHECK_EQ(touch(non_canonical[i], LOAD), SIGSEGV);
        CHECK_EQ(seen_code, SI_KERNEL);
        CHECK_EQ(seen_address, 0);
        CHECK_EQ(touch(non_canonical[i], STORE), SIGSEGV);
    }
    CHECK_EQ(touch(0x7ffffffff000, LOAD), SIGSEGV); /* the page before the hole is nobody's */
}

static void past_end_of_file(void) {
    const char *path = test_path("bus");
    watch_faults();
    int fd = test_file(path, PAGE + 1);
    uint8_t *memory = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    CHECK(memory != MAP_FAILED);
    CHECK_EQ(touch((uintptr_t)memory + 2 * PAGE - 1, LOAD), 0);
    CHECK_EQ(touch((uintptr_t)memory + 2 * PAGE + 3, LOAD), SIGBUS);
    CHECK_EQ(seen_code, BUS_ADRERR);
    CHECK_EQ(seen_address, (uintptr_t)memory + 2 * PAGE + 3);
    CHECK_OK(ftruncate(fd, 10));
    CHECK_EQ(touch((uintptr_t)memory + PAGE, LOAD), SIGBUS); /* REVOKE: truncation takes the page away */
    CHECK_EQ(touch((uintptr_t)memory, LOAD), 0);
    CHECK_ERRNO(write(fd, memory + 2 * PAGE, 1), EFAULT);
    CHECK_OK(ftruncate(fd, 3 * PAGE));
    CHECK_EQ(memory[PAGE], 0);
    CHECK_OK(unlink(path));
}

static volatile unsigned long seen_vector, seen_error, seen_cr2;

static void note_context(int signal, siginfo_t *info, void *context) {
    const ucontext_t *user = context;
    seen_vector = (unsigned long)user->uc_mcontext.gregs[REG_TRAPNO];
    seen_error = (unsigned long)user->uc_mcontext.gregs[REG_ERR];
    seen_cr2 = (unsigned long)user->uc_mcontext.gregs[REG_CR2];
    note_fault(signal, info, context);
}

/* What a program that does its own paging looks at: which access it was. A timer or a system call leaves no trace. */
static void context_says_why(void) {
    enum { PROTECTION = 13, PAGE_FAULT = 14, PRESENT = 1, WRITE = 2, USER = 4 };
    struct sigaction action = {.sa_sigaction = note_context, .sa_flags = SA_SIGINFO};
    uint8_t *memory = map(2 * PAGE, PROT_READ | PROT_WRITE);
    CHECK_OK(sigaction(SIGSEGV, &action, NULL));
    CHECK_OK(mprotect(memory, PAGE, PROT_READ));
    CHECK_EQ(memory[0], 0);
    const struct {
        uintptr_t address;
        enum access access;
        unsigned error;
    } faults[] = {
        {(uintptr_t)memory + 7, STORE, PRESENT | WRITE | USER},
        {8, LOAD, USER},
        {8, STORE, WRITE | USER},
        {0xffffffff80000000, LOAD, PRESENT | USER}, /* whether there is anything or not */
        {0xffff800000000000, STORE, PRESENT | WRITE | USER},
        {0xfffffffffffff000, STORE, PRESENT | WRITE | USER},
    };
    for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
        CHECK_EQ(touch(faults[i].address, faults[i].access), SIGSEGV);
        CHECK_EQ(seen_vector, PAGE_FAULT);
        CHECK_EQ(seen_error, faults[i].error);
        CHECK_EQ(seen_cr2, faults[i].address);
    }
    CHECK_EQ(touch(0x0123456789abcdef, LOAD), SIGSEGV);
    CHECK_EQ(seen_vector, PROTECTION);
    CHECK_EQ(seen_error, 0);
}

static void unhandled(void *argument) { *(volatile char *)argument = 1; }

static void default_is_death(void) {
    CHECK_SIGNALED(test_run_child(unhandled, NULL), SIGSEGV);
    CHECK_SIGNALED(test_run_child(unhandled, (void *)0xffffffff80000000), SIGSEGV);
    CHECK_SIGNALED(test_run_child(unhandled, (void *)0x0123456789abcdef), SIGSEGV);
}

static void handler_blocked(void *argument) {
    (void)argument;
    sigset_t set;
    watch_faults();
    sigemptyset(&set);
    sigaddset(&set, SIGSEGV);
    sigprocmask(SIG_BLOCK, &set, NULL);
    unhandled(NULL);
}

/* A fault whose signal is blocked or ignored cannot be put off: it kills. */
static void blocked_is_death(void) {
    CHECK_SIGNALED(test_run_child(handler_blocked, NULL), SIGSEGV);
    signal(SIGSEGV, SIG_IGN);
    CHECK_SIGNALED(test_run_child(unhandled, NULL), SIGSEGV);
}

static __attribute__((noinline)) int use_stack(int depth) {
    volatile uint8_t frame[2000];
    frame[0] = (uint8_t)depth;
    return depth == 0 ? frame[0] : use_stack(depth - 1) + frame[0] % 2;
}

static void stack_grows(void) {
    CHECK(use_stack(1000) > 0); /* 2 MB and more */
    CHECK(use_stack(3000) > 0); /* of 8 */
}

static void recurse(void *argument) {
    (void)argument;
    use_stack(1 << 30);
}

static void endless_recursion(void) {
    struct rlimit limit = {.rlim_cur = 8 << 20, .rlim_max = RLIM_INFINITY};
    CHECK_OK(getrlimit(RLIMIT_STACK, &limit));
    CHECK_SIGNALED(test_run_child(recurse, NULL), SIGSEGV);

    static uint8_t other_stack[65536];
    stack_t stack = {.ss_sp = other_stack, .ss_size = sizeof(other_stack)};
    struct sigaction action = {.sa_sigaction = note_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    CHECK_OK(sigaltstack(&stack, NULL));
    CHECK_OK(sigaction(SIGSEGV, &action, NULL));
    seen_signal = 0;
    if (sigsetjmp(resume, 1) == 0) {
        recurse(NULL);
    }
    CHECK_EQ(seen_signal, SIGSEGV); /* and the program goes on, on its own stack */
    CHECK(use_stack(10) > 0);
}

static const struct test_case cases[] = {
    {"unmapped", unmapped},
    {"protected", protected},
    {"text-and-nx", program_text},
    {"kernel-half", kernel_half},
    {"past-end-of-file", past_end_of_file},
    {"context", context_says_why},
    {"unhandled-kills", default_is_death},
    {"blocked-kills", blocked_is_death},
    {"stack-growth", stack_grows},
    {"deep-recursion", endless_recursion},
};
TEST_MAIN(cases)
