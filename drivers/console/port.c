/*
 * Owns the serial port's registers. Each access is a system call, so no register is read for what is known.
 *
 * Bytes are sent in bursts of what the queue holds, when it is empty: one look for 16 bytes. One thread.
 */
#include "drivers/console/port.h"

#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "kernel/ipc_abi.h"

enum { FIRST_PORT = 0x3f8, PORTS = 8, IRQ_LINE = 4 };

enum { DATA, INTERRUPT_ENABLE, INTERRUPT_REASON, LINE_CONTROL, MODEM_CONTROL, LINE_STATUS, MODEM_STATUS, SCRATCH };

enum {
    ENABLE_RECEIVED = 0x01,
    ENABLE_SENT = 0x02,
    NO_REASON = 0x01,
    MODEM_READY = 0x0b, /* DTR, RTS, and OUT2, which lets the interrupt through */
    STATUS_RECEIVED = 0x01,
    STATUS_QUEUE_EMPTY = 0x20,
    SCRATCH_PATTERN = 0xa5,
    QUEUE_BYTES = 16,
};

static int ports = -1, interrupt = -1;
static uint8_t enabled; /* what INTERRUPT_ENABLE was set to */

static uint8_t get(unsigned port) { return (uint8_t)syscall(SYS_PORTS_IO, ports, PORT_READ8, port, 0, 0); }
static void put(unsigned port, uint8_t value) { syscall(SYS_PORTS_IO, ports, PORT_WRITE8, port, value, 0); }

static void enable(uint8_t interrupts) {
    if (interrupts != enabled) {
        enabled = interrupts;
        put(INTERRUPT_ENABLE, interrupts);
    }
}

static bool is_there(void) {
    put(SCRATCH, SCRATCH_PATTERN);
    return get(SCRATCH) == SCRATCH_PATTERN;
}

bool port_open(int authority, int endpoint, uint64_t bits) {
    ports = (int)syscall(SYS_PORTS_CREATE, authority, FIRST_PORT, PORTS);
    if (ports < 0) {
        return false;
    }
    if (!is_there()) {
        close(ports);
        ports = -1;
        errno = ENODEV;
        return false;
    }
    interrupt = (int)syscall(SYS_INTERRUPT_CREATE, authority, IRQ_LINE, 0, endpoint, bits);
    put(MODEM_CONTROL, MODEM_READY);
    put(INTERRUPT_ENABLE, 0); /* one before may have left more on */
    enable(ENABLE_RECEIVED);
    return interrupt >= 0;
}

size_t port_send(const uint8_t *bytes, size_t count) {
    size_t done = 0;
    if (ports < 0) {
        return count;
    }
    while (done < count && (get(LINE_STATUS) & STATUS_QUEUE_EMPTY)) {
        size_t part = count - done < QUEUE_BYTES ? count - done : QUEUE_BYTES;
        syscall(SYS_PORTS_IO, ports, PORT_WRITE_BYTES, DATA, bytes + done, part);
        done += part;
    }
    return done;
}

bool port_receive(uint8_t *byte) {
    if (ports < 0 || !(get(LINE_STATUS) & STATUS_RECEIVED)) {
        return false;
    }
    *byte = get(DATA);
    return true;
}

void port_interrupt_when_sent(bool on) {
    if (ports >= 0) {
        enable(on ? ENABLE_RECEIVED | ENABLE_SENT : ENABLE_RECEIVED);
    }
}

bool port_acknowledge(void) {
    if (interrupt >= 0) {
        syscall(SYS_INTERRUPT_DONE, interrupt);
    }
    return ports >= 0 && !(get(INTERRUPT_REASON) & NO_REASON);
}
