/*
 * ioctl on a terminal. Settings and size are answered from what its server said last; whose it is and which group is
 * in the foreground is the kernel's matter; all else is a question to the server.
 *
 * Class discipline: settings are metadata (flags and which keys do what). Locks: terminal->lock. Runs in the caller's
 * space.
 */
#include "arch/uaccess.h"
#include "kernel/open_file.h"
#include "kernel/process.h"
#include "kernel/terminal.h"

enum terminal_command {
    TCGETS = 0x5401,
    TCSETS = 0x5402,
    TCSETSW = 0x5403,
    TCSETSF = 0x5404,
    TCSBRK = 0x5409,
    TCXONC = 0x540a,
    TCFLSH = 0x540b,
    TIOCSCTTY = 0x540e,
    TIOCGPGRP = 0x540f,
    TIOCSPGRP = 0x5410,
    TIOCOUTQ = 0x5411,
    TIOCGWINSZ = 0x5413,
    TIOCSWINSZ = 0x5414,
    TIOCNOTTY = 0x5422,
    TCSBRKP = 0x5425,
    TIOCGSID = 0x5429,
};

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

static enum status set_foreground(struct terminal *terminal, vaddr_t from) {
    int32_t group;
    enum status status = copy_from_user(&group, from, sizeof(group));
    if (status != OK)
        return status;
    if (group <= 0)
        return ERR_INVALID;
    spin_lock(&terminal->lock);
    terminal->foreground = (uint32_t)group;
    spin_unlock(&terminal->lock);
    return OK;
}

static void take_over(struct terminal *terminal) {
    spin_lock(&terminal->lock);
    terminal->session = process_current()->session;
    terminal->foreground = process_current()->group;
    spin_unlock(&terminal->lock);
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
    default:
        return 0;
    }
}

static enum status ask_server(struct terminal *terminal, uint32_t command, uint64_t argument) {
    struct terminal_settings bytes; /* the largest of them */
    const size_t count = argument_bytes(command);
    bool number_comes = command == FIONREAD || command == TIOCOUTQ;
    enum status status = copy_from_user(&bytes, count > 0 ? argument : 0, count);
    if (status != OK)
        return status;
    struct question question = {
        .label = TERMINAL_CONTROL,
        .word = {command, count > 0 || number_comes ? 0 : argument},
        .bytes = &bytes,
        .length = count,
    };
    status = terminal_ask(terminal, &question, true);
    return status == OK && number_comes ? put_number(argument, question.number) : status;
}

enum status terminal_control(struct file *file, uint32_t command, uint64_t argument, int64_t *result) {
    struct terminal *terminal = terminal_of(file);
    (void)result;
    if (terminal->hung_up)
        return ERR_IO;
    switch (command) {
    case TCGETS:
        return get_settings(terminal, argument);
    case TIOCGWINSZ:
        return get_size(terminal, argument);
    case TIOCGPGRP:
        return put_number(argument, terminal->foreground);
    case TIOCSPGRP:
        return set_foreground(terminal, argument);
    case TIOCGSID:
        return put_number(argument, terminal->session);
    case TIOCSCTTY:
        take_over(terminal);
        return OK;
    case TIOCNOTTY:
        return OK;
    case TCSETS:
    case TCSETSW:
    case TCSETSF:
    case TCSBRK:
    case TCSBRKP:
    case TCXONC:
    case TCFLSH:
    case TIOCOUTQ:
    case TIOCSWINSZ:
    case FIONREAD:
        return ask_server(terminal, command, argument);
    default:
        return ERR_NOT_TERMINAL;
    }
}
