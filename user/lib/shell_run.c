/*
 * sh: parses and runs pipelines.
 *
 * Interactive: each pipeline is a process group of its own and has the terminal while it runs in the foreground.
 * Otherwise all stay in the shell's group, so that one Ctrl-C ends the script with what it runs.
 */
#include "user/lib/shell.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { STATUS_SYNTAX = 2, STATUS_NOT_EXECUTABLE = 126, STATUS_NOT_FOUND = 127, SAVED_DESCRIPTORS = 10 };

static void free_pipeline(struct pipeline *pipeline) {
    for (unsigned i = 0; i < pipeline->count; i++) {
        struct command *command = &pipeline->commands[i];
        for (unsigned word = 0; word < command->word_count; word++) {
            free(command->words[word]);
        }
        for (unsigned j = 0; j < command->redirection_count; j++) {
            free(command->redirections[j].target);
        }
    }
    memset(pipeline, 0, sizeof *pipeline);
}

static bool syntax_error(const char *what) {
    fprintf(stderr, "sh: syntax error: %s\n", what);
    return false;
}

static bool add_redirection(const struct shell *shell, const char **cursor, struct command *command,
                            struct redirection redirection) {
    struct redirection unused;
    if (command->redirection_count == SHELL_MAX_REDIRECTIONS) {
        return syntax_error("too many redirections");
    }
    if (shell_next_token(shell, cursor, &redirection.target, &unused) != TOKEN_WORD) {
        return syntax_error("redirection without a target");
    }
    command->redirections[command->redirection_count++] = redirection;
    return true;
}

static bool add_word(struct command *command, char *word) {
    if (command->word_count == SHELL_MAX_WORDS) {
        free(word);
        return syntax_error("too many words");
    }
    command->assignments += command->assignments == command->word_count && shell_is_assignment(word);
    command->words[command->word_count++] = word;
    return true;
}

/* Reads up to the operator that ends the pipeline, which is returned; TOKEN_ERROR after a message. */
static enum token parse_pipeline(const struct shell *shell, const char **cursor, struct pipeline *pipeline) {
    pipeline->count = 1;
    for (;;) {
        struct command *command = &pipeline->commands[pipeline->count - 1];
        bool empty = command->word_count == 0 && command->redirection_count == 0;
        struct redirection redirection;
        char *word;
        enum token token = shell_next_token(shell, cursor, &word, &redirection);
        if (token == TOKEN_WORD || token == TOKEN_REDIRECT) {
            if (token == TOKEN_WORD ? !add_word(command, word)
                                    : !add_redirection(shell, cursor, command, redirection)) {
                return TOKEN_ERROR;
            }
            continue;
        }
        if (token == TOKEN_SEQUENCE && empty && pipeline->count > 1) {
            continue; /* a line may end after '|' */
        }
        if (token == TOKEN_ERROR) {
            syntax_error("unterminated quote");
        } else if (empty && (pipeline->count > 1 || (token != TOKEN_SEQUENCE && token != TOKEN_END))) {
            syntax_error("command missing");
            token = TOKEN_ERROR;
        } else if (token == TOKEN_PIPE && pipeline->count == SHELL_MAX_COMMANDS) {
            syntax_error("too many commands");
            token = TOKEN_ERROR;
        } else if (token == TOKEN_PIPE) {
            pipeline->count++;
            continue;
        }
        pipeline->background = token == TOKEN_BACKGROUND;
        return token;
    }
}

static int open_target(const struct redirection *redirection) {
    switch (redirection->kind) {
    case REDIRECT_READ:
        return open(redirection->target, O_RDONLY);
    case REDIRECT_WRITE:
        return open(redirection->target, O_WRONLY | O_CREAT | O_TRUNC, 0666);
    default:
        return open(redirection->target, O_WRONLY | O_CREAT | O_APPEND, 0666);
    }
}

bool shell_redirect(const struct command *command) {
    for (unsigned i = 0; i < command->redirection_count; i++) {
        const struct redirection *redirection = &command->redirections[i];
        bool duplicate = redirection->kind == REDIRECT_DUPLICATE;
        int file = duplicate ? (int)strtol(redirection->target, NULL, 10) : open_target(redirection);
        if (file < 0 || dup2(file, redirection->descriptor) < 0) {
            fprintf(stderr, "sh: %s: %s\n", redirection->target, strerror(errno));
            return false;
        }
        if (!duplicate && file != redirection->descriptor) {
            close(file);
        }
    }
    return true;
}

/* Runs a builtin in the shell itself; its redirections are undone afterwards. */
static int run_builtin(struct shell *shell, builtin_function function, const struct command *command) {
    const bool redirected = command->redirection_count > 0;
    int saved[3] = {-1, -1, -1};
    fflush(stdout);
    for (int i = 0; i < 3 && redirected; i++) {
        saved[i] = fcntl(i, F_DUPFD_CLOEXEC, SAVED_DESCRIPTORS);
    }
    int status = shell_redirect(command) ? function(shell, (char **)command->words + command->assignments) : 1;
    fflush(stdout);
    for (int i = 0; i < 3 && redirected; i++) {
        if (saved[i] >= 0) {
            dup2(saved[i], i);
            close(saved[i]);
        } else {
            close(i);
        }
    }
    return status;
}

static _Noreturn void run_in_child(struct shell *shell, const struct command *command) {
    char **words = (char **)command->words + command->assignments;
    if (!shell_redirect(command)) {
        _exit(1);
    }
    for (unsigned i = 0; i < command->assignments; i++) {
        shell_assign(command->words[i]);
    }
    if (words[0] == NULL) {
        _exit(0);
    }
    builtin_function function = shell_find_builtin(words[0]);
    if (function != NULL) {
        int status = function(shell, words);
        fflush(stdout);
        _exit(status);
    }
    execvp(words[0], words);
    bool missing = errno == ENOENT;
    fprintf(stderr, "sh: %s: %s\n", words[0], missing ? "not found" : strerror(errno));
    _exit(missing ? STATUS_NOT_FOUND : STATUS_NOT_EXECUTABLE);
}

/* Both parent and child do this, so that it is done whichever runs first. Errors: the other was first, or there is no
 * terminal. */
static void enter_group(const struct shell *shell, pid_t member, pid_t group, bool background) {
    if (shell->interactive) {
        setpgid(member, group);
        if (!background) {
            tcsetpgrp(STDIN_FILENO, group ? group : getpgrp());
        }
    }
}

static void become_member(const struct shell *shell, pid_t group, bool background) {
    signal(SIGTTOU, SIG_IGN); /* the next line takes the terminal from the background */
    enter_group(shell, 0, group, background);
    signal(SIGTTOU, SIG_DFL);
    if (shell->interactive) {
        signal(SIGINT, SIG_DFL);
        signal(SIGQUIT, SIG_DFL);
        signal(SIGTSTP, SIG_DFL);
        signal(SIGTTIN, SIG_DFL);
    } else if (background) {
        signal(SIGINT, SIG_IGN); /* there is no group to tell the terminal's Ctrl-C from the script's own */
    }
}

/*
 * Starts one command of a pipeline, reading from `input` (closed here) and writing to a new pipe unless it is the
 * last.
 */
static pid_t start_command(struct shell *shell, const struct pipeline *pipeline, unsigned index, pid_t group,
                           int *input) {
    int ends[2] = {-1, -1};
    if (index + 1 < pipeline->count && pipe(ends) < 0) {
        perror("sh: pipe");
        return -1;
    }
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        become_member(shell, group, pipeline->background);
        if (*input >= 0) {
            dup2(*input, STDIN_FILENO);
            close(*input);
        }
        if (ends[1] >= 0) {
            dup2(ends[1], STDOUT_FILENO);
            close(ends[0]);
            close(ends[1]);
        }
        run_in_child(shell, &pipeline->commands[index]);
    }
    if (child < 0) {
        perror("sh: fork");
    } else {
        enter_group(shell, child, group ? group : child, pipeline->background);
    }
    if (*input >= 0) {
        close(*input);
    }
    if (ends[1] >= 0) {
        close(ends[1]);
    }
    *input = ends[0];
    return child;
}

static int describe_end(pid_t child, int status) {
    if (!WIFSIGNALED(status)) {
        return WEXITSTATUS(status);
    }
    if (WTERMSIG(status) == SIGINT) {
        fputs("\n", stderr);
    } else if (WTERMSIG(status) != SIGPIPE) {
        fprintf(stderr, "sh: process %d: %s\n", (int)child, strsignal(WTERMSIG(status)));
    }
    return 128 + WTERMSIG(status);
}

/* Until the members of a group have ended, or stopped: of that the status of `last`. */
static int wait_for_group(struct shell *shell, pid_t group, pid_t last) {
    int status, result = STATUS_NOT_FOUND;
    for (;;) {
        pid_t child = waitpid(-group, &status, WUNTRACED);
        if (child < 0 && errno == EINTR) {
            continue;
        }
        if (child < 0) {
            return result;
        }
        if (WIFSTOPPED(status)) {
            shell->stopped = group;
            fprintf(stderr, "\n[%d] stopped\n", (int)group);
            return 128 + WSTOPSIG(status);
        }
        int ended = describe_end(child, status);
        result = child == last || last == 0 ? ended : result;
    }
}

static int wait_for(pid_t child) {
    int status;
    while (waitpid(child, &status, 0) < 0) {
        if (errno != EINTR) {
            return STATUS_NOT_FOUND;
        }
    }
    return describe_end(child, status);
}

int shell_continue(struct shell *shell, bool foreground) {
    pid_t group = shell->stopped;
    int status = 0;
    if (group == 0) {
        fputs("sh: nothing is stopped\n", stderr);
        return 1;
    }
    shell->stopped = 0;
    if (foreground) {
        tcsetpgrp(STDIN_FILENO, group);
    }
    kill(-group, SIGCONT);
    if (foreground) {
        status = wait_for_group(shell, group, 0);
        tcsetpgrp(STDIN_FILENO, getpgrp());
    } else {
        shell->last_background = group;
    }
    return status;
}

static int start_pipeline(struct shell *shell, const struct pipeline *pipeline) {
    pid_t children[SHELL_MAX_COMMANDS];
    unsigned started = 0;
    int input = -1, status = 1;
    while (started < pipeline->count) {
        pid_t child = start_command(shell, pipeline, started, started ? children[0] : 0, &input);
        if (child < 0) {
            break;
        }
        children[started++] = child;
    }
    if (input >= 0) {
        close(input);
    }
    if (started == pipeline->count && pipeline->background) {
        shell->last_background = children[started - 1];
        if (shell->interactive) {
            fprintf(stderr, "[%d]\n", (int)shell->last_background);
        }
        return 0;
    }
    if (shell->interactive && started > 0) {
        status = wait_for_group(shell, children[0], children[started - 1]);
        tcsetpgrp(STDIN_FILENO, getpgrp());
        return started == pipeline->count ? status : 1;
    }
    for (unsigned i = 0; i < started; i++) {
        int ended = wait_for(children[i]);
        status = i + 1 == pipeline->count ? ended : 1;
    }
    return status;
}

static bool is_empty(const struct pipeline *pipeline) {
    const struct command *first = &pipeline->commands[0];
    return pipeline->count == 1 && first->word_count == 0 && first->redirection_count == 0;
}

static int run_pipeline(struct shell *shell, const struct pipeline *pipeline) {
    const struct command *first = &pipeline->commands[0];
    if (pipeline->count > 1 || pipeline->background) {
        return start_pipeline(shell, pipeline);
    }
    if (first->assignments == first->word_count && first->redirection_count == 0) {
        for (unsigned i = 0; i < first->assignments; i++) {
            shell_assign(first->words[i]);
        }
        return first->word_count ? 0 : shell->status;
    }
    const char *name = first->words[first->assignments];
    builtin_function function = name != NULL ? shell_find_builtin(name) : NULL;
    return function != NULL ? run_builtin(shell, function, first) : start_pipeline(shell, pipeline);
}

/* After '&&' and '||': whether what follows is to be run. */
static bool is_due(const struct shell *shell, enum token previous) {
    return previous == TOKEN_AND ? shell->status == 0 : previous != TOKEN_OR || shell->status != 0;
}

void shell_run_text(struct shell *shell, const char *text) {
    static struct pipeline pipeline;
    enum token previous = TOKEN_SEQUENCE, token;
    do {
        token = parse_pipeline(shell, &text, &pipeline);
        bool missing = is_empty(&pipeline) && (previous == TOKEN_AND || previous == TOKEN_OR);
        if (missing && token == TOKEN_SEQUENCE) {
            continue; /* a line may end after '&&' and '||' */
        }
        if (missing && token == TOKEN_END) {
            syntax_error("command missing");
            token = TOKEN_ERROR;
        }
        if (token == TOKEN_ERROR) {
            shell->status = STATUS_SYNTAX;
        } else if (is_due(shell, previous)) {
            shell->status = run_pipeline(shell, &pipeline);
        }
        free_pipeline(&pipeline);
        previous = token;
    } while (token != TOKEN_END && token != TOKEN_ERROR && !shell->leaving);
}

void shell_reap_background(const struct shell *shell) {
    int status;
    pid_t ended;
    while ((ended = waitpid(-1, &status, WNOHANG)) > 0) {
        if (shell->interactive) {
            fprintf(stderr, "[%d] ended with %d\n", (int)ended,
                    WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status));
        }
    }
}
