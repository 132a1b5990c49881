/*
 * asitrace: what `make trace` traces when it is given no program: one file, read twice in mode asi and twice in naive.
 *
 * In asi the first read of the page maps a view and the second finds it there; in naive each of them leaves the
 * restricted space. Exit status: 0, or 1 when something that it needs is refused.
 */
#include "user/lib/asi.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define PATH "/tmp/asitrace"

static char page[4096];

static int failed(const char *what) {
    fprintf(stderr, "asitrace: %s: %s\n", what, strerror(errno));
    return 1;
}

static int make_file(void) {
    int file = open(PATH, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (file < 0 || write(file, page, sizeof page) != sizeof page) {
        return -1;
    }
    return close(file); /* the last one: no window is left from the writing */
}

static int read_twice(enum asi_mode mode) {
    if (asi_set_mode(mode) < 0) {
        return failed("mode");
    }
    int file = open(PATH, O_RDONLY | O_CLOEXEC);
    if (file < 0) {
        return failed(PATH);
    }
    for (int i = 0; i < 2; i++) {
        if (pread(file, page, sizeof page, 0) != sizeof page) {
            return failed("pread");
        }
    }
    close(file);
    return 0;
}

int main(void) {
    struct asi_state before;
    if (asi_get_state(&before) < 0) {
        return failed("asi");
    }
    if (make_file() < 0) {
        return failed(PATH);
    }
    int status = read_twice(ASI_MODE_ASI) | read_twice(ASI_MODE_NAIVE);
    if (asi_set_mode((enum asi_mode)before.mode) < 0 || unlink(PATH) < 0) {
        return failed("clearing up");
    }
    return status;
}
