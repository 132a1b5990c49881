/*
 * The measurement: warm-up, samples, ticks and counters around run() and nothing else.
 *
 * Reading the counters is itself a system call, so its own share is measured once per mode and taken off; the check
 * refuses a mode `asi` in which that share holds an exit, so nothing can hide there.
 */
#include "user/lib/bench.h"
#include "user/lib/ticks.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void read_counters(bool available, struct asi_counters *counters) {
    if (!available || asi_get_counters(ASI_SCOPE_ALL, counters) < 0) {
        memset(counters, 0, sizeof *counters);
    }
}

/* What one pair of readings counts with nothing between. The least of several: a timer tick may fall into one. */
static struct asi_counters counter_overhead(bool available) {
    struct asi_counters before, after, least = {0};
    for (int i = 0; i < 8; i++) {
        read_counters(available, &before);
        read_counters(available, &after);
        struct asi_counters now = asi_counters_difference(&after, &before);
        if (i == 0) {
            least = now;
        }
        asi_counters_least(&least, &now);
    }
    return least;
}

/* Looks at the whole machine while the row's processes, views and pages are still there. */
static void audit(struct bench_report *report, const char *slug) {
    struct asi_audit_report found;
    if (asi_run_audit(ASI_BREAK_NOTHING, &found) < 0) {
        return;
    }
    uint64_t violations = found.reach_violations + found.clean_violations + found.gate_violations;
    if (violations != 0) {
        fprintf(stderr, "asibench: audit: %s: %s\n", slug, found.first);
    }
    report->audits++;
    report->audit_violations += violations;
}

/* One sample. Returns its ticks, or 0 with errno when the row failed. */
static uint64_t take_sample(const struct bench_row *row, const struct bench_plan *plan, unsigned count,
                            struct bench_report *report, struct asi_counters *counted) {
    const bool has_asi = report->has_asi;
    struct asi_counters before, after;
    if (row->prepare != NULL && row->prepare(count) < 0) {
        return 0;
    }
    read_counters(has_asi, &before);
    uint64_t start = ticks_now();
    int failed = row->run(count);
    uint64_t ticks = ticks_now() - start;
    int reason = errno;
    read_counters(has_asi, &after);
    *counted = asi_counters_difference(&after, &before);
    if (plan->audit) {
        audit(report, row->slug);
    }
    if (row->restore != NULL && row->restore(count) < 0) {
        return 0;
    }
    errno = reason;
    return failed ? 0 : ticks;
}

static int by_value(const void *left, const void *right) {
    double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

static double median(double *values, unsigned count) {
    qsort(values, count, sizeof *values, by_value);
    return count % 2 ? values[count / 2] : (values[count / 2 - 1] + values[count / 2]) / 2;
}

static int measure_samples(const struct bench_row *row, const struct bench_plan *plan, struct bench_report *report,
                           const struct asi_counters *overhead, struct bench_result *result) {
    double per_operation[BENCH_MAX_SAMPLES];
    struct asi_counters counted;
    unsigned count = (unsigned)(row->count * plan->scale + 0.5);
    unsigned each = row->operations_each ? row->operations_each : 1;
    count = count ? count : 1;
    if (take_sample(row, plan, count, report, &counted) == 0) { /* warm-up */
        return -1;
    }
    for (unsigned sample = 0; sample < plan->samples; sample++) {
        uint64_t ticks = take_sample(row, plan, count, report, &counted);
        if (ticks == 0) {
            return -1;
        }
        per_operation[sample] = (double)ticks / count / each;
        asi_counters_reduce(&counted, overhead);
        asi_counters_add(&result->counters, &counted);
    }
    result->operations = (uint64_t)plan->samples * count * each;
    result->ticks_median = median(per_operation, plan->samples);
    result->ticks_min = per_operation[0]; /* median() sorted them */
    result->measured = true;
    return 0;
}

static void measure(const struct bench_row *row, const struct bench_plan *plan, struct bench_report *report,
                    const struct asi_counters *overhead, struct bench_result *result) {
    errno = 0;
    if ((row->setup != NULL && row->setup() < 0) || measure_samples(row, plan, report, overhead, result) < 0) {
        result->error = errno ? errno : EIO;
    }
    if (row->teardown != NULL) {
        row->teardown();
    }
}

void bench_measure_rows(const struct bench_plan *plan, struct bench_report *report, enum asi_mode mode) {
    report->overhead[mode] = counter_overhead(report->has_asi);
    for (unsigned i = 0; i < bench_row_count; i++) {
        if (!plan->row_wanted[i]) {
            continue;
        }
        if (!bench_rows[i]->uses_file) {
            bench_big_file_close();
        }
        measure(bench_rows[i], plan, report, &report->overhead[mode], &report->results[mode][i]);
    }
    bench_big_file_close();
    report->mode_ran[mode] = true;
}
