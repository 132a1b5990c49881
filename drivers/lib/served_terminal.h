/*
 * A terminal that this process serves: how its line discipline answers what the kernel asks (kernel/terminal_abi.h),
 * and how the kernel learns of what changes. What the line leads to – a port, another program – is the server's matter.
 */
#ifndef DRIVERS_LIB_SERVED_TERMINAL_H
#define DRIVERS_LIB_SERVED_TERMINAL_H

#include "drivers/lib/tty.h"

struct ipc;

struct served_terminal {
    int handle; /* on the kernel's terminal */
    struct tty tty;
    struct terminal_state published; /* what the kernel knows */
    uint32_t published_events;
    bool somebody_waits; /* somebody was answered EAGAIN */
    bool changed;        /* since then */
};

/* Nanoseconds of CLOCK_MONOTONIC. */
uint64_t served_now(void);

/*
 * tty_init() has been called: the kernel's calls go to `endpoint` from now on; a terminal that was served before goes
 * on with its settings. -1 and errno.
 */
int served_attach(struct served_terminal *served, int handle, int endpoint);

/* What a call is answered: TTY_AGAIN with `wait` as its time, all else with `word`. */
void served_say(struct served_terminal *served, struct ipc *ipc, enum tty_result result, uint64_t word, uint64_t wait);

/* TERMINAL_READ; the bytes go to answer[0..TERMINAL_READ_BYTES), their number to ipc->extra->length. */
void served_read(struct served_terminal *served, struct ipc *ipc, uint8_t *answer);

/* TERMINAL_CONTROL; what came with it is in `came`. */
void served_control(struct served_terminal *served, struct ipc *ipc, const uint8_t *came);

/* Before a call is answered, so that who asks again finds the kernel knowing. `events`: as SYS_TERMINAL_EVENTS. */
void served_publish(struct served_terminal *served, uint32_t events);

#endif
