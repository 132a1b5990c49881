/*
 * asibench rows on memory. The fault rows measure the touch alone: mapping and unmapping happen around the sample.
 *
 * The copy-on-write row is the one after fork: the parent writes its pages while a child, asleep, still shares them, so
 * each write copies a page. (A write to a private file page is a different path: it is not this row.)
 */
#include "user/lib/bench.h"

#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { UNTOUCHED_BYTES = 65536, TOUCHED_PAGES = 16, MADVISE_NOHUGEPAGE = 15 };

static volatile char *region;
static pid_t sharer;     /* the child that makes pages shared */
static int release = -1; /* pipe end whose closing ends it */

static int mmapmunmap_run(unsigned count) {
    for (unsigned i = 0; i < count; i++) {
        void *mapped = mmap(NULL, UNTOUCHED_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (mapped == MAP_FAILED || munmap(mapped, UNTOUCHED_BYTES) < 0) {
            return -1;
        }
    }
    return 0;
}

static int write_each_page(unsigned pages) {
    for (unsigned i = 0; i < pages; i++) {
        region[(size_t)i * BENCH_PAGE] = 1;
    }
    return 0;
}

static int read_each_page(unsigned pages) {
    for (unsigned i = 0; i < pages; i++) {
        (void)region[(size_t)i * BENCH_PAGE];
    }
    return 0;
}

static int unmap_region(unsigned pages) {
    int result = munmap((void *)region, (size_t)pages * BENCH_PAGE);
    region = NULL;
    return result;
}

static int map_anonymous(unsigned pages) {
    void *mapped = mmap(NULL, (size_t)pages * BENCH_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapped == MAP_FAILED) {
        return -1;
    }
    region = mapped;
    /* A huge page would be one fault for 512 pages. Best effort: where there are none the call may fail. */
    madvise(mapped, (size_t)pages * BENCH_PAGE, MADVISE_NOHUGEPAGE);
    return 0;
}

static int map_big_file(unsigned pages) {
    uint64_t slots = bench_big_file_bytes() / BENCH_PAGE;
    uint64_t first = pages < slots ? bench_random() % (slots - pages) : 0;
    if (pages > slots) {
        pages = (unsigned)slots;
    }
    void *mapped =
        mmap(NULL, (size_t)pages * BENCH_PAGE, PROT_READ, MAP_SHARED, bench_big_file(), (off_t)(first * BENCH_PAGE));
    if (mapped == MAP_FAILED) {
        return -1;
    }
    region = mapped;
    return 0;
}

/* A page's whole life: it is zeroed once in it, here when it is unmapped, on another kernel when it is touched. */
static int touchfree_run(unsigned count) {
    for (unsigned i = 0; i < count; i++) {
        if (map_anonymous(TOUCHED_PAGES) < 0 || write_each_page(TOUCHED_PAGES) < 0 || unmap_region(TOUCHED_PAGES) < 0) {
            return -1;
        }
    }
    return 0;
}

/* A child that does nothing but share the region. It is asleep when this returns, or soon after. */
static int share_with_child(void) {
    int ends[2];
    char byte;
    if (pipe(ends) < 0) {
        return -1;
    }
    sharer = fork();
    if (sharer == 0) {
        close(ends[1]);
        while (read(ends[0], &byte, 1) > 0) {
        }
        _exit(0);
    }
    close(ends[0]);
    release = ends[1];
    return sharer < 0 ? -1 : 0;
}

static int cow_prepare(unsigned pages) {
    const struct timespec moment = {.tv_nsec = 1000000};
    if (map_anonymous(pages) < 0 || write_each_page(pages) < 0 || share_with_child() < 0) {
        return -1;
    }
    /* Let the child fall asleep: its own start must not be in the sample. */
    return nanosleep(&moment, NULL);
}

static int cow_restore(unsigned pages) {
    bench_end_child(&sharer, &release);
    return unmap_region(pages);
}

static void cow_teardown(void) { bench_end_child(&sharer, &release); }

/* musl's brk() refuses by design; its allocator is not called between the two. */
static int brk_run(unsigned count) {
    long end = syscall(SYS_brk, 0);
    for (unsigned i = 0; i < count; i++) {
        if (syscall(SYS_brk, end + BENCH_PAGE) != end + BENCH_PAGE || syscall(SYS_brk, end) != end) {
            return -1;
        }
    }
    return 0;
}

const struct bench_row bench_mmapmunmap = {
    .slug = "mmapmunmap", .title = "mmap + munmap 64K", .count = 500, .run = mmapmunmap_run};

const struct bench_row bench_anonfault = {
    .slug = "anonfault",
    .title = "first touch, anon",
    .count = 256,
    .prepare = map_anonymous,
    .run = write_each_page,
    .restore = unmap_region,
};

const struct bench_row bench_touchfree = {
    .slug = "touchfree", .title = "map, touch, unmap 64K", .count = 100, .run = touchfree_run};

const struct bench_row bench_filefault = {
    .slug = "filefault",
    .title = "first touch, file",
    .count = 512,
    .uses_file = true,
    .setup = bench_big_file_open,
    .prepare = map_big_file,
    .run = read_each_page,
    .restore = unmap_region,
};

const struct bench_row bench_cowfault = {
    .slug = "cowfault",
    .title = "copy on write (fork)",
    .count = 256,
    .prepare = cow_prepare,
    .run = write_each_page,
    .restore = cow_restore,
    .teardown = cow_teardown,
};

const struct bench_row bench_brk = {.slug = "brk", .title = "brk, page up + down", .count = 1000, .run = brk_run};
