/*
 * asirun's measurement: rounds, in each of which every mode has its turn, so that whatever drifts drifts for all; ticks
 * and counters around the command and nothing else; what it wrote, compared with what the first run wrote.
 */
#include "user/lib/run.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct snapshot {
    struct asi_counters counters;
    struct asi_site sites[RUN_MAX_SITES];
    unsigned site_count;
};

static bool take(struct snapshot *shot) {
    long count = asi_get_sites(shot->sites, RUN_MAX_SITES);
    shot->site_count = count < 0 ? 0 : (unsigned)count;
    return asi_get_counters(ASI_SCOPE_ALL, &shot->counters) == 0;
}

static const struct asi_site *find_site(const struct asi_site *sites, unsigned count, const struct asi_site *like) {
    for (unsigned i = 0; i < count; i++) {
        if (sites[i].address == like->address && sites[i].cause == like->cause) {
            return &sites[i];
        }
    }
    return NULL;
}

static void add_site(struct run_result *result, const struct asi_site *site, uint64_t count) {
    const struct asi_site *known = find_site(result->sites, result->site_count, site);
    if (known != NULL) {
        result->sites[known - result->sites].count += count;
    } else if (count > 0 && result->site_count < RUN_MAX_SITES) {
        result->sites[result->site_count] = *site;
        result->sites[result->site_count++].count = count;
    }
}

/* Ticks in which some CPU had something to run. */
static uint64_t busy_ticks(const struct run_report *report, uint64_t ticks, uint64_t idle_ns) {
    uint64_t idle = (uint64_t)((double)idle_ns * (double)report->state.tsc_hz / 1e9);
    uint64_t all = ticks * report->state.cpus;
    return all > idle ? all - idle : 0;
}

static void add_run(const struct run_report *report, struct run_result *result, uint64_t ticks,
                    const struct snapshot *before, const struct snapshot *after) {
    struct asi_counters counted = asi_counters_difference(&after->counters, &before->counters);
    asi_counters_add(&result->counters, &counted);
    result->busy[result->runs] = busy_ticks(report, ticks, counted.idle_ns);
    result->ticks[result->runs++] = ticks;
    for (unsigned i = 0; i < after->site_count; i++) {
        const struct asi_site *old = find_site(before->sites, before->site_count, &after->sites[i]);
        add_site(result, &after->sites[i], after->sites[i].count - (old != NULL ? old->count : 0));
    }
}

/* --- Output ------------------------------------------------------------------------------------------------------- */

/* A file without a name, in memory. */
static int scratch_file(void) {
    char name[] = "/tmp/asirun.XXXXXX";
    int file = mkostemp(name, O_CLOEXEC);
    if (file >= 0) {
        unlink(name);
    }
    return file;
}

static bool same_content(int a, int b) {
    static char left[65536], right[65536];
    for (off_t at = 0;;) {
        ssize_t count = pread(a, left, sizeof left, at), other = pread(b, right, sizeof right, at);
        if (count != other || count < 0 || memcmp(left, right, (size_t)count) != 0) {
            return false;
        }
        if (count == 0) {
            return true;
        }
        at += count;
    }
}

static void compare_output(struct run_report *report, int output, enum asi_mode mode) {
    if (report->output_differs || output < 0 || output == report->output || same_content(report->output, output)) {
        return;
    }
    report->output_differs = true;
    report->different_mode = mode;
}

/* --- Runs --------------------------------------------------------------------------------------------------------- */

static bool failed(const char *what) {
    const int reason = errno;
    fprintf(stderr, "asirun: %s: %s\n", what, strerror(reason));
    errno = reason;
    return false;
}

/*
 * What a change of mode, the last run's files and the line before it leave to be done – by servers, who were asleep in
 * the kernel since the mode was another – is done before anything is counted.
 */
static void settle(void) {
    const struct timespec pause = {.tv_nsec = 10 * 1000 * 1000};
    int file = scratch_file();
    if (file >= 0) {
        close(file);
    }
    nanosleep(&pause, NULL);
}

static bool run_once(const struct run_plan *plan, struct run_report *report, enum asi_mode mode, bool measured) {
    static struct snapshot before, after;
    static bool first_is_over;
    struct run_result *result = &report->results[mode];
    int status = 0, output = plan->output == RUN_OUTPUT_TERMINAL ? -1 : scratch_file();
    if (plan->output != RUN_OUTPUT_TERMINAL && output < 0) {
        return failed("/tmp");
    }
    if (!run_before(plan)) {
        fprintf(stderr, "asirun: --before failed: %s\n", plan->before);
        return false;
    }
    settle();
    if (!measured) {
        asi_begin_tally();
    }
    if (!take(&before)) {
        return failed("counters");
    }
    uint64_t ticks = run_command(plan, output, &status);
    if (ticks == 0) {
        return failed(plan->command[0]);
    }
    take(&after);
    if (measured) {
        add_run(report, result, ticks, &before, &after);
    } else {
        result->tallied = asi_end_tally(&result->tally) == 0;
    }
    if (!first_is_over) {
        first_is_over = true;
        report->status = status;
        report->output = output;
        report->output_bytes = output < 0 ? 0 : (uint64_t)lseek(output, 0, SEEK_END);
        return true;
    }
    report->status_differs |= status != report->status;
    compare_output(report, output, mode);
    if (output >= 0) {
        close(output);
    }
    return true;
}

static bool run_round(const struct run_plan *plan, struct run_report *report, bool measured) {
    for (unsigned i = 0; i < plan->mode_count; i++) {
        if (asi_set_mode(plan->modes[i]) < 0) {
            return failed(asi_mode_name(plan->modes[i]));
        }
        if (!run_once(plan, report, plan->modes[i], measured)) {
            return false;
        }
    }
    return true;
}

static int by_ticks(const void *left, const void *right) {
    uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;
    return (a > b) - (a < b);
}

static int by_count(const void *left, const void *right) {
    return -by_ticks(&((const struct asi_site *)left)->count, &((const struct asi_site *)right)->count);
}

bool run_all(const struct run_plan *plan, struct run_report *report) {
    for (unsigned round = 0; round < plan->warm_rounds + plan->rounds; round++) {
        if (!run_round(plan, report, round >= plan->warm_rounds)) {
            return false;
        }
    }
    for (unsigned mode = 0; mode < ASI_MODES; mode++) {
        struct run_result *result = &report->results[mode];
        qsort(result->ticks, result->runs, sizeof result->ticks[0], by_ticks);
        qsort(result->busy, result->runs, sizeof result->busy[0], by_ticks);
        qsort(result->sites, result->site_count, sizeof result->sites[0], by_count);
    }
    return true;
}

uint64_t run_median(const uint64_t *ticks, unsigned runs) {
    if (runs == 0) {
        return 0;
    }
    return runs % 2 ? ticks[runs / 2] : (ticks[runs / 2 - 1] + ticks[runs / 2]) / 2;
}

double run_spread(const uint64_t *ticks, unsigned runs) {
    uint64_t median = run_median(ticks, runs);
    return median == 0 ? 0 : (double)(ticks[runs - 1] - ticks[0]) / (double)median;
}
