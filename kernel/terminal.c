/*
 * The console as a file: reading lines or raw bytes, writing, waiting.
 *
 * Invariant: LOGICAL ACCESS – only processes with a handle for reading (and the console thread) have the buffer open;
 * they could read all of it, the line being edited too, by switching to raw mode. Bytes are cleared as they are read.
 * Class discipline: output passes through the caller's stack; nothing of it is kept.
 * Locks: the terminal's object->lock guards all state. Stays in the restricted space.
 */
#include "kernel/terminal.h"

#include "arch/uaccess.h"
#include "asi/asi.h"
#include "kernel/open_file.h"
#include "kernel/panic.h"
#include "kernel/poll.h"
#include "kernel/print.h"
#include "kernel/process.h"
#include "kernel/string.h"
#include "kernel/time.h"
#include "kernel/transfer.h"
#include "mm/ephmap.h"
#include "mm/object.h"

#define OUTPUT_AT_ONCE  256U
#define TENTH_OF_SECOND (NS_PER_SECOND / 10)

struct terminal terminal = {
    .settings =
        {
            .input = ICRNL | IXON,
            .output = OPOST | ONLCR,
            .control = 0x10b2, /* 115200 baud, 8 bits, receiver on */
            .local = ISIG | ICANON | ECHO | ECHOE | ECHOK | ECHOCTL | ECHOKE | IEXTEN,
            .characters = {[VINTR] = 3,
                           [VQUIT] = 28,
                           [VERASE] = 127,
                           [VKILL] = 21,
                           [VEOF] = 4,
                           [VMIN] = 1,
                           [VSTART] = 17,
                           [VSTOP] = 19,
                           [VSUSP] = 26,
                           [VREPRINT] = 18,
                           [VDISCARD] = 15,
                           [VWERASE] = 23,
                           [VLNEXT] = 22},
        },
    .size = {.rows = 25, .columns = 80},
    .foreground = 1,
    .session = 1,
};

enum status terminal_init(void) {
    wait_queue_init(&terminal.readable);
    enum status status = object_create(&terminal.object);
    if (status == OK)
        status = frame_alloc(FRAME_SECRET, 0, &terminal.frame);
    if (status == OK)
        frame_info(terminal.frame)->object = terminal.object;
    if (status == OK)
        terminal.object->exit_cause = ASI_CAUSE_IPC;
    return status;
}

void terminal_thread_begin(void) {
    if (ephmap_open(terminal.object) != OK)
        panic("no memory for the console");
}

/* Bytes that a read of at most `bytes` gets now; *end: a line's end or an end-of-file mark is behind or among them. */
static size_t readable_bytes(size_t bytes, bool *end) {
    bool lines = terminal.settings.local & ICANON;
    size_t count = 0;
    *end = false;
    while (count < bytes && terminal.read_at + count != terminal.line_end && !*end)
        *end = terminal_is_delimiter(terminal.read_at + (uint32_t)count++) && lines;
    return count;
}

/* Clears and passes over `count` bytes. */
static void consume(size_t count) {
    uint8_t *view = ephmap_window(terminal.frame, terminal.object);
    for (; count > 0; count--) {
        view[terminal.read_at % TERMINAL_BUFFER] = 0;
        terminal_set_delimiter(terminal.read_at, false);
        terminal.read_at++;
    }
    ephmap_window_put();
}

/* Moves bytes to the user, up to a line's end. Returns how many; *fault: it stopped at an absent page. Lock held. */
static size_t take(vaddr_t to, size_t bytes, bool *end, bool *fault) {
    size_t count = readable_bytes(bytes, end), done = 0;
    *fault = false;
    if (count == 0)
        return 0;
    asi_expect(ASI_CAUSE_IPC);
    const char *view = ephmap_window(terminal.frame, terminal.object);
    bool mark = *end && view[(terminal.read_at + count - 1) % TERMINAL_BUFFER] == 0; /* end of file: not delivered */
    size_t wanted = count - mark;
    while (done < wanted && !*fault) {
        size_t place = (terminal.read_at + done) % TERMINAL_BUFFER, part = wanted - done;
        if (part > TERMINAL_BUFFER - place)
            part = TERMINAL_BUFFER - place;
        size_t left = copy_to_user_held(to + done, view + place, part);
        done += part - left;
        *fault = left > 0;
    }
    ephmap_window_put();
    if (*fault)
        *end = false;
    consume(done + (*end && mark));
    return done;
}

/* How long a read may still wait, by VMIN and VTIME; 0: not at all. `got`: bytes that are there. */
static uint64_t raw_deadline(size_t got, size_t bytes, uint64_t now) {
    const uint8_t *characters = terminal.settings.characters;
    size_t least = characters[VMIN] < bytes ? characters[VMIN] : bytes;
    uint64_t limit = characters[VTIME] != 0 ? now + characters[VTIME] * TENTH_OF_SECOND : WAIT_FOREVER;
    if (got >= least && (got > 0 || least > 0))
        return 0;
    if (least == 0)
        return characters[VTIME] != 0 ? limit : 0;
    return got > 0 ? limit : WAIT_FOREVER; /* the clock starts with the first byte */
}

/*
 * Waits until a read would get something, or may end with nothing (*enough, by VMIN and VTIME). Another reader may be
 * faster. ERR_RESTART, ERR_WOULD_BLOCK.
 */
static enum status wait_for_input(const struct file *file, size_t bytes, bool *enough) {
    uint64_t started = time_monotonic();
    for (;;) {
        struct waiter waiter;
        spin_lock(&terminal.object->lock);
        size_t got = terminal.line_end - terminal.read_at;
        bool lines = terminal.settings.local & ICANON;
        uint64_t deadline = WAIT_FOREVER;
        if (!lines)
            deadline = raw_deadline(got, bytes, started);
        *enough = deadline == 0 && got == 0;
        if ((lines && got > 0) || deadline == 0 || (got > 0 && (file->flags & O_NONBLOCK))) {
            spin_unlock(&terminal.object->lock);
            return OK;
        }
        if (file->flags & O_NONBLOCK) {
            spin_unlock(&terminal.object->lock);
            return ERR_WOULD_BLOCK;
        }
        wait_begin(&terminal.readable, &waiter);
        spin_unlock(&terminal.object->lock);
        enum status status = wait_sleep(deadline);
        wait_end(&waiter);
        *enough = status == ERR_TIMED_OUT;
        if (*enough)
            return OK;
        if (status != OK)
            return status;
    }
}

/*
 * Whether the caller's group has lost the terminal to another of its session. It gets an error at once, as on Linux
 * when SIGTTIN cannot stop it: nothing stops here.
 */
static bool in_background(void) {
    const struct process *self = process_current();
    return self->session == terminal.session && self->group != terminal.foreground;
}

/* Moves what is there, up to a line's end. */
static enum status take_all(vaddr_t to, size_t bytes, size_t *done, bool *end) {
    bool fault = false;
    enum status status = OK;
    while (status == OK && *done < bytes && !*end) {
        spin_lock(&terminal.object->lock);
        size_t part = take(to + *done, bytes - *done, end, &fault);
        spin_unlock(&terminal.object->lock);
        *done += part;
        if (fault)
            status = user_fault_in(to + *done, true);
        else if (part == 0)
            break;
    }
    return status;
}

static enum status terminal_read(struct file *file, vaddr_t to, size_t bytes, uint64_t *offset, size_t *done) {
    bool end = false, enough = bytes == 0;
    enum status status = in_background() ? ERR_IO : OK;
    (void)offset;
    while (status == OK && *done == 0 && !end && !enough) {
        status = wait_for_input(file, bytes, &enough);
        if (status == OK)
            status = take_all(to, bytes, done, &end);
    }
    return status;
}

static enum status terminal_write(struct file *file, vaddr_t from, size_t bytes, uint64_t *offset, size_t *done) {
    char chunk[OUTPUT_AT_ONCE];
    enum status status = OK;
    (void)file, (void)offset;
    while (*done < bytes && status == OK && !transfer_pause()) {
        size_t part = bytes - *done < sizeof(chunk) ? bytes - *done : sizeof(chunk);
        status = copy_from_user(chunk, from + *done, part);
        if (status == OK) {
            console_print(chunk, part); /* which knows that a newline also returns the carriage */
            *done += part;
        }
    }
    memset(chunk, 0, sizeof(chunk));
    return status == OK && *done == 0 && bytes > 0 ? ERR_RESTART : status;
}

static enum status terminal_write_kernel(struct file *file, const void *from, size_t bytes, uint64_t *offset,
                                         size_t *done) {
    (void)file, (void)offset;
    console_print(from, bytes);
    *done = bytes;
    return OK;
}

static enum status terminal_open(struct file *file) {
    if (file->readable)
        file->object = terminal.object;
    return OK;
}

static uint32_t terminal_poll(struct file *file, struct poll_table *table) {
    uint32_t events = POLLOUT | POLLWRNORM;
    (void)file;
    spin_lock(&terminal.object->lock);
    poll_wait(table, &terminal.readable);
    if (terminal.line_end != terminal.read_at)
        events |= POLLIN | POLLRDNORM;
    spin_unlock(&terminal.object->lock);
    return events;
}

const struct file_operations terminal_operations = {
    .open = terminal_open,
    .read = terminal_read,
    .write = terminal_write,
    .write_kernel = terminal_write_kernel,
    .poll = terminal_poll,
    .control = terminal_control,
};
