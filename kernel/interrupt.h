/*
 * Device interrupts for drivers in user space: each is bits of a notification on an endpoint.
 */
#ifndef KERNEL_INTERRUPT_H
#define KERNEL_INTERRUPT_H

#include <stdbool.h>
#include <stdint.h>

#include "kernel/status.h"

struct endpoint;
struct file;

/* What a device writes, and where, to interrupt: for its MSI or MSI-X table. */
struct interrupt_message {
    uint64_t address, data;
};

/*
 * A message-signalled interrupt behind a new file, whose last close ends it. The endpoint's reference passes, also on
 * error. ERR_NO_SPACE (no vector is left), ERR_NOT_SUPPORTED (the CPU cannot be addressed), ERR_NO_MEMORY.
 */
MUST_USE enum status interrupt_create_message(struct endpoint *endpoint, uint64_t bits,
                                              struct interrupt_message *message, struct file **out);

/*
 * An interrupt line: 0–15 are ISA's, further ones inputs of the I/O APIC, level-triggered and active low as PCI has
 * them. Where it is level-triggered it is masked from an interrupt to interrupt_done(). Likewise; ERR_INVALID (there is
 * no such line), ERR_BUSY (somebody has it).
 */
MUST_USE enum status interrupt_create_line(uint64_t line, struct endpoint *endpoint, uint64_t bits, struct file **out);

/* The line behind a descriptor may fire again. ERR_BAD_HANDLE, ERR_INVALID. */
MUST_USE enum status interrupt_done(int fd);

/* From arch/traps.c, interrupts off: a vector of the devices' has arrived and is acknowledged here. */
void interrupt_arrived(unsigned vector);

#endif
