/*
 * The console's driver, which every run has.
 */
#ifndef USER_INIT_CONSOLE_H
#define USER_INIT_CONSOLE_H

#include <stdbool.h>
#include <sys/types.h>

/*
 * True when it serves the terminal. Without it the kernel prints what is written, and nobody can type. `asks`: a person
 * is at the other end, who has a window.
 */
bool console_start(bool asks);

/* A process has ended: if it was the driver it is started again. */
void console_note_end(pid_t pid);

#endif
