/* Conformance: mappings beyond memory.c. mremap whole, advice for forks, locking, shared files, many areas. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/user/lib/test.h"

enum { PAGE = TEST_PAGE, KEEP = 4 /* MREMAP_DONTUNMAP */, WIPE_ON_FORK = 18, KEEP_ON_FORK = 19 };

static uint8_t *map(size_t length, int protection, int flags, int fd) {
    uint8_t *address = mmap(NULL, length, protection, flags, fd, 0);
    CHECK(address != MAP_FAILED);
    return address;
}

static uint8_t *map_private(size_t length) {
    return map(length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
}

static uint8_t *map_shared(size_t length) {
    return map(length, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1);
}

static void touch(void *address) { (void)*(volatile uint8_t *)address; }

static void write_to(void *address) { *(volatile uint8_t *)address = 1; }

static bool readable(void *address) {
    int status = test_run_child(touch, address);
    CHECK(status == 0 || WIFSIGNALED(status));
    return status == 0;
}

/* --- mremap --- */

static void remap_shared(void) {
    uint8_t *memory = map_shared(4 * PAGE);
    memory[0] = 1;
    memory[3 * PAGE] = 4;
    uint8_t *moved = mremap(memory, 4 * PAGE, 4 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, map_private(8 * PAGE));
    CHECK(moved != MAP_FAILED && moved != memory);
    CHECK_EQ(moved[0], 1);
    CHECK_EQ(moved[3 * PAGE], 4);
    /* A second mapping of the same pages: nothing is moved. */
    uint8_t *second = mremap(moved, 0, 4 * PAGE, MREMAP_MAYMOVE);
    CHECK(second != MAP_FAILED && second != moved);
    CHECK_EQ(second[3 * PAGE], 4);
    second[PAGE] = 7;
    CHECK_EQ(moved[PAGE], 7);
    CHECK_OK(munmap(moved, 4 * PAGE));
    CHECK_EQ(second[PAGE], 7);
    uint8_t *part = mremap(second + PAGE, 0, PAGE, MREMAP_MAYMOVE); /* from its middle */
    CHECK(part != MAP_FAILED);
    CHECK_EQ(part[0], 7);
    pid_t pid = fork();
    if (pid == 0) {
        part[1] = 8;
        _exit(0);
    }
    CHECK_EXITED(test_wait(pid));
    CHECK_EQ(second[PAGE + 1], 8);
    uint8_t *alone = map_private(PAGE);
    CHECK_ERRNO((long)mremap(alone, 0, PAGE, MREMAP_MAYMOVE), EINVAL); /* private memory has no second place */
    /* Beyond the object there is nothing. */
    uint8_t *grown = mremap(second, 4 * PAGE, 6 * PAGE, MREMAP_MAYMOVE);
    CHECK(grown != MAP_FAILED);
    CHECK_EQ(grown[PAGE], 7);
    CHECK_SIGNALED(test_run_child(touch, grown + 5 * PAGE), SIGBUS);
}

static void remap_keeping(void) {
    uint8_t *memory = map_private(3 * PAGE);
    memset(memory, 5, 3 * PAGE);
    uint8_t *moved = mremap(memory, 3 * PAGE, 3 * PAGE, MREMAP_MAYMOVE | KEEP, NULL);
    CHECK(moved != MAP_FAILED && moved != memory);
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(moved[i * PAGE], 5);
        CHECK_EQ(memory[i * PAGE], 0);
    }
    memory[0] = 6;
    CHECK_EQ(moved[0], 5);
    uint8_t *place = map_private(3 * PAGE);
    CHECK(mremap(moved + PAGE, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED | KEEP, place + PAGE) == place + PAGE);
    CHECK_EQ(place[PAGE], 5);
    CHECK_EQ(place[0], 0);
    CHECK_EQ(moved[PAGE], 0);
    CHECK_EQ(moved[2 * PAGE], 5);
    CHECK_ERRNO((long)mremap(moved, PAGE, PAGE, KEEP, NULL), EINVAL);
    CHECK_ERRNO((long)mremap(moved, PAGE, 2 * PAGE, MREMAP_MAYMOVE | KEEP, NULL), EINVAL);
    uint8_t *shared = map_shared(2 * PAGE);
    shared[PAGE] = 9;
    uint8_t *other = mremap(shared, 2 * PAGE, 2 * PAGE, MREMAP_MAYMOVE | KEEP, NULL);
    CHECK(other != MAP_FAILED);
    CHECK_EQ(other[PAGE], 9);
    CHECK_EQ(shared[PAGE], 9); /* it comes back from the object */
}

static void remap_arguments(void) {
    uint8_t *memory = map_private(6 * PAGE);
    memory[0] = 3;
    CHECK_ERRNO((long)mremap(memory, PAGE, PAGE, MREMAP_FIXED, memory + 3 * PAGE), EINVAL);
    CHECK_ERRNO((long)mremap(memory, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, memory + 3 * PAGE + 1), EINVAL);
    CHECK_ERRNO((long)mremap(memory, 2 * PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, memory + PAGE), EINVAL);
    CHECK_ERRNO((long)mremap(memory, PAGE, PAGE, 64), EINVAL);
    CHECK_ERRNO((long)mremap(memory, PAGE, 0, 0), EINVAL);
    CHECK_OK(munmap(memory + 4 * PAGE, PAGE));
    CHECK_ERRNO((long)mremap(memory + 4 * PAGE, PAGE, PAGE, 0), EFAULT);
    CHECK_ERRNO((long)mremap(memory, 6 * PAGE, 8 * PAGE, MREMAP_MAYMOVE), EFAULT); /* a hole in it */
    CHECK_OK(mprotect(memory + 2 * PAGE, PAGE, PROT_READ));
    CHECK(mremap(memory, 4 * PAGE, PAGE, 0) == memory); /* several areas can be cut at once */
    CHECK(!readable(memory + PAGE) && !readable(memory + 3 * PAGE) && readable(memory + 5 * PAGE));
    CHECK_EQ(memory[0], 3);
}

/* --- What a fork leaves out --- */

static void check_child(uint8_t *memory, int first, int second) {
    for (int i = 0; i < 2; i++) {
        int want = i == 0 ? first : second, status = test_run_child(touch, memory + i * PAGE);
        if (want < 0) {
            CHECK_SIGNALED(status, SIGSEGV);
            continue;
        }
        CHECK_EXITED(status);
        pid_t pid = fork();
        if (pid == 0) {
            _exit(memory[i * PAGE]);
        }
        CHECK_EXITED_WITH(test_wait(pid), want);
    }
    CHECK_EQ(memory[0], 1);
    CHECK_EQ(memory[PAGE], 2);
}

static void fork_advice(void) {
    uint8_t *memory = map_private(2 * PAGE);
    memory[0] = 1;
    memory[PAGE] = 2;
    check_child(memory, 1, 2);
    CHECK_OK(madvise(memory + PAGE, PAGE, MADV_DONTFORK));
    check_child(memory, 1, -1);
    CHECK_OK(madvise(memory, PAGE, WIPE_ON_FORK));
    check_child(memory, 0, -1);
    CHECK_OK(madvise(memory, 2 * PAGE, MADV_DOFORK));
    check_child(memory, 0, 2);
    CHECK_OK(madvise(memory, 2 * PAGE, KEEP_ON_FORK));
    check_child(memory, 1, 2);
    /* A shared mapping, and a grandchild of one that has it not. */
    uint8_t *shared = map_shared(PAGE);
    CHECK_ERRNO(madvise(shared, PAGE, WIPE_ON_FORK), EINVAL);
    CHECK_OK(madvise(shared, PAGE, MADV_DONTFORK));
    shared[0] = 3;
    pid_t pid = fork();
    if (pid == 0) {
        uint8_t *again =
            mmap(shared, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
        CHECK(again == shared); /* nothing is there */
        CHECK_EQ(again[0], 0);
        again[0] = 9;
        pid_t grandchild = fork();
        if (grandchild == 0) {
            _exit(again[0]);
        }
        CHECK_EXITED_WITH(test_wait(grandchild), 9);
        _exit(0);
    }
    CHECK_EXITED(test_wait(pid));
    CHECK_EQ(shared[0], 3);
    pid = vfork();
    if (pid == 0) { /* the parent's memory whole */
        _exit(shared[0]);
    }
    CHECK_EXITED_WITH(test_wait(pid), 3);
    CHECK_OK(munmap(memory + PAGE, PAGE));
    CHECK_ERRNO(madvise(memory, 2 * PAGE, MADV_DONTFORK), ENOMEM);
    CHECK_ERRNO(madvise(memory + 1, PAGE, MADV_DONTFORK), EINVAL);
    CHECK_ERRNO(madvise(memory, PAGE, 9999), EINVAL);
}

/* --- Locking, residency, barriers --- */

static void locking(void) {
    uint8_t *memory = map_private(4 * PAGE);
    unsigned char resident[4];
    CHECK_OK(mincore(memory, 4 * PAGE, resident));
    for (int i = 0; i < 4; i++) {
        CHECK_EQ(resident[i] & 1, 0);
    }
    memory[2 * PAGE] = 1;
    CHECK_OK(mincore(memory, 4 * PAGE - 5, resident));
    CHECK_EQ((resident[0] & 1) + (resident[2] & 1) * 2, 2);
    CHECK_OK(mlock(memory + 1, PAGE)); /* two pages */
    CHECK_OK(mincore(memory, 4 * PAGE, resident));
    CHECK_EQ((resident[0] & 1) + (resident[1] & 1) + (resident[2] & 1) + (resident[3] & 1), 3);
    CHECK_OK(syscall(SYS_mlock2, memory, 4 * PAGE, 1)); /* on fault */
    CHECK_ERRNO(syscall(SYS_mlock2, memory, PAGE, 2), EINVAL);
    CHECK_OK(munlock(memory, 4 * PAGE));
    CHECK_ERRNO(mlockall(0), EINVAL);
    CHECK_ERRNO(mlockall(8), EINVAL);
    CHECK_ERRNO(mlockall(4), EINVAL);
    CHECK_ERRNO(mincore(memory + 1, PAGE, resident), EINVAL);
    CHECK_ERRNO(mincore(memory, PAGE, (unsigned char *)8), EFAULT);
    CHECK_OK(munmap(memory + PAGE, PAGE));
    CHECK_ERRNO(mincore(memory, 4 * PAGE, resident), ENOMEM);
    CHECK_ERRNO(mlock(memory, 4 * PAGE), ENOMEM);
    CHECK_ERRNO(munlock(memory, 4 * PAGE), ENOMEM);
    CHECK_OK(munlockall());
}

static void lock_everything(void) {
    unsigned char resident[4];
    if (getuid() != 0) {
        test_skip("others may lock little");
    }
    uint8_t *before = map_private(4 * PAGE);
    CHECK_OK(mlockall(MCL_CURRENT | MCL_FUTURE));
    CHECK_OK(mincore(before, 4 * PAGE, resident));
    CHECK_EQ(resident[0] & resident[3] & 1, 1);
    uint8_t *after = map_private(4 * PAGE);
    CHECK_OK(mincore(after, 4 * PAGE, resident));
    CHECK_EQ(resident[0] & resident[3] & 1, 1);
    pid_t pid = fork();
    if (pid == 0) { /* not inherited */
        after = map_private(4 * PAGE);
        CHECK_OK(mincore(after, 4 * PAGE, resident));
        CHECK_EQ(resident[0] & 1, 0);
        _exit(0);
    }
    CHECK_EXITED(test_wait(pid));
    CHECK_OK(munlockall());
    after = map_private(4 * PAGE);
    CHECK_OK(mincore(after, 4 * PAGE, resident));
    CHECK_EQ(resident[0] & 1, 0);
}

/* More than there is: as much as can be spared, and nobody dies of it (found by the fuzzer). */
static void lock_too_much(void *argument) {
    (void)argument;
    const size_t bytes = 4ul << 30;
    uint8_t *memory = map(bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1);
    CHECK_ERRNO(mlock(memory, bytes), ENOMEM);
    CHECK_OK(munmap(memory, bytes));
    CHECK_OK(mlockall(MCL_FUTURE));
    memory = map(bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1);
    memory[bytes - 1] = 1;
    pid_t pid = fork();
    if (pid == 0) {
        _exit(memory[bytes - 1]);
    }
    CHECK_EXITED_WITH(test_wait(pid), 1);
}

static void lock_more_than_there_is(void) {
    test_needs_penumbra(); /* Linux would begin to kill */
    CHECK_EXITED(test_run_child(lock_too_much, NULL));
}

static void barriers(void) {
    enum { QUERY = 0, GLOBAL = 1, PRIVATE = 8, REGISTER_PRIVATE = 16 };
    long known = syscall(SYS_membarrier, QUERY, 0, 0);
    if (known < 0) {
        test_skip("a Linux without membarrier");
    }
    CHECK((known & GLOBAL) && (known & PRIVATE));
    CHECK_OK(syscall(SYS_membarrier, REGISTER_PRIVATE, 0, 0));
    CHECK_OK(syscall(SYS_membarrier, PRIVATE, 0, 0));
    CHECK_OK(syscall(SYS_membarrier, GLOBAL, 0, 0));
    CHECK_ERRNO(syscall(SYS_membarrier, 3, 0, 0), EINVAL);
    CHECK_ERRNO(syscall(SYS_membarrier, QUERY, 7, 0), EINVAL);
}

/* --- Shared mappings of files --- */

static void shared_file(void) {
    const char *path = test_path("mappings");
    int fd = test_file(path, 3 * PAGE + 100);
    uint8_t *memory = map(5 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd), byte = 0;
    CHECK_EQ(memory[PAGE], test_byte(PAGE));
    memory[PAGE] = 77; /* seen by read at once, and the other way round */
    CHECK_EQ(pread(fd, &byte, 1, PAGE), 1);
    CHECK_EQ(byte, 77);
    byte = 78;
    CHECK_EQ(pwrite(fd, &byte, 1, 2 * PAGE + 5), 1);
    CHECK_EQ(memory[2 * PAGE + 5], 78);
    CHECK_EQ(memory[3 * PAGE + 100], 0); /* behind the end, in its page */
    CHECK_SIGNALED(test_run_child(touch, memory + 4 * PAGE), SIGBUS);
    CHECK_SIGNALED(test_run_child(write_to, memory + 4 * PAGE), SIGBUS);
    CHECK_OK(msync(memory, 4 * PAGE, MS_SYNC));
    CHECK_OK(msync(memory, PAGE, MS_ASYNC));
    CHECK_OK(msync(memory, PAGE, MS_SYNC | MS_INVALIDATE));
    CHECK_OK(msync(memory, 0, MS_SYNC));
    CHECK_ERRNO(msync(memory, PAGE, MS_SYNC | MS_ASYNC), EINVAL);
    CHECK_ERRNO(msync(memory, PAGE, 64), EINVAL);
    CHECK_ERRNO(msync(memory + 1, PAGE, MS_SYNC), EINVAL);
    CHECK_ERRNO(msync(memory, 1000 * PAGE, MS_SYNC), ENOMEM);
    CHECK_OK(ftruncate(fd, PAGE));
    CHECK_SIGNALED(test_run_child(touch, memory + PAGE), SIGBUS);
    CHECK_OK(ftruncate(fd, 5 * PAGE)); /* what comes back is zero */
    CHECK_EQ(memory[PAGE], 0);
    CHECK_EQ(memory[4 * PAGE], 0);
    memory[4 * PAGE] = 5;
    CHECK_OK(close(fd));
    CHECK_OK(unlink(path));
    CHECK_EQ(memory[4 * PAGE], 5);
    CHECK_OK(munmap(memory, 5 * PAGE));
}

static void protections(void) {
    const char *path = test_path("mappings");
    int fd = test_file(path, 2 * PAGE), read_only = (int)CHECK_OK(open(path, O_RDONLY));
    int write_only = (int)CHECK_OK(open(path, O_WRONLY));
    uint8_t byte = 0;
    /* Of a file only open to be read a private mapping may be written to, a shared one not. */
    uint8_t *memory = map(PAGE, PROT_WRITE, MAP_PRIVATE, read_only);
    memory[3] = 99;
    CHECK_EQ(pread(fd, &byte, 1, 3), 1);
    CHECK_EQ(byte, test_byte(3));
    CHECK_ERRNO((long)mmap(NULL, PAGE, PROT_WRITE, MAP_SHARED, read_only, 0), EACCES);
    CHECK_ERRNO((long)mmap(NULL, PAGE, PROT_READ, MAP_SHARED, write_only, 0), EACCES);
    CHECK_ERRNO((long)mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, write_only, 0), EACCES);
    uint8_t *shared = map(PAGE, PROT_READ, MAP_SHARED, read_only);
    CHECK_ERRNO(mprotect(shared, PAGE, PROT_READ | PROT_WRITE), EACCES);
    shared = map(PAGE, PROT_NONE, MAP_SHARED, fd);
    CHECK_SIGNALED(test_run_child(touch, shared), SIGSEGV);
    CHECK_OK(mprotect(shared, PAGE, PROT_READ | PROT_WRITE));
    shared[4] = 55;
    CHECK_EQ(pread(fd, &byte, 1, 4), 1);
    CHECK_EQ(byte, 55);
    CHECK_OK(unlink(path));
}

/* --- Many, and large ones --- */

static void large(void) {
    enum { COUNT = 8 };
    const size_t bytes = 16800000, file_bytes = 40ul << 20;
    uint8_t *memory[COUNT];
    for (int i = 0; i < COUNT; i++) {
        memory[i] = map_shared(bytes);
        memory[i][bytes - 1] = (uint8_t)(i + 1);
    }
    for (int i = 0; i < COUNT; i++) {
        CHECK_EQ(memory[i][bytes - 1], i + 1);
        CHECK_EQ(memory[i][bytes / 2], 0);
        CHECK_OK(munmap(memory[i], bytes));
    }
    const char *path = test_path("mappings-large");
    int fd = (int)CHECK_OK(open(path, O_RDWR | O_CREAT | O_TRUNC, 0600));
    CHECK_OK(unlink(path));
    CHECK_OK(ftruncate(fd, (off_t)file_bytes));
    uint8_t *file = map(file_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd);
    for (size_t at = 0; at < file_bytes; at += 16 * PAGE) {
        file[at] = test_byte(at);
    }
    for (size_t at = 0; at < file_bytes; at += 16 * PAGE) {
        uint8_t byte;
        CHECK_EQ(pread(fd, &byte, 1, (off_t)at), 1);
        CHECK_EQ(byte, test_byte(at));
    }
    CHECK_OK(munmap(file, file_bytes));
    CHECK_OK(close(fd));
}

/* The least time of some turns in which one page is mapped, touched and unmapped among what there is. */
static uint64_t one_turn(void) {
    uint64_t least = UINT64_MAX;
    for (int i = 0; i < 200; i++) {
        uint64_t start = __builtin_ia32_rdtsc();
        uint8_t *page = map_shared(PAGE);
        page[0] = 1;
        CHECK_OK(munmap(page, PAGE));
        uint64_t ticks = __builtin_ia32_rdtsc() - start;
        least = ticks < least ? ticks : least;
    }
    return least;
}

static void many(void) {
    enum { COUNT = 12000 };
    static uint8_t *pages[COUNT];
    uint64_t few = one_turn();
    for (int i = 0; i < COUNT; i++) {
        pages[i] = map_shared(PAGE);
        pages[i][i % PAGE] = (uint8_t)(i * 7);
    }
    uint64_t with_many = one_turn();
    for (int i = COUNT - 1; i >= 0; i--) {
        CHECK_EQ(pages[i][i % PAGE], (uint8_t)(i * 7));
    }
    for (int i = 0; i < COUNT; i += 2) {
        CHECK_OK(munmap(pages[i], PAGE));
    }
    CHECK_EQ(pages[COUNT - 1][(COUNT - 1) % PAGE], (uint8_t)((COUNT - 1) * 7));
    if (with_many > 8 * few) { /* a search from end to end would be hundreds of times */
        test_fail(__FILE__, __LINE__, "%llu ticks with %d mappings, %llu without", (unsigned long long)with_many, COUNT,
                  (unsigned long long)few);
    }
}

/* By the call: musl's sbrk() fails on purpose. */
static uint8_t *set_break(uint8_t *end) { return (uint8_t *)syscall(SYS_brk, end); /* NOLINT */ }

static void break_and_mappings(void) {
    uint8_t *end = set_break(NULL);
    end = (uint8_t *)(((uintptr_t)end + PAGE - 1) / PAGE * PAGE);
    CHECK(set_break(end) == end);
    CHECK(set_break(end + 4 * PAGE) == end + 4 * PAGE);
    end[0] = 1;
    uint8_t *next = end + 5 * PAGE;
    CHECK(mmap(next, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) == next);
    CHECK(set_break(end + 16 * PAGE) == end + 4 * PAGE); /* something is in the way */
    CHECK_EQ(end[0], 1);
    CHECK_OK(munmap(next, PAGE));
    CHECK(set_break(end + 16 * PAGE) == end + 16 * PAGE);
    end[15 * PAGE] = 1;
    CHECK(set_break(end) == end);
    CHECK(set_break(NULL) == end);
    CHECK(!readable(end));
    CHECK(set_break((uint8_t *)8) == end); /* below its start */
}

static void grows_down(void) {
    uint8_t *place = map_private(600 * PAGE);
    CHECK_OK(munmap(place, 600 * PAGE));
    uint8_t *stack = mmap(place + 590 * PAGE, 10 * PAGE, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_GROWSDOWN, -1, 0);
    CHECK(stack == place + 590 * PAGE);
    stack[-1] = 3;
    stack[-20 * PAGE] = 4;
    CHECK_EQ(stack[-1], 3);
    CHECK_ERRNO((long)mmap(NULL, PAGE, PROT_READ, MAP_SHARED | MAP_ANONYMOUS | MAP_GROWSDOWN, -1, 0), EINVAL);
    uint8_t *ready = map(8 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1);
    unsigned char resident[8];
    CHECK_OK(mincore(ready, 8 * PAGE, resident));
    for (int i = 0; i < 8; i++) {
        CHECK_EQ(resident[i] & 1, 1);
    }
}

static const struct test_case cases[] = {
    {"remap-shared", remap_shared},
    {"remap-keeping", remap_keeping},
    {"remap-arguments", remap_arguments},
    {"fork-advice", fork_advice},
    {"locking", locking},
    {"lock-everything", lock_everything},
    {"lock-more-than-there-is", lock_more_than_there_is},
    {"barriers", barriers},
    {"shared-file", shared_file},
    {"protections", protections},
    {"large", large},
    {"many", many},
    {"break-and-mappings", break_and_mappings},
    {"grows-down", grows_down},
};
TEST_MAIN(cases)
