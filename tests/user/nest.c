/*
 * NEST under torture (docs/nest.md): with the boot option torture=1 every instruction of the entry and transition code
 * is stepped over while this program works, struck by NMIs, machine checks and page faults, and the CPU's state is
 * compared at each. Without the option the operations are refused, which is what is checked then.
 *
 * The map of what was stepped goes to /dev/console, in hexadecimal, where tests/nest compares it with the kernel's own
 * instructions.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/user/lib/domains.h"
#include "tests/user/lib/penumbra.h"
#include "tests/user/lib/test.h"
#include "user/lib/native.h"

enum { ALL_STRIKES = 63, NMIS = 200 };

static bool torture_allowed(void) {
    char words[4096];
    int fd = open("/proc/cmdline", O_RDONLY);
    ssize_t length = read(fd, words, sizeof(words) - 1);
    CHECK_OK(close(fd));
    words[length < 0 ? 0 : length] = '\0';
    return strstr(words, "torture=1") != NULL;
}

static void needs_torture(void) {
    test_needs_penumbra();
    if (!torture_allowed()) {
        test_skip("not booted with torture=1");
    }
}

static struct asi_nest_report report(void) {
    struct asi_nest_report now;
    CHECK_OK(penumbra_call(ASI_OP_NEST_REPORT, 0, &now, sizeof(now)));
    return now;
}

static void begin(const char *first, const char *second, const char *third, unsigned one_in, bool through) {
    struct asi_nest what = {.strikes = ALL_STRIKES, .one_in = one_in, .through = through, .seed = 88172645463325252};
    pin_to_first_cpu(); /* what begins there ends there */
    strcpy(what.start[0], first);
    strcpy(what.start[1], second);
    strcpy(what.start[2], third);
    CHECK_OK(penumbra_call(ASI_OP_NEST, 0, &what, sizeof(what)));
}

static void end(const struct asi_nest_report *before) {
    CHECK_OK(penumbra_call(ASI_OP_NEST, 0, NULL, 0));
    struct asi_nest_report after = report();
    if (after.violations != before->violations) {
        test_fail(__FILE__, __LINE__, "%llu violations: %s",
                  (unsigned long long)(after.violations - before->violations), after.first);
    }
    CHECK(after.checks > before->checks);
    CHECK(after.covered_steps > before->covered_steps);
}

/* --- Work: what takes each way through the entry and transition code ------------------------------------------ */

static void *touch(void *fd) {
    char byte;
    CHECK_EQ(pread((int)(intptr_t)fd, &byte, 1, 0), 1);
    sched_yield();
    return NULL;
}

static void on_signal(int number) { (void)number; }

/* Short messages to another process and back: their words cross in registers. */
static void talk(void) {
    int endpoint = (int)CHECK_OK(endpoint_create());
    struct ipc ipc = {.word = {1, 2, 3}};
    pid_t pid = fork();
    if (pid == 0) {
        for (;;) {
            CHECK_OK(ipc_reply_receive(endpoint, &ipc));
        }
    }
    for (uint64_t i = 0; i < 3; i++) {
        ipc = (struct ipc){.label = 1, .word = {i, ~i, i << 40}};
        CHECK_OK(ipc_call(endpoint, &ipc));
        CHECK(ipc.label == 1 && ipc.word[0] == i && ipc.word[1] == ~i && ipc.word[2] == i << 40);
    }
    CHECK_OK(kill(pid, SIGKILL));
    CHECK_SIGNALED(test_wait(pid), SIGKILL);
    CHECK_OK(close(endpoint));
}

/* rsp and all other registers are compared by the program's own working. */
static void work(void) {
    char name[32];
    snprintf(name, sizeof(name), "nest-%d", getpid());
    const char *path = test_path(name);
    int fd = test_file(path, 2 * TEST_PAGE), ends[2];
    char byte = 'x';
    pthread_t thread;
    for (int i = 0; i < 3; i++) {
        CHECK(getppid() > 0);
        touch((void *)(intptr_t)fd); /* mode naive: an exit and an enter */
    }
    uint8_t *memory = mmap(NULL, 2 * TEST_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK((void *)memory != MAP_FAILED);
    memory[0] = 1; /* page faults */
    CHECK_OK(pipe(ends));
    signal(SIGUSR1, on_signal);
    CHECK_OK(raise(SIGUSR1)); /* returns by iretq */
    pid_t pid = fork();
    if (pid == 0) {
        memory[0] = 2;
        CHECK_EQ(write(ends[1], &byte, 1), 1);
        _exit(0);
    }
    CHECK_EQ(read(ends[0], &byte, 1), 1); /* to the child and back */
    CHECK_EXITED(test_wait(pid));
    talk();
    int error = pthread_create(&thread, NULL, touch, (void *)(intptr_t)fd);
    CHECK_EQ(error, 0);
    pthread_join(thread, NULL);
    struct timespec moment = {.tv_nsec = 100000};
    nanosleep(&moment, NULL); /* idle and back, by the timer */
    CHECK_OK(munmap(memory, 2 * TEST_PAGE));
    CHECK_OK(close(ends[0]));
    CHECK_OK(close(ends[1]));
    CHECK_OK(close(fd));
    CHECK_OK(unlink(path));
}

static void tortured_from(const char *first, const char *second, const char *third, unsigned one_in, bool through) {
    needs_torture();
    struct asi_nest_report before = report();
    begin(first, second, third, one_in, through);
    work();
    end(&before);
}

/* --- Cases ---------------------------------------------------------------------------------------------------- */

static void not_without_option(void) {
    test_needs_penumbra();
    struct asi_nest what = {.one_in = 1, .seed = 1};
    long results[] = {
        penumbra_call(ASI_OP_NMI_STORM, 0, NULL, 1),
        penumbra_call(ASI_OP_NEST, 0, NULL, 0),
    };
    CHECK_ERRNO(penumbra_call(ASI_OP_NEST, 0, &what, sizeof(what) - 1), EINVAL);
    if (!torture_allowed()) {
        CHECK_EQ(results[0], -1);
        CHECK_EQ(results[1], -1);
        CHECK_ERRNO(penumbra_call(ASI_OP_NEST, 0, &what, sizeof(what)), EPERM);
    } else {
        CHECK_EQ(results[0], 0);
        strcpy(what.start[0], "main");
        CHECK_ERRNO(penumbra_call(ASI_OP_NEST, 0, &what, sizeof(what)), EINVAL);
    }
    pid_t pid = fork();
    if (pid == 0) {
        CHECK_OK(setuid(1000));
        CHECK_ERRNO(penumbra_call(ASI_OP_NEST, 0, NULL, 0), EPERM);
        CHECK_ERRNO(penumbra_call(ASI_OP_NMI_STORM, 0, NULL, 1), EPERM);
        _exit(0);
    }
    CHECK_EXITED(test_wait(pid));
}

static void from_system_calls(void) { tortured_from("syscall_entry", "context_switch", "transition_exit", 40, false); }

static void from_interrupts(void) { tortured_from("interrupt_common", "transition_enter", "context_die", 40, false); }

static void from_stubs(void) { tortured_from("stub 14", "stub 32", "transition_load", 40, false); }

/* What trust let a switch leave undone is done where it is taken back. */
static void changed_trust(void) {
    needs_torture();
    struct asi_nest_report before = report();
    CHECK_OK(domain_call(PR_ASI_DOMAIN_NEW, 0, 0));
    pid_t partner = partner_start(true);
    const int own = domain_call(PR_ASI_DOMAIN_GET, 0, 0), peer = partner_domain();
    domain_set_trust(peer, own, true);
    begin("transition_flush", "", "", 20, false);
    for (int i = 0; i < 3; i++) {
        CHECK_OK(domain_call(PR_ASI_TRUST, peer, 1));
        take_turns(4);
        CHECK_OK(domain_call(PR_ASI_TRUST, peer, 0));
    }
    end(&before);
    partner_end(partner);
    CHECK_OK(domain_call(PR_ASI_DOMAIN_LEAVE, 0, 0));
}

/* The waits that stand for a flush's price. */
static void with_prices(void) {
    needs_torture();
    struct asi_flush before = penumbra_state().flush;
    struct asi_flush prices = {.kind = ASI_FLUSH_COST, .ibpb_ticks = 2, .verw_ticks = 2, .cr3_ticks = 2};
    CHECK_OK(penumbra_call(ASI_OP_SET_FLUSH, 0, &prices, sizeof(prices)));
    tortured_from("syscall_entry", "context_switch", "transition_exit", 100, false);
    tortured_from("interrupt_common", "transition_enter", "context_die", 100, false);
    tortured_from("transition_load", "", "", 100, false);
    changed_trust();
    CHECK_OK(penumbra_call(ASI_OP_SET_FLUSH, 0, &before, sizeof(before)));
}

static void from_first_run(void) { tortured_from("return_to_new_thread", "stub 3", "stub 6", 40, false); }

/* Few strikes, but C code is stepped through as well: system calls, a page fault, a switch and back. */
static void through_c(void) {
    needs_torture();
    struct asi_nest_report before = report();
    int there[2], back[2];
    char byte = 'x';
    CHECK_OK(pipe(there));
    CHECK_OK(pipe(back));
    pid_t pid = fork();
    if (pid == 0) {
        CHECK_EQ(read(there[0], &byte, 1), 1);
        CHECK_EQ(write(back[1], &byte, 1), 1);
        CHECK_EQ(read(there[0], &byte, 1), 1);
        _exit(0);
    }
    uint8_t *memory = mmap(NULL, TEST_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK((void *)memory != MAP_FAILED);
    begin("syscall_entry", "interrupt_common", "", 300, true);
    CHECK(getppid() > 0);
    memory[0] = 1;
    CHECK_EQ(write(there[1], &byte, 1), 1);
    CHECK_EQ(read(back[0], &byte, 1), 1);
    end(&before);
    CHECK_EQ(write(there[1], &byte, 1), 1);
    CHECK_EXITED(test_wait(pid));
    CHECK_OK(munmap(memory, TEST_PAGE));
    for (int i = 0; i < 2; i++) {
        CHECK_OK(close(there[i]));
        CHECK_OK(close(back[i]));
    }
}

/* A strike at every second instruction. (Not of interrupts: the next tick would come before the last had returned.) */
static void at_each_second_instruction(void) {
    needs_torture();
    struct asi_nest_report before = report();
    begin("syscall_entry", "", "", 2, false);
    for (int i = 0; i < 20; i++) {
        CHECK(getppid() > 0);
    }
    end(&before);
    struct asi_nest_report after = report();
    CHECK(after.delivered > before.delivered);
    CHECK_EQ(after.resumed - before.resumed, after.delivered - before.delivered);
    CHECK(after.nmis > before.nmis && after.machine_checks > before.machine_checks && after.faults > before.faults);
}

static void nmi_storm(void) {
    needs_torture();
    struct asi_nest_report before = report();
    unsigned cpus = penumbra_state().cpus;
    volatile bool *enough = mmap(NULL, TEST_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK((void *)enough != MAP_FAILED);
    pid_t pid = fork();
    if (pid == 0) {
        while (!*enough) {
            work();
        }
        _exit(0);
    }
    for (unsigned cpu = 0; cpu < cpus; cpu++) {
        CHECK_OK(penumbra_call(ASI_OP_NMI_STORM, cpu, NULL, NMIS));
    }
    work();
    *enough = true;
    CHECK_EXITED(test_wait(pid));
    struct asi_nest_report after = report();
    CHECK(after.nmis > before.nmis);
    if (after.violations != before.violations) {
        test_fail(__FILE__, __LINE__, "%s", after.first);
    }
    CHECK_ERRNO(penumbra_call(ASI_OP_NMI_STORM, 64, NULL, 1), EINVAL);
}

/* For tests/nest. A line of a map holds 64 bytes of it. */
static void show(int console, const char *name, const uint8_t *map) {
    for (int at = 0; at < ASI_NEST_TEXT / 8; at += 64) {
        dprintf(console, "nest: %s %d ", name, at);
        for (int i = 0; i < 64; i++) {
            dprintf(console, "%02x", map[at + i]);
        }
        dprintf(console, "\n");
    }
}

static void coverage(void) {
    needs_torture();
    struct asi_nest_report now = report();
    int console = (int)CHECK_OK(open("/dev/console", O_WRONLY));
    dprintf(console,
            "nest: mode %s: %llu steps, %llu of them in entry and transition code; %llu NMIs, %llu machine checks, "
            "%llu faults; %llu delivered, %llu resumed, %llu to user code; %llu checks, %llu violations %s\n",
            penumbra_mode_names[penumbra_state().mode], (unsigned long long)now.steps,
            (unsigned long long)now.covered_steps, (unsigned long long)now.nmis, (unsigned long long)now.machine_checks,
            (unsigned long long)now.faults, (unsigned long long)now.delivered, (unsigned long long)now.resumed,
            (unsigned long long)now.user_strikes, (unsigned long long)now.checks, (unsigned long long)now.violations,
            now.first);
    dprintf(console, "nest: text %llx\n", (unsigned long long)now.text);
    show(console, "stepped", now.stepped);
    show(console, "struck", now.struck);
    CHECK_OK(close(console));
    CHECK_EQ(now.violations, 0);
}

static const struct test_case cases[] = {
    {"not-without-option", not_without_option},
    {"from-system-calls", from_system_calls},
    {"from-interrupts", from_interrupts},
    {"from-stubs", from_stubs},
    {"from-first-run", from_first_run},
    {"changed-trust", changed_trust},
    {"with-prices", with_prices},
    {"through-c", through_c},
    {"at-each-second-instruction", at_each_second_instruction},
    {"nmi-storm", nmi_storm},
    {"coverage", coverage},
};
TEST_MAIN(cases)
