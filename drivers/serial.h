/*
 * The first serial port (16550 at 0x3f8): 115200 baud, 8N1. Output only, polled: the kernel's own messages.
 * All else that passes by it is drivers/console/'s, in user space.
 */
#ifndef DRIVERS_SERIAL_H
#define DRIVERS_SERIAL_H

#include <stddef.h>
#include <stdint.h>

#define SERIAL_PORT_FIRST 0x3f8U
#define SERIAL_PORTS      8U

/* Looks for the port and sets it up. The other functions do nothing where there is none. Once, on the boot CPU. */
void serial_init(void);

/* Sends bytes as they are; waits for the port, but not for one that is stuck. Any context; one caller at a time. */
void serial_write(const char *bytes, size_t count);

/* Somebody else has sent bytes by the port: its queue may be full. The same caller's lock as for serial_write(). */
void serial_was_used(void);

#endif
