/*
 * A terminal of the simplest kind, which never looks back. Owns the cursor and, through the device, the screen.
 *
 * What is shown may be a user's data, and this kernel's plain memory is mapped for everyone. So there is no copy of
 * the text in memory, and the screen is never read: at the bottom the text goes on at the top, with the line ahead
 * cleared, instead of scrolling. The screen's own memory is a GLOBAL mapping and therefore uncached: the CPU does not
 * read such memory speculatively, so that what is on the screen cannot leak that way.
 *
 * Locks: the caller's. Space: any.
 */
#include "drivers/screen.h"

#include "boot/boot_info.h"
#include "drivers/framebuffer.h"
#include "drivers/vga_text.h"
#include "mm/addrmap.h"

enum { TAB_STOPS = 8 };
enum escape { ESCAPE_NONE, ESCAPE_BEGUN, ESCAPE_PARAMETERS };

static const struct screen_device *device; /* constant after screen_init() */
static uint32_t columns, lines;            /* constant after screen_init() */
static void *memory;                       /* this and the rest: guarded by the caller's lock */
static uint32_t column, line;
static enum escape escape;
static bool left;                              /* somebody else draws */
static const struct boot_framebuffer *loaders; /* constant after screen_init() */

/* The screen as firmware left it is overwritten from the top; the rest stays until the text gets there. */
static void start_line(void) {
    device->clear_line(memory, line);
    device->clear_line(memory, (line + 1) % lines);
}

void screen_init(const struct boot_framebuffer *framebuffer) {
    uint64_t bytes = (uint64_t)framebuffer->pitch * framebuffer->height;

    device = framebuffer->text_mode ? vga_text_open(framebuffer, &columns, &lines)
                                    : framebuffer_open(framebuffer, &columns, &lines);
    loaders = framebuffer;
    if (device == NULL || framebuffer->phys + bytes > 4 * PAGE_DIRECTORY_SPAN)
        return;
    screen_map((void *)(PHYSMAP_BASE + framebuffer->phys));
    for (uint32_t i = 0; i < lines; i++)
        device->clear_line(memory, i);
}

const struct boot_framebuffer *screen_framebuffer(void) {
    return device != NULL && memory != NULL && !loaders->text_mode ? loaders : NULL;
}

void screen_leave(bool leave) {
    if (left && !leave && device != NULL) {
        column = line = 0;
        start_line();
    }
    left = leave;
}

void screen_map(void *video) { memory = video; }

bool screen_is_there(void) { return device != NULL && memory != NULL; }

static void next_line(void) {
    column = 0;
    line = (line + 1) % lines;
    start_line();
}

static void put(char character) {
    if (column == columns)
        next_line();
    device->draw(memory, column++, line, character);
}

/* Returns whether the character belongs to an escape sequence: ESC, or ESC [ parameters letter. */
static bool skip_escape(char character) {
    switch (escape) {
    case ESCAPE_NONE:
        escape = character == '\033' ? ESCAPE_BEGUN : ESCAPE_NONE;
        return escape != ESCAPE_NONE;
    case ESCAPE_BEGUN:
        escape = character == '[' ? ESCAPE_PARAMETERS : ESCAPE_NONE;
        return true;
    case ESCAPE_PARAMETERS:
        escape = character >= '@' && character <= '~' ? ESCAPE_NONE : ESCAPE_PARAMETERS;
        return true;
    }
    return false;
}

static void write_character(char character) {
    if (skip_escape(character))
        return;
    switch (character) {
    case '\n':
        next_line();
        break;
    case '\r':
        column = 0;
        break;
    case '\b':
        column -= column > 0;
        break;
    case '\t':
        do
            put(' ');
        while (column % TAB_STOPS != 0 && column < columns);
        break;
    default:
        if (character >= ' ' && character <= '~')
            put(character);
        else if (character < 0) /* one mark for each byte of what is not ASCII */
            put('?');
        break;
    }
}

void screen_write(const char *text, size_t bytes) {
    if (left || !screen_is_there())
        return;
    for (size_t i = 0; i < bytes; i++)
        write_character(text[i]);
    device->place_cursor(column == columns ? column - 1 : column, line);
}
