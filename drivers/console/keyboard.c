/*
 * Owns the i8042 controller's registers. Scan codes of set 1: what the controller's translation makes, which firmware
 * leaves on, and which is switched on here in case it was not. A mouse is switched off.
 *
 * Whether the controller takes a byte or has one is asked only so often: one that is not there never answers.
 */
#include "drivers/console/keyboard.h"

#include <errno.h>

#include "user/lib/native.h"

enum { DATA_PORT = 0x60, STATUS_PORT = 0x64, IRQ_LINE = 1 };
enum { HAS_BYTE = 0x01, TAKES_NO_BYTE = 0x02, OF_MOUSE = 0x20, NOT_THERE = 0xff };
enum { READ_CONFIG = 0x20, WRITE_CONFIG = 0x60, MOUSE_OFF = 0xa7, KEYBOARD_OFF = 0xad, KEYBOARD_ON = 0xae };
enum { CONFIG_INTERRUPT = 0x01, CONFIG_MOUSE_INTERRUPT = 0x02, CONFIG_CLOCK_OFF = 0x10, CONFIG_TRANSLATE = 0x40 };
enum { SCANNING_ON = 0xf4, PATIENCE = 10000, QUEUE_MAX = 32 };

static int data = -1, status_port = -1, interrupt = -1;

static uint8_t status(void) { return (uint8_t)ports_read(status_port, PORT_READ8, 0); }

static bool wait_until(uint8_t bit, bool set) {
    for (unsigned i = 0; i < PATIENCE; i++) {
        if (!(status() & bit) != set) {
            return true;
        }
    }
    return false;
}

static void command(uint8_t byte) {
    if (wait_until(TAKES_NO_BYTE, false)) {
        ports_write(status_port, PORT_WRITE8, 0, byte);
    }
}

static void send(uint8_t byte) {
    if (wait_until(TAKES_NO_BYTE, false)) {
        ports_write(data, PORT_WRITE8, 0, byte);
    }
}

static void drain(void) {
    for (unsigned i = 0; i < QUEUE_MAX && (status() & HAS_BYTE); i++) {
        ports_read(data, PORT_READ8, 0);
    }
}

static bool set_up(void) {
    uint8_t config;
    if (status() == NOT_THERE) {
        return false;
    }
    command(KEYBOARD_OFF);
    command(MOUSE_OFF);
    drain();
    command(READ_CONFIG);
    if (!wait_until(HAS_BYTE, true)) {
        return false;
    }
    config = (uint8_t)ports_read(data, PORT_READ8, 0);
    config = (config | CONFIG_INTERRUPT | CONFIG_TRANSLATE) & (uint8_t) ~(CONFIG_MOUSE_INTERRUPT | CONFIG_CLOCK_OFF);
    command(WRITE_CONFIG);
    send(config);
    command(KEYBOARD_ON);
    send(SCANNING_ON);
    wait_until(HAS_BYTE, true); /* its acknowledgement */
    drain();
    return true;
}

static void give_up(void) {
    close(data);
    close(status_port);
    data = status_port = -1;
}

bool keyboard_open(int authority, int endpoint, uint64_t bits) {
    data = ports_create(authority, DATA_PORT, 1);
    status_port = ports_create(authority, STATUS_PORT, 1);
    if (data < 0 || status_port < 0 || !set_up()) {
        errno = data < 0 || status_port < 0 ? errno : ENODEV;
        give_up();
        return false;
    }
    interrupt = interrupt_create_line(authority, IRQ_LINE, endpoint, bits);
    return interrupt >= 0;
}

bool keyboard_receive(uint8_t *code) {
    uint8_t now;
    while (data >= 0 && ((now = status()) & HAS_BYTE)) {
        *code = (uint8_t)ports_read(data, PORT_READ8, 0);
        if (!(now & OF_MOUSE)) {
            return true;
        }
    }
    return false;
}

void keyboard_acknowledge(void) {
    if (interrupt >= 0) {
        interrupt_done(interrupt);
    }
}
