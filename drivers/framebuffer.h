/*
 * A linear framebuffer as a screen device, with the font that was found when the kernel was built.
 */
#ifndef DRIVERS_FRAMEBUFFER_H
#define DRIVERS_FRAMEBUFFER_H

#include <stdint.h>

struct boot_framebuffer;
struct screen_device;

/* NULL when `framebuffer` has a format that is not drawn (other than 24 or 32 bits) or there is no font. */
const struct screen_device *framebuffer_open(const struct boot_framebuffer *framebuffer, uint32_t *columns,
                                             uint32_t *lines);

#endif
