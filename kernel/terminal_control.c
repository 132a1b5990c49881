/*
 * ioctl on a terminal. Settings and size are answered from what its server said last; whose it is and which group is
 * in the foreground is the kernel's matter; all else is a question to the server.
 *
 * Class discipline: settings are metadata (flags and which keys do what). Locks: terminal->lock. Runs in the caller's
 * space.
 */
#include "arch/uaccess.h"
#include "kernel/open_file.h"
#include "kernel/permission.h"
#include "kernel/process.h"
#include "kernel/signal_abi.h"
#include "kernel/string.h"
#include "kernel/terminal.h"

enum terminal_command {
    TCGETS = 0x5401,
    TCSETS = 0x5402,
    TCSETSW = 0x5403,
    TCSETSF = 0x5404,
    TCGETA = 0x5405,
    TCSETA = 0x5406,
    TCSETAW = 0x5407,
    TCSETAF = 0x5408,
    TCSBRK = 0x5409,
    TCXONC = 0x540a,
    TCFLSH = 0x540b,
    TIOCEXCL = 0x540c,
    TIOCNXCL = 0x540d,
    TIOCSCTTY = 0x540e,
    TIOCGPGRP = 0x540f,
    TIOCSPGRP = 0x5410,
    TIOCOUTQ = 0x5411,
    TIOCGWINSZ = 0x5413,
    TIOCSWINSZ = 0x5414,
    TIOCNOTTY = 0x5422,
    TIOCSETD = 0x5423,
    TIOCGETD = 0x5424,
    TCSBRKP = 0x5425,
    TIOCGSID = 0x5429,
    TIOCGLCKTRMIOS = 0x5456,
    TIOCGEXCL = 0x80045440,
};

#define TERMIO_CHARACTERS 8U

/* System V's struct termio: the same flags as far as 16 bits go, and the first characters. */
struct termio {
    uint16_t input, output, control, local;
    uint8_t line;
    uint8_t characters[TERMIO_CHARACTERS];
};
_Static_assert(sizeof(struct termio) == 18, "what programs have");

static struct terminal *terminal_of(const struct file *file) { return file->target; }

/* --- From what is known here -------------------------------------------------------------------------------------- */

static struct terminal_state get_state(struct terminal *terminal) {
    spin_lock(&terminal->lock);
    struct terminal_state state = terminal->state;
    spin_unlock(&terminal->lock);
    return state;
}

static enum status get_settings(struct terminal *terminal, vaddr_t to) {
    const struct terminal_state state = get_state(terminal);
    _Static_assert(sizeof(state.settings) == 36, "the kernel's struct termios");
    return copy_to_user(to, &state.settings, sizeof(state.settings));
}

static enum status get_size(struct terminal *terminal, vaddr_t to) {
    const struct terminal_state state = get_state(terminal);
    return copy_to_user(to, &state.size, sizeof(state.size));
}

static enum status get_termio(struct terminal *terminal, vaddr_t to) {
    const struct terminal_settings settings = get_state(terminal).settings;
    struct termio old = {
        .input = (uint16_t)settings.input,
        .output = (uint16_t)settings.output,
        .control = (uint16_t)settings.control,
        .local = (uint16_t)settings.local,
        .line = settings.line,
    };
    memcpy(old.characters, settings.characters, sizeof(old.characters));
    return copy_to_user(to, &old, sizeof(old));
}

/* What it does not speak of stays as it is. */
static enum status read_termio(struct terminal *terminal, vaddr_t from, struct terminal_settings *settings) {
    struct termio old;
    enum status status = copy_from_user(&old, from, sizeof(old));
    if (status != OK)
        return status;
    *settings = get_state(terminal).settings;
    settings->input = (settings->input & ~0xffffU) | old.input;
    settings->output = (settings->output & ~0xffffU) | old.output;
    settings->control = (settings->control & ~0xffffU) | old.control;
    settings->local = (settings->local & ~0xffffU) | old.local;
    settings->line = old.line;
    memcpy(settings->characters, old.characters, sizeof(old.characters));
    return OK;
}

/* No flag is ever locked. */
static enum status get_locked_settings(vaddr_t to) {
    const struct terminal_settings none = {0};
    return copy_to_user(to, &none, sizeof(none));
}

/* There is one line discipline, which is number 0. */
static enum status set_discipline(vaddr_t from) {
    int32_t number;
    enum status status = copy_from_user(&number, from, sizeof(number));
    return status == OK && number != 0 ? ERR_INVALID : status;
}

static enum status set_exclusive(struct terminal *terminal, bool exclusive) {
    spin_lock(&terminal->lock);
    terminal->exclusive = exclusive;
    spin_unlock(&terminal->lock);
    return OK;
}

static enum status set_foreground(struct terminal *terminal, vaddr_t from) {
    int32_t group;
    enum status status = copy_from_user(&group, from, sizeof(group));
    return status == OK ? terminal_set_foreground(terminal, group) : status;
}

static enum status put_number(vaddr_t to, uint64_t number) {
    uint32_t narrow = number < INT32_MAX ? (uint32_t)number : INT32_MAX;
    return copy_to_user(to, &narrow, sizeof(narrow));
}

/* --- From the server ---------------------------------------------------------------------------------------------- */

/* How many bytes the argument of a command points at. */
static size_t argument_bytes(uint32_t command) {
    switch (command) {
    case TCSETS:
    case TCSETSW:
    case TCSETSF:
        return sizeof(struct terminal_settings);
    case TIOCSWINSZ:
        return sizeof(struct terminal_size);
    case TIOCPKT:
        return sizeof(int32_t);
    default:
        return 0;
    }
}

/* TCSETA and its like, as the server's TCSETS and its like. */
static enum status set_termio(const struct file *file, uint32_t command, vaddr_t from) {
    struct terminal_settings settings;
    enum status status = read_termio(terminal_of(file), from, &settings);
    if (status != OK)
        return status;
    struct question question = {
        .label = TERMINAL_CONTROL,
        .word = {command - TCSETA + TCSETS},
        .bytes = &settings,
        .length = sizeof(settings),
    };
    return terminal_ask(file, &question, true);
}

enum status terminal_control_server(const struct file *file, uint32_t command, uint64_t argument) {
    struct terminal_settings bytes; /* the largest of them */
    const size_t count = argument_bytes(command);
    bool number_comes = command == FIONREAD || command == TIOCOUTQ || command == TIOCGPKT;
    enum status status = copy_from_user(&bytes, count > 0 ? argument : 0, count);
    if (status != OK)
        return status;
    struct question question = {
        .label = TERMINAL_CONTROL,
        .word = {command, count > 0 || number_comes ? 0 : argument,
                 terminal_file_is_master(file) ? TERMINAL_MASTER : 0},
        .bytes = &bytes,
        .length = count,
    };
    status = terminal_ask(file, &question, true);
    return status == OK && number_comes ? put_number(argument, question.number) : status;
}

enum status terminal_control(struct file *file, uint32_t command, uint64_t argument, int64_t *result) {
    struct terminal *terminal = terminal_of(file);
    (void)result;
    if (terminal->hung_up)
        return command == TIOCSPGRP ? ERR_NOT_TERMINAL : ERR_IO;
    switch (command) {
    case TCGETS:
        return get_settings(terminal, argument);
    case TIOCGWINSZ:
        return get_size(terminal, argument);
    case TIOCGPGRP:
        return terminal_is_own(terminal) ? put_number(argument, terminal->foreground) : ERR_NOT_TERMINAL;
    case TIOCSPGRP:
        return set_foreground(terminal, argument);
    case TIOCGSID:
        return terminal_is_own(terminal) ? put_number(argument, terminal->session) : ERR_NOT_TERMINAL;
    case TIOCSCTTY:
        return terminal_take_over(terminal, argument == 1 && permitted_as_root());
    case TIOCNOTTY:
        return terminal_give_up(terminal);
    case TCGETA:
        return get_termio(terminal, argument);
    case TIOCGLCKTRMIOS:
        return get_locked_settings(argument);
    case TIOCGETD:
        return put_number(argument, 0);
    case TIOCSETD:
        return set_discipline(argument);
    case TIOCEXCL:
    case TIOCNXCL:
        return set_exclusive(terminal, command == TIOCEXCL);
    case TIOCGEXCL:
        return put_number(argument, terminal->exclusive);
    case TCSETA:
    case TCSETAW:
    case TCSETAF: {
        enum status status = terminal_check_background(terminal, SIGTTOU);
        return status == OK ? set_termio(file, command, argument) : status;
    }
    case TCSETS:
    case TCSETSW:
    case TCSETSF:
    case TCSBRK:
    case TCSBRKP:
    case TCXONC:
    case TCFLSH: {
        enum status status = terminal_check_background(terminal, SIGTTOU);
        return status == OK ? terminal_control_server(file, command, argument) : status;
    }
    case TIOCOUTQ:
    case TIOCSWINSZ:
    case FIONREAD:
        return terminal_control_server(file, command, argument);
    default:
        return ERR_NOT_TERMINAL;
    }
}
