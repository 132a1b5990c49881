/*
 * The log: the kernel's latest messages, for syslog() and for a screen that somebody else draws.
 *
 * Positions count the bytes that were ever logged. Each line begins with "<6>", as syslog() gives them.
 */
#ifndef KERNEL_LOG_H
#define KERNEL_LOG_H

#include <stddef.h>
#include <stdint.h>

#define LOG_BYTES 8192U

/* A message; metadata only. The console is held (kernel/print.h), or the caller is the last CPU alive. */
void log_append(const char *text, size_t bytes);

/* Where it ends, and where the oldest line begins that is still there. */
uint64_t log_end(void);
uint64_t log_begin(void);

/*
 * Copies at most `room` bytes from *position on, or from where the log begins if that is later, and moves it behind
 * them. Returns how many.
 */
size_t log_read(uint64_t *position, char *to, size_t room);

#endif
