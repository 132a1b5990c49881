/*
 * The parts of asibench: rows (what is measured), the measurement, and the report.
 */
#ifndef USER_LIB_BENCH_H
#define USER_LIB_BENCH_H

#include "user/lib/asi.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum {
    BENCH_MAX_ROWS = 40,
    BENCH_MAX_SAMPLES = 101,
    BENCH_PAGE = 4096,
};

/* Who switches to whom in a row, and so what the switches owe: docs/trust.md. */
enum bench_trust { BENCH_STRANGERS, BENCH_SOME_FRIENDS, BENCH_FRIENDS };

/*
 * One row. Only run() is measured. Functions return 0, or -1 with errno; all but run may be absent.
 * `count` is how many times run() does its thing: one operation, or `operations_each` of them.
 */
struct bench_row {
    const char *slug;  /* in CSV and on the command line */
    const char *title; /* in the table, at most 21 characters */
    unsigned count;    /* at --scale=1 */
    unsigned operations_each;
    bool uses_file;  /* keeps the big file open and its views warm */
    bool needs_disk; /* measured where the files are on one, or when asked for by name */
    enum bench_trust trust;
    int (*setup)(void);
    int (*prepare)(unsigned count); /* before each sample */
    int (*run)(unsigned count);
    int (*restore)(unsigned count); /* after each sample */
    void (*teardown)(void);         /* also after a failed setup */
};

/* All rows, in the order of the table: asibench's, unless a program has its own. */
extern const struct bench_row *const bench_rows[];
extern const unsigned bench_row_count;

/* bench_files.c */
extern const struct bench_row bench_pread4k, bench_pread64, bench_pread64k, bench_pread1m, bench_pwrite4k;
extern const struct bench_row bench_coldnext, bench_coldrandom, bench_fsync;
extern const struct bench_row bench_openclose, bench_stat, bench_openmiss, bench_statmiss;
/* bench_memory.c */
extern const struct bench_row bench_mmapmunmap, bench_touchfree, bench_anonfault, bench_filefault, bench_cowfault,
    bench_brk;
/* bench_process.c */
extern const struct bench_row bench_forkexit, bench_forkexec;
/* bench_switch.c */
extern const struct bench_row bench_getppid, bench_pipe, bench_threadswitch, bench_futexwake, bench_idle;

/* bench_events.c */
extern const struct bench_row bench_socket, bench_epoll;

/* bench_ipc.c */
extern const struct bench_row bench_ipc, bench_ipctrust, bench_ipc4k, bench_ipc4ktrust, bench_ipchandle,
    bench_ipchandletrust;

/*
 * The big file, /tmp/asibench.big: 64 MiB, or less where /tmp has no room. bench_big_file_open() creates it on first
 * use and keeps it open until bench_big_file_close(). bench_big_file_warm() reads one word of each page once per
 * opening.
 */
int bench_big_file_open(void);
/* All of these files are in this directory from now on. Before anything is opened. */
void bench_files_in(const char *directory);
/* Whether what is in them can leave the memory: the directory is on a disk. */
bool bench_files_on_disk(void);
int bench_big_file_warm(void);
/* From now on the big file is /tmp/asibench.big.NUMBER, of this size. Before it is opened. */
void bench_big_file_choose(unsigned number, uint64_t bytes);
void bench_big_file_close(void);
void bench_remove_files(void);       /* all of /tmp/asibench.* */
int bench_big_file(void);            /* its descriptor; it must be open */
uint64_t bench_big_file_bytes(void); /* its size; 0 before the first opening. A multiple of 1 MiB. */

/* The next number of a fixed pseudo-random sequence: every mode and every run sees the same offsets. */
uint64_t bench_random(void);

/* For forkexec: the path asibench was started by, to find `true` beside it and itself as the fall-back. */
void bench_set_program(const char *argv0);

/* Waits for a child; -1 with ECHILD when it did not end with 0. */
int bench_reap(pid_t child);

/* Makes a child end and reaps it: closes `release` (the pipe end it waits on), then waits. Ignores pid <= 0. */
void bench_end_child(pid_t *child, int *release);

struct bench_result {
    bool measured;
    int error;           /* errno when not measured but tried */
    uint64_t operations; /* in all samples together */
    double ticks_min;    /* per operation */
    double ticks_median;
    struct asi_counters counters; /* sum over the samples, the price of reading them taken off */
};

struct bench_plan {
    unsigned samples;
    double scale; /* multiplies the counts */
    bool row_wanted[BENCH_MAX_ROWS];
    bool mode_wanted[ASI_MODES];
    bool csv;
    bool check;
    bool audit; /* after each sample, before anything of it is taken down */
};

/* One pass: on Linux there is one, in slot 0, and no counters. */
struct bench_report {
    bool has_asi;
    struct asi_state state; /* when has_asi */
    bool mode_ran[ASI_MODES];
    unsigned audits;
    uint64_t audit_violations;
    struct asi_counters overhead[ASI_MODES]; /* what reading the counters counts by itself */
    struct bench_result results[ASI_MODES][BENCH_MAX_ROWS];
};

/* Measures the wanted rows in the mode that is set now, in this process, into report's slot `mode`. */
void bench_measure_rows(const struct bench_plan *plan, struct bench_report *report, enum asi_mode mode);

/* The same as the program wants it: each has its own, which calls the former, perhaps in another process. */
void bench_run_mode(const struct bench_plan *plan, struct bench_report *report, enum asi_mode mode);

void bench_print_table(const struct bench_plan *plan, const struct bench_report *report);
void bench_print_csv(const struct bench_plan *plan, const struct bench_report *report);
void bench_print_summary(const struct bench_report *report);

/* Says what breaks a goal of mode `asi`; returns how many goals are broken. Rows that failed count as broken. */
unsigned bench_check(const struct bench_plan *plan, const struct bench_report *report);

/* Rows that could not be measured, each with a line on stderr; returns how many. */
unsigned bench_report_failures(const struct bench_plan *plan, const struct bench_report *report);

#endif
