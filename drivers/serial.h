/*
 * The first serial port (16550 at 0x3f8): 115200 baud, 8N1. Output is polled, input may interrupt (ISA IRQ 4).
 */
#ifndef DRIVERS_SERIAL_H
#define DRIVERS_SERIAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SERIAL_IRQ        4
#define SERIAL_PORT_FIRST 0x3f8U
#define SERIAL_PORTS      8U

/* Looks for the port and sets it up. The other functions do nothing where there is none. Once, on the boot CPU. */
void serial_init(void);

/* Sends bytes as they are; waits for the port, but not for one that is stuck. Any context; one caller at a time. */
void serial_write(const char *bytes, size_t count);

/* Somebody else has sent bytes by the port: its queue may be full. The same caller's lock as for serial_write(). */
void serial_was_used(void);

/* Whether serial_read_byte() has something to give. Any context. */
bool serial_input_ready(void);

/* The oldest byte that was received. Only after serial_input_ready(); one caller at a time. */
uint8_t serial_read_byte(void);

/* Has the port raise SERIAL_IRQ while bytes wait to be read. */
void serial_enable_input_interrupt(void);

#endif
