/*
 * Hostile input: instructions. What only a kernel may execute, what traps, flags that confuse a system-call entry.
 * Each in a child, which gets the right signal; the kernel goes on, and this process with it.
 */
#include <cpuid.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/user/lib/addresses.h"
#include "tests/user/lib/test.h"

struct instruction {
    const char *name;
    void (*run)(void);
    int signal;
};

#define INSTRUCTION(function, text)                                                                                    \
    static void function(void) { __asm__ volatile(text : : : "rax", "rbx", "rcx", "rdx", "memory", "cc"); }

INSTRUCTION(do_cli, "cli")
INSTRUCTION(do_sti, "sti")
INSTRUCTION(do_hlt, "hlt")
INSTRUCTION(do_read_cr0, "mov %%cr0, %%rax")
INSTRUCTION(do_read_cr3, "mov %%cr3, %%rax")
INSTRUCTION(do_write_cr3, "xor %%eax, %%eax\n mov %%rax, %%cr3")
INSTRUCTION(do_write_cr4, "xor %%eax, %%eax\n mov %%rax, %%cr4")
INSTRUCTION(do_write_cr8, "xor %%eax, %%eax\n mov %%rax, %%cr8")
INSTRUCTION(do_read_dr7, "mov %%dr7, %%rax")
INSTRUCTION(do_rdmsr, "mov $0xc0000080, %%ecx\n rdmsr")
INSTRUCTION(do_wrmsr, "mov $0xc0000082, %%ecx\n xor %%eax, %%eax\n xor %%edx, %%edx\n wrmsr")
INSTRUCTION(do_in, "in $0x80, %%al")
INSTRUCTION(do_out, "mov $0xf4, %%dx\n out %%al, %%dx")
INSTRUCTION(do_outs, "mov $0xe9, %%dx\n mov %%rsp, %%rsi\n outsb")
INSTRUCTION(do_lgdt, "sub $16, %%rsp\n lgdt (%%rsp)\n add $16, %%rsp")
INSTRUCTION(do_lidt, "sub $16, %%rsp\n lidt (%%rsp)\n add $16, %%rsp")
INSTRUCTION(do_ltr, "mov $0x28, %%eax\n ltr %%ax")
INSTRUCTION(do_lmsw, "mov $1, %%eax\n lmsw %%ax")
INSTRUCTION(do_clts, "clts")
INSTRUCTION(do_invlpg, "invlpg (%%rsp)")
INSTRUCTION(do_invd, "invd")
INSTRUCTION(do_wbinvd, "wbinvd")
INSTRUCTION(do_swapgs, "swapgs")
INSTRUCTION(do_sysret, "xor %%ecx, %%ecx\n sysretq")
INSTRUCTION(do_xsetbv, "xor %%ecx, %%ecx\n mov $1, %%eax\n xor %%edx, %%edx\n xsetbv")
INSTRUCTION(do_far_return, "push $0x08\n lea 1f(%%rip), %%rax\n push %%rax\n lretq\n 1:")
INSTRUCTION(do_far_return_user, "mov %%cs, %%eax\n push %%rax\n lea 1f(%%rip), %%rax\n push %%rax\n lretq\n 1:")
INSTRUCTION(do_iret_kernel,
            "mov %%rsp, %%rbx\n push $0x10\n push %%rbx\n pushf\n push $0x08\n lea 1f(%%rip), %%rax\n push %%rax\n"
            "iretq\n 1:")
INSTRUCTION(do_load_ss, "mov $0x10, %%eax\n mov %%ax, %%ss")
INSTRUCTION(do_load_ds, "mov $0x10, %%eax\n mov %%ax, %%ds")
INSTRUCTION(do_int_timer, "int $0x20")
INSTRUCTION(do_int_page_fault, "int $0x0e")
INSTRUCTION(do_int_double_fault, "int $0x08")
INSTRUCTION(do_int_ff, "int $0xff")
INSTRUCTION(do_ud2, "ud2")
INSTRUCTION(do_stac, "stac")
INSTRUCTION(do_int3, "int3")
INSTRUCTION(do_icebp, ".byte 0xf1")
INSTRUCTION(do_single_step, "pushf\n orq $0x100, (%%rsp)\n popf\n nop\n nop")
INSTRUCTION(do_divide, "xor %%ecx, %%ecx\n mov $1, %%eax\n cltd\n idiv %%ecx")
INSTRUCTION(do_divide_overflow, "mov $-1, %%ecx\n mov $0x80000000, %%eax\n cltd\n idiv %%ecx")
INSTRUCTION(do_x87, "push $0x0000\n fldcw (%%rsp)\n fld1\n fldz\n fdivrp\n fwait\n pop %%rax")
INSTRUCTION(do_sse,
            "push $0\n ldmxcsr (%%rsp)\n pop %%rax\n pxor %%xmm0, %%xmm0\n pxor %%xmm1, %%xmm1\n divsd %%xmm0, %%xmm1")
INSTRUCTION(do_alignment, "pushf\n orq $0x40000, (%%rsp)\n popf\n mov 1(%%rsp), %%rax")
INSTRUCTION(do_movaps, "movaps 1(%%rsp), %%xmm0")
INSTRUCTION(do_stack_non_canonical, "mov %%rsp, %%rbx\n bts $63, %%rsp\n push %%rax\n mov %%rbx, %%rsp")
INSTRUCTION(do_stack_zero, "xor %%esp, %%esp\n push %%rax")

static const struct instruction privileged[] = {
    {"cli", do_cli, SIGSEGV},
    {"sti", do_sti, SIGSEGV},
    {"hlt", do_hlt, SIGSEGV},
    {"read cr0", do_read_cr0, SIGSEGV},
    {"read cr3", do_read_cr3, SIGSEGV},
    {"write cr3", do_write_cr3, SIGSEGV},
    {"write cr4", do_write_cr4, SIGSEGV},
    {"write cr8", do_write_cr8, SIGSEGV},
    {"read dr7", do_read_dr7, SIGSEGV},
    {"rdmsr", do_rdmsr, SIGSEGV},
    {"wrmsr", do_wrmsr, SIGSEGV},
    {"in", do_in, SIGSEGV},
    {"out", do_out, SIGSEGV},
    {"outs", do_outs, SIGSEGV},
    {"lgdt", do_lgdt, SIGSEGV},
    {"lidt", do_lidt, SIGSEGV},
    {"ltr", do_ltr, SIGSEGV},
    {"lmsw", do_lmsw, SIGSEGV},
    {"clts", do_clts, SIGSEGV},
    {"invlpg", do_invlpg, SIGSEGV},
    {"invd", do_invd, SIGSEGV},
    {"wbinvd", do_wbinvd, SIGSEGV},
    {"swapgs", do_swapgs, SIGSEGV},
    {"sysret", do_sysret, SIGSEGV},
    {"xsetbv", do_xsetbv, SIGSEGV},
    {"load ss", do_load_ss, SIGSEGV},
    {"load ds", do_load_ds, SIGSEGV},
    {"int 0x20", do_int_timer, SIGSEGV},
    {"int 0x0e", do_int_page_fault, SIGSEGV},
    {"int 0x08", do_int_double_fault, SIGSEGV},
    {"int 0xff", do_int_ff, SIGSEGV},
};

static const struct instruction returns_to_kernel[] = {
    {"far return", do_far_return, SIGSEGV},
    {"iret", do_iret_kernel, SIGSEGV},
};

static const struct instruction legal_far_return = {"far return", do_far_return_user, 0};
static const struct instruction icebp[] = {{"icebp", do_icebp, SIGTRAP}};
static const struct instruction not_raised_by_tcg[] = {
    {"sse", do_sse, SIGFPE},
    {"alignment", do_alignment, SIGBUS},
    {"stack non-canonical", do_stack_non_canonical, SIGBUS},
};

static const struct instruction trapping[] = {
    {"ud2", do_ud2, SIGILL},
    {"stac", do_stac, SIGILL},
    {"int3", do_int3, SIGTRAP},
    {"single step", do_single_step, SIGTRAP},
    {"divide by 0", do_divide, SIGFPE},
    {"divide overflow", do_divide_overflow, SIGFPE},
    {"x87", do_x87, SIGFPE},
    {"movaps", do_movaps, SIGSEGV},
    {"stack at 0", do_stack_zero, SIGSEGV},
};

static void run_instruction(void *argument) {
    const struct instruction *instruction = argument;
    instruction->run();
}

static void run_all(const struct instruction *instructions, size_t count) {
    for (size_t i = 0; i < count; i++) {
        int status = test_run_child(run_instruction, (void *)(uintptr_t)&instructions[i]);
        if ((status & 0x7f) != instructions[i].signal) {
            test_fail(__FILE__, __LINE__, "%s: wait status %#x, want signal %d", instructions[i].name, status,
                      instructions[i].signal);
        }
    }
}

static void privileged_instructions(void) { run_all(privileged, COUNT(privileged)); }

static void trapping_instructions(void) { run_all(trapping, COUNT(trapping)); }

/* QEMU's own emulation says who it is in the hypervisor's leaf. */
static bool emulated_by_tcg(void) {
    uint32_t a, b, c, d;
    __cpuid(0x40000000, a, b, c, d);
    return b == 0x54474354 && c == 0x43544743 && d == 0x47435447; /* TCGTCGTCGTCG */
}

/*
 * QEMU 7.2 makes the stack reads of iret and of far returns in user mode as if they were the kernel's, which SMAP
 * forbids: they fault for ever, the legal ones, too. (The int log shows cpl=3 with an error code without the user bit.)
 */
static void kernel_segment_returns(void) {
    bool timed_out;
    int status = test_run_child_within(run_instruction, (void *)(uintptr_t)&legal_far_return, 500, &timed_out);
    if (timed_out && emulated_by_tcg()) {
        test_skip("this QEMU's far returns do not work in user mode");
    }
    CHECK(!timed_out);
    CHECK_EXITED(status);
    run_all(returns_to_kernel, COUNT(returns_to_kernel));
}

static void icebp_instruction(void) {
    if (emulated_by_tcg()) {
        test_skip("QEMU's TCG takes it for an invalid opcode");
    }
    run_all(icebp, COUNT(icebp));
}

static volatile int code;

static void note_code(int signal, siginfo_t *info, void *context) {
    (void)context;
    CHECK_EQ(info->si_signo, signal);
    _exit(info->si_code & 0xff);
}

static void with_handler(void *argument) {
    struct sigaction action = {.sa_sigaction = note_code, .sa_flags = SA_SIGINFO};
    static const int signals[] = {SIGILL, SIGTRAP, SIGFPE, SIGBUS, SIGSEGV};
    for (size_t i = 0; i < COUNT(signals); i++) {
        sigaction(signals[i], &action, NULL);
    }
    ((void (*)(void))argument)();
}

static void signal_codes(void) {
    static const struct {
        void (*run)(void);
        int code;
    } expected[] = {{do_ud2, ILL_ILLOPN},    {do_int3, SI_KERNEL}, {do_single_step, TRAP_TRACE},
                    {do_divide, FPE_INTDIV}, {do_x87, FPE_FLTDIV}, {do_cli, SI_KERNEL}};
    for (size_t i = 0; i < COUNT(expected); i++) {
        CHECK_EXITED_WITH(test_run_child(with_handler, (void *)expected[i].run), expected[i].code & 0xff);
    }
}

static void exceptions_without_tcg(void) {
    if (emulated_by_tcg()) {
        test_skip("QEMU's TCG raises no SIMD exceptions, alignment checks, stack faults");
    }
    run_all(not_raised_by_tcg, COUNT(not_raised_by_tcg));
    CHECK_EXITED_WITH(test_run_child(with_handler, (void *)do_sse), FPE_FLTINV);
    CHECK_EXITED_WITH(test_run_child(with_handler, (void *)do_alignment), BUS_ADRALN);
}

static uint64_t read_flags(void) {
    uint64_t flags;
    __asm__ volatile("pushf\n pop %0" : "=r"(flags));
    return flags;
}

/* A system call with these flags set at its entry. */
static long call_with_flags(uint64_t flags, long number, long first, long second, long third) {
    long result;
    __asm__ volatile("sub $128, %%rsp\n pushf\n mov (%%rsp), %%r8\n or %[flags], (%%rsp)\n popf\n syscall\n"
                     "push %%r8\n popf\n add $128, %%rsp"
                     : "=a"(result)
                     : "a"(number), "D"(first), "S"(second), "d"(third), [flags] "r"(flags)
                     : "rcx", "r8", "r11", "memory", "cc");
    return result;
}

enum {
    FLAG_DIRECTION = 1 << 10,
    FLAG_IOPL = 3 << 12,
    FLAG_NESTED = 1 << 14,
    FLAG_ALIGNMENT = 1 << 18,
    FLAG_ID = 1 << 21
};

/*
 * Direction, nested task, alignment check (which is SMAP's override): the entry clears them, the kernel works as
 * ever.
 */
static void flags_at_system_calls(void) {
    static const uint64_t sets[] = {FLAG_DIRECTION, FLAG_NESTED, FLAG_ALIGNMENT,
                                    FLAG_ID,        FLAG_IOPL,   FLAG_DIRECTION | FLAG_NESTED | FLAG_ALIGNMENT};
    static uint8_t data[3 * TEST_PAGE] __attribute__((aligned(8)));
    const char *path = test_path("flags");
    int fd = test_file(path, sizeof(data));
    for (size_t i = 0; i < COUNT(sets); i++) {
        CHECK_EQ(call_with_flags(sets[i], SYS_getpid, 0, 0, 0), getpid());
        CHECK_EQ(call_with_flags(sets[i], SYS_sched_yield, 0, 0, 0), 0);
        memset(data, 0, sizeof(data));
        CHECK_EQ(call_with_flags(sets[i], SYS_lseek, fd, 0, SEEK_SET), 0);
        CHECK_EQ(call_with_flags(sets[i], SYS_read, fd, (long)data, sizeof(data)), sizeof(data));
        for (size_t j = 0; j < sizeof(data); j++) {
            CHECK_EQ(data[j], test_byte(j));
        }
        long pid = call_with_flags(sets[i], SYS_fork, 0, 0, 0);
        if (pid == 0) {
            _exit(5);
        }
        CHECK_EXITED_WITH(test_wait((pid_t)pid), 5);
        for (size_t j = 0; j < COUNT(kernel_addresses); j++) {
            CHECK_EQ(call_with_flags(sets[i], SYS_write, fd, (long)kernel_addresses[j], 8), -EFAULT);
            CHECK_EQ(call_with_flags(sets[i], SYS_pipe, (long)kernel_addresses[j], 0, 0), -EFAULT);
        }
    }
    CHECK_EQ(read_flags() & FLAG_IOPL, 0); /* popf does not give it, and does not say so */
    CHECK_OK(close(fd));
    CHECK_OK(unlink(path));
}

static void spin_with_flags(void *argument) {
    uint64_t end = test_now_ns() + 30000000;
    while (test_now_ns() < end) {
        __asm__ volatile("sub $128, %%rsp\n pushf\n mov (%%rsp), %%r8\n or %0, (%%rsp)\n popf\n mov $100000, %%ecx\n"
                         "1: dec %%ecx\n jnz 1b\n push %%r8\n popf\n add $128, %%rsp"
                         :
                         : "r"((uint64_t)(uintptr_t)argument)
                         : "rcx", "r8", "memory", "cc");
    }
}

/* The same flags under timer interrupts and preemption. */
static void flags_at_interrupts(void) {
    CHECK_EXITED(test_run_child(spin_with_flags, (void *)FLAG_NESTED));
    CHECK_EXITED(test_run_child(spin_with_flags, (void *)FLAG_ALIGNMENT));
    CHECK_EXITED(test_run_child(spin_with_flags, (void *)FLAG_DIRECTION));
}

static void call_at_end(void *argument) { ((void (*)(void))argument)(); }

/* A system call in the last two bytes of the user half returns to an address that sysret must not see in the kernel. */
static void system_call_at_end(void) {
    uint8_t *page = mmap((void *)(USER_END - PAGE_SIZE), PAGE_SIZE, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    if (page == MAP_FAILED) {
        CHECK(errno == EEXIST || errno == ENOMEM); /* the stack may lie there, or the kernel keeps it free */
        return;
    }
    static const uint8_t body[] = {0xb8, SYS_getpid, 0, 0, 0, 0x0f, 0x05}; /* mov $39, %eax; syscall */
    memcpy(page + PAGE_SIZE - sizeof(body), body, sizeof(body));
    CHECK_OK(mprotect(page, PAGE_SIZE, PROT_READ | PROT_EXEC));
    CHECK_SIGNALED(test_run_child(call_at_end, page + PAGE_SIZE - sizeof(body)), SIGSEGV);
}

static void jump_to(void *argument) { __asm__ volatile("jmp *%0" : : "r"(argument)); }

static void jumps(void) {
    for (size_t i = 0; i < COUNT(kernel_addresses); i++) {
        CHECK_SIGNALED(test_run_child(jump_to, (void *)kernel_addresses[i]), SIGSEGV);
    }
    for (size_t i = 0; i < COUNT(non_canonical_addresses); i++) {
        CHECK_SIGNALED(test_run_child(jump_to, (void *)non_canonical_addresses[i]), SIGSEGV);
    }
}

static const struct test_case cases[] = {
    {"privileged-instructions", privileged_instructions},
    {"traps", trapping_instructions},
    {"returns-to-kernel-segments", kernel_segment_returns},
    {"icebp", icebp_instruction},
    {"signal-codes", signal_codes},
    {"exceptions-without-tcg", exceptions_without_tcg},
    {"flags-at-system-calls", flags_at_system_calls},
    {"flags-at-interrupts", flags_at_interrupts},
    {"system-call-at-end", system_call_at_end},
    {"jumps-to-kernel", jumps},
};
TEST_MAIN(cases)
