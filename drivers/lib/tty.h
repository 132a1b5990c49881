/*
 * The line discipline: what happens to bytes between a line and those who read and write the terminal. Knows neither
 * system calls nor ports, so that it runs anywhere (tests/host/tty_test.c).
 *
 * Bytes typed go in by tty_input(), what is to be sent comes out by tty_output_span(). Nothing here waits: what cannot
 * be done now is TTY_AGAIN. Times are nanoseconds of any clock that does not go back. One thread.
 */
#ifndef DRIVERS_LIB_TTY_H
#define DRIVERS_LIB_TTY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernel/terminal_abi.h"

#define TTY_INPUT  4096U /* bytes that wait to be read or edited; as on Linux, a line has at most one less */
#define TTY_OUTPUT 4096U /* bytes that wait to be sent */
#define TTY_ECHO   256U  /* of them kept free by writers, for echo */

/* A queue. Positions count up for ever; modulo the size they are places. */
struct tty_output {
    uint8_t bytes[TTY_OUTPUT];
    uint32_t from, to; /* next to be sent; next to be filled */
    uint32_t column;   /* of the cursor, as far as can be known */
    bool stopped;      /* by the stop character or TCOOFF */
};

/* read_at ≤ line_end ≤ write_at. Bytes that were read or erased are zero. */
struct tty_input {
    uint8_t bytes[TTY_INPUT];
    uint64_t ends[TTY_INPUT / 64]; /* a bit per place: a line ends there. With byte 0: an end of file, not delivered */
    uint32_t read_at;              /* next to be read */
    uint32_t line_end;             /* up to here it may be read: behind it is the line being edited */
    uint32_t write_at;
    uint32_t first_column; /* where the line being edited began on the screen */
    bool literal;          /* the next byte is taken as it is */
    uint64_t last;         /* when the last byte came */
};

struct tty {
    struct terminal_settings settings;
    struct terminal_size size;
    struct tty_input input;
    struct tty_output output;
    uint64_t signals; /* bit n: send signal n to the foreground group. The caller takes them */
    /* The other end is a program, which has what was written as soon as it is in the queue: that counts as sent, and
     * what holds output up holds up writers, not the queue. Constant after tty_init(). */
    bool immediate;
    bool input_flushed, output_flushed; /* thrown away since the caller cleared these */
};

enum tty_result { TTY_DONE, TTY_AGAIN, TTY_UNKNOWN, TTY_INVALID };

/* Settings as a terminal has them at first: lines, echo, 115200 baud, 80 × 25. */
void tty_init(struct tty *tty);

/* A byte came from the line. */
void tty_input(struct tty *tty, uint8_t byte, uint64_t now);

/*
 * A read of at most `room` bytes, begun `elapsed` ns ago. TTY_DONE: *count bytes, 0 being the end of file, or VTIME's.
 * TTY_AGAIN: nothing yet, or too little for VMIN; ask again after *wait ns, or at the next input.
 */
enum tty_result tty_read(struct tty *tty, uint8_t *to, size_t room, uint64_t elapsed, bool nonblock, uint64_t now,
                         size_t *count, uint64_t *wait);

/* Whether the other end of an immediate one may send a byte now; with a line full that nobody can read, it is lost. */
bool tty_takes_input(const struct tty *tty);

/* Takes as many bytes as there is room for; returns how many. */
size_t tty_write(struct tty *tty, const uint8_t *bytes, size_t count);

/* Bytes to be sent, as many as lie in a row; 0 when there are none or output is stopped. _sent: so many were. */
size_t tty_output_span(const struct tty *tty, const uint8_t **bytes);
void tty_output_sent(struct tty *tty, size_t count);

/*
 * An ioctl, by Linux's number: TCSETS and its like, TIOCSWINSZ, FIONREAD, TIOCOUTQ, TCFLSH, TCXONC, TCSBRK, TCSBRKP.
 * `bytes`: what the argument points at. TTY_AGAIN: when output has been sent.
 */
enum tty_result tty_control(struct tty *tty, uint32_t command, uint64_t argument, const void *bytes, size_t count,
                            uint64_t *number);

/* POLL* bits: what would not have to wait. */
uint32_t tty_events(const struct tty *tty);

/* --- Between the parts -------------------------------------------------------------------------------------------- */

static inline bool tty_has_local(const struct tty *tty, uint32_t flag) { return tty->settings.local & flag; }
static inline bool tty_has_input(const struct tty *tty, uint32_t flag) { return tty->settings.input & flag; }

/* Puts a byte into the output as the output flags say, or as it is. False: no room, nothing has changed. */
bool tty_put(struct tty *tty, uint8_t byte);
bool tty_put_plain(struct tty *tty, uint8_t byte);
size_t tty_output_room(const struct tty *tty);

void tty_flush_input(struct tty *tty);
void tty_flush_output(struct tty *tty);

#endif
