/* Lab 6: file_sum(fd, offset, bytes), number 1049: the sum of a file's bytes, without an exit. */
#include <errno.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/user/lib/penumbra.h"
#include "tests/user/lib/test.h"

enum { SYS_FILE_SUM = 1049, SIZE = 5 * TEST_PAGE + 123 };

static long file_sum(int fd, long offset, long bytes) { return syscall(SYS_FILE_SUM, fd, offset, bytes); }

static long expected(size_t offset, size_t bytes) {
    long sum = 0;
    for (size_t i = offset; i < offset + bytes && i < SIZE; i++) {
        sum += test_byte(i);
    }
    return sum;
}

static void sums(void) {
    int fd = test_file(test_path("sum"), SIZE);
    CHECK_EQ(file_sum(fd, 0, SIZE), expected(0, SIZE));
    CHECK_EQ(file_sum(fd, 0, 0), 0);
    CHECK_EQ(file_sum(fd, 17, 1), expected(17, 1));
    CHECK_EQ(file_sum(fd, TEST_PAGE - 3, 7), expected(TEST_PAGE - 3, 7));
    CHECK_EQ(file_sum(fd, 4096, 2 * TEST_PAGE), expected(4096, 2 * TEST_PAGE));
    CHECK_EQ(file_sum(fd, SIZE - 10, 1000), expected(SIZE - 10, 10));
    CHECK_EQ(file_sum(fd, SIZE + 10, 1000), 0);
    CHECK_EQ(lseek(fd, 0, SEEK_CUR), 0);
}

/* What was never written is zero. */
static void hole(void) {
    int fd = test_file(test_path("hole"), 100);
    CHECK_OK(ftruncate(fd, 10 * TEST_PAGE));
    CHECK_EQ(file_sum(fd, 0, 10 * TEST_PAGE), expected(0, 100));
}

static void errors(void) {
    int ends[2], fd = test_file(test_path("errors"), 100);
    CHECK_OK(pipe(ends));
    CHECK_ERRNO(file_sum(-1, 0, 1), EBADF);
    CHECK_ERRNO(file_sum(fd, -1, 1), EINVAL);
    CHECK(file_sum(ends[0], 0, 1) == -1 && (errno == EINVAL || errno == ESPIPE));
    int writer = (int)CHECK_OK(open(test_path("errors-too"), O_WRONLY | O_CREAT, 0600));
    CHECK_ERRNO(file_sum(writer, 0, 1), EBADF);
}

static void no_exit(void) {
    int fd = test_file(test_path("exits"), SIZE);
    if (penumbra_state().mode != ASI_MODE_ASI) {
        return;
    }
    struct asi_counters before = penumbra_counters(0);
    CHECK_EQ(file_sum(fd, 0, SIZE), expected(0, SIZE));
    struct asi_counters after = penumbra_counters(0);
    CHECK_EQ(penumbra_exits(&after) - penumbra_exits(&before), 0);
}

static const struct test_case cases[] = {
    {"sums", sums},
    {"hole", hole},
    {"errors", errors},
    {"no-exit", no_exit},
};
TEST_MAIN(cases)
