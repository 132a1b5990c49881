/*
 * The console's driver, which every run has.
 */
#ifndef USER_INIT_CONSOLE_H
#define USER_INIT_CONSOLE_H

#include <stdbool.h>
#include <sys/types.h>

/*
 * True when it serves the terminal. Without it the kernel prints what is written, and nobody can type. `asks`: a person
 * is at the other end, who has a window. `screen`: this driver and those after it are to draw the screen themselves.
 */
bool console_start(bool asks, bool screen);

/*
 * Prints a line of init's own: the kernel does, which waits for nobody, and where the driver draws the screen that
 * does, too. Children of init write to standard error.
 */
void console_say(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* A process has ended: if it was the driver it is started again. */
void console_note_end(pid_t pid);

#endif
