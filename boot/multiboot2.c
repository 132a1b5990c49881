/*
 * Reads the tags that GRUB leaves, after the Multiboot2 specification 2.0 (section 3, "Boot information format").
 *
 * The list is not trusted to be well formed: no byte outside its stated size is read. Early space, once, no locks.
 */
#include "boot/protocol.h"

#include "kernel/string.h"

enum tag_type {
    TAG_END = 0,
    TAG_CMDLINE = 1,
    TAG_MODULE = 3,
    TAG_MEMORY_MAP = 6,
    TAG_FRAMEBUFFER = 8,
    TAG_RSDP_OLD = 14,
    TAG_RSDP_NEW = 15,
};

enum { TAG_ALIGNMENT = 8, MEMORY_USABLE = 1, FRAMEBUFFER_RGB = 1, FRAMEBUFFER_TEXT = 2 };

struct information {
    uint32_t total_size;
    uint32_t reserved;
};

struct tag {
    uint32_t type;
    uint32_t size;
};

struct tag_module {
    struct tag head;
    uint32_t start;
    uint32_t end;
};

struct tag_memory_map {
    struct tag head;
    uint32_t entry_size;
    uint32_t entry_version;
};

struct memory_map_entry {
    uint64_t base;
    uint64_t length;
    uint32_t type;
    uint32_t reserved;
};

struct tag_framebuffer {
    struct tag head;
    uint64_t address;
    uint32_t pitch;
    uint32_t width;
    uint32_t height;
    uint8_t bits_per_pixel;
    uint8_t kind;
    uint16_t reserved;
    uint8_t red_position, red_bits; /* these six only for FRAMEBUFFER_RGB */
    uint8_t green_position, green_bits;
    uint8_t blue_position, blue_bits;
};

/* Without the padding that the compiler adds at the end. */
enum { FRAMEBUFFER_RGB_BYTES = offsetof(struct tag_framebuffer, blue_bits) + 1 };

static void read_module(const struct tag *tag, struct boot_info *info) {
    const struct tag_module *module = (const void *)tag;
    bool first = info->module_size == 0;

    if (tag->size >= sizeof(*module) && module->end > module->start && first) {
        info->module_base = module->start;
        info->module_size = module->end - module->start;
    }
}

static void read_memory_map(const struct tag *tag, struct boot_info *info) {
    const struct tag_memory_map *map = (const void *)tag;

    if (tag->size < sizeof(*map) || map->entry_size < sizeof(struct memory_map_entry))
        return;
    for (uint32_t at = sizeof(*map); tag->size - at >= map->entry_size; at += map->entry_size) {
        const struct memory_map_entry *entry = (const void *)((const char *)tag + at);

        boot_add_range(info, entry->base, entry->length, entry->type == MEMORY_USABLE);
    }
}

static void read_framebuffer(const struct tag *tag, struct boot_info *info) {
    const struct tag_framebuffer *found = (const void *)tag;
    struct boot_framebuffer *framebuffer = &info->framebuffer;

    if (tag->size < offsetof(struct tag_framebuffer, red_position))
        return;
    if (found->kind != FRAMEBUFFER_TEXT && (found->kind != FRAMEBUFFER_RGB || tag->size < FRAMEBUFFER_RGB_BYTES))
        return;
    framebuffer->present = true;
    framebuffer->text_mode = found->kind == FRAMEBUFFER_TEXT;
    framebuffer->phys = found->address;
    framebuffer->width = found->width;
    framebuffer->height = found->height;
    framebuffer->pitch = found->pitch;
    framebuffer->bits_per_pixel = found->bits_per_pixel;
    if (!framebuffer->text_mode) {
        framebuffer->red_position = found->red_position;
        framebuffer->green_position = found->green_position;
        framebuffer->blue_position = found->blue_position;
    }
}

/* GRUB gives the old table even where there is a new one: the new one, which is longer, wins in either order. */
static void read_rsdp(const struct tag *tag, struct boot_info *info) {
    size_t bytes = tag->size - sizeof(*tag);

    if (info->rsdp_present && tag->type == TAG_RSDP_OLD)
        return;
    memcpy(info->rsdp, tag + 1, bytes < BOOT_RSDP_SIZE ? bytes : BOOT_RSDP_SIZE);
    info->rsdp_present = true;
}

static void read_tag(const struct tag *tag, struct boot_info *info) {
    switch (tag->type) {
    case TAG_CMDLINE:
        boot_add_words(info, (const char *)(tag + 1), tag->size - sizeof(*tag));
        break;
    case TAG_MODULE:
        read_module(tag, info);
        break;
    case TAG_MEMORY_MAP:
        read_memory_map(tag, info);
        break;
    case TAG_FRAMEBUFFER:
        read_framebuffer(tag, info);
        break;
    case TAG_RSDP_OLD:
    case TAG_RSDP_NEW:
        read_rsdp(tag, info);
        break;
    default:
        break;
    }
}

const char *multiboot2_read(uint32_t address, struct boot_info *info) {
    const struct information *information = boot_view(address, sizeof(*information));
    uint64_t at = sizeof(*information);

    info->protocol = "multiboot2";
    if (information == NULL || boot_view(address, information->total_size) == NULL)
        return "Multiboot2 information out of reach";
    while (at + sizeof(struct tag) <= information->total_size) {
        const struct tag *tag = (const void *)((const char *)information + at);

        if (tag->type == TAG_END)
            return NULL;
        if (tag->size < sizeof(*tag) || tag->size > information->total_size - at)
            break;
        read_tag(tag, info);
        at += (tag->size + TAG_ALIGNMENT - 1UL) & ~(TAG_ALIGNMENT - 1UL);
    }
    return "Multiboot2 information without an end";
}
