/*
 * Terminals as programs see them: open, read, write, poll. What is asked of the server is in kernel/terminal_abi.h.
 *
 * The console's writers are heard even when nobody serves it: the kernel then prints itself what they write.
 * Class discipline: bytes go from user memory into a message and back, or by way of the caller's stack to the kernel's
 * own output; nothing is kept.
 * Locks: terminal->lock. Stays in the restricted space.
 */
#include "arch/uaccess.h"
#include "kernel/ipc_abi.h"
#include "kernel/open_file.h"
#include "kernel/poll.h"
#include "kernel/print.h"
#include "kernel/process.h"
#include "kernel/pty.h"
#include "kernel/signal_abi.h"
#include "kernel/string.h"
#include "kernel/terminal.h"
#include "kernel/transfer.h"

#define MAJOR_OF_CONSOLE 5U
#define MINOR_OF_TTY     0U /* of that major: the terminal of the caller's session */
#define WRITTEN_AT_ONCE  256U
#define TOSTOP           0x100U /* in settings.local */
#define EVENTS_IN        (POLLIN | POLLRDNORM)
#define EVENTS_OUT       (POLLOUT | POLLWRNORM)

static struct terminal *terminal_of(const struct file *file) { return file->target; }

static bool may_wait(const struct file *file) {
    return !(__atomic_load_n(&file->flags, __ATOMIC_RELAXED) & O_NONBLOCK);
}

/* --- Opening ------------------------------------------------------------------------------------------------------ */

/* The terminal that a special file means to the caller, with a reference, or NULL. */
static struct terminal *terminal_meant(const struct inode *inode) {
    const struct special_file *device = inode->special;
    if (device->major == MAJOR_OF_PTYS)
        return terminal_find_pty(inode);
    if (device->major == MAJOR_OF_CONSOLE && device->minor == MINOR_OF_TTY)
        return terminal_of_caller();
    return terminal_console();
}

/* The leader of a session without a terminal gets the pseudo-terminal that it opens. */
static void take_opened(struct terminal *terminal, const struct file *file) {
    if (!terminal->is_pty || !file->readable || file->flags & O_NOCTTY)
        return;
    if (terminal_take_over(terminal, false) != OK)
        return; /* it leads none, or has one, or this is another's */
}

static enum status terminal_open(struct file *file) {
    struct terminal *terminal = terminal_meant(file->inode);
    if (terminal == NULL)
        return file->inode->special->major == MAJOR_OF_PTYS ? ERR_IO : ERR_NO_DEVICE_ADDRESS;
    enum status status = terminal_enter(terminal);
    if (status != OK) {
        terminal_unref(terminal);
        return status;
    }
    file->target = terminal;
    take_opened(terminal, file);
    return OK;
}

static void terminal_file_release(struct file *file) {
    struct terminal *terminal = terminal_of(file);
    terminal_leave(terminal);
    if (terminal->is_pty)
        pty_settle(terminal);
    terminal_unref(terminal);
}

/* --- Reading ------------------------------------------------------------------------------------------------------ */

static enum status terminal_read(struct file *file, vaddr_t to, size_t bytes, uint64_t *offset, size_t *done) {
    const size_t room = bytes < TERMINAL_READ_BYTES ? bytes : TERMINAL_READ_BYTES;
    const struct terminal *terminal = terminal_of(file);
    const bool master = terminal_file_is_master(file);
    struct question question = {
        .label = master ? TERMINAL_TAKE : TERMINAL_READ,
        .word = {room, 0, may_wait(file) ? 0 : TERMINAL_NONBLOCK},
        .user_buffer = to,
        .room = room,
    };
    (void)offset;
    if (bytes == 0)
        return OK;
    enum status status = OK;
    if (!master)
        status = terminal_check_background(terminal, SIGTTIN);
    if (status == OK)
        status = terminal_ask(file, &question, may_wait(file));
    if (status == OK)
        *done = question.room;
    return status == ERR_IO && !master && terminal->hung_up ? OK : status; /* the end of the file */
}

/* --- Writing ------------------------------------------------------------------------------------------------------ */

/* What is written: in user memory, or where `kernel` is not NULL in LOCAL memory. */
struct source {
    vaddr_t user;
    const char *kernel;
};

static struct source behind(struct source from, size_t bytes) {
    return (struct source){from.user + bytes, from.kernel != NULL ? from.kernel + bytes : NULL};
}

/* The console without a server. */
static enum status write_directly(struct source from, size_t bytes, size_t *done) {
    char text[WRITTEN_AT_ONCE];
    enum status status = OK;
    while (*done < bytes && status == OK && !transfer_pause()) {
        struct source rest = behind(from, *done);
        size_t part = bytes - *done < sizeof(text) ? bytes - *done : sizeof(text);
        if (rest.kernel != NULL)
            memcpy(text, rest.kernel, part);
        else
            status = copy_from_user(text, rest.user, part);
        if (status == OK) {
            console_print(text, part);
            *done += part;
        }
    }
    memset(text, 0, sizeof(text));
    return status;
}

/* One question: how many of the bytes the server takes. */
static enum status write_some(const struct file *file, struct source from, size_t bytes, size_t *done) {
    struct question question = {
        .label = terminal_file_is_master(file) ? TERMINAL_TYPE : TERMINAL_WRITE,
        .bytes = from.kernel,
        .user_bytes = from.user,
        .length = bytes < IPC_BYTES_MAX ? bytes : IPC_BYTES_MAX,
    };
    enum status status = terminal_ask(file, &question, may_wait(file));
    if (status != OK)
        return status;
    if (question.number == 0 || question.number > question.length)
        return ERR_IO; /* nonsense */
    *done += question.number;
    return OK;
}

/* Before its first server the console has none, and who starts servers again must not wait for that one. */
static bool is_written_directly(const struct terminal *terminal) {
    return terminal->is_console && (terminal->server == NULL || process_current() == init_process);
}

static enum status write_from(const struct file *file, struct source from, size_t bytes, size_t *done) {
    const struct terminal *terminal = terminal_of(file);
    enum status status = OK;
    if (terminal->state.settings.local & TOSTOP && !terminal_file_is_master(file))
        status = terminal_check_background(terminal, SIGTTOU);
    if (status != OK)
        return status;
    if (is_written_directly(terminal))
        status = ERR_IO;
    while (*done < bytes && status == OK && !transfer_pause())
        status = write_some(file, behind(from, *done), bytes - *done, done);
    if (terminal->is_console && (status == ERR_IO || status == ERR_NO_MEMORY))
        status = write_directly(from, bytes, done);
    return status == OK && *done == 0 && bytes > 0 ? ERR_RESTART : status;
}

static enum status terminal_write(struct file *file, vaddr_t from, size_t bytes, uint64_t *offset, size_t *done) {
    (void)offset;
    return write_from(file, (struct source){.user = from}, bytes, done);
}

static enum status terminal_write_kernel(struct file *file, const void *from, size_t bytes, uint64_t *offset,
                                         size_t *done) {
    (void)offset;
    return write_from(file, (struct source){.kernel = from}, bytes, done);
}

/* --- Waiting ------------------------------------------------------------------------------------------------------ */

static uint32_t terminal_poll(struct file *file, struct poll_table *table) {
    struct terminal *terminal = terminal_of(file);
    const bool master = terminal_file_is_master(file);
    spin_lock(&terminal->lock);
    poll_wait(table, &terminal->changed);
    uint32_t events = master ? terminal->master_events : terminal->events;
    if (terminal->hung_up)
        events = EVENTS_IN | EVENTS_OUT | POLLERR | POLLHUP;
    else if (master && terminal_is_left(terminal))
        events |= POLLHUP;
    else if (terminal->server == NULL && terminal->is_console)
        events = EVENTS_OUT;
    spin_unlock(&terminal->lock);
    return events;
}

const struct file_operations terminal_operations = {
    .open = terminal_open,
    .release = terminal_file_release,
    .read = terminal_read,
    .write = terminal_write,
    .write_kernel = terminal_write_kernel,
    .poll = terminal_poll,
    .control = terminal_control,
};

const struct file_operations pty_master_operations = {
    .open = pty_open,
    .release = pty_close,
    .read = terminal_read,
    .write = terminal_write,
    .write_kernel = terminal_write_kernel,
    .poll = terminal_poll,
    .control = pty_control,
};
