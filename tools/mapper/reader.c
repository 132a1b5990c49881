/*
 * reader: one pread in mode asi and the same one in mode naive, for tools/map to look at.
 *
 * It stops itself three times, by turning round in user mode until somebody writes `mailbox.go` from outside: before the
 * first pread, after it, and after the second. The pread is of two pages: in mode asi the first has no window yet, the
 * second has. The file is closed in between, so that mode naive has no windows.
 * Exit status: 0, or 1 when a call failed.
 */
#include "user/lib/asi.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PAGE = 4096, PAGES = 64, MANY = 100 };

/* tools/map finds it by its symbol. `stop` is the number of the stop it waits at, `go` that of the last one to leave. */
volatile struct { uint64_t stop, go; } mailbox __attribute__((aligned(PAGE)));
char buffer[2 * PAGE] __attribute__((aligned(PAGE)));
static char page[PAGE] __attribute__((aligned(PAGE)));

/* Others come to rest first, so that the machine is the same in every run, however long it is looked at. */
static void stop(void) {
    usleep(500 * 1000);
    mailbox.stop++;
    while (mailbox.go < mailbox.stop) {
    }
}

/* The pages come into the page cache by somebody else's reading, so that this process has no window on them yet. */
static bool let_another_read(const char *name) {
    int status;
    pid_t child = fork();
    if (child == 0) {
        int file = open(name, O_RDONLY);
        for (int i = 0; i < PAGES; i++) {
            if (pread(file, page, PAGE, (off_t)i * PAGE) != PAGE) {
                _exit(1);
            }
        }
        _exit(0);
    }
    return child > 0 && waitpid(child, &status, 0) == child && status == 0;
}

static bool read_many(int file) {
    for (int i = 0; i < MANY; i++) {
        if (pread(file, page, PAGE, (off_t)(1 + i % (PAGES - 1)) * PAGE) != PAGE) {
            return false;
        }
    }
    return true;
}

/* Both pages of the buffer are there, so that the copy meets no fault. The next call tells when user code was back. */
static bool read_two(int file) {
    bool good = pread(file, buffer, sizeof buffer, 0) == (ssize_t)sizeof buffer;
    getppid();
    return good;
}

int main(int argc, char **argv) {
    const char *name = argc > 1 ? argv[1] : "/reader.data";
    if (!let_another_read(name)) {
        perror(name);
        return 1;
    }
    int file = open(name, O_RDONLY);
    if (file < 0 || !read_many(file)) {
        perror(name);
        return 1;
    }
    buffer[0] = buffer[PAGE] = page[0] = 1; /* own copies, after the fork */
    stop();
    bool good = read_two(file);
    stop();
    close(file);
    good = good && asi_set_mode(ASI_MODE_NAIVE) == 0 && (file = open(name, O_RDONLY)) >= 0 && read_two(file) &&
           read_two(file);
    stop();
    return good ? 0 : 1;
}
