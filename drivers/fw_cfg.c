/*
 * fw_cfg by plain port I/O, after QEMU's docs/specs/fw_cfg. Owns the ports 0x510 and 0x511.
 *
 * A selector chooses an item, whose bytes come one by one from the data port. Used at boot only, so without a lock.
 */
#include "drivers/fw_cfg.h"

#include <stdint.h>

#include "arch/io.h"
#include "kernel/string.h"

enum { PORT_SELECTOR = 0x510, PORT_DATA = 0x511 };
enum { ITEM_SIGNATURE = 0x0000, ITEM_DIRECTORY = 0x0019 };
enum { NAME_SIZE = 56, FILES_MAX = 4096 };

/* A directory entry; the numbers are big-endian. */
struct file {
    uint32_t size;
    uint16_t item;
    char name[NAME_SIZE];
};

static void select_item(uint16_t item) { io_write16(PORT_SELECTOR, item); }

static void read_bytes(void *buffer, size_t bytes) {
    uint8_t *to = buffer;

    while (bytes-- > 0)
        *to++ = io_read8(PORT_DATA);
}

static uint32_t read_big_endian(unsigned bytes) {
    uint32_t value = 0;

    while (bytes-- > 0)
        value = value << 8 | io_read8(PORT_DATA);
    return value;
}

/* Where there is no such device the data port floats, and reads the same for every byte. */
static bool device_present(void) {
    char signature[4];

    select_item(ITEM_SIGNATURE);
    read_bytes(signature, sizeof(signature));
    return memcmp(signature, "QEMU", sizeof(signature)) == 0;
}

static bool find_file(const char *name, struct file *file) {
    uint32_t count;

    select_item(ITEM_DIRECTORY);
    count = read_big_endian(4);
    for (uint32_t i = 0; i < count && i < FILES_MAX; i++) {
        file->size = read_big_endian(4);
        file->item = (uint16_t)read_big_endian(2);
        (void)read_big_endian(2);
        read_bytes(file->name, NAME_SIZE);
        if (strncmp(file->name, name, NAME_SIZE) == 0)
            return true;
    }
    return false;
}

bool fw_cfg_read_string(const char *name, char *buffer, size_t size) {
    struct file file;
    size_t bytes;

    buffer[0] = '\0';
    if (!device_present() || !find_file(name, &file))
        return false;
    bytes = file.size < size - 1 ? file.size : size - 1;
    select_item(file.item);
    read_bytes(buffer, bytes);
    buffer[bytes] = '\0';
    return true;
}
