/*
 * The line discipline of drivers/console against a user of this file's making: keys go in, and what readers get and
 * what the screen is sent is compared with what it should be.
 */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>

#include "drivers/console/size_query.h"
#include "drivers/lib/tty.h"
#include "tests/host/check.h"

#define SECOND UINT64_C(1000000000)

static struct tty tty;
static uint64_t now;

static void type(const char *keys, size_t count) {
    for (size_t i = 0; i < count; i++)
        tty_input(&tty, (uint8_t)keys[i], now);
}

#define TYPE(keys) type(keys, sizeof(keys) - 1)

/* Everything that is to be sent, in pieces of at most `piece`. */
static size_t drain(char *to, size_t room, size_t piece) {
    const uint8_t *bytes;
    size_t count, done = 0;
    while ((count = tty_output_span(&tty, &bytes)) > 0) {
        count = count < piece ? count : piece;
        if (done + count > room)
            fail(__LINE__, "more output than expected");
        memcpy(to + done, bytes, count);
        done += count;
        tty_output_sent(&tty, count);
    }
    return done;
}

static void expect_output(int line, const char *wanted, size_t length) {
    static char got[65536];
    size_t count = drain(got, sizeof(got), 16);
    if (count != length || memcmp(got, wanted, length) != 0) {
        printf("sent %.*s, not %.*s\n", (int)count, got, (int)length, wanted);
        fail(line, "output differs");
    }
}

#define SENT(wanted) expect_output(__LINE__, wanted, sizeof(wanted) - 1)

static void expect_read(int line, size_t room, const char *wanted, size_t length) {
    uint8_t got[TTY_INPUT + 1];
    size_t count;
    uint64_t wait;
    if (tty_read(&tty, got, room, 0, false, now, &count, &wait) != TTY_DONE)
        fail(line, "nothing to read");
    if (count != length || memcmp(got, wanted, length) != 0) {
        printf("read %.*s, not %.*s\n", (int)count, got, (int)length, wanted);
        fail(line, "input differs");
    }
}

#define READS(room, wanted) expect_read(__LINE__, room, wanted, sizeof(wanted) - 1)

/* What a read says that finds too little: how long to wait, and that nothing came. */
static uint64_t must_wait(int line, size_t room, uint64_t elapsed, bool nonblock) {
    uint8_t got[64];
    size_t count;
    uint64_t wait;
    if (tty_read(&tty, got, room, elapsed, nonblock, now, &count, &wait) != TTY_AGAIN)
        fail(line, "the read did not have to wait");
    return wait;
}

#define WAITS() CHECK(must_wait(__LINE__, 64, 0, false) == TERMINAL_FOREVER)

static void set_flags(uint32_t *flags, uint32_t on, uint32_t off) { *flags = (*flags | on) & ~off; }

static void make_raw(uint8_t least, uint8_t tenths) {
    struct terminal_settings settings = tty.settings;
    uint64_t number;
    settings.local &= ~(uint32_t)(ICANON | ECHO | ISIG | IEXTEN);
    settings.input = settings.output = 0;
    settings.characters[VMIN] = least;
    settings.characters[VTIME] = tenths;
    CHECK(tty_control(&tty, TCSETS, 0, &settings, sizeof(settings), &number) == TTY_DONE);
}

static uint64_t ask(uint32_t command) {
    uint64_t number;
    CHECK(tty_control(&tty, command, 0, NULL, 0, &number) == TTY_DONE);
    return number;
}

/* --- Lines -------------------------------------------------------------------------------------------------------- */

static void lines(void) {
    WAITS();
    TYPE("ab");
    WAITS();
    CHECK(ask(FIONREAD) == 0 && !(tty_events(&tty) & POLLIN));
    TYPE("c\rdef\n");
    CHECK(ask(FIONREAD) == 8 && (tty_events(&tty) & POLLIN));
    SENT("abc\r\ndef\r\n");
    READS(64, "abc\n");
    READS(2, "de");
    READS(64, "f\n");
    WAITS();
}

static void erase(void) {
    TYPE("x\x7fy\b\x7f\x7fok\n");
    SENT("x\b \by\b \bok\r\n");
    READS(64, "ok\n");
    TYPE("a\tb\x7f\x7f|\n"); /* the tab reaches to column 8 */
    SENT("a\tb\b \b\b \b\b \b\b \b\b \b\b \b\b \b\b \b|\r\n");
    READS(64, "a|\n");
    TYPE("\x16\x03\x7f\n"); /* ^C taken literally is two columns wide */
    SENT("^\b^C\b \b\b \b\r\n");
    READS(64, "\n");
    TYPE("\xc3\xa9\xe2\x82\xac\x7f\x7fz\n"); /* é and € */
    SENT("\xc3\xa9\xe2\x82\xac\b \b\b \bz\r\n");
    READS(64, "z\n");
    set_flags(&tty.settings.input, 0, IUTF8);
    TYPE("\xc3\xa9\x7f\n");
    SENT("\xc3\xa9\b \b\r\n");
    READS(64, "\xc3\n");
}

static void erase_behind_a_prompt(void) {
    CHECK(tty_write(&tty, (const uint8_t *)"name: ", 6) == 6);
    SENT("name: ");
    TYPE("\t\x7f\n"); /* from column 6 to 8 */
    SENT("\t\b \b\b \b\r\n");
    READS(64, "\n");
}

static void words_and_lines(void) {
    TYPE("one two, \x17");
    SENT("one two, \b \b\b \b\b \b\b \b\b \b");
    TYPE("\x15");
    SENT("\b \b\b \b\b \b\b \b");
    TYPE("\x15\x17\x7fq\n");
    SENT("q\r\n");
    READS(64, "q\n");
    set_flags(&tty.settings.local, 0, ECHOKE);
    TYPE("gone\x15");
    SENT("gone^U\r\n");
    set_flags(&tty.settings.local, 0, ECHOE);
    TYPE("ab\x7f\n");
    SENT("ab^?\r\n");
    READS(64, "a\n");
    set_flags(&tty.settings.local, 0, IEXTEN);
    TYPE("x \x17\n");
    SENT("x ^W\r\n");
    READS(64, "x \x17\n");
}

static void reprint(void) {
    TYPE("abc");
    SENT("abc");
    TYPE("\x12");
    SENT("^R\r\nabc");
    TYPE("\x7f\n");
    SENT("\b \b\r\n");
    READS(64, "ab\n");
}

static void literal(void) {
    TYPE("\x16\x16\x16\x04\x16\r\n");
    SENT("^\b^V^\b^D^\b^M\r\n");
    READS(64, "\x16\x04\r\n");
}

static void end_of_file(void) {
    TYPE("part\x04");
    CHECK(ask(FIONREAD) == 4);
    READS(64, "part");
    WAITS();
    TYPE("\x04");
    CHECK(ask(FIONREAD) == 0 && (tty_events(&tty) & POLLIN));
    READS(64, "");
    WAITS();
    TYPE("four\x04 five\n");
    READS(4, "four"); /* with its mark: the next read is no end of file */
    READS(64, " five\n");
    TYPE("\x16");
    type("\0", 1);
    TYPE("\n");
    READS(64, "\0\n"); /* a zero that was typed is none */
}

static void other_ends(void) {
    tty.settings.characters[VEOL] = ';';
    TYPE("a;b\n");
    READS(64, "a;");
    READS(64, "b\n");
}

static void long_line(void) {
    static char line[TTY_INPUT];
    char sent[2 * TTY_INPUT];
    for (unsigned i = 0; i < TTY_INPUT + 10; i++) {
        TYPE("x");
        drain(sent, sizeof(sent), 64);
    }
    TYPE("y");
    SENT("\a"); /* full but for the line's end */
    TYPE("\x7f"
         "z\n");
    memset(line, 'x', sizeof(line));
    line[TTY_INPUT - 2] = 'z';
    line[TTY_INPUT - 1] = '\n';
    expect_read(__LINE__, TTY_INPUT, line, TTY_INPUT);
    WAITS();
}

/* --- Flags -------------------------------------------------------------------------------------------------------- */

static void input_flags(void) {
    set_flags(&tty.settings.input, IGNCR, ICRNL);
    TYPE("a\rb\n");
    READS(64, "ab\n");
    set_flags(&tty.settings.input, INLCR | ISTRIP, IGNCR);
    tty.settings.characters[VEOL] = '\r';
    TYPE("\xe1\n");
    READS(64, "a\r");
}

static void echo_flags(void) {
    set_flags(&tty.settings.local, 0, ECHO);
    TYPE("secret\x7f\x7f\n");
    SENT("");
    READS(64, "secr\n");
    set_flags(&tty.settings.local, ECHONL, 0);
    TYPE("x\n");
    SENT("\r\n");
    set_flags(&tty.settings.local, ECHO, ECHOCTL);
    TYPE("\x01\n");
    SENT("\x01\r\n");
}

static void output_flags(void) {
    CHECK(tty_write(&tty, (const uint8_t *)"a\n\tb\r", 5) == 5);
    SENT("a\r\n\tb\r");
    tty.settings.output = OPOST | TAB3 | OCRNL | ONLRET | OLCUC;
    CHECK(tty_write(&tty, (const uint8_t *)"ab\tc\rd\n", 7) == 7);
    SENT("AB      C\nD\n");
    tty.settings.output = OPOST | ONOCR;
    CHECK(tty_write(&tty, (const uint8_t *)"\r\ra\r\r", 5) == 5);
    SENT("a\r");
    tty.settings.output = ONLCR;
    CHECK(tty_write(&tty, (const uint8_t *)"\n", 1) == 1);
    SENT("\n");
}

static void output_room(void) {
    static uint8_t much[2 * TTY_OUTPUT];
    memset(much, '\n', sizeof(much));
    size_t taken = tty_write(&tty, much, sizeof(much));
    CHECK(taken > TTY_OUTPUT / 4 && 2 * taken <= TTY_OUTPUT && ask(TIOCOUTQ) == 2 * taken);
    CHECK(!(tty_events(&tty) & POLLOUT));
    TYPE("echo"); /* for which room was left */
    uint64_t number;
    CHECK(tty_control(&tty, TCSBRK, 1, NULL, 0, &number) == TTY_AGAIN);
    CHECK(tty_control(&tty, TCFLSH, TCOFLUSH, NULL, 0, &number) == TTY_DONE);
    CHECK(tty_control(&tty, TCSBRK, 1, NULL, 0, &number) == TTY_DONE);
    SENT("");
    CHECK(tty_events(&tty) & POLLOUT);
    CHECK(tty_control(&tty, TCFLSH, 3, NULL, 0, &number) == TTY_INVALID);
    CHECK(tty_control(&tty, 0x1234, 0, NULL, 0, &number) == TTY_UNKNOWN);
}

static void flow(void) {
    CHECK(tty_write(&tty, (const uint8_t *)"text", 4) == 4);
    TYPE("\x13");
    SENT("");
    CHECK(ask(TIOCOUTQ) == 4);
    TYPE("\x11");
    SENT("text");
    WAITS();
    TYPE("\x13"
         "a");
    SENT("");
    set_flags(&tty.settings.input, IXANY, 0);
    TYPE("b\n");
    SENT("ab\r\n");
    READS(64, "ab\n");
    uint64_t number;
    CHECK(tty_control(&tty, TCXONC, TCOOFF, NULL, 0, &number) == TTY_DONE);
    CHECK(tty_write(&tty, (const uint8_t *)"x", 1) == 1);
    SENT("");
    CHECK(tty_control(&tty, TCXONC, TCOON, NULL, 0, &number) == TTY_DONE);
    SENT("x");
    CHECK(tty_control(&tty, TCXONC, TCIOFF, NULL, 0, &number) == TTY_DONE);
    SENT("\x13");
    set_flags(&tty.settings.input, 0, IXON);
    TYPE("\x13\n");
    READS(64, "\x13\n");
}

static void signals(void) {
    TYPE("lost\x03");
    CHECK(tty.signals == 1U << SIGINT);
    SENT("^C"); /* what was to be sent is thrown away, too */
    tty.signals = 0;
    TYPE("\x1c\x1a");
    CHECK(tty.signals == (1U << SIGQUIT | 1U << SIGTSTP));
    TYPE("\n");
    READS(64, "\n");
    set_flags(&tty.settings.local, NOFLSH, 0);
    TYPE("kept\x03\n");
    READS(64, "kept\n");
    set_flags(&tty.settings.local, 0, ISIG);
    tty.signals = 0;
    TYPE("\x03\n");
    CHECK(tty.signals == 0);
    READS(64, "\x03\n");
    tty.settings.characters[VINTR] = 0;
    set_flags(&tty.settings.local, ISIG, 0);
    type("\0\n", 2);
    CHECK(tty.signals == 0); /* 0 is no key */
}

/* --- Raw ---------------------------------------------------------------------------------------------------------- */

static void raw(void) {
    make_raw(1, 0);
    WAITS();
    TYPE("\x03\r\x7f\x13\x16");
    CHECK(tty.signals == 0 && ask(FIONREAD) == 5);
    SENT("");
    READS(2, "\x03\r");
    READS(64, "\x7f\x13\x16");
}

static void raw_least(void) {
    make_raw(3, 0);
    TYPE("ab");
    WAITS();
    CHECK(!(tty_events(&tty) & POLLIN));
    READS(2, "ab"); /* no more than it has room for */
    TYPE("cd");
    uint8_t got[8];
    size_t count;
    uint64_t wait;
    CHECK(tty_read(&tty, got, sizeof(got), 0, true, now, &count, &wait) == TTY_DONE && count == 2);
    CHECK(must_wait(__LINE__, 64, 0, true) == TERMINAL_FOREVER);
    TYPE("efg");
    CHECK(tty_events(&tty) & POLLIN);
    READS(64, "efg");
}

static void raw_time(void) {
    make_raw(0, 0);
    READS(64, "");
    make_raw(0, 5);
    CHECK(must_wait(__LINE__, 64, SECOND / 10, false) == SECOND * 4 / 10);
    uint8_t got[8];
    size_t count;
    uint64_t wait;
    CHECK(tty_read(&tty, got, sizeof(got), SECOND / 2, false, now, &count, &wait) == TTY_DONE && count == 0);
    make_raw(4, 2);
    CHECK(must_wait(__LINE__, 64, 10 * SECOND, false) == TERMINAL_FOREVER); /* the clock starts with the first byte */
    TYPE("a");
    now += SECOND / 10;
    CHECK(must_wait(__LINE__, 64, SECOND, false) == SECOND / 10);
    CHECK(must_wait(__LINE__, 64, 0, false) == SECOND * 2 / 10); /* nor before the read */
    now += SECOND / 10;
    CHECK(tty_read(&tty, got, sizeof(got), SECOND, false, now, &count, &wait) == TTY_DONE && count == 1);
}

static void between_modes(void) {
    TYPE("half");
    SENT("half");
    WAITS();
    make_raw(1, 0);
    READS(64, "half");
    TYPE("raw");
    struct terminal_settings settings = tty.settings;
    uint64_t number;
    settings.local |= ICANON;
    CHECK(tty_control(&tty, TCSETS, 0, &settings, sizeof(settings), &number) == TTY_DONE);
    READS(64, "raw");
    TYPE("gone\n");
    CHECK(tty_control(&tty, TCSETSF, 0, &settings, sizeof(settings), &number) == TTY_DONE);
    WAITS();
    CHECK(tty_control(&tty, TCSETS, 0, &settings, 7, &number) == TTY_INVALID);
    tty_put_plain(&tty, 'x');
    CHECK(tty_control(&tty, TCSETSW, 0, &settings, sizeof(settings), &number) == TTY_AGAIN);
}

static void size(void) {
    const struct terminal_size wanted = {50, 132, 0, 0};
    uint64_t number;
    CHECK(tty_control(&tty, TIOCSWINSZ, 0, &wanted, sizeof(wanted), &number) == TTY_DONE);
    CHECK(tty.size.rows == 50 && tty.size.columns == 132);
    CHECK(tty_control(&tty, TIOCSWINSZ, 0, &wanted, 4, &number) == TTY_INVALID);
}

/* --- Asking the terminal for its size ----------------------------------------------------------------------------- */

/* Feeds it and tells what came through. */
static void expect_through(int line, struct size_query *query, const char *keys, const char *wanted) {
    char got[256];
    size_t count = 0;
    for (; *keys != '\0'; keys++) {
        uint8_t through[SIZE_ANSWER_MAX];
        size_t n = size_query_input(query, (uint8_t)*keys, through);
        memcpy(got + count, through, n);
        count += n;
    }
    got[count] = '\0';
    if (strcmp(got, wanted) != 0)
        fail(line, got);
}

#define THROUGH(keys, wanted) expect_through(__LINE__, &query, keys, wanted)

static void size_query(void) {
    struct size_query query = {.waiting = true};
    uint8_t left[SIZE_ANSWER_MAX];
    THROUGH("a\033[Ab\033[12;x", "a\033[Ab\033[12;x");
    THROUGH("\033\033[48;160R", "\033");
    CHECK(!query.waiting && query.rows == 48 && query.columns == 160);
    THROUGH("\033[1;1Rx", "\033[1;1Rx"); /* one answer only */
    query = (struct size_query){.waiting = true};
    THROUGH("\033[99999;1R", "\033[99999;1R"); /* no such terminal */
    THROUGH("\033[0;80R", "\033[0;80R");
    THROUGH("\033[111111111111111111111111", "\033[111111111111111111111111");
    THROUGH("\033[2", "");
    CHECK(size_query_give_up(&query, left) == 3 && memcmp(left, "\033[2", 3) == 0 && !query.waiting);
}

/* --- Noise: whatever is typed and set, nothing breaks ------------------------------------------------------------- */

static uint32_t seed = 1;

static uint32_t random_number(void) {
    seed = seed * 1664525 + 1013904223;
    return seed >> 8;
}

static void noise_step(void) {
    static char sent[TTY_OUTPUT];
    uint8_t buffer[300];
    size_t count;
    uint64_t number;
    switch (random_number() % 8) {
    case 0: {
        struct terminal_settings settings = tty.settings;
        settings.local ^= 1U << random_number() % 16;
        settings.input ^= 1U << random_number() % 15;
        settings.output ^= 1U << random_number() % 13;
        settings.characters[random_number() % TERMINAL_CHARACTERS] = (uint8_t)random_number();
        (void)tty_control(&tty, random_number() % 2 ? TCSETS : TCSETSF, 0, &settings, sizeof(settings), &number);
        break;
    }
    case 1:
        memset(buffer, (int)random_number(), sizeof(buffer));
        tty_write(&tty, buffer, random_number() % sizeof(buffer));
        break;
    case 2:
        (void)tty_read(&tty, buffer, 1 + random_number() % sizeof(buffer), 0, random_number() % 2, now, &count,
                       &number);
        break;
    case 3:
        drain(sent, sizeof(sent), 1 + random_number() % 64);
        break;
    default:
        for (unsigned i = random_number() % 40; i > 0; i--)
            tty_input(&tty, (uint8_t)random_number(), now);
    }
    CHECK(tty.input.line_end - tty.input.read_at <= tty.input.write_at - tty.input.read_at);
    CHECK(tty.input.write_at - tty.input.read_at <= TTY_INPUT);
    CHECK(tty.output.to - tty.output.from <= TTY_OUTPUT);
}

/* What is not waiting is not kept either. */
static void check_clear(void) {
    uint32_t used = tty.input.write_at - tty.input.read_at;
    for (uint32_t i = used; i < TTY_INPUT; i++)
        CHECK(tty.input.bytes[(tty.input.read_at + i) % TTY_INPUT] == 0);
}

static void noise(void) {
    for (unsigned i = 0; i < 300000; i++) {
        noise_step();
        if (i % 1000 == 0)
            check_clear();
    }
}

static const struct {
    const char *name;
    void (*run)(void);
} cases[] = {
    {"lines", lines},
    {"erase", erase},
    {"erase_behind_a_prompt", erase_behind_a_prompt},
    {"words_and_lines", words_and_lines},
    {"reprint", reprint},
    {"literal", literal},
    {"end_of_file", end_of_file},
    {"other_ends", other_ends},
    {"long_line", long_line},
    {"input_flags", input_flags},
    {"echo_flags", echo_flags},
    {"output_flags", output_flags},
    {"output_room", output_room},
    {"flow", flow},
    {"signals", signals},
    {"raw", raw},
    {"raw_least", raw_least},
    {"raw_time", raw_time},
    {"between_modes", between_modes},
    {"size", size},
    {"size_query", size_query},
    {"noise", noise},
};

int main(void) {
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        case_name = cases[i].name;
        now = 1000 * SECOND;
        tty_init(&tty);
        cases[i].run();
    }
    printf("tty_test: %zu cases\n", sizeof(cases) / sizeof(cases[0]));
    return 0;
}
