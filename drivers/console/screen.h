/*
 * The screen, in one of two ways: the kernel draws what it is given (at first), or this driver does, with a status line
 * and the kernel's messages (after screen_open()). Times are of CLOCK_MONOTONIC, in ns.
 */
#ifndef DRIVERS_CONSOLE_SCREEN_H
#define DRIVERS_CONSOLE_SCREEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernel/terminal_abi.h"

#define SCREEN_ANSWER_MAX 32U

/* The screen of this terminal is meant from now on. */
void screen_use(int terminal);

/*
 * Takes it from the kernel. False, and errno: it cannot be had, and the kernel goes on. Else *size is its terminal's.
 * Lines that come by `messages`, a pipe that does not block, or -1, are shown with the kernel's.
 */
bool screen_open(int authority, int messages, struct terminal_size *size);

/* Whether this driver draws. */
bool screen_is_open(void);

/* Shows what kernel and init have said meanwhile: before bytes that may have been written behind it. */
void screen_show_messages(void);

/* Bytes that the terminal is sent. */
void screen_show(const uint8_t *bytes, size_t count);

/* What the terminal on the screen answers to them, as if typed: at most `room` bytes. */
size_t screen_take_answer(char *to, size_t room);

/* How its arrow keys are to be sent (drivers/console/keys.h). */
bool screen_has_application_keys(void);

/* Draws what is due. screen_patience(): how long from `now` until something is; IPC_FOREVER when nothing will be. */
void screen_refresh(uint64_t now);
uint64_t screen_patience(uint64_t now);

#endif
