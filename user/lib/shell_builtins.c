/*
 * sh: the commands that must run in the shell itself because they change it.
 */
#include "user/lib/shell.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

extern char **environ;

static int cd(struct shell *shell, char **words) {
    const char *directory = words[1] != NULL ? words[1] : getenv("HOME");
    (void)shell;
    if (directory == NULL || chdir(directory) < 0) {
        fprintf(stderr, "cd: %s: %s\n", directory ? directory : "HOME", directory ? strerror(errno) : "not set");
        return 1;
    }
    return 0;
}

static int pwd(struct shell *shell, char **words) {
    char path[4096];
    (void)shell, (void)words;
    if (getcwd(path, sizeof path) == NULL) {
        perror("pwd");
        return 1;
    }
    puts(path);
    return 0;
}

static int leave(struct shell *shell, char **words) {
    shell->leaving = true;
    return words[1] != NULL ? (int)strtol(words[1], NULL, 10) & 0xff : shell->status;
}

void shell_assign(const char *assignment) {
    char *copy = strdup(assignment);
    if (copy != NULL) {
        char *value = strchr(copy, '=');
        *value++ = '\0';
        setenv(copy, value, 1);
        free(copy);
    }
}

static int export(struct shell *shell, char **words) {
    (void)shell;
    if (words[1] == NULL) {
        for (char **variable = environ; *variable != NULL; variable++) {
            puts(*variable);
        }
    }
    for (char **word = words + 1; words[1] != NULL && *word != NULL; word++) {
        if (shell_is_assignment(*word)) {
            shell_assign(*word);
        } /* a bare NAME is exported already: every variable is */
    }
    return 0;
}

static int unset(struct shell *shell, char **words) {
    (void)shell;
    for (char **word = words + 1; *word != NULL; word++) {
        unsetenv(*word);
    }
    return 0;
}

static int to_foreground(struct shell *shell, char **words) {
    (void)words;
    return shell_continue(shell, true);
}

static int to_background(struct shell *shell, char **words) {
    (void)words;
    return shell_continue(shell, false);
}

static int help(struct shell *shell, char **words) {
    (void)shell, (void)words;
    puts("Programs\n"
         "  asictl [mode|flush|audit|reset|exit …]  show or set the isolation\n"
         "  asistat [COMMAND …]                     exits by cause and kernel address, of a command or since boot\n"
         "  asibench [--rows=… --modes=… --csv]     what operations cost in each mode\n"
         "  ls, cat, echo, stty, true, false, sh    (see /bin)\n"
         "The shell itself\n"
         "  cd, pwd, export, unset, exit, fg, bg, help\n"
         "  A | B, A && B, A || B, A; B, A &, < > >> 2> 2>&1, \"…\" '…' \\, $NAME $? $1, NAME=value\n"
         "Ctrl-C ends what runs, Ctrl-Z stops it; exit or Ctrl-D leaves.");
    return 0;
}

builtin_function shell_find_builtin(const char *name) {
    static const struct {
        const char *name;
        builtin_function function;
    } builtins[] = {
        {"cd", cd},       {"pwd", pwd},   {"exit", leave},       {"export", export},
        {"unset", unset}, {"help", help}, {"fg", to_foreground}, {"bg", to_background},
    };
    for (size_t i = 0; i < sizeof builtins / sizeof builtins[0]; i++) {
        if (strcmp(name, builtins[i].name) == 0) {
            return builtins[i].function;
        }
    }
    return NULL;
}
