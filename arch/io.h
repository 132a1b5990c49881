/*
 * Port I/O, the two instructions by which a driver waits, and the one for devices that do not see the caches. Any
 * context; the ports themselves need their owner's lock.
 */
#ifndef ARCH_IO_H
#define ARCH_IO_H

#include <stdint.h>

static inline void io_write8(uint16_t port, uint8_t value) {
    __asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

static inline void io_write16(uint16_t port, uint16_t value) {
    __asm__ volatile("outw %0, %1" : : "a"(value), "Nd"(port));
}

static inline void io_write32(uint16_t port, uint32_t value) {
    __asm__ volatile("outl %0, %1" : : "a"(value), "Nd"(port));
}

static inline uint8_t io_read8(uint16_t port) {
    uint8_t value;

    __asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}

static inline uint16_t io_read16(uint16_t port) {
    uint16_t value;

    __asm__ volatile("inw %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}

static inline uint32_t io_read32(uint16_t port) {
    uint32_t value;

    __asm__ volatile("inl %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}

/* Says that this CPU is in a waiting loop. */
static inline void cpu_relax(void) { __asm__ volatile("pause" : : : "memory"); }

/* What was written to the line of cache that holds `address` reaches memory before this returns. */
static inline void cache_write_back(const void *address) {
    __asm__ volatile("clflush (%0); mfence" : : "r"(address) : "memory");
}

/* Stops this CPU for good: interrupts off. */
static inline _Noreturn void cpu_halt_forever(void) {
    for (;;)
        __asm__ volatile("cli; hlt");
}

#endif
