/*
 * Pseudo-terminals: serves both ends of every one that is opened by /dev/ptmx, with the line discipline of drivers/lib.
 *
 * PENUMBRA_AUTHORITY is the number of a handle on the authority, with RIGHT_NAMESPACE. What one end wrote and the other
 * did not read yet lies here, in memory of that pseudo-terminal alone, and is given back when it hangs up.
 *
 * One thread, which never waits but for the next message (kernel/terminal_abi.h).
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <termios.h>

#include "drivers/lib/served_terminal.h"
#include "user/lib/native.h"

#define CTRL(letter) ((letter)&0x1f)

enum { PTYS = TERMINAL_PTYS_MAX + TERMINAL_HANG_UP_BITS }; /* some may have hung up, and be forgotten in a moment */
_Static_assert(PTYS % TERMINAL_HANG_UP_BITS == 0, "an id leaves the same remainder as its place");

struct pty {
    uint32_t id; /* its place, and a multiple of PTYS that none had for long: a late question meets nobody else */
    struct served_terminal line;

    /* Packet mode: each read of the master begins with a byte that is 0, or says what has happened, and then is all. */
    bool packet;
    uint8_t status;             /* TIOCPKT_* not read yet */
    bool had_stopped, had_flow; /* output was, and could be by Ctrl-S, when it was last looked at */
};

static int endpoint = -1;
static struct pty *ptys[PTYS];
static uint32_t generation = 1; /* of ids: none is 0 */
static uint8_t came[IPC_BYTES_MAX], answer[TERMINAL_READ_BYTES];

/* --- Coming and going --------------------------------------------------------------------------------------------- */

/* As Linux's are at first: no size. */
static void set_up(struct tty *tty) {
    tty_init(tty);
    tty->immediate = true;
    tty->size = (struct terminal_size){0};
    tty->settings.input = ICRNL | IXON;
    tty->settings.control = B38400 | CS8 | CREAD;
}

static unsigned find_place(void) {
    unsigned place = 0;
    while (place < PTYS && ptys[place] != NULL) {
        place++;
    }
    return place;
}

static uint32_t create(int handle, uint64_t *id) {
    const unsigned place = find_place();
    if (place == PTYS) {
        return ENOSPC;
    }
    void *memory = mmap(NULL, sizeof **ptys, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
        return ENOMEM;
    }
    struct pty *pty = memory;
    set_up(&pty->line.tty);
    pty->had_flow = true;
    if (served_attach(&pty->line, handle, endpoint) < 0) {
        uint32_t error = (uint32_t)errno;
        munmap(memory, sizeof *pty);
        return error;
    }
    *id = pty->id = generation * PTYS + place;
    generation = generation % (UINT32_MAX / PTYS - 1) + 1; /* an id says its place, also when all were used */
    ptys[place] = pty;
    return 0;
}

/* The kernel does not say which have hung up, only that one has whose place leaves that remainder. */
static void forget_hung_up(uint64_t bits) {
    for (unsigned place = 0; place < PTYS; place++) {
        struct pty *pty = ptys[place];
        if (pty == NULL || !(bits >> place % TERMINAL_HANG_UP_BITS & 1) ||
            syscall(SYS_TERMINAL_EVENTS, pty->line.handle, pty->line.published_events) == 0 || errno != EIO) {
            continue;
        }
        close(pty->line.handle);
        munmap(pty, sizeof *pty);
        ptys[place] = NULL;
    }
}

/* --- What the kernel asks ----------------------------------------------------------------------------------------- */

static struct pty *find(uint64_t id) {
    struct pty *pty = ptys[id % PTYS];
    return pty != NULL && pty->id == id ? pty : NULL;
}

static uint32_t master_events(const struct pty *pty) {
    const uint8_t *bytes;
    uint32_t events = tty_takes_input(&pty->line.tty) ? POLLOUT | POLLWRNORM : 0;
    if (pty->status != 0) {
        return events | POLLIN | POLLRDNORM | POLLPRI;
    }
    return tty_output_span(&pty->line.tty, &bytes) > 0 ? events | POLLIN | POLLRDNORM : events;
}

/* Whether Ctrl-S and Ctrl-Q are what stops and starts output. */
static bool has_flow(const struct tty *tty) {
    const uint8_t *characters = tty->settings.characters;
    return tty_has_input(tty, IXON) && characters[VSTOP] == CTRL('S') && characters[VSTART] == CTRL('Q');
}

/* What a master in packet mode is told: the newer of two contrary things. */
static void note_status(struct pty *pty) {
    struct tty *tty = &pty->line.tty;
    const bool stopped = tty->output.stopped, flow = has_flow(tty);
    uint8_t status = pty->status;
    if (stopped != pty->had_stopped) {
        status = (uint8_t)((status & ~(TIOCPKT_STOP | TIOCPKT_START)) | (stopped ? TIOCPKT_STOP : TIOCPKT_START));
    }
    if (flow != pty->had_flow) {
        status = (uint8_t)((status & ~(TIOCPKT_DOSTOP | TIOCPKT_NOSTOP)) | (flow ? TIOCPKT_DOSTOP : TIOCPKT_NOSTOP));
    }
    status = (uint8_t)(status | (tty->input_flushed ? TIOCPKT_FLUSHREAD : 0));
    status = (uint8_t)(status | (tty->output_flushed ? TIOCPKT_FLUSHWRITE : 0));
    pty->had_stopped = stopped;
    pty->had_flow = flow;
    tty->input_flushed = tty->output_flushed = false;
    pty->line.changed = pty->line.changed || (pty->packet && status != pty->status);
    pty->status = pty->packet ? status : 0;
}

static void publish(struct pty *pty) {
    note_status(pty);
    served_publish(&pty->line, tty_events(&pty->line.tty) | master_events(pty) << TERMINAL_MASTER_EVENTS);
}

static void answer_new(struct ipc *ipc) {
    if (ipc->extra->handle_room != 1) {
        ipc->label = EINVAL;
        return;
    }
    ipc->label = create(ipc->extra->taken_handles[0], &ipc->word[0]);
    if (ipc->label != 0) {
        close(ipc->extra->taken_handles[0]);
    } else {
        publish(find(ipc->word[0]));
    }
}

static void answer_write(struct pty *pty, struct ipc *ipc) {
    size_t done = tty_write(&pty->line.tty, came, ipc->extra->room);
    served_say(&pty->line, ipc, done > 0 ? TTY_DONE : TTY_AGAIN, done, TERMINAL_FOREVER);
    pty->line.changed = pty->line.changed || done > 0;
}

/* The master writes: keys are pressed. */
static void answer_type(struct pty *pty, struct ipc *ipc) {
    struct tty *tty = &pty->line.tty;
    size_t done = 0;
    uint64_t time = served_now();
    while (done < ipc->extra->room && tty_takes_input(tty)) {
        tty_input(tty, came[done++], time);
    }
    served_say(&pty->line, ipc, done > 0 ? TTY_DONE : TTY_AGAIN, done, TERMINAL_FOREVER);
    pty->line.changed = pty->line.changed || done > 0;
}

/* What was written, as far as there is room; how much. */
static size_t take_output(struct tty *tty, uint8_t *to, size_t room) {
    size_t count = 0, part;
    const uint8_t *bytes;
    while (count < room && (part = tty_output_span(tty, &bytes)) > 0) {
        part = part < room - count ? part : room - count;
        memcpy(to + count, bytes, part);
        tty_output_sent(tty, part);
        count += part;
    }
    return count;
}

/* The master reads: what was written is shown. */
static void answer_take(struct pty *pty, struct ipc *ipc) {
    const uint8_t *bytes;
    struct tty *tty = &pty->line.tty;
    size_t count = 0, room = ipc->word[0] < sizeof answer ? ipc->word[0] : sizeof answer;
    if (pty->status != 0 && room > 0) {
        answer[count++] = pty->status;
        pty->status = 0;
    } else if (tty_output_span(tty, &bytes) > 0 && room > 0) {
        answer[0] = TIOCPKT_DATA;
        count = pty->packet;
        count += take_output(tty, answer + count, room - count);
    }
    served_say(&pty->line, ipc, count > 0 ? TTY_DONE : TTY_AGAIN, count, TERMINAL_FOREVER);
    ipc->extra->length = (uint32_t)count;
    pty->line.changed = pty->line.changed || count > 0;
}

static void set_packet(struct pty *pty, struct ipc *ipc) {
    int on = 0;
    if (ipc->extra->room != sizeof on) {
        ipc->label = EINVAL;
        return;
    }
    memcpy(&on, came, sizeof on);
    note_status(pty); /* what was before is not told */
    pty->status = 0;
    pty->packet = on != 0;
    served_say(&pty->line, ipc, TTY_DONE, 0, 0);
}

/* Seen from the master what is sent is what can be read. */
static void answer_master_control(struct pty *pty, struct ipc *ipc) {
    struct tty *tty = &pty->line.tty;
    switch (ipc->word[0]) {
    case FIONREAD:
        served_say(&pty->line, ipc, TTY_DONE, tty->output.to - tty->output.from, 0);
        return;
    case TIOCPKT:
        set_packet(pty, ipc);
        return;
    case TIOCGPKT:
        served_say(&pty->line, ipc, TTY_DONE, pty->packet, 0);
        return;
    case TCFLSH:
        if (ipc->word[1] == TCIFLUSH || ipc->word[1] == TCOFLUSH) {
            ipc->word[1] = ipc->word[1] == TCIFLUSH ? TCOFLUSH : TCIFLUSH;
        }
        break;
    }
    served_control(&pty->line, ipc, came);
    tty->input_flushed = tty->output_flushed = false; /* it knows */
}

static void answer_read(struct pty *pty, struct ipc *ipc) { served_read(&pty->line, ipc, answer); }

static void answer_control(struct pty *pty, struct ipc *ipc) {
    if (ipc->word[2] & TERMINAL_MASTER) {
        answer_master_control(pty, ipc);
    } else {
        served_control(&pty->line, ipc, came);
    }
}

/* Leaves the answer in *ipc and its bytes in `extra`. */
static void answer_call(struct ipc *ipc) {
    static void (*const answers[])(struct pty *, struct ipc *) = {
        [TERMINAL_READ - TERMINAL_READ] = answer_read,       [TERMINAL_WRITE - TERMINAL_READ] = answer_write,
        [TERMINAL_CONTROL - TERMINAL_READ] = answer_control, [TERMINAL_TYPE - TERMINAL_READ] = answer_type,
        [TERMINAL_TAKE - TERMINAL_READ] = answer_take,
    };
    struct pty *pty = find(ipc->word[2] >> TERMINAL_ID_SHIFT);
    uint64_t question = ipc->label - TERMINAL_READ;
    if (ipc->label == TERMINAL_NEW) {
        answer_new(ipc);
    } else if (pty == NULL) {
        ipc->label = EIO;
    } else if (question < sizeof answers / sizeof *answers) {
        answers[question](pty, ipc);
        publish(pty);
    } else {
        ipc->label = ENOSYS;
    }
}

/* --- Start and loop ----------------------------------------------------------------------------------------------- */

static _Noreturn void serve(void) {
    struct ipc_extra extra = {.buffer = (uintptr_t)came, .bytes = (uintptr_t)answer, .timeout_ns = IPC_FOREVER};
    struct ipc ipc = {.extra = &extra};
    bool answered = true;
    for (;;) {
        extra.room = sizeof came;
        extra.handle_room = 1;
        int status = answered ? ipc_receive(endpoint, &ipc) : ipc_reply_receive(endpoint, &ipc);
        memset(answer, 0, extra.length);
        extra.length = 0;
        answered = status < 0 || ipc.label == IPC_NOTIFICATION;
        if (status == 0 && ipc.label == IPC_NOTIFICATION) {
            forget_hung_up(ipc.word[0]);
        } else if (status == 0) {
            answer_call(&ipc);
            memset(came, 0, extra.room);
        }
    }
}

int main(void) {
    const char *authority = getenv("PENUMBRA_AUTHORITY");
    int right = authority != NULL ? atoi(authority) : -1;
    signal(SIGINT, SIG_IGN);
    signal(SIGQUIT, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    endpoint = endpoint_create();
    if (endpoint < 0 || syscall(SYS_TERMINAL_PTYS, right, endpoint) < 0) {
        perror("pty: it may not serve");
        return 1;
    }
    close(right);
    serve();
}
