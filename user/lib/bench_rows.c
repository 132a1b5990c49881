/*
 * The rows of asibench in the order of its table.
 */
#include "user/lib/bench.h"

const struct bench_row *const bench_rows[] = {
    &bench_getppid,      &bench_pread4k,        &bench_pread64,   &bench_pread64k,
    &bench_pread1m,      &bench_pwrite4k,       &bench_openclose, &bench_stat,
    &bench_mmapmunmap,   &bench_touchfree,      &bench_anonfault, &bench_filefault,
    &bench_cowfault,     &bench_forkexit,       &bench_forkexec,  &bench_pipe,
    &bench_threadswitch, &bench_futexwake,      &bench_brk,       &bench_idle,
    &bench_ipc,          &bench_ipctrust,       &bench_ipc4k,     &bench_ipc4ktrust,
    &bench_ipchandle,    &bench_ipchandletrust, &bench_openmiss,  &bench_statmiss,
    &bench_socket,       &bench_epoll,          &bench_coldnext,  &bench_coldrandom,
    &bench_fsync,
};

const unsigned bench_row_count = sizeof bench_rows / sizeof bench_rows[0];
_Static_assert(sizeof bench_rows / sizeof bench_rows[0] <= BENCH_MAX_ROWS, "a result slot for each row");
