/*
 * What is done to the screen: characters, erasing, scrolling, moving the cursor. See vt.h.
 *
 * Scrolling moves pointers to lines, not cells.
 */
#include <string.h>

#include "drivers/console/vt.h"

#define TAB_COLUMNS 8U
#define FIRST_DRAWN 0x60U /* of the set for drawing lines */
#define LAST_DRAWN  0x7eU

static const uint16_t drawn[LAST_DRAWN - FIRST_DRAWN + 1] = {
    0x25c6, 0x2592, 0x2409, 0x240c, 0x240d, 0x240a, 0x00b0, 0x00b1, 0x2424, 0x240b, 0x2518,
    0x2510, 0x250c, 0x2514, 0x253c, 0x23ba, 0x23bb, 0x2500, 0x23bc, 0x23bd, 0x251c, 0x2524,
    0x2534, 0x252c, 0x2502, 0x2264, 0x2265, 0x03c0, 0x2260, 0x00a3, 0x00b7,
};

static uint32_t smaller(uint32_t a, uint32_t b) { return a < b ? a : b; }

static struct vt_cell blank(const struct vt *vt) {
    return (struct vt_cell){.character = ' ', .ink = VT_INK, .paper = vt->cursor.pen.paper};
}

void vt_erase(struct vt *vt, uint32_t line, uint32_t from, uint32_t to) {
    for (uint32_t column = from; column < to && column < vt->columns; column++) {
        vt->lines[line][column] = blank(vt);
    }
    vt->changed[line] = true;
}

void vt_grid_reset(struct vt *vt) {
    vt->top = 0;
    vt->bottom = vt->line_count - 1;
    vt->cursor = (struct vt_cursor){.pen = {.character = ' ', .ink = VT_INK, .paper = VT_PAPER}};
    vt->saved = vt->saved_alternate = vt->cursor;
    vt->last = vt->cursor.pen;
    vt->alternate = vt->no_wrap = vt->insert = vt->hidden_cursor = vt->application_keys = false;
    for (uint32_t column = 0; column < VT_COLUMNS_MAX; column++) {
        vt->tab_stops[column] = column % TAB_COLUMNS == 0;
    }
    for (uint32_t line = 0; line < vt->line_count; line++) {
        vt->lines[line] = vt->storage[1] + (size_t)line * vt->columns;
        vt_erase(vt, line, 0, vt->columns);
        vt->other[line] = vt->lines[line];
        vt->lines[line] = vt->storage[0] + (size_t)line * vt->columns;
        vt_erase(vt, line, 0, vt->columns);
    }
}

/* --- Scrolling ---------------------------------------------------------------------------------------------------- */

static void note_all_changed(struct vt *vt, uint32_t from, uint32_t to) {
    for (uint32_t line = from; line <= to; line++) {
        vt->changed[line] = true;
    }
}

void vt_scroll_up(struct vt *vt, uint32_t top, uint32_t count) {
    const uint32_t height = vt->bottom - top + 1, moved = smaller(count, height);
    struct vt_cell *gone[VT_LINES_MAX];
    memcpy(gone, vt->lines + top, moved * sizeof *gone);
    memmove(vt->lines + top, vt->lines + top + moved, (height - moved) * sizeof *gone);
    memcpy(vt->lines + vt->bottom + 1 - moved, gone, moved * sizeof *gone);
    for (uint32_t line = vt->bottom + 1 - moved; line <= vt->bottom; line++) {
        vt_erase(vt, line, 0, vt->columns);
    }
    note_all_changed(vt, top, vt->bottom);
}

void vt_scroll_down(struct vt *vt, uint32_t top, uint32_t count) {
    const uint32_t height = vt->bottom - top + 1, moved = smaller(count, height);
    struct vt_cell *gone[VT_LINES_MAX];
    memcpy(gone, vt->lines + vt->bottom + 1 - moved, moved * sizeof *gone);
    memmove(vt->lines + top + moved, vt->lines + top, (height - moved) * sizeof *gone);
    memcpy(vt->lines + top, gone, moved * sizeof *gone);
    for (uint32_t line = top; line < top + moved; line++) {
        vt_erase(vt, line, 0, vt->columns);
    }
    note_all_changed(vt, top, vt->bottom);
}

void vt_line_feed(struct vt *vt) {
    vt->cursor.wraps = false;
    if (vt->cursor.line == vt->bottom) {
        vt_scroll_up(vt, vt->top, 1);
    } else if (vt->cursor.line < vt->line_count - 1) {
        vt->cursor.line++;
    }
}

void vt_reverse_line_feed(struct vt *vt) {
    vt->cursor.wraps = false;
    if (vt->cursor.line == vt->top) {
        vt_scroll_down(vt, vt->top, 1);
    } else if (vt->cursor.line > 0) {
        vt->cursor.line--;
    }
}

/* --- Cells -------------------------------------------------------------------------------------------------------- */

void vt_insert_cells(struct vt *vt, uint32_t count) {
    const uint32_t at = vt->cursor.column, moved = smaller(count, vt->columns - at);
    struct vt_cell *line = vt->lines[vt->cursor.line];
    memmove(line + at + moved, line + at, (vt->columns - at - moved) * sizeof *line);
    vt_erase(vt, vt->cursor.line, at, at + moved);
}

void vt_delete_cells(struct vt *vt, uint32_t count) {
    const uint32_t at = vt->cursor.column, moved = smaller(count, vt->columns - at);
    struct vt_cell *line = vt->lines[vt->cursor.line];
    memmove(line + at, line + at + moved, (vt->columns - at - moved) * sizeof *line);
    vt_erase(vt, vt->cursor.line, vt->columns - moved, vt->columns);
}

static uint16_t in_set(const struct vt_cursor *cursor, uint16_t character) {
    const bool draws = cursor->drawing[cursor->set] && character >= FIRST_DRAWN && character <= LAST_DRAWN;
    return draws ? drawn[character - FIRST_DRAWN] : character;
}

void vt_put(struct vt *vt, uint16_t character) {
    struct vt_cursor *cursor = &vt->cursor;
    if (cursor->wraps && !vt->no_wrap) {
        cursor->column = 0;
        vt_line_feed(vt);
    }
    if (vt->insert) {
        vt_insert_cells(vt, 1);
    }
    vt->last = cursor->pen;
    vt->last.character = in_set(cursor, character);
    vt->lines[cursor->line][cursor->column] = vt->last;
    vt->changed[cursor->line] = true;
    if (cursor->column + 1 < vt->columns) {
        cursor->column++;
    } else {
        cursor->wraps = true;
    }
}

/* --- The cursor --------------------------------------------------------------------------------------------------- */

static uint32_t within(int64_t value, uint32_t least, uint32_t most) {
    return value < least ? least : value > most ? most : (uint32_t)value;
}

void vt_move_to(struct vt *vt, int64_t line, int64_t column) {
    const bool origin = vt->cursor.origin;
    vt->cursor.line = within(line, origin ? vt->top : 0, origin ? vt->bottom : vt->line_count - 1);
    vt->cursor.column = within(column, 0, vt->columns - 1);
    vt->cursor.wraps = false;
}

void vt_tab(struct vt *vt, uint32_t count) {
    uint32_t column = vt->cursor.column;
    while (count > 0 && column < vt->columns - 1) {
        column++;
        count -= vt->tab_stops[column];
    }
    vt_move_to(vt, vt->cursor.line, column);
}

void vt_back_tab(struct vt *vt, uint32_t count) {
    uint32_t column = vt->cursor.column;
    while (count > 0 && column > 0) {
        column--;
        count -= vt->tab_stops[column];
    }
    vt_move_to(vt, vt->cursor.line, column);
}

/* The alternate screen is empty whenever it is shown. */
void vt_show_alternate(struct vt *vt, bool alternate) {
    if (vt->alternate == alternate) {
        return;
    }
    vt->alternate = alternate;
    for (uint32_t line = 0; line < vt->line_count; line++) {
        struct vt_cell *shown = vt->lines[line];
        vt->lines[line] = vt->other[line];
        vt->other[line] = shown;
        if (alternate) {
            vt_erase(vt, line, 0, vt->columns);
        }
    }
    note_all_changed(vt, 0, vt->line_count - 1);
}
