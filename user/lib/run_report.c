/*
 * What asirun prints: a column for each mode, exits by cause and by kernel symbol, and the same as CSV.
 */
#include "user/lib/run.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

enum { SITES_SHOWN = 12 };

static const struct run_result *result_at(const struct run_plan *plan, const struct run_report *report, unsigned i) {
    return &report->results[plan->modes[i]];
}

/* A count per run: whole where it is. */
static void print_per_run(uint64_t count, unsigned runs) {
    if (runs == 0) {
        printf(" %14s", "-");
    } else if (count % runs == 0) {
        printf(" %14" PRIu64, count / runs);
    } else {
        printf(" %14.1f", (double)count / runs);
    }
}

/* One row, of the number `offset` bytes into struct asi_counters; not when it is 0 in every mode and may hide. */
static void print_counter(const struct run_plan *plan, const struct run_report *report, const char *title,
                          size_t offset, bool may_hide) {
    uint64_t counts[ASI_MODES], all = 0;
    for (unsigned i = 0; i < plan->mode_count; i++) {
        memcpy(&counts[i], (const char *)&result_at(plan, report, i)->counters + offset, sizeof counts[i]);
        all |= counts[i];
    }
    if (all == 0 && may_hide) {
        return;
    }
    printf("%-26s", title);
    for (unsigned i = 0; i < plan->mode_count; i++) {
        print_per_run(counts[i], result_at(plan, report, i)->runs);
    }
    puts("");
}

static void print_exits(const struct run_plan *plan, const struct run_report *report) {
    printf("%-26s", "exits");
    for (unsigned i = 0; i < plan->mode_count; i++) {
        const struct run_result *result = result_at(plan, report, i);
        print_per_run(asi_total_exits(&result->counters), result->runs);
    }
    puts("");
    for (unsigned cause = 0; cause < ASI_CAUSES; cause++) {
        char title[32];
        snprintf(title, sizeof title, "  %s", asi_cause_name(cause));
        print_counter(plan, report, title, offsetof(struct asi_counters, exits) + cause * sizeof(uint64_t), true);
    }
}

/* Median, ratio and spread of ticks or of busy ticks, which lie `offset` bytes into a result. */
static void print_ticks(const struct run_plan *plan, const struct run_report *report, const char *title,
                        size_t offset) {
    const uint64_t *ticks[ASI_MODES];
    const unsigned runs = plan->rounds;
    printf("%-26s", title);
    for (unsigned i = 0; i < plan->mode_count; i++) {
        ticks[i] = (const uint64_t *)(const void *)((const char *)result_at(plan, report, i) + offset);
        printf(" %14" PRIu64, run_median(ticks[i], runs));
    }
    const uint64_t base = run_median(ticks[0], runs);
    printf("\n  ratio to %-15s", asi_mode_name(plan->modes[0]));
    for (unsigned i = 0; i < plan->mode_count; i++) {
        printf(" %14.4f", base == 0 ? 0 : (double)run_median(ticks[i], runs) / (double)base);
    }
    printf("\n%-26s", "  greatest over least, %");
    for (unsigned i = 0; i < plan->mode_count; i++) {
        printf(" %14.2f", 100 * run_spread(ticks[i], runs));
    }
    puts("");
}

/* Where a CPU had nothing to run, the work is told apart from the time. */
static void print_time(const struct run_plan *plan, const struct run_report *report) {
    uint64_t idle = 0;
    for (unsigned i = 0; i < plan->mode_count; i++) {
        idle |= result_at(plan, report, i)->counters.idle_ns;
    }
    print_ticks(plan, report, "ticks, median", offsetof(struct run_result, ticks));
    if (idle != 0) {
        print_ticks(plan, report, "not idle", offsetof(struct run_result, busy));
    }
}

/* Modes none and classic have all of RAM in their kernel's space, whatever else. */
static bool maps_everything(enum asi_mode mode) { return mode == ASI_MODE_NONE || mode == ASI_MODE_CLASSIC; }

static void print_tally_row(const struct run_plan *plan, const struct run_report *report, const char *title,
                            size_t offset) {
    printf("%-26s", title);
    for (unsigned i = 0; i < plan->mode_count; i++) {
        const struct run_result *result = result_at(plan, report, i);
        uint64_t pages;
        memcpy(&pages, (const char *)&result->tally + offset, sizeof pages);
        if (!result->tallied) {
            printf(" %14s", "-");
        } else if (maps_everything(plan->modes[i])) {
            printf(" %14s", "all of RAM");
        } else {
            printf(" %14" PRIu64, pages);
        }
    }
    puts("");
}

static void print_tally(const struct run_plan *plan, const struct run_report *report) {
    printf("pages in its kernel's space\n");
    print_tally_row(plan, report, "  its own memory", offsetof(struct asi_tally, user));
    print_tally_row(plan, report, "  windows on secrets", offsetof(struct asi_tally, windows));
    print_tally_row(plan, report, "  its kernel objects", offsetof(struct asi_tally, local));
    print_tally_row(plan, report, "  metadata and image", offsetof(struct asi_tally, global));
}

static void print_sites(const struct run_plan *plan, const struct run_report *report) {
    char symbol[128];
    bool titled = false;
    for (unsigned i = 0; i < plan->mode_count; i++) {
        const struct run_result *result = result_at(plan, report, i);
        for (unsigned site = 0; site < result->site_count && site < SITES_SHOWN; site++) {
            if (!titled) {
                puts("exits by kernel symbol, per run");
                titled = true;
            }
            asi_symbolise(result->sites[site].address, symbol, sizeof symbol);
            printf("  %-8s %-6s %12.1f  %s\n", asi_mode_name(plan->modes[i]), asi_cause_name(result->sites[site].cause),
                   (double)result->sites[site].count / result->runs, symbol);
        }
        if (result->site_count > SITES_SHOWN) {
            printf("  %-8s and %u more\n", asi_mode_name(plan->modes[i]), result->site_count - SITES_SHOWN);
        }
    }
}

static void print_outcome(const struct run_plan *plan, const struct run_report *report) {
    if (WIFSIGNALED(report->status)) {
        printf("ended by signal %d", WTERMSIG(report->status));
    } else {
        printf("ended with status %d", WEXITSTATUS(report->status));
    }
    puts(report->status_differs ? " in the first run, OTHERWISE IN OTHERS" : ", in every run");
    if (plan->output == RUN_OUTPUT_TERMINAL) {
        puts("output not compared");
    } else if (report->output_differs) {
        printf("output DIFFERS: first in mode %s\n", asi_mode_name(report->different_mode));
    } else {
        printf("output the same in every run, %" PRIu64 " bytes\n", report->output_bytes);
    }
}

static void print_header(const struct run_plan *plan, const struct run_report *report) {
    struct asi_state now = report->state;
    char flush[64];
    asi_get_state(&now);
    asi_format_flush(&now.flush, ',', flush, sizeof flush);
    printf("asirun: %s: %u round%s in turn after %u; flush %s; TSC %.1f MHz; counts per run, of the whole "
           "machine\n\n%-26s",
           plan->name, plan->rounds, plan->rounds == 1 ? "" : "s", plan->warm_rounds, flush, (double)now.tsc_hz / 1e6,
           "");
    for (unsigned i = 0; i < plan->mode_count; i++) {
        printf(" %14s", asi_mode_name(plan->modes[i]));
    }
    puts("");
}

void run_print_table(const struct run_plan *plan, const struct run_report *report) {
    print_header(plan, report);
    print_time(plan, report);
    print_exits(plan, report);
    print_counter(plan, report, "CR3 writes", offsetof(struct asi_counters, cr3_writes), false);
    print_counter(plan, report, "IBPB flushes", offsetof(struct asi_counters, control_flushes), false);
    print_counter(plan, report, "VERW flushes", offsetof(struct asi_counters, data_flushes), false);
    print_counter(plan, report, "switches of process", offsetof(struct asi_counters, process_switches), false);
    print_counter(plan, report, "page faults", offsetof(struct asi_counters, page_faults), false);
    print_counter(plan, report, "views mapped", offsetof(struct asi_counters, views_mapped), false);
    print_counter(plan, report, "calls it does not know", offsetof(struct asi_counters, syscalls_unknown), true);
    print_tally(plan, report);
    print_sites(plan, report);
    print_outcome(plan, report);
}

/* --- CSV ---------------------------------------------------------------------------------------------------------- */

static void print_csv_counts(const struct run_result *result) {
    const struct asi_counters *c = &result->counters;
    const uint64_t counts[] = {asi_total_exits(c), c->cr3_writes,       c->control_flushes,
                               c->data_flushes,    c->process_switches, c->page_faults};
    for (unsigned i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        printf(",%.2f", (double)counts[i] / result->runs);
    }
    printf(",%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",", result->tally.user, result->tally.windows,
           result->tally.local, result->tally.global);
}

/* cause:symbol:count, blanks between. */
static void print_csv_sites(const struct run_result *result) {
    char symbol[128];
    for (unsigned i = 0; i < result->site_count && i < SITES_SHOWN; i++) {
        asi_symbolise(result->sites[i].address, symbol, sizeof symbol);
        printf("%s%s:%s:%.2f", i == 0 ? "" : " ", asi_cause_name(result->sites[i].cause), symbol,
               (double)result->sites[i].count / result->runs);
    }
}

void run_print_csv(const struct run_plan *plan, const struct run_report *report) {
    struct asi_state now = report->state;
    char flush[64];
    asi_get_state(&now);
    asi_format_flush(&now.flush, '/', flush, sizeof flush);
    printf("-----BEGIN ASIRUN CSV-----\n"
           "name,mode,flush,rounds,ticks_median,ticks_min,ticks_max,busy_median,exits,cr3_writes,control_flushes,data_"
           "flushes,"
           "process_switches,page_faults,pages_user,pages_windows,pages_local,pages_global,sites,status,same_output\n");
    for (unsigned i = 0; i < plan->mode_count; i++) {
        const struct run_result *result = result_at(plan, report, i);
        printf("%s,%s,%s,%u,%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%" PRIu64, plan->name, asi_mode_name(plan->modes[i]),
               flush, result->runs, run_median(result->ticks, result->runs), result->ticks[0],
               result->ticks[result->runs - 1], run_median(result->busy, result->runs));
        print_csv_counts(result);
        print_csv_sites(result);
        printf(",%d,%s\n", WIFSIGNALED(report->status) ? 128 + WTERMSIG(report->status) : WEXITSTATUS(report->status),
               plan->output == RUN_OUTPUT_TERMINAL                ? "-"
               : report->output_differs || report->status_differs ? "no"
                                                                  : "yes");
    }
    printf("-----END ASIRUN CSV-----\n");
}
