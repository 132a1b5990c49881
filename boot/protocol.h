/*
 * Inside boot/: how the readers of the two boot protocols hand over what they found.
 */
#ifndef BOOT_PROTOCOL_H
#define BOOT_PROTOCOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "boot/boot_info.h"

/* In eax when GRUB starts the kernel. */
#define MULTIBOOT2_BOOT_MAGIC 0x36d76289U

/*
 * Each fills `info` from the loader's structures at physical address `address` and returns NULL, or, where these make
 * no sense, what is wrong with them in a few words. Everything is copied: the loader's memory is free afterwards, but
 * for the module. Early space, interrupts off.
 */
const char *multiboot2_read(uint32_t address, struct boot_info *info);
const char *pvh_read(uint32_t address, struct boot_info *info);

/* Adds a range of the memory map; merges with the one before it. Ranges beyond the table are dropped: memory unused. */
void boot_add_range(struct boot_info *info, uint64_t base, uint64_t length, bool usable);

/*
 * Appends words to the command line, with a space between; cut off at the end of the buffer. `bytes` at most are
 * read.
 */
void boot_add_words(struct boot_info *info, const char *words, size_t bytes);

#endif
