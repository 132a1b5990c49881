/*
 * lebench rows on processes and threads. As in LEBench, what is measured ends when the caller has the child or the
 * thread; its end and the wait for it come after the sample.
 */
#include "user/lib/lebench.h"

#include <errno.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { BIG_PAGES = 6000, HUGE_PAGES = 12000, MOST_AT_ONCE = 64 };

static pid_t children[MOST_AT_ONCE];
static pthread_t threads[MOST_AT_ONCE];
static unsigned started; /* of either */
static char *pages;      /* what a big process has mapped */
static size_t page_count;

static int getpid_run(unsigned count) {
    for (unsigned i = 0; i < count; i++) {
        syscall(SYS_getpid);
    }
    return 0;
}

static int refuse_many(unsigned count) {
    if (count > MOST_AT_ONCE) {
        errno = E2BIG;
        return -1;
    }
    return 0;
}

static int fork_run(unsigned count) {
    while (started < count) {
        pid_t child = fork();
        if (child == 0) {
            _exit(0);
        }
        if (child < 0) {
            return -1;
        }
        children[started++] = child;
    }
    return 0;
}

static int fork_restore(unsigned count) {
    (void)count;
    int result = 0;
    while (started > 0) {
        result = bench_reap(children[--started]) < 0 ? -1 : result;
    }
    return result;
}

/* Shared mappings of a page each, side by side, that nobody touches: LEBench's big process is big in mappings. */
static int map_pages(size_t count) {
    page_count = count;
    pages = mmap(NULL, count * BENCH_PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (pages == MAP_FAILED) {
        return -1;
    }
    for (size_t page = 0; page < count; page++) {
        if (mmap(pages + page * BENCH_PAGE, BENCH_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED,
                 -1, 0) == MAP_FAILED) {
            return -1;
        }
    }
    return 0;
}

static int bigfork_setup(void) { return map_pages(BIG_PAGES); }
static int hugefork_setup(void) { return map_pages(HUGE_PAGES); }

static void unmap_pages(void) {
    if (pages != MAP_FAILED) {
        munmap(pages, page_count * BENCH_PAGE);
    }
}

static void *end_at_once(void *nothing) { return nothing; }

static int thread_run(unsigned count) {
    for (; started < count; started++) {
        errno = pthread_create(&threads[started], NULL, end_at_once, NULL);
        if (errno != 0) {
            return -1;
        }
    }
    return 0;
}

static int thread_restore(unsigned count) {
    (void)count;
    while (started > 0) {
        pthread_join(threads[--started], NULL);
    }
    return 0;
}

const struct bench_row lebench_getpid = {.slug = "getpid", .title = "getpid", .count = 5000, .run = getpid_run};

LEBENCH_ROW(fork, "fork", 1, NULL, refuse_many, fork_run, fork_restore, NULL);
LEBENCH_ROW(bigfork, "fork, 6000 mappings", 1, bigfork_setup, refuse_many, fork_run, fork_restore, unmap_pages);
LEBENCH_ROW(hugefork, "fork, 12000 mappings", 1, hugefork_setup, refuse_many, fork_run, fork_restore, unmap_pages);

const struct bench_row lebench_thread = {
    .slug = "thread",
    .title = "thread create",
    .count = 16,
    .prepare = refuse_many,
    .run = thread_run,
    .restore = thread_restore,
};
