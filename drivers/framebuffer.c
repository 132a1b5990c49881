/*
 * Draws characters into a linear framebuffer of 24 or 32 bits per pixel. Owns the pixels.
 *
 * Writes only, and wide ones where it can: the memory is uncached (see drivers/screen.c). No cursor is shown, since to
 * take it away again the screen would have to be read. Locks: the caller's. Space: any.
 */
#include "drivers/framebuffer.h"

#include <stddef.h>

#include "boot/boot_info.h"
#include "drivers/font.h"
#include "drivers/screen.h"

enum { GREY = 0xb0, BITS_24 = 24, BITS_32 = 32 };

/* Constant after framebuffer_open(). */
static uint32_t pitch, bytes_per_pixel, glyph_columns, ink;

static void draw_line_32(uint8_t *pixels, uint8_t glyph_line) {
    volatile uint64_t *pairs = (void *)pixels;

    for (unsigned pair = 0; pair < FONT_WIDTH / 2; pair++, glyph_line = (uint8_t)(glyph_line << 2)) {
        uint64_t left = glyph_line & 0x80 ? ink : 0;
        uint64_t right = glyph_line & 0x40 ? ink : 0;

        pairs[pair] = left | right << 32;
    }
}

static void draw_line_24(volatile uint8_t *pixels, uint8_t glyph_line) {
    for (unsigned x = 0; x < FONT_WIDTH; x++, glyph_line = (uint8_t)(glyph_line << 1))
        for (unsigned byte = 0; byte < BITS_24 / 8; byte++)
            *pixels++ = glyph_line & 0x80 ? (uint8_t)(ink >> (8 * byte)) : 0;
}

static void draw(void *video, uint32_t column, uint32_t line, char character) {
    const uint8_t *glyph = font_glyphs[character - FONT_FIRST];
    uint8_t *pixels = (uint8_t *)video + (size_t)line * FONT_HEIGHT * pitch;

    pixels += (size_t)column * FONT_WIDTH * bytes_per_pixel;
    for (unsigned y = 0; y < FONT_HEIGHT; y++, pixels += pitch) {
        if (bytes_per_pixel == BITS_32 / 8)
            draw_line_32(pixels, glyph[y]);
        else
            draw_line_24(pixels, glyph[y]);
    }
}

static void clear_line(void *video, uint32_t line) {
    for (uint32_t column = 0; column < glyph_columns; column++)
        draw(video, column, line, ' ');
}

static void place_no_cursor(uint32_t column, uint32_t line) {
    (void)column;
    (void)line;
}

const struct screen_device *framebuffer_open(const struct boot_framebuffer *framebuffer, uint32_t *columns,
                                             uint32_t *lines) {
    static const struct screen_device device = {draw, clear_line, place_no_cursor};
    bool known_format = framebuffer->bits_per_pixel == BITS_24 || framebuffer->bits_per_pixel == BITS_32;

    if (!framebuffer->present || framebuffer->text_mode || !known_format || !font_present)
        return NULL;
    if (framebuffer->width < FONT_WIDTH || framebuffer->height < FONT_HEIGHT)
        return NULL;
    pitch = framebuffer->pitch;
    bytes_per_pixel = framebuffer->bits_per_pixel / 8;
    ink = (uint32_t)GREY << framebuffer->red_position | (uint32_t)GREY << framebuffer->green_position |
          (uint32_t)GREY << framebuffer->blue_position;
    glyph_columns = framebuffer->width / FONT_WIDTH;
    *columns = glyph_columns;
    *lines = framebuffer->height / FONT_HEIGHT;
    return &device;
}
