/*
 * The goals of mode `asi` that hold on any machine, because they are counts: no exit and no shootdown in any row; no
 * CR3 write and no flush for threads of one process and for idle; one CR3 write for a process switch. And what must not
 * be saved: every process switch pays both flushes, as distrust between processes demands, and in mode `naive` every
 * exit pays the control flush and every enter the data flush.
 */
#include "user/lib/bench.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Says so and returns 1 when `count` of `what` is above `allowed`. */
static unsigned above(const char *slug, const char *what, uint64_t count, uint64_t allowed) {
    if (count <= allowed) {
        return 0;
    }
    fprintf(stderr, "asibench: check: %s: %" PRIu64 " %s, allowed %" PRIu64 "\n", slug, count, what, allowed);
    return 1;
}

/* The other way round: a flush that is owed and was not paid is a leak. */
static unsigned below(const char *slug, const char *what, uint64_t count, uint64_t owed) {
    if (count >= owed) {
        return 0;
    }
    fprintf(stderr, "asibench: check: %s: %" PRIu64 " %s, owed %" PRIu64 "\n", slug, count, what, owed);
    return 1;
}

static void name_causes(const struct bench_result *result) {
    for (unsigned cause = 0; cause < ASI_CAUSES; cause++) {
        if (result->counters.exits[cause] != 0) {
            fprintf(stderr, "asibench: check:   of which %s %" PRIu64 "\n", asi_cause_name(cause),
                    result->counters.exits[cause]);
        }
    }
}

/* How many address spaces one operation may enter. ANY_SWITCH: the row is not about switches. */
enum { NO_SWITCH = 0, PROCESS_ROUND_TRIP = 2, ANY_SWITCH = -1 };

static int allowed_switches(const char *slug) {
    if (strcmp(slug, "threadswitch") == 0 || strcmp(slug, "idle") == 0) {
        return NO_SWITCH;
    }
    return strcmp(slug, "pipe") == 0 || strcmp(slug, "socket") == 0 ? PROCESS_ROUND_TRIP : ANY_SWITCH;
}

static unsigned check_row(int switches, const char *slug, const struct bench_result *result) {
    const struct asi_counters *counters = &result->counters;
    unsigned broken = above(slug, "exits", asi_total_exits(counters), 0);
    if (broken) {
        name_causes(result);
    }
    /* asibench and what it starts are pinned to one CPU: no other has translations that would have to be forgotten. */
    broken += above(slug, "shootdown IPIs", counters->ipis_sent, 0);
    if (switches != ANY_SWITCH) {
        broken += above(slug, "CR3 writes", counters->cr3_writes, (uint64_t)switches * result->operations);
    }
    if (switches == NO_SWITCH) {
        broken += above(slug, "control flushes", counters->control_flushes, 0);
        broken += above(slug, "data flushes", counters->data_flushes, 0);
    }
    return broken;
}

static unsigned check_switch_flushes(const struct bench_row *row, const struct asi_counters *counters) {
    const char *slug = row->slug;
    if (row->trust == BENCH_SOME_FRIENDS) {
        return 0; /* counts cannot tell which of its switches were between friends */
    }
    if (row->trust == BENCH_FRIENDS) {
        return above(slug, "control flushes", counters->control_flushes, 0) +
               above(slug, "data flushes", counters->data_flushes, 0);
    }
    return below(slug, "control flushes", counters->control_flushes, counters->process_switches) +
           below(slug, "data flushes", counters->data_flushes, counters->process_switches);
}

/* Rows without process switches, where each operation's exit follows user code: pread of 4 KiB stands for all. */
static unsigned check_exit_flushes(const struct bench_report *report) {
    unsigned broken = 0;
    for (unsigned row = 0; row < bench_row_count; row++) {
        const struct bench_result *result = &report->results[ASI_MODE_NAIVE][row];
        if (strcmp(bench_rows[row]->slug, "pread4k") == 0 && result->measured) {
            const struct asi_counters *counters = &result->counters;
            broken += below("naive pread4k", "exits", asi_total_exits(counters), result->operations);
            broken += below("naive pread4k", "control flushes", counters->control_flushes, result->operations);
            broken += below("naive pread4k", "data flushes", counters->data_flushes, result->operations);
        }
    }
    return broken;
}

unsigned bench_check(const struct bench_plan *plan, const struct bench_report *report) {
    unsigned broken = 0, rows = 0;
    if (!report->has_asi || !report->mode_ran[ASI_MODE_ASI]) {
        fprintf(stderr, "asibench: check: mode asi was not measured, nothing to check\n");
        return report->has_asi;
    }
    /* What reading the counters counts is taken off each row: were it not 0, something could hide behind it. */
    const struct bench_result reading = {.counters = report->overhead[ASI_MODE_ASI], .operations = 1};
    broken += check_row(NO_SWITCH, "reading the counters", &reading);
    for (unsigned row = 0; row < bench_row_count; row++) {
        const struct bench_result *result = &report->results[ASI_MODE_ASI][row];
        if (plan->row_wanted[row]) {
            const char *slug = bench_rows[row]->slug;
            broken += result->measured ? check_row(allowed_switches(slug), slug, result) : 1;
            if (report->state.flush.kind != ASI_FLUSH_OFF) {
                broken += check_switch_flushes(bench_rows[row], &result->counters);
            }
            rows++;
        }
    }
    if (report->state.flush.kind != ASI_FLUSH_OFF) {
        broken += check_exit_flushes(report);
    }
    if (plan->audit) {
        printf("asibench: audit: %u audits, %" PRIu64 " violations\n", report->audits, report->audit_violations);
        broken += report->audits == 0 || report->audit_violations != 0;
    }
    printf("asibench: check: %u rows, %u goals broken\n", rows, broken);
    return broken;
}
