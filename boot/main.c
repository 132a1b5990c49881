/*
 * From the loader's hands to kernel_main(): reads what the loader says, checks that the machine is big enough.
 *
 * Owns the one struct boot_info. What is missing is said in one line, and the machine stops with status
 * POWER_STATUS_BOOT: never a reset, never a half-booted kernel. Early space, boot CPU, interrupts off, no locks.
 */
#include "boot/boot_info.h"
#include "boot/protocol.h"

#include "drivers/console.h"
#include "drivers/fw_cfg.h"
#include "drivers/power.h"
#include "kernel/print.h"
#include "kernel/string.h"
#include "mm/addrmap.h"

#define EARLY_SPACE_BYTES (4 * PAGE_DIRECTORY_SPAN)
#define FW_CFG_CMDLINE    "opt/penumbra/cmdline"

/* Outlives boot/: in plain data, not with the rest of this folder in .init. */
static struct boot_info boot_info __attribute__((section(".boot_info")));

/* boot/entry.asm calls it. */
_Noreturn void boot_main(uint32_t magic, uint32_t information, uint64_t entry_tsc);

const void *boot_view(uint64_t physical, uint64_t bytes) {
    if (bytes > EARLY_SPACE_BYTES || physical > EARLY_SPACE_BYTES - bytes)
        return NULL;
    return (const void *)(PHYSMAP_BASE + physical);
}

void boot_add_range(struct boot_info *info, uint64_t base, uint64_t length, bool usable) {
    struct boot_range *last = info->range_count == 0 ? NULL : &info->ranges[info->range_count - 1];

    if (length == 0 || base + length < base)
        return;
    if (last != NULL && last->usable == usable && last->base + last->length == base)
        last->length += length;
    else if (info->range_count < BOOT_RANGES_MAX)
        info->ranges[info->range_count++] = (struct boot_range){base, length, usable};
}

void boot_add_words(struct boot_info *info, const char *words, size_t bytes) {
    size_t length = strlen(info->cmdline);

    if (bytes == 0 || words[0] == '\0')
        return;
    if (length > 0 && length < BOOT_CMDLINE_SIZE - 1)
        info->cmdline[length++] = ' ';
    for (size_t i = 0; i < bytes && words[i] != '\0' && length < BOOT_CMDLINE_SIZE - 1; i++)
        info->cmdline[length++] = words[i];
    info->cmdline[length] = '\0';
}

static uint64_t usable_bytes(const struct boot_info *info) {
    uint64_t bytes = 0;

    for (uint32_t i = 0; i < info->range_count; i++)
        bytes += info->ranges[i].usable ? info->ranges[i].length : 0;
    return bytes;
}

/* The address must not wrap and the module must be RAM: a loader's slip is an error message here and a fault later. */
static bool module_is_ram(const struct boot_info *info) {
    for (uint32_t i = 0; i < info->range_count; i++) {
        const struct boot_range *range = &info->ranges[i];
        uint64_t offset = info->module_base - range->base;

        if (range->usable && info->module_base >= range->base && offset < range->length &&
            info->module_size <= range->length - offset)
            return true;
    }
    return false;
}

/* What this machine lacks, or NULL. */
static const char *missing(const struct boot_info *info) {
    if (info->range_count == 0)
        return "the loader gave no memory map";
    if (usable_bytes(info) < BOOT_MEMORY_MIN)
        return "less than 32 MiB of memory";
    if (info->module_size == 0)
        return "the loader gave no module (the archive with the first programs)";
    if (!module_is_ram(info))
        return "the module does not lie in usable memory";
    return NULL;
}

static _Noreturn void stop(const char *reason) {
    kprintf("penumbra: %s; stopped\n", reason);
    power_off(POWER_STATUS_BOOT);
}

_Noreturn void boot_main(uint32_t magic, uint32_t information, uint64_t entry_tsc) {
    char words[BOOT_CMDLINE_SIZE];
    const char *reason;

    boot_info.entry_tsc = entry_tsc;
    if (magic == MULTIBOOT2_BOOT_MAGIC)
        reason = multiboot2_read(information, &boot_info);
    else
        reason = pvh_read(information, &boot_info);
    console_init(&boot_info);
    if (reason == NULL)
        reason = missing(&boot_info);
    if (reason != NULL)
        stop(reason);
    if (fw_cfg_read_string(FW_CFG_CMDLINE, words, sizeof(words)))
        boot_add_words(&boot_info, words, sizeof(words));
    kernel_main(&boot_info);
}
