/*
 * Modes, on Penumbra only: switched at run time while other processes work, and who may switch what. A case leaves the
 * mode as it found it.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/user/lib/addresses.h"
#include "tests/user/lib/penumbra.h"
#include "tests/user/lib/test.h"

enum { CYCLES = 200, HAMMERS = 4 };

static volatile int *stop;

static void hammer_file(void) {
    const char *path = test_path("hammer");
    uint8_t data[TEST_PAGE];
    int fd = test_file(path, 16 * TEST_PAGE);
    for (unsigned i = 0; !*stop; i++) {
        size_t offset = i * 977 % (15 * TEST_PAGE);
        CHECK_EQ(pread(fd, data, TEST_PAGE, (off_t)offset), TEST_PAGE);
        CHECK_EQ(data[i % TEST_PAGE], test_byte(offset + i % TEST_PAGE));
        CHECK_EQ(pwrite(fd, data, TEST_PAGE, (off_t)offset), TEST_PAGE);
    }
    CHECK_OK(unlink(path));
}

static void hammer_fork(void) {
    static int value;
    while (!*stop) {
        value++;
        pid_t pid = fork();
        if (pid == 0) {
            value = -1;
            _exit(0);
        }
        CHECK_EXITED(test_wait(pid));
        CHECK(value > 0);
    }
}

static void hammer_memory(void) {
    for (unsigned i = 0; !*stop; i++) {
        uint8_t *memory = mmap(NULL, 8 * TEST_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        CHECK((void *)memory != MAP_FAILED);
        CHECK_EQ(memory[i % (8 * TEST_PAGE)], 0);
        memset(memory, (int)i, 8 * TEST_PAGE);
        CHECK_OK(munmap(memory, 8 * TEST_PAGE));
    }
}

static void hammer_pipe(void) {
    int there[2], back[2];
    CHECK_OK(pipe(there));
    CHECK_OK(pipe(back));
    pid_t pid = fork();
    if (pid == 0) {
        unsigned value;
        CHECK_OK(close(there[1]));
        while (read(there[0], &value, sizeof(value)) == sizeof(value)) {
            value = ~value;
            CHECK_EQ(write(back[1], &value, sizeof(value)), sizeof(value));
        }
        _exit(0);
    }
    for (unsigned i = 0, answer; !*stop; i++) {
        CHECK_EQ(write(there[1], &i, sizeof(i)), sizeof(i));
        CHECK_EQ(read(back[0], &answer, sizeof(answer)), sizeof(answer));
        CHECK_EQ(answer, ~i);
    }
    CHECK_OK(close(there[1]));
    CHECK_EXITED(test_wait(pid));
}

static void start_hammers(pid_t *pids) {
    static void (*const hammers[HAMMERS])(void) = {hammer_file, hammer_fork, hammer_memory, hammer_pipe};
    stop = mmap(NULL, TEST_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK((void *)stop != MAP_FAILED);
    for (int i = 0; i < HAMMERS; i++) {
        pids[i] = fork();
        if (pids[i] == 0) {
            hammers[i]();
            _exit(0);
        }
    }
}

static void stop_hammers(const pid_t *pids) {
    *stop = 1;
    for (int i = 0; i < HAMMERS; i++) {
        CHECK_EXITED(test_wait(pids[i]));
    }
}

static void check_clean(void) {
    struct asi_audit_report report = penumbra_audit(ASI_BREAK_NOTHING);
    if (penumbra_violations(&report) != 0) {
        test_fail(__FILE__, __LINE__, "mode %s: %s", penumbra_mode_names[penumbra_state().mode], report.first);
    }
}

static void switch_under_load(void) {
    test_needs_penumbra();
    pid_t pids[HAMMERS];
    enum asi_mode own = penumbra_state().mode;
    start_hammers(pids);
    for (int cycle = 0; cycle < CYCLES; cycle++) {
        enum asi_mode mode = (enum asi_mode)((cycle * 7 + cycle / 4) % ASI_MODES); /* each after each */
        penumbra_set_mode(mode);
        CHECK_EQ(penumbra_state().mode, mode);
        if (cycle % 5 == 0) {
            test_sleep_ms(1);
        }
        if (cycle % 20 == 0) {
            check_clean();
        }
    }
    stop_hammers(pids);
    penumbra_set_mode(own);
    check_clean();
}

/* The audit while the machine works. */
static void audit_under_load(void) {
    test_needs_penumbra();
    pid_t pids[HAMMERS];
    start_hammers(pids);
    for (int round = 0; round < 20; round++) {
        test_sleep_ms(2);
        check_clean();
    }
    stop_hammers(pids);
}

static void as_somebody(void *argument) {
    struct asi_flush flush = {.kind = ASI_FLUSH_OFF};
    struct asi_audit_report report;
    (void)argument;
    CHECK_OK(setuid(1000));
    CHECK_ERRNO(penumbra_call(ASI_OP_SET_MODE, ASI_MODE_NONE, NULL, 0), EPERM);
    CHECK_ERRNO(penumbra_call(ASI_OP_SET_FLUSH, 0, &flush, sizeof(flush)), EPERM);
    CHECK_ERRNO(penumbra_call(ASI_OP_AUDIT, 0, &report, sizeof(report)), EPERM);
    CHECK_ERRNO(penumbra_call(ASI_OP_RESET, 0, NULL, 0), EPERM);
    CHECK(penumbra_state().cpus > 0);
}

static void permissions(void) {
    test_needs_penumbra();
    CHECK_EXITED(test_run_child(as_somebody, NULL));
}

static void bad_arguments(void) {
    test_needs_penumbra();
    static const long buffer_ops[] = {ASI_OP_STATE, ASI_OP_COUNTERS, ASI_OP_AUDIT, ASI_OP_MEMORY, ASI_OP_SET_FLUSH};
    static const size_t sizes[] = {sizeof(struct asi_state), sizeof(struct asi_counters),
                                   sizeof(struct asi_audit_report), sizeof(struct asi_memory),
                                   sizeof(struct asi_flush)};
    for (size_t op = 0; op < COUNT(buffer_ops); op++) {
        CHECK_ERRNO(penumbra_call(buffer_ops[op], 0, NULL, sizes[op]), EFAULT);
        CHECK_ERRNO(penumbra_call(buffer_ops[op], 0, (void *)non_canonical_addresses[0], sizes[op]), EFAULT);
        for (size_t i = 0; i < COUNT(kernel_addresses); i++) {
            CHECK_ERRNO(penumbra_call(buffer_ops[op], 0, (void *)kernel_addresses[i], sizes[op]), EFAULT);
        }
    }
    CHECK_ERRNO(penumbra_call(99, 0, NULL, 0), EINVAL);
    CHECK_ERRNO(penumbra_call(-1, 0, NULL, 0), EINVAL);
    CHECK_ERRNO(penumbra_call(ASI_OP_SET_MODE, ASI_MODES, NULL, 0), EINVAL);
    CHECK_ERRNO(penumbra_call(ASI_OP_SET_MODE, -1, NULL, 0), EINVAL);
    struct asi_counters counters;
    CHECK_ERRNO(penumbra_call(ASI_OP_COUNTERS, 0x3ffffff, &counters, sizeof(counters)), ESRCH);
    struct asi_audit_report report;
    CHECK_ERRNO(penumbra_call(ASI_OP_AUDIT, ASI_BREAKS, &report, sizeof(report)), EINVAL);
    struct asi_flush flush = {.kind = 99};
    CHECK_ERRNO(penumbra_call(ASI_OP_SET_FLUSH, 0, &flush, sizeof(flush)), EINVAL);
    char name[64];
    for (size_t i = 0; i < COUNT(kernel_addresses); i++) {
        (void)penumbra_call(ASI_OP_SYMBOL, (long)kernel_addresses[i], name, sizeof(name)); /* any answer */
    }
}

/* Memory adds up: classes are parts of the whole, and what is in use is accounted for. */
static void memory_adds_up(void) {
    test_needs_penumbra();
    struct asi_memory memory = penumbra_memory();
    CHECK_EQ(memory.frames_free + memory.frames_global + memory.frames_local + memory.frames_user +
                 memory.frames_secret,
             memory.frames_total);
    CHECK(memory.processes >= 2 && memory.threads >= memory.processes);
}

static const struct test_case cases[] = {
    {"switch-under-load", switch_under_load}, {"audit-under-load", audit_under_load}, {"permissions", permissions},
    {"bad-arguments", bad_arguments},         {"memory-adds-up", memory_adds_up},
};
TEST_MAIN(cases)
