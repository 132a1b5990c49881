/*
 * SAME: what a program observes does not depend on the mode. These cases print what they see; the runner compares it
 * between modes (as it does the output of every other case).
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/user/lib/addresses.h"
#include "tests/user/lib/test.h"

static uint64_t hash;

static void mix(uint64_t value) { hash = (hash ^ value) * 0x100000001b3; }

static long observe(const char *what, long result) {
    int error = result == -1 ? errno : 0;
    printf("%s %ld %d\n", what, result, error);
    return result;
}

#define OBSERVE(call) observe(#call, (long)(call))

static void files(void) {
    const char *path = test_path("same");
    uint8_t data[5000];
    struct stat status;
    int fd = test_file(path, 20000);
    OBSERVE(read(fd, data, 5000));
    OBSERVE(pread(fd, data, 5000, 17000));
    OBSERVE(pwrite(fd, data, 5000, 100000));
    OBSERVE(pread(fd, data, 5000, 99000));
    for (size_t i = 0; i < sizeof(data); i++) {
        mix(data[i]);
    }
    OBSERVE(read(fd, (void *)EPHMAP_BASE, 5000));
    OBSERVE(read(fd, (void *)PHYSMAP_BASE, 5000));
    OBSERVE(write(fd, (void *)LOCAL_BASE, 5000));
    OBSERVE(write(fd, data, 1ul << 62));
    OBSERVE(ftruncate(fd, 30000));
    OBSERVE(lseek(fd, 0, SEEK_END));
    OBSERVE(fstat(fd, &status));
    printf("size %lld mode %o links %d blocks-of %d\n", (long long)status.st_size, status.st_mode, (int)status.st_nlink,
           (int)status.st_blksize);
    OBSERVE(close(fd));
    OBSERVE(unlink(path));
    OBSERVE(open(path, O_RDONLY));
    printf("hash %016llx\n", (unsigned long long)hash);
}

/* A buffer whose second page is missing, at every kind of border: how much is moved is part of the result. */
static void partial_transfers(void) {
    uint8_t *pages = mmap(NULL, 3 * TEST_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    int ends[2];
    const char *path = test_path("partial");
    int fd = test_file(path, 4 * TEST_PAGE);
    CHECK((void *)pages != MAP_FAILED);
    CHECK_OK(munmap(pages + TEST_PAGE, TEST_PAGE));
    CHECK_OK(pipe2(ends, O_NONBLOCK));
    for (int before = 0; before <= 64; before += 16) {
        uint8_t *buffer = pages + TEST_PAGE - before;
        OBSERVE(pread(fd, buffer, 128, 0));
        OBSERVE(pread(fd, buffer, 128, TEST_PAGE - 32));
        OBSERVE(pwrite(fd, buffer, 128, 50));
        OBSERVE(write(ends[1], buffer, 128));
        OBSERVE(read(ends[0], buffer, 128));
    }
    CHECK_OK(close(fd));
    CHECK_OK(unlink(path));
}

static void identity(void) {
    struct utsname name;
    CHECK_OK(uname(&name));
    printf("%s %s\n", name.sysname, name.machine);
    OBSERVE(getuid());
    OBSERVE(syscall(SYS_getpgid, 0x3ffffff));
    OBSERVE(syscall(999));
    struct rlimit limit;
    CHECK_OK(getrlimit(RLIMIT_STACK, &limit));
    printf("stack %llu\n", (unsigned long long)limit.rlim_cur);
}

static void child_work(void *argument) {
    unsigned seed = (unsigned)(uintptr_t)argument;
    hash = seed;
    uint32_t *table = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK((void *)table != MAP_FAILED);
    for (uint32_t i = 0; i < 1 << 18; i++) {
        seed = seed * 1664525 + 1013904223;
        table[seed >> 14] += i;
    }
    for (uint32_t i = 0; i < 1 << 18; i++) {
        mix(table[i]);
    }
    printf("child %u %016llx\n", (unsigned)(uintptr_t)argument, (unsigned long long)hash);
}

static void computation(void) {
    for (uintptr_t seed = 1; seed <= 3; seed++) {
        CHECK_EXITED(test_run_child(child_work, (void *)seed));
    }
}

static const struct test_case cases[] = {
    {"files", files},
    {"partial-transfers", partial_transfers},
    {"identity", identity},
    {"computation", computation},
};
TEST_MAIN(cases)
