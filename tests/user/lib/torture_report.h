/*
 * The end of the torture: its table, the accounting, the last audit. Each prints lines that begin with `torture: `.
 */
#ifndef TESTS_USER_LIB_TORTURE_REPORT_H
#define TESTS_USER_LIB_TORTURE_REPORT_H

#include "torture.h"

#include "asi/abi.h"

/* Of all lanes and kinds. */
uint64_t torture_steps_done(void);

/* Steps of each kind, in all and in a second. */
void torture_print_table(double seconds);

/* What the machine counted since `before`. */
void torture_print_counters(const struct asi_counters *before);

/* False when frames, heap bytes, processes or threads are not as before, after a moment for what is freed late. */
bool torture_account(const struct asi_memory *before);

/* False when the audit finds a violation. */
bool torture_final_audit(void);

#endif
