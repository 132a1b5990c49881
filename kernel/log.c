/*
 * Owns: the log, a ring of the latest bytes that kprintf() wrote.
 *
 * Class discipline: plain GLOBAL memory, and so the kernel's own messages alone, which are metadata: what programs
 * write to the console never comes here. Lock: the console's (kernel/print.h). Any space, any context.
 */
#include "kernel/log.h"

#include <stdbool.h>

#include "kernel/print.h"
#include "kernel/string.h"

#define LEVEL "<6>" /* KERN_INFO */

static char ring[LOG_BYTES]; /* this and the rest: protected by the console's lock */
static uint64_t written;     /* position of the end */
static bool in_line;         /* the last message did not end its line */

_Static_assert((LOG_BYTES & (LOG_BYTES - 1)) == 0, "positions may wrap");

static void append_byte(char byte) { ring[written++ % LOG_BYTES] = byte; }

void log_append(const char *text, size_t bytes) {
    for (size_t i = 0; i < bytes; i++) {
        for (const char *mark = LEVEL; !in_line && *mark != '\0'; mark++)
            append_byte(*mark);
        append_byte(text[i]);
        in_line = text[i] != '\n';
    }
}

/* Console held. What is left of a line whose beginning is overwritten is passed over. */
static uint64_t first_line(void) {
    uint64_t at = written > LOG_BYTES ? written - LOG_BYTES + 1 : 0; /* the byte before it is still there */
    while (at > 0 && at < written && ring[(at - 1) % LOG_BYTES] != '\n')
        at++;
    return at;
}

uint64_t log_end(void) {
    bool irq = console_hold();
    uint64_t end = written;
    console_release(irq);
    return end;
}

uint64_t log_begin(void) {
    bool irq = console_hold();
    uint64_t begin = first_line();
    console_release(irq);
    return begin;
}

size_t log_read(uint64_t *position, char *to, size_t room) {
    size_t count = 0;
    bool irq = console_hold();
    uint64_t begin = first_line();
    *position = *position < begin ? begin : *position;
    for (; count < room && *position < written; count++)
        to[count] = ring[(*position)++ % LOG_BYTES];
    console_release(irq);
    return count;
}
