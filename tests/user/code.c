/*
 * Conformance: code that a program makes itself, as a compiler does that runs what it made: pages that are writable and
 * executable, code written anew, two mappings of one page; and a process that has given all that up (PR_SET_MDWE).
 */
#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "tests/user/lib/test.h"
#include "user/lib/mdwe.h"

enum { PAGE = TEST_PAGE, ALL = PROT_READ | PROT_WRITE | PROT_EXEC, READ_WRITE = PROT_READ | PROT_WRITE };

/* mov eax, value; ret */
static void write_code(uint8_t *place, uint32_t value) {
    place[0] = 0xb8;
    memcpy(place + 1, &value, sizeof(value));
    place[5] = 0xc3;
}

static int run(const uint8_t *place) {
    int (*function)(void);
    memcpy(&function, &place, sizeof(place));
    return function();
}

static uint8_t *map(int protection, int flags, int fd) {
    uint8_t *place = mmap(NULL, PAGE, protection, flags, fd, 0);
    CHECK((void *)place != MAP_FAILED);
    return place;
}

static void written_and_run(void) {
    uint8_t *code = map(ALL, MAP_PRIVATE | MAP_ANONYMOUS, -1);
    for (int value = 1; value < 100; value++) {
        write_code(code, (uint32_t)value);
        CHECK_EQ(run(code), value);
    }
    CHECK_OK(mprotect(code, PAGE, PROT_READ | PROT_EXEC));
    CHECK_EQ(run(code), 99);
    CHECK_OK(mprotect(code, PAGE, ALL));
    write_code(code, 7);
    CHECK_EQ(run(code), 7);
    CHECK_OK(munmap(code, PAGE));
}

/* Memory of data becomes code: what compilers do that keep to one right at a time. */
static void written_then_run(void) {
    uint8_t *code = map(READ_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
    write_code(code, 5);
    CHECK_OK(mprotect(code, PAGE, PROT_READ | PROT_EXEC));
    CHECK_EQ(run(code), 5);
    CHECK_OK(munmap(code, PAGE));
}

static void run_and_change(void *argument) {
    uint8_t *code = argument;
    CHECK_EQ(run(code), 3);
    write_code(code, 4);
    CHECK_EQ(run(code), 4);
}

/* A fork's copy is its own, although it is fetched before it is written. */
static void copied_by_fork(void) {
    uint8_t *code = map(ALL, MAP_PRIVATE | MAP_ANONYMOUS, -1);
    write_code(code, 3);
    CHECK_EXITED(test_run_child(run_and_change, code));
    CHECK_EQ(run(code), 3);
    write_code(code, 8);
    CHECK_EQ(run(code), 8);
    CHECK_OK(munmap(code, PAGE));
}

static void two_mappings(void) {
    int fd = (int)CHECK_OK(memfd_create("code", 0));
    CHECK_OK(ftruncate(fd, PAGE));
    uint8_t *data = map(READ_WRITE, MAP_SHARED, fd), *code = map(PROT_READ | PROT_EXEC, MAP_SHARED, fd);
    for (int value = 1; value < 20; value++) {
        write_code(data, (uint32_t)value);
        CHECK_EQ(run(code), value);
    }
    CHECK_OK(munmap(data, PAGE));
    CHECK_EQ(run(code), 19);
    CHECK_OK(close(fd));
}

/* A file's own pages stay what they are when a private mapping of them is written. */
static void private_of_file(void) {
    int fd = (int)CHECK_OK(memfd_create("code", 0));
    uint8_t bytes[6], back[6];
    write_code(bytes, 11);
    CHECK_EQ(write(fd, bytes, sizeof(bytes)), sizeof(bytes));
    uint8_t *code = map(ALL, MAP_PRIVATE, fd);
    CHECK_EQ(run(code), 11);
    write_code(code, 12);
    CHECK_EQ(run(code), 12);
    CHECK_EQ(pread(fd, back, sizeof(back), 0), sizeof(back));
    CHECK(memcmp(back, bytes, sizeof(back)) == 0);
    CHECK_OK(close(fd));
}

/* --- PR_SET_MDWE -------------------------------------------------------------------------------------------------- */

static void check_refused(void *argument) {
    (void)argument;
    CHECK_EQ(prctl(PR_GET_MDWE, 0, 0, 0, 0), PR_MDWE_REFUSE_EXEC_GAIN);
    CHECK_ERRNO((long)mmap(NULL, PAGE, ALL, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), EACCES);
    CHECK_ERRNO((long)mmap(NULL, PAGE, PROT_WRITE | PROT_EXEC, MAP_SHARED | MAP_ANONYMOUS, -1, 0), EACCES);
    uint8_t *data = map(READ_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
    write_code(data, 1);
    CHECK_ERRNO(mprotect(data, PAGE, PROT_READ | PROT_EXEC), EACCES);
    CHECK_ERRNO(mprotect(data, PAGE, ALL), EACCES);
    CHECK_OK(mprotect(data, PAGE, PROT_READ));
    CHECK_ERRNO(mprotect(data, PAGE, PROT_READ | PROT_EXEC), EACCES);
    CHECK_OK(munmap(data, PAGE));
    uint8_t *text = map(PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1);
    CHECK_ERRNO(mprotect(text, PAGE, ALL), EACCES);
    CHECK_OK(mprotect(text, PAGE, PROT_READ | PROT_EXEC));
    CHECK_OK(munmap(text, PAGE));
}

static void given_up(void) {
    CHECK_ERRNO(prctl(PR_SET_MDWE, ~0ul, 0, 0, 0), EINVAL);
    CHECK_ERRNO(prctl(PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN, 1, 0, 0), EINVAL);
    CHECK_ERRNO(prctl(PR_GET_MDWE, 1, 0, 0, 0), EINVAL);
    CHECK_EQ(prctl(PR_GET_MDWE, 0, 0, 0, 0), 0);
    CHECK_OK(prctl(PR_SET_MDWE, 0, 0, 0, 0));
    CHECK_OK(prctl(PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN, 0, 0, 0));
    CHECK_ERRNO(prctl(PR_SET_MDWE, 0, 0, 0, 0), EPERM);
    CHECK_OK(prctl(PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN, 0, 0, 0));
    check_refused(NULL);
    CHECK_EXITED(test_run_child(check_refused, NULL));
}

static void become_this(void *argument) {
    (void)argument;
    char *argv[] = {"code", "refused-here", NULL};
    CHECK_OK(prctl(PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN, 0, 0, 0));
    CHECK_OK(execve("/proc/self/exe", argv, argv + 2));
}

/* The program that it becomes has given it up, too: this one, at the next case. */
static void given_up_for_exec(void) { CHECK_EXITED(test_run_child(become_this, NULL)); }

static void refused_here(void) {
    if (prctl(PR_GET_MDWE, 0, 0, 0, 0) == PR_MDWE_REFUSE_EXEC_GAIN) {
        check_refused(NULL);
    }
}

static const struct test_case cases[] = {
    {"written-and-run", written_and_run},     {"written-then-run", written_then_run},
    {"copied-by-fork", copied_by_fork},       {"two-mappings", two_mappings},
    {"private-of-file", private_of_file},     {"given-up", given_up},
    {"given-up-for-exec", given_up_for_exec}, {"refused-here", refused_here},
};
TEST_MAIN(cases)
