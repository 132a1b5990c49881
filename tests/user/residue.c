/*
 * RESIDUE, seen by an attacker (docs/nest.md): a victim puts a canary into every register and buffer that it has and
 * enters the kernel in every way; another process then searches every byte that its own restricted space maps, and
 * finds none. In the modes that have no restricted space the scan is refused, and there is nothing to show.
 *
 * The victim makes the canary after the fork: the attacker has it only under a mask.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <pty.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#include "tests/user/lib/domains.h"
#include "tests/user/lib/penumbra.h"
#include "tests/user/lib/test.h"
#include "user/lib/native.h"

/* One for data, in which no byte is 0, and one that can be an address. */
enum { DATA, ADDRESS, CANARIES };
static const volatile uint64_t masks[CANARIES] = {0x3b91c6a85ed2f704, 0x00006a15d38c92e7};
static const volatile uint64_t masked[CANARIES] = {0x3b91c6a85ed2f704 ^ 0x5ce3a1b7d4f29186,
                                                   0x00006a15d38c92e7 ^ 0x00004d9bc37a51e6};
static uint64_t canary[CANARIES] __attribute__((used)); /* in the victim only */

static void make_canaries(void) {
    for (int i = 0; i < CANARIES; i++) {
        canary[i] = masked[i] ^ masks[i];
    }
}

/* --- The attacker --------------------------------------------------------------------------------------------- */

/* False where there is no restricted space to search. */
static bool scan(int which, uint64_t flags, struct asi_scan *result) {
    *result = (struct asi_scan){.masked = masked[which], .mask = masks[which], .flags = flags};
    long status = penumbra_call(ASI_OP_SCAN, 0, result, sizeof(*result));
    if (status < 0 && errno == EOPNOTSUPP) {
        return false;
    }
    CHECK_EQ(status, 0);
    CHECK(result->bytes > 1000000 && result->pages * TEST_PAGE == result->bytes);
    return true;
}

static void find_nothing(const char *after) {
    struct asi_scan result;
    for (int which = 0; which < CANARIES; which++) {
        if (scan(which, 0, &result) && result.found != 0) {
            test_fail(__FILE__, __LINE__, "after %s: the %s canary is seen %llu times, first at %#llx", after,
                      which == DATA ? "data" : "address", (unsigned long long)result.found,
                      (unsigned long long)result.first);
        }
    }
}

/* --- The victim: all registers -------------------------------------------------------------------------------- */

/* The assembler knows these by name. */
static uint64_t kept_rsp __attribute__((used)), kept_rbp __attribute__((used));
static uint64_t vectors[4] __attribute__((used, aligned(32)));

/* Every general register holds the data canary, rsp the address canary; `body` may change rax, rcx and r11. */
#define WITH_ALL_REGISTERS(body)                                                                                       \
    __asm__ volatile("mov %%rsp, kept_rsp(%%rip)\n mov %%rbp, kept_rbp(%%rip)\n mov %%rax, %%rcx\n"                    \
                     "mov canary(%%rip), %%rdi\n mov %%rdi, %%rsi\n mov %%rdi, %%rdx\n mov %%rdi, %%rbx\n"             \
                     "mov %%rdi, %%rbp\n mov %%rdi, %%r8\n mov %%rdi, %%r9\n mov %%rdi, %%r10\n mov %%rdi, %%r11\n"    \
                     "mov %%rdi, %%r12\n mov %%rdi, %%r13\n mov %%rdi, %%r14\n mov %%rdi, %%r15\n"                     \
                     "mov canary+8(%%rip), %%rsp\n" body "mov kept_rsp(%%rip), %%rsp\n mov kept_rbp(%%rip), %%rbp\n"   \
                     : "+a"(number)                                                                                    \
                     :                                                                                                 \
                     : "rbx", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15",        \
                       "memory", "cc")

static void call_with_all(long number) { WITH_ALL_REGISTERS("mov %%rcx, %%rax\n mov %%rdi, %%rcx\n syscall\n"); }

static void spin_with_all(long number) { WITH_ALL_REGISTERS("mov %%rdi, %%rax\n 1: dec %%rcx\n jnz 1b\n"); }

/* Sleeps: the processor idles with what the kernel left of these registers. */
static const struct timespec nap __attribute__((used)) = {.tv_nsec = 700000};
static const uint32_t nap_word __attribute__((used));

static void nap_with_all(void) {
    long number = SYS_nanosleep;
    WITH_ALL_REGISTERS("mov %%rcx, %%rax\n lea nap(%%rip), %%rdi\n xor %%esi, %%esi\n syscall\n");
    number = SYS_futex;
    WITH_ALL_REGISTERS("mov %%rcx, %%rax\n lea nap_word(%%rip), %%rdi\n mov $128, %%esi\n xor %%edx, %%edx\n"
                       "lea nap(%%rip), %%r10\n syscall\n");
}

/* rcx: the address that is touched. */
static void touch_with_all(void *at) {
    long number = (long)at;
    WITH_ALL_REGISTERS("mov %%rdi, %%rax\n movb $1, (%%rcx)\n");
}

static bool has_avx(void) { return __builtin_cpu_supports("avx"); }

static __attribute__((target("avx"))) void fill_ymm(void) {
    __asm__ volatile("vmovdqa vectors(%%rip), %%ymm0\n vmovdqa %%ymm0, %%ymm1\n vmovdqa %%ymm0, %%ymm2\n"
                     "vmovdqa %%ymm0, %%ymm3\n vmovdqa %%ymm0, %%ymm4\n vmovdqa %%ymm0, %%ymm5\n"
                     "vmovdqa %%ymm0, %%ymm6\n vmovdqa %%ymm0, %%ymm7\n vmovdqa %%ymm0, %%ymm8\n"
                     "vmovdqa %%ymm0, %%ymm9\n vmovdqa %%ymm0, %%ymm10\n vmovdqa %%ymm0, %%ymm11\n"
                     "vmovdqa %%ymm0, %%ymm12\n vmovdqa %%ymm0, %%ymm13\n vmovdqa %%ymm0, %%ymm14\n"
                     "vmovdqa %%ymm0, %%ymm15\n" ::
                         : "memory");
}

/* x87: a significand of 64 bits is the canary. */
static void fill_fpu(void) {
    struct {
        uint64_t significand;
        uint16_t exponent;
    } extended = {canary[DATA] | 1UL << 63, 0x3fff};
    for (int i = 0; i < 4; i++) {
        vectors[i] = canary[DATA];
    }
    __asm__ volatile("fninit");
    for (int i = 0; i < 8; i++) {
        __asm__ volatile("fldt %0" ::"m"(extended));
    }
    __asm__ volatile("movdqa vectors(%%rip), %%xmm0\n movdqa %%xmm0, %%xmm1\n movdqa %%xmm0, %%xmm7\n"
                     "movdqa %%xmm0, %%xmm8\n movdqa %%xmm0, %%xmm15\n" ::
                         : "memory");
    if (has_avx()) {
        fill_ymm();
    }
}

static long raw(long number, long a, long b, long c) {
    long result;
    __asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory");
    return result;
}

/* --- The victim: ways into the kernel ------------------------------------------------------------------------- */

static void system_calls(void) {
    static const int numbers[] = {SYS_getpid, SYS_sched_yield, 9999,      SYS_read,         SYS_write,   SYS_mmap,
                                  SYS_futex,  SYS_open,        SYS_ioctl, SYS_rt_sigaction, SYS_pipe2,   SYS_nanosleep,
                                  SYS_wait4,  SYS_kill,        SYS_clone, SYS_getrandom,    SYS_pselect6};
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        if (numbers[i] != SYS_clone) {
            call_with_all(numbers[i]);
        }
    }
}

static void timer_interrupts(void) {
    for (int i = 0; i < 5; i++) {
        fill_fpu();
        spin_with_all(20000000);
    }
}

static void page_faults(void) {
    char *memory = mmap(NULL, 8 * TEST_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK((void *)memory != MAP_FAILED);
    for (int i = 0; i < 8; i++) {
        fill_fpu();
        touch_with_all(memory + i * TEST_PAGE);
    }
}

static void step_over(int number, siginfo_t *info, void *context) {
    ucontext_t *interrupted = context;
    volatile uint64_t on_signal_stack[16];
    (void)info;
    for (int i = 0; i < 16; i++) {
        on_signal_stack[i] = canary[DATA];
    }
    (void)on_signal_stack[0];
    if (number == SIGILL) {
        interrupted->uc_mcontext.gregs[REG_RIP] += 2; /* ud2 */
    }
    if (number == SIGFPE) {
        interrupted->uc_mcontext.gregs[REG_RCX] = 1;
    }
}

static void exceptions(void) {
    static uint8_t stack[65536];
    stack_t alternate = {.ss_sp = stack, .ss_size = sizeof(stack)};
    struct sigaction action = {.sa_sigaction = step_over, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    long number = 1;
    CHECK_OK(sigaltstack(&alternate, NULL));
    CHECK_OK(sigaction(SIGTRAP, &action, NULL));
    CHECK_OK(sigaction(SIGILL, &action, NULL));
    CHECK_OK(sigaction(SIGFPE, &action, NULL));
    fill_fpu();
    WITH_ALL_REGISTERS("int3\n");
    WITH_ALL_REGISTERS("ud2\n");
    WITH_ALL_REGISTERS("mov %%rdi, %%rax\n xor %%edx, %%edx\n xor %%ecx, %%ecx\n div %%rcx\n");
    /* The debug exception: rsp must be good to set the flag by. */
    __asm__ volatile("pushfq\n orq $0x100, (%%rsp)\n mov canary(%%rip), %%rax\n mov %%rax, %%rdx\n popfq\n nop\n"
                     "pushfq\n andq $~0x100, (%%rsp)\n popfq\n" ::
                         : "rax", "rdx", "memory", "cc");
    CHECK_OK(raise(SIGTRAP));
}

static void *fill_and_end(void *unused) {
    volatile uint64_t on_stack[512];
    for (int i = 0; i < 512; i++) {
        on_stack[i] = canary[DATA];
    }
    (void)on_stack[0];
    fill_fpu();
    call_with_all(SYS_sched_yield);
    return unused;
}

static void threads_and_processes(void) {
    pthread_t thread;
    for (int i = 0; i < 4; i++) {
        int error = pthread_create(&thread, NULL, fill_and_end, NULL);
        CHECK_EQ(error, 0);
        pthread_join(thread, NULL);
        pid_t pid = fork();
        if (pid == 0) {
            fill_and_end(NULL);
            _exit(0);
        }
        CHECK_EXITED(test_wait(pid));
    }
}

static void buffers(void) {
    uint64_t page[512];
    int ends[2], fd;
    const char *path = test_path("residue");
    fd = test_file(path, 8 * TEST_PAGE);
    for (int i = 0; i < 512; i++) {
        page[i] = canary[DATA];
    }
    for (int i = 0; i < 4; i++) {
        CHECK_EQ(pwrite(fd, page, sizeof(page), i * TEST_PAGE + 100), TEST_PAGE);
        CHECK_EQ(pread(fd, page, sizeof(page), i * TEST_PAGE + 100), TEST_PAGE);
    }
    uint64_t *shared = mmap(NULL, 8 * TEST_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    CHECK((void *)shared != MAP_FAILED);
    shared[3000] = canary[DATA];
    CHECK_OK(pipe(ends));
    CHECK_EQ(write(ends[1], page, sizeof(page)), TEST_PAGE); /* and nobody reads it */
    for (int i = 0; i < 8; i++) {
        char *heap = malloc(100000);
        memcpy(heap + 5, page, sizeof(page));
    }
    struct timespec moment = {.tv_nsec = 1000000};
    syscall(SYS_futex, page, 0, (uint32_t)canary[DATA], &moment, NULL, 0);
    CHECK_OK(unlink(path));
}

/* What sockets, counters and sets of files hold: read and read away, read in part, and never read. */
static void talk(void) {
    static const int types[] = {SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET};
    uint64_t page[512];
    for (int i = 0; i < 512; i++) {
        page[i] = canary[DATA];
    }
    for (int i = 0; i < 3; i++) {
        int ends[2];
        CHECK_OK(socketpair(AF_UNIX, types[i], 0, ends));
        for (int j = 0; j < 4; j++) {
            CHECK_EQ(send(ends[j & 1], page, sizeof(page), 0), TEST_PAGE);
        }
        CHECK_EQ(recv(ends[0], page, sizeof(page), MSG_PEEK), TEST_PAGE);
        CHECK_EQ(recv(ends[0], page, sizeof(page), 0), TEST_PAGE);
        CHECK_EQ(recv(ends[1], page, 24, 0), 24);
        pid_t pid = fork(); /* a second writer of the same ends */
        if (pid == 0) {
            CHECK_EQ(send(ends[0], page, 1000, 0), 1000);
            CHECK_OK(shutdown(ends[1], SHUT_RDWR));
            _exit(0);
        }
        CHECK_EXITED(test_wait(pid));
    }
    int counter = (int)CHECK_OK(eventfd(0, 0)), set = (int)CHECK_OK(epoll_create1(0));
    uint64_t value = canary[DATA] >> 1; /* it is added twice */
    CHECK_EQ(write(counter, &value, sizeof(value)), 8);
    CHECK_EQ(write(counter, &value, sizeof(value)), 8);
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = canary[DATA]};
    CHECK_OK(epoll_ctl(set, EPOLL_CTL_ADD, counter, &event));
    CHECK_EQ(epoll_wait(set, &event, 1, 0), 1);
}

/* From either end of a pseudo-terminal, edited, echoed and raw; read, read in part, and never read. */
static void type_and_show(void) {
    uint64_t words[64];
    struct termios settings;
    int master, slave;
    for (int i = 0; i < 64; i++) {
        words[i] = canary[DATA];
    }
    CHECK_OK(openpty(&master, &slave, NULL, NULL, NULL));
    CHECK_EQ(write(master, words, 200), 200); /* a line that does not end */
    CHECK_EQ(write(slave, words, 200), 200);
    CHECK(read(master, words, 24) > 0); /* not all of the echo */
    CHECK_OK(tcgetattr(slave, &settings));
    cfmakeraw(&settings);
    CHECK_OK(tcsetattr(slave, TCSANOW, &settings));
    CHECK_EQ(write(master, words, sizeof(words)), sizeof(words));
    CHECK(read(slave, words, 24) > 0);
    CHECK_OK(openpty(&master, &slave, NULL, NULL, NULL)); /* and one that is gone */
    CHECK_EQ(write(slave, words, sizeof(words)), sizeof(words));
    CHECK_OK(close(master));
    CHECK_OK(close(slave));
}

/* What is moved between files by splice and its like, and what waits in a FIFO that nobody reads any more. */
static void splices(void) {
    uint64_t page[512];
    struct iovec vector = {.iov_base = page, .iov_len = sizeof(page)};
    const char *path = test_path("residue-splice");
    int one[2], other[2], fd = test_file(path, 8 * TEST_PAGE);
    for (int i = 0; i < 512; i++) {
        page[i] = canary[DATA];
    }
    CHECK_OK(pipe(one));
    CHECK_OK(pipe(other));
    CHECK_EQ(vmsplice(one[1], &vector, 1, 0), TEST_PAGE);
    CHECK_EQ(tee(one[0], other[1], TEST_PAGE, 0), TEST_PAGE);
    CHECK_EQ(splice(one[0], NULL, fd, NULL, 1000, 0), 1000);
    CHECK_EQ(splice(fd, &(loff_t){0}, other[1], NULL, 1000, 0), 1000);
    CHECK_EQ(splice(one[0], NULL, other[1], NULL, 1000, 0), 1000);
    CHECK_EQ(vmsplice(other[0], &vector, 1, 0), TEST_PAGE);
    CHECK_OK(unlink(path));
    CHECK_OK(mkfifo(path, 0600));
    int fifo = (int)CHECK_OK(open(path, O_RDWR));
    CHECK_EQ(write(fifo, page, sizeof(page)), TEST_PAGE);
    CHECK_EQ(read(fifo, page, 24), 24);
    CHECK_OK(close(fifo));
    fifo = (int)CHECK_OK(open(path, O_RDWR | O_NONBLOCK));
    CHECK_ERRNO(read(fifo, page, 24), EAGAIN);
    CHECK_EQ(write(fifo, page, 1000), 1000);
    CHECK_OK(unlink(path));
}

/* Values that the kernel keeps for a program. */
static void kept_values(void) {
    raw(SYS_set_tid_address, (long)canary[ADDRESS], 0, 0);
    raw(SYS_set_robust_list, (long)canary[ADDRESS], 24, 0);
    enum { SET_GS = 0x1001, SET_FS = 0x1002, GET_FS = 0x1003 };
    uint64_t fs = 0;
    struct timespec moment = {.tv_nsec = 3000000};
    raw(SYS_arch_prctl, SET_GS, (long)canary[ADDRESS], 0);
    raw(SYS_arch_prctl, GET_FS, (long)&fs, 0);
    raw(SYS_arch_prctl, SET_FS, (long)canary[ADDRESS], 0);
    raw(SYS_nanosleep, (long)&moment, 0, 0); /* others run, with these bases in their way */
    raw(SYS_arch_prctl, SET_FS, (long)fs, 0);
}

static void executed_program(void) {
    char word[3 * sizeof(uint64_t) + 1] = "", setting[sizeof(word) + 2] = "C=";
    for (int i = 0; i < 3; i++) {
        memcpy(word + i * 8, &canary[DATA], 8);
    }
    strcat(setting, word);
    pid_t pid = fork();
    if (pid == 0) {
        fill_fpu();
        char *arguments[] = {"/tests/residue", "--as-program", word, NULL}, *environment[] = {setting, NULL};
        execve(arguments[0], arguments, environment);
        _exit(1);
    }
    CHECK_EXITED(test_wait(pid));
}

/* --- Cases ---------------------------------------------------------------------------------------------------- */

/* The attacker looks while the victim sleeps in the kernel, while it runs, and when it has gone. */
static void attacked(const char *what, void (*victim)(void)) {
    test_needs_penumbra();
    int ready[2], go[2];
    char byte = 0;
    find_nothing("nothing");
    CHECK_OK(pipe(ready));
    CHECK_OK(pipe(go));
    pid_t pid = fork();
    if (pid == 0) {
        make_canaries();
        fill_fpu();
        victim();
        raw(SYS_write, ready[1], (long)&byte, 1);
        fill_fpu();
        raw(SYS_read, go[0], (long)&byte, 1);
        for (;;) {
            fill_fpu();
            spin_with_all(3000000);
        }
    }
    CHECK_OK(close(ready[1]));
    CHECK_EQ(read(ready[0], &byte, 1), 1);
    find_nothing(what);
    CHECK_EQ(write(go[1], &byte, 1), 1);
    test_sleep_ms(30);
    find_nothing(what);
    CHECK_OK(kill(pid, SIGKILL));
    CHECK_SIGNALED(test_wait(pid), SIGKILL);
    find_nothing(what);
    CHECK_OK(close(ready[0]));
    CHECK_OK(close(go[0]));
    CHECK_OK(close(go[1]));
}

static void after_system_calls(void) { attacked("system calls", system_calls); }
static void after_timer_interrupts(void) { attacked("timer interrupts", timer_interrupts); }
static void after_page_faults(void) { attacked("page faults", page_faults); }
static void after_exceptions(void) { attacked("exceptions", exceptions); }
static void after_threads(void) { attacked("threads and processes", threads_and_processes); }
static void after_buffers(void) { attacked("buffers", buffers); }
static void after_talk(void) { attacked("talk", talk); }
static void after_terminals(void) { attacked("pseudo-terminals", type_and_show); }
static void after_splices(void) { attacked("splices", splices); }
static void after_kept_values(void) { attacked("kept values", kept_values); }
static void after_exec(void) { attacked("a program's words", executed_program); }

/* NMIs meet the victim in user code, in the kernel and in between. Needs torture=1. */
static void after_nmis(void) {
    test_needs_penumbra();
    if (penumbra_call(ASI_OP_NMI_STORM, 0, NULL, 0) < 0) {
        test_skip("not booted with torture=1");
    }
    unsigned cpus = penumbra_state().cpus;
    pid_t pid = fork();
    if (pid == 0) {
        make_canaries();
        for (;;) {
            fill_fpu();
            call_with_all(SYS_getpid);
            call_with_all(SYS_sched_yield);
        }
    }
    for (unsigned i = 0; i < 10; i++) {
        CHECK_OK(penumbra_call(ASI_OP_NMI_STORM, i % cpus, NULL, 500));
        sched_yield();
        find_nothing("NMIs");
    }
    CHECK_OK(kill(pid, SIGKILL));
    CHECK_SIGNALED(test_wait(pid), SIGKILL);
}

/* An interrupt finds the processor idle after the victim, and stays on idle's stack until the next one. */
static void after_naps(void) {
    test_needs_penumbra();
    pin_to_first_cpu();
    pid_t pid = fork();
    if (pid == 0) {
        make_canaries();
        for (;;) {
            fill_fpu();
            nap_with_all();
        }
    }
    for (int i = 0; i < 50; i++) {
        test_sleep_ms(3);
        find_nothing("naps");
    }
    CHECK_OK(kill(pid, SIGKILL));
    CHECK_SIGNALED(test_wait(pid), SIGKILL);
}

/* Ends the torture; the registers that the call does not use hold canaries to the last strike. */
static void end_torture_with_all(void) {
    long number = SYS_ASI;
    _Static_assert(ASI_OP_NEST == 21, "is in the text below");
    WITH_ALL_REGISTERS("mov %%rcx, %%rax\n mov $21, %%edi\n xor %%edx, %%edx\n syscall\n");
}

/*
 * A strike at instructions of the entry and exit code, where the victim's registers are; what the last one has left is
 * looked at, often, for it is chance which it is. Needs torture=1.
 */
static void after_torture(void) {
    test_needs_penumbra();
    enum { ROUNDS = 20 };
    struct asi_nest what = {.strikes = 63, .one_in = 10, .seed = 424242, .start = {"syscall_entry"}};
    int ready[2], go_on[2];
    char byte = 0;
    pin_to_first_cpu();
    if (penumbra_call(ASI_OP_NEST, 0, &what, sizeof(what)) < 0) {
        test_skip("not booted with torture=1");
    }
    CHECK_OK(penumbra_call(ASI_OP_NEST, 0, NULL, 0));
    CHECK_OK(pipe(ready));
    CHECK_OK(pipe(go_on));
    pid_t pid = fork();
    if (pid == 0) {
        make_canaries();
        for (;; what.seed++) {
            CHECK_OK(penumbra_call(ASI_OP_NEST, 0, &what, sizeof(what)));
            for (int i = 0; i < 40; i++) {
                fill_fpu();
                call_with_all(SYS_getppid);
            }
            end_torture_with_all();
            raw(SYS_write, ready[1], (long)&byte, 1);
            raw(SYS_read, go_on[0], (long)&byte, 1);
        }
    }
    for (int i = 0; i < ROUNDS; i++) {
        CHECK_EQ(read(ready[0], &byte, 1), 1);
        find_nothing("torture");
        CHECK_EQ(write(go_on[1], &byte, 1), 1);
    }
    CHECK_EQ(read(ready[0], &byte, 1), 1); /* it is not in the middle of it */
    CHECK_OK(kill(pid, SIGKILL));
    CHECK_SIGNALED(test_wait(pid), SIGKILL);
    find_nothing("the tortured's death");
}

/* --- Messages: caller and server know the canary, the attacker is neither --------------------------------------- */

static int messages, told, go[2];
static uint64_t said[1000], heard[1000];

/* What the attacker is told: a bit each, for notifications that nobody has received yet become one. */
enum event { CALLS = 1, RECEIVED = 2, ANSWERED = 4 };

/* The attacker is the least urgent: when it has been told and runs, whoever told it waits in what it did next. */
static void tell(enum event event) { CHECK_OK(ipc_notify(told, event)); }

/* After the event; another may have come with it. */
static void look(const char *when, enum event event) {
    static uint64_t events; /* that were told and are to be looked at */
    while (!(events & event)) {
        struct ipc ipc = {0};
        CHECK_OK(ipc_receive(told, &ipc));
        events |= ipc.word[0];
    }
    events &= ~(uint64_t)event;
    find_nothing(when);
}

static void let_go_on(void) { CHECK_EQ(write(go[1], "", 1), 1); }

static void await_go(void) {
    char byte;
    CHECK_EQ(raw(SYS_read, go[0], (long)&byte, 1), 1);
}

static struct ipc canaries(struct ipc_extra *extra) {
    for (size_t i = 0; i < sizeof(said) / sizeof(said[0]); i++) {
        said[i] = canary[i % CANARIES];
    }
    *extra = (struct ipc_extra){.bytes = (uintptr_t)said,
                                .length = sizeof(said),
                                .buffer = (uintptr_t)heard,
                                .room = sizeof(heard),
                                .timeout_ns = IPC_FOREVER};
    return (struct ipc){
        .label = (uint32_t)canary[DATA], .word = {canary[DATA], canary[ADDRESS], canary[DATA]}, .extra = extra};
}

static void say(bool bytes) {
    struct ipc_extra extra;
    make_canaries();
    struct ipc ipc = canaries(&extra);
    ipc.extra = bytes ? &extra : NULL;
    fill_fpu();
    tell(CALLS);
    CHECK_OK(ipc_call(messages, &ipc));
    CHECK(ipc.word[0] == canary[DATA] && (!bytes || memcmp(said, heard, sizeof(said)) == 0));
    tell(ANSWERED);
    pause();
}

static void hear(bool bytes) {
    struct ipc_extra extra;
    make_canaries();
    struct ipc ipc = canaries(&extra);
    ipc.extra = bytes ? &extra : NULL;
    await_go();
    extra.length = 0;
    CHECK_OK(ipc_receive(messages, &ipc));
    CHECK(ipc.word[1] == canary[ADDRESS] && (!bytes || memcmp(said, heard, sizeof(said)) == 0));
    tell(RECEIVED);
    await_go();
    extra.length = sizeof(said);
    CHECK_OK(ipc_reply_receive(messages, &ipc));
}

static pid_t start(void (*body)(bool), bool bytes) {
    pid_t pid = (pid_t)CHECK_OK(fork());
    if (pid == 0) {
        CHECK_OK(setpriority(PRIO_PROCESS, 0, 0));
        body(bytes);
    }
    return pid;
}

static void end(pid_t pid) {
    CHECK_OK(kill(pid, SIGKILL));
    CHECK_SIGNALED(test_wait(pid), SIGKILL);
}

/* `waits`: the server waits for the call; else the call waits for the server. */
static void attack_messages(bool bytes, bool waits) {
    pid_t server = start(hear, bytes);
    if (waits) {
        let_go_on();
        sched_yield();
    }
    pid_t caller = start(say, bytes);
    look("a call", CALLS);
    if (!waits) {
        let_go_on();
    }
    look("its receipt", RECEIVED);
    let_go_on();
    look("the answer", ANSWERED);
    end(caller);
    find_nothing("the caller's death");
    end(server);
    find_nothing("the server's death");
    caller = start(say, bytes);
    look("a call that nobody receives", CALLS);
    end(caller);
    find_nothing("its caller's death");
}

static void after_messages(void) {
    test_needs_penumbra();
    pin_to_first_cpu();
    CHECK_OK(setpriority(PRIO_PROCESS, 0, 19));
    messages = (int)CHECK_OK(endpoint_create());
    told = (int)CHECK_OK(endpoint_create());
    CHECK_OK(pipe(go));
    for (int way = 0; way < 4; way++) {
        attack_messages(way & 1, way & 2);
    }
}

/* The scanner sees what is there: the process's own. */
static void scanner_sees(void) {
    test_needs_penumbra();
    struct asi_scan result;
    if (!scan(DATA, 0, &result)) {
        return;
    }
    CHECK_EQ(result.found, 0);
    pid_t pid = fork();
    if (pid == 0) {
        uint8_t *memory = mmap(NULL, 2 * TEST_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        make_canaries();
        for (int at = 0; at < 2; at++) { /* at an odd address; over the end of a page */
            uint8_t *place = memory + (at == 0 ? 13 : TEST_PAGE - 3);
            memcpy(place, &canary[DATA], 8);
            CHECK(scan(DATA, 0, &result));
            CHECK(result.found >= 2);
            memset(place, 0, 8);
        }
        uint64_t data = canary[DATA];
        canary[DATA] = 0;
        memcpy(memory + TEST_PAGE - 3, &data, 8);
        data = 0;
        CHECK(scan(DATA, 0, &result));
        CHECK(result.found >= 1 && result.first < 0x800000000000);
        CHECK(scan(DATA, ASI_SCAN_KERNEL_HALF, &result)); /* where registers were saved it may be, but not more */
        _exit(0);
    }
    CHECK_EXITED(test_wait(pid));
    CHECK(scan(DATA, 0, &result));
    CHECK_EQ(result.found, 0);
}

static void scan_refuses(void) {
    test_needs_penumbra();
    struct asi_scan request = {.flags = 2};
    CHECK_ERRNO(penumbra_call(ASI_OP_SCAN, 0, &request, sizeof(request) - 1), EINVAL);
    CHECK_ERRNO(penumbra_call(ASI_OP_SCAN, 0, &request, sizeof(request)), EINVAL);
    pid_t pid = fork();
    if (pid == 0) {
        CHECK_OK(setuid(1000));
        CHECK_ERRNO(penumbra_call(ASI_OP_SCAN, 0, &request, sizeof(request)), EPERM);
        _exit(0);
    }
    CHECK_EXITED(test_wait(pid));
}

/* What exec leaves of the vector registers, which held the canary: nothing. */
static int as_program(void) {
    uint64_t found[16 * 4] = {0};
    __asm__ volatile("movdqu %%xmm8, (%0)\n movdqu %%xmm12, 32(%0)\n movdqu %%xmm15, 64(%0)\n" ::"r"(found) : "memory");
    for (int i = 0; i < 16 * 4; i++) {
        if ((found[i] ^ masks[DATA]) == masked[DATA]) {
            return 1;
        }
    }
    return 0;
}

static const struct test_case cases[] = {
    {"scanner-sees", scanner_sees},
    {"scan-refuses", scan_refuses},
    {"after-system-calls", after_system_calls},
    {"after-timer-interrupts", after_timer_interrupts},
    {"after-page-faults", after_page_faults},
    {"after-exceptions", after_exceptions},
    {"after-threads", after_threads},
    {"after-buffers", after_buffers},
    {"after-talk", after_talk},
    {"after-terminals", after_terminals},
    {"after-splices", after_splices},
    {"after-kept-values", after_kept_values},
    {"after-exec", after_exec},
    {"after-messages", after_messages},
    {"after-naps", after_naps},
    {"after-nmis", after_nmis},
    {"after-torture", after_torture},
};

int main(int argc, char **argv) {
    if (argc > 1 && strcmp(argv[1], "--as-program") == 0) {
        return as_program();
    }
    return test_main(argc, argv, cases, sizeof(cases) / sizeof(cases[0]));
}
