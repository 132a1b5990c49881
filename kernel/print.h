/*
 * The kernel's own messages, to the console. Metadata only: no byte of user memory, of a file or of a device is
 * printed.
 */
#ifndef KERNEL_PRINT_H
#define KERNEL_PRINT_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

/* printf's %d %u %x %lx %lu %ld %zu %p %s %c %% with width and zero padding. One line a call. Any context. */
void kprintf(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Text of a program, as it is: to the serial port and the screen, or to the screen. Keeps no copy. Any context. */
void console_print(const char *text, size_t bytes);
void screen_print(const char *text, size_t bytes);

/* Whether somebody else draws the screen from now on (drivers/screen.h). */
void screen_leave_to_server(bool leave);

/*
 * The console's ports for somebody else: kernel messages wait meanwhile. Not nested, interrupts off until released;
 * returns what console_release() needs.
 */
bool console_hold(void);
void console_release(bool irq);

/* Formats into `buffer` (always terminated when size > 0); returns the length that was needed. */
size_t format_string(char *buffer, size_t size, const char *format, ...) __attribute__((format(printf, 3, 4)));
size_t format_string_va(char *buffer, size_t size, const char *format, va_list arguments);

#endif
