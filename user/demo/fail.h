/* The end of the demonstration, when something that should work did not. */
#ifndef USER_DEMO_FAIL_H
#define USER_DEMO_FAIL_H

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static inline _Noreturn void fail(const char *what) {
    fprintf(stderr, "demo: %s: %s\n", what, strerror(errno));
    fflush(stdout);
    _exit(1);
}

#endif
