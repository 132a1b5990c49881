/*
 * The serial port at 0x3f8, a 16550, by the kernel's calls for ports and interrupts. The kernel has set it up: 115200
 * baud, 8N1, with queues; its own messages leave by it, too.
 */
#ifndef DRIVERS_CONSOLE_PORT_H
#define DRIVERS_CONSOLE_PORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Takes the port and has its interrupt notify `endpoint` with `bits`. False: there is no port, or it may not be had;
 * errno then says why. Without a port the other functions do nothing.
 */
bool port_open(int authority, int endpoint, uint64_t bits);

/* Sends as many bytes as the port takes now; returns how many. */
size_t port_send(const uint8_t *bytes, size_t count);

/* Whether a byte has come, and which. */
bool port_receive(uint8_t *byte);

/* Whether the port interrupts also when it can take more bytes. */
void port_interrupt_when_sent(bool on);

/* After a notification: what the port interrupted for has been seen to. True: there is more to be seen to already. */
bool port_acknowledge(void);

#endif
