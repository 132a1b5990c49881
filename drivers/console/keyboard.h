/*
 * The keyboard behind the i8042 controller (ports 0x60 and 0x64, IRQ 1), by the kernel's calls for ports and
 * interrupts.
 */
#ifndef DRIVERS_CONSOLE_KEYBOARD_H
#define DRIVERS_CONSOLE_KEYBOARD_H

#include <stdbool.h>
#include <stdint.h>

/* Takes the controller and has the keyboard notify `endpoint` with `bits`. False, and errno: there is none. */
bool keyboard_open(int authority, int endpoint, uint64_t bits);

/* Whether the keyboard has sent a byte, and which. Without a keyboard it has not. */
bool keyboard_receive(uint8_t *code);

/* After a notification: it may interrupt again. Look for a byte once more behind this. */
void keyboard_acknowledge(void);

#endif
