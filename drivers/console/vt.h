/*
 * A terminal's screen in memory: what a VT100, and as far as programs use it a VT220 with colours, makes of the bytes
 * that it is sent. Knows neither pixels nor system calls, so that it runs anywhere (tests/host/vt_test.c).
 *
 * Bytes go in by vt_write(). What stands where is in `lines`, and `changed` says which of them to look at again. What
 * the terminal answers (where the cursor is, what it is) is left in `answer`. One thread.
 *
 * Supported: UTF-8, a column for each character; cursor movement, erasing, inserting and deleting, scroll region and
 * origin mode, tab stops, line drawing, 256 colours, bold, underline, reverse, the alternate screen. Not: characters
 * of two columns, double-size lines, 132 columns, scrolling back.
 */
#ifndef DRIVERS_CONSOLE_VT_H
#define DRIVERS_CONSOLE_VT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define VT_COLUMNS_MAX    320U
#define VT_LINES_MAX      96U
#define VT_PARAMETERS_MAX 16U
#define VT_ANSWER_MAX     32U

enum vt_attribute { VT_BOLD = 1, VT_UNDERLINE = 2, VT_REVERSE = 4 };

/* Colours are numbers of xterm's 256: 0–15 the usual ones, 16–231 a cube of 6 × 6 × 6, 232–255 greys. */
enum { VT_INK = 7, VT_PAPER = 0 };

struct vt_cell {
    uint16_t character; /* code point; what does not fit is U+FFFD. Never 0 once the terminal is set up */
    uint8_t ink, paper;
    uint8_t attributes;
    uint8_t reserved[3]; /* 0, so that cells may be compared byte by byte */
};

struct vt_cursor {
    uint32_t column, line;
    bool wraps;  /* stands behind the last column: the next character goes to the next line */
    bool origin; /* lines count from the scroll region's first */
    struct vt_cell pen;
    bool drawing[2]; /* whether G0 and G1 are the set for drawing lines */
    uint8_t set;     /* which of them is used */
};

enum vt_state { VT_GROUND, VT_ESCAPE, VT_CHARSET, VT_IGNORED_BYTE, VT_CONTROL, VT_STRING, VT_STRING_ESCAPE };

struct vt {
    uint32_t columns, line_count;
    struct vt_cell *lines[VT_LINES_MAX]; /* from the top; they change places when the screen scrolls */
    bool changed[VT_LINES_MAX];          /* for whoever draws, who also clears it */
    struct vt_cursor cursor, saved, saved_alternate;
    uint32_t top, bottom; /* of the scroll region, the last line included */
    bool alternate;       /* the alternate screen is shown */
    bool no_wrap, insert, hidden_cursor;
    bool application_keys; /* arrows send ESC O instead of ESC [ */
    char answer[VT_ANSWER_MAX];
    uint32_t answer_length;

    /* What has begun to come. */
    enum vt_state state;
    uint8_t charset;                       /* which one the next byte names */
    uint8_t private_mark, intermediate;    /* of a control sequence, or 0 */
    uint32_t parameter[VT_PARAMETERS_MAX]; /* 0 when left out */
    uint32_t parameters;                   /* how many have begun, at least 1 */
    uint32_t code, code_left;              /* of a UTF-8 character, and how many bytes are to come */
    uint32_t code_least;                   /* less than that would have been shorter */

    uint8_t tab_stops[VT_COLUMNS_MAX];
    struct vt_cell last; /* the character that was put last, for repeating it */
    struct vt_cell storage[2][VT_LINES_MAX * VT_COLUMNS_MAX];
    struct vt_cell *other[VT_LINES_MAX]; /* lines of the screen that is not shown */
};

/* An empty screen. Larger ones than VT_COLUMNS_MAX by VT_LINES_MAX become that large. */
void vt_init(struct vt *vt, uint32_t columns, uint32_t lines);

/* What the terminal is sent. */
void vt_write(struct vt *vt, const uint8_t *bytes, size_t count);

/* --- Between the parts -------------------------------------------------------------------------------------------- */

/* vt_grid.c: what is done to the screen. Lines and columns count from 0 and are within it; counts may be too large. */
void vt_grid_reset(struct vt *vt);
void vt_put(struct vt *vt, uint16_t character);
void vt_erase(struct vt *vt, uint32_t line, uint32_t from, uint32_t to); /* columns from … to - 1 */
void vt_scroll_up(struct vt *vt, uint32_t top, uint32_t count);          /* of the region, from `top` on */
void vt_scroll_down(struct vt *vt, uint32_t top, uint32_t count);
void vt_insert_cells(struct vt *vt, uint32_t count);
void vt_delete_cells(struct vt *vt, uint32_t count);
void vt_line_feed(struct vt *vt);
void vt_reverse_line_feed(struct vt *vt);
void vt_move_to(struct vt *vt, int64_t line, int64_t column); /* as near as it may get */
void vt_tab(struct vt *vt, uint32_t count);
void vt_back_tab(struct vt *vt, uint32_t count);
void vt_show_alternate(struct vt *vt, bool alternate);

/* vt_control.c: a control sequence is complete with this letter. */
void vt_control(struct vt *vt, uint8_t letter);

#endif
