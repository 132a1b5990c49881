/*
 * VGA text mode as a screen device: 80 by 25 characters, two bytes each.
 */
#ifndef DRIVERS_VGA_TEXT_H
#define DRIVERS_VGA_TEXT_H

#include <stdint.h>

#define VGA_TEXT_PHYS 0xb8000UL

struct boot_framebuffer;
struct screen_device;

/* NULL when `framebuffer` is no text screen; else also tells its size. */
const struct screen_device *vga_text_open(const struct boot_framebuffer *framebuffer, uint32_t *columns,
                                          uint32_t *lines);

#endif
