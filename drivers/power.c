/*
 * Switching off. Space: any. Needs no lock: nothing comes after it.
 */
#include "drivers/power.h"

#include <stdint.h>

#include "arch/io.h"
#include "kernel/print.h"

enum {
    PORT_DEBUGCON = 0xe9,
    PORT_DEBUG_EXIT = 0xf4,
    PORT_Q35_PM1A_CONTROL = 0x604,
    PM1A_SLEEP_S5 = 0x2000,
    PORT_BOCHS_SHUTDOWN = 0x8900, /* ends Bochs when it gets a certain word, a byte at a time */
};

_Noreturn void power_off(int status) {
    static const char bochs_word[] = "Shutdown";
    char line[16];

    format_string(line, sizeof(line), "exit %d\n", status & 0xff);
    for (const char *at = line; *at != '\0'; at++)
        io_write8(PORT_DEBUGCON, (uint8_t)*at);
    io_write8(PORT_DEBUG_EXIT, (uint8_t)status);
    io_write16(PORT_Q35_PM1A_CONTROL, PM1A_SLEEP_S5);
    for (const char *at = bochs_word; *at != '\0'; at++)
        io_write8(PORT_BOCHS_SHUTDOWN, (uint8_t)*at);
    cpu_halt_forever();
}
