/*
 * Memory at start-up: from the loader's map to frame table, heaps and the kernel's own address space.
 */
#ifndef MM_BOOT_H
#define MM_BOOT_H

#include "mm/frame.h"
#include "mm/types.h"

struct boot_info;
struct memory_object;

/* Builds everything and loads the kernel process's unrestricted root. Once, boot CPU, interrupts off. */
void mm_init(const struct boot_info *info);

/* Gives the archive's frames back, dirty, once its files have been copied out. */
void mm_release_module(const struct boot_info *info);

/*
 * Makes the archive's frames the pages of a new object, where they lie; what shares a frame with it is copied, all of
 * it if it does not begin with a frame. ERR_NO_MEMORY.
 */
MUST_USE enum status mm_keep_module(const struct boot_info *info, struct memory_object **out);

/* For mm/boot.c alone. */
void frames_init(uint32_t count);
void frame_claim_at_boot(frame_t frame, enum frame_class class);

/* Whether the scrubber has work. Frames on both lists. Any context. */
bool frame_any_dirty(void);
uint64_t frame_free_count(void);

/* The number of the last frame of RAM + 1. */
uint32_t frame_table_size(void);

#endif
