/*
 * The screen as a grid of characters, over VGA text memory or a linear framebuffer.
 */
#ifndef DRIVERS_SCREEN_H
#define DRIVERS_SCREEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct boot_framebuffer;

/* What draws the characters. Lines and columns count from 0. None of them reads the screen. */
struct screen_device {
    void (*draw)(void *video, uint32_t column, uint32_t line, char character);
    void (*clear_line)(void *video, uint32_t line);
    void (*place_cursor)(uint32_t column, uint32_t line);
};

/* Chooses the device; off where there is none that fits. Early space, once. */
void screen_init(const struct boot_framebuffer *framebuffer);

/* Where the screen's memory is mapped from now on; NULL: nowhere, and nothing is drawn. */
void screen_map(void *video);

/* The screen as the loader left it, or NULL where there is no framebuffer. */
const struct boot_framebuffer *screen_framebuffer(void);

/* Nothing is drawn until the screen is taken back; then text goes on at the top. The caller's lock. */
void screen_leave(bool leave);

/* Whether anything is shown. */
bool screen_is_there(void);

/* Draws text: printable ASCII, newline, return, backspace, tab; escape sequences are skipped. The caller's lock. */
void screen_write(const char *text, size_t bytes);

#endif
