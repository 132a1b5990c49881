/*
 * The kernel's command line: words of the form key=value; the last one of a key counts.
 */
#ifndef KERNEL_OPTIONS_H
#define KERNEL_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>

extern char kernel_command_line[]; /* as the loader gave it; constant after start-up */

/* Remembers the line. Once. */
void options_init(const char *line);

/* The value of `key`, cut to size - 1 bytes. False when there is none. */
bool option_get(const char *key, char *value, size_t size);

#endif
