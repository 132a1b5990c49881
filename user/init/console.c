/*
 * The console's driver (drivers/console): started before all others, and again whenever it ends. See console.h.
 */
#include "user/init/console.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "user/lib/mdwe.h"
#include "user/lib/native.h"

#define CONSOLE_PATH "/sbin/console"
#define CONSOLE_PID  "/run/console.pid" /* whom to kill in a test of what happens then */

enum { FAILURES_MAX = 5 };

static pid_t driver = -1;
static int ready = -1;    /* gets a byte when the driver serves the terminal */
static bool draws_screen; /* it is to */
static int messages[2];   /* then: init's own lines for the screen go through this pipe */
static unsigned failures; /* how often in a row it ended without */

void console_say(const char *format, ...) {
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    fputs(text, stderr);
    if (draws_screen && write(messages[1], text, strlen(text)) < 0) {
        errno = 0; /* full: nobody reads, and the kernel has printed it */
    }
}

static void note_pid(void) {
    mkdir("/run", 0755);
    FILE *file = fopen(CONSOLE_PID, "w");
    if (file != NULL) {
        fprintf(file, "%d\n", getpid());
        fclose(file);
    }
}

/*
 * It gets the rights that it needs, and `to_ready` to write a byte to. What may have to wait for a file server is done
 * here, in the child: init has that server to look after.
 */
static _Noreturn void become_console(int rights, int to_ready, bool asks) {
    char number[16];
    snprintf(number, sizeof number, "%d", rights);
    setenv("PENUMBRA_AUTHORITY", number, 1);
    setsid();
    dup2(to_ready, STDOUT_FILENO);
    if (draws_screen) {
        dup2(messages[0], STDIN_FILENO);
    }
    fcntl(rights, F_SETFD, 0);
    note_pid();
    prctl(PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN, 0, 0, 0);
    const char *how = draws_screen ? "--screen" : asks ? "--ask-size" : NULL;
    execl(CONSOLE_PATH, CONSOLE_PATH, how, NULL);
    fprintf(stderr, "init: %s: %s\n", CONSOLE_PATH, strerror(errno));
    _exit(127);
}

static void start(bool asks) {
    int ends[2];
    int all = authority(), rights = handle_mint(all, RIGHT_DEVICES | RIGHT_NAMESPACE, 0);
    close(all);
    if (rights < 0 || pipe2(ends, O_CLOEXEC) < 0) {
        close(rights);
        driver = -1;
        return;
    }
    driver = fork();
    if (driver == 0) {
        become_console(rights, ends[1], asks);
    }
    close(rights);
    close(ends[1]);
    ready = ends[0];
}

/* Waits until the driver is ready or has ended, which it may have already. */
static bool became_ready(void) {
    char byte;
    bool came = read(ready, &byte, 1) == 1;
    close(ready);
    ready = -1;
    failures = came ? 0 : failures + 1;
    return came;
}

/* Only the first is waited for: a later one may need a file server that init has to start first. */
bool console_start(bool asks, bool screen) {
    draws_screen = screen && pipe2(messages, O_CLOEXEC | O_NONBLOCK) == 0;
    start(asks);
    return became_ready();
}

void console_note_end(pid_t pid) {
    if (pid <= 0 || pid != driver) {
        return;
    }
    if (ready >= 0) {
        became_ready();
    }
    if (failures < FAILURES_MAX) {
        start(false);
    } else {
        driver = -1;
        console_say("init: the console's driver does not come back\n");
    }
}
