/*
 * What asibench prints: the table, CSV, the comparison with Linux ASI, and the check against the goals of mode `asi`.
 */
#include "user/lib/bench.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static double per_operation(uint64_t count, const struct bench_result *result) {
    return (double)count / (double)result->operations;
}

static const struct bench_result *result_of(const struct bench_report *report, enum asi_mode mode, unsigned row) {
    const struct bench_result *result = &report->results[mode][row];
    return report->mode_ran[mode] && result->measured ? result : NULL;
}

static void print_ratio(const struct bench_result *result, const struct bench_result *baseline, int width) {
    if (result == NULL || baseline == NULL) {
        printf("%*s", width, "-");
    } else {
        printf("%*.3f", width, result->ticks_min / baseline->ticks_min);
    }
}

/* Exactly none is told apart from next to none. */
static void print_per_operation(uint64_t count, const struct bench_result *result, int width) {
    if (result == NULL) {
        printf(" %*s", width - 1, "-");
    } else if (count == 0) {
        printf(" %*s", width - 1, "0");
    } else {
        printf(" %*.2f", width - 1, per_operation(count, result));
    }
}

static uint64_t exits_of(const struct bench_result *result) {
    return result == NULL ? 0 : asi_total_exits(&result->counters);
}

static uint64_t flushes_of(const struct bench_result *result) {
    return result == NULL ? 0 : result->counters.control_flushes + result->counters.data_flushes;
}

static void print_header(const struct bench_plan *plan, const struct bench_report *report) {
    char flush[64];
    asi_format_flush(&report->state.flush, ',', flush, sizeof flush);
    printf("asibench: modes");
    for (unsigned mode = 0; mode < ASI_MODES; mode++) {
        if (report->mode_ran[mode]) {
            printf(" %s", asi_mode_name(mode));
        }
    }
    printf("; flush %s; TSC %.1f MHz; ticks = least of %u samples", flush, (double)report->state.tsc_hz / 1e6,
           plan->samples);
    if (bench_big_file_bytes() != 0) {
        printf("; file %" PRIu64 " MiB", bench_big_file_bytes() >> 20);
    }
    printf("\n\n%-21s %9s %20s %14s %*s\n", "", "ticks", "time / none", "exits per op",
           report->state.cpus > 1 ? 19 : 13, "asi per op");
    printf("%-21s %9s %7s%7s%7s%8s%6s%7s%6s%s\n", "row", "none", "classic", "naive", "asi", "naive", "asi", "cr3",
           "flush", report->state.cpus > 1 ? "   ipi" : "");
}

static void print_row(const struct bench_report *report, unsigned row) {
    const struct bench_result *none = result_of(report, ASI_MODE_NONE, row);
    const struct bench_result *naive = result_of(report, ASI_MODE_NAIVE, row);
    const struct bench_result *asi = result_of(report, ASI_MODE_ASI, row);
    printf("%-21s ", bench_rows[row]->title);
    if (none == NULL) {
        printf("%9s ", "-");
    } else {
        printf("%9.0f ", none->ticks_min);
    }
    print_ratio(result_of(report, ASI_MODE_CLASSIC, row), none, 7);
    print_ratio(naive, none, 7);
    print_ratio(asi, none, 7);
    print_per_operation(exits_of(naive), naive, 8);
    print_per_operation(exits_of(asi), asi, 6);
    print_per_operation(asi ? asi->counters.cr3_writes : 0, asi, 7);
    print_per_operation(flushes_of(asi), asi, 6);
    if (report->state.cpus > 1) {
        print_per_operation(asi ? asi->counters.ipis_sent : 0, asi, 6);
    }
    printf("\n");
}

static void print_linux_table(const struct bench_plan *plan, const struct bench_report *report) {
    printf("asibench: not Penumbra, so no modes and no counters; TSC ticks of %u samples\n\n", plan->samples);
    printf("%-21s %12s %12s\n", "row", "min", "median");
    for (unsigned row = 0; row < bench_row_count; row++) {
        const struct bench_result *result = result_of(report, ASI_MODE_NONE, row);
        if (plan->row_wanted[row] && result != NULL) {
            printf("%-21s %12.0f %12.0f\n", bench_rows[row]->title, result->ticks_min, result->ticks_median);
        }
    }
}

void bench_print_table(const struct bench_plan *plan, const struct bench_report *report) {
    if (!report->has_asi) {
        print_linux_table(plan, report);
        return;
    }
    print_header(plan, report);
    for (unsigned row = 0; row < bench_row_count; row++) {
        if (plan->row_wanted[row]) {
            print_row(report, row);
        }
    }
}

static void print_csv_counters(const struct bench_result *result) {
    printf(",%.4f,%.4f,%.4f,%.4f,%.4f,%.4f\n", per_operation(asi_total_exits(&result->counters), result),
           per_operation(result->counters.cr3_writes, result), per_operation(result->counters.control_flushes, result),
           per_operation(result->counters.data_flushes, result), per_operation(result->counters.shootdowns, result),
           per_operation(result->counters.ipis_sent, result));
}

void bench_print_csv(const struct bench_plan *plan, const struct bench_report *report) {
    char flush[64] = "-";
    if (report->has_asi) {
        asi_format_flush(&report->state.flush, '/', flush, sizeof flush);
    }
    printf("-----BEGIN CSV-----\n"
           "mode,flush,row,ops,ticks_min,ticks_median,exits,cr3_writes,control_flushes,data_flushes,shootdowns,ipis\n");
    for (unsigned mode = 0; mode < ASI_MODES; mode++) {
        for (unsigned row = 0; row < bench_row_count; row++) {
            const struct bench_result *result = result_of(report, mode, row);
            if (!plan->row_wanted[row] || result == NULL) {
                continue;
            }
            printf("%s,%s,%s,%" PRIu64 ",%.1f,%.1f", report->has_asi ? asi_mode_name(mode) : "linux", flush,
                   bench_rows[row]->slug, result->operations, result->ticks_min, result->ticks_median);
            if (report->has_asi) {
                print_csv_counters(result);
            } else {
                printf(",-,-,-,-,-,-\n");
            }
        }
    }
    printf("-----END CSV-----\n");
}

static unsigned row_named(const char *slug) {
    unsigned row = 0;
    while (row < bench_row_count && strcmp(bench_rows[row]->slug, slug) != 0) {
        row++;
    }
    return row;
}

/* Operations per second against mode none, as Linux's figures are given. */
static void print_change(const char *name, const struct bench_result *result, const struct bench_result *none) {
    double change = 100 * (none->ticks_min / result->ticks_min - 1);
    printf("%s %+.1f%% with %.4g exits per read", name, change, per_operation(exits_of(result), result));
}

void bench_print_summary(const struct bench_report *report) {
    unsigned row = row_named("pread4k");
    const struct bench_result *none = result_of(report, ASI_MODE_NONE, row);
    const struct bench_result *naive = result_of(report, ASI_MODE_NAIVE, row);
    const struct bench_result *asi = result_of(report, ASI_MODE_ASI, row);
    if (!report->has_asi || none == NULL || naive == NULL || asi == NULL) {
        return;
    }
    printf("\n4K random reads per second, isolation on against off:\n"
           "  Linux ASI: -70%% before its ephmap, -13.1%% with it (LKML 2025-08-12, 20250812173109.295750-1-jackmanb)\n"
           "  Penumbra, this run: ");
    print_change("naive", naive, none);
    print_change("; asi", asi, none);
    printf("\n");
}

unsigned bench_report_failures(const struct bench_plan *plan, const struct bench_report *report) {
    unsigned failures = 0;
    for (unsigned mode = 0; mode < ASI_MODES; mode++) {
        for (unsigned row = 0; row < bench_row_count; row++) {
            const struct bench_result *result = &report->results[mode][row];
            if (report->mode_ran[mode] && plan->row_wanted[row] && !result->measured) {
                fprintf(stderr, "asibench: %s%s%s: not measured: %s\n", report->has_asi ? asi_mode_name(mode) : "",
                        report->has_asi ? ": " : "", bench_rows[row]->slug, strerror(result->error));
                failures++;
            }
        }
    }
    return failures;
}
