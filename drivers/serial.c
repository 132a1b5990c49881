/*
 * 16550 serial port. Owns the ports 0x3f8–0x3ff.
 *
 * Nothing that was sent or received is kept here: what passes may be a user's data, and this file's memory is GLOBAL.
 * Locks: the caller's (see drivers/console.h). Space: any.
 */
#include "drivers/serial.h"

#include <stdbool.h>

#include "arch/io.h"

enum {
    PORT_DATA = SERIAL_PORT_FIRST, /* divisor, low, while DIVISOR_ACCESS */
    PORT_INTERRUPTS,               /* divisor, high, while DIVISOR_ACCESS */
    PORT_FIFO,
    PORT_LINE_CONTROL,
    PORT_MODEM_CONTROL,
    PORT_LINE_STATUS,
    PORT_MODEM_STATUS,
    PORT_SCRATCH,
};

enum {
    DIVISOR_115200 = 1,
    DIVISOR_ACCESS = 0x80,
    EIGHT_BITS_NO_PARITY = 0x03,
    FIFO_ON_AND_EMPTY = 0x07,
    MODEM_READY = 0x03, /* DTR, RTS */
    STATUS_FIFO_EMPTY = 0x20,
    SCRATCH_PATTERN = 0x5a,
    FIFO_BYTES = 16,
    PATIENCE = 1000000, /* polls: some 100 ms, where a byte takes 87 µs */
};

static bool present;       /* constant after serial_init(), but a stuck port is given up */
static unsigned fifo_room; /* bytes that may be sent without asking; guarded by the caller's lock */

void serial_init(void) {
    io_write8(PORT_SCRATCH, SCRATCH_PATTERN);
    present = io_read8(PORT_SCRATCH) == SCRATCH_PATTERN;
    if (!present)
        return;
    io_write8(PORT_INTERRUPTS, 0);
    io_write8(PORT_LINE_CONTROL, DIVISOR_ACCESS);
    io_write8(PORT_DATA, DIVISOR_115200);
    io_write8(PORT_INTERRUPTS, 0);
    io_write8(PORT_LINE_CONTROL, EIGHT_BITS_NO_PARITY);
    io_write8(PORT_FIFO, FIFO_ON_AND_EMPTY);
    io_write8(PORT_MODEM_CONTROL, MODEM_READY);
}

/* An empty FIFO takes a burst: one poll for 16 bytes matters where each port access leaves a virtual machine. */
static bool wait_for_room(void) {
    for (unsigned i = 0; i < PATIENCE; i++) {
        if (io_read8(PORT_LINE_STATUS) & STATUS_FIFO_EMPTY) {
            fifo_room = FIFO_BYTES;
            return true;
        }
        cpu_relax();
    }
    return false;
}

void serial_write(const char *bytes, size_t count) {
    for (size_t i = 0; present && i < count; i++) {
        if (fifo_room == 0 && !wait_for_room()) {
            present = false;
            return;
        }
        io_write8(PORT_DATA, (uint8_t)bytes[i]);
        fifo_room--;
    }
}

void serial_was_used(void) { fifo_room = 0; }
