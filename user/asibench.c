/*
 * asibench: what operations cost in each mode of the isolation, in one boot; on Linux, what they cost there. Its rows
 * are in user/lib/bench_rows.c, main() in user/lib/bench_main.c.
 */
#include "user/lib/bench.h"

void bench_run_mode(const struct bench_plan *plan, struct bench_report *report, enum asi_mode mode) {
    bench_measure_rows(plan, report, mode);
}
