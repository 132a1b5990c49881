/*
 * Hostile input: bad values in every argument of every system call number.
 *
 * Each number runs in a child of its own, with three sets of otherwise sensible arguments. A call returns an errno or
 * some result; one that may change the caller's own memory may kill the caller; none may do more. A timer interrupts
 * what blocks.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/user/lib/addresses.h"
#include "tests/user/lib/penumbra.h"
#include "tests/user/lib/test.h"

enum { LIMIT_MS = 5000, INTERRUPTIONS = 6, ARGUMENTS = 6, NOBODY = 65534 };

static uint8_t *good_page, *read_only_page, *no_access_page, *last_bytes;
static int scratch;
static volatile int interruptions;

static bool listed(int number, const int *list, size_t count) {
    for (size_t i = 0; i < count; i++) {
        if (list[i] == number) {
            return true;
        }
    }
    return false;
}

/* They end or multiply the caller, or reach others than the caller by design. */
static bool is_left_out(int number) {
    static const int always[] = {SYS_clone, SYS_fork,       SYS_vfork,           435 /* clone3 */,
                                 SYS_exit,  SYS_exit_group, SYS_reboot,          SYS_kill,
                                 SYS_tkill, SYS_tgkill,     SYS_rt_sigqueueinfo, SYS_rt_tgsigqueueinfo};
    /* Things that last on the machine this test is tried on, or that hold it up. */
    static const int on_linux[] = {SYS_ptrace,  SYS_shmget,      SYS_semget,   SYS_msgget,  SYS_fallocate,
                                   SYS_vhangup, SYS_sync,        SYS_syncfs,   SYS_mq_open, SYS_add_key,
                                   SYS_keyctl,  SYS_request_key, SYS_io_setup, 425 /* io_uring_setup */};
    return listed(number, always, COUNT(always)) || (!on_penumbra() && listed(number, on_linux, COUNT(on_linux)));
}

/* They may take the caller's memory, thread pointer or rights away, or trace it: then it may die of it. */
static bool may_kill_caller(int number) {
    static const int calls[] = {SYS_mmap,
                                SYS_mprotect,
                                SYS_munmap,
                                SYS_brk,
                                SYS_rt_sigreturn,
                                SYS_mremap,
                                SYS_madvise,
                                SYS_shmat,
                                SYS_shmdt,
                                SYS_arch_prctl,
                                SYS_prctl,
                                SYS_seccomp,
                                SYS_rseq,
                                SYS_ptrace,
                                SYS_set_robust_list,
                                SYS_rt_sigaction,
                                SYS_remap_file_pages,
                                SYS_pkey_mprotect,
                                SYS_setrlimit,
                                SYS_prlimit64,
                                SYS_set_tid_address,
                                SYS_execve,
                                SYS_execveat,
                                440 /* process_madvise */,
                                SYS_modify_ldt,
                                SYS_setitimer,
                                SYS_alarm,
                                SYS_timer_settime,
                                335 /* uretprobe */,
                                436 /* close_range */,
                                448 /* process_mrelease */};
    return listed(number, calls, COUNT(calls));
}

static void interrupt(int signal) {
    (void)signal;
    interruptions++;
}

static void make_pages(void) {
    uint8_t *pages = mmap(NULL, 6 * PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(pages != MAP_FAILED);
    good_page = pages;
    read_only_page = pages + PAGE_SIZE;
    no_access_page = pages + 2 * PAGE_SIZE;
    last_bytes = pages + 4 * PAGE_SIZE - 4;
    strcpy((char *)read_only_page, "/tmp/test-hostile");
    CHECK_OK(mprotect(read_only_page, PAGE_SIZE, PROT_READ));
    CHECK_OK(mprotect(no_access_page, PAGE_SIZE, PROT_NONE));
    CHECK_OK(munmap(pages + 4 * PAGE_SIZE, 2 * PAGE_SIZE));
}

static size_t hostile_values(long *values) {
    size_t count = 0;
    for (size_t i = 0; i < COUNT(kernel_addresses); i++) {
        values[count++] = (long)kernel_addresses[i];
    }
    for (size_t i = 0; i < COUNT(non_canonical_addresses); i++) {
        values[count++] = (long)non_canonical_addresses[i];
    }
    const long others[] = {0,
                           1,
                           -1,
                           16,
                           PAGE_SIZE,
                           (long)read_only_page,
                           (long)no_access_page,
                           (long)last_bytes,
                           (long)USER_END - 8,
                           (long)USER_END,
                           0x7fffffff,
                           0x80000000,
                           0xffffffff};
    memcpy(values + count, others, sizeof(others));
    return count + COUNT(others);
}

static void fill_good(long *arguments, int set) {
    for (int i = 0; i < ARGUMENTS; i++) {
        arguments[i] = set == 0 ? 0 : (long)good_page;
    }
    if (set != 0) {
        arguments[0] = set == 1 ? scratch : (long)read_only_page; /* a descriptor, or a path */
        arguments[2] = 16;
    }
}

/* 1 MiB files at most, and no privileges on Linux: the test is also run on its writer's machine. */
static void confine(void) {
    struct rlimit size = {1 << 20, 1 << 20}, files = {256, 256};
    setrlimit(RLIMIT_FSIZE, &size);
    setrlimit(RLIMIT_NOFILE, &files);
    if (!on_penumbra() && getuid() == 0) {
        CHECK_OK(setgroups(0, NULL));
        CHECK_OK(setgid(NOBODY));
        CHECK_OK(setuid(NOBODY));
    }
}

static void attack(void *argument) {
    long number = (long)(intptr_t)argument, values[64], arguments[ARGUMENTS];
    size_t count = hostile_values(values);
    struct sigaction action = {.sa_handler = interrupt};
    struct itimerval timer = {.it_interval = {.tv_usec = 5000}, .it_value = {.tv_usec = 5000}};

    confine();
    int null = open("/dev/null", O_RDWR); /* 0, 1 and 2 are among the values */
    dup2(null, 0);
    dup2(null, 1);
    dup2(null, 2);
    signal(SIGXFSZ, SIG_IGN);
    signal(SIGPIPE, SIG_IGN);
    CHECK_OK(sigaction(SIGALRM, &action, NULL));
    CHECK_OK(setitimer(ITIMER_REAL, &timer, NULL));
    for (int set = 0; set < 3; set++) {
        for (int position = 0; position < ARGUMENTS; position++) {
            for (size_t i = 0; i < count && interruptions < INTERRUPTIONS; i++) {
                fill_good(arguments, set);
                arguments[position] = values[i];
                int before = interruptions;
                long result =
                    syscall(number, arguments[0], arguments[1], arguments[2], arguments[3], arguments[4], arguments[5]);
                if (result != -1 || errno != EINTR) {
                    interruptions = before; /* it did not block */
                }
            }
        }
        interruptions = 0;
    }
    _exit(0); /* without the library, whose state may have been written over */
}

/* What the calls of System V IPC made stays: no process's end takes it away. */
static void remove_ipc(void) {
    enum { KINDS = 3, PLACES = 4096 };
    static const struct {
        long control;
        int stat; /* any object in a place: its id */
    } kinds[KINDS] = {{SYS_shmctl, 15}, {SYS_semctl, 20}, {SYS_msgctl, 13}};
    for (int kind = 0; kind < KINDS; kind++) {
        bool set = kinds[kind].control == SYS_semctl;
        for (int place = 0; place < PLACES; place++) {
            long buffer[64];
            long id = set ? syscall(SYS_semctl, place, 0, kinds[kind].stat, buffer)
                          : syscall(kinds[kind].control, place, kinds[kind].stat, buffer);
            if (id >= 0) {
                CHECK_OK(set ? syscall(SYS_semctl, id, 0, 0, 0) : syscall(kinds[kind].control, id, 0, 0));
            }
        }
    }
}

static void attack_range(int first, int last) {
    make_pages();
    const char *path = test_path("hostile");
    for (int number = first; number <= last; number++) {
        bool timed_out;
        if (is_left_out(number)) {
            continue;
        }
        unlink(path);
        rmdir(path);
        scratch = test_file(path, 100);
        CHECK_OK(fchmod(scratch, 0666));
        int status = test_run_child_within(attack, (void *)(intptr_t)number, LIMIT_MS, &timed_out);
        bool excused = may_kill_caller(number) || number == SYS_rt_sigprocmask;
        if ((timed_out || status != 0) && !excused) {
            test_fail(__FILE__, __LINE__, "call %d: wait status %#x%s", number, status, timed_out ? ", timed out" : "");
        }
        CHECK(strcmp((char *)read_only_page, "/tmp/test-hostile") == 0);
        CHECK_OK(close(scratch));
    }
    unlink(path);
    rmdir(path);
    if (on_penumbra()) {
        remove_ipc();
    }
}

#define RANGE(first, last)                                                                                             \
    static void calls_##first(void) { attack_range(first, last); }

RANGE(0, 29)
RANGE(30, 99)
RANGE(100, 199)
RANGE(200, 299)
RANGE(300, 450)

static void calls_native(void) {
    test_needs_penumbra();
    attack_range(1001, 1065);
}

/* Numbers that are none: ENOSYS, and the kernel does not index a table with them. */
static void unknown_numbers(void) {
    static const long numbers[] = {451 + 100, 999, 1009, 1066, 4096, 65536, 0x7fffffff, 0x80000000, -1};
    for (size_t i = 0; i < COUNT(numbers); i++) {
        CHECK_ERRNO(syscall(numbers[i], 0, 0, 0, 0, 0, 0), ENOSYS);
    }
}

static const struct test_case cases[] = {
    {"calls-0-29", calls_0},
    {"calls-30-99", calls_30},
    {"calls-100-199", calls_100},
    {"calls-200-299", calls_200},
    {"calls-300-450", calls_300},
    {"calls-native", calls_native},
    {"unknown-numbers", unknown_numbers},
};
TEST_MAIN(cases)
