/*
 * Owns: which I/O ports may be handed out, and the ranges that were.
 *
 * A byte that is read or written is on the caller's stack and in registers, nowhere else. Locks: none of its own; the
 * serial port's registers are used under the console's lock. Any space.
 */
#include "kernel/ports.h"

#include "arch/io.h"
#include "drivers/serial.h"
#include "kernel/open_file.h"
#include "kernel/print.h"
#include "mm/heap.h"

#define PORTS 0x10000U

struct ports {
    uint32_t refs;         /* atomic */
    uint32_t first, count; /* constant */
};

/* What the kernel uses itself, and what reaches memory or all of the machine without a right of its own. */
static const struct {
    uint16_t first, last;
} own[] = {
    {0x0000, 0x001f}, /* ISA DMA: reaches memory */
    {0x0020, 0x0021}, /* interrupt controller */
    {0x0040, 0x0043}, /* timer */
    {0x0061, 0x0061}, /* its gate */
    {0x0070, 0x0071}, /* clock */
    {0x0081, 0x008f}, /* ISA DMA pages */
    {0x0092, 0x0092}, /* reset */
    {0x00a0, 0x00a1}, /* interrupt controller */
    {0x00b2, 0x00b3}, /* system management */
    {0x00c0, 0x00df}, /* ISA DMA */
    {0x00e9, 0x00e9}, /* debug console */
    {0x00f4, 0x00f4}, /* exit device */
    {0x03d4, 0x03d5}, /* text screen's cursor */
    {0x0510, 0x051b}, /* fw_cfg, which reaches memory */
    {0x0600, 0x067f}, /* power management */
    {0x0cf8, 0x0cff}, /* PCI configuration, and reset */
    {0x8900, 0x8900}, /* Bochs' switch */
};

static bool is_own(uint64_t first, uint64_t count) {
    for (unsigned i = 0; i < sizeof own / sizeof own[0]; i++)
        if (first <= own[i].last && own[i].first < first + count)
            return true;
    return false;
}

/* --- The file ----------------------------------------------------------------------------------------------------- */

static void ports_release(struct file *file) {
    struct ports *ports = file->target;
    if (__atomic_sub_fetch(&ports->refs, 1, __ATOMIC_ACQ_REL) == 0)
        global_free(ports, sizeof *ports);
}

static void ports_reference(struct file *file) {
    struct ports *ports = file->target;
    __atomic_fetch_add(&ports->refs, 1, __ATOMIC_RELAXED);
}

static const struct file_operations ports_operations = {.release = ports_release, .reference = ports_reference};

enum status ports_create(uint64_t first, uint64_t count, struct file **out) {
    if (count == 0 || count > PORTS || first > PORTS - count)
        return ERR_INVALID;
    if (is_own(first, count))
        return ERR_NOT_PERMITTED;
    struct ports *ports = global_alloc(sizeof *ports);
    if (ports == NULL)
        return ERR_NO_MEMORY;
    *ports = (struct ports){.refs = 1, .first = (uint32_t)first, .count = (uint32_t)count};
    enum status status = file_create_on(&ports_operations, ports, RIGHT_READ | RIGHT_WRITE | RIGHT_TRANSFER, out);
    if (status != OK)
        global_free(ports, sizeof *ports);
    return status;
}

enum status ports_get(int fd, uint32_t rights, struct file **out) {
    return handle_get_kind(fd, &ports_operations, rights, out);
}

/* --- Reading and writing ------------------------------------------------------------------------------------------ */

/* Kernel messages leave by the serial port, too: they wait while it is used, and learn that its queue may be full. */
static bool hold_serial(const struct ports *ports, bool *irq) {
    const bool overlaps =
        ports->first < SERIAL_PORT_FIRST + SERIAL_PORTS && SERIAL_PORT_FIRST < ports->first + ports->count;
    if (overlaps)
        *irq = console_hold();
    return overlaps;
}

static void release_serial(bool held, bool irq) {
    if (!held)
        return;
    serial_was_used();
    console_release(irq);
}

static uint64_t perform(enum port_operation operation, uint16_t port, uint64_t value) {
    switch (operation) {
    case PORT_READ8:
        return io_read8(port);
    case PORT_READ16:
        return io_read16(port);
    case PORT_READ32:
        return io_read32(port);
    case PORT_WRITE8:
        io_write8(port, (uint8_t)value);
        break;
    case PORT_WRITE16:
        io_write16(port, (uint16_t)value);
        break;
    case PORT_WRITE32:
        io_write32(port, (uint32_t)value);
        break;
    case PORT_WRITE_BYTES:
        break;
    }
    return 0;
}

enum status ports_access(const struct file *file, enum port_operation operation, uint64_t offset, uint64_t *value) {
    static const uint8_t widths[] = {[PORT_READ8] = 1,   [PORT_WRITE8] = 1, [PORT_READ16] = 2,
                                     [PORT_WRITE16] = 2, [PORT_READ32] = 4, [PORT_WRITE32] = 4};
    const struct ports *ports = file->target;
    if (operation >= PORT_WRITE_BYTES || offset >= ports->count || ports->count - offset < widths[operation])
        return ERR_INVALID;
    bool irq = false;
    const bool held = hold_serial(ports, &irq);
    *value = perform(operation, (uint16_t)(ports->first + offset), *value);
    release_serial(held, irq);
    return OK;
}

enum status ports_write_bytes(const struct file *file, uint64_t offset, const uint8_t *from, size_t bytes) {
    const struct ports *ports = file->target;
    if (offset >= ports->count)
        return ERR_INVALID;
    bool irq = false;
    const bool held = hold_serial(ports, &irq);
    for (size_t i = 0; i < bytes; i++)
        io_write8((uint16_t)(ports->first + offset), from[i]);
    release_serial(held, irq);
    return OK;
}
