/*
 * Where programs lie (docs/programs.md): at random, other in each execution, the same after a fork, and always the same
 * if asked for; and nobody else can see where (an attacker searches all that its restricted space maps, as in
 * residue.c).
 *
 * The program executes itself with the name of a child case as argv[1], as exec.c does.
 */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/user/lib/addresses.h"
#include "tests/user/lib/penumbra.h"
#include "tests/user/lib/test.h"

enum place { STACK, MAPPING, HEAP, PLACES };
enum { RUNS = 4, OUT = 9, FUTEX_WAIT = 0, FUTEX_PRIVATE_FLAG = 128 };

static uint64_t stack_place(void) { return getauxval(AT_RANDOM); }

static void find_places(uint64_t places[PLACES]) {
    places[STACK] = stack_place();
    places[MAPPING] = (uint64_t)(uintptr_t)mmap(NULL, TEST_PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    places[HEAP] = (uint64_t)syscall(SYS_brk, 0);
}

static void child_places(void) {
    uint64_t places[PLACES];
    find_places(places);
    CHECK_EQ(write(OUT, places, sizeof places), sizeof places);
}

static void exec_child(void *check) {
    char *self = (char *)getauxval(AT_EXECFN);
    char *argv[] = {self, check, NULL}, *envp[] = {NULL};
    execve(self, argv, envp);
    test_fail(__FILE__, __LINE__, "execve of %s failed", self);
}

/* A pipe whose end for writing is OUT. */
static int open_pipe(void) {
    int ends[2];
    CHECK_OK(pipe(ends));
    CHECK_EQ(dup2(ends[1], OUT), OUT);
    CHECK_OK(close(ends[1]));
    return ends[0];
}

static void run_and_read(int pipe_end, uint64_t places[PLACES]) {
    CHECK_EXITED(test_run_child(exec_child, "child-places"));
    CHECK_EQ(read(pipe_end, places, PLACES * sizeof *places), PLACES * sizeof *places);
}

static void differs_each_time(void) {
    uint64_t seen[RUNS][PLACES];
    int end = open_pipe();
    for (int run = 0; run < RUNS; run++) {
        run_and_read(end, seen[run]);
    }
    for (int place = 0; place < PLACES; place++) {
        bool differs = false;
        for (int run = 1; run < RUNS; run++) {
            differs |= seen[run][place] != seen[0][place];
        }
        if (!differs) {
            test_fail(__FILE__, __LINE__, "place %d is %#llx in each of %d runs", place,
                      (unsigned long long)seen[0][place], RUNS);
        }
    }
    /* Not moved as one. */
    CHECK(seen[0][STACK] - seen[1][STACK] != seen[0][MAPPING] - seen[1][MAPPING] ||
          seen[0][STACK] - seen[2][STACK] != seen[0][MAPPING] - seen[2][MAPPING]);
}

static void same_after_fork(void *argument) {
    const uint64_t *places = argument;
    CHECK_EQ(stack_place(), places[STACK]);
    CHECK_EQ(syscall(SYS_brk, 0), places[HEAP]);
}

static void fork_keeps_it(void) {
    uint64_t places[PLACES];
    find_places(places);
    CHECK_EXITED(test_run_child(same_after_fork, places));
}

static void switched_off(void) {
    uint64_t first[PLACES], second[PLACES];
    int end = open_pipe();
    CHECK_EQ(personality(0xffffffff), 0);
    CHECK_EQ(personality(ADDR_NO_RANDOMIZE), 0);
    CHECK_EQ(personality(0xffffffff), ADDR_NO_RANDOMIZE);
    run_and_read(end, first);
    run_and_read(end, second);
    CHECK(first[MAPPING] == second[MAPPING] && first[HEAP] == second[HEAP] && first[STACK] == second[STACK]);
    CHECK_EQ(personality(0), ADDR_NO_RANDOMIZE);
    CHECK_EQ(personality(0xffffffff), 0);
}

/* --- A position-independent program ---------------------------------------------------------------------------- */

enum { CODE = 0x1000 };

/* It ends with bits 12 to 18 of its address as its status. */
static const uint8_t tell_page[] = {
    0x48, 0x8d, 0x3d, 0,  0, 0, 0, /* lea rdi, [rip] */
    0x48, 0xc1, 0xef, 12,          /* shr rdi, 12 */
    0x83, 0xe7, 0x7f,              /* and edi, 127 */
    0xb8, 60,   0,    0,  0,       /* mov eax, 60 */
    0x0f, 0x05,                    /* syscall */
};

static void make_movable(const char *path, uint64_t alignment) {
    struct {
        Elf64_Ehdr header;
        Elf64_Phdr segment;
    } head = {{.e_type = ET_DYN,
               .e_machine = EM_X86_64,
               .e_version = EV_CURRENT,
               .e_entry = CODE,
               .e_phoff = sizeof(Elf64_Ehdr),
               .e_ehsize = sizeof(Elf64_Ehdr),
               .e_phentsize = sizeof(Elf64_Phdr),
               .e_phnum = 1},
              {.p_type = PT_LOAD,
               .p_flags = PF_R | PF_X,
               .p_filesz = CODE + sizeof tell_page,
               .p_memsz = CODE + sizeof tell_page,
               .p_align = alignment}};
    memcpy(head.header.e_ident, ELFMAG, SELFMAG);
    head.header.e_ident[EI_CLASS] = ELFCLASS64;
    head.header.e_ident[EI_DATA] = ELFDATA2LSB;
    head.header.e_ident[EI_VERSION] = EV_CURRENT;
    int fd = (int)CHECK_OK(open(path, O_WRONLY | O_CREAT | O_TRUNC, 0755));
    CHECK_EQ(write(fd, &head, sizeof head), sizeof head);
    CHECK_EQ(pwrite(fd, tell_page, sizeof tell_page, CODE), sizeof tell_page);
    CHECK_OK(close(fd));
}

static void exec_path(void *path) {
    char *argv[] = {path, NULL}, *envp[] = {NULL};
    execve(path, argv, envp);
    test_fail(__FILE__, __LINE__, "execve of %s failed", (char *)path);
}

static void program_moves(void) {
    const char *path = test_path("movable");
    int seen[8];
    bool differs = false;
    make_movable(path, TEST_PAGE);
    for (int run = 0; run < 8; run++) {
        int status = test_run_child(exec_path, (void *)(uintptr_t)path);
        CHECK(WIFEXITED(status));
        seen[run] = WEXITSTATUS(status);
        differs |= seen[run] != seen[0];
    }
    CHECK(differs);
    CHECK_OK(unlink(path));
}

/* As transparent huge pages want it. (Linux places a program without an interpreter by mmap, and does not look.) */
static void program_is_aligned(void) {
    const char *path = test_path("aligned");
    test_needs_penumbra();
    make_movable(path, 2 << 20);
    for (int run = 0; run < 4; run++) {
        CHECK_EXITED_WITH(test_run_child(exec_path, (void *)(uintptr_t)path), CODE >> 12);
    }
    CHECK_OK(unlink(path));
}

/* --- What others see of it ---------------------------------------------------------------------------------------- */

/* The victim tells the attacker its addresses under a mask, which the attacker never takes off. */
static const volatile uint64_t mask = 0x5ce3a1b7d4f29186;

enum { WORD, SHARED_WORD, SECRETS = PLACES + 2 };

static void *wait_on(void *word) {
    for (;;) {
        syscall(SYS_futex, word, FUTEX_WAIT | FUTEX_PRIVATE_FLAG, 0, NULL, NULL, 0);
    }
    return NULL;
}

static void *wait_on_shared(void *word) {
    for (;;) {
        syscall(SYS_futex, word, FUTEX_WAIT, 0, NULL, NULL, 0);
    }
    return NULL;
}

/* Threads of it wait on words of its memory, it catches a signal, faults and sleeps; then it waits for its end. */
static void child_victim(void) {
    uint64_t secrets[SECRETS];
    pthread_t thread;
    char *memory = mmap(NULL, 4 * TEST_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memory[TEST_PAGE] = 0;
    find_places(secrets);
    secrets[PLACES + WORD] = (uintptr_t)memory;
    secrets[PLACES + SHARED_WORD] = (uintptr_t)memory + 64;
    CHECK_EQ(pthread_create(&thread, NULL, wait_on, memory), 0);
    CHECK_EQ(pthread_create(&thread, NULL, wait_on_shared, memory + 64), 0);
    CHECK_OK(munmap(memory + 2 * TEST_PAGE, TEST_PAGE));
    test_sleep_ms(20);
    for (int i = 0; i < SECRETS; i++) {
        secrets[i] ^= mask;
    }
    CHECK_EQ(write(OUT, secrets, sizeof secrets), sizeof secrets);
    pause();
}

static void others_see_nothing(void) {
    uint64_t masked[SECRETS];
    int end = open_pipe();
    test_needs_penumbra();
    pid_t victim = fork();
    if (victim == 0) {
        exec_child("child-victim");
    }
    CHECK_EQ(read(end, masked, sizeof masked), sizeof masked);
    for (int i = 0; i < SECRETS; i++) {
        if (i == HEAP) {
            continue; /* of a program that is not position-independent: a small number, which means nothing */
        }
        struct asi_scan scan = {.masked = masked[i], .mask = mask};
        if (penumbra_call(ASI_OP_SCAN, 0, &scan, sizeof scan) < 0) {
            CHECK_EQ(errno, EOPNOTSUPP); /* no restricted space in this mode */
        } else if (scan.found != 0) {
            test_fail(__FILE__, __LINE__, "address %d of another process is seen %llu times, first at %#llx", i,
                      (unsigned long long)scan.found, (unsigned long long)scan.first);
        }
    }
    CHECK_OK(kill(victim, SIGKILL));
    CHECK_SIGNALED(test_wait(victim), SIGKILL);
}

static const struct test_case cases[] = {
    {"differs-each-time", differs_each_time},
    {"fork-keeps-it", fork_keeps_it},
    {"switched-off", switched_off},
    {"program-moves", program_moves},
    {"program-is-aligned", program_is_aligned},
    {"others-see-nothing", others_see_nothing},
};

static const struct test_case child_cases[] = {{"child-places", child_places}, {"child-victim", child_victim}};

int main(int argc, char **argv) {
    if (argc > 1 && strncmp(argv[1], "child-", 6) == 0) {
        return test_main(2, argv, child_cases, sizeof(child_cases) / sizeof(child_cases[0]));
    }
    return test_main(argc, argv, cases, sizeof(cases) / sizeof(cases[0]));
}
