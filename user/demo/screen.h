/*
 * What the audience sees: text at reading pace, in colours where the terminal has them.
 */
#ifndef USER_DEMO_SCREEN_H
#define USER_DEMO_SCREEN_H

#include <stdbool.h>

enum colour { PLAIN, DIM, BOLD, RED, GREEN, YELLOW, CYAN };

/* pace: 1 for reading, 0 for tests. */
void screen_init(double pace, bool colours);

/* Prints in a colour, shown at once. */
void show(enum colour wanted, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* A heading; a paragraph, wrapped to the width, and time to read it. */
void heading(const char *format, ...) __attribute__((format(printf, 1, 2)));
void paragraph(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Waits that long, times the pace. */
void wait_ms(unsigned ms);

#endif
