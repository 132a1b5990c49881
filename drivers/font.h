/*
 * The font of the framebuffer console, made at build time by tools/mkfont from one that the build machine has.
 */
#ifndef DRIVERS_FONT_H
#define DRIVERS_FONT_H

#include <stdbool.h>
#include <stdint.h>

#define FONT_WIDTH  8
#define FONT_HEIGHT 16
#define FONT_FIRST  ' '
#define FONT_LAST   '~'

/* A byte for each line of a glyph, from the top; the leftmost pixel is the highest bit. */
extern const uint8_t font_glyphs[FONT_LAST - FONT_FIRST + 1][FONT_HEIGHT];

/* False when the build machine had no font: then all glyphs are blank. */
extern const bool font_present;

#endif
