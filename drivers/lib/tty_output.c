/*
 * What becomes of bytes on their way out: newlines, tabs, where the cursor is; stopping and starting.
 *
 * The queue is filled by writers and by echo. Writers leave room for echo (TTY_ECHO), so that a program that writes
 * much does not make typing invisible.
 */
#include "drivers/lib/tty.h"

#include <string.h>
#include <termios.h>

#define TAB_STOPS  8U
#define LONGEST    TAB_STOPS /* bytes that one can become */
#define FIRST_SEEN ' '
#define DELETE     0x7f

size_t tty_output_room(const struct tty *tty) { return TTY_OUTPUT - (tty->output.to - tty->output.from); }

static void append(struct tty *tty, uint8_t byte) { tty->output.bytes[tty->output.to++ % TTY_OUTPUT] = byte; }

static bool takes_a_column(const struct tty *tty, uint8_t byte) {
    bool continued = tty_has_input(tty, IUTF8) && (byte & 0xc0) == 0x80; /* of a UTF-8 sequence */
    return byte >= FIRST_SEEN && byte != DELETE && !continued;
}

bool tty_put_plain(struct tty *tty, uint8_t byte) {
    if (tty_output_room(tty) == 0) {
        return false;
    }
    append(tty, byte);
    if (byte == '\r') {
        tty->output.column = 0;
    } else if (byte == '\b') {
        tty->output.column -= tty->output.column > 0;
    } else if (byte == '\t') {
        tty->output.column += TAB_STOPS - tty->output.column % TAB_STOPS;
    } else {
        tty->output.column += takes_a_column(tty, byte);
    }
    return true;
}

static void put_newline(struct tty *tty) {
    if (tty->settings.output & ONLCR) {
        append(tty, '\r');
    }
    append(tty, '\n');
    if (tty->settings.output & (ONLCR | ONLRET)) {
        tty->output.column = 0;
    }
}

static void put_spaces_for_tab(struct tty *tty) {
    do {
        tty_put_plain(tty, ' ');
    } while (tty->output.column % TAB_STOPS != 0);
}

bool tty_put(struct tty *tty, uint8_t byte) {
    const uint32_t flags = tty->settings.output;
    if (tty_output_room(tty) < LONGEST) {
        return false;
    }
    if (!(flags & OPOST)) {
        return tty_put_plain(tty, byte);
    }
    if (byte == '\r' && (flags & ONOCR) && tty->output.column == 0) {
        return true;
    }
    if (byte == '\n' || (byte == '\r' && (flags & OCRNL))) {
        put_newline(tty);
    } else if (byte == '\t' && (flags & TABDLY) == TAB3) {
        put_spaces_for_tab(tty);
    } else if ((flags & OLCUC) && byte >= 'a' && byte <= 'z') {
        tty_put_plain(tty, (uint8_t)(byte - 'a' + 'A'));
    } else {
        tty_put_plain(tty, byte);
    }
    return true;
}

size_t tty_write(struct tty *tty, const uint8_t *bytes, size_t count) {
    size_t done = 0;
    if (tty->immediate && tty->output.stopped) {
        return 0;
    }
    while (done < count && tty_output_room(tty) >= TTY_ECHO + LONGEST && tty_put(tty, bytes[done])) {
        done++;
    }
    return done;
}

size_t tty_output_span(const struct tty *tty, const uint8_t **bytes) {
    const struct tty_output *output = &tty->output;
    size_t place = output->from % TTY_OUTPUT, count = output->to - output->from;
    if (output->stopped && !tty->immediate) {
        return 0;
    }
    *bytes = output->bytes + place;
    return count < TTY_OUTPUT - place ? count : TTY_OUTPUT - place;
}

void tty_output_sent(struct tty *tty, size_t count) {
    while (count-- > 0) {
        tty->output.bytes[tty->output.from++ % TTY_OUTPUT] = 0;
    }
}

void tty_flush_output(struct tty *tty) {
    tty_output_sent(tty, tty->output.to - tty->output.from);
    tty->output_flushed = true;
}
