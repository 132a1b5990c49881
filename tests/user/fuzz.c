/*
 * Hostile input: system calls at random, with arguments that are often nearly right. Whatever they do, the kernel goes
 * on, the audit stays clean and all memory comes back (the runner looks). The same numbers on every run: a seed for
 * each round.
 *
 * On Penumbra only: it would do as it pleases with the descriptors, signals and files of a machine that is in use.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/user/lib/penumbra.h"
#include "tests/user/lib/test.h"

enum { ROUNDS = 12, CALLS = 3000, LIMIT_MS = 300, BUFFERS = 64 * 1024, PATHS = 8, CALLS_END = 460 };

static uint64_t state;
static uint8_t *buffers;

static uint64_t random_number(void) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state * 0x2545f4914f6cdd1d;
}

static uint64_t below(uint64_t limit) { return random_number() % limit; }

/* Sleeping for ever, ending everything and leaving the directory are of no use here. */
static bool is_left_out(long number) {
    static const short numbers[] = {SYS_pause,
                                    SYS_rt_sigreturn,
                                    SYS_exit,
                                    SYS_exit_group,
                                    SYS_kill,
                                    SYS_tkill,
                                    SYS_tgkill,
                                    SYS_chdir,
                                    SYS_fchdir,
                                    SYS_rt_sigsuspend,
                                    SYS_reboot,
                                    SYS_vfork,
                                    SYS_setsid,
                                    SYS_setpgid,
                                    SYS_clone,
                                    SYS_fork,
                                    SYS_rt_sigtimedwait,
                                    SYS_setuid,
                                    SYS_setreuid,
                                    SYS_setresuid,
                                    SYS_rt_sigqueueinfo,
                                    SYS_rt_tgsigqueueinfo};
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        if (numbers[i] == number) {
            return true;
        }
    }
    return false;
}

static long path(void) {
    char *place = (char *)buffers + BUFFERS - (1 + below(PATHS)) * 256;
    snprintf(place, 256, "/tmp/test-fuzz/%.*s%c", (int)below(8), "d/d/d/d/d", (char)('a' + below(4)));
    return (long)place;
}

/* Numbers at which something may turn over. */
static long corner(void) {
    static const uint64_t corners[] = {0,
                                       1,
                                       2,
                                       7,
                                       8,
                                       4095,
                                       4096,
                                       4097,
                                       65536,
                                       0x7fffffff,
                                       0x80000000,
                                       0xffffffff,
                                       1ul << 32,
                                       1ul << 46,
                                       0x7fffffffe000,
                                       0x7ffffffff000,
                                       0x800000000000,
                                       1ul << 62,
                                       0x7fffffffffffffff,
                                       1ul << 63,
                                       0xffff800000000000,
                                       0xffffffff80200000,
                                       0xfffffffffffff000,
                                       0xffffffffffffffff};
    return (long)(corners[below(sizeof(corners) / sizeof(corners[0]))] + (below(4) == 0 ? below(3) - 1 : 0));
}

static long argument(void) {
    switch (below(9)) {
    case 0:
    case 1:
        return (long)below(24); /* a descriptor, a small number */
    case 2:
        return path();
    case 3:
        return (long)(buffers + below(BUFFERS));
    case 4:
        return (long)(buffers + (below(BUFFERS) & ~7ul));
    case 5:
        return (long)(1ul << below(64)); /* a flag */
    case 6:
        return (long)(below(16) * TEST_PAGE);
    case 7:
        return -(long)below(128);
    default:
        return corner();
    }
}

/* What lies in the buffers: pointers to them, small numbers. */
static void fill_buffers(void) {
    uint64_t *words = (uint64_t *)(void *)buffers;
    for (int i = 0; i < 64; i++) {
        words[below(BUFFERS / sizeof(uint64_t))] = (uint64_t)argument();
    }
}

static long number_of_call(void) {
    for (;;) {
        long number = (long)below(CALLS_END);
        if (!is_left_out(number)) {
            return number;
        }
    }
}

static void call_at_random(void *seed) {
    state = 0x9e3779b97f4a7c15 * ((uint64_t)(uintptr_t)seed + 1);
    CHECK_OK(chdir("/tmp/test-fuzz"));
    buffers = mmap(NULL, BUFFERS, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (int fd = 0; fd < 3; fd++) {
        close(fd);
        open("/tmp/test-fuzz/output", O_RDWR | O_CREAT, 0600);
    }
    for (int i = 0; i < CALLS; i++) {
        long arguments[6];
        for (int j = 0; j < 6; j++) {
            arguments[j] = argument();
        }
        if (i % 16 == 0) {
            fill_buffers();
        }
        alarm(1);
        syscall(number_of_call(), arguments[0], arguments[1], arguments[2], arguments[3], arguments[4], arguments[5]);
    }
}

static void remove_all(const char *directory) {
    char path[1024];
    struct dirent *entry;
    DIR *list = opendir(directory);
    while (list != NULL && (entry = readdir(list)) != NULL) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) {
            continue;
        }
        snprintf(path, sizeof(path), "%s/%s", directory, entry->d_name);
        if (unlink(path) != 0 && errno == EISDIR) {
            remove_all(path);
        }
    }
    if (list != NULL) {
        closedir(list);
    }
    rmdir(directory);
}

static void random_calls(void) {
    test_needs_penumbra();
    for (int round = 0; round < ROUNDS; round++) {
        bool timed_out; /* it may sleep for ever: a futex, an empty pipe */
        mkdir("/tmp/test-fuzz", 0700);
        test_run_child_within(call_at_random, (void *)(intptr_t)round, LIMIT_MS, &timed_out);
        while (waitpid(-1, NULL, WNOHANG) > 0) {
        }
        remove_all("/tmp/test-fuzz");
    }
}

static const struct test_case cases[] = {
    {"random-calls", random_calls},
};
TEST_MAIN(cases)
