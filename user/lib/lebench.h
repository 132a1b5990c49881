/*
 * The rows of lebench: the operations and sizes of LEBench (Ren et al., SOSP 2019), one row for each of its lines.
 */
#ifndef USER_LIB_LEBENCH_H
#define USER_LIB_LEBENCH_H

#include "user/lib/bench.h"

#define LEBENCH_ROW(slug_, title_, count_, setup_, prepare_, run_, restore_, teardown_)                                \
    const struct bench_row lebench_##slug_ = {.slug = #slug_,                                                          \
                                              .title = title_,                                                         \
                                              .count = count_,                                                         \
                                              .setup = setup_,                                                         \
                                              .prepare = prepare_,                                                     \
                                              .run = run_,                                                             \
                                              .restore = restore_,                                                     \
                                              .teardown = teardown_}

/* lebench_process.c */
extern const struct bench_row lebench_getpid, lebench_fork, lebench_bigfork, lebench_hugefork, lebench_thread;

/* lebench_events.c */
extern const struct bench_row lebench_send, lebench_recv, lebench_bigsend, lebench_bigrecv;
extern const struct bench_row lebench_select, lebench_poll, lebench_epoll;
extern const struct bench_row lebench_bigselect, lebench_bigpoll, lebench_bigepoll;

/* lebench_files.c: small is a page, mid 10, big 1,000, huge 10,000 */
extern const struct bench_row lebench_smallwrite, lebench_midwrite, lebench_bigwrite, lebench_hugewrite;
extern const struct bench_row lebench_smallread, lebench_midread, lebench_bigread, lebench_hugeread;
extern const struct bench_row lebench_smallmmap, lebench_midmmap, lebench_bigmmap, lebench_hugemmap;
extern const struct bench_row lebench_smallmunmap, lebench_midmunmap, lebench_bigmunmap, lebench_hugemunmap;
extern const struct bench_row lebench_smallfault, lebench_midfault, lebench_bigfault, lebench_hugefault;

#endif
