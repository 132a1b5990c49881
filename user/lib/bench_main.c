/*
 * main() of the benchmarks, asibench and lebench: their command line, and the pass through the modes.
 *
 * Exit status: 0, 1 when a row could not be measured or --check found a broken goal, 2 wrong usage.
 */
#include "user/lib/bench.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct bench_report report;
static bool every_row = true; /* none was asked for by name */

static int usage(void) {
    fputs("usage: asibench [--rows=A,B…] [--modes=A,B…] [--samples=N] [--scale=X] [--csv] [--check] [--audit]\n"
          "                [--files=DIRECTORY]\n"
          "  --scale=X  multiply the operations per sample, e.g. 0.1 for a quick look\n"
          "  --csv      print CSV after the table; ops is the number of operations measured in all samples\n"
          "  --check    end with 1 unless mode asi shows no exits and thread switch, idle and process switch their "
          "goals\n"
          "  --audit    walk all restricted spaces after each sample; --check then fails on a violation\n"
          "rows:",
          stderr);
    for (unsigned row = 0; row < bench_row_count; row++) {
        fprintf(stderr, " %s", bench_rows[row]->slug);
    }
    fputs("\n", stderr);
    return 2;
}

static bool want_row(struct bench_plan *plan, const char *slug) {
    for (unsigned row = 0; row < bench_row_count; row++) {
        if (strcmp(bench_rows[row]->slug, slug) == 0) {
            return plan->row_wanted[row] = true;
        }
    }
    return false;
}

static bool want_mode(struct bench_plan *plan, const char *name) {
    enum asi_mode mode;
    return asi_parse_mode(name, &mode) && (plan->mode_wanted[mode] = true);
}

/* Calls want() for each name of a list; the first list replaces the default of all. */
static bool want_list(struct bench_plan *plan, char *list, bool (*want)(struct bench_plan *, const char *)) {
    for (char *name = strtok(list, ","); name != NULL; name = strtok(NULL, ",")) {
        if (!want(plan, name)) {
            fprintf(stderr, "asibench: no such name: %s\n", name);
            return false;
        }
    }
    return true;
}

/* The value of option `name` ("--rows=") in `argument`, or NULL. */
static char *option_value(char *argument, const char *name) {
    size_t length = strlen(name);
    return strncmp(argument, name, length) == 0 ? argument + length : NULL;
}

static bool parse_argument(struct bench_plan *plan, char *argument) {
    char *value;
    if ((value = option_value(argument, "--rows=")) != NULL) {
        every_row = false;
        return want_list(plan, value, want_row);
    }
    if ((value = option_value(argument, "--modes=")) != NULL) {
        memset(plan->mode_wanted, 0, sizeof plan->mode_wanted);
        return want_list(plan, value, want_mode);
    }
    if ((value = option_value(argument, "--samples=")) != NULL) {
        plan->samples = (unsigned)strtoul(value, NULL, 10);
        return plan->samples >= 1 && plan->samples <= BENCH_MAX_SAMPLES;
    }
    if ((value = option_value(argument, "--scale=")) != NULL) {
        plan->scale = strtod(value, NULL);
        return plan->scale > 0 && plan->scale <= 1000;
    }
    if ((value = option_value(argument, "--files=")) != NULL) {
        bench_files_in(value);
        return true;
    }
    static const char *const names[] = {"--csv", "--check", "--audit"};
    bool *const flags[] = {&plan->csv, &plan->check, &plan->audit};
    for (unsigned i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(argument, names[i]) == 0) {
            return *flags[i] = true;
        }
    }
    return false;
}

/* Both sides of a ping-pong must take turns on one processor; where it cannot be pinned there is one anyway. */
static void pin_to_one_cpu(void) {
    cpu_set_t allowed, one;
    if (sched_getaffinity(0, sizeof allowed, &allowed) < 0) {
        return;
    }
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (CPU_ISSET(cpu, &allowed)) {
            CPU_ZERO(&one);
            CPU_SET(cpu, &one);
            sched_setaffinity(0, sizeof one, &one);
            return;
        }
    }
}

/* Ctrl-C must not leave the machine in the mode that happened to be measured. */
static void restore_mode_and_end(int signal_number) {
    asi_set_mode(report.state.mode);
    _exit(128 + signal_number);
}

static int run_modes(const struct bench_plan *plan) {
    if (!report.has_asi) {
        bench_run_mode(plan, &report, ASI_MODE_NONE);
        return 0;
    }
    signal(SIGINT, restore_mode_and_end);
    for (unsigned mode = 0; mode < ASI_MODES; mode++) {
        if (!plan->mode_wanted[mode]) {
            continue;
        }
        if (asi_set_mode(mode) < 0) {
            fprintf(stderr, "asibench: mode %s: %s\n", asi_mode_name(mode), strerror(errno));
            asi_set_mode(report.state.mode);
            return -1;
        }
        fprintf(stderr, "asibench: measuring mode %s\n", asi_mode_name(mode));
        bench_run_mode(plan, &report, mode);
    }
    return asi_set_mode(report.state.mode);
}

int main(int argc, char **argv) {
    static struct bench_plan plan = {.samples = 5, .scale = 1};
    memset(plan.mode_wanted, true, sizeof plan.mode_wanted);
    if (argc == 2 && strcmp(argv[1], "--nothing") == 0) {
        return 0; /* forkexec measures this where there is no `true` */
    }
    for (int i = 1; i < argc; i++) {
        if (!parse_argument(&plan, argv[i])) {
            return usage();
        }
    }
    if (every_row) {
        const bool on_disk = bench_files_on_disk();
        for (unsigned row = 0; row < bench_row_count; row++) {
            plan.row_wanted[row] = on_disk || !bench_rows[row]->needs_disk;
        }
    }
    bench_set_program(argv[0]);
    pin_to_one_cpu();
    report.has_asi = asi_get_state(&report.state) == 0;
    int completed = run_modes(&plan);
    bench_remove_files();
    if (completed < 0) {
        return 1;
    }
    bench_print_table(&plan, &report);
    bench_print_summary(&report);
    if (plan.csv) {
        bench_print_csv(&plan, &report);
    }
    fflush(stdout);
    bool failed = bench_report_failures(&plan, &report) != 0;
    if (plan.check && bench_check(&plan, &report) != 0) {
        failed = true;
    }
    return failed;
}
