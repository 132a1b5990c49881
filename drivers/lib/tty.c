/*
 * The terminal as its readers see it: reads by line or by VMIN and VTIME, settings, queues.
 */
#include "drivers/lib/tty.h"

#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>

#define TENTH_OF_SECOND UINT64_C(100000000)

void tty_init(struct tty *tty) {
    *tty = (struct tty){
        .settings =
            {
                .input = ICRNL | IXON | IUTF8 | IMAXBEL,
                .output = OPOST | ONLCR,
                .control = B115200 | CS8 | CREAD | HUPCL,
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
    };
}

static bool is_end(const struct tty_input *input, uint32_t position) {
    return input->ends[position % TTY_INPUT / 64] >> position % 64 & 1;
}

void tty_flush_input(struct tty *tty) {
    memset(tty->input.bytes, 0, sizeof tty->input.bytes);
    memset(tty->input.ends, 0, sizeof tty->input.ends);
    tty->input.read_at = tty->input.line_end = tty->input.write_at = 0;
    tty->input.literal = false;
    tty->input_flushed = true;
}

/* --- Reading ------------------------------------------------------------------------------------------------------ */

/* The next byte that may be read is passed over; returns it. */
static uint8_t consume(struct tty_input *input) {
    uint8_t *place = &input->bytes[input->read_at % TTY_INPUT], byte = *place;
    *place = 0;
    input->ends[input->read_at % TTY_INPUT / 64] &= ~(UINT64_C(1) << input->read_at % 64);
    input->read_at++;
    return byte;
}

/* Up to the end of a line. A mark for the end of file behind it is taken along, or a read would find it alone. */
static size_t take_line(struct tty_input *input, uint8_t *to, size_t room) {
    size_t count = 0;
    while (input->read_at != input->line_end) {
        bool end = is_end(input, input->read_at);
        bool mark = end && input->bytes[input->read_at % TTY_INPUT] == 0;
        if (count == room && !mark) {
            break;
        }
        uint8_t byte = consume(input);
        if (!mark) {
            to[count++] = byte;
        }
        if (end) {
            break;
        }
    }
    return count;
}

static size_t take_raw(struct tty_input *input, uint8_t *to, size_t room) {
    size_t count = 0;
    while (count < room && input->read_at != input->line_end) {
        to[count++] = consume(input);
    }
    return count;
}

/* Whether a read by VMIN and VTIME is over; if not, how long it may still take. */
static bool raw_read_is_over(const struct tty *tty, size_t room, uint64_t elapsed, uint64_t now, uint64_t *wait) {
    const uint8_t *characters = tty->settings.characters;
    size_t got = tty->input.line_end - tty->input.read_at;
    size_t least = characters[VMIN] < room ? characters[VMIN] : room;
    uint64_t limit = characters[VTIME] * TENTH_OF_SECOND, since = elapsed;
    *wait = TERMINAL_FOREVER;
    if (got >= least && got > 0) {
        return true;
    }
    if (least > 0 && (limit == 0 || got == 0)) {
        return false;
    }
    if (least > 0) { /* the clock starts anew with each byte, but not before the read */
        since = now - tty->input.last < elapsed ? now - tty->input.last : elapsed;
    }
    *wait = since < limit ? limit - since : 0;
    return *wait == 0;
}

enum tty_result tty_read(struct tty *tty, uint8_t *to, size_t room, uint64_t elapsed, bool nonblock, uint64_t now,
                         size_t *count, uint64_t *wait) {
    struct tty_input *input = &tty->input;
    bool empty = input->read_at == input->line_end;
    *count = 0;
    *wait = TERMINAL_FOREVER;
    if (tty_has_local(tty, ICANON)) {
        if (empty) {
            return TTY_AGAIN;
        }
        *count = take_line(input, to, room);
        return TTY_DONE;
    }
    if (!raw_read_is_over(tty, room, elapsed, now, wait) && (!nonblock || empty)) {
        return TTY_AGAIN;
    }
    *count = take_raw(input, to, room);
    return TTY_DONE;
}

/* --- Settings and queues ------------------------------------------------------------------------------------------ */

static uint32_t unsent(const struct tty *tty) { return tty->immediate ? 0 : tty->output.to - tty->output.from; }
static bool output_is_sent(const struct tty *tty) { return unsent(tty) == 0; }

static enum tty_result set(struct tty *tty, const void *bytes, size_t count) {
    struct terminal_settings settings;
    if (count != sizeof settings) {
        return TTY_INVALID;
    }
    memcpy(&settings, bytes, sizeof settings);
    if ((settings.local ^ tty->settings.local) & ICANON) {
        tty->input.line_end = tty->input.write_at; /* what was being edited, or not read yet, is input now */
    }
    if (!(settings.input & IXON) && tty_has_input(tty, IXON)) {
        tty->output.stopped = false;
    }
    tty->settings = settings;
    return TTY_DONE;
}

static enum tty_result set_size(struct tty *tty, const void *bytes, size_t count) {
    if (count != sizeof tty->size) {
        return TTY_INVALID;
    }
    memcpy(&tty->size, bytes, sizeof tty->size);
    return TTY_DONE;
}

static enum tty_result flush(struct tty *tty, uint64_t queue) {
    if (queue != TCIFLUSH && queue != TCOFLUSH && queue != TCIOFLUSH) {
        return TTY_INVALID;
    }
    if (queue != TCOFLUSH) {
        tty_flush_input(tty);
    }
    if (queue != TCIFLUSH) {
        tty_flush_output(tty);
    }
    return TTY_DONE;
}

static enum tty_result control_flow(struct tty *tty, uint64_t action) {
    switch (action) {
    case TCOOFF:
    case TCOON:
        tty->output.stopped = action == TCOOFF;
        return TTY_DONE;
    case TCIOFF:
    case TCION: {
        uint8_t character = tty->settings.characters[action == TCIOFF ? VSTOP : VSTART];
        return character == 0 || tty_put_plain(tty, character) ? TTY_DONE : TTY_AGAIN;
    }
    default:
        return TTY_INVALID;
    }
}

/* Bytes that reads would give, without marks for the end of file. */
static uint64_t readable_bytes(const struct tty_input *input) {
    uint64_t count = 0;
    for (uint32_t at = input->read_at; at != input->line_end; at++) {
        count += !(is_end(input, at) && input->bytes[at % TTY_INPUT] == 0);
    }
    return count;
}

enum tty_result tty_control(struct tty *tty, uint32_t command, uint64_t argument, const void *bytes, size_t count,
                            uint64_t *number) {
    *number = 0;
    switch (command) {
    case TCSETSF:
    case TCSETSW:
        if (!output_is_sent(tty)) {
            return TTY_AGAIN;
        }
        if (command == TCSETSF && count == sizeof tty->settings) {
            tty_flush_input(tty);
        }
        return set(tty, bytes, count);
    case TCSETS:
        return set(tty, bytes, count);
    case TIOCSWINSZ:
        return set_size(tty, bytes, count);
    case TCFLSH:
        return flush(tty, argument);
    case TCXONC:
        return control_flow(tty, argument);
    case TCSBRK: /* a break is not sent; tcdrain() is this with 1 */
    case TCSBRKP:
        return output_is_sent(tty) ? TTY_DONE : TTY_AGAIN;
    case FIONREAD:
        *number = readable_bytes(&tty->input);
        return TTY_DONE;
    case TIOCOUTQ:
        *number = unsent(tty);
        return TTY_DONE;
    default:
        return TTY_UNKNOWN;
    }
}

uint32_t tty_events(const struct tty *tty) {
    const uint8_t *characters = tty->settings.characters;
    size_t got = tty->input.line_end - tty->input.read_at, least = 1;
    if (!tty_has_local(tty, ICANON) && characters[VTIME] == 0 && characters[VMIN] > 0) {
        least = characters[VMIN];
    }
    uint32_t events = got >= least ? POLLIN | POLLRDNORM : 0;
    bool held = tty->immediate && tty->output.stopped;
    return !held && tty_output_room(tty) >= 2 * TTY_ECHO ? events | POLLOUT | POLLWRNORM : events;
}
