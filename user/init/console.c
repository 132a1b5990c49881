/*
 * The console's driver (drivers/console): started before all others, and again whenever it ends. See console.h.
 */
#include "user/init/console.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "user/lib/native.h"

#define CONSOLE_PATH "/sbin/console"
#define CONSOLE_PID  "/run/console.pid" /* whom to kill in a test of what happens then */

static pid_t driver = -1;

/*
 * It gets the rights that it needs, and `ready` to write one byte to when it serves the terminal. The first one asks a
 * person's terminal how large it is; later ones are told by the kernel.
 */
static _Noreturn void become_console(int rights, int ready, bool asks) {
    char number[16];
    snprintf(number, sizeof number, "%d", rights);
    setenv("PENUMBRA_AUTHORITY", number, 1);
    setsid();
    dup2(ready, STDOUT_FILENO);
    fcntl(rights, F_SETFD, 0);
    execl(CONSOLE_PATH, CONSOLE_PATH, asks ? "--ask-size" : NULL, NULL);
    fprintf(stderr, "init: %s: %s\n", CONSOLE_PATH, strerror(errno));
    _exit(127);
}

static void note_console_pid(void) {
    mkdir("/run", 0755);
    FILE *file = fopen(CONSOLE_PID, "w");
    if (file != NULL) {
        fprintf(file, "%d\n", driver);
        fclose(file);
    }
}

bool console_start(bool asks) {
    int ready[2];
    char byte;
    int all = authority(), rights = handle_mint(all, RIGHT_DEVICES | RIGHT_NAMESPACE, 0);
    close(all);
    if (rights < 0 || pipe2(ready, O_CLOEXEC) < 0) {
        close(rights);
        return false;
    }
    driver = fork();
    if (driver == 0) {
        become_console(rights, ready[1], asks);
    }
    close(rights);
    close(ready[1]);
    bool started = read(ready[0], &byte, 1) == 1;
    close(ready[0]);
    if (started) {
        note_console_pid();
    }
    return started;
}

void console_note_end(pid_t pid) {
    if (pid > 0 && pid == driver && !console_start(false)) {
        fprintf(stderr, "init: the console's driver does not come back\n");
    }
}
