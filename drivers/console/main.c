/*
 * The console: serves the terminal of /dev/console by the serial port and the screen.
 *
 *     console [--ask-size]     asks whoever is at the other end how large its window is
 *
 * PENUMBRA_AUTHORITY is the number of a handle on the authority, with RIGHT_DEVICES and RIGHT_NAMESPACE. Standard
 * output gets one byte when the terminal is served; then the standard handles are given up: /dev/console is this
 * program itself.
 *
 * One thread, which never waits but for the next message: what cannot be done at once is answered with EAGAIN, and the
 * kernel asks again when it is told that something has changed (kernel/terminal_abi.h).
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "drivers/console/port.h"
#include "drivers/console/size_query.h"
#include "drivers/console/tty.h"
#include "user/lib/native.h"

#define BIT_PORT         1U
#define ASKING_NS        UINT64_C(2000000000) /* how long an answer about the size is waited for */
#define REASONS_AT_ONCE  64                   /* of interrupts, before other messages get their turn */
#define RECEIVED_AT_ONCE 256                  /* bytes likewise */

static int terminal = -1, endpoint = -1;
static struct tty tty;
static struct terminal_state published; /* what the kernel knows */
static uint32_t published_events;
static bool somebody_waits; /* somebody was answered EAGAIN */
static bool changed;        /* since then */
static bool screen = true;  /* there is one */
static struct size_query query;
static uint64_t asking_until;

static uint8_t came[IPC_BYTES_MAX], answer[TERMINAL_READ_BYTES];

static uint64_t now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * UINT64_C(1000000000) + (uint64_t)time.tv_nsec;
}

/* --- Between terminal and line ------------------------------------------------------------------------------------ */

static void take_input(uint8_t byte, uint64_t time) {
    uint8_t through[SIZE_ANSWER_MAX];
    size_t count = size_query_input(&query, byte, through);
    for (size_t i = 0; i < count; i++) {
        tty_input(&tty, through[i], time);
    }
    if (query.rows != 0) {
        tty.size = (struct terminal_size){.rows = query.rows, .columns = query.columns};
        query.rows = query.columns = 0;
    }
}

static void receive(void) {
    uint64_t time = 0;
    uint8_t byte;
    for (unsigned i = 0; i < RECEIVED_AT_ONCE && port_receive(&byte); i++) {
        time = time != 0 ? time : now();
        take_input(byte, time);
        changed = true;
    }
}

static void show(const uint8_t *bytes, size_t count) {
    if (screen && syscall(SYS_TERMINAL_SHOW, terminal, bytes, count) < 0 && errno == ENXIO) {
        screen = false;
    }
}

/* Sends what the port takes, and looks at its input between bursts. */
static void send(void) {
    const uint8_t *bytes;
    size_t count, sent;
    while ((count = tty_output_span(&tty, &bytes)) > 0) {
        sent = port_send(bytes, count);
        if (sent == 0) {
            break;
        }
        show(bytes, sent);
        tty_output_sent(&tty, sent);
        changed = true;
        if (sent < count) {
            receive();
        }
    }
    port_interrupt_when_sent(count > 0);
}

static void serve_port(void) {
    unsigned reasons = 0;
    do {
        receive();
        send();
    } while (port_acknowledge() && ++reasons < REASONS_AT_ONCE);
    if (reasons == REASONS_AT_ONCE) {
        ipc_notify(endpoint, BIT_PORT); /* goes on behind what else is waiting */
    }
}

/* --- What the kernel asks ----------------------------------------------------------------------------------------- */

static void say_again(struct ipc *ipc, uint64_t wait) {
    ipc->label = EAGAIN;
    ipc->word[0] = wait;
    somebody_waits = true;
    changed = false;
}

static void say(struct ipc *ipc, enum tty_result result, uint64_t word, uint64_t wait) {
    static const uint32_t labels[] = {[TTY_DONE] = 0, [TTY_UNKNOWN] = ENOTTY, [TTY_INVALID] = EINVAL};
    if (result == TTY_AGAIN) {
        say_again(ipc, wait);
        return;
    }
    ipc->label = labels[result];
    ipc->word[0] = word;
}

static void answer_read(struct ipc *ipc) {
    size_t count = 0, room = ipc->word[0] < sizeof answer ? ipc->word[0] : sizeof answer;
    uint64_t wait, elapsed = ipc->word[1];
    bool nonblock = ipc->word[2] & TERMINAL_NONBLOCK;
    enum tty_result result = tty_read(&tty, answer, room, elapsed, nonblock, now(), &count, &wait);
    say(ipc, result, count, wait);
    ipc->extra->length = (uint32_t)count;
    changed = changed || count > 0;
}

static void answer_write(struct ipc *ipc) {
    size_t done = 0, part, count = ipc->extra->room;
    do {
        part = tty_write(&tty, came + done, count - done);
        done += part;
        send();
    } while (part > 0 && done < count);
    memset(came, 0, count);
    say(ipc, done > 0 ? TTY_DONE : TTY_AGAIN, done, TERMINAL_FOREVER);
}

static void answer_control(struct ipc *ipc) {
    uint64_t number, argument = ipc->word[1];
    enum tty_result result = tty_control(&tty, (uint32_t)ipc->word[0], argument, came, ipc->extra->room, &number);
    say(ipc, result, number, TERMINAL_FOREVER);
    changed = changed || result == TTY_DONE;
    send(); /* output may have been started */
}

/* Leaves the answer in *ipc and its bytes in `extra`. */
static void answer_call(struct ipc *ipc) {
    ipc->extra->bytes = (uintptr_t)answer;
    ipc->extra->length = 0;
    switch (ipc->label) {
    case TERMINAL_READ:
        answer_read(ipc);
        break;
    case TERMINAL_WRITE:
        answer_write(ipc);
        break;
    case TERMINAL_CONTROL:
        answer_control(ipc);
        break;
    default:
        ipc->label = ENOSYS;
    }
}

/* --- What the kernel is told -------------------------------------------------------------------------------------- */

static void publish_state(void) {
    const struct terminal_state state = {.settings = tty.settings, .size = tty.size};
    if (memcmp(&state, &published, sizeof state) != 0) {
        published = state;
        syscall(SYS_TERMINAL_STATE, terminal, &state);
    }
}

static void publish_signals(void) {
    while (tty.signals != 0) {
        int signal = __builtin_ctzll(tty.signals);
        tty.signals &= tty.signals - 1;
        syscall(SYS_TERMINAL_SIGNAL, terminal, signal);
    }
}

/* All before a call is answered: who asks again finds the kernel knowing. */
static void publish(void) {
    uint32_t events = tty_events(&tty);
    publish_state();
    publish_signals();
    if (events != published_events || (somebody_waits && changed)) {
        published_events = events;
        somebody_waits = false;
        syscall(SYS_TERMINAL_EVENTS, terminal, events);
    }
    changed = false;
}

/* --- Start and loop ----------------------------------------------------------------------------------------------- */

static void fail(const char *what) {
    fprintf(stderr, "console: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void ask_size(void) {
    query.waiting = true;
    asking_until = now() + ASKING_NS;
    for (const char *byte = SIZE_QUESTION; *byte != '\0'; byte++) {
        tty_put_plain(&tty, (uint8_t)*byte);
    }
    tty.output.column = 0;
}

static void give_up_asking(void) {
    uint8_t through[SIZE_ANSWER_MAX];
    size_t count = size_query_give_up(&query, through);
    for (size_t i = 0; i < count; i++) {
        tty_input(&tty, through[i], now());
    }
    changed = true;
}

static void attach(int authority) {
    terminal = (int)syscall(SYS_TERMINAL_CREATE, authority, TERMINAL_CONSOLE);
    if (terminal < 0) {
        fail("no terminal");
    }
    tty_init(&tty);
    published = (struct terminal_state){.settings = tty.settings, .size = tty.size};
    if (syscall(SYS_TERMINAL_ATTACH, terminal, endpoint, &published) < 0) {
        fail("the terminal cannot be served");
    }
    tty.settings = published.settings;
    tty.size = published.size;
}

/* Says that it is ready. */
static void leave_standard_handles(void) {
    int nothing = open("/dev/null", O_RDWR);
    if (write(STDOUT_FILENO, "", 1) < 0) {
        errno = 0; /* nobody wants to know */
    }
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
        if (nothing >= 0) {
            dup2(nothing, fd);
        } else {
            close(fd);
        }
    }
    if (nothing > STDERR_FILENO) {
        close(nothing);
    }
}

static uint64_t patience(void) {
    uint64_t time;
    if (!query.waiting) {
        return IPC_FOREVER;
    }
    time = now();
    return time < asking_until ? asking_until - time : 0;
}

static _Noreturn void serve(void) {
    struct ipc_extra extra = {.buffer = (uintptr_t)came};
    struct ipc ipc = {.extra = &extra};
    bool answered = true;
    for (;;) {
        extra.room = sizeof came;
        extra.timeout_ns = patience();
        int status = answered ? ipc_receive(endpoint, &ipc) : ipc_reply_receive(endpoint, &ipc);
        memset(answer, 0, answered ? 0 : extra.length);
        answered = true;
        if (status < 0 && errno == ETIMEDOUT) {
            give_up_asking();
        } else if (status == 0 && ipc.label == IPC_NOTIFICATION) {
            serve_port();
        } else if (status == 0) {
            answer_call(&ipc);
            answered = false;
        }
        publish();
    }
}

int main(int argc, char **argv) {
    const char *authority = getenv("PENUMBRA_AUTHORITY");
    int right = authority != NULL ? atoi(authority) : -1;
    signal(SIGINT, SIG_IGN);
    signal(SIGQUIT, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    endpoint = endpoint_create();
    if (endpoint < 0) {
        fail("no endpoint");
    }
    if (!port_open(right, endpoint, BIT_PORT)) {
        fprintf(stderr, "console: the serial port: %s\n", strerror(errno)); /* the screen may be there */
    }
    attach(right);
    close(right);
    leave_standard_handles();
    if (argc > 1 && strcmp(argv[1], "--ask-size") == 0) {
        ask_size();
    }
    serve_port();
    publish();
    serve();
}
