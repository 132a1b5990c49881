/*
 * What control sequences (ESC [ … letter) do. See vt.h.
 */
#include <stdio.h>
#include <string.h>

#include "drivers/console/vt.h"

/* A count: left out and 0 are 1. */
static uint32_t count_of(const struct vt *vt, unsigned index) {
    return vt->parameter[index] != 0 ? vt->parameter[index] : 1;
}

/* --- Erasing ------------------------------------------------------------------------------------------------------ */

static void erase_in_line(struct vt *vt, uint32_t what) {
    const struct vt_cursor *cursor = &vt->cursor;
    if (what <= 2) {
        vt_erase(vt, cursor->line, what == 0 ? cursor->column : 0, what == 1 ? cursor->column + 1 : vt->columns);
    }
}

static void erase_in_display(struct vt *vt, uint32_t what) {
    const uint32_t at = vt->cursor.line;
    if (what > 3) {
        return;
    }
    for (uint32_t line = what == 0 ? at + 1 : 0; line < (what == 1 ? at : vt->line_count); line++) {
        vt_erase(vt, line, 0, vt->columns);
    }
    erase_in_line(vt, what < 2 ? what : 2);
}

/* Lines are inserted and deleted within the scroll region only. */
static bool in_region(const struct vt *vt) { return vt->cursor.line >= vt->top && vt->cursor.line <= vt->bottom; }

static void insert_lines(struct vt *vt) {
    if (in_region(vt)) {
        vt_scroll_down(vt, vt->cursor.line, count_of(vt, 0));
        vt_move_to(vt, vt->cursor.line, 0);
    }
}

static void delete_lines(struct vt *vt) {
    if (in_region(vt)) {
        vt_scroll_up(vt, vt->cursor.line, count_of(vt, 0));
        vt_move_to(vt, vt->cursor.line, 0);
    }
}

static void repeat_last(struct vt *vt) {
    const uint32_t most = vt->columns * vt->line_count;
    for (uint32_t left = count_of(vt, 0) < most ? count_of(vt, 0) : most; left > 0; left--) {
        vt_put(vt, vt->last.character);
    }
}

/* --- The cursor --------------------------------------------------------------------------------------------------- */

/* Up and down stop at the scroll region's edge when they begin within it. */
static void move_up(struct vt *vt, uint32_t count) {
    const int64_t line = (int64_t)vt->cursor.line - count, edge = vt->cursor.line >= vt->top ? vt->top : 0;
    vt_move_to(vt, line > edge ? line : edge, vt->cursor.column);
}

static void move_down(struct vt *vt, uint32_t count) {
    const int64_t line = (int64_t)vt->cursor.line + count;
    const int64_t edge = vt->cursor.line <= vt->bottom ? vt->bottom : vt->line_count - 1;
    vt_move_to(vt, line < edge ? line : edge, vt->cursor.column);
}

static void move_across(struct vt *vt, int64_t by) { vt_move_to(vt, vt->cursor.line, (int64_t)vt->cursor.column + by); }

static void place(struct vt *vt, uint32_t line, uint32_t column) {
    vt_move_to(vt, (int64_t)line - 1 + (vt->cursor.origin ? vt->top : 0), (int64_t)column - 1);
}

static void set_region(struct vt *vt) {
    const uint32_t last =
        vt->parameter[1] != 0 && vt->parameter[1] < vt->line_count ? vt->parameter[1] : vt->line_count;
    if (count_of(vt, 0) < last) {
        vt->top = count_of(vt, 0) - 1;
        vt->bottom = last - 1;
        place(vt, 1, 1);
    }
}

/* --- Colours and attributes --------------------------------------------------------------------------------------- */

static uint8_t in_cube(uint32_t red, uint32_t green, uint32_t blue) {
    const uint32_t step = 51, half = step / 2;
    return (uint8_t)(16 + 36 * ((red + half) / step % 6) + 6 * ((green + half) / step % 6) + (blue + half) / step % 6);
}

/* 38 or 48 ; 5 ; number, or ; 2 ; red ; green ; blue. Returns how many parameters belong to it beside the first. */
static uint32_t long_colour(const struct vt *vt, uint32_t at, uint8_t *colour) {
    const uint32_t *p = vt->parameter + at;
    const uint32_t left = vt->parameters - at - 1;
    if (left >= 2 && p[1] == 5) {
        *colour = (uint8_t)p[2];
        return 2;
    }
    if (left >= 4 && p[1] == 2) {
        *colour = in_cube(p[2] & 0xff, p[3] & 0xff, p[4] & 0xff);
        return 4;
    }
    return left;
}

static uint32_t select_one(struct vt *vt, uint32_t at) {
    struct vt_cell *pen = &vt->cursor.pen;
    const uint32_t what = vt->parameter[at];
    if (what == 0) {
        *pen = (struct vt_cell){.character = ' ', .ink = VT_INK, .paper = VT_PAPER};
    } else if (what == 1 || what == 4 || what == 7) {
        pen->attributes |= what == 1 ? VT_BOLD : what == 4 ? VT_UNDERLINE : VT_REVERSE;
    } else if (what == 22 || what == 24 || what == 27) {
        pen->attributes &= (uint8_t) ~(what == 22 ? VT_BOLD : what == 24 ? VT_UNDERLINE : VT_REVERSE);
    } else if (what >= 30 && what <= 37) {
        pen->ink = (uint8_t)(what - 30);
    } else if (what >= 40 && what <= 47) {
        pen->paper = (uint8_t)(what - 40);
    } else if (what >= 90 && what <= 97) {
        pen->ink = (uint8_t)(what - 90 + 8);
    } else if (what >= 100 && what <= 107) {
        pen->paper = (uint8_t)(what - 100 + 8);
    } else if (what == 38) {
        return long_colour(vt, at, &pen->ink);
    } else if (what == 48) {
        return long_colour(vt, at, &pen->paper);
    } else if (what == 39) {
        pen->ink = VT_INK;
    } else if (what == 49) {
        pen->paper = VT_PAPER;
    }
    return 0;
}

static void select_attributes(struct vt *vt) {
    for (uint32_t at = 0; at < vt->parameters; at++) {
        at += select_one(vt, at);
    }
}

/* --- Modes and questions ------------------------------------------------------------------------------------------ */

static void set_private_mode(struct vt *vt, uint32_t mode, bool on) {
    switch (mode) {
    case 1:
        vt->application_keys = on;
        break;
    case 6:
        vt->cursor.origin = on;
        place(vt, 1, 1);
        break;
    case 7:
        vt->no_wrap = !on;
        break;
    case 25:
        vt->hidden_cursor = !on;
        vt->changed[vt->cursor.line] = true;
        break;
    case 1049:
        if (on && !vt->alternate) {
            vt->saved_alternate = vt->cursor;
        } else if (!on && vt->alternate) {
            vt->cursor = vt->saved_alternate;
        }
        vt_show_alternate(vt, on);
        break;
    case 47:
    case 1047:
        vt_show_alternate(vt, on);
        break;
    default:
        break;
    }
}

static void set_modes(struct vt *vt, bool on) {
    for (uint32_t i = 0; i < vt->parameters; i++) {
        if (vt->private_mark == '?') {
            set_private_mode(vt, vt->parameter[i], on);
        } else if (vt->private_mark == 0 && vt->parameter[i] == 4) {
            vt->insert = on;
        }
    }
}

static void say(struct vt *vt, const char *text) {
    const size_t length = strlen(text);
    if (vt->answer_length + length <= VT_ANSWER_MAX) {
        memcpy(vt->answer + vt->answer_length, text, length);
        vt->answer_length += (uint32_t)length;
    }
}

static void report(struct vt *vt) {
    char text[VT_ANSWER_MAX];
    const struct vt_cursor *cursor = &vt->cursor;
    if (vt->parameter[0] == 5) {
        say(vt, "\033[0n");
    } else if (vt->parameter[0] == 6) {
        snprintf(text, sizeof text, "\033[%u;%uR", cursor->line + 1 - (cursor->origin ? vt->top : 0),
                 cursor->column + 1);
        say(vt, text);
    }
}

static void clear_tab_stops(struct vt *vt) {
    if (vt->parameter[0] == 0) {
        vt->tab_stops[vt->cursor.column] = 0;
    } else if (vt->parameter[0] == 3) {
        memset(vt->tab_stops, 0, sizeof vt->tab_stops);
    }
}

/* --- Which letter does what --------------------------------------------------------------------------------------- */

static void move(struct vt *vt, uint8_t letter) {
    const uint32_t count = count_of(vt, 0);
    switch (letter) {
    case 'A':
        move_up(vt, count);
        break;
    case 'B':
    case 'e':
        move_down(vt, count);
        break;
    case 'C':
    case 'a':
        move_across(vt, count);
        break;
    case 'D':
        move_across(vt, -(int64_t)count);
        break;
    case 'E':
        move_down(vt, count);
        move_across(vt, -(int64_t)vt->columns);
        break;
    case 'F':
        move_up(vt, count);
        move_across(vt, -(int64_t)vt->columns);
        break;
    case 'G':
    case '`':
        vt_move_to(vt, vt->cursor.line, (int64_t)count - 1);
        break;
    case 'H':
    case 'f':
        place(vt, count, count_of(vt, 1));
        break;
    case 'd':
        place(vt, count, vt->cursor.column + 1);
        break;
    case 'I':
        vt_tab(vt, count);
        break;
    case 'Z':
        vt_back_tab(vt, count);
        break;
    default:
        break;
    }
}

/* What changes the screen where the cursor is takes it back from behind the last column. */
static void change(struct vt *vt, uint8_t letter) {
    const uint32_t count = count_of(vt, 0);
    if (letter != '\0' && strchr("JKLM@PX", letter) != NULL) {
        vt->cursor.wraps = false;
    }
    switch (letter) {
    case 'J':
        erase_in_display(vt, vt->parameter[0]);
        break;
    case 'K':
        erase_in_line(vt, vt->parameter[0]);
        break;
    case 'L':
        insert_lines(vt);
        break;
    case 'M':
        delete_lines(vt);
        break;
    case '@':
        vt_insert_cells(vt, count);
        break;
    case 'P':
        vt_delete_cells(vt, count);
        break;
    case 'X':
        vt_erase(vt, vt->cursor.line, vt->cursor.column,
                 vt->cursor.column + (count < vt->columns ? count : vt->columns));
        break;
    case 'S':
        vt_scroll_up(vt, vt->top, count);
        break;
    case 'T':
        vt_scroll_down(vt, vt->top, count);
        break;
    case 'b':
        repeat_last(vt);
        break;
    default:
        break;
    }
}

static void set(struct vt *vt, uint8_t letter) {
    switch (letter) {
    case 'm':
        select_attributes(vt);
        break;
    case 'r':
        set_region(vt);
        break;
    case 's':
        vt->saved = vt->cursor;
        break;
    case 'u':
        vt->cursor = vt->saved;
        break;
    case 'g':
        clear_tab_stops(vt);
        break;
    case 'n':
        report(vt);
        break;
    case 'c':
        say(vt, "\033[?1;2c"); /* a VT100 with its advanced video option */
        break;
    default:
        break;
    }
}

void vt_control(struct vt *vt, uint8_t letter) {
    if (vt->intermediate != 0) {
        return;
    }
    if (letter == 'h' || letter == 'l') {
        set_modes(vt, letter == 'h');
    } else if (vt->private_mark == 0) {
        move(vt, letter);
        change(vt, letter);
        set(vt, letter);
    }
}
