/*
 * asibench rows on processes: fork, exit, execve, wait.
 */
#include "user/lib/bench.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static char program[256]; /* asibench itself */
static char tiny[256];    /* the program that forkexec starts */
static char *const tiny_arguments[] = {tiny, "--nothing", NULL};
static char *const no_environment[] = {NULL};

void bench_set_program(const char *argv0) { snprintf(program, sizeof program, "%s", argv0); }

int bench_reap(pid_t child) {
    int status;
    pid_t reaped;
    do {
        reaped = waitpid(child, &status, 0);
    } while (reaped < 0 && errno == EINTR);
    if (reaped < 0) {
        return -1;
    }
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        errno = ECHILD;
        return -1;
    }
    return 0;
}

void bench_end_child(pid_t *child, int *release_end) {
    if (*release_end >= 0) {
        close(*release_end);
        *release_end = -1;
    }
    if (*child > 0) {
        bench_reap(*child);
        *child = 0;
    }
}

static int forkexit_run(unsigned count) {
    for (unsigned i = 0; i < count; i++) {
        pid_t child = fork();
        if (child == 0) {
            _exit(0);
        }
        if (child < 0 || bench_reap(child) < 0) {
            return -1;
        }
    }
    return 0;
}

/* `true` from the directory asibench came from (/bin by default), else asibench itself with an option that ends it. */
static int forkexec_setup(void) {
    const char *slash = strrchr(program, '/');
    int directory = slash == NULL ? 0 : (int)(slash - program);
    snprintf(tiny, sizeof tiny, "%.*s/true", directory, program);
    if (slash == NULL) {
        strcpy(tiny, "/bin/true");
    }
    if (access(tiny, X_OK) == 0) {
        return 0;
    }
    strcpy(tiny, "/proc/self/exe");
    if (access(tiny, X_OK) < 0) {
        strcpy(tiny, program);
    }
    return access(tiny, X_OK);
}

static int forkexec_run(unsigned count) {
    for (unsigned i = 0; i < count; i++) {
        pid_t child = fork();
        if (child == 0) {
            execve(tiny, tiny_arguments, no_environment);
            _exit(127);
        }
        if (child < 0 || bench_reap(child) < 0) {
            return -1;
        }
    }
    return 0;
}

const struct bench_row bench_forkexit = {
    .slug = "forkexit", .title = "fork + exit + wait", .count = 50, .run = forkexit_run};

const struct bench_row bench_forkexec = {
    .slug = "forkexec", .title = "fork + exec + wait", .count = 40, .setup = forkexec_setup, .run = forkexec_run};
