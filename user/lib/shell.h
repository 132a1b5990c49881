/*
 * The parts of sh: words (shell_words.c), running a pipeline (shell_run.c), commands inside the shell
 * (shell_builtins.c).
 *
 * A text is read and run one pipeline at a time, so that `X=1; echo $X` and `$?` see what came before. The language has
 * quotes, backslashes, variables, redirections, `|`, `;`, `&`, `&&`, `||` and comments. It has no patterns, no control
 * flow, and it does not split the value of a variable into words. Every variable is in the environment.
 */
#ifndef USER_LIB_SHELL_H
#define USER_LIB_SHELL_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

enum { SHELL_MAX_WORDS = 256, SHELL_MAX_REDIRECTIONS = 8, SHELL_MAX_COMMANDS = 16 };

enum token {
    TOKEN_WORD,
    TOKEN_PIPE,       /* | */
    TOKEN_AND,        /* && */
    TOKEN_OR,         /* || */
    TOKEN_SEQUENCE,   /* ; or a newline */
    TOKEN_BACKGROUND, /* & */
    TOKEN_REDIRECT,   /* [n]< [n]> [n]>> [n]>&m */
    TOKEN_END,
    TOKEN_ERROR, /* an unterminated quote */
};

enum redirection_kind { REDIRECT_READ, REDIRECT_WRITE, REDIRECT_APPEND, REDIRECT_DUPLICATE };

struct redirection {
    enum redirection_kind kind;
    int descriptor; /* the one that is changed */
    char *target;   /* a path or, for REDIRECT_DUPLICATE, a number */
};

struct command {
    char *words[SHELL_MAX_WORDS + 1]; /* NULL after the last; heap */
    unsigned word_count;
    unsigned assignments; /* how many of the first words are NAME=value */
    struct redirection redirections[SHELL_MAX_REDIRECTIONS];
    unsigned redirection_count;
};

struct pipeline {
    struct command commands[SHELL_MAX_COMMANDS];
    unsigned count;
    bool background;
};

struct shell {
    int status;            /* $? */
    bool interactive;      /* pipelines get the terminal */
    bool leaving;          /* `exit` was called */
    pid_t last_background; /* $! */
    pid_t stopped;         /* the group that Ctrl-Z stopped last, or 0 */
    char **arguments;      /* $0, $1… */
    int argument_count;
};

/* shell_words.c */

/*
 * Reads one token at *cursor and steps over it. A word is returned expanded, on the heap; a redirection without its
 * target. An unquoted word that expands to nothing is left out.
 */
enum token shell_next_token(const struct shell *shell, const char **cursor, char **word,
                            struct redirection *redirection);

/* True when `word` begins with a variable's name and '='. */
bool shell_is_assignment(const char *word);

/* shell_run.c */

/* Runs a text; the status of its last pipeline is left in shell->status. */
void shell_run_text(struct shell *shell, const char *text);

/* Applies redirections to this process; false after a message. */
bool shell_redirect(const struct command *command);

/* Reaps background processes that ended; prints a line for each when interactive. */
void shell_reap_background(const struct shell *shell);

/* The stopped group goes on, in the foreground or the background; the status of what ended. */
int shell_continue(struct shell *shell, bool foreground);

/* shell_builtins.c */

typedef int (*builtin_function)(struct shell *shell, char **words);

/* NULL when `name` is no command of the shell itself. */
builtin_function shell_find_builtin(const char *name);

/* Sets NAME=value in the environment. */
void shell_assign(const char *assignment);

#endif
