/*
 * What the bytes are: characters in UTF-8, control characters, escape sequences. See vt.h.
 */
#include "drivers/console/vt.h"

#include <string.h>

#define ESCAPE       0x1bU
#define DELETE       0x7fU
#define UNKNOWN      0xfffdU /* U+FFFD */
#define LARGEST      9999U   /* parameter: more than any screen has */
#define CODE_MAX     0x10ffffU
#define BEYOND_BASIC 0x10000U

/* --- Characters --------------------------------------------------------------------------------------------------- */

static bool takes_no_column(uint32_t code) {
    return (code >= 0x300 && code <= 0x36f) || (code >= 0x200b && code <= 0x200f) || (code >= 0xfe00 && code <= 0xfe0f);
}

static void put_code(struct vt *vt, uint32_t code) {
    const bool surrogate = code >= 0xd800 && code <= 0xdfff;
    if (!takes_no_column(code)) {
        vt_put(vt, code < BEYOND_BASIC && !surrogate ? (uint16_t)code : UNKNOWN);
    }
}

static void begin_character(struct vt *vt, uint8_t byte) {
    if (byte < 0x80) {
        vt_put(vt, byte);
    } else if (byte >= 0xc2 && byte <= 0xf4) {
        vt->code_left = byte < 0xe0 ? 1 : byte < 0xf0 ? 2 : 3;
        vt->code = byte & (0x3fU >> vt->code_left);
        vt->code_least = byte < 0xe0 ? 0x80 : byte < 0xf0 ? 0x800 : BEYOND_BASIC;
    } else {
        vt_put(vt, UNKNOWN);
    }
}

static void character(struct vt *vt, uint8_t byte) {
    if (vt->code_left > 0 && (byte & 0xc0) == 0x80) {
        vt->code = vt->code << 6 | (byte & 0x3f);
        if (--vt->code_left == 0) {
            put_code(vt, vt->code >= vt->code_least && vt->code <= CODE_MAX ? vt->code : UNKNOWN);
        }
        return;
    }
    if (vt->code_left > 0) { /* it stops short: a mark for what there was, and the byte begins anew */
        vt->code_left = 0;
        vt_put(vt, UNKNOWN);
    }
    begin_character(vt, byte);
}

/* --- Control characters, which work also in the middle of a sequence ---------------------------------------------- */

static void control_character(struct vt *vt, uint8_t byte) {
    switch (byte) {
    case '\b':
        vt_move_to(vt, vt->cursor.line, (int64_t)vt->cursor.column - 1);
        break;
    case '\t':
        vt_tab(vt, 1);
        break;
    case '\n':
    case '\v':
    case '\f':
        vt_line_feed(vt);
        break;
    case '\r':
        vt_move_to(vt, vt->cursor.line, 0);
        break;
    case 0x0e: /* shift out */
    case 0x0f: /* shift in */
        vt->cursor.set = byte == 0x0e;
        break;
    case 0x18: /* cancel */
    case 0x1a: /* substitute */
        vt->state = VT_GROUND;
        break;
    default:
        break;
    }
}

/* --- Sequences ---------------------------------------------------------------------------------------------------- */

static void reset(struct vt *vt) {
    vt_grid_reset(vt);
    vt->state = VT_GROUND;
    vt->code_left = 0;
}

static void begin_control(struct vt *vt) {
    memset(vt->parameter, 0, sizeof vt->parameter);
    vt->parameters = 1;
    vt->private_mark = vt->intermediate = 0;
    vt->state = VT_CONTROL;
}

static void escape_letter(struct vt *vt, uint8_t byte) {
    switch (byte) {
    case '7':
        vt->saved = vt->cursor;
        break;
    case '8':
        vt->cursor = vt->saved;
        break;
    case 'D':
        vt_line_feed(vt);
        break;
    case 'E':
        vt_line_feed(vt);
        vt_move_to(vt, vt->cursor.line, 0);
        break;
    case 'M':
        vt_reverse_line_feed(vt);
        break;
    case 'H':
        vt->tab_stops[vt->cursor.column] = 1;
        break;
    case 'c':
        reset(vt);
        break;
    default:
        break;
    }
}

static void escape(struct vt *vt, uint8_t byte) {
    vt->state = VT_GROUND;
    if (byte == '[') {
        begin_control(vt);
    } else if (byte == ']' || byte == 'P' || byte == 'X' || byte == '^' || byte == '_') {
        vt->state = VT_STRING;
    } else if (byte == '(' || byte == ')') {
        vt->charset = byte == ')';
        vt->state = VT_CHARSET;
    } else if (byte >= ' ' && byte <= '/') {
        vt->state = VT_IGNORED_BYTE;
    } else {
        escape_letter(vt, byte);
    }
}

static void add_digit(struct vt *vt, uint32_t digit) {
    uint32_t *parameter = &vt->parameter[vt->parameters - 1];
    *parameter = *parameter * 10 + digit;
    if (*parameter > LARGEST) {
        *parameter = LARGEST;
    }
}

static void control(struct vt *vt, uint8_t byte) {
    if (byte >= '0' && byte <= '9') {
        add_digit(vt, byte - (uint32_t)'0');
    } else if (byte == ';' || byte == ':') {
        vt->parameters += vt->parameters < VT_PARAMETERS_MAX;
    } else if (byte >= '<' && byte <= '?') {
        vt->private_mark = byte;
    } else if (byte >= ' ' && byte <= '/') {
        vt->intermediate = byte;
    } else {
        vt->state = VT_GROUND;
        vt_control(vt, byte);
    }
}

/* A string (a window's title) is passed over: to BEL, or ESC \. */
static void string(struct vt *vt, uint8_t byte) {
    if (byte == '\a') {
        vt->state = VT_GROUND;
    } else if (byte == ESCAPE) {
        vt->state = VT_STRING_ESCAPE;
    }
}

static void sequence(struct vt *vt, uint8_t byte) {
    switch (vt->state) {
    case VT_ESCAPE:
        escape(vt, byte);
        break;
    case VT_CONTROL:
        control(vt, byte);
        break;
    case VT_CHARSET:
        vt->cursor.drawing[vt->charset] = byte == '0';
        vt->state = VT_GROUND;
        break;
    default:
        vt->state = VT_GROUND;
        break;
    }
}

static void write_byte(struct vt *vt, uint8_t byte) {
    if (vt->state == VT_STRING) {
        string(vt, byte);
    } else if (vt->state == VT_STRING_ESCAPE && byte == '\\') {
        vt->state = VT_GROUND;
    } else if (vt->state == VT_STRING_ESCAPE) {
        escape(vt, byte);
    } else if (byte == ESCAPE) {
        vt->code_left = 0;
        vt->state = VT_ESCAPE;
    } else if (byte < ' ') {
        control_character(vt, byte);
    } else if (byte == DELETE) {
        return;
    } else if (vt->state != VT_GROUND && byte < 0x80) {
        sequence(vt, byte);
    } else {
        vt->state = VT_GROUND;
        character(vt, byte);
    }
}

void vt_write(struct vt *vt, const uint8_t *bytes, size_t count) {
    for (size_t i = 0; i < count; i++) {
        write_byte(vt, bytes[i]);
    }
}

void vt_init(struct vt *vt, uint32_t columns, uint32_t lines) {
    memset(vt, 0, offsetof(struct vt, storage)); /* the rest is not touched before it is used */
    vt->columns = columns < VT_COLUMNS_MAX ? columns : VT_COLUMNS_MAX;
    vt->line_count = lines < VT_LINES_MAX ? lines : VT_LINES_MAX;
    reset(vt);
}
