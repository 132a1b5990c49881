/*
 * Running one test program with a time limit, and keeping what it printed. The runner's own; see tests/user/runner.c.
 */
#ifndef TESTS_USER_LIB_RUN_PROGRAM_H
#define TESTS_USER_LIB_RUN_PROGRAM_H

#include <stdbool.h>
#include <stdint.h>

struct run_result {
    int status;        /* exit status; -1: killed, out of time, or not started */
    uint64_t printed;  /* hash of standard output */
    char reason[400];  /* what went wrong in a line: the last that it wrote to standard error, or its signal */
    char output[8192]; /* the start of standard output */
};

/*
 * Runs `path` with one argument in a session of its own; after limit_ms the session is killed. With `loud` its output
 * goes where the caller's goes and is not kept. Leaves nothing of its own behind in /tmp, and removes what a failed
 * test left.
 */
void run_program(const char *path, const char *argument, int limit_ms, bool loud, struct run_result *result);

#endif
