/*
 * Terminals that a process serves: what the kernel asks of it, and what it tells the kernel. The system calls are in
 * kernel/ipc_abi.h.
 *
 * The server never waits in a call. What cannot be done now it answers with EAGAIN; the kernel asks again when the
 * server says by SYS_TERMINAL_EVENTS that something has changed, or when the time in word 0 of the answer has passed.
 * So a waiting program waits in the kernel, where signals find it. Plain C types only.
 *
 * Pseudo-terminals are terminals that one server has all of (SYS_TERMINAL_PTYS): each time /dev/ptmx is opened it gets
 * a TERMINAL_NEW with the handle by which to serve a new one, and from then on questions from both of its ends. When
 * one hangs up a bit of the endpoint's notification is set, and SYS_TERMINAL_EVENTS on it says EIO.
 */
#ifndef KERNEL_TERMINAL_ABI_H
#define KERNEL_TERMINAL_ABI_H

#include <stdint.h>

#define TERMINAL_CHARACTERS 19U
#define TERMINAL_CONSOLE    "console" /* the one terminal with a name: /dev/console, /dev/ttyS0 */

/* Linux's struct termios, as system calls have it. */
struct terminal_settings {
    uint32_t input, output, control, local;
    uint8_t line;
    uint8_t characters[TERMINAL_CHARACTERS];
};

/* Linux's struct winsize. */
struct terminal_size {
    uint16_t rows, columns, width, height;
};

/* What the kernel keeps of a terminal: it answers TCGETS and TIOCGWINSZ, and outlives the server. */
struct terminal_state {
    struct terminal_settings settings;
    struct terminal_size size;
};

/* The screen as the loader left it, for a server that draws itself: SYS_REGION_CREATE has its pixels. */
struct terminal_screen {
    uint64_t address; /* physical */
    uint32_t width, height, pitch, bits_per_pixel;
    uint32_t red_position, green_position, blue_position; /* 8 bits each, from this one on */
    uint32_t reserved;
};

/*
 * Calls of the kernel. The label of the answer is 0 or an errno; bytes and word 0 count for 0 only, but EAGAIN's word
 * 0: nanoseconds until the kernel asks again even if nothing changes, or TERMINAL_FOREVER.
 */
enum terminal_label {
    TERMINAL_READ = 0x400, /* words: bytes wanted, ns since the read began, enum terminal_flag → bytes. None: the end */
    TERMINAL_WRITE,        /* bytes → word 0: how many of them were taken, 1 or more */
    TERMINAL_CONTROL, /* words: ioctl's number, its argument if that is a number; bytes: what it points at if not →
                              word 0: what FIONREAD and TIOCOUTQ say */
    TERMINAL_TYPE,    /* the master writes: bytes → word 0: how many of them were taken, 1 or more */
    TERMINAL_TAKE,    /* the master reads: bytes wanted → bytes, 1 or more */
    TERMINAL_NEW,     /* a handle → word 0: the id of the terminal, in all questions about it */
};

/* In word 2 of a question; above them its terminal's id, 0 for one that is no pseudo-terminal. */
enum terminal_flag {
    TERMINAL_NONBLOCK = 1, /* O_NONBLOCK: there will be no second question */
    TERMINAL_MASTER = 2,   /* a TERMINAL_CONTROL on the master */
};

#define TERMINAL_ID_SHIFT      32
#define TERMINAL_PTYS_MAX      256U
#define TERMINAL_HANG_UP_BITS  64U /* bit (id mod this) is set when that pseudo-terminal has hung up */
#define TERMINAL_MASTER_EVENTS 16  /* shift: the master's POLL bits in SYS_TERMINAL_EVENTS are above its slave's */

#define TERMINAL_FOREVER    UINT64_MAX
#define TERMINAL_READ_BYTES 4096U /* of one TERMINAL_READ; a TERMINAL_WRITE has up to IPC_BYTES_MAX */

#endif
