/*
 * VGA text mode. Owns the text memory and the CRT controller's cursor registers (ports 0x3d4, 0x3d5).
 *
 * Writes only: see drivers/screen.c. Locks: the caller's. Space: any.
 */
#include "drivers/vga_text.h"

#include <stddef.h>

#include "arch/io.h"
#include "boot/boot_info.h"
#include "drivers/screen.h"

enum { PORT_CRT_INDEX = 0x3d4, PORT_CRT_DATA = 0x3d5, CRT_CURSOR_HIGH = 0x0e, CRT_CURSOR_LOW = 0x0f };
enum { GREY_ON_BLACK = 0x0700 };

static uint32_t columns_per_line; /* constant after vga_text_open() */

static void draw(void *video, uint32_t column, uint32_t line, char character) {
    volatile uint16_t *cells = video;

    cells[line * columns_per_line + column] = (uint16_t)(GREY_ON_BLACK | (uint8_t)character);
}

static void clear_line(void *video, uint32_t line) {
    for (uint32_t column = 0; column < columns_per_line; column++)
        draw(video, column, line, ' ');
}

static void write_crt(uint8_t index, uint8_t value) {
    io_write8(PORT_CRT_INDEX, index);
    io_write8(PORT_CRT_DATA, value);
}

static void place_cursor(uint32_t column, uint32_t line) {
    uint32_t cell = line * columns_per_line + column;

    write_crt(CRT_CURSOR_HIGH, (uint8_t)(cell >> 8));
    write_crt(CRT_CURSOR_LOW, (uint8_t)cell);
}

const struct screen_device *vga_text_open(const struct boot_framebuffer *framebuffer, uint32_t *columns,
                                          uint32_t *lines) {
    static const struct screen_device device = {draw, clear_line, place_cursor};

    if (!framebuffer->present || !framebuffer->text_mode || framebuffer->width == 0 || framebuffer->height == 0)
        return NULL;
    columns_per_line = framebuffer->width;
    *columns = framebuffer->width;
    *lines = framebuffer->height;
    return &device;
}
