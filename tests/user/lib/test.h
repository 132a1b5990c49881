/*
 * The harness of the user-space tests: what a test program is made of, and how a case says that something is wrong.
 *
 * A program in tests/user is a table of named cases and TEST_MAIN. Run as
 *   PROGRAM --list   it prints the name of each case;
 *   PROGRAM CASE     it runs that one case in this process (what tests/user/runner.c does);
 *   PROGRAM          it runs every case, each in a child, and prints a line for each (for a person).
 * A case passes by returning. What it prints must be the same on every run and in every mode: the runner compares it
 * between modes (invariant SAME), so results are printed and times, pids and addresses are not.
 *
 * Every expectation of a case holds on Linux too, but for what it does after test_needs_penumbra().
 */
#ifndef TESTS_USER_LIB_TEST_H
#define TESTS_USER_LIB_TEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct test_case {
    const char *name;
    void (*run)(void);
};

enum { TEST_PASSED = 0, TEST_FAILED = 1, TEST_SKIPPED = 77, TEST_PAGE = 4096 };

/* Print the reason and end the process (not the whole program: a child may fail, its parent sees the status). */
_Noreturn void test_fail(const char *file, int line, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* End the case: it cannot be shown here (`reason` says why). */
_Noreturn void test_skip(const char *reason);

/* Skip the case unless the kernel answers SYS_ASI. */
void test_needs_penumbra(void);

/* Wait for `pid`; returns the wait status. Fails the case when there is no such child. */
int test_wait(pid_t pid);

/*
 * Run `body` in a child and return its wait status; the child exits with 0 when `body` returns.
 * A failed check in the child ends it with TEST_FAILED, its reason printed.
 */
int test_run_child(void (*body)(void *), void *argument);

/* The same, ended by SIGKILL after `limit_ms`; `*timed_out` says whether it had to be. */
int test_run_child_within(void (*body)(void *), void *argument, int limit_ms, bool *timed_out);

/* A fresh name under /tmp, unlinked first; the string lives until the next call but seven. */
const char *test_path(const char *name);

/* A file of `size` bytes, byte i being test_byte(i); returns a descriptor open for reading and writing. */
int test_file(const char *path, size_t size);
uint8_t test_byte(size_t index);

void test_sleep_ms(int ms);
uint64_t test_now_ns(void);

int test_main(int argc, char **argv, const struct test_case *cases, size_t count);

#define TEST_MAIN(cases)                                                                                               \
    int main(int argc, char **argv) { return test_main(argc, argv, cases, sizeof(cases) / sizeof((cases)[0])); }

#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            test_fail(__FILE__, __LINE__, "%s does not hold", #condition);                                             \
        }                                                                                                              \
    } while (0)

#define CHECK_EQ(got, want)                                                                                            \
    do {                                                                                                               \
        long long got_value = (long long)(got), want_value = (long long)(want);                                        \
        if (got_value != want_value) {                                                                                 \
            test_fail(__FILE__, __LINE__, "%s is %lld, want %s (%lld)", #got, got_value, #want, want_value);           \
        }                                                                                                              \
    } while (0)

/* The call fails with this errno. */
#define CHECK_ERRNO(call, error) test_check_errno(__FILE__, __LINE__, #call, (errno = 0, (long)(call)), (error))

/* The call succeeds (does not return -1); gives its value. */
#define CHECK_OK(call) test_check_ok(__FILE__, __LINE__, #call, (errno = 0, (long)(call)))

/* The child with this wait status exited with 0. */
#define CHECK_EXITED(status)            test_check_exited(__FILE__, __LINE__, (status), 0)
#define CHECK_EXITED_WITH(status, code) test_check_exited(__FILE__, __LINE__, (status), (code))

/* The child with this wait status was ended by this signal. */
#define CHECK_SIGNALED(status, signal) test_check_signaled(__FILE__, __LINE__, (status), (signal))

void test_check_errno(const char *file, int line, const char *call, long result, int error);
long test_check_ok(const char *file, int line, const char *call, long result);
void test_check_exited(const char *file, int line, int status, int code);
void test_check_signaled(const char *file, int line, int status, int signal);

#endif
