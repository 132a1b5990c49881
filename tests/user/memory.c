/* Conformance: address spaces. mmap (anonymous, shared, of files), munmap, mremap, brk, madvise, many mappings. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/user/lib/test.h"

enum { PAGE = TEST_PAGE };

static uint8_t *map(size_t length, int protection, int flags, int fd) {
    void *address = mmap(NULL, length, protection, flags, fd, 0);
    CHECK(address != MAP_FAILED);
    CHECK_EQ((uintptr_t)address % PAGE, 0);
    return address;
}

static uint8_t *map_anonymous(size_t length) {
    return map(length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
}

/* Asked of the kernel, by a write from the page into a pipe (EFAULT when not), so that no handler is needed. */
static bool readable(const void *address) {
    int ends[2];
    CHECK_OK(pipe(ends));
    bool yes = write(ends[1], address, 1) == 1;
    CHECK(yes || errno == EFAULT);
    CHECK_OK(close(ends[0]));
    CHECK_OK(close(ends[1]));
    return yes;
}

static void anonymous_is_zero(void) {
    enum { LENGTH = 64 * PAGE };
    for (int round = 0; round < 3; round++) {
        uint8_t *memory = map_anonymous(LENGTH);
        for (size_t i = 0; i < LENGTH; i++) {
            CHECK_EQ(memory[i], 0);
        }
        memset(memory, 0xa5, LENGTH); /* a later round must not see it */
        CHECK_OK(munmap(memory, LENGTH));
    }
    uint8_t *small = map_anonymous(16); /* LEBench: 16 bytes are a page */
    small[PAGE - 1] = 1;
    CHECK_OK(munmap(small, 16));
    uint8_t *lazy = map(1ul << 32, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1);
    lazy[1ul << 31] = 7;
    CHECK_EQ(lazy[(1ul << 31) + 1], 0);
    CHECK_OK(munmap(lazy, 1ul << 32));
}

static void arguments(void) {
    int flags = MAP_PRIVATE | MAP_ANONYMOUS, rw = PROT_READ | PROT_WRITE;
#define MMAP_FAILS(call, error) CHECK_ERRNO((long)(call), error)
    MMAP_FAILS(mmap(NULL, 0, rw, flags, -1, 0), EINVAL);
    MMAP_FAILS(mmap(NULL, PAGE, rw, MAP_ANONYMOUS, -1, 0), EINVAL);
    MMAP_FAILS(mmap((void *)1, PAGE, rw, flags | MAP_FIXED, -1, 0), EINVAL);
    MMAP_FAILS(mmap(NULL, PAGE, rw, MAP_PRIVATE, -1, 0), EBADF);
    MMAP_FAILS(mmap(NULL, 1ul << 48, rw, flags, -1, 0), ENOMEM);
    MMAP_FAILS(syscall(SYS_mmap, 0, ~0ul - PAGE + 2, rw, flags, -1, 0), ENOMEM);
    MMAP_FAILS(syscall(SYS_mmap, 0, PAGE, rw, MAP_PRIVATE, 0, 1), EINVAL);
    MMAP_FAILS(syscall(SYS_mmap, 0xffff800000000000, PAGE, rw, flags | MAP_FIXED, -1, 0), ENOMEM);
    MMAP_FAILS(syscall(SYS_mmap, 0x7ffffffff000, 2 * PAGE, rw, flags | MAP_FIXED, -1, 0), ENOMEM);
    CHECK_ERRNO(syscall(SYS_munmap, 1, PAGE), EINVAL);
    CHECK_ERRNO(syscall(SYS_munmap, 0x10000000, 0), EINVAL);
    CHECK_ERRNO(syscall(SYS_munmap, 0xffff800000000000, PAGE), EINVAL);
    CHECK_OK(syscall(SYS_munmap, 0x10000000, PAGE)); /* nothing there: fine */
    CHECK_ERRNO(syscall(SYS_mprotect, 1, PAGE, PROT_READ), EINVAL);
    CHECK_ERRNO(syscall(SYS_mprotect, 0x10000000, PAGE, PROT_READ), ENOMEM);
    CHECK_ERRNO(syscall(SYS_mprotect, 0xffff800000000000, PAGE, PROT_READ), ENOMEM);
    /* A hint in the kernel half is only a hint. */
    uint8_t *memory = mmap((void *)0xffff800000000000, PAGE, rw, flags, -1, 0);
    CHECK(memory == MAP_FAILED || (uintptr_t)memory < 1ul << 47);
}

static void unmap_hole(void) {
    uint8_t *memory = map_anonymous(8 * PAGE);
    memset(memory, 1, 8 * PAGE);
    CHECK_OK(munmap(memory + 3 * PAGE, 2 * PAGE));
    for (int page = 0; page < 8; page++) {
        CHECK_EQ(readable(memory + page * PAGE), page != 3 && page != 4);
    }
    uint8_t *again =
        mmap(memory + 3 * PAGE, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    CHECK(again == memory + 3 * PAGE);
    CHECK_EQ(again[0], 0);
    CHECK_EQ(memory[3 * PAGE - 1], 1);
    CHECK_EQ(memory[5 * PAGE], 1);
    CHECK_OK(munmap(memory, 8 * PAGE)); /* over three mappings at once */
    CHECK(!readable(memory) && !readable(memory + 7 * PAGE));
}

static void map_fixed_replaces(void) {
    uint8_t *memory = map_anonymous(4 * PAGE);
    memset(memory, 9, 4 * PAGE);
    CHECK(mmap(memory + PAGE, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) ==
          memory + PAGE);
    CHECK_EQ(memory[PAGE], 0);
    CHECK_EQ(memory[PAGE - 1], 9);
    CHECK_EQ(memory[2 * PAGE], 9);
    CHECK_ERRNO((long)mmap(memory, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0), EEXIST);
    CHECK_EQ(memory[0], 9);
    CHECK_OK(munmap(memory, 4 * PAGE));
}

static void protect_pages(void) {
    uint8_t *memory = map_anonymous(4 * PAGE);
    memset(memory, 3, 4 * PAGE);
    CHECK_OK(mprotect(memory + PAGE, PAGE, PROT_NONE));
    CHECK(readable(memory) && !readable(memory + PAGE) && readable(memory + 2 * PAGE));
    CHECK_OK(mprotect(memory, 4 * PAGE, PROT_READ));
    CHECK_EQ(memory[PAGE], 3);
    int zero = (int)CHECK_OK(open("/dev/zero", O_RDONLY));
    CHECK_ERRNO(read(zero, memory, 1), EFAULT); /* the kernel obeys the protection too */
    CHECK_OK(mprotect(memory, 2 * PAGE, PROT_READ | PROT_WRITE));
    CHECK_EQ(read(zero, memory, 2 * PAGE), 2 * PAGE);
    CHECK_EQ(read(zero, memory, 3 * PAGE), 2 * PAGE);
    CHECK_EQ(memory[2 * PAGE], 3);
    CHECK_OK(munmap(memory + 3 * PAGE, PAGE));
    CHECK_ERRNO(mprotect(memory, 4 * PAGE, PROT_READ), ENOMEM);
    CHECK_OK(munmap(memory, 3 * PAGE));
}

static void shared_with_child(void) {
    uint8_t *shared = map(4 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1);
    uint8_t *private = map_anonymous(PAGE);
    private[0] = shared[0] = 1;
    pid_t pid = fork();
    if (pid == 0) {
        shared[0] = private[0] = 2;
        shared[3 * PAGE] = 3; /* not touched before the fork */
        _exit(0);
    }
    CHECK_EXITED(test_wait(pid));
    CHECK_EQ(shared[0], 2);
    CHECK_EQ(shared[3 * PAGE], 3);
    CHECK_EQ(private[0], 1);
}

static void private_file(void) {
    const char *path = test_path("private-file");
    uint8_t byte;
    int fd = test_file(path, 3 * PAGE - 100);
    uint8_t *memory = map(3 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd);

    CHECK_OK(unlink(path));
    for (size_t i = 0; i < 3 * PAGE; i++) {
        CHECK_EQ(memory[i], i < 3 * PAGE - 100 ? test_byte(i) : 0);
    }
    memory[5] = 0xee;
    CHECK_EQ(pread(fd, &byte, 1, 5), 1);
    CHECK_EQ(byte, test_byte(5)); /* the file does not see it */
    CHECK_EQ(pwrite(fd, "\x77", 1, PAGE + 5), 1);
    CHECK_EQ(memory[PAGE + 5], 0x77); /* an untouched page is the file's */
    CHECK_EQ(pwrite(fd, "\x11", 1, 6), 1);
    CHECK_EQ(memory[6], test_byte(6)); /* a written page is not */
    CHECK_OK(close(fd));
    CHECK_EQ(memory[2 * PAGE], test_byte(2 * PAGE)); /* the mapping outlives descriptor and name */
    CHECK_OK(munmap(memory, 3 * PAGE));
}

static void shared_file(void) {
    const char *path = test_path("shared-file");
    uint8_t byte;
    int fd = test_file(path, 3 * PAGE);
    uint8_t *one = map(3 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd);
    uint8_t *two = map(3 * PAGE, PROT_READ, MAP_SHARED, fd);

    one[PAGE] = 0x5a;
    CHECK_EQ(two[PAGE], 0x5a);
    CHECK_EQ(pread(fd, &byte, 1, PAGE), 1);
    CHECK_EQ(byte, 0x5a);
    CHECK_EQ(pwrite(fd, "\x33", 1, 2 * PAGE), 1);
    CHECK_EQ(one[2 * PAGE], 0x33);
    CHECK_OK(msync(one, 3 * PAGE, MS_SYNC));
    CHECK_OK(munmap(one, 3 * PAGE));
    CHECK_EQ(two[PAGE], 0x5a);
    CHECK_OK(munmap(two, 3 * PAGE));
    CHECK_OK(close(fd));

    fd = (int)CHECK_OK(open(path, O_RDONLY));
    CHECK_ERRNO((long)mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), EACCES);
    uint8_t *read_only = map(PAGE, PROT_READ, MAP_SHARED, fd);
    CHECK_ERRNO(mprotect(read_only, PAGE, PROT_READ | PROT_WRITE), EACCES);
    CHECK_OK(munmap(read_only, PAGE));
    CHECK_OK(close(fd));
    fd = (int)CHECK_OK(open(path, O_WRONLY));
    CHECK_ERRNO((long)mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, fd, 0), EACCES);
    CHECK_OK(close(fd));
    CHECK_OK(unlink(path));
}

static void remap(void) {
    uint8_t *memory = map_anonymous(4 * PAGE);
    memset(memory, 4, 4 * PAGE);
    CHECK(mremap(memory, 4 * PAGE, 2 * PAGE, 0) == memory);
    CHECK(!readable(memory + 2 * PAGE));
    uint8_t *blocker = mmap(memory + 2 * PAGE, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    CHECK(blocker == memory + 2 * PAGE);
    CHECK_ERRNO((long)mremap(memory, 2 * PAGE, 4 * PAGE, 0), ENOMEM);
    uint8_t *moved = mremap(memory, 2 * PAGE, 64 * PAGE, MREMAP_MAYMOVE);
    CHECK(moved != MAP_FAILED && moved != memory);
    CHECK(!readable(memory));
    CHECK_EQ(moved[2 * PAGE - 1], 4);
    CHECK_EQ(moved[2 * PAGE], 0);
    CHECK_EQ(moved[64 * PAGE - 1], 0);
    CHECK_ERRNO((long)mremap(memory, PAGE, 2 * PAGE, MREMAP_MAYMOVE), EFAULT);
    CHECK_ERRNO((long)mremap(moved, PAGE, 0, MREMAP_MAYMOVE), EINVAL);
    CHECK_ERRNO((long)mremap(moved + 1, PAGE, PAGE, MREMAP_MAYMOVE), EINVAL);
    CHECK_OK(munmap(moved, 64 * PAGE));
    CHECK_OK(munmap(blocker, PAGE));
}

static void program_break(void) {
    uintptr_t start = (uintptr_t)syscall(SYS_brk, 0);
    uintptr_t aligned = (start + PAGE - 1) / PAGE * PAGE;
    CHECK_EQ(syscall(SYS_brk, aligned + 10 * PAGE), aligned + 10 * PAGE);
    memset((void *)aligned, 6, 10 * PAGE);
    CHECK_EQ(syscall(SYS_brk, aligned + PAGE), aligned + PAGE);
    CHECK(!readable((void *)(aligned + PAGE)));
    CHECK_EQ(syscall(SYS_brk, aligned + 10 * PAGE), aligned + 10 * PAGE);
    CHECK_EQ(*(uint8_t *)aligned, 6);
    CHECK_EQ(*(uint8_t *)(aligned + PAGE), 0); /* given back and got again: zero */
    CHECK_EQ(syscall(SYS_brk, 1), aligned + 10 * PAGE);
    CHECK_EQ(syscall(SYS_brk, 0xffff800000000000), aligned + 10 * PAGE);
    CHECK_EQ(syscall(SYS_brk, aligned + 7), aligned + 7);
    CHECK_EQ(syscall(SYS_brk, start), start);
}

static void advice(void) {
    uint8_t *memory = map_anonymous(4 * PAGE);
    memset(memory, 8, 4 * PAGE);
    CHECK_OK(madvise(memory + PAGE, PAGE, MADV_DONTNEED));
    CHECK_EQ(memory[PAGE], 0);
    CHECK_EQ(memory[2 * PAGE], 8);
    CHECK_OK(madvise(memory, 4 * PAGE, MADV_WILLNEED));
    CHECK_OK(madvise(memory, 4 * PAGE, MADV_FREE));
    memory[0] = 1;
    CHECK_EQ(memory[0], 1);
    CHECK_ERRNO(madvise(memory + 1, PAGE, MADV_DONTNEED), EINVAL);
    CHECK_ERRNO(madvise(memory, PAGE, 12345), EINVAL);
    CHECK_OK(munmap(memory, 4 * PAGE));
    CHECK_ERRNO(madvise(memory, PAGE, MADV_DONTNEED), ENOMEM);
}

/* LEBench: the look-up of a mapping must scale, and so must taking them all down again. */
static void many_shared_mappings(void) {
    enum { MANY = 12000 };
    static uint8_t *pages[MANY];
    for (int i = 0; i < MANY; i++) {
        /* Neighbours differ in protection, so that they cannot be merged into one. */
        int protection = i % 2 == 0 ? PROT_READ | PROT_WRITE : PROT_READ;
        pages[i] = map(PAGE, protection, MAP_SHARED | MAP_ANONYMOUS, -1);
    }
    for (int i = 0; i < MANY; i += 2) {
        *(int *)pages[i] = i;
    }
    for (int i = 0; i < MANY; i++) {
        CHECK_EQ(*(int *)pages[i], i % 2 == 0 ? i : 0);
    }
    for (int i = 0; i < MANY; i += 3) {
        CHECK_OK(munmap(pages[i], PAGE));
    }
    CHECK_EQ(*(int *)pages[4], 4);
}

static const struct test_case cases[] = {
    {"mmap-anonymous-zero", anonymous_is_zero},
    {"mmap-arguments", arguments},
    {"munmap-hole", unmap_hole},
    {"mmap-fixed", map_fixed_replaces},
    {"mprotect", protect_pages},
    {"mmap-shared-anonymous", shared_with_child},
    {"mmap-private-file", private_file},
    {"mmap-shared-file", shared_file},
    {"mremap", remap},
    {"brk", program_break},
    {"madvise", advice},
    {"shared-mappings-12000", many_shared_mappings},
};
TEST_MAIN(cases)
