/*
 * 8254 timer, channel 2 (the speaker's), polled. Owns the ports 0x42, 0x43 and the low two bits of 0x61. At boot only.
 */
#include "drivers/pit.h"

#include "arch/io.h"
#include "kernel/assert.h"

enum { PORT_CHANNEL_2 = 0x42, PORT_COMMAND = 0x43, PORT_GATE = 0x61 };
enum { CHANNEL_2_ONE_SHOT = 0xb0, GATE_OPEN = 0x01, GATE_SPEAKER = 0x02, GATE_OUTPUT = 0x20 };
enum { PIT_HZ = 1193182, PATIENCE = 10000000 };

void pit_start(unsigned ms) {
    unsigned count = PIT_HZ * ms / 1000;
    uint8_t gate = (uint8_t)(io_read8(PORT_GATE) & ~(GATE_OPEN | GATE_SPEAKER));

    assert(ms >= 1 && ms <= PIT_MS_MAX);
    io_write8(PORT_GATE, gate);
    io_write8(PORT_COMMAND, CHANNEL_2_ONE_SHOT);
    io_write8(PORT_CHANNEL_2, (uint8_t)count);
    io_write8(PORT_CHANNEL_2, (uint8_t)(count >> 8));
    io_write8(PORT_GATE, gate | GATE_OPEN);
}

void pit_wait(void) {
    for (unsigned i = 0; i < PATIENCE && !(io_read8(PORT_GATE) & GATE_OUTPUT); i++)
        cpu_relax();
}

uint64_t pit_measure_tsc(unsigned ms) {
    uint64_t start;

    pit_start(ms);
    start = __builtin_ia32_rdtsc();
    pit_wait();
    return __builtin_ia32_rdtsc() - start;
}
