/*
 * The parts of asirun: running a command in each mode and measuring it (run_measure.c, run_command.c), and saying what
 * was found (run_report.c). asirun.c has the options.
 */
#ifndef USER_LIB_RUN_H
#define USER_LIB_RUN_H

#include "user/lib/asi.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum { RUN_MAX_ROUNDS = 101, RUN_MAX_SITES = 256 };

enum run_output { RUN_OUTPUT_FIRST, RUN_OUTPUT_NONE, RUN_OUTPUT_TERMINAL };

struct run_plan {
    char **command;
    const char *before;     /* a line for /bin/sh, run before each run and not measured; or NULL */
    const char *input;      /* what each run reads as its standard input */
    enum run_output output; /* what becomes of what it writes */
    enum asi_mode modes[ASI_MODES];
    unsigned mode_count;
    unsigned rounds, warm_rounds; /* measured ones; before these, ones that are not */
    const char *name;             /* in the table and in CSV */
};

/* What one mode's measured runs gave. */
struct run_result {
    uint64_t ticks[RUN_MAX_ROUNDS]; /* in rising order once all are there */
    uint64_t busy[RUN_MAX_ROUNDS];  /* likewise: without those in which CPUs had nothing to run, of all CPUs */
    unsigned runs;
    struct asi_counters counters;         /* the sum over the runs */
    struct asi_site sites[RUN_MAX_SITES]; /* likewise; most frequent first */
    unsigned site_count;
    struct asi_tally tally; /* of a warm-up run */
    bool tallied;
};

struct run_report {
    struct asi_state state;               /* before anything was changed */
    struct run_result results[ASI_MODES]; /* by mode */
    int status;                           /* wait4's, of the first run */
    bool status_differs;                  /* some run ended otherwise */
    bool output_differs;                  /* some run wrote otherwise; the mode that first did is */
    enum asi_mode different_mode;
    uint64_t output_bytes; /* that the first run wrote */
    int output;            /* the file that has it; -1 with RUN_OUTPUT_TERMINAL */
};

/* Runs everything that the plan says. False, with a line on stderr, when something failed that spoils the figures. */
bool run_all(const struct run_plan *plan, struct run_report *report);

/*
 * Runs the command once, `output` its standard output and error, or -1: ours. Returns its ticks, from before it is made
 * until it has been waited for, or 0 with errno when it could not be run.
 */
uint64_t run_command(const struct run_plan *plan, int output, int *status);

/* The line `before`; false when it fails. */
bool run_before(const struct run_plan *plan);

/* The median of a result's ticks or busy ticks; what lies between least and greatest, as a part of it. */
uint64_t run_median(const uint64_t *ticks, unsigned runs);
double run_spread(const uint64_t *ticks, unsigned runs);

/* Exits per run by cause and by kernel symbol, counts, ratios: for people; and a line for each mode for programs. */
void run_print_table(const struct run_plan *plan, const struct run_report *report);
void run_print_csv(const struct run_plan *plan, const struct run_report *report);

#endif
