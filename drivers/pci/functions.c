/*
 * Enumeration: every function of every bus, from bus 0 by way of the bridges; and the size of what lies behind a BAR.
 *
 * Addresses are the firmware's; they are not moved. A BAR's size is found by writing ones to it, which is not done to a
 * function that is a bus master at the moment: its driver may be older than this process. What stood there is kept in
 * memory that outlives the process (user/lib/mounts.h): one that is killed meanwhile would leave an address that is
 * none.
 */
#include "drivers/pci/functions.h"

#include <errno.h>
#include <stdatomic.h>

#include "user/lib/mounts.h"
#include "user/lib/native.h"

enum {
    CONFIG_VENDOR = 0x00,
    CONFIG_COMMAND = 0x04,
    CONFIG_STATUS = 0x06,
    CONFIG_CLASS = 0x0a,
    CONFIG_HEADER_TYPE = 0x0e,
    CONFIG_BARS = 0x10,
    CONFIG_SECONDARY_BUS = 0x19,
    CONFIG_CAPABILITIES = 0x34,
};
enum { COMMAND_IO = 1, COMMAND_MEMORY = 2, COMMAND_BUS_MASTER = 4, STATUS_CAPABILITIES = 0x10 };
enum { HEADER_BRIDGE = 1, HEADER_TYPE_MASK = 0x7f, HEADER_MANY_FUNCTIONS = 0x80, NO_VENDOR = 0xffff };
enum { BAR_IO = 1, BAR_64_BITS = 4, BRIDGE_BARS = 2, CAPABILITIES_MAX = 48, BUSES = 256 };

struct function functions[FUNCTIONS_MAX];
size_t function_count;
int devices_authority = -1;

/* What a function had before its BARs were sized. */
struct sizing {
    _Atomic uint32_t under_way;
    uint32_t address, command, bars[BARS];
};

static struct sizing *sizing;

static bool bus_seen[BUSES]; /* a bridge that leads back leads nowhere */

uint32_t config_read(const struct function *function, uint32_t offset, uint32_t width) {
    return (uint32_t)pci_config_read(devices_authority, function->address, offset, width);
}

void config_write(const struct function *function, uint32_t offset, uint32_t width, uint32_t value) {
    pci_config_write(devices_authority, function->address, offset, width, value);
}

/* --- Enumeration -------------------------------------------------------------------------------------------------- */

static bool is_bridge(const struct function *function) {
    return (config_read(function, CONFIG_HEADER_TYPE, 1) & HEADER_TYPE_MASK) == HEADER_BRIDGE;
}

static bool add_function(uint32_t address, struct function *function) {
    *function = (struct function){.address = address};
    function->device_vendor = config_read(function, CONFIG_VENDOR, 4);
    if ((function->device_vendor & 0xffff) == NO_VENDOR) {
        return false;
    }
    function->class = config_read(function, CONFIG_CLASS, 2);
    if (function_count < FUNCTIONS_MAX) {
        functions[function_count++] = *function;
    }
    return true;
}

static void find_on_bus(uint32_t bus);

static void find_behind(const struct function *function) {
    uint32_t bus = is_bridge(function) ? config_read(function, CONFIG_SECONDARY_BUS, 1) : 0;
    if (bus != 0 && !bus_seen[bus]) {
        find_on_bus(bus);
    }
}

static void find_on_bus(uint32_t bus) {
    bus_seen[bus] = true;
    for (uint32_t device = 0; device < 32; device++) {
        struct function function;
        uint32_t first = bus << 8 | device << 3;
        if (!add_function(first, &function)) {
            continue;
        }
        bool many = config_read(&function, CONFIG_HEADER_TYPE, 1) & HEADER_MANY_FUNCTIONS;
        find_behind(&function);
        for (uint32_t i = 1; many && i < 8; i++) {
            if (add_function(first + i, &function)) {
                find_behind(&function);
            }
        }
    }
}

static void write_back(const struct function *function) {
    for (unsigned i = 0; i < (is_bridge(function) ? BRIDGE_BARS : BARS); i++) {
        config_write(function, CONFIG_BARS + 4 * i, 4, sizing->bars[i]);
    }
    config_write(function, CONFIG_COMMAND, 2, sizing->command);
}

/* An earlier process was killed while it sized the BARs of one. */
static void restore_after_kill(void) {
    sizing = state_memory(sizeof *sizing);
    for (size_t i = 0; i < function_count && sizing != NULL && sizing->under_way; i++) {
        if (functions[i].address == sizing->address) {
            write_back(&functions[i]);
        }
    }
    if (sizing != NULL) {
        atomic_store(&sizing->under_way, 0);
    }
}

void functions_find(void) {
    function_count = 0;
    find_on_bus(0);
    restore_after_kill();
}

/* --- One function ------------------------------------------------------------------------------------------------- */

uint32_t function_capability(const struct function *function, uint32_t capability, uint32_t after) {
    if (!(config_read(function, CONFIG_STATUS, 2) & STATUS_CAPABILITIES)) {
        return 0;
    }
    uint32_t at = config_read(function, after == 0 ? CONFIG_CAPABILITIES : after + 1, 1) & 0xfc;
    for (int i = 0; i < CAPABILITIES_MAX && at != 0; i++) {
        if (config_read(function, at, 1) == capability) {
            return at;
        }
        at = config_read(function, at + 1, 1) & 0xfc;
    }
    return 0;
}

/* What stays zero when ones are written says how large it is. Decoding is off meanwhile. */
static void learn_bar(struct function *function, unsigned index) {
    struct bar *bar = &function->bars[index];
    uint32_t offset = CONFIG_BARS + 4 * index, low = config_read(function, offset, 4);
    bool wide = !(low & BAR_IO) && (low & 6) == BAR_64_BITS && index + 1 < BARS;
    uint32_t high = wide ? config_read(function, offset + 4, 4) : 0, high_mask = UINT32_MAX;
    config_write(function, offset, 4, UINT32_MAX);
    uint32_t low_mask = config_read(function, offset, 4);
    config_write(function, offset, 4, low);
    if (wide) {
        config_write(function, offset + 4, 4, UINT32_MAX);
        high_mask = config_read(function, offset + 4, 4);
        config_write(function, offset + 4, 4, high);
    }
    uint32_t flags = low & BAR_IO ? 3 : 15;
    uint64_t mask = (uint64_t)high_mask << 32 | (low_mask & ~flags);
    bar->known = true;
    bar->memory = !(low & BAR_IO);
    bar->address = (uint64_t)high << 32 | (low & ~flags);
    bar->bytes = low_mask == 0 || bar->address == 0 ? 0 : ~mask + 1;
}

static void learn_bars(struct function *function) {
    uint32_t command = config_read(function, CONFIG_COMMAND, 2);
    unsigned count = is_bridge(function) ? BRIDGE_BARS : BARS;
    sizing->address = function->address;
    sizing->command = command;
    for (unsigned i = 0; i < count; i++) {
        sizing->bars[i] = config_read(function, CONFIG_BARS + 4 * i, 4);
    }
    atomic_store(&sizing->under_way, 1);
    config_write(function, CONFIG_COMMAND, 2, command & ~(uint32_t)(COMMAND_IO | COMMAND_MEMORY));
    for (unsigned i = 0; i < BARS; i++) {
        function->bars[i].known = true;
    }
    for (unsigned i = 0; i < count; i++) {
        uint32_t low = config_read(function, CONFIG_BARS + 4 * i, 4);
        learn_bar(function, i);
        i += !(low & BAR_IO) && (low & 6) == BAR_64_BITS; /* the next word is its upper half */
    }
    config_write(function, CONFIG_COMMAND, 2, command);
    atomic_store(&sizing->under_way, 0);
}

int function_bar(struct function *function, unsigned index, const struct bar **out) {
    struct bar *bar = &function->bars[index];
    if (!bar->known || bar->bytes == 0) { /* a function that is being reset has none at the moment */
        if (config_read(function, CONFIG_COMMAND, 2) & COMMAND_BUS_MASTER) {
            return EBUSY;
        }
        if (sizing == NULL) {
            return ENOMEM;
        }
        learn_bars(function);
    }
    if (bar->bytes == 0) {
        return ENODEV;
    }
    uint32_t command = config_read(function, CONFIG_COMMAND, 2), wanted = bar->memory ? COMMAND_MEMORY : COMMAND_IO;
    if (!(command & wanted)) {
        config_write(function, CONFIG_COMMAND, 2, command | wanted);
    }
    *out = bar;
    return 0;
}
