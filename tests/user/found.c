/*
 * What the fuzzer has found (docs/fuzzing.md), each as a case that says what it was.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/user/lib/penumbra.h"
#include "tests/user/lib/test.h"
#include "user/lib/native.h"

/* --- vfork: who shares an address space shares all of it --------------------------------------------------------- */

/* Addresses far from everything else: the upper tables are not there yet. */
#define FRESH     0x210000000000ul
#define GOES_AWAY 0x220000000000ul

static _Atomic int turn; /* whose move it is */

static void wait_for_turn(int wanted) {
    while (atomic_load(&turn) != wanted) {
        sched_yield();
    }
}

static volatile uint8_t *map_at(uintptr_t address) {
    void *place =
        mmap((void *)address, TEST_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    CHECK(place == (void *)address);
    return place;
}

/* While the child has the address space, this thread of the parent's fills one part of it and empties another. */
static void *change_memory(void *argument) {
    volatile uint8_t *fresh = argument, *goes_away = (volatile uint8_t *)GOES_AWAY;
    wait_for_turn(1);
    fresh[0] = 1;
    CHECK_OK(munmap((void *)GOES_AWAY, TEST_PAGE));
    goes_away = map_at(GOES_AWAY);
    goes_away[0] = 2;
    atomic_store(&turn, 2);
    return NULL;
}

/*
 * The parent's other thread filled a slot of the top table that the child filled, too: two pages for one address, of
 * which one was lost with its tables. And it freed a table that the child's root still led to.
 */
static void vfork_shares_new_memory(void) {
    pthread_t thread;
    volatile uint8_t *fresh = map_at(FRESH), *goes_away = map_at(GOES_AWAY);
    goes_away[0] = 9;
    atomic_store(&turn, 0);
    CHECK_EQ(pthread_create(&thread, NULL, change_memory, (void *)FRESH), 0);
    pid_t child = vfork();
    if (child == 0) {
        atomic_store(&turn, 1);
        wait_for_turn(2);
        int seen = fresh[0] == 1 && goes_away[0] == 2;
        fresh[1] = 3;
        _exit(seen ? 0 : 1);
    }
    CHECK_EXITED(test_wait(child));
    CHECK_EQ(fresh[0], 1);
    CHECK_EQ(fresh[1], 3);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    CHECK_OK(munmap((void *)FRESH, TEST_PAGE));
    CHECK_OK(munmap((void *)GOES_AWAY, TEST_PAGE));
}

/* The child comes first to where the parent's thread then is. */
static void *use_memory(void *argument) {
    volatile uint8_t *fresh = argument;
    wait_for_turn(1);
    fresh[1] = (uint8_t)(fresh[0] + 1);
    atomic_store(&turn, 2);
    return NULL;
}

static void vfork_child_fills_first(void) {
    pthread_t thread;
    volatile uint8_t *fresh = map_at(FRESH);
    atomic_store(&turn, 0);
    CHECK_EQ(pthread_create(&thread, NULL, use_memory, (void *)FRESH), 0);
    pid_t child = vfork();
    if (child == 0) {
        fresh[0] = 5;
        atomic_store(&turn, 1);
        wait_for_turn(2);
        _exit(fresh[1] == 6 ? 0 : 1);
    }
    CHECK_EXITED(test_wait(child));
    CHECK_EQ(fresh[1], 6);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    CHECK_OK(munmap((void *)FRESH, TEST_PAGE));
}

/* --- LOCAL memory ------------------------------------------------------------------------------------------------- */

static void list_and_write(void) {
    static char bytes[64 * TEST_PAGE];
    CHECK_OK(mkdir("/tmp/test-found", 0755));
    int fd = (int)CHECK_OK(open("/bin/echo", O_RDONLY));
    CHECK(read(fd, bytes, sizeof(bytes)) > 0);
    CHECK_OK(close(fd));
    fd = (int)CHECK_OK(open("/tmp/test-found/file", O_RDWR | O_CREAT, 0600));
    CHECK_EQ(write(fd, bytes, sizeof(bytes)), sizeof(bytes));
    CHECK_EQ(pread(fd, bytes, sizeof(bytes), 0), sizeof(bytes));
    CHECK_OK(close(fd));
    CHECK_OK(unlink("/tmp/test-found/file"));
    DIR *list = opendir("/tmp/test-found");
    CHECK(list != NULL);
    while (readdir(list) != NULL) {
    }
    CHECK_OK(closedir(list));
    CHECK_OK(rmdir("/tmp/test-found"));
    cache_drop(); /* so that names are asked for each time */
}

/* Pages in a row that were given back in pieces stayed pieces: a process that went on like this grew for ever. */
static void runs_join_again(void) {
    test_needs_penumbra();
    for (int i = 0; i < 8; i++) {
        list_and_write();
    }
    struct asi_memory before = penumbra_memory();
    for (int i = 0; i < 20; i++) {
        list_and_write();
    }
    struct asi_memory after = penumbra_memory();
    /* What others have taken meanwhile is theirs. */
    CHECK(after.frames_local - after.frames_of_others <= before.frames_local - before.frames_of_others + 4);
}

static const struct test_case cases[] = {
    {"vfork-shares-new-memory", vfork_shares_new_memory},
    {"vfork-child-fills-first", vfork_child_fills_first},
    {"runs-join-again", runs_join_again},
};
TEST_MAIN(cases)
