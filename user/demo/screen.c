/*
 * Owns: the pace, and the colour that is on. A paragraph takes as long as its words.
 */
#include "user/demo/screen.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { WIDTH = 78, MS_PER_WORD = 110 };

static double pace;
static bool with_colours;

void screen_init(double new_pace, bool colours) {
    pace = new_pace;
    with_colours = colours;
}

void wait_ms(unsigned ms) {
    const double whole = ms * pace;
    const struct timespec time = {.tv_sec = (time_t)(whole / 1000),
                                  .tv_nsec = (long)((whole - 1000 * (double)(long)(whole / 1000)) * 1e6)};
    fflush(stdout);
    if (whole > 0) {
        nanosleep(&time, NULL);
    }
}

static void set_colour(enum colour wanted) {
    static enum colour now = PLAIN;
    static const char *const codes[] = {
        [PLAIN] = "0", [DIM] = "2", [BOLD] = "1", [RED] = "1;31", [GREEN] = "1;32", [YELLOW] = "33", [CYAN] = "36"};
    if (with_colours && wanted != now) {
        printf("\033[%sm", codes[wanted]);
    }
    now = wanted;
}

/* A line break comes after the colour's end, so that a line begins with its text. */
static void show_list(enum colour wanted, const char *format, va_list list) {
    char text[512];
    vsnprintf(text, sizeof text, format, list);
    const size_t length = strlen(text);
    const bool breaks = length > 0 && text[length - 1] == '\n';
    text[length - breaks] = '\0';
    set_colour(wanted);
    fputs(text, stdout);
    set_colour(PLAIN);
    fputs(breaks ? "\n" : "", stdout);
    fflush(stdout);
}

void show(enum colour wanted, const char *format, ...) {
    va_list list;
    va_start(list, format);
    show_list(wanted, format, list);
    va_end(list);
}

void heading(const char *format, ...) {
    va_list list;
    va_start(list, format);
    show(PLAIN, "\n");
    show_list(BOLD, format, list);
    show(PLAIN, "\n");
    va_end(list);
    wait_ms(600);
}

void paragraph(const char *format, ...) {
    char text[1024], *rest;
    unsigned column = 0, words = 0;
    va_list list;
    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    for (char *word = strtok_r(text, " ", &rest); word != NULL; word = strtok_r(NULL, " ", &rest), words++) {
        const unsigned length = (unsigned)strlen(word);
        if (column != 0 && column + 1 + length > WIDTH) {
            printf("\n");
            column = 0;
        }
        column += (unsigned)printf(column == 0 ? "%s" : " %s", word);
    }
    printf("\n");
    wait_ms(words * MS_PER_WORD);
}
