/*
 * Owns: the two ports of PCI configuration space, and with them the bus-master bits.
 *
 * Locks: config_lock for the pair of ports; interrupts off. Metadata only; runs in any space without leaving it.
 * Source: PCI Local Bus Specification 3.0, sections 3.2.2.3.2 and 6.2; PCI Express Base 5.0, sections 6.6.2, 7.5.3.
 */
#include "kernel/pci_config.h"

#include "arch/io.h"
#include "arch/spinlock.h"
#include "kernel/time.h"

enum { PORT_ADDRESS = 0xcf8, PORT_DATA = 0xcfc };
#define ADDRESS_ENABLE 0x80000000U
enum {
    CONFIG_VENDOR = 0x00,
    CONFIG_COMMAND = 0x04,
    CONFIG_STATUS = 0x06,
    CONFIG_HEADER_TYPE = 0x0e,
    CONFIG_SECONDARY_BUS = 0x19,
    CONFIG_CAPABILITIES = 0x34,
};
enum { STATUS_CAPABILITIES = 0x10, CAPABILITY_EXPRESS = 0x10, CAPABILITIES_MAX = 48 };
/* In the PCI Express capability. */
enum { EXPRESS_DEVICE = 4, EXPRESS_CONTROL = 8, EXPRESS_RESET = 0x8000 };
#define EXPRESS_CAN_RESET 0x10000000U
#define RESET_NS          100000000U
enum { COMMAND_BUS_MASTER = 4, HEADER_BRIDGE = 1, HEADER_TYPE_MASK = 0x7f, HEADER_MANY_FUNCTIONS = 0x80 };
enum { NO_VENDOR = 0xffff, DEVICES_OF_BUS = 32, FUNCTIONS_OF_DEVICE = 8, BUS_DEPTH_MAX = 8 };

static struct spinlock config_lock = SPINLOCK_INIT(RANK_PCI);

/* config_lock held. Returns the port at which the bytes are. */
static uint16_t choose(uint32_t address, uint32_t offset) {
    io_write32(PORT_ADDRESS, ADDRESS_ENABLE | address << 8 | (offset & 0xfcU));
    return (uint16_t)(PORT_DATA + (offset & 3U));
}

static uint32_t read_locked(uint32_t address, uint32_t offset, uint32_t width) {
    const uint16_t port = choose(address, offset);
    return width == 1 ? io_read8(port) : width == 2 ? io_read16(port) : io_read32(port);
}

static void write_locked(uint32_t address, uint32_t offset, uint32_t width, uint32_t value) {
    const uint16_t port = choose(address, offset);
    if (width == 1)
        io_write8(port, (uint8_t)value);
    else if (width == 2)
        io_write16(port, (uint16_t)value);
    else
        io_write32(port, value);
}

static bool is_bridge_locked(uint32_t address) {
    return (read_locked(address, CONFIG_HEADER_TYPE, 1) & HEADER_TYPE_MASK) == HEADER_BRIDGE;
}

uint32_t pci_config_read(uint32_t address, uint32_t offset, uint32_t width) {
    const bool irq = spin_lock_irq(&config_lock);
    const uint32_t value = read_locked(address, offset, width);
    spin_unlock_irq(&config_lock, irq);
    return value;
}

void pci_config_write(uint32_t address, uint32_t offset, uint32_t width, uint32_t value) {
    const bool irq = spin_lock_irq(&config_lock);
    if (offset == CONFIG_COMMAND && !is_bridge_locked(address)) {
        const uint32_t kept = read_locked(address, CONFIG_COMMAND, 2) & COMMAND_BUS_MASTER;
        value = (value & ~(uint32_t)COMMAND_BUS_MASTER) | kept;
    }
    write_locked(address, offset, width, value);
    spin_unlock_irq(&config_lock, irq);
}

bool pci_function_exists(uint32_t address) { return pci_config_read(address, CONFIG_VENDOR, 2) != NO_VENDOR; }

void pci_set_bus_master(uint32_t address, bool on) {
    const bool irq = spin_lock_irq(&config_lock);
    const uint32_t command = read_locked(address, CONFIG_COMMAND, 2) & ~(uint32_t)COMMAND_BUS_MASTER;
    write_locked(address, CONFIG_COMMAND, 2, command | (on ? COMMAND_BUS_MASTER : 0));
    (void)read_locked(address, CONFIG_COMMAND, 2);
    spin_unlock_irq(&config_lock, irq);
}

/* --- Reset -------------------------------------------------------------------------------------------------------- */

/* The offset of the PCI Express capability, or 0. The list may be anything: it is followed so far and no further. */
static uint32_t find_express(uint32_t address) {
    if (!(pci_config_read(address, CONFIG_STATUS, 2) & STATUS_CAPABILITIES))
        return 0;
    uint32_t at = pci_config_read(address, CONFIG_CAPABILITIES, 1) & 0xfc;
    for (unsigned i = 0; i < CAPABILITIES_MAX && at != 0; i++) {
        if (pci_config_read(address, at, 1) == CAPABILITY_EXPRESS)
            return at;
        at = pci_config_read(address, at + 1, 1) & 0xfc;
    }
    return 0;
}

/* It answers nothing but ones until it is done. */
static void wait_for_function(uint32_t address) {
    const uint64_t end = time_monotonic() + RESET_NS;
    while (!pci_function_exists(address) && time_monotonic() < end)
        cpu_relax();
}

bool pci_reset_function(uint32_t address) {
    static const uint8_t kept_offsets[] = {0x10, 0x14, 0x18, 0x1c, 0x20, 0x24, 0x30, 0x3c, CONFIG_COMMAND};
    uint32_t kept[sizeof kept_offsets];
    const uint32_t express = find_express(address);
    if (express == 0 || !(pci_config_read(address, express + EXPRESS_DEVICE, 4) & EXPRESS_CAN_RESET))
        return false;
    for (unsigned i = 0; i < sizeof kept_offsets; i++)
        kept[i] = pci_config_read(address, kept_offsets[i], 4);
    const uint32_t control = pci_config_read(address, express + EXPRESS_CONTROL, 2);
    pci_config_write(address, express + EXPRESS_CONTROL, 2, control | EXPRESS_RESET);
    wait_for_function(address);
    for (unsigned i = 0; i < sizeof kept_offsets; i++)
        pci_config_write(address, kept_offsets[i], 4, kept[i] & (kept_offsets[i] == CONFIG_COMMAND ? 0xffffU : ~0U));
    return true;
}

/* --- Start-up ----------------------------------------------------------------------------------------------------- */

static void cut_off_bus(uint32_t bus, unsigned depth);

static void cut_off_function(uint32_t address, unsigned depth) {
    if (!pci_function_exists(address))
        return;
    if ((pci_config_read(address, CONFIG_HEADER_TYPE, 1) & HEADER_TYPE_MASK) != HEADER_BRIDGE)
        pci_set_bus_master(address, false);
    else if (depth < BUS_DEPTH_MAX && pci_config_read(address, CONFIG_SECONDARY_BUS, 1) != 0)
        cut_off_bus(pci_config_read(address, CONFIG_SECONDARY_BUS, 1), depth + 1);
}

static void cut_off_bus(uint32_t bus, unsigned depth) {
    for (uint32_t device = 0; device < DEVICES_OF_BUS; device++) {
        const uint32_t first = bus << 8 | device << 3;
        if (!pci_function_exists(first))
            continue;
        const bool many = pci_config_read(first, CONFIG_HEADER_TYPE, 1) & HEADER_MANY_FUNCTIONS;
        for (uint32_t function = 0; function < (many ? FUNCTIONS_OF_DEVICE : 1); function++)
            cut_off_function(first + function, depth);
    }
}

void pci_cut_off_all(void) { cut_off_bus(0, 0); }
