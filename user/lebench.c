/*
 * lebench: asibench with LEBench's operations for rows, to be set beside what was published of other systems.
 *
 * A program of its own, so that neither has the other's rows in its memory; and a process for each mode: what fork
 * costs depends on what a process is and was. One that once had 12,000 mappings copies the kernel's memory for them
 * ever after.
 *
 * The context switch is asibench's row `pipe`; main() is in user/lib/bench_main.c.
 */
#include "user/lib/lebench.h"

#include <sys/mman.h>
#include <unistd.h>

const struct bench_row *const bench_rows[] = {
    &lebench_getpid,     &bench_pipe,        &lebench_send,      &lebench_recv,        &lebench_bigsend,
    &lebench_bigrecv,    &lebench_fork,      &lebench_thread,    &lebench_bigfork,     &lebench_hugefork,
    &lebench_smallwrite, &lebench_smallread, &lebench_smallmmap, &lebench_smallmunmap, &lebench_smallfault,
    &lebench_midwrite,   &lebench_midread,   &lebench_midmmap,   &lebench_midmunmap,   &lebench_midfault,
    &lebench_bigwrite,   &lebench_bigread,   &lebench_bigmmap,   &lebench_bigmunmap,   &lebench_bigfault,
    &lebench_hugewrite,  &lebench_hugeread,  &lebench_hugemmap,  &lebench_hugemunmap,  &lebench_hugefault,
    &lebench_select,     &lebench_poll,      &lebench_epoll,     &lebench_bigselect,   &lebench_bigpoll,
    &lebench_bigepoll,
};

const unsigned bench_row_count = sizeof bench_rows / sizeof bench_rows[0];
_Static_assert(sizeof bench_rows / sizeof bench_rows[0] <= BENCH_MAX_ROWS, "a result slot for each row");

/* In a child, which leaves its results in memory that both have. Without that there are none: rows say so. */
void bench_run_mode(const struct bench_plan *plan, struct bench_report *report, enum asi_mode mode) {
    struct bench_report *shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    report->mode_ran[mode] = true;
    if (shared == MAP_FAILED) {
        return;
    }
    *shared = *report;
    pid_t child = fork();
    if (child == 0) {
        bench_measure_rows(plan, shared, mode);
        _exit(0);
    }
    if (child > 0 && bench_reap(child) == 0) {
        *report = *shared;
    }
    munmap(shared, sizeof *shared);
}
