/*
 * Units of memory as types, so that a page count cannot pass for a byte count nor a frame number for an address.
 */
#ifndef MM_TYPES_H
#define MM_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mm/addrmap.h"

typedef uint64_t paddr_t; /* physical address, bytes */
typedef uint64_t vaddr_t; /* virtual address, bytes */

/* The number of a physical frame (address / PAGE_SIZE). Frame 0 is never allocated: it means "none". */
typedef struct {
    uint32_t number;
} frame_t;

#define FRAME_NONE ((frame_t){0})

static inline bool frame_is_none(frame_t frame) { return frame.number == 0; }
static inline bool frame_equal(frame_t a, frame_t b) { return a.number == b.number; }
static inline paddr_t frame_address(frame_t frame) { return (paddr_t)frame.number << PAGE_SHIFT; }
static inline frame_t frame_of(paddr_t address) { return (frame_t){(uint32_t)(address >> PAGE_SHIFT)}; }

static inline uint64_t page_floor(uint64_t bytes) { return bytes & ~(PAGE_SIZE - 1); }
static inline uint64_t page_ceil(uint64_t bytes) { return (bytes + PAGE_SIZE - 1) & ~(PAGE_SIZE - 1); }
static inline uint64_t page_offset(uint64_t bytes) { return bytes & (PAGE_SIZE - 1); }
static inline uint64_t bytes_to_pages(uint64_t bytes) { return (bytes + PAGE_SIZE - 1) >> PAGE_SHIFT; }

#endif
