/*
 * Terminals that a process serves: what the kernel asks of it, and what it tells the kernel. The system calls are in
 * kernel/ipc_abi.h.
 *
 * The server never waits in a call. What cannot be done now it answers with EAGAIN; the kernel asks again when the
 * server says by SYS_TERMINAL_EVENTS that something has changed, or when the time in word 0 of the answer has passed.
 * So a waiting program waits in the kernel, where signals find it. Plain C types only.
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

/*
 * Calls of the kernel. The label of the answer is 0 or an errno; bytes and word 0 count for 0 only, but EAGAIN's word
 * 0: nanoseconds until the kernel asks again even if nothing changes, or TERMINAL_FOREVER.
 */
enum terminal_label {
    TERMINAL_READ = 0x400, /* words: bytes wanted, ns since the read began, enum terminal_flag → bytes. None: the end */
    TERMINAL_WRITE,        /* bytes → word 0: how many of them were taken, 1 or more */
    TERMINAL_CONTROL, /* words: ioctl's number, its argument if that is a number; bytes: what it points at if not →
                              word 0: what FIONREAD and TIOCOUTQ say */
};

enum terminal_flag { TERMINAL_NONBLOCK = 1 }; /* O_NONBLOCK: there will be no second question */

#define TERMINAL_FOREVER    UINT64_MAX
#define TERMINAL_READ_BYTES 4096U /* of one TERMINAL_READ; a TERMINAL_WRITE has up to IPC_BYTES_MAX */

#endif
