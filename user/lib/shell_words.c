/*
 * sh: from text to tokens, with quotes taken off and variables put in.
 */
#include "user/lib/shell.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A word while it grows. */
struct text {
    char *bytes;
    size_t length, capacity;
};

static void append(struct text *text, const char *bytes, size_t count) {
    if (text->length + count + 1 > text->capacity) {
        text->capacity = 2 * text->capacity + count + 16;
        text->bytes = realloc(text->bytes, text->capacity);
        if (text->bytes == NULL) {
            fputs("sh: out of memory\n", stderr);
            exit(1);
        }
    }
    memcpy(text->bytes + text->length, bytes, count);
    text->length += count;
    text->bytes[text->length] = '\0';
}

static bool is_name_start(char c) { return isalpha((unsigned char)c) || c == '_'; }

static size_t name_length(const char *text) {
    size_t length = 0;
    if (is_name_start(text[0])) {
        while (is_name_start(text[length]) || isdigit((unsigned char)text[length])) {
            length++;
        }
    }
    return length;
}

bool shell_is_assignment(const char *word) {
    size_t length = name_length(word);
    return length > 0 && word[length] == '=';
}

static void append_named(struct text *out, const char *name, size_t length) {
    char copy[128];
    snprintf(copy, sizeof copy, "%.*s", (int)length, name);
    const char *value = getenv(copy);
    if (value != NULL) {
        append(out, value, strlen(value));
    }
}

static void append_number(struct text *out, long number) {
    char digits[24];
    append(out, digits, (size_t)snprintf(digits, sizeof digits, "%ld", number));
}

/* `text` stands after a '$'. Returns what follows the name; a '$' without one stands for itself. */
static const char *expand(const struct shell *shell, struct text *out, const char *text) {
    bool braced = text[0] == '{';
    const char *name = text + braced;
    size_t length = name_length(name);
    if (braced && (length == 0 || name[length] != '}')) {
        append(out, "$", 1);
        return text;
    }
    if (length > 0) {
        append_named(out, name, length);
        return name + length + braced;
    }
    if (isdigit((unsigned char)*text)) {
        int index = *text - '0';
        if (index < shell->argument_count) {
            append(out, shell->arguments[index], strlen(shell->arguments[index]));
        }
    } else if (*text == '?') {
        append_number(out, shell->status);
    } else if (*text == '#') {
        append_number(out, shell->argument_count - 1);
    } else if (*text == '!') {
        append_number(out, shell->last_background);
    } else {
        append(out, "$", 1);
        return text;
    }
    return text + 1;
}

/* `text` stands after the opening quote. Returns what follows the closing one, or NULL when there is none. */
static const char *single_quoted(struct text *out, const char *text) {
    const char *end = strchr(text, '\'');
    if (end == NULL) {
        return NULL;
    }
    append(out, text, (size_t)(end - text));
    return end + 1;
}

static const char *double_quoted(const struct shell *shell, struct text *out, const char *text) {
    while (*text != '"') {
        if (*text == '\0') {
            return NULL;
        }
        if (*text == '$') {
            text = expand(shell, out, text + 1);
            continue;
        }
        if (*text == '\\' && text[1] == '\n') {
            text += 2;
            continue;
        }
        if (*text == '\\' && text[1] != '\0' && strchr("\"\\$`", text[1]) != NULL) {
            text++;
        }
        append(out, text++, 1);
    }
    return text + 1;
}

static bool ends_word(char c) { return c == '\0' || strchr(" \t\r\n|&;<>", c) != NULL; }

/* Reads a word. *quoted tells an empty word in quotes from one that expanded to nothing. */
static const char *read_word(const struct shell *shell, const char *text, struct text *out, bool *quoted) {
    while (text != NULL && !ends_word(*text)) {
        if (*text == '\'' || *text == '"') {
            *quoted = true;
            text = *text == '"' ? double_quoted(shell, out, text + 1) : single_quoted(out, text + 1);
        } else if (*text == '$') {
            text = expand(shell, out, text + 1);
        } else if (*text == '\\' && text[1] == '\n') {
            text += 2;
        } else {
            text += *text == '\\' && text[1] != '\0';
            append(out, text++, 1);
        }
    }
    return text;
}

static const char *skip_blanks(const char *text) {
    for (;;) {
        if (*text == ' ' || *text == '\t' || *text == '\r') {
            text++;
        } else if (text[0] == '\\' && text[1] == '\n') {
            text += 2;
        } else if (*text == '#') {
            text += strcspn(text, "\n");
        } else {
            return text;
        }
    }
}

/* True for [n]<, [n]>, [n]>> and [n]>&, which are then stepped over. */
static bool read_redirection(const char **cursor, struct redirection *redirection) {
    const char *text = *cursor;
    int descriptor = -1;
    if (isdigit((unsigned char)text[0]) && (text[1] == '<' || text[1] == '>')) {
        descriptor = *text++ - '0';
    }
    if (*text != '<' && *text != '>') {
        return false;
    }
    redirection->descriptor = descriptor >= 0 ? descriptor : *text == '>';
    redirection->kind = *text++ == '<' ? REDIRECT_READ : REDIRECT_WRITE;
    if (*text == '&') {
        redirection->kind = REDIRECT_DUPLICATE;
        text++;
    } else if (*text == '>' && redirection->kind == REDIRECT_WRITE) {
        redirection->kind = REDIRECT_APPEND;
        text++;
    }
    redirection->target = NULL;
    *cursor = text;
    return true;
}

static enum token read_operator(const char **cursor) {
    char first = *(*cursor)++;
    bool doubled = **cursor == first;
    switch (first) {
    case '|':
        *cursor += doubled;
        return doubled ? TOKEN_OR : TOKEN_PIPE;
    case '&':
        *cursor += doubled;
        return doubled ? TOKEN_AND : TOKEN_BACKGROUND;
    default:
        return TOKEN_SEQUENCE;
    }
}

enum token shell_next_token(const struct shell *shell, const char **cursor, char **word,
                            struct redirection *redirection) {
    for (;;) {
        const char *text = *cursor = skip_blanks(*cursor);
        if (*text == '\0') {
            return TOKEN_END;
        }
        if (read_redirection(cursor, redirection)) {
            return TOKEN_REDIRECT;
        }
        if (ends_word(*text)) {
            return read_operator(cursor);
        }
        struct text out = {0};
        bool quoted = false;
        append(&out, "", 0);
        text = read_word(shell, text, &out, &quoted);
        if (text == NULL) {
            free(out.bytes);
            return TOKEN_ERROR;
        }
        *cursor = text;
        if (out.length > 0 || quoted) {
            *word = out.bytes;
            return TOKEN_WORD;
        }
        free(out.bytes);
    }
}
