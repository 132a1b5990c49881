/*
 * What a key does: line editing, echo, signals, flow control.
 *
 * A line being edited lies behind `line_end`; its end, or a mark for the end of file, makes it readable. On the screen
 * a key is erased by as many columns as the line gets shorter, which the line itself tells: tabs and control characters
 * are as wide as their echo was.
 */
#include <signal.h>
#include <termios.h>

#include "drivers/lib/tty.h"

#define DISABLED  0 /* a control character that is off */
#define BACKSPACE '\b'
#define TAB_STOPS 8U
#define DELETE    0x7f

static bool is(const struct tty *tty, uint8_t byte, unsigned character) {
    uint8_t set = tty->settings.characters[character];
    return set != DISABLED && byte == set;
}

/* Keys beyond the classic ones are special only with IEXTEN. */
static bool is_extended(const struct tty *tty, uint8_t byte, unsigned character) {
    return tty_has_local(tty, IEXTEN) && is(tty, byte, character);
}

/* --- Echo --------------------------------------------------------------------------------------------------------- */

/* Shown as ^X. */
static bool is_shown_as_control(const struct tty *tty, uint8_t byte) {
    return (byte < ' ' || byte == DELETE) && byte != '\t' && byte != '\n' && tty_has_local(tty, ECHOCTL);
}

/* What does not fit any more is not echoed: the terminal is far behind anyway. */
static void echo_as_it_is(struct tty *tty, uint8_t byte) {
    if (is_shown_as_control(tty, byte)) {
        if (tty_output_room(tty) >= 2) {
            tty_put_plain(tty, '^');
            tty_put_plain(tty, byte ^ 0x40);
        }
    } else {
        tty_put(tty, byte);
    }
}

static void echo(struct tty *tty, uint8_t byte) {
    if (tty_has_local(tty, ECHO) || (byte == '\n' && tty_has_local(tty, ECHONL) && tty_has_local(tty, ICANON))) {
        echo_as_it_is(tty, byte);
    }
}

static void ring_bell(struct tty *tty) {
    if (tty_has_input(tty, IMAXBEL)) {
        tty_put_plain(tty, '\a');
    }
}

/* --- The line being edited ---------------------------------------------------------------------------------------- */

static bool line_is_empty(const struct tty *tty) { return tty->input.write_at == tty->input.line_end; }

static void mark_end(struct tty_input *input, uint32_t position, bool on) {
    uint64_t *word = &input->ends[position % TTY_INPUT / 64], bit = UINT64_C(1) << position % 64;
    *word = on ? *word | bit : *word & ~bit;
}

static void store(struct tty *tty, uint8_t byte, bool ends) {
    struct tty_input *input = &tty->input;
    if (line_is_empty(tty)) {
        input->first_column = tty->output.column;
    }
    input->bytes[input->write_at % TTY_INPUT] = byte;
    mark_end(input, input->write_at, ends);
    input->write_at++;
}

static void make_readable(struct tty *tty) { tty->input.line_end = tty->input.write_at; }

/* The column behind the first `count` bytes of the line being edited. */
static uint32_t column_behind(const struct tty *tty, uint32_t count) {
    uint32_t column = tty->input.first_column;
    for (uint32_t i = 0; i < count; i++) {
        uint8_t byte = tty->input.bytes[(tty->input.line_end + i) % TTY_INPUT];
        bool continued = tty_has_input(tty, IUTF8) && (byte & 0xc0) == 0x80;
        if (byte == '\t') {
            column += TAB_STOPS - column % TAB_STOPS;
        } else if (is_shown_as_control(tty, byte)) {
            column += 2;
        } else {
            column += byte >= ' ' && byte != DELETE && !continued;
        }
    }
    return column;
}

/* Takes bytes off the end of the line until it has `length`. */
static void cut(struct tty_input *input, uint32_t length) {
    while (input->write_at - input->line_end > length) {
        input->bytes[--input->write_at % TTY_INPUT] = 0;
    }
}

/* The same on the screen, too. */
static void shorten(struct tty *tty, uint32_t length) {
    uint32_t before = column_behind(tty, tty->input.write_at - tty->input.line_end);
    uint32_t after = column_behind(tty, length);
    cut(&tty->input, length);
    for (; before > after && tty_has_local(tty, ECHO) && tty_output_room(tty) >= 3; before--) {
        tty_put_plain(tty, '\b');
        tty_put_plain(tty, ' ');
        tty_put_plain(tty, '\b');
    }
}

/* The byte `back` places before the end of the line. */
static uint8_t byte_back(const struct tty *tty, uint32_t back) {
    return tty->input.bytes[(tty->input.write_at - back) % TTY_INPUT];
}

static uint32_t length_without_character(const struct tty *tty) {
    uint32_t whole = tty->input.write_at - tty->input.line_end, length = whole;
    while (length > 0 && tty_has_input(tty, IUTF8) && (byte_back(tty, whole - length + 1) & 0xc0) == 0x80) {
        length--;
    }
    return length > 0 ? length - 1 : 0;
}

static bool is_of_word(uint8_t byte) {
    return (byte >= '0' && byte <= '9') || (byte >= 'A' && byte <= 'Z') || (byte >= 'a' && byte <= 'z') ||
           byte == '_' || byte >= 0x80;
}

/* Back to before the last word, and over what is between it and the end. */
static uint32_t length_without_word(const struct tty *tty) {
    uint32_t whole = tty->input.write_at - tty->input.line_end, length = whole;
    while (length > 0 && !is_of_word(byte_back(tty, whole - length + 1))) {
        length--;
    }
    while (length > 0 && is_of_word(byte_back(tty, whole - length + 1))) {
        length--;
    }
    return length;
}

/* A printer cannot take back what it printed: without ECHOE the key is shown instead. */
static void erase_to(struct tty *tty, uint32_t length, uint8_t key) {
    if (tty_has_local(tty, ECHOE)) {
        shorten(tty, length);
    } else if (!line_is_empty(tty)) {
        cut(&tty->input, length);
        echo(tty, key);
    }
}

static void kill_line(struct tty *tty, uint8_t key) {
    if (tty_has_local(tty, ECHOKE) && tty_has_local(tty, ECHOE)) {
        shorten(tty, 0);
        return;
    }
    cut(&tty->input, 0);
    echo(tty, key);
    if (tty_has_local(tty, ECHO) && tty_has_local(tty, ECHOK)) {
        tty_put(tty, '\n');
    }
}

static void reprint(struct tty *tty, uint8_t key) {
    if (!tty_has_local(tty, ECHO)) {
        return;
    }
    echo_as_it_is(tty, key);
    tty_put(tty, '\n');
    tty->input.first_column = tty->output.column;
    for (uint32_t at = tty->input.line_end; at != tty->input.write_at; at++) {
        echo_as_it_is(tty, tty->input.bytes[at % TTY_INPUT]);
    }
}

/* --- What each byte does ------------------------------------------------------------------------------------------ */

/* Takes the byte when it is one that stops or starts output. */
static bool control_flow(struct tty *tty, uint8_t byte) {
    bool stops = is(tty, byte, VSTOP), starts = is(tty, byte, VSTART);
    if (!tty_has_input(tty, IXON)) {
        return false;
    }
    if (starts || (stops && tty->output.stopped && tty->settings.characters[VSTART] == byte)) {
        tty->output.stopped = false;
    } else if (stops) {
        tty->output.stopped = true;
    } else if (tty_has_input(tty, IXANY)) {
        tty->output.stopped = false;
    }
    return starts || stops;
}

static int signal_of(const struct tty *tty, uint8_t byte) {
    if (!tty_has_local(tty, ISIG)) {
        return 0;
    }
    if (is(tty, byte, VINTR)) {
        return SIGINT;
    }
    if (is(tty, byte, VQUIT)) {
        return SIGQUIT;
    }
    return is(tty, byte, VSUSP) ? SIGTSTP : 0;
}

static void raise_signal(struct tty *tty, int signal, uint8_t key) {
    if (!tty_has_local(tty, NOFLSH)) {
        tty_flush_input(tty);
        tty_flush_output(tty);
    }
    tty->output.stopped = false;
    echo(tty, key);
    tty->signals |= UINT64_C(1) << signal;
}

static void append_to_line(struct tty *tty, uint8_t byte, bool ends) {
    uint32_t used = tty->input.write_at - tty->input.read_at;
    bool full = used >= TTY_INPUT - 1; /* the last place is for a line's end */
    if (used >= TTY_INPUT || (full && !ends)) {
        ring_bell(tty);
        return;
    }
    store(tty, byte, ends);
    echo(tty, byte);
    if (ends) {
        make_readable(tty);
    }
}

static void end_file(struct tty *tty) {
    if (tty->input.write_at - tty->input.read_at < TTY_INPUT) {
        store(tty, 0, true);
        make_readable(tty);
    }
}

static void take_literally(struct tty *tty) {
    tty->input.literal = true;
    if (tty_has_local(tty, ECHO) && tty_has_local(tty, ECHOCTL) && tty_output_room(tty) >= 2) {
        tty_put_plain(tty, '^'); /* the next key is shown in its place */
        tty_put_plain(tty, '\b');
    }
}

static void edit_line(struct tty *tty, uint8_t byte) {
    if (is(tty, byte, VERASE) || byte == BACKSPACE) {
        erase_to(tty, length_without_character(tty), byte);
    } else if (is_extended(tty, byte, VWERASE)) {
        erase_to(tty, length_without_word(tty), byte);
    } else if (is(tty, byte, VKILL)) {
        kill_line(tty, byte);
    } else if (is_extended(tty, byte, VREPRINT)) {
        reprint(tty, byte);
    } else if (is(tty, byte, VEOF)) {
        end_file(tty);
    } else {
        append_to_line(tty, byte, byte == '\n' || is(tty, byte, VEOL) || is_extended(tty, byte, VEOL2));
    }
}

static void append_raw(struct tty *tty, uint8_t byte) {
    if (tty->input.write_at - tty->input.read_at >= TTY_INPUT) {
        ring_bell(tty);
        return;
    }
    store(tty, byte, false);
    make_readable(tty);
    echo(tty, byte);
}

/* The input flags' changes. False: the byte is dropped. */
static bool translate(const struct tty *tty, uint8_t *byte) {
    if (tty_has_input(tty, ISTRIP)) {
        *byte &= 0x7f;
    }
    if (tty_has_input(tty, IUCLC) && tty_has_local(tty, IEXTEN) && *byte >= 'A' && *byte <= 'Z') {
        *byte = (uint8_t)(*byte - 'A' + 'a');
    }
    if (*byte == '\r' && tty_has_input(tty, IGNCR)) {
        return false;
    }
    if (*byte == '\r' && tty_has_input(tty, ICRNL)) {
        *byte = '\n';
    } else if (*byte == '\n' && tty_has_input(tty, INLCR)) {
        *byte = '\r';
    }
    return true;
}

static void take(struct tty *tty, uint8_t byte) {
    bool lines = tty_has_local(tty, ICANON);
    if (tty->input.literal) {
        tty->input.literal = false;
        if (lines) {
            append_to_line(tty, byte, false);
        } else {
            append_raw(tty, byte);
        }
        return;
    }
    if (control_flow(tty, byte)) {
        return;
    }
    int signal = signal_of(tty, byte);
    if (signal != 0) {
        raise_signal(tty, signal, byte);
    } else if (!translate(tty, &byte)) {
        return;
    } else if (lines && is_extended(tty, byte, VLNEXT)) {
        take_literally(tty);
    } else if (lines) {
        edit_line(tty, byte);
    } else {
        append_raw(tty, byte);
    }
}

bool tty_takes_input(const struct tty *tty) {
    const struct tty_input *input = &tty->input;
    bool lines = tty_has_local(tty, ICANON), readable = input->read_at != input->line_end;
    return input->write_at - input->read_at < TTY_INPUT - 1 || (lines && !readable);
}

void tty_input(struct tty *tty, uint8_t byte, uint64_t now) {
    tty->input.last = now;
    take(tty, byte);
}
