/* The kernel's messages: syslog(), by which dmesg reads them. Whole, once, cleared; who may; errors; exits. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/klog.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/user/lib/test.h"
#include "user/lib/asi.h"

enum { READ = 2, READ_ALL = 3, READ_CLEAR = 4, CLEAR = 5, LEVEL = 8, SIZE_UNREAD = 9, SIZE_BUFFER = 10 };
enum { LAST_NUMBER = 511, FIRST_NUMBER = 460, BUFFER = 65536 };

static char text[BUFFER];

static size_t read_all(int action) {
    const size_t count = (size_t)CHECK_OK(klogctl(action, text, sizeof text - 1));
    text[count] = '\0';
    return count;
}

static void read_up_to_now(void) {
    while (CHECK_OK(klogctl(READ, text, sizeof text)) > 0) {
    }
}

/* The kernel says once of each number that no call has it: that is a message. Returns the number. */
static long provoke(void) {
    for (long number = LAST_NUMBER; number >= FIRST_NUMBER; number--) {
        CHECK_ERRNO(syscall(number), ENOSYS);
        if (CHECK_OK(klogctl(SIZE_UNREAD, NULL, 0)) > 0) {
            return number;
        }
    }
    test_fail(__FILE__, __LINE__, "no message");
}

static void sizes(void) {
    test_needs_penumbra();
    const long size = CHECK_OK(klogctl(SIZE_BUFFER, NULL, 0));
    CHECK(size >= 4096 && size < BUFFER);
    CHECK((long)read_all(READ_ALL) <= size);
    CHECK(CHECK_OK(klogctl(SIZE_UNREAD, NULL, 0)) <= size);
}

/* Lines with their level before them; the last bytes when the buffer is short. */
static void lines(void) {
    test_needs_penumbra();
    read_up_to_now();
    provoke();
    const size_t count = read_all(READ_ALL);
    CHECK(count > 10 && strncmp(text, "<6>", 3) == 0 && text[count - 1] == '\n');
    for (const char *end = text; (end = strchr(end, '\n')) != NULL && *++end != '\0';) {
        CHECK(strncmp(end, "<6>", 3) == 0);
    }
    char last[8];
    CHECK_EQ(klogctl(READ_ALL, last, sizeof last), sizeof last);
    CHECK(memcmp(last, text + count - sizeof last, sizeof last) == 0);
    CHECK_EQ(klogctl(READ_ALL, last, 0), 0);
}

/* What has been read in this way is not read again, in pieces or not. */
static void once(void) {
    char expected[64];
    test_needs_penumbra();
    read_up_to_now();
    CHECK_EQ(klogctl(SIZE_UNREAD, NULL, 0), 0);
    snprintf(expected, sizeof expected, "<6>system call %ld is not implemented", provoke());
    const long unread = klogctl(SIZE_UNREAD, NULL, 0);
    CHECK_EQ(klogctl(READ, text, 5), 5);
    CHECK_EQ(klogctl(READ, text + 5, sizeof text - 5), unread - 5);
    CHECK(strncmp(text, expected, strlen(expected)) == 0 && text[unread - 1] == '\n');
    CHECK_EQ(klogctl(READ, text, sizeof text), 0);
}

static void cleared(void) {
    test_needs_penumbra();
    read_up_to_now();
    provoke();
    CHECK(read_all(READ_CLEAR) > 0);
    CHECK_EQ(read_all(READ_ALL), 0);
    CHECK(klogctl(SIZE_UNREAD, NULL, 0) > 0); /* for those who read */
    read_up_to_now();
    provoke();
    CHECK(read_all(READ_ALL) > 0);
    CHECK_OK(klogctl(CLEAR, NULL, 0));
    CHECK_EQ(read_all(READ_ALL), 0);
}

/* Everybody may read; what changes something is root's. */
static void without_root(void *unused) {
    (void)unused;
    CHECK_OK(setuid(1000));
    CHECK_OK(klogctl(READ_ALL, text, sizeof text));
    CHECK_OK(klogctl(SIZE_BUFFER, NULL, 0));
    CHECK_ERRNO(klogctl(READ, text, sizeof text), EPERM);
    CHECK_ERRNO(klogctl(READ_CLEAR, text, sizeof text), EPERM);
    CHECK_ERRNO(klogctl(CLEAR, NULL, 0), EPERM);
    CHECK_ERRNO(klogctl(SIZE_UNREAD, NULL, 0), EPERM);
    CHECK_ERRNO(klogctl(LEVEL, NULL, 1), EPERM);
}

static void rights(void) {
    test_needs_penumbra();
    CHECK_EXITED(test_run_child(without_root, NULL));
}

static void errors(void) {
    test_needs_penumbra(); /* Linux may refuse all of it */
    CHECK_ERRNO(klogctl(11, text, 1), EINVAL);
    CHECK_ERRNO(klogctl(-1, text, 1), EINVAL);
    CHECK_ERRNO(klogctl(READ_ALL, NULL, 10), EINVAL);
    CHECK_ERRNO(klogctl(READ_ALL, text, -1), EINVAL);
    read_up_to_now();
    provoke();
    CHECK_ERRNO(klogctl(READ_ALL, (char *)8, 100), EFAULT);
    const long unread = CHECK_OK(klogctl(SIZE_UNREAD, NULL, 0));
    CHECK_ERRNO(klogctl(READ, (char *)8, 100), EFAULT);
    CHECK_EQ(klogctl(SIZE_UNREAD, NULL, 0), unread); /* nothing is lost */
}

/* A program's name is its own: it neither ends a line nor commands a terminal. */
static void odd_name(void) {
    test_needs_penumbra();
    read_up_to_now();
    CHECK_OK(prctl(PR_SET_NAME, "a\n<0>\033c\x9b"
                                "b"));
    provoke();
    CHECK(CHECK_OK(klogctl(READ, text, sizeof text)) > 0);
    CHECK(strstr(text, " (a?<0>?c?b): ENOSYS\n") != NULL);
}

static void no_exit(void) {
    struct asi_state state;
    struct asi_counters before, after;
    test_needs_penumbra();
    CHECK_OK(asi_get_state(&state));
    read_up_to_now();
    CHECK_OK(asi_get_counters(0, &before));
    provoke();
    read_all(READ_ALL);
    read_up_to_now();
    CHECK_OK(asi_get_counters(0, &after));
    if (state.mode == ASI_MODE_ASI) {
        CHECK_EQ(asi_total_exits(&after) - asi_total_exits(&before), 0);
    }
}

static const struct test_case cases[] = {
    {"sizes", sizes},   {"lines", lines},   {"once", once},       {"cleared", cleared},
    {"rights", rights}, {"errors", errors}, {"no-exit", no_exit}, {"odd-name", odd_name},
};
TEST_MAIN(cases)
