/*
 * Conformance: registers survive. General, SSE, AVX and x87 state across system calls, signals, preemption and fork;
 * the red zone; and a handler that changes the frame changes the program.
 */
#include <cpuid.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <ucontext.h>
#include <unistd.h>

#include "tests/user/lib/test.h"

enum { VECTOR_BYTES = 16 * 32, SPINS = 3000000 };

static volatile int handled;

#define EACH_VECTOR(M) M(0) M(1) M(2) M(3) M(4) M(5) M(6) M(7) M(8) M(9) M(10) M(11) M(12) M(13) M(14) M(15)
#define LOAD_YMM(n)    "vmovdqu " #n "*32(%[in]), %%ymm" #n "\n"
#define STORE_YMM(n)   "vmovdqu %%ymm" #n ", " #n "*32(%[out])\n"
#define LOAD_XMM(n)    "movdqu " #n "*32(%[in]), %%xmm" #n "\n"
#define STORE_XMM(n)   "movdqu %%xmm" #n ", " #n "*32(%[out])\n"

/* Fill the vector registers, spin, make a system call, store what they hold then. */
#define HOLD(load, store)                                                                                              \
    __asm__ volatile(EACH_VECTOR(load) "1: dec %[spins]\n jnz 1b\n syscall\n" EACH_VECTOR(store)                       \
                     : "+a"(number), [spins] "+r"(spins)                                                               \
                     : [in] "r"(in), [out] "r"(out), "D"(argument), "S"(second)                                        \
                     : "rcx", "r11", "memory", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", \
                       "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15")

static __attribute__((target("avx"))) long hold_ymm(const void *in, void *out, long spins, long number, long argument,
                                                    long second) {
    HOLD(LOAD_YMM, STORE_YMM);
    return number;
}

static long hold_xmm(const void *in, void *out, long spins, long number, long argument, long second) {
    HOLD(LOAD_XMM, STORE_XMM);
    return number;
}

static bool has_avx(void) {
    unsigned a, b, c = 0, d;
    return __get_cpuid(1, &a, &b, &c, &d) && (c & bit_OSXSAVE) != 0 && (c & bit_AVX) != 0;
}

/* Returns what the system call returned; fails when a vector register has changed. */
static long hold_vectors(unsigned seed, long spins, long number, long argument, long second) {
    uint8_t in[VECTOR_BYTES], out[VECTOR_BYTES];
    size_t width = has_avx() ? 32 : 16;
    for (size_t i = 0; i < sizeof(in); i++) {
        in[i] = (uint8_t)(i * 37 + seed * 101 + 1);
    }
    memset(out, 0, sizeof(out));
    long result = (has_avx() ? hold_ymm : hold_xmm)(in, out, spins, number, argument, second);
    for (size_t vector = 0; vector < 16; vector++) {
        if (memcmp(in + vector * 32, out + vector * 32, width) != 0) {
            test_fail(__FILE__, __LINE__, "vector register %zu changed", vector);
        }
    }
    return result;
}

/* Fill the general registers, spin, fold them into one value. */
static __attribute__((noinline)) uint64_t hold_general(long spins) {
    uint64_t folded;
    __asm__ volatile("push %%rbp\n push %%rbx\n mov %%rdi, %%rcx\n"
                     "mov $0x1111111111111111, %%rax\n mov $0x2222222222222222, %%rbx\n"
                     "mov $0x3333333333333333, %%rdx\n mov $0x4444444444444444, %%rsi\n"
                     "mov $0x5555555555555555, %%rdi\n mov $0x6666666666666666, %%rbp\n"
                     "mov $0x7777777777777777, %%r8\n mov $0x8888888888888888, %%r9\n"
                     "mov $0x9999999999999999, %%r10\n mov $0xaaaaaaaaaaaaaaaa, %%r11\n"
                     "mov $0xbbbbbbbbbbbbbbbb, %%r12\n mov $0xcccccccccccccccc, %%r13\n"
                     "mov $0xdddddddddddddddd, %%r14\n mov $0xeeeeeeeeeeeeeeee, %%r15\n"
                     "1: dec %%rcx\n jnz 1b\n"
                     "rol $3, %%rax\n add %%rbx, %%rax\n rol $3, %%rax\n add %%rdx, %%rax\n"
                     "rol $3, %%rax\n add %%rsi, %%rax\n rol $3, %%rax\n add %%rdi, %%rax\n"
                     "rol $3, %%rax\n add %%rbp, %%rax\n rol $3, %%rax\n add %%r8, %%rax\n"
                     "rol $3, %%rax\n add %%r9, %%rax\n rol $3, %%rax\n add %%r10, %%rax\n"
                     "rol $3, %%rax\n add %%r11, %%rax\n rol $3, %%rax\n add %%r12, %%rax\n"
                     "rol $3, %%rax\n add %%r13, %%rax\n rol $3, %%rax\n add %%r14, %%rax\n"
                     "rol $3, %%rax\n add %%r15, %%rax\n pop %%rbx\n pop %%rbp\n"
                     : "=a"(folded), "+D"(spins)
                     :
                     : "rcx", "rdx", "rsi", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "cc", "memory");
    return folded;
}

static void spoil(int signal) {
    (void)signal;
    uint8_t in[VECTOR_BYTES], out[VECTOR_BYTES];
    memset(in, 0xee, sizeof(in));
    (has_avx() ? hold_ymm : hold_xmm)(in, out, 1, SYS_getpid, 0, 0);
    handled++;
}

static void on_signal(int number, void (*handler)(int)) {
    struct sigaction action = {.sa_handler = handler};
    CHECK_OK(sigaction(number, &action, NULL));
}

static void start_timer(long microseconds) {
    struct itimerval timer = {.it_interval = {.tv_usec = microseconds}, .it_value = {.tv_usec = microseconds}};
    CHECK_OK(setitimer(ITIMER_REAL, &timer, NULL));
}

static void over_system_calls(void) {
    CHECK_EQ(hold_vectors(1, 1, SYS_getpid, 0, 0), getpid());
    CHECK_EQ(hold_vectors(2, 1, SYS_sched_yield, 0, 0), 0);
    struct timespec short_while = {.tv_nsec = 5000000};
    CHECK_EQ(hold_vectors(3, 1, SYS_nanosleep, (long)&short_while, 0), 0);
    uint64_t before = hold_general(1);
    CHECK_EQ(hold_general(10), before);
}

static void over_signals(void) {
    on_signal(SIGUSR1, spoil);
    CHECK_EQ(hold_vectors(4, 1, SYS_kill, getpid(), SIGUSR1), 0); /* at a system call */
    CHECK_EQ(handled, 1);
    uint64_t expected = hold_general(1);
    on_signal(SIGALRM, spoil);
    start_timer(1000);
    for (int i = 0; handled < 10; i++) { /* anywhere */
        hold_vectors((unsigned)i, SPINS, SYS_getpid, 0, 0);
        CHECK_EQ(hold_general(SPINS), expected);
    }
}

static void spin_with_pattern(void *argument) {
    uint64_t expected = hold_general(1);
    unsigned seed = (unsigned)(uintptr_t)argument;
    uint64_t end = test_now_ns() + 150000000;
    while (test_now_ns() < end) {
        hold_vectors(seed, SPINS / 10, SYS_sched_yield, 0, 0);
        CHECK_EQ(hold_general(SPINS / 10), expected);
    }
}

static void over_preemption(void) {
    pid_t pids[4];
    for (unsigned i = 0; i < 4; i++) {
        pids[i] = fork();
        if (pids[i] == 0) {
            spin_with_pattern((void *)(uintptr_t)i);
            _exit(0);
        }
    }
    for (int i = 0; i < 4; i++) {
        CHECK_EXITED(test_wait(pids[i]));
    }
}

static void *spin_thread(void *argument) {
    spin_with_pattern(argument);
    return NULL;
}

static void between_threads(void) {
    pthread_t threads[3];
    for (uintptr_t i = 0; i < 3; i++) {
        int error = pthread_create(&threads[i], NULL, spin_thread, (void *)(i + 10));
        CHECK_EQ(error, 0);
    }
    for (int i = 0; i < 3; i++) {
        pthread_join(threads[i], NULL);
    }
}

static void over_fork(void) {
    long pid = hold_vectors(5, 1, SYS_fork, 0, 0); /* checked in both */
    if (pid == 0) {
        _exit(0);
    }
    CHECK_EXITED(test_wait((pid_t)pid));
}

static void x87_and_mxcsr(void) {
    uint32_t mxcsr = 0x1f80 | 0x6000; /* round towards zero */
    uint16_t control = 0x0f7f;
    on_signal(SIGALRM, spoil);
    __asm__ volatile("ldmxcsr %0\n fldcw %1\n fldpi" : : "m"(mxcsr), "m"(control));
    start_timer(1000);
    while (handled < 3) {
        __asm__ volatile("pause");
    }
    double pi;
    mxcsr = control = 0;
    __asm__ volatile("fstpl %0\n stmxcsr %1\n fnstcw %2" : "=m"(pi), "=m"(mxcsr), "=m"(control));
    CHECK_EQ(mxcsr & 0xffc0, 0x7f80);
    CHECK_EQ(control, 0x0f7f);
    CHECK(pi > 3.14159 && pi < 3.14160);
}

/* A handler starts with the ABI's state, whatever the program was at: no direction flag, a sane MXCSR. */
static volatile uint64_t flags_in_handler;

static void note_flags(int signal) {
    (void)signal;
    uint64_t flags;
    __asm__ volatile("pushf\n pop %0" : "=r"(flags));
    flags_in_handler = flags;
}

static void handler_entry_state(void) {
    on_signal(SIGUSR1, note_flags);
    long number = SYS_kill;
    __asm__ volatile("std\n syscall\n cld" : "+a"(number) : "D"(getpid()), "S"(SIGUSR1) : "rcx", "r11", "memory");
    CHECK_EQ(number, 0);
    CHECK_EQ(flags_in_handler & 0x400, 0);
}

static void skip_instruction(int signal, siginfo_t *info, void *context) {
    ucontext_t *user = context;
    CHECK_EQ(signal, SIGILL);
    CHECK_EQ((uintptr_t)info->si_addr, user->uc_mcontext.gregs[REG_RIP]);
    user->uc_mcontext.gregs[REG_RIP] += 2; /* ud2 */
    user->uc_mcontext.gregs[REG_RAX] = 0x1234567890;
    handled++;
}

static void frame_can_be_changed(void) {
    struct sigaction action = {.sa_sigaction = skip_instruction, .sa_flags = SA_SIGINFO};
    uint64_t value = 1;
    CHECK_OK(sigaction(SIGILL, &action, NULL));
    __asm__ volatile("ud2" : "+a"(value));
    CHECK_EQ(value, 0x1234567890);
    CHECK_EQ(handled, 1);
}

/* The 128 bytes below the stack pointer belong to the program. */
static void red_zone(void) {
    uint64_t good = 0;
    on_signal(SIGALRM, spoil);
    start_timer(1000);
    for (int i = 0; handled < 5; i++) {
        __asm__ volatile("mov $0x5aa5, %%rax\n mov %%rax, -8(%%rsp)\n mov %%rax, -128(%%rsp)\n mov %1, %%rcx\n"
                         "1: dec %%rcx\n jnz 1b\n"
                         "mov -8(%%rsp), %0\n and -128(%%rsp), %0\n"
                         : "=&r"(good)
                         : "i"(SPINS)
                         : "rax", "rcx", "cc", "memory");
        CHECK_EQ(good, 0x5aa5);
    }
}

static const struct test_case cases[] = {
    {"system-calls", over_system_calls},
    {"signals", over_signals},
    {"preemption", over_preemption},
    {"threads", between_threads},
    {"fork", over_fork},
    {"x87-mxcsr", x87_and_mxcsr},
    {"handler-entry", handler_entry_state},
    {"frame-changes", frame_can_be_changed},
    {"red-zone", red_zone},
};
TEST_MAIN(cases)
