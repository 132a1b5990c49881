/*
 * The console as a terminal: line editing, echo, signals, window size. Input comes from the console thread.
 */
#ifndef KERNEL_TERMINAL_H
#define KERNEL_TERMINAL_H

#include <stdbool.h>
#include <stdint.h>

#include "kernel/file_abi.h"
#include "kernel/status.h"
#include "kernel/wait.h"
#include "mm/types.h"

struct file;
struct file_operations;
struct memory_object;

extern const struct file_operations terminal_operations;

/* ERR_NO_MEMORY. Once, at boot. */
MUST_USE enum status terminal_init(void);

/* Once, by the console thread, in its own process: opens the input buffer (LOGICAL ACCESS). Panics when memory is
 * short. */
void terminal_thread_begin(void);

/* terminal_input(): see kernel/file.h. */

/* Internal: between terminal.c, terminal_input.c and terminal_control.c. */

#define TERMINAL_BUFFER    PAGE_SIZE
#define CONTROL_CHARACTERS 19

enum {
    VINTR,
    VQUIT,
    VERASE,
    VKILL,
    VEOF,
    VTIME,
    VMIN,
    VSWTC,
    VSTART,
    VSTOP,
    VSUSP,
    VEOL,
    VREPRINT,
    VDISCARD,
    VWERASE,
    VLNEXT,
    VEOL2
};
enum { IGNCR = 0200, ICRNL = 0400, INLCR = 0100, IXON = 02000 };
enum { OPOST = 01, ONLCR = 04 };
enum {
    ISIG = 01,
    ICANON = 02,
    ECHO = 010,
    ECHOE = 020,
    ECHOK = 040,
    ECHONL = 0100,
    NOFLSH = 0200,
    ECHOCTL = 01000,
    ECHOKE = 04000,
    IEXTEN = 0100000
};

/* The kernel's struct termios. */
struct terminal_settings {
    uint32_t input, output, control, local;
    uint8_t line;
    uint8_t characters[CONTROL_CHARACTERS];
};

struct terminal_size {
    uint16_t rows, columns, width, height;
};

/*
 * Class GLOBAL: numbers and settings. The bytes are in one SECRET frame of `object`; those that were read or erased are
 * zero. Positions count up for ever; modulo TERMINAL_BUFFER they are places in the frame. read_at ≤ line_end ≤
 * write_at.
 */
struct terminal {
    struct memory_object *object; /* constant; its lock protects all below */
    frame_t frame;                /* constant */
    uint32_t read_at;             /* next byte to be read */
    uint32_t line_end;            /* up to here it may be read: behind it is the line being edited */
    uint32_t write_at;
    uint64_t delimiters[TERMINAL_BUFFER / 64]; /* a bit per place: a line ends there */
    struct terminal_settings settings;
    struct terminal_size size;
    uint32_t foreground, session; /* process groups */
    struct wait_queue readable;
};

extern struct terminal terminal;

static inline bool terminal_is_delimiter(uint32_t position) {
    return terminal.delimiters[position % TERMINAL_BUFFER / 64] >> position % 64 & 1;
}
static inline void terminal_set_delimiter(uint32_t position, bool on) {
    uint64_t *word = &terminal.delimiters[position % TERMINAL_BUFFER / 64], bit = 1UL << position % 64;
    *word = on ? *word | bit : *word & ~bit;
}

/* Forgets all input; clears it. Lock held; the calling process has the object open. */
void terminal_flush_input(void);

/* ioctl. */
MUST_USE enum status terminal_control(struct file *file, uint32_t command, uint64_t argument, int64_t *result);

#endif
