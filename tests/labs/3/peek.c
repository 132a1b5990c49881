/* Lab 3: file_peek() copies to user memory that is present, that is not, and that never will be. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/user/lib/penumbra.h"
#include "tests/user/lib/test.h"

enum { SYS_FILE_PEEK = 1046, PAGES = 4 };

static int file;
static unsigned char *memory;

static long peek(int from, size_t offset, void *to, size_t bytes) {
    return syscall(SYS_FILE_PEEK, from, offset, to, bytes);
}

static void open_file(void) {
    file = test_file(test_path("peek"), PAGES * TEST_PAGE);
    memory = mmap(NULL, PAGES * TEST_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(memory != MAP_FAILED);
}

static void check_bytes(const unsigned char *at, size_t offset, size_t bytes) {
    for (size_t i = 0; i < bytes; i++) {
        CHECK_EQ(at[i], test_byte(offset + i));
    }
}

static void present(void) {
    open_file();
    memset(memory, 1, TEST_PAGE);
    CHECK_OK(peek(file, TEST_PAGE + 100, memory + 50, 1000));
    check_bytes(memory + 50, TEST_PAGE + 100, 1000);
    CHECK_EQ(memory[49], 1);
    CHECK_EQ(memory[1050], 1);
}

static void untouched(void) {
    open_file();
    CHECK_OK(peek(file, 0, memory, TEST_PAGE));
    check_bytes(memory, 0, TEST_PAGE);
}

/* The second page of the target is not present when the first is full. */
static void across_two_pages(void) {
    open_file();
    memory[0] = 1;
    CHECK_OK(peek(file, 2 * TEST_PAGE, memory + 1000, TEST_PAGE));
    check_bytes(memory + 1000, 2 * TEST_PAGE, TEST_PAGE);
}

static void copies_on_write(void) {
    open_file();
    memset(memory, 7, TEST_PAGE);
    pid_t child = (pid_t)CHECK_OK(fork());
    if (child == 0) {
        CHECK_OK(peek(file, 0, memory, TEST_PAGE));
        check_bytes(memory, 0, TEST_PAGE);
        _exit(0);
    }
    CHECK_EXITED(test_wait(child));
    CHECK_EQ(memory[0], 7);
    CHECK_EQ(memory[TEST_PAGE - 1], 7);
}

/* From a page to a mapping of that page. */
static void onto_itself(void) {
    open_file();
    unsigned char *mapped = mmap(NULL, TEST_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    CHECK(mapped != MAP_FAILED);
    CHECK_OK(peek(file, 0, mapped, TEST_PAGE));
    check_bytes(mapped, 0, TEST_PAGE);
}

static void never_there(void) {
    open_file();
    CHECK_OK(mprotect(memory, TEST_PAGE, PROT_READ));
    CHECK_ERRNO(peek(file, 0, memory, 100), EFAULT);
    CHECK_OK(munmap(memory, TEST_PAGE));
    CHECK_ERRNO(peek(file, 0, memory, 100), EFAULT);
    CHECK_ERRNO(peek(file, 0, (void *)-4096L, 100), EFAULT);
    CHECK_ERRNO(peek(file, 100, memory, TEST_PAGE), EINVAL);
    CHECK_ERRNO(peek(file, PAGES * TEST_PAGE, memory + TEST_PAGE, 1), ENOENT);
    CHECK_ERRNO(peek(-1, 0, memory + TEST_PAGE, 1), EBADF);
}

static void no_exit(void) {
    open_file();
    if (penumbra_state().mode != ASI_MODE_ASI) {
        return;
    }
    struct asi_counters before = penumbra_counters(0);
    for (int i = 0; i < PAGES; i++) {
        CHECK_OK(peek(file, (size_t)i * TEST_PAGE, memory + i * TEST_PAGE, TEST_PAGE));
    }
    struct asi_counters after = penumbra_counters(0);
    CHECK_EQ(penumbra_exits(&after) - penumbra_exits(&before), 0);
}

static const struct test_case cases[] = {
    {"present", present},
    {"untouched", untouched},
    {"across-two-pages", across_two_pages},
    {"copies-on-write", copies_on_write},
    {"onto-itself", onto_itself},
    {"never-there", never_there},
    {"no-exit", no_exit},
};
TEST_MAIN(cases)
