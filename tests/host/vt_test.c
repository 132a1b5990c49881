/*
 * The terminal on the screen (drivers/console/vt*.c) and the keyboard's layout (drivers/console/keys.c): bytes go in,
 * and what stands on a small screen, or what a key sends, is compared with what it should be.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "drivers/console/keys.h"
#include "drivers/console/vt.h"
#include "tests/host/check.h"

enum { COLUMNS = 10, LINES = 4, NOISE_STEPS = 300000 };

static struct vt vt;
static struct keys keys;

static void put(const char *text) { vt_write(&vt, (const uint8_t *)text, strlen(text)); }

/* A line of the screen, without the blanks at its end; what is not ASCII as "#". */
static const char *line_text(uint32_t line) {
    static char text[COLUMNS + 1];
    size_t length = 0;
    for (uint32_t column = 0; column < COLUMNS; column++) {
        uint16_t character = vt.lines[line][column].character;
        text[column] = character < 0x7f ? (char)character : '#';
        length = text[column] != ' ' ? column + 1 : length;
    }
    text[length] = '\0';
    return text;
}

/* The lines, each followed by "/". */
static const char *screen(void) {
    static char text[LINES * (COLUMNS + 1) + 1];
    text[0] = '\0';
    for (uint32_t line = 0; line < LINES; line++) {
        strcat(text, line_text(line));
        strcat(text, "/");
    }
    return text;
}

#define SCREEN(expected)                                                                                               \
    do {                                                                                                               \
        if (strcmp(screen(), expected) != 0) {                                                                         \
            printf("is %s\n", screen());                                                                               \
            fail(__LINE__, expected);                                                                                  \
        }                                                                                                              \
    } while (0)
#define CURSOR(line_, column_) CHECK(vt.cursor.line == (line_) && vt.cursor.column == (column_))

static const char *fill = "aaaa\r\nbbbb\r\ncccc\r\ndddd";

static void text(void) {
    put("one\r\ntwo\tx\r\nab\bc");
    SCREEN("one/two     x/ac//");
    CURSOR(2, 2);
    put("\r\n\n\n.");
    SCREEN("ac///./");
}

static void wraps(void) {
    put("0123456789");
    CURSOR(0, 9);
    put("\r\nx\033[H0123456789y");
    SCREEN("0123456789/y///");
    put("\033[?7l\033[H0123456789z\033[?7h");
    SCREEN("012345678z/y///");
    put("\033[4;1H0123456789\033[Kq"); /* what moves the cursor or erases does not wrap */
    SCREEN("012345678z/y//012345678q/");
}

static void moves(void) {
    put("\033[3;5Hx\033[A\033[2Dy\033[Bz\033[5Cw");
    SCREEN("/   y/    z    w//"); /* z stands where x was */
    put("\033[H\033[2J\033[2;3Ha\033[99;99Hb\033[99Ac\033[99Dd\033[3dE\033[4GF\033[1E.\033[2F:");
    CHECK(vt.lines[1][2].character == 'a');
    CHECK(vt.lines[3][9].character == 'b');
    CHECK(vt.lines[0][9].character == 'c');
    CHECK(vt.lines[0][0].character == 'd');
    CHECK(vt.lines[2][1].character == 'E');
    CHECK(vt.lines[2][3].character == 'F');
    CHECK(vt.lines[3][0].character == '.');
    CHECK(vt.lines[1][0].character == ':');
    put("\033[2;2H\0337\033[H\0338");
    CURSOR(1, 1);
    put("\033[s\033[H\033[u");
    CURSOR(1, 1);
}

static void erases(void) {
    put(fill);
    put("\033[2;3H\033[K");
    SCREEN("aaaa/bb/cccc/dddd/");
    put("\033[3;2H\033[1K");
    SCREEN("aaaa/bb/  cc/dddd/");
    put("\033[J");
    SCREEN("aaaa/bb///");
    put("\033[2;1H\033[1J");
    SCREEN("/ b///");
    put("\033[2;1Hxyz\033[2;2H\033[X");
    SCREEN("/x z///");
    put("\033[2J");
    SCREEN("////");
    put("\033[44mx\033[K");
    CHECK(vt.lines[1][5].paper == 4 && vt.lines[1][5].ink == VT_INK);
}

static void inserts_and_deletes(void) {
    put(fill);
    put("\033[2;2H\033[L");
    SCREEN("aaaa//bbbb/cccc/");
    put("\033[M");
    SCREEN("aaaa/bbbb/cccc//");
    put("\033[99M");
    SCREEN("aaaa////");
    put("\033[1;2H\033[@x\033[2P");
    SCREEN("axa////");
    put("\033[4hyz\033[4l");
    SCREEN("axyza////");
    put("\033[1;1Hq\033[4b");
    SCREEN("qqqqq////");
}

static void scrolls(void) {
    put(fill);
    put("\033[2;3r");
    CURSOR(0, 0);
    put("\033[3;1H\nx");
    SCREEN("aaaa/cccc/x/dddd/");
    put("\033[2;1H\033My");
    SCREEN("aaaa/y/cccc/dddd/");
    put("\033[S");
    SCREEN("aaaa/cccc//dddd/");
    put("\033[9T");
    SCREEN("aaaa///dddd/");
    put("\033[4;1H\n\n.");
    SCREEN("aaaa///.ddd/");
    put("\033[1;1H\033[9B"); /* from above the region: stops at its end */
    CURSOR(2, 0);
    put("\033[?6h\033[1;1Ho\033[9;1Hp\033[6n\033[?6l");
    SCREEN("aaaa/o/p/.ddd/");
    CHECK(vt.answer_length == 6 && memcmp(vt.answer, "\033[2;2R", 6) == 0);
    put("\033[r\033[4;1H\n");
    SCREEN("o/p/.ddd//");
    put("\033[4;1HA\033[3;2r\033[9;9r\033[4;1H\nB"); /* regions that are none */
    SCREEN("p/.ddd/A/B/");
}

static void attributes(void) {
    put("\033[1;4;7;31;42mx\033[22;24;27;39;49my\033[95;106mz\033[38;5;200;48;5;17mw\033[38;2;255;0;0mv\033[mu");
    const struct vt_cell *cell = vt.lines[0];
    CHECK(cell[0].attributes == (VT_BOLD | VT_UNDERLINE | VT_REVERSE) && cell[0].ink == 1 && cell[0].paper == 2);
    CHECK(cell[1].attributes == 0 && cell[1].ink == VT_INK && cell[1].paper == VT_PAPER);
    CHECK(cell[2].ink == 13 && cell[2].paper == 14);
    CHECK(cell[3].ink == 200 && cell[3].paper == 17);
    CHECK(cell[4].ink == 196 && cell[4].paper == 17);
    CHECK(cell[5].ink == VT_INK && cell[5].paper == VT_PAPER);
}

static void utf8(void) {
    put("\303\251\342\224\200\360\237\230\200x");
    CHECK(vt.lines[0][0].character == 0xe9 && vt.lines[0][1].character == 0x2500);
    CHECK(vt.lines[0][2].character == 0xfffd && vt.lines[0][3].character == 'x');
    put("\r\n\303x\377y\300\200\340\200\200\355\240\200e\314\201.");
    /* Cut short; never valid; longer than needed; half of a pair; an accent. */
    SCREEN("###x/#x#y####e.///");
    CHECK(vt.lines[1][0].character == 0xfffd && vt.lines[1][1].character == 'x');
    CHECK(vt.lines[1][2].character == 0xfffd && vt.lines[1][3].character == 'y');
}

static void draws_lines(void) {
    put("\033(0lqk\033(Bq\033)0\016x\017x");
    CHECK(vt.lines[0][0].character == 0x250c && vt.lines[0][1].character == 0x2500);
    CHECK(vt.lines[0][2].character == 0x2510 && vt.lines[0][3].character == 'q');
    CHECK(vt.lines[0][4].character == 0x2502 && vt.lines[0][5].character == 'x');
}

static void alternate_screen(void) {
    put("shell\033[?1049h");
    SCREEN("////");
    put("\033[Hvi");
    SCREEN("vi////");
    put("\033[?1049l!");
    SCREEN("shell!////");
    put("\033[?1049h");
    SCREEN("////");
    put("\033c");
    SCREEN("////");
    CURSOR(0, 0);
}

static void tabs(void) {
    put("\033[3g\033[1;4H\033H\rx\ty\tz");
    SCREEN("x  y     z////");
    put("\033[1;9H\033[Zq\033[1;4H\033[g\r\033[I.");
    CHECK(vt.lines[0][3].character == 'q' && vt.lines[0][9].character == '.');
}

static void answers(void) {
    put("\033[3;4H\033[6n\033[5n\033[c");
    CHECK(vt.answer_length == 17 && memcmp(vt.answer, "\033[3;4R\033[0n\033[?1;2c", 17) == 0);
    for (int i = 0; i < 100; i++) {
        put("\033[6n"); /* more than there is room for */
    }
    CHECK(vt.answer_length <= VT_ANSWER_MAX);
}

/* What is not known leaves no trace, and what comes in pieces is whole. */
static void passes_over(void) {
    put("a\033]0;title\007b\033]2;title\033\\c\033[?2004hd\033[>cf\033[!pg\033#8h\033P1$qm\033\\i");
    SCREEN("abcdfghi////");
    CHECK(vt.answer_length == 0);
    put("\r\n1\033[3");
    put("1;1");
    put("mx\033[\r2\030y");
    CHECK(vt.lines[1][1].character == 'x' && vt.lines[1][1].ink == 1);
    SCREEN("abcdfghi/yx///");
}

static void modes(void) {
    put("\033[?1h\033[?25l");
    CHECK(vt.application_keys && vt.hidden_cursor);
    put("\033[?1;25l\033[?25h");
    CHECK(!vt.application_keys && !vt.hidden_cursor);
}

static void says_what_changed(void) {
    memset(vt.changed, 0, sizeof vt.changed);
    put("\033[3;1Hx");
    CHECK(!vt.changed[0] && !vt.changed[1] && vt.changed[2] && !vt.changed[3]);
    put("\033[4;1H\n");
    CHECK(vt.changed[0] && vt.changed[3]);
}

/* Whatever comes, nothing is touched but the screen (the address sanitizer looks), and every cell has a character. */
static void noise(void) {
    static const char likely[] = "\033[;0123456789?ABCDHJKLMPSTXrmhl@`debsunc()78\n\r\t\b\342\224\200";
    srand(1);
    for (int step = 0; step < NOISE_STEPS; step++) {
        uint8_t byte = (uint8_t)(rand() % 4 == 0 ? rand() : likely[rand() % (int)(sizeof likely - 1)]);
        vt_write(&vt, &byte, 1);
        CHECK(vt.cursor.line < LINES && vt.cursor.column < COLUMNS && vt.top < vt.bottom && vt.bottom < LINES);
    }
    for (uint32_t line = 0; line < LINES; line++) {
        for (uint32_t column = 0; column < COLUMNS; column++) {
            CHECK(vt.lines[line][column].character != 0);
        }
    }
}

static void largest(void) {
    vt_init(&vt, 100000, 100000);
    CHECK(vt.columns == VT_COLUMNS_MAX && vt.line_count == VT_LINES_MAX);
    for (int i = 0; i < 1000; i++) {
        put("0123456789\r\n\033[99;999Hx");
    }
    CHECK(vt.lines[VT_LINES_MAX - 1][VT_COLUMNS_MAX - 1].character == 'x');
}

/* --- Keys --------------------------------------------------------------------------------------------------------- */

/* What these scan codes send. */
static const char *press(const uint8_t *codes, size_t count, bool application) {
    static char sent[256];
    size_t length = 0;
    for (size_t i = 0; i < count; i++) {
        length += keys_scan(&keys, codes[i], application, sent + length);
    }
    sent[length] = '\0';
    return sent;
}

#define SENDS(expected, application, ...)                                                                              \
    do {                                                                                                               \
        static const uint8_t codes[] = {__VA_ARGS__};                                                                  \
        CHECK(strcmp(press(codes, sizeof codes, application), expected) == 0);                                         \
    } while (0)

static void keyboard(void) {
    SENDS("ls\r", false, 0x26, 0xa6, 0x1f, 0x9f, 0x1c, 0x9c);
    SENDS("aA!a", false, 0x1e, 0x9e, 0x2a, 0x1e, 0x9e, 0x02, 0x82, 0xaa, 0x1e, 0x9e);
    SENDS("A1aA", false, 0x3a, 0xba, 0x1e, 0x02, 0x36, 0x1e, 0xb6, 0x1e); /* caps lock, and shift with it */
    SENDS("a", false, 0x3a, 0xba, 0x1e);
    SENDS("\003\032\034", false, 0x1d, 0x2e, 0xae, 0x2c, 0x2b, 0x9d);
    SENDS("\033x", false, 0x38, 0x2d, 0xb8);
    SENDS("\177\t\033[Z\033", false, 0x0e, 0x0f, 0x2a, 0x0f, 0xaa, 0x01);
    SENDS("\033[A\033[B\033[C\033[D", false, 0xe0, 0x48, 0xe0, 0xc8, 0xe0, 0x50, 0xe0, 0x4d, 0xe0, 0x4b);
    SENDS("\033OA", true, 0xe0, 0x48);
    SENDS("\033[1~\033[4~\033[5~\033[6~\033[2~\033[3~", true, 0xe0, 0x47, 0xe0, 0x4f, 0xe0, 0x49, 0xe0, 0x51, 0xe0,
          0x52, 0xe0, 0x53);
    SENDS("\033[3~", false, 0xe0, 0x2a, 0xe0, 0x53, 0xe0, 0xd3, 0xe0, 0xaa); /* the keyboard's own shift */
    SENDS("\033[[A\033[17~\033[24~", false, 0x3b, 0xbb, 0x40, 0x58);
    SENDS("7+.*/\r", false, 0x47, 0x4e, 0x53, 0x37, 0xe0, 0x35, 0xe0, 0x1c);
    SENDS("a", false, 0xe1, 0x1d, 0x45, 0xe1, 0x9d, 0xc5, 0x1e); /* pause */
    SENDS("", false, 0x5b, 0xe0, 0x5b, 0x7f, 0xff, 0xfa, 0x80);
    SENDS("c\003", false, 0x2e, 0xe0, 0x1d, 0x2e, 0xe0, 0x9d);
    for (int i = 0; i < NOISE_STEPS; i++) {
        char sent[KEYS_BYTES_MAX];
        CHECK(keys_scan(&keys, (uint8_t)rand(), rand() & 1, sent) <= KEYS_BYTES_MAX);
    }
}

static const struct {
    const char *name;
    void (*run)(void);
} cases[] = {
    {"text", text},
    {"wraps", wraps},
    {"moves", moves},
    {"erases", erases},
    {"inserts_and_deletes", inserts_and_deletes},
    {"scrolls", scrolls},
    {"attributes", attributes},
    {"utf8", utf8},
    {"draws_lines", draws_lines},
    {"alternate_screen", alternate_screen},
    {"tabs", tabs},
    {"answers", answers},
    {"passes_over", passes_over},
    {"modes", modes},
    {"says_what_changed", says_what_changed},
    {"noise", noise},
    {"largest", largest},
    {"keyboard", keyboard},
};

int main(void) {
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        case_name = cases[i].name;
        vt_init(&vt, COLUMNS, LINES);
        cases[i].run();
    }
    printf("vt_test: %zu cases\n", sizeof(cases) / sizeof(cases[0]));
    return 0;
}
