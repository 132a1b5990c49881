/*
 * Owns the framebuffer's pixels, and `shown`: which cell was drawn where.
 *
 * The pixels are device memory, mapped into this process alone, uncached, and never read: what is to be drawn is
 * compared with `shown`. So scrolling draws the cells that differ, and nothing is moved in the slow memory.
 */
#include "drivers/console/display.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "drivers/console/font.h"
#include "drivers/console/vt.h"
#include "kernel/terminal_abi.h"
#include "user/lib/native.h"

enum { PAGE = 4096, BITS_24 = 24, BITS_32 = 32, COLOURS = 256, ROW_BYTES_MAX = GLYPH_WIDTH * BITS_32 / 8 };
enum { FIRST_GREY = 232, FIRST_OF_CUBE = 16, UNDERLINE_ROW = 14, STATUS_INK = 15 };

static struct terminal_screen screen;
static uint8_t *pixels;
static const uint8_t *unknown_glyph;                       /* of what the font has not */
static uint32_t columns, line_count;                       /* the status line is the last */
static uint32_t pixel_of[COLOURS];                         /* as the framebuffer has it */
static uint32_t cursor_line;                               /* where the cursor was drawn */
static struct vt_cell shown[VT_LINES_MAX][VT_COLUMNS_MAX]; /* character 0: nothing yet */

/* --- Colours ------------------------------------------------------------------------------------------------------ */

static uint32_t pixel(uint32_t red, uint32_t green, uint32_t blue) {
    return red << screen.red_position | green << screen.green_position | blue << screen.blue_position;
}

static uint32_t of_cube(uint32_t step) { return step == 0 ? 0 : 55 + 40 * step; }

static void make_colours(void) {
    for (uint32_t i = 0; i < FIRST_OF_CUBE; i++) {
        const uint32_t on = i < 8 ? 0xaa : 0xff, off = i < 8 ? 0 : 0x55;
        pixel_of[i] = pixel(i & 1 ? on : off, i & 2 ? on : off, i & 4 ? on : off);
    }
    for (uint32_t i = 0; i < FIRST_GREY - FIRST_OF_CUBE; i++) {
        pixel_of[FIRST_OF_CUBE + i] = pixel(of_cube(i / 36), of_cube(i / 6 % 6), of_cube(i % 6));
    }
    for (uint32_t i = 0; i < COLOURS - FIRST_GREY; i++) {
        pixel_of[FIRST_GREY + i] = pixel(8 + 10 * i, 8 + 10 * i, 8 + 10 * i);
    }
}

/* --- Drawing ------------------------------------------------------------------------------------------------------ */

/* The font's own, or `otherwise`. */
static const uint8_t *find_glyph(uint16_t character, const uint8_t *otherwise) {
    unsigned low = 0, high = console_glyphs;
    while (low < high) {
        const unsigned middle = (low + high) / 2;
        if (console_font[middle].character < character) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low < console_glyphs && console_font[low].character == character ? console_font[low].rows : otherwise;
}

/* A row of pixels is put together in ordinary memory and leaves it in a few wide writes. */
static void draw_row(uint8_t *to, uint8_t bits, uint32_t ink, uint32_t paper) {
    uint64_t row[ROW_BYTES_MAX / sizeof(uint64_t) + 1];
    uint8_t *byte = (uint8_t *)row;
    const uint32_t bytes_per_pixel = screen.bits_per_pixel / 8;
    for (unsigned x = 0; x < GLYPH_WIDTH; x++, byte += bytes_per_pixel) {
        memcpy(byte, bits & (0x80U >> x) ? &ink : &paper, sizeof ink);
    }
    for (unsigned i = 0; i < bytes_per_pixel * GLYPH_WIDTH / sizeof(uint64_t); i++) {
        ((volatile uint64_t *)(void *)to)[i] = row[i];
    }
}

static void draw_cell(uint32_t line, uint32_t column, const struct vt_cell *cell) {
    const bool bright = (cell->attributes & VT_BOLD) && cell->ink < 8;
    const uint32_t ink = pixel_of[bright ? cell->ink + 8 : cell->ink], paper = pixel_of[cell->paper];
    const bool reverse = cell->attributes & VT_REVERSE;
    const uint8_t *glyph = find_glyph(cell->character, unknown_glyph);
    uint8_t *to = pixels + (size_t)line * GLYPH_HEIGHT * screen.pitch +
                  (size_t)column * GLYPH_WIDTH * (screen.bits_per_pixel / 8);
    for (unsigned row = 0; row < GLYPH_HEIGHT; row++, to += screen.pitch) {
        const uint8_t underline = row == UNDERLINE_ROW && (cell->attributes & VT_UNDERLINE) ? 0xff : 0;
        draw_row(to, glyph[row] | underline, reverse ? paper : ink, reverse ? ink : paper);
    }
}

static void show(uint32_t line, uint32_t column, const struct vt_cell *cell) {
    if (memcmp(&shown[line][column], cell, sizeof *cell) != 0) {
        shown[line][column] = *cell;
        draw_cell(line, column, cell);
    }
}

static void show_line(const struct vt *vt, uint32_t line) {
    const bool has_cursor = line == vt->cursor.line && !vt->hidden_cursor;
    for (uint32_t column = 0; column < vt->columns; column++) {
        struct vt_cell cell = vt->lines[line][column];
        if (has_cursor && column == vt->cursor.column) {
            cell.attributes ^= VT_REVERSE;
        }
        show(line, column, &cell);
    }
}

void display_draw(struct vt *vt) {
    vt->changed[cursor_line] = vt->changed[vt->cursor.line] = true;
    cursor_line = vt->cursor.line;
    for (uint32_t line = 0; line < vt->line_count; line++) {
        if (vt->changed[line]) {
            vt->changed[line] = false;
            show_line(vt, line);
        }
    }
}

void display_status(const char *text, uint8_t paper) {
    const size_t length = strlen(text);
    for (uint32_t column = 0; column < columns; column++) {
        const struct vt_cell cell = {
            .character = column < length ? (uint8_t)text[column] : ' ', .ink = STATUS_INK, .paper = paper};
        show(line_count - 1, column, &cell);
    }
}

/* --- Opening ------------------------------------------------------------------------------------------------------ */

static bool is_drawable(void) {
    return (screen.bits_per_pixel == BITS_24 || screen.bits_per_pixel == BITS_32) && console_glyphs > 0 &&
           screen.width >= GLYPH_WIDTH && screen.height >= 2 * GLYPH_HEIGHT;
}

static bool map_pixels(int authority) {
    const uint64_t begin = screen.address / PAGE * PAGE;
    const uint64_t end = screen.address + (uint64_t)screen.pitch * screen.height;
    const uint64_t bytes = (end - begin + PAGE - 1) / PAGE * PAGE;
    const int region = region_create(authority, begin, bytes);
    void *mapped;
    if (region < 0) {
        return false;
    }
    mapped = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, region, 0);
    close(region);
    if (mapped == MAP_FAILED) {
        return false;
    }
    pixels = (uint8_t *)mapped + (screen.address - begin);
    return true;
}

static uint32_t smaller(uint32_t a, uint32_t b) { return a < b ? a : b; }

bool display_open(int authority, int terminal, uint32_t *terminal_columns, uint32_t *terminal_lines) {
    if (syscall(SYS_TERMINAL_SCREEN, terminal, &screen, 0) < 0) {
        return false;
    }
    if (!is_drawable()) {
        errno = ENOTSUP;
        return false;
    }
    if (!map_pixels(authority) || syscall(SYS_TERMINAL_SCREEN, terminal, &screen, 1) < 0) {
        return false;
    }
    columns = smaller(screen.width / GLYPH_WIDTH, VT_COLUMNS_MAX);
    line_count = smaller(screen.height / GLYPH_HEIGHT, VT_LINES_MAX);
    make_colours();
    unknown_glyph = find_glyph('?', console_font[0].rows);
    *terminal_columns = columns;
    *terminal_lines = line_count - 1;
    return true;
}
