/*
 * Reads the start information of the PVH protocol (QEMU's -kernel, Xen), after
 * xen/include/public/arch-x86/hvm/start_info.h.
 *
 * PVH says nothing of a screen: where there is one, the firmware has left it in VGA text mode. Early space, once, no
 * locks.
 */
#include "boot/protocol.h"

#include "drivers/vga_text.h"
#include "kernel/string.h"

enum { START_INFO_MAGIC = 0x336ec578, MEMORY_USABLE = 1, VERSION_WITH_MEMORY_MAP = 1 };
enum { VGA_TEXT_COLUMNS = 80, VGA_TEXT_LINES = 25, VGA_CELL_BYTES = 2 };

struct start_info {
    uint32_t magic;
    uint32_t version;
    uint32_t flags;
    uint32_t module_count;
    uint64_t modules;
    uint64_t cmdline;
    uint64_t rsdp;
    uint64_t memory_map; /* this and the next from version 1 on */
    uint32_t memory_map_entries;
    uint32_t reserved;
};

struct start_module {
    uint64_t address;
    uint64_t size;
    uint64_t cmdline;
    uint64_t reserved;
};

struct memory_map_entry {
    uint64_t base;
    uint64_t length;
    uint32_t type;
    uint32_t reserved;
};

static const char *read_memory_map(const struct start_info *start, struct boot_info *info) {
    uint64_t bytes = (uint64_t)start->memory_map_entries * sizeof(struct memory_map_entry);
    const struct memory_map_entry *map = boot_view(start->memory_map, bytes);

    if (map == NULL)
        return "PVH memory map out of reach";
    for (uint32_t i = 0; i < start->memory_map_entries; i++)
        boot_add_range(info, map[i].base, map[i].length, map[i].type == MEMORY_USABLE);
    return NULL;
}

static void read_module(const struct start_info *start, struct boot_info *info) {
    const struct start_module *module = boot_view(start->modules, sizeof(*module));

    if (start->module_count == 0 || module == NULL)
        return;
    info->module_base = module->address;
    info->module_size = module->size;
}

static void read_rsdp(const struct start_info *start, struct boot_info *info) {
    const void *rsdp = boot_view(start->rsdp, BOOT_RSDP_SIZE);

    if (start->rsdp == 0 || rsdp == NULL)
        return;
    memcpy(info->rsdp, rsdp, BOOT_RSDP_SIZE);
    info->rsdp_present = true;
}

static void assume_vga_text(struct boot_framebuffer *framebuffer) {
    framebuffer->present = true;
    framebuffer->text_mode = true;
    framebuffer->phys = VGA_TEXT_PHYS;
    framebuffer->width = VGA_TEXT_COLUMNS;
    framebuffer->height = VGA_TEXT_LINES;
    framebuffer->pitch = VGA_TEXT_COLUMNS * VGA_CELL_BYTES;
    framebuffer->bits_per_pixel = 8 * VGA_CELL_BYTES;
}

const char *pvh_read(uint32_t address, struct boot_info *info) {
    const struct start_info *start = boot_view(address, sizeof(*start));
    const char *words;

    info->protocol = "pvh";
    if (start == NULL || start->magic != START_INFO_MAGIC)
        return "started neither by Multiboot2 nor by PVH";
    if (start->version < VERSION_WITH_MEMORY_MAP)
        return "PVH start information without a memory map";
    words = start->cmdline == 0 ? NULL : boot_view(start->cmdline, BOOT_CMDLINE_SIZE);
    if (words != NULL)
        boot_add_words(info, words, BOOT_CMDLINE_SIZE);
    read_module(start, info);
    read_rsdp(start, info);
    assume_vga_text(&info->framebuffer);
    return read_memory_map(start, info);
}
