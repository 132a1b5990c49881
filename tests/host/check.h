/*
 * For host tests that are a list of cases in one file: CHECK() ends the program with 1 and says which case, line and
 * condition it was.
 */
#ifndef TESTS_HOST_CHECK_H
#define TESTS_HOST_CHECK_H

#include <stdio.h>
#include <stdlib.h>

static const char *case_name; /* of the case that runs */

static void fail(int line, const char *what) {
    printf("%s: %s: line %d: %s\n", __BASE_FILE__, case_name, line, what);
    exit(1);
}

#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition))                                                                                              \
            fail(__LINE__, #condition);                                                                                \
    } while (0)

#endif
