/*
 * What the boot protocols tell the kernel, in one form for all of them. Filled once in boot/, constant afterwards.
 *
 * Metadata only, so it may lie in GLOBAL memory: the memory map, where things are, and the command line, which every
 * process may read in /proc/cmdline anyway.
 */
#ifndef BOOT_BOOT_INFO_H
#define BOOT_BOOT_INFO_H

#include <stdbool.h>
#include <stdint.h>

#define BOOT_RANGES_MAX   64
#define BOOT_CMDLINE_SIZE 1024
#define BOOT_RSDP_SIZE    36
#define BOOT_MEMORY_MIN   (32UL * 1024 * 1024)

/* Bytes, as the firmware reported them: not page-aligned, not sorted; neighbours of one kind are merged. */
struct boot_range {
    uint64_t base;
    uint64_t length;
    bool usable; /* RAM that nobody else claims; still holds the kernel's image, the module and the first 1 MiB's users
                  */
};

/* The screen that the firmware or GRUB left us. Colour positions are bit numbers in a pixel of `bits_per_pixel`. */
struct boot_framebuffer {
    bool present;
    bool text_mode; /* VGA text: width and height count characters, two bytes each */
    uint64_t phys;
    uint32_t width;
    uint32_t height;
    uint32_t pitch; /* bytes from one line to the next */
    uint8_t bits_per_pixel;
    uint8_t red_position;
    uint8_t green_position;
    uint8_t blue_position;
};

struct boot_info {
    const char *protocol; /* "multiboot2" or "pvh" */
    uint64_t entry_tsc;   /* TSC at the kernel's first instruction */

    uint32_t range_count;
    struct boot_range ranges[BOOT_RANGES_MAX];

    uint64_t module_base; /* physical: the archive with the first programs */
    uint64_t module_size; /* bytes, never 0 */

    char cmdline[BOOT_CMDLINE_SIZE]; /* the loader's words, then those of fw_cfg opt/penumbra/cmdline */

    bool rsdp_present;
    uint8_t rsdp[BOOT_RSDP_SIZE]; /* a copy; zero-padded when ACPI 1.0 gave 20 bytes */

    struct boot_framebuffer framebuffer;
};

/*
 * `bytes` bytes of physical memory in the early space, or NULL where that does not reach (above 4 GiB). Before
 * mm_init().
 */
const void *boot_view(uint64_t physical, uint64_t bytes);

/*
 * Where boot/ ends (kernel/main.c). Long mode, higher half, boot CPU, interrupts off, the early space of
 * boot/entry.asm: physical 0–4 GiB at PHYSMAP_BASE. `info` stays valid for good.
 */
_Noreturn void kernel_main(const struct boot_info *info);

#endif
