/*
 * Regions: ranges of physical addresses that are device registers, for a process to map uncached into its user half.
 *
 * Such pages are no frames: nothing counts references to them, nothing clears them, nobody else's data is in them.
 * Their entries bear PTE_DEVICE. An area that maps a region holds a reference on it.
 */
#ifndef MM_REGION_H
#define MM_REGION_H

#include "kernel/status.h"
#include "mm/types.h"

struct boot_info;
struct file;
struct region;

/* Notes what of the address space is memory, or the kernel's. Start-up. */
void regions_init(const struct boot_info *info);

/*
 * A file with `rights` on whole pages of device memory. ERR_INVALID (not whole pages, none, or no such address),
 * ERR_NOT_PERMITTED (memory, or registers that are the kernel's), ERR_NO_MEMORY.
 */
MUST_USE enum status region_create(paddr_t address, uint64_t bytes, uint32_t rights, struct file **out);

/* The kernel's own registers from here on: interrupt controllers, IOMMUs. Start-up. */
void region_reserve(paddr_t address, uint64_t bytes);

/* The region behind a file and what the file lets do with it, or NULL. It lives as long as the file. */
struct region *region_of(const struct file *file, bool *readable, bool *writable);

paddr_t region_address(const struct region *region);
uint64_t region_bytes(const struct region *region);
void region_ref(struct region *region);
void region_unref(struct region *region);

/* Whether the page is part of a region that somebody has: the audit's rule for device pages of a user half. */
bool region_has_page(paddr_t page);

#endif
