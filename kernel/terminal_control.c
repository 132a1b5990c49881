/*
 * ioctl on the terminal: settings, window size, foreground group.
 *
 * Class discipline: settings are metadata (flags and which keys do what), kept GLOBAL.
 * Locks: the terminal's object->lock. Runs in the caller's space.
 */
#include "arch/uaccess.h"
#include "kernel/open_file.h"
#include "kernel/process.h"
#include "kernel/signal.h"
#include "kernel/string.h"
#include "kernel/terminal.h"
#include "mm/ephmap.h"
#include "mm/object.h"

#define SIGWINCH 28

enum terminal_command {
    TCGETS = 0x5401,
    TCSETS = 0x5402,
    TCSETSW = 0x5403, /* after output is written: it always is */
    TCSETSF = 0x5404, /* and input is forgotten */
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
    TIOCGSID = 0x5429,
};

enum { TCIFLUSH, TCOFLUSH, TCIOFLUSH };

static void lock(void) { spin_lock(&terminal.object->lock); }
static void unlock(void) { spin_unlock(&terminal.object->lock); }

/* A process that may not read has the buffer not open, and must open it to clear it. */
static enum status flush_input(const struct file *file) {
    enum status status = file->object != NULL ? OK : ephmap_open(terminal.object);
    if (status != OK)
        return status;
    lock();
    terminal_flush_input();
    unlock();
    if (file->object == NULL)
        ephmap_close(terminal.object);
    return OK;
}

static enum status get_settings(vaddr_t to) {
    struct terminal_settings settings;
    lock();
    settings = terminal.settings;
    unlock();
    _Static_assert(sizeof(settings) == 36, "the kernel's struct termios");
    return copy_to_user(to, &settings, sizeof(settings));
}

static enum status set_settings(const struct file *file, vaddr_t from, bool flush) {
    struct terminal_settings settings;
    enum status status = copy_from_user(&settings, from, sizeof(settings));
    if (status == OK && flush)
        status = flush_input(file);
    if (status != OK)
        return status;
    lock();
    terminal.settings = settings;
    if (!(settings.local & ICANON))
        terminal.line_end = terminal.write_at; /* what was being edited is input now */
    wake_all(&terminal.readable);
    unlock();
    return OK;
}

static enum status get_size(vaddr_t to) {
    struct terminal_size size;
    lock();
    size = terminal.size;
    unlock();
    return copy_to_user(to, &size, sizeof(size));
}

static enum status set_size(vaddr_t from) {
    struct terminal_size size;
    enum status status = copy_from_user(&size, from, sizeof(size));
    if (status != OK)
        return status;
    lock();
    bool changed = memcmp(&size, &terminal.size, sizeof(size)) != 0;
    terminal.size = size;
    uint32_t group = terminal.foreground;
    unlock();
    if (changed && signal_send_group(group, SIGWINCH, NULL) != OK)
        return OK; /* nobody is in the foreground */
    return OK;
}

static enum status set_foreground(vaddr_t from) {
    int32_t group;
    enum status status = copy_from_user(&group, from, sizeof(group));
    if (status != OK)
        return status;
    if (group <= 0)
        return ERR_INVALID;
    lock();
    terminal.foreground = (uint32_t)group;
    unlock();
    return OK;
}

static void take_over(void) {
    lock();
    terminal.session = process_current()->session;
    terminal.foreground = process_current()->group;
    unlock();
}

static enum status put_number(vaddr_t to, uint32_t number) { return copy_to_user(to, &number, sizeof(number)); }

enum status terminal_control(struct file *file, uint32_t command, uint64_t argument, int64_t *result) {
    (void)result;
    switch (command) {
    case TCGETS:
        return get_settings(argument);
    case TCSETS:
    case TCSETSW:
        return set_settings(file, argument, false);
    case TCSETSF:
        return set_settings(file, argument, true);
    case TIOCGWINSZ:
        return get_size(argument);
    case TIOCSWINSZ:
        return set_size(argument);
    case TIOCGPGRP:
        return put_number(argument, terminal.foreground);
    case TIOCSPGRP:
        return set_foreground(argument);
    case TIOCGSID:
        return put_number(argument, terminal.session);
    case TIOCSCTTY:
        take_over();
        return OK;
    case FIONREAD:
        return put_number(argument, terminal.line_end - terminal.read_at);
    case TIOCOUTQ:
        return put_number(argument, 0);
    case TCFLSH:
        if (argument > TCIOFLUSH)
            return ERR_INVALID;
        return argument != TCOFLUSH ? flush_input(file) : OK;
    case TCSBRK:
    case TCXONC:
    case TIOCNOTTY:
        return OK;
    default:
        return ERR_NOT_TERMINAL;
    }
}
