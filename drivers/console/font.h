/*
 * The font of the screen, made at build time by tools/mkfont: more characters than the kernel's has.
 */
#ifndef DRIVERS_CONSOLE_FONT_H
#define DRIVERS_CONSOLE_FONT_H

#include <stdint.h>

enum { GLYPH_WIDTH = 8, GLYPH_HEIGHT = 16 };

/* A byte for each row of pixels, from the top; the leftmost pixel is the highest bit. */
struct glyph {
    uint16_t character;
    uint8_t rows[GLYPH_HEIGHT];
};

/* By character. None when the build machine had no font. */
extern const struct glyph console_font[];
extern const unsigned console_glyphs;

#endif
