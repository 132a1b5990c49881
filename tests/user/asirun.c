/*
 * asirun, on Penumbra only: how it ends, what it says, and that it leaves the machine as it found it. The tally behind
 * its count of pages (asi/tally.c).
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/user/lib/penumbra.h"
#include "tests/user/lib/test.h"

enum { MAX_TEXT = 32768, MAX_WORDS = 16 };

static char text[MAX_TEXT]; /* what the last asirun wrote, both streams */

/* Runs asirun with these words, NULL behind the last; returns its wait status. */
static int asirun(const char *const *given) {
    char *words[MAX_WORDS + 2] = {(char *)(uintptr_t) "asirun"};
    for (unsigned i = 0; i < MAX_WORDS && given[i] != NULL; i++) {
        words[i + 1] = (char *)(uintptr_t)given[i];
    }
    const char *path = test_path("said");
    int said = (int)CHECK_OK(open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
    pid_t child = fork();
    if (child == 0) {
        dup2(said, STDOUT_FILENO);
        dup2(said, STDERR_FILENO);
        execv("/bin/asirun", words);
        _exit(99);
    }
    CHECK_OK(child);
    int status = test_wait(child);
    ssize_t length = CHECK_OK(pread(said, text, sizeof(text) - 1, 0));
    text[length] = '\0';
    close(said);
    unlink(path);
    return status;
}

#define ASIRUN(...) asirun((const char *const[]){__VA_ARGS__, NULL})

static void check_says(const char *what) {
    if (strstr(text, what) == NULL) {
        test_fail(__FILE__, __LINE__, "no \"%s\" in: %.300s", what, text);
    }
}

/* This very program as a command that is killed. */
__attribute__((constructor)) static void die_if_asked(void) {
    if (getenv("ASIRUN_TEST_DIES") != NULL) {
        raise(SIGKILL);
    }
}

static void statuses(void) {
    test_needs_penumbra();
    enum asi_mode mode = penumbra_state().mode;
    CHECK_EXITED_WITH(ASIRUN("-n", "1", "-w", "0", "true"), 0);
    check_says("output the same in every run, 0 bytes");
    CHECK_EXITED_WITH(ASIRUN("-n", "1", "-w", "0", "false"), 1);
    check_says("ended with status 1, in every run");
    CHECK_EXITED_WITH(ASIRUN("no-such-command"), 127);
    check_says("asirun: no-such-command: No such file or directory");
    CHECK_EXITED_WITH(ASIRUN("/bin"), 126);
    CHECK_OK(setenv("ASIRUN_TEST_DIES", "1", 1));
    CHECK_EXITED_WITH(ASIRUN("-n", "1", "-w", "0", "/tests/asirun"), 128 + SIGKILL);
    check_says("ended by signal 9");
    CHECK_EXITED_WITH(ASIRUN("--help"), 0);
    check_says("usage: asirun");
    CHECK_EQ(penumbra_state().mode, mode);
}

static void wrong_usage(void) {
    test_needs_penumbra();
    static const char *const options[] = {
        "--modes=asi,nothing", "--modes=asi,asi", "--modes=",           "--rounds=0", "--rounds=x",
        "--warm=-1",           "--flush=cheap",   "--output=elsewhere", "--name=a,b", "--nonsense"};
    for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
        CHECK_EXITED_WITH(ASIRUN(options[i], "true"), 2);
        check_says("Try asirun --help.");
    }
    CHECK_EXITED_WITH(ASIRUN("-n"), 2);
    CHECK_EXITED_WITH(asirun((const char *const[]){NULL}), 2);
    CHECK_EXITED_WITH(ASIRUN("--input=/no/such/file", "true"), 127);
    CHECK_EXITED_WITH(ASIRUN("--before=false", "true"), 125);
}

/* A line for each mode, and what is measured is what the command did: naive leaves, asi does not. */
static void figures(void) {
    test_needs_penumbra();
    CHECK_EXITED_WITH(ASIRUN("-n", "2", "--csv", "--check", "-f", "cost:10,20,30", "ls", "/bin"), 0);
    check_says("\nls,none,cost:10/20/30,2,");
    check_says("\nls,classic,");
    check_says("\nls,naive,");
    check_says("\nls,asi,");
    check_says("exits by kernel symbol, per run");
    check_says("  naive    file");
    CHECK(strstr(text, "  asi      ") == NULL);
    check_says("all of RAM");
    CHECK(strstr(text, "memcpy") == NULL && strstr(text, "user_copy") == NULL); /* but who called them */
}

static void output_compared(void) {
    test_needs_penumbra();
    const char *path = test_path("grows");
    char line[128];
    snprintf(line, sizeof(line), "echo x >> %s; cat %s", path, path);
    CHECK_EXITED_WITH(ASIRUN("-n", "1", "--check", "sh", "-c", line), 3);
    check_says("output DIFFERS: first in mode classic");
    char before[128];
    snprintf(before, sizeof(before), "--before=echo -n > %s", path);
    CHECK_EXITED_WITH(ASIRUN("-n", "1", "--check", before, "sh", "-c", line), 0);
    CHECK_OK(unlink(path));
}

static void as_somebody(void *argument) {
    (void)argument;
    CHECK_OK(setgid(1000));
    CHECK_OK(setuid(1000));
    struct asi_tally tally;
    CHECK_ERRNO(penumbra_call(ASI_OP_TALLY, 1, NULL, 0), EPERM);
    CHECK_ERRNO(penumbra_call(ASI_OP_TALLY, 0, &tally, sizeof(tally)), EPERM);
    CHECK_EXITED_WITH(ASIRUN("true"), 125);
    check_says("needs uid 0 (this is uid 1000)");
}

static void permissions(void) {
    test_needs_penumbra();
    CHECK_EXITED(test_run_child(as_somebody, NULL));
}

enum { TOUCHED = 300 };

static void touch_pages(void *argument) {
    (void)argument;
    char *memory = mmap(NULL, TOUCHED * TEST_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK((void *)memory != MAP_FAILED);
    memset(memory, 1, TOUCHED * TEST_PAGE);
}

static void tally(void) {
    test_needs_penumbra();
    struct asi_tally small, large;
    CHECK_OK(penumbra_call(ASI_OP_TALLY, 1, NULL, 0));
    CHECK_EXITED(test_run_child(touch_pages, NULL));
    CHECK_OK(penumbra_call(ASI_OP_TALLY, 0, &large, sizeof(large)));
    CHECK(large.processes >= 1 && large.user >= TOUCHED && large.user < 2 * TOUCHED && large.local > 0);
    CHECK(large.global > 0 && large.global < penumbra_memory().frames_total);
    CHECK(strncmp(large.name, "asirun", sizeof(large.name)) == 0); /* this test's name */
    CHECK_OK(penumbra_call(ASI_OP_TALLY, 1, NULL, 0));
    CHECK_OK(penumbra_call(ASI_OP_TALLY, 0, &small, sizeof(small)));
    CHECK_EQ(small.user, 0);
    CHECK_ERRNO(penumbra_call(ASI_OP_TALLY, 2, &small, sizeof(small)), EINVAL);
    CHECK_ERRNO(penumbra_call(ASI_OP_TALLY, 0, &small, 1), EINVAL);
    CHECK_ERRNO(penumbra_call(ASI_OP_TALLY, 0, NULL, sizeof(small)), EFAULT);
}

static const struct test_case cases[] = {
    {"statuses", statuses},       {"wrong-usage", wrong_usage},
    {"figures", figures},         {"output-compared", output_compared},
    {"permissions", permissions}, {"tally", tally},
};
TEST_MAIN(cases)
