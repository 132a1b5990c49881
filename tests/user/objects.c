/*
 * Memory objects by handle: they are files in all that concerns their bytes; whole pages move between them; a program
 * can be started from one; a grant says what may be done with some pages and lets nobody see them.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "tests/user/lib/penumbra.h"
#include "tests/user/lib/test.h"
#include "user/lib/objects.h"

enum { PAGES = 40 };

/* An object whose byte i is test_byte(i + seed). */
static int filled_object(size_t bytes, size_t seed) {
    static uint8_t data[PAGES * TEST_PAGE];

    test_needs_penumbra();
    int object = object_create(bytes, -1, 0);
    CHECK(object >= 0);
    for (size_t i = 0; i < bytes; i++) {
        data[i] = test_byte(i + seed);
    }
    CHECK_EQ(pwrite(object, data, bytes, 0), bytes);
    return object;
}

static void check_content(int object, size_t offset, size_t bytes, size_t seed) {
    static uint8_t data[PAGES * TEST_PAGE];

    CHECK_EQ(pread(object, data, bytes, (off_t)offset), bytes);
    for (size_t i = 0; i < bytes; i++) {
        CHECK_EQ(data[i], test_byte(i + seed));
    }
}

static void check_zero(int object, size_t offset, size_t bytes) {
    static uint8_t data[PAGES * TEST_PAGE];

    CHECK_EQ(pread(object, data, bytes, (off_t)offset), bytes);
    for (size_t i = 0; i < bytes; i++) {
        CHECK_EQ(data[i], 0);
    }
}

static void file_calls(void) {
    char text[8] = "";
    struct stat status;
    int object = object_create(5000, -1, 0);

    test_needs_penumbra();
    CHECK(object >= 0);
    CHECK_EQ(handle_rights(object), RIGHT_READ | RIGHT_WRITE | RIGHT_TRANSFER);
    CHECK_OK(fstat(object, &status));
    CHECK(S_ISREG(status.st_mode));
    CHECK_EQ(status.st_size, 5000);
    CHECK_EQ(lseek(object, 0, SEEK_END), 5000);
    CHECK_EQ(write(object, "grown", 5), 5);
    CHECK_EQ(lseek(object, -5, SEEK_CUR), 5000);
    CHECK_EQ(read(object, text, 8), 5);
    CHECK(memcmp(text, "grown", 5) == 0);
    CHECK_OK(ftruncate(object, 5002));
    CHECK_EQ(pread(object, text, 8, 5000), 2);
    CHECK_OK(ftruncate(object, 3 * TEST_PAGE));
    CHECK_EQ(pread(object, text, 3, 5002), 3);
    CHECK(memcmp(text, "\0\0\0", 3) == 0);
    CHECK_ERRNO(ftruncate(object, -1), EINVAL);
    CHECK_OK(fsync(object));
    CHECK_OK(close(object));
    CHECK_ERRNO(object_create(1UL << 47, -1, 0), EFBIG);
}

static void mapped(void) {
    int object = filled_object(3 * TEST_PAGE, 0);
    char *shared = mmap(NULL, 3 * TEST_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, object, 0);
    char *private = mmap(NULL, 3 * TEST_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, object, 0);

    CHECK(shared != MAP_FAILED && private != MAP_FAILED);
    private[0] = 'p';
    shared[TEST_PAGE] = 's';
    CHECK_EQ(shared[0], (char)test_byte(0));
    CHECK_EQ(private[TEST_PAGE], 's');
    char byte;
    CHECK_EQ(pread(object, &byte, 1, TEST_PAGE), 1);
    CHECK_EQ(byte, 's');
    CHECK_OK(close(object));
    CHECK_EQ(shared[2 * TEST_PAGE], (char)test_byte(2 * TEST_PAGE));
    CHECK_OK(munmap(shared, 3 * TEST_PAGE));
    CHECK_OK(munmap(private, 3 * TEST_PAGE));
}

static void rights(void) {
    char byte = 'x';
    int object = filled_object(2 * TEST_PAGE, 0);
    int reader = handle_mint(object, RIGHT_READ, 0), writer = handle_mint(object, RIGHT_WRITE, 0);

    CHECK(reader >= 0 && writer >= 0);
    CHECK_ERRNO(pwrite(reader, &byte, 1, 0), EBADF);
    CHECK_ERRNO(pread(writer, &byte, 1, 0), EBADF);
    CHECK_EQ(pwrite(writer, "w", 1, 1), 1);
    CHECK_EQ(pread(reader, &byte, 1, 1), 1);
    CHECK_EQ(byte, 'w');
    CHECK_ERRNO(ftruncate(reader, 0), EINVAL);
    CHECK_OK(ftruncate(writer, TEST_PAGE + 10));
    CHECK_OK(ftruncate(writer, 2 * TEST_PAGE));
    check_zero(reader, TEST_PAGE + 10, TEST_PAGE - 10);
    CHECK(mmap(NULL, TEST_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, reader, 0) == MAP_FAILED);
    CHECK_EQ(errno, EACCES);
    CHECK(mmap(NULL, TEST_PAGE, PROT_READ, MAP_PRIVATE, writer, 0) == MAP_FAILED);
    CHECK_EQ(errno, EACCES);
    CHECK_ERRNO(handle_mint(reader, RIGHT_READ, 0), EACCES);
    CHECK_ERRNO(object_move(object, 0, reader, 0, 1), EACCES);
    CHECK_ERRNO(object_move(reader, 0, object, 0, 1), EACCES);
    /* Who may only write could read the pages in their new place. */
    int mine = object_create(TEST_PAGE, -1, 0);
    CHECK_ERRNO(object_move(mine, 0, writer, 0, 1), EACCES);
    CHECK_EQ(penumbra_violations(&(struct asi_audit_report){0}), 0);
}

static void move_pages(void) {
    int from = filled_object(PAGES * TEST_PAGE, 0), to = filled_object(2 * TEST_PAGE + 100, 7);
    char *map = mmap(NULL, PAGES * TEST_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, from, 0);

    CHECK(map != MAP_FAILED);
    for (int page = 0; page < PAGES; page++) {
        CHECK_EQ(map[page * TEST_PAGE], (char)test_byte((size_t)page * TEST_PAGE));
    }
    CHECK_OK(object_move(to, 1, from, 1, PAGES - 1));
    CHECK_EQ(lseek(to, 0, SEEK_END), PAGES * TEST_PAGE);
    check_content(to, 0, TEST_PAGE, 7);
    check_content(to, TEST_PAGE, (PAGES - 1) * TEST_PAGE, TEST_PAGE);
    check_content(from, 0, TEST_PAGE, 0);
    check_zero(from, TEST_PAGE, (PAGES - 1) * TEST_PAGE);
    for (int page = 1; page < PAGES; page++) {
        CHECK_EQ(map[page * TEST_PAGE + 5], 0);
    }
    map[TEST_PAGE] = 'n'; /* a new page of the source, not the moved one */
    check_content(to, TEST_PAGE, 1, TEST_PAGE);

    /* A hole moves as one. */
    CHECK_OK(ftruncate(from, 0));
    CHECK_OK(ftruncate(from, 2 * TEST_PAGE));
    CHECK_OK(object_move(to, 0, from, 0, 2));
    check_zero(to, 0, 2 * TEST_PAGE);

    CHECK_ERRNO(object_move(to, 0, from, 1, 2), EINVAL);
    CHECK_ERRNO(object_move(to, 0, to, 1, 1), EINVAL);
    CHECK_ERRNO(object_move(to, 1UL << 40, from, 0, 1), EINVAL);
    CHECK_ERRNO(object_move(to, 0, from, UINT64_MAX, 2), EINVAL);
    CHECK_ERRNO(object_move(to, 0, -1, 0, 1), EBADF);
    int ends[2];
    CHECK_OK(pipe(ends));
    CHECK_ERRNO(object_move(to, 0, ends[0], 0, 1), EINVAL);
    CHECK_OK(munmap(map, PAGES * TEST_PAGE));
}

/* Another process has the source mapped and open: both of its ways to the page are gone. */
static void move_away_from_others(void) {
    int from = filled_object(TEST_PAGE, 0), to = object_create(0, -1, 0), pipe_ends[2], answer[2];
    char *map = mmap(NULL, TEST_PAGE, PROT_READ, MAP_SHARED, from, 0), byte;

    CHECK(map != MAP_FAILED);
    CHECK_OK(pipe(pipe_ends));
    CHECK_OK(pipe(answer));
    pid_t child = fork();
    if (child == 0) {
        CHECK_OK(close(to));
        CHECK_EQ(map[1], (char)test_byte(1));
        check_content(from, 0, TEST_PAGE, 0);
        CHECK_EQ(write(answer[1], "r", 1), 1);
        CHECK_EQ(read(pipe_ends[0], &byte, 1), 1);
        check_zero(from, 0, TEST_PAGE);
        CHECK_EQ(map[1], 0);
        _exit(0);
    }
    CHECK_EQ(read(answer[0], &byte, 1), 1);
    CHECK_OK(object_move(to, 0, from, 0, 1));
    check_content(to, 0, TEST_PAGE, 0);
    struct asi_audit_report report = penumbra_audit(ASI_BREAK_NOTHING);
    CHECK_EQ(penumbra_violations(&report), 0);
    CHECK_EQ(write(pipe_ends[1], "g", 1), 1);
    CHECK_EQ(test_wait(child), 0);
}

static void grants(void) {
    static uint8_t data[3 * TEST_PAGE];
    int object = filled_object(3 * TEST_PAGE + 10, 0);
    int reader = handle_mint(object, RIGHT_READ | RIGHT_TRANSFER, 0);
    int writer = handle_mint(object, RIGHT_WRITE | RIGHT_TRANSFER, 0);
    int store = grant_create(object, 0, 3, GRANT_STORE), blind;

    CHECK(store >= 0);
    CHECK_EQ(handle_rights(store), RIGHT_READ | RIGHT_WRITE | RIGHT_DMA | RIGHT_TRANSFER);
    CHECK_OK(grant_read(store, 5, data, 2 * TEST_PAGE));
    for (size_t i = 0; i < 2 * TEST_PAGE; i++) {
        CHECK_EQ(data[i], test_byte(i + 5));
    }
    CHECK_ERRNO(grant_read(store, 3 * TEST_PAGE - 1, data, 2), EINVAL);
    CHECK_ERRNO(grant_read(store, UINT64_MAX, data, 2), EINVAL);
    CHECK_ERRNO(grant_read(store, 0, (void *)8, 2), EFAULT);
    CHECK_ERRNO(grant_read(object, 0, data, 2), EINVAL);

    /* What a handle may not do its grants may not either. */
    CHECK_ERRNO(grant_create(writer, 0, 1, GRANT_STORE), EACCES);
    CHECK_ERRNO(grant_create(reader, 0, 1, GRANT_FILL), EACCES);
    blind = grant_create(writer, 0, 2, GRANT_FILL);
    CHECK_EQ(handle_rights(blind), RIGHT_WRITE | RIGHT_DMA | RIGHT_TRANSFER);
    CHECK_ERRNO(grant_read(blind, 0, data, 1), EACCES);
    CHECK_OK(grant_write(blind, TEST_PAGE - 1, "ab", 2));
    CHECK_EQ(pread(object, data, 2, TEST_PAGE - 1), 2);
    CHECK(memcmp(data, "ab", 2) == 0);
    int store_only = grant_create(reader, 0, 1, GRANT_STORE);
    CHECK_EQ(handle_rights(store_only), RIGHT_READ | RIGHT_DMA | RIGHT_TRANSFER);
    CHECK_ERRNO(grant_write(store_only, 0, data, 1), EACCES);
    int dma_only = handle_mint(store, RIGHT_DMA, 0);
    CHECK(dma_only < 0 && errno == EPERM); /* grants are passed on, not minted from */

    CHECK_ERRNO(grant_create(object, 0, 0, GRANT_STORE), EINVAL);
    CHECK_ERRNO(grant_create(object, 4, 1, GRANT_STORE), EINVAL);
    CHECK_ERRNO(grant_create(object, 0, GRANT_PAGES_MAX + 1, GRANT_STORE), EINVAL);
    CHECK_ERRNO(grant_create(object, 0, 1, (enum grant_direction)2), EINVAL);
    CHECK_ERRNO(grant_create(object, 3, 1, GRANT_FILL), EINVAL); /* only part of that page is the object's */
    CHECK(grant_create(object, 3, 1, GRANT_STORE) >= 0);
    CHECK_ERRNO(object_move(object_create(0, -1, 0), 0, object, 0, 1), EBUSY);
    check_content(object, 10, 100, 10);
}

/* The object gives up pages that a grant holds: who has the grant writes into nobody's memory. */
static void grant_outlives_pages(void) {
    char byte = 1;
    int object = filled_object(2 * TEST_PAGE, 0), grant = grant_create(object, 0, 2, GRANT_FILL);

    CHECK(grant >= 0);
    CHECK_OK(ftruncate(object, 0));
    CHECK_OK(ftruncate(object, 2 * TEST_PAGE));
    CHECK_OK(grant_write(grant, 0, "late", 4));
    CHECK_EQ(pread(object, &byte, 1, 0), 1);
    CHECK_EQ(byte, 0);
    CHECK_OK(close(object));
    CHECK_OK(grant_write(grant, TEST_PAGE, "later", 5));
    struct asi_audit_report report = penumbra_audit(ASI_BREAK_NOTHING);
    CHECK_EQ(penumbra_violations(&report), 0);
    CHECK_OK(close(grant));
}

static int copy_of_file(const char *path) {
    test_needs_penumbra();
    static char data[1 << 20];
    int file = open(path, O_RDONLY), object = object_create(0, -1, 0);
    ssize_t bytes;

    CHECK(file >= 0 && object >= 0);
    while ((bytes = read(file, data, sizeof(data))) > 0) {
        CHECK_EQ(write(object, data, (size_t)bytes), bytes);
    }
    CHECK_OK(close(file));
    return object;
}

static void execute(void) {
    int object = copy_of_file("/bin/echo");
    char *argv[] = {"/no/such/echo", "from", "an", "object", NULL}, *envp[] = {NULL};
    pid_t child = fork();

    if (child == 0) {
        syscall(SYS_execveat, object, "", argv, envp, AT_EMPTY_PATH);
        _exit(99);
    }
    CHECK_EQ(test_wait(child), 0);

    int unreadable = handle_mint(object, RIGHT_WRITE, 0);
    CHECK_ERRNO(syscall(SYS_execveat, unreadable, "", argv, envp, AT_EMPTY_PATH), EACCES);
    CHECK_ERRNO(syscall(SYS_execveat, -1, "", argv, envp, AT_EMPTY_PATH), EBADF);
    CHECK_ERRNO(syscall(SYS_execveat, object, "", argv, envp, 0), ENOENT);
    CHECK_ERRNO(syscall(SYS_execveat, object, "", argv, envp, 1), EINVAL);
    CHECK_ERRNO(syscall(SYS_execveat, 1, "", argv, envp, AT_EMPTY_PATH), EACCES);
    CHECK_OK(ftruncate(object, 3));
    CHECK_ERRNO(syscall(SYS_execveat, object, "", argv, envp, AT_EMPTY_PATH), ENOEXEC);

    child = fork();
    if (child == 0) {
        argv[1] = "from a path";
        argv[2] = NULL;
        syscall(SYS_execveat, AT_FDCWD, "/bin/echo", argv, envp, 0);
        _exit(99);
    }
    CHECK_EQ(test_wait(child), 0);
}

static void no_exits(void) {
    static char buffer[4 * TEST_PAGE];
    int object = filled_object(8 * TEST_PAGE, 0), other = object_create(8 * TEST_PAGE, -1, 0);
    struct asi_counters before = penumbra_counters(0), after;

    test_needs_penumbra();
    CHECK_EQ(pread(object, buffer, sizeof(buffer), 0), sizeof(buffer));
    CHECK_EQ(pwrite(other, buffer, sizeof(buffer), 0), sizeof(buffer));
    CHECK_OK(object_move(other, 4, object, 4, 4));
    int grant = grant_create(other, 0, 8, GRANT_STORE);
    CHECK_OK(grant_read(grant, 100, buffer, sizeof(buffer)));
    CHECK_OK(ftruncate(other, 100));
    after = penumbra_counters(0);
    if (penumbra_state().mode == ASI_MODE_ASI) {
        CHECK_EQ(penumbra_exits(&after) - penumbra_exits(&before), 0);
    }
}

static const struct test_case cases[] = {
    {"file_calls", file_calls},
    {"mapped", mapped},
    {"rights", rights},
    {"move_pages", move_pages},
    {"move_away_from_others", move_away_from_others},
    {"grants", grants},
    {"grant_outlives_pages", grant_outlives_pages},
    {"execute", execute},
    {"no_exits", no_exits},
};
TEST_MAIN(cases)
