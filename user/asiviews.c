/*
 * asiviews: three designs of getting at a file's page in the restricted space, side by side in one boot, and mode none:
 *   each   a view for one use, its translation flushed at once (as the Linux prototype does)
 *   batch  a view for one use, translations flushed when all slots have gone round
 *   open   a view that lasts as long as the process has the file open
 * measured on 4 KiB random reads, and on a file that is opened, read and closed again, where `open` has to pay.
 *
 *     asiviews [--samples=N] [--scale=X]
 *
 * With several CPUs everything is measured again with a second thread of the process on another CPU: then a flush is an
 * interrupt there, too, and the counts are shown. Ticks are those of the fastest sample; counts are per operation.
 *
 * Exit status: 0; 1 something could not be measured; 2 wrong usage.
 */
#include "user/lib/asi.h"
#include "user/lib/ticks.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PAGE = 4096, FILE_PAGES = 1024, SHORT_PAGES = 16, DESIGNS = 4 };
static const char file_name[] = "/tmp/asiviews.file";

static unsigned samples = 5;
static double scale = 1;

static void fail(const char *what) {
    fprintf(stderr, "asiviews: %s: %s\n", what, strerror(errno));
    exit(1);
}

/* --- What is measured --------------------------------------------------------------------------------------------- */

static int file;
static uint64_t random_state = 0x9e3779b97f4a7c15;

static uint64_t next_random(void) {
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

static void read_page(int from, uint64_t page) {
    static char buffer[PAGE];
    if (pread(from, buffer, PAGE, (off_t)(page * PAGE)) != PAGE)
        fail("pread");
}

static void read_at_random(void) { read_page(file, next_random() % FILE_PAGES); }

static void open_read_close(void) {
    int again = open(file_name, O_RDONLY);
    if (again < 0)
        fail(file_name);
    for (uint64_t page = 0; page < SHORT_PAGES; page++)
        read_page(again, page);
    if (close(again) < 0)
        fail("close");
}

static const struct row {
    const char *title;
    void (*run)(void);
    unsigned count;
    bool keep_open; /* else nothing holds the file open between operations */
} rows[] = {
    {"pread 4K, random", read_at_random, 4000, true},
    {"open, 16 preads, close", open_read_close, 200, false},
};
enum { ROWS = sizeof rows / sizeof rows[0] };

/* --- The four designs --------------------------------------------------------------------------------------------- */

static const struct design {
    const char *name;
    enum asi_mode mode;
    enum asi_views views;
} designs[DESIGNS] = {
    {"none", ASI_MODE_NONE, ASI_VIEWS_OPEN},
    {"asi, each", ASI_MODE_ASI, ASI_VIEWS_EACH},
    {"asi, batch", ASI_MODE_ASI, ASI_VIEWS_BATCH},
    {"asi, open", ASI_MODE_ASI, ASI_VIEWS_OPEN},
};

struct result {
    double ticks;
    struct asi_counters counters; /* of the fastest sample */
    unsigned operations;
};

static void open_file(void) {
    if ((file = open(file_name, O_RDONLY)) < 0)
        fail(file_name);
    for (uint64_t page = 0; page < FILE_PAGES; page++) /* warm: each design as it is in the long run */
        read_page(file, page);
}

static void measure(const struct row *row, struct result *result) {
    struct asi_counters before, after;
    unsigned count = (unsigned)(row->count * scale + 0.5);
    count = count ? count : 1;
    if (row->keep_open)
        open_file();
    row->run();
    result->operations = count;
    for (unsigned sample = 0; sample < samples; sample++) {
        if (asi_get_counters(ASI_SCOPE_ALL, &before) < 0)
            fail("counters");
        uint64_t start = ticks_now();
        for (unsigned i = 0; i < count; i++)
            row->run();
        double ticks = (double)(ticks_now() - start) / count;
        if (asi_get_counters(ASI_SCOPE_ALL, &after) < 0)
            fail("counters");
        if (sample == 0 || ticks < result->ticks) {
            result->ticks = ticks;
            result->counters = asi_counters_difference(&after, &before);
        }
    }
    if (row->keep_open)
        close(file);
}

static void choose(const struct design *design) {
    if (asi_set_views(design->views) < 0 || asi_set_mode(design->mode) < 0)
        fail("mode");
}

static double each(uint64_t counter, const struct result *result) { return (double)counter / result->operations; }

static void print_row(const struct row *row, const struct result results[DESIGNS], bool with_ticks) {
    printf("\n%s\n  %-12s", row->title, "");
    if (with_ticks)
        printf(" %10s %10s", "ticks", "over none");
    printf(" %8s %8s %8s %8s %8s\n", "exits", "views", "flushes", "of all", "IPIs");
    for (int i = 0; i < DESIGNS; i++) {
        const struct result *result = &results[i];
        const struct asi_counters *counted = &result->counters;
        printf("  %-12s", designs[i].name);
        if (with_ticks)
            printf(" %10.0f %+9.1f%%", result->ticks, (result->ticks / results[0].ticks - 1) * 100);
        printf(" %8.2f %8.2f %8.2f %8.3f %8.2f\n", each(asi_total_exits(counted), result),
               each(counted->views_mapped, result), each(counted->page_flushes, result),
               each(counted->tlb_flushes, result), each(counted->ipis_sent, result));
    }
}

static void measure_all(bool with_ticks) {
    static struct result results[ROWS][DESIGNS];
    for (int design = 0; design < DESIGNS; design++) {
        choose(&designs[design]);
        for (int row = 0; row < ROWS; row++)
            measure(&rows[row], &results[row][design]);
    }
    for (int row = 0; row < ROWS; row++)
        print_row(&rows[row], results[row], with_ticks);
}

/* --- A second thread, on another CPU ------------------------------------------------------------------------------ */

static void pin_to(unsigned cpu) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    if (sched_setaffinity(0, sizeof set, &set) < 0)
        fail("sched_setaffinity");
}

static atomic_int running, leave;

static void *companion(void *argument) {
    pin_to(1);
    running = 1;
    while (!leave)
        atomic_thread_fence(memory_order_seq_cst); /* user code all the time: it may have any translation */
    return argument;
}

static unsigned cpus_online(void) {
    cpu_set_t set;
    return sched_getaffinity(0, sizeof set, &set) < 0 ? 1 : (unsigned)CPU_COUNT(&set);
}

static void measure_with_companion(void) {
    pthread_t thread;
    if (pthread_create(&thread, NULL, companion, NULL) != 0)
        fail("pthread_create");
    while (!running)
        sched_yield();
    /* No ticks: an answer takes as long as an emulator needs to get at that CPU. */
    printf("\nWith a second thread of the process on another CPU\n");
    measure_all(false);
    leave = 1;
    pthread_join(thread, NULL);
}

/* --- Main --------------------------------------------------------------------------------------------------------- */

static void make_file(void) {
    char page[PAGE] = {1};
    int fd = open(file_name, O_RDWR | O_CREAT | O_TRUNC, 0600);
    for (int i = 0; fd >= 0 && i < FILE_PAGES; i++)
        if (write(fd, page, sizeof page) != (ssize_t)sizeof page)
            fail("write");
    if (fd < 0 || close(fd) < 0)
        fail(file_name);
}

static bool read_options(int argc, char **argv) {
    for (int i = 1; i < argc; i++) {
        if (strncmp(argv[i], "--samples=", 10) == 0)
            samples = (unsigned)strtoul(argv[i] + 10, NULL, 10);
        else if (strncmp(argv[i], "--scale=", 8) == 0)
            scale = strtod(argv[i] + 8, NULL);
        else
            return false;
    }
    return samples > 0 && scale > 0;
}

int main(int argc, char **argv) {
    struct asi_state before;
    if (!read_options(argc, argv)) {
        fprintf(stderr, "usage: asiviews [--samples=N] [--scale=X]\n");
        return 2;
    }
    if (asi_get_state(&before) < 0)
        fail("this kernel has no SYS_ASI");
    const unsigned cpus = cpus_online();
    pin_to(0);
    make_file();
    printf("Views of file pages by design; flush=%s, %u CPU%s; counts per operation\n",
           before.flush.kind == ASI_FLUSH_OFF    ? "off"
           : before.flush.kind == ASI_FLUSH_AUTO ? "auto"
                                                 : "cost",
           cpus, cpus == 1 ? "" : "s");
    measure_all(true);
    if (cpus > 1)
        measure_with_companion();
    unlink(file_name);
    return asi_set_views(ASI_VIEWS_OPEN) < 0 || asi_set_mode((enum asi_mode)before.mode) < 0 ? 1 : 0;
}
