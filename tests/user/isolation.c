/*
 * Isolation, on Penumbra only: what the audit sees and what the counters say, in the mode that the runner has set.
 *
 * The audit is clean in every mode and catches each invariant broken on purpose (REACH, CLEAN, GATE); mode `asi` makes
 * no exits in steady state and `naive` does; losing access revokes views (REVOKE).
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/user/lib/penumbra.h"
#include "tests/user/lib/test.h"

enum { PAGES = 16 };

static void check_clean(const char *when) {
    struct asi_audit_report report = penumbra_audit(ASI_BREAK_NOTHING);
    if (penumbra_violations(&report) != 0) {
        test_fail(__FILE__, __LINE__, "%s: %llu violations: %s", when, penumbra_violations(&report), report.first);
    }
    CHECK(report.spaces_walked > 0 && report.leaves_checked > 0);
}

static bool mode_is(enum asi_mode mode) { return penumbra_state().mode == mode; }

static bool mode_restricts(void) { return mode_is(ASI_MODE_NAIVE) || mode_is(ASI_MODE_ASI); }

static void audit_clean(void) {
    test_needs_penumbra();
    check_clean("at rest");
    struct asi_audit_report report = penumbra_audit(ASI_BREAK_NOTHING);
    CHECK(report.free_frames_checked > 0);
    CHECK_EQ(report.first[0], 0);
}

static void audit_catches(enum asi_break broken) {
    test_needs_penumbra();
    struct asi_audit_report report = penumbra_audit(broken);
    unsigned long long found = broken == ASI_BREAK_CLEAN  ? report.clean_violations
                               : broken == ASI_BREAK_GATE ? report.gate_violations
                                                          : report.reach_violations;
    CHECK(found > 0);
    CHECK_EQ(penumbra_violations(&report), found); /* and nothing else */
    CHECK(report.first[0] != 0);
    check_clean("after mending");
}

static void catches_secret(void) { audit_catches(ASI_BREAK_REACH_SECRET); }

static void catches_foreign(void) { audit_catches(ASI_BREAK_REACH_FOREIGN); }

static void catches_view(void) { audit_catches(ASI_BREAK_REACH_VIEW); }

static void catches_filling(void) { audit_catches(ASI_BREAK_REACH_FILLING); }

static void catches_moved(void) { audit_catches(ASI_BREAK_REACH_MOVED); }

static void catches_dirty_frame(void) { audit_catches(ASI_BREAK_CLEAN); }

/* Modes none and classic run in the unrestricted space on purpose: there GATE says nothing. */
static void catches_gate(void) {
    test_needs_penumbra();
    if (mode_restricts()) {
        audit_catches(ASI_BREAK_GATE);
    }
}

static void read_pages(int fd) {
    uint8_t data[TEST_PAGE];
    for (int page = 0; page < PAGES; page++) {
        CHECK_EQ(pread(fd, data, TEST_PAGE, page * TEST_PAGE), TEST_PAGE);
        CHECK_EQ(data[100], test_byte((size_t)page * TEST_PAGE + 100));
    }
}

static void some_work(int fd) {
    int ends[2], status;
    char byte = 'x';
    read_pages(fd);
    CHECK_EQ(pwrite(fd, &byte, 1, TEST_PAGE - 1), 1);
    uint8_t *memory = mmap(NULL, 4 * TEST_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK((void *)memory != MAP_FAILED);
    memset(memory, 1, 4 * TEST_PAGE);
    CHECK_OK(pipe(ends));
    CHECK_EQ(write(ends[1], &byte, 1), 1);
    CHECK_EQ(read(ends[0], &byte, 1), 1);
    pid_t pid = fork();
    if (pid == 0) {
        memory[0] = 2; /* copy on write */
        read_pages(fd);
        _exit(0);
    }
    status = test_wait(pid);
    CHECK_EXITED(status);
    memory[TEST_PAGE] = 3;
    CHECK_OK(munmap(memory, 4 * TEST_PAGE));
    CHECK_OK(close(ends[0]));
    CHECK_OK(close(ends[1]));
}

/* The whole machine's counters: the children's share is in them. asibench --check asserts the same row by row. */
static void steady_state_exits(void) {
    test_needs_penumbra();
    const char *path = test_path("steady");
    int fd = test_file(path, PAGES * TEST_PAGE);
    for (int round = 0; round < 3; round++) {
        some_work(fd);
    }
    struct asi_counters before = penumbra_counters(ASI_SCOPE_ALL);
    for (int round = 0; round < 10; round++) {
        some_work(fd);
    }
    struct asi_counters after = penumbra_counters(ASI_SCOPE_ALL);
    unsigned long long exits = penumbra_exits(&after) - penumbra_exits(&before);
    CHECK_OK(close(fd));
    CHECK_OK(unlink(path));
    if (mode_is(ASI_MODE_ASI)) {
        for (int cause = 0; cause < ASI_CAUSES; cause++) {
            if (after.exits[cause] != before.exits[cause]) {
                test_fail(__FILE__, __LINE__, "%llu exits, of which cause %d: %llu", exits, cause,
                          (unsigned long long)(after.exits[cause] - before.exits[cause]));
            }
        }
    } else if (mode_is(ASI_MODE_NAIVE)) {
        CHECK(after.exits[ASI_CAUSE_FILE] > before.exits[ASI_CAUSE_FILE]);
        CHECK(after.exits[ASI_CAUSE_ZERO] > before.exits[ASI_CAUSE_ZERO]);
        CHECK(after.exits[ASI_CAUSE_COW] > before.exits[ASI_CAUSE_COW]);
        CHECK(after.enters - before.enters >= 10 * PAGES);
    } else {
        CHECK_EQ(exits, 0);
    }
}

static volatile int turn;

static void *take_turns(void *argument) {
    int mine = (int)(intptr_t)argument;
    for (int i = 0; i < 1000; i++) {
        while (turn != mine) {
            syscall(SYS_futex, &turn, 128, !mine, NULL, NULL, 0);
        }
        turn = !mine;
        syscall(SYS_futex, &turn, 129, 1, NULL, NULL, 0);
    }
    return NULL;
}

static struct asi_counters counters_of_first_cpu(void) { return penumbra_counters(ASI_SCOPE_CPU(0)); }

/* What switches is counted on one CPU, where the process and its children stay. */
static void stay_on_first_cpu(void) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(0, &set);
    CHECK_OK(sched_setaffinity(0, sizeof set, &set));
}

/*
 * The runner wakes now and then: a process switch accounts for the CR3 writes that there are. So do exits, which in
 * mode naive even the idle thread makes, to clear what is dirty.
 */
static void check_switch_costs(const struct asi_counters *before, const struct asi_counters *after) {
    unsigned long long cr3_writes = after->cr3_writes - before->cr3_writes;
    unsigned long long switches = after->process_switches - before->process_switches;
    unsigned long long crossings = penumbra_exits(after) - penumbra_exits(before) + after->enters - before->enters;
    if (!mode_is(ASI_MODE_CLASSIC) && cr3_writes > switches + crossings) {
        test_fail(__FILE__, __LINE__, "%llu CR3 writes, %llu process switches, %llu crossings", cr3_writes, switches,
                  crossings);
    }
    if (mode_is(ASI_MODE_ASI))
        CHECK_EQ(crossings, 0);
}

static void thread_switches(void) {
    test_needs_penumbra();
    stay_on_first_cpu();
    pthread_t thread;
    int error = pthread_create(&thread, NULL, take_turns, (void *)1);
    CHECK_EQ(error, 0);
    struct asi_counters before = counters_of_first_cpu();
    take_turns((void *)0);
    struct asi_counters after = counters_of_first_cpu();
    pthread_join(thread, NULL);
    CHECK(after.thread_switches - before.thread_switches >= 1000);
    check_switch_costs(&before, &after);
}

static void idle_and_back(void) {
    test_needs_penumbra();
    stay_on_first_cpu();
    struct asi_counters before = counters_of_first_cpu();
    for (int i = 0; i < 20; i++) {
        test_sleep_ms(2);
    }
    struct asi_counters after = counters_of_first_cpu();
    CHECK(after.idle_switches > before.idle_switches);
    check_switch_costs(&before, &after);
}

/* Every process switch in mode asi is one CR3 write, and pipes between processes need no more. */
static void process_switches(void) {
    test_needs_penumbra();
    stay_on_first_cpu();
    int there[2], back[2];
    char byte = 0;
    CHECK_OK(pipe(there));
    CHECK_OK(pipe(back));
    pid_t pid = fork();
    if (pid == 0) {
        CHECK_OK(close(there[1]));
        while (read(there[0], &byte, 1) == 1) {
            CHECK_EQ(write(back[1], &byte, 1), 1);
        }
        _exit(0);
    }
    struct asi_counters before = counters_of_first_cpu();
    for (int i = 0; i < 500; i++) {
        CHECK_EQ(write(there[1], &byte, 1), 1);
        CHECK_EQ(read(back[0], &byte, 1), 1);
    }
    struct asi_counters after = counters_of_first_cpu();
    CHECK_OK(close(there[1]));
    CHECK_EXITED(test_wait(pid));
    CHECK(after.process_switches - before.process_switches >= 500);
    if (mode_is(ASI_MODE_ASI) || mode_is(ASI_MODE_NONE)) {
        check_switch_costs(&before, &after);
    }
}

enum { HANDOVERS = 20 };
static int to_reader[2], to_idler[2];

/* Blocks with another process ready to run, and is woken by a thread of its own when that process sleeps again. */
static void *read_bytes(void *unused) {
    char byte = 0;
    for (int i = 0; i < HANDOVERS; i++) {
        CHECK_EQ(write(to_idler[1], &byte, 1), 1);
        CHECK_EQ(read(to_reader[0], &byte, 1), 1); /* touches the pipe's page after the writer's user code has run */
    }
    return unused;
}

/* FLUSH-CONTROL: an exit after user code of any thread of the process pays a flush; each switch to the process, too. */
static void flush_after_thread_switch(void) {
    test_needs_penumbra();
    pthread_t reader;
    char byte = 0;
    CHECK_OK(pipe(to_reader));
    CHECK_OK(pipe(to_idler));
    pid_t idler = fork();
    if (idler == 0) {
        CHECK_OK(close(to_idler[1]));
        while (read(to_idler[0], &byte, 1) == 1) {
        }
        _exit(0);
    }
    int error = pthread_create(&reader, NULL, read_bytes, NULL);
    CHECK_EQ(error, 0);
    test_sleep_ms(5);
    struct asi_counters before = penumbra_counters(0);
    for (int i = 0; i < HANDOVERS; i++) {
        CHECK_EQ(write(to_reader[1], &byte, 1), 1);
        test_sleep_ms(3);
    }
    struct asi_counters after = penumbra_counters(0);
    pthread_join(reader, NULL);
    CHECK_OK(close(to_idler[1]));
    CHECK_EXITED(test_wait(idler));
    if (mode_is(ASI_MODE_NAIVE) && penumbra_state().flush.kind != ASI_FLUSH_OFF) {
        unsigned long long exits = penumbra_exits(&after) - penumbra_exits(&before);
        unsigned long long switches = after.process_switches - before.process_switches;
        CHECK(exits >= 2 * HANDOVERS);
        /* Some exits follow a switch that has flushed, with no user code between. */
        CHECK(after.control_flushes - before.control_flushes + HANDOVERS / 2 >= exits + switches);
    }
}

/* The counters are an array of 64-bit numbers: compare them as such. */
static void counters_add_up(void) {
    test_needs_penumbra();
    enum { FIELDS = sizeof(struct asi_counters) / sizeof(uint64_t) };
    union {
        struct asi_counters counters;
        uint64_t fields[FIELDS];
    } first, last, one, own, sum = {0};
    first.counters = penumbra_counters(ASI_SCOPE_ALL);
    for (unsigned cpu = 0; cpu < penumbra_state().cpus; cpu++) {
        one.counters = penumbra_counters(ASI_SCOPE_CPU(cpu));
        for (int i = 0; i < FIELDS; i++) {
            sum.fields[i] += one.fields[i];
        }
    }
    own.counters = penumbra_counters(0);
    last.counters = penumbra_counters(ASI_SCOPE_ALL);
    for (int i = 0; i < FIELDS; i++) {
        CHECK(first.fields[i] <= sum.fields[i] && sum.fields[i] <= last.fields[i]);
        CHECK(own.fields[i] <= last.fields[i]);
    }
    CHECK(own.counters.page_faults > 0);
}

static void close_revokes(void) {
    test_needs_penumbra();
    const char *path = test_path("revoke");
    int fd = test_file(path, PAGES * TEST_PAGE);
    read_pages(fd);
    struct asi_counters before = penumbra_counters(0);
    CHECK_OK(close(fd));
    struct asi_counters after = penumbra_counters(0);
    if (mode_is(ASI_MODE_ASI)) {
        CHECK(after.views_revoked >= before.views_revoked + PAGES);
    }
    check_clean("after close");
    CHECK_OK(unlink(path));
    check_clean("after unlink");
}

static void truncation_revokes(void) {
    test_needs_penumbra();
    const char *path = test_path("revoke-truncate");
    int fd = test_file(path, PAGES * TEST_PAGE);
    read_pages(fd);
    struct asi_counters before = penumbra_counters(0);
    CHECK_OK(ftruncate(fd, 0));
    struct asi_counters after = penumbra_counters(0);
    if (mode_is(ASI_MODE_ASI)) {
        CHECK(after.views_revoked >= before.views_revoked + PAGES);
    }
    check_clean("after truncation");
    CHECK_OK(close(fd));
    CHECK_OK(unlink(path));
}

/* Another process truncates a file that is mapped: its frames are the file's no more, and nobody's secret. */
static void truncation_under_mapping(void) {
    test_needs_penumbra();
    const char *path = test_path("truncate-mapped");
    int fd = test_file(path, PAGES * TEST_PAGE);
    for (int private = 0; private < 2; private ++) {
        CHECK_OK(ftruncate(fd, PAGES * TEST_PAGE));
        uint8_t *memory = mmap(NULL, PAGES * TEST_PAGE, PROT_READ, private ? MAP_PRIVATE : MAP_SHARED, fd, 0);
        CHECK((void *)memory != MAP_FAILED);
        for (int page = 0; page < PAGES; page++) {
            CHECK_EQ(((volatile uint8_t *)memory)[page * TEST_PAGE] < 256, 1);
        }
        pid_t pid = fork();
        if (pid == 0) {
            CHECK_OK(munmap(memory, PAGES * TEST_PAGE));
            CHECK_OK(ftruncate(fd, 0));
            check_clean("truncated");
            _exit(0);
        }
        CHECK_EXITED(test_wait(pid));
        check_clean("truncated by another process");
        CHECK_OK(munmap(memory, PAGES * TEST_PAGE));
        check_clean("unmapped");
    }
    CHECK_OK(close(fd));
    CHECK_OK(unlink(path));
}

/* One of two processes closes: only its own views go. One truncates: both lose them. */
static void revoke_between_processes(void) {
    test_needs_penumbra();
    const char *path = test_path("revoke-two");
    int fd = test_file(path, PAGES * TEST_PAGE), ends[2], back[2];
    char byte = 0;
    CHECK_OK(pipe(ends));
    CHECK_OK(pipe(back));
    pid_t pid = fork();
    if (pid == 0) {
        read_pages(fd);
        CHECK_EQ(write(back[1], &byte, 1), 1);
        CHECK_EQ(read(ends[0], &byte, 1), 1);
        read_pages(fd); /* the parent has closed it */
        check_clean("in the child");
        CHECK_OK(ftruncate(fd, TEST_PAGE));
        check_clean("truncated by the child");
        _exit(0);
    }
    int other = (int)CHECK_OK(open(path, O_RDONLY));
    read_pages(fd);
    read_pages(other);
    CHECK_EQ(read(back[0], &byte, 1), 1);
    CHECK_OK(close(fd));
    read_pages(other); /* another descriptor of the same file keeps the access */
    CHECK_EQ(write(ends[1], &byte, 1), 1);
    CHECK_EXITED(test_wait(pid));
    CHECK_EQ(pread(other, &byte, 1, TEST_PAGE), 0);
    check_clean("at the end");
    CHECK_OK(close(other));
    CHECK_OK(unlink(path));
}

/* The tables that a vfork child makes in the user half it was lent are its owner's: the child goes, they stay. */
static void vfork_leaves_no_tables(void) {
    test_needs_penumbra();
    char *far = (char *)0x100000000000; /* a slot of the user half that nothing else is in */
    pid_t pid = vfork();
    if (pid == 0) {
        syscall(SYS_mmap, far, TEST_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0L);
        *(volatile char *)far = 1;
        _exit(0);
    }
    CHECK_EXITED(test_wait(pid));
    check_clean("after a vfork child has mapped something");
    CHECK_OK(munmap(far, TEST_PAGE));
    check_clean("and its parent has unmapped it");
}

/*
 * LOGICAL ACCESS: who may write to a pipe and not read from it never has what others wrote in view. Each writer is
 * given a page of its own while there are any; then it leaves the restricted space to write behind another's bytes.
 */
static void strangers_leave(void) {
    enum { WRITERS = 24 };
    test_needs_penumbra();
    int ends[2], exits = 0, first_exits = 0;
    char bytes[WRITERS];
    CHECK_OK(pipe(ends));
    for (int writer = 0; writer < WRITERS; writer++) {
        pid_t pid = fork();
        if (pid == 0) {
            const char byte = (char)writer;
            close(ends[0]);
            struct asi_counters before = penumbra_counters(0);
            if (write(ends[1], &byte, 1) != 1)
                _exit(100);
            struct asi_counters after = penumbra_counters(0);
            _exit((int)(after.exits[ASI_CAUSE_IPC] - before.exits[ASI_CAUSE_IPC]));
        }
        CHECK(pid > 0);
        int status = test_wait(pid);
        CHECK(WIFEXITED(status) && WEXITSTATUS(status) <= 1);
        exits += WEXITSTATUS(status);
        first_exits += writer < 8 ? WEXITSTATUS(status) : 0;
    }
    if (penumbra_state().mode == ASI_MODE_ASI) {
        CHECK_EQ(first_exits, 0);
        CHECK(exits >= 1);
    }
    CHECK_EQ(read(ends[0], bytes, sizeof bytes), WRITERS);
    for (int writer = 0; writer < WRITERS; writer++)
        CHECK_EQ(bytes[writer], writer);
    close(ends[0]);
    close(ends[1]);
}

static const struct test_case cases[] = {
    {"audit-clean", audit_clean},
    {"audit-catches-secret", catches_secret},
    {"audit-catches-foreign-local", catches_foreign},
    {"audit-catches-unopened-file-view", catches_view},
    {"audit-catches-page-being-filled", catches_filling},
    {"audit-catches-page-only-moved", catches_moved},
    {"audit-catches-dirty-free-frame", catches_dirty_frame},
    {"audit-catches-unrestricted-return", catches_gate},
    {"steady-state-exits", steady_state_exits},
    {"thread-switches", thread_switches},
    {"idle-switches", idle_and_back},
    {"process-switches", process_switches},
    {"flush-after-thread-switch", flush_after_thread_switch},
    {"counters-add-up", counters_add_up},
    {"strangers-leave", strangers_leave},
    {"close-revokes", close_revokes},
    {"truncation-revokes", truncation_revokes},
    {"truncation-under-mapping", truncation_under_mapping},
    {"revoke-between-processes", revoke_between_processes},
    {"vfork-leaves-no-tables", vfork_leaves_no_tables},
};
TEST_MAIN(cases)
