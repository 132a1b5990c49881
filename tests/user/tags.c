/*
 * Tags (docs/pcid.md): what a process has taken away or changed is gone when it runs again, whoever did it and whoever
 * ran in between; and switches keep translations where the CPU has PCID.
 *
 * Each case lets two processes take turns, so that both stay among the ones that a CPU remembers.
 */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/user/lib/penumbra.h"
#include "tests/user/lib/test.h"

enum { TURNS = 50 };

/* Two processes that wait for each other. */
struct turns {
    int there[2], back[2];
};

static void turns_open(struct turns *turns) {
    CHECK_EQ(pipe(turns->there), 0);
    CHECK_EQ(pipe(turns->back), 0);
}

static void say(const int ends[2]) { CHECK_EQ(write(ends[1], "", 1), 1); }

static bool hear(const int ends[2]) {
    char byte;
    return read(ends[0], &byte, 1) == 1;
}

static void turns_close(struct turns *turns) {
    close(turns->there[0]);
    close(turns->there[1]);
    close(turns->back[0]);
    close(turns->back[1]);
}

static volatile int *page_of_ints(int flags) {
    void *page = mmap(NULL, TEST_PAGE, PROT_READ | PROT_WRITE, flags | MAP_ANONYMOUS, -1, 0);
    CHECK(page != MAP_FAILED);
    return page;
}

static bool is_mapped(const volatile int *page) {
    int ends[2];
    CHECK_EQ(pipe(ends), 0);
    bool mapped = write(ends[1], (const void *)(uintptr_t)page, 1) == 1;
    CHECK(mapped || errno == EFAULT);
    close(ends[0]);
    close(ends[1]);
    return mapped;
}

/* After fork both write to the page in turns: each sees its own. */
static void copies_part(void) {
    struct turns turns;
    volatile int *page = page_of_ints(MAP_PRIVATE);
    turns_open(&turns);
    for (int round = 0; round < 10; round++) {
        *page = 1;
        pid_t child = fork();
        CHECK(child >= 0);
        if (child == 0) {
            for (int turn = 0; turn < TURNS && hear(turns.there); turn++) {
                CHECK_EQ(*page, turn == 0 ? 1 : 1000 + turn - 1);
                *page = 1000 + turn;
                say(turns.back);
            }
            _exit(0);
        }
        for (int turn = 0; turn < TURNS; turn++) {
            CHECK_EQ(*page, turn == 0 ? 1 : 2000 + turn - 1);
            *page = 2000 + turn;
            say(turns.there);
            CHECK(hear(turns.back));
        }
        CHECK_EQ(test_wait(child), 0);
    }
    turns_close(&turns);
}

static volatile int *taken;

/* A vfork child works on its parent's memory: what it unmaps is unmapped. */
static void __attribute__((noinline)) lose_a_page(void) {
    pid_t child = vfork();
    if (child == 0) {
        syscall(SYS_munmap, taken, TEST_PAGE);
        _exit(0);
    }
    CHECK_EQ(test_wait(child), 0);
}

static void vfork_child_unmaps(void) {
    for (int turn = 0; turn < TURNS; turn++) {
        taken = page_of_ints(MAP_PRIVATE);
        *taken = turn;
        CHECK(is_mapped(taken));
        lose_a_page();
        CHECK(!is_mapped(taken));
    }
}

/* Rights that are taken away and pages that are unmapped, with another process in between, in the turns of both. */
static void rights_are_lost(void) {
    struct turns turns;
    turns_open(&turns);
    pid_t child = fork();
    CHECK(child >= 0);
    for (int turn = 0; turn < TURNS; turn++) {
        volatile int *page = page_of_ints(MAP_PRIVATE);
        *page = turn;
        CHECK_EQ(mprotect((void *)(uintptr_t)page, TEST_PAGE, PROT_READ), 0);
        if (child == 0) {
            CHECK(hear(turns.there));
            say(turns.back);
        } else {
            say(turns.there);
            CHECK(hear(turns.back));
        }
        CHECK_EQ(*page, turn);
        errno = 0;
        CHECK(getcwd((char *)(uintptr_t)page, TEST_PAGE) == NULL &&
              errno == EFAULT); /* the kernel may not write there */
        CHECK_EQ(munmap((void *)(uintptr_t)page, TEST_PAGE), 0);
        CHECK(!is_mapped(page));
    }
    if (child == 0)
        _exit(0);
    CHECK_EQ(test_wait(child), 0);
    turns_close(&turns);
}

/* On one CPU, two processes that change nothing: with PCID nearly every switch keeps what is there. */
static void turns_keep_translations(void) {
    test_needs_penumbra();
    struct turns turns;
    const cpu_set_t first = {.__bits = {1}};
    CHECK_EQ(sched_setaffinity(0, sizeof first, &first), 0);
    turns_open(&turns);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        while (hear(turns.there))
            if (write(turns.back[1], "", 1) != 1)
                break;
        _exit(0);
    }
    for (int turn = 0; turn < TURNS; turn++) {
        say(turns.there);
        CHECK(hear(turns.back));
    }
    struct asi_counters before = penumbra_counters(0);
    for (int turn = 0; turn < TURNS; turn++) {
        say(turns.there);
        CHECK(hear(turns.back));
    }
    struct asi_counters after = penumbra_counters(0);
    unsigned long long hits = after.tag_hits - before.tag_hits, writes = after.cr3_writes - before.cr3_writes;
    kill(child, SIGKILL);
    test_wait(child);
    turns_close(&turns);
    CHECK(hits <= writes);
    if (penumbra_state().has_pcid) {
        if (hits * 4 < TURNS * 3)
            test_fail(__FILE__, __LINE__, "%llu of %llu CR3 writes kept translations", hits, writes);
    }
}

static const struct test_case cases[] = {
    {"copies-part", copies_part},
    {"vfork-child-unmaps", vfork_child_unmaps},
    {"rights-are-lost", rights_are_lost},
    {"turns-keep-translations", turns_keep_translations},
};

TEST_MAIN(cases)
