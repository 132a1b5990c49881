/*
 * The console: serves the terminal of /dev/console by the serial port, the screen and the keyboard.
 *
 *     console --ask-size     asks whoever is at the other end of the serial port how large its window is
 *     console --screen       draws the screen itself, with a status line, and takes the keyboard; its size counts.
 *                            Standard input: lines for the screen alone, which the kernel prints on the serial port
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

#include "drivers/console/keyboard.h"
#include "drivers/console/keys.h"
#include "drivers/console/port.h"
#include "drivers/console/screen.h"
#include "drivers/console/size_query.h"
#include "drivers/lib/served_terminal.h"
#include "user/lib/native.h"

#define BIT_PORT         1U
#define BIT_KEYBOARD     2U
#define ASKING_NS        UINT64_C(2000000000) /* how long an answer about the size is waited for */
#define SECOND_ANSWER_NS UINT64_C(300000000)  /* and one that the screen has given already */
#define REASONS_AT_ONCE  64                   /* of interrupts, before other messages get their turn */
#define RECEIVED_AT_ONCE 256                  /* bytes likewise */

static int endpoint = -1;
static struct served_terminal console;
static struct tty *const tty = &console.tty;
static struct keys keys;
static struct size_query query;
static uint64_t asking_until;

static uint8_t came[IPC_BYTES_MAX], answer[TERMINAL_READ_BYTES];

/* --- Between terminal and line ------------------------------------------------------------------------------------ */

static void take_input(uint8_t byte, uint64_t time) {
    uint8_t through[SIZE_ANSWER_MAX];
    size_t count = size_query_input(&query, byte, through);
    for (size_t i = 0; i < count; i++) {
        tty_input(tty, through[i], time);
    }
    if (query.rows != 0 && !screen_is_open()) {
        tty->size = (struct terminal_size){.rows = query.rows, .columns = query.columns};
    }
    query.rows = query.columns = 0;
}

static void receive(void) {
    uint64_t time = 0;
    uint8_t byte;
    for (unsigned i = 0; i < RECEIVED_AT_ONCE && port_receive(&byte); i++) {
        time = time != 0 ? time : served_now();
        take_input(byte, time);
        console.changed = true;
    }
}

/*
 * The screen's terminal answers a question at once. One at the other end of the serial port, which has seen the
 * question, too, answers in its own time: that one is taken out of what is typed.
 */
static void take_answer(void) {
    char text[SCREEN_ANSWER_MAX];
    const size_t count = screen_take_answer(text, sizeof text);
    if (count == 0) {
        return;
    }
    for (size_t i = 0; i < count; i++) {
        tty_input(tty, (uint8_t)text[i], served_now());
    }
    query.waiting = true;
    asking_until = served_now() + SECOND_ANSWER_NS;
}

static void serve_keyboard(void) {
    uint8_t code;
    char text[KEYS_BYTES_MAX];
    keyboard_acknowledge();
    for (unsigned i = 0; i < RECEIVED_AT_ONCE && keyboard_receive(&code); i++) {
        const size_t count = keys_scan(&keys, code, screen_has_application_keys(), text);
        for (size_t at = 0; at < count; at++) {
            tty_input(tty, (uint8_t)text[at], served_now());
        }
        console.changed = true;
    }
}

/* Sends what the port takes, and looks at its input between bursts. */
static void send(void) {
    const uint8_t *bytes;
    size_t count, sent;
    while ((count = tty_output_span(tty, &bytes)) > 0) {
        sent = port_send(bytes, count);
        if (sent == 0) {
            break;
        }
        screen_show(bytes, sent);
        tty_output_sent(tty, sent);
        take_answer();
        console.changed = true;
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

static void answer_write(struct ipc *ipc) {
    size_t done = 0, part, count = ipc->extra->room;
    screen_show_messages();
    do {
        part = tty_write(tty, came + done, count - done);
        done += part;
        send();
    } while (part > 0 && done < count);
    memset(came, 0, count);
    served_say(&console, ipc, done > 0 ? TTY_DONE : TTY_AGAIN, done, TERMINAL_FOREVER);
}

/* Leaves the answer in *ipc and its bytes in `extra`. */
static void answer_call(struct ipc *ipc) {
    ipc->extra->bytes = (uintptr_t)answer;
    ipc->extra->length = 0;
    switch (ipc->label) {
    case TERMINAL_READ:
        served_read(&console, ipc, answer);
        break;
    case TERMINAL_WRITE:
        answer_write(ipc);
        break;
    case TERMINAL_CONTROL:
        served_control(&console, ipc, came);
        send(); /* output may have been started */
        break;
    default:
        ipc->label = ENOSYS;
    }
}

/* --- Start and loop ----------------------------------------------------------------------------------------------- */

static void fail(const char *what) {
    fprintf(stderr, "console: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void ask_size(void) {
    query.waiting = true;
    asking_until = served_now() + ASKING_NS;
    for (const char *byte = SIZE_QUESTION; *byte != '\0'; byte++) {
        tty_put_plain(tty, (uint8_t)*byte);
    }
    tty->output.column = 0;
}

static void give_up_asking(void) {
    uint8_t through[SIZE_ANSWER_MAX];
    size_t count = size_query_give_up(&query, through);
    for (size_t i = 0; i < count; i++) {
        tty_input(tty, through[i], served_now());
    }
    console.changed = true;
}

static void attach(int authority) {
    int handle = (int)syscall(SYS_TERMINAL_CREATE, authority, TERMINAL_CONSOLE);
    if (handle < 0) {
        fail("no terminal");
    }
    screen_use(handle);
    tty_init(tty);
    if (served_attach(&console, handle, endpoint) < 0) {
        fail("the terminal cannot be served");
    }
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

static bool has_deadlines(void) { return query.waiting || screen_is_open(); }

static uint64_t patience(void) {
    if (!has_deadlines()) {
        return IPC_FOREVER;
    }
    const uint64_t time = served_now(), screen = screen_patience(time);
    const uint64_t asking = !query.waiting ? IPC_FOREVER : asking_until > time ? asking_until - time : 0;
    return asking < screen ? asking : screen;
}

static void do_what_is_due(void) {
    if (!has_deadlines()) {
        return;
    }
    const uint64_t time = served_now();
    if (query.waiting && time >= asking_until) {
        give_up_asking();
    }
    screen_refresh(time);
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
        if (status == 0 && ipc.label == IPC_NOTIFICATION) {
            serve_keyboard();
            serve_port();
        } else if (status == 0) {
            answer_call(&ipc);
            answered = false;
        }
        do_what_is_due();
        served_publish(&console, tty_events(tty));
    }
}

/* To the terminal that this program serves: to write to it would be to wait for oneself. */
static void complain(const char *what) {
    char text[128];
    const int length = snprintf(text, sizeof text, "console: %s: %s\n", what, strerror(errno));
    tty_write(tty, (const uint8_t *)text, (size_t)length);
}

/* Without one the kernel goes on drawing, and the serial port is there in any case. */
static void take_screen(int authority) {
    const int messages = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    if (!screen_open(authority, messages, &tty->size)) {
        complain("the screen");
        return;
    }
    if (!keyboard_open(authority, endpoint, BIT_KEYBOARD)) {
        complain("the keyboard");
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
    if (argc > 1 && strcmp(argv[1], "--screen") == 0) {
        take_screen(right);
    }
    close(right);
    leave_standard_handles();
    if (argc > 1 && strcmp(argv[1], "--ask-size") == 0) {
        ask_size();
    }
    serve_port();
    served_publish(&console, tty_events(tty));
    serve();
}
