/*
 * What a key does: line editing, echo, signals. Runs in the console thread's process, which has the buffer open.
 *
 * Invariant: the bytes of the buffer that wait to be read or edited are all it holds; erased bytes are cleared.
 * Class discipline: one byte at a time in registers and on the stack; echo goes straight to the console.
 * Locks: the terminal's object->lock; echo and signals after it is released. Stays in the restricted space.
 */
#include "asi/asi.h"
#include "kernel/file.h"
#include "kernel/print.h"
#include "kernel/process.h"
#include "kernel/signal.h"
#include "kernel/string.h"
#include "kernel/terminal.h"
#include "mm/ephmap.h"
#include "mm/object.h"

#define SIGINT    2
#define SIGQUIT   3
#define SIGTSTP   20
#define BACKSPACE '\b'
#define DISABLED  0 /* a control character that is off */

/* What is to be done when the lock is released. */
struct reaction {
    char echo[4];
    unsigned echo_bytes;
    unsigned erase_columns;
    int signal;
    bool wake;
};

static void say(struct reaction *reaction, char byte) { reaction->echo[reaction->echo_bytes++] = byte; }

static bool is(uint8_t byte, unsigned character) {
    uint8_t set = terminal.settings.characters[character];
    return set != DISABLED && byte == set;
}

static bool visible_control(uint8_t byte) {
    return (byte < ' ' || byte == 0x7f) && byte != '\t' && byte != '\n' && (terminal.settings.local & ECHOCTL);
}

static void echo(struct reaction *reaction, uint8_t byte) {
    uint32_t local = terminal.settings.local;
    if (!(local & ECHO) && !(byte == '\n' && (local & ECHONL)))
        return;
    if (visible_control(byte)) {
        say(reaction, '^');
        say(reaction, (char)(byte ^ 0x40));
    } else {
        say(reaction, (char)byte);
    }
}

static void store(uint8_t byte, bool delimiter) {
    uint8_t *view = ephmap_window(terminal.frame, terminal.object);
    view[terminal.write_at % TERMINAL_BUFFER] = byte;
    ephmap_window_put();
    terminal_set_delimiter(terminal.write_at, delimiter);
    terminal.write_at++;
}

static void make_readable(struct reaction *reaction) {
    terminal.line_end = terminal.write_at;
    reaction->wake = true;
}

/* Takes back the last byte of the line; returns it. */
static uint8_t erase_last(struct reaction *reaction) {
    terminal.write_at--;
    uint8_t *view = ephmap_window(terminal.frame, terminal.object);
    uint8_t byte = view[terminal.write_at % TERMINAL_BUFFER];
    view[terminal.write_at % TERMINAL_BUFFER] = 0;
    ephmap_window_put();
    bool continued = (byte & 0xc0) == 0x80; /* of a UTF-8 sequence: takes no column of its own */
    if (terminal.settings.local & ECHO)
        reaction->erase_columns += continued ? 0 : visible_control(byte) ? 2 : 1;
    return byte;
}

static bool line_empty(void) { return terminal.write_at == terminal.line_end; }

static void erase_character(struct reaction *reaction) {
    while (!line_empty() && (erase_last(reaction) & 0xc0) == 0x80)
        continue;
}

static void erase_word(struct reaction *reaction) {
    bool word = false;
    while (!line_empty()) {
        uint8_t *view = ephmap_window(terminal.frame, terminal.object);
        uint8_t last = view[(terminal.write_at - 1) % TERMINAL_BUFFER];
        ephmap_window_put();
        bool blank = last == ' ' || last == '\t';
        if (blank && word)
            break;
        word = word || !blank;
        erase_last(reaction);
    }
}

static int signal_of(uint8_t byte) {
    if (!(terminal.settings.local & ISIG))
        return 0;
    if (is(byte, VINTR))
        return SIGINT;
    if (is(byte, VQUIT))
        return SIGQUIT;
    return is(byte, VSUSP) ? SIGTSTP : 0;
}

static void edit_line(uint8_t byte, struct reaction *reaction) {
    bool full = terminal.write_at - terminal.read_at >= TERMINAL_BUFFER - 1; /* the last place is for a line's end */
    bool ends = byte == '\n' || is(byte, VEOL) || is(byte, VEOL2);
    if (is(byte, VERASE) || byte == BACKSPACE) {
        erase_character(reaction);
    } else if (is(byte, VWERASE)) {
        erase_word(reaction);
    } else if (is(byte, VKILL)) {
        while (!line_empty())
            erase_last(reaction);
    } else if (terminal.write_at - terminal.read_at >= TERMINAL_BUFFER || (full && !ends && !is(byte, VEOF))) {
        say(reaction, '\a');
    } else if (is(byte, VEOF)) {
        store(0, true); /* not delivered: ends a read */
        make_readable(reaction);
    } else {
        store(byte, ends);
        echo(reaction, byte);
        if (ends)
            make_readable(reaction);
    }
}

static void react(uint8_t byte, struct reaction *reaction) {
    const struct terminal_settings *settings = &terminal.settings;
    if (byte == '\r' && (settings->input & IGNCR))
        return;
    if (byte == '\r' && (settings->input & ICRNL))
        byte = '\n';
    else if (byte == '\n' && (settings->input & INLCR))
        byte = '\r';
    reaction->signal = signal_of(byte);
    if (reaction->signal != 0) {
        if (!(settings->local & NOFLSH))
            terminal_flush_input();
        echo(reaction, byte);
    } else if (settings->local & ICANON) {
        edit_line(byte, reaction);
    } else if (terminal.write_at - terminal.read_at < TERMINAL_BUFFER) {
        store(byte, false);
        echo(reaction, byte);
        make_readable(reaction);
    }
}

void terminal_input(uint8_t byte) {
    struct reaction reaction = {.signal = 0};
    spin_lock(&terminal.object->lock);
    react(byte, &reaction);
    uint32_t group = terminal.foreground;
    if (reaction.wake)
        wake_all(&terminal.readable);
    spin_unlock(&terminal.object->lock);

    console_print(reaction.echo, reaction.echo_bytes);
    for (unsigned i = 0; i < reaction.erase_columns; i++)
        console_print("\b \b", 3);
    if (reaction.signal != 0 && signal_send_group(group, reaction.signal, NULL) != OK)
        return; /* nobody is in the foreground */
}

void terminal_flush_input(void) {
    asi_expect(ASI_CAUSE_IPC);
    memset(ephmap_window(terminal.frame, terminal.object), 0, TERMINAL_BUFFER);
    ephmap_window_put();
    memset(terminal.delimiters, 0, sizeof(terminal.delimiters));
    terminal.read_at = terminal.line_end = terminal.write_at = 0;
}
