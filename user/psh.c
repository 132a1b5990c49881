/*
 * psh: a small shell (its language: user/lib/shell.h), which is /bin/sh where there is no busybox. It leaves the
 * editing of lines to the console.
 *
 *     psh                 commands from standard input, with a prompt when that is a terminal
 *     psh -c TEXT [NAME [ARGUMENT…]]
 *     psh FILE [ARGUMENT…]
 */
#include "user/lib/asi.h"
#include "user/lib/shell.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAX_LINE = 4096, MAX_SCRIPT = 1 << 20 };

static void note_interrupt(int number) { (void)number; /* being there makes read() return with EINTR */ }

static void catch_interrupts(void) {
    struct sigaction action = {.sa_handler = note_interrupt}; /* no SA_RESTART */
    sigaction(SIGINT, &action, NULL);
    signal(SIGTTOU, SIG_IGN); /* it takes the terminal back when it is not in the foreground */
    signal(SIGTTIN, SIG_IGN);
    signal(SIGTSTP, SIG_IGN);
    signal(SIGQUIT, SIG_IGN);
}

static void print_prompt(void) {
    struct asi_state state;
    if (asi_get_state(&state) < 0) {
        fputs("linux$ ", stderr);
    } else {
        fprintf(stderr, "penumbra(%s)$ ", asi_mode_name(state.mode));
    }
}

/* Byte by byte: what follows the line belongs to the commands in it. Returns the length, 0 at the end, -1 when
 * interrupted. */
static ssize_t read_line(char *line, size_t size) {
    size_t length = 0;
    while (length + 1 < size) {
        ssize_t count = read(STDIN_FILENO, &line[length], 1);
        if (count < 0) {
            return errno == EINTR ? -1 : 0;
        }
        if (count == 0 || line[length++] == '\n') {
            break;
        }
    }
    line[length] = '\0';
    return (ssize_t)length;
}

static void run_lines(struct shell *shell) {
    static char line[MAX_LINE];
    while (!shell->leaving) {
        shell_reap_background(shell);
        if (shell->interactive) {
            print_prompt();
        }
        ssize_t length = read_line(line, sizeof line);
        if (length == 0) {
            break;
        }
        if (length < 0) {
            fputs("\n", stderr);
            shell->status = 128 + SIGINT;
            continue;
        }
        shell_run_text(shell, line);
    }
    if (shell->interactive && !shell->leaving) {
        fputs("\n", stderr);
    }
}

static bool run_file(struct shell *shell, const char *name) {
    static char script[MAX_SCRIPT];
    size_t length = 0;
    ssize_t count = 0;
    int file = open(name, O_RDONLY | O_CLOEXEC);
    while (file >= 0 && length < sizeof script - 1 &&
           (count = read(file, script + length, sizeof script - 1 - length)) > 0) {
        length += (size_t)count;
    }
    if (file < 0 || count < 0) {
        fprintf(stderr, "psh: %s: %s\n", name, strerror(errno));
        return false;
    }
    close(file);
    shell_run_text(shell, script);
    return true;
}

int main(int argc, char **argv) {
    static struct shell shell;
    bool text = argc > 2 && strcmp(argv[1], "-c") == 0;
    int skipped = text ? (argc > 3 ? 3 : 0) : argc > 1;
    shell.arguments = argv + skipped;
    shell.argument_count = argc - skipped;
    if (text) {
        if (skipped == 0) {
            shell.argument_count = 1;
        }
        shell_run_text(&shell, argv[2]);
    } else if (argc > 1) {
        return run_file(&shell, argv[1]) ? shell.status : 127;
    } else {
        shell.interactive = isatty(STDIN_FILENO);
        if (shell.interactive) {
            catch_interrupts();
        }
        run_lines(&shell);
    }
    fflush(stdout);
    return shell.status;
}
