/*
 * Owns: all terminals; who serves them, and how the kernel asks. They as files are terminal_file.c's.
 *
 * The server never keeps a caller waiting: it says EAGAIN, and who waits does so here, where signals, O_NONBLOCK and
 * poll() are. What crosses lies in the message, nowhere else.
 * Locks: terminal->lock for its state; terminals_lock (also rank PIPE, never with the other) for the list and
 * references. Stays in the restricted space.
 */
#include "kernel/terminal.h"

#include "kernel/endpoint.h"
#include "kernel/file_abi.h"
#include "kernel/process.h"
#include "kernel/server.h"
#include "kernel/signal.h"
#include "kernel/string.h"
#include "kernel/time.h"
#include "mm/heap.h"

#define SIGHUP            1
#define SIGWINCH          28
#define LABEL_AGAIN       11U /* EAGAIN */
#define EVENTS_OF_SERVERS (POLLIN | POLLRDNORM | POLLOUT | POLLWRNORM)
#define TIMEOUT_NS        (10 * NS_PER_SECOND)

static struct spinlock terminals_lock = SPINLOCK_INIT(RANK_PIPE);
static struct list terminals;
static struct terminal console = {.refs = 1, .is_console = true, .foreground = 1, .session = 1};

/* --- Life --------------------------------------------------------------------------------------------------------- */

static void enter(struct terminal *terminal) {
    spin_init(&terminal->lock, RANK_PIPE);
    wait_queue_init(&terminal->changed);
    spin_lock(&terminals_lock);
    list_push_back(&terminals, &terminal->link);
    spin_unlock(&terminals_lock);
}

void terminal_init(void) {
    list_init(&terminals);
    enter(&console);
}

enum status terminal_create(struct terminal **out) {
    *out = global_alloc(sizeof(**out));
    if (*out == NULL)
        return ERR_NO_MEMORY;
    (*out)->refs = 1;
    enter(*out);
    return OK;
}

void terminal_ref(struct terminal *terminal) {
    spin_lock(&terminals_lock);
    terminal->refs++;
    spin_unlock(&terminals_lock);
}

struct terminal *terminal_console(void) {
    terminal_ref(&console);
    return &console;
}

void terminal_unref(struct terminal *terminal) {
    spin_lock(&terminals_lock);
    bool last = --terminal->refs == 0;
    if (last)
        list_remove(&terminal->link);
    spin_unlock(&terminals_lock);
    if (!last)
        return;
    if (terminal->server != NULL)
        server_unref(terminal->server);
    global_free(terminal, sizeof(*terminal));
}

struct terminal *terminal_of_caller(void) {
    const uint32_t session = process_current()->session;
    struct terminal *found = NULL;
    spin_lock(&terminals_lock);
    list_for_each(link, &terminals) {
        struct terminal *terminal = container_of(link, struct terminal, link);
        if (terminal->session == session && !terminal->hung_up) {
            found = terminal;
            found->refs++;
            break;
        }
    }
    spin_unlock(&terminals_lock);
    return found;
}

/* --- What servers say --------------------------------------------------------------------------------------------- */

/* Lock held. */
static void note_change(struct terminal *terminal) {
    terminal->changes++;
    wake_all(&terminal->changed);
}

void terminal_hold(struct terminal *terminal) {
    terminal_ref(terminal);
    spin_lock(&terminal->lock);
    terminal->holders++;
    spin_unlock(&terminal->lock);
}

void terminal_release(struct terminal *terminal) {
    spin_lock(&terminal->lock);
    bool hangs_up = --terminal->holders == 0 && !terminal->is_console;
    if (hangs_up) {
        terminal->hung_up = true;
        note_change(terminal);
    }
    spin_unlock(&terminal->lock);
    if (hangs_up && terminal->server != NULL)
        server_abandon(terminal->server);
    if (hangs_up)
        terminal_signal(terminal, SIGHUP);
    terminal_unref(terminal);
}

/* The first server makes the lasting part of it. */
static enum status attach_first(struct terminal *terminal, struct endpoint *endpoint,
                                const struct terminal_state *state) {
    struct server *server;
    enum status status = server_create(endpoint, TIMEOUT_NS, &server);
    if (status != OK)
        return status;
    spin_lock(&terminal->lock);
    bool first = terminal->server == NULL;
    if (first) {
        terminal->server = server;
        terminal->state = *state;
        note_change(terminal);
    }
    spin_unlock(&terminal->lock);
    if (first)
        return OK;
    server_unref(server);
    return ERR_BUSY;
}

enum status terminal_attach(struct terminal *terminal, struct endpoint *endpoint, struct terminal_state *state) {
    if (terminal->server == NULL)
        return attach_first(terminal, endpoint, state);
    if (server_is_attached(terminal->server))
        return ERR_BUSY;
    spin_lock(&terminal->lock);
    *state = terminal->state;
    terminal->events = 0; /* until it says otherwise */
    spin_unlock(&terminal->lock);
    server_attach(terminal->server, endpoint);
    spin_lock(&terminal->lock);
    note_change(terminal); /* it knows of nobody who waits */
    spin_unlock(&terminal->lock);
    return OK;
}

void terminal_set_events(struct terminal *terminal, uint32_t events) {
    spin_lock(&terminal->lock);
    terminal->events = events & EVENTS_OF_SERVERS;
    note_change(terminal);
    spin_unlock(&terminal->lock);
}

void terminal_set_state(struct terminal *terminal, const struct terminal_state *state) {
    spin_lock(&terminal->lock);
    bool resized = memcmp(&state->size, &terminal->state.size, sizeof(state->size)) != 0;
    terminal->state = *state;
    spin_unlock(&terminal->lock);
    if (resized)
        terminal_signal(terminal, SIGWINCH);
}

void terminal_signal(struct terminal *terminal, int number) {
    if (terminal->foreground != 0 && signal_send_group(terminal->foreground, number, NULL) != OK)
        return; /* nobody is in the foreground */
}

/* --- Asking ------------------------------------------------------------------------------------------------------- */

/* Sleeps until something has changed since `seen`. ERR_RESTART; OK also when the time has come. */
static enum status wait_for_change(struct terminal *terminal, uint32_t seen, uint64_t deadline) {
    struct waiter waiter;
    enum status status = OK;
    wait_begin(&terminal->changed, &waiter);
    if (__atomic_load_n(&terminal->changes, __ATOMIC_SEQ_CST) == seen)
        status = wait_sleep(deadline);
    wait_end(&waiter);
    if (status == ERR_TIMED_OUT || status == OK)
        return signal_pending() ? ERR_RESTART : OK;
    return status;
}

/* One question, one answer; *again: it is EAGAIN, and when to ask anew at the latest. */
static enum status ask_once(struct server *server, struct question *question, bool *again, uint64_t *deadline) {
    struct message message = {
        .label = question->label,
        .word = {question->word[0], question->word[1], question->word[2]},
        .bytes = question->bytes,
        .user_bytes = question->user_bytes,
        .length = question->length,
        .user_buffer = question->user_buffer,
        .room = question->room,
    };
    enum status status = server_call(server, &message);
    if (status != OK)
        return status;
    *again = message.label == LABEL_AGAIN;
    if (*again && message.word[0] != TERMINAL_FOREVER) {
        uint64_t now = time_monotonic();
        if (__builtin_add_overflow(now, message.word[0], deadline))
            *deadline = WAIT_FOREVER;
    }
    question->number = message.word[0];
    if (!*again)
        question->room = message.room;
    return *again ? OK : server_verdict(message.label);
}

enum status terminal_ask(struct terminal *terminal, struct question *question, bool may_wait) {
    const uint64_t begun = time_monotonic();
    for (;;) {
        uint32_t seen = __atomic_load_n(&terminal->changes, __ATOMIC_SEQ_CST);
        uint64_t deadline = WAIT_FOREVER;
        bool again = true;
        enum status status = OK;
        if (terminal->hung_up)
            return ERR_IO;
        if (question->label == TERMINAL_READ)
            question->word[1] = time_monotonic() - begun;
        if (terminal->server != NULL)
            status = ask_once(terminal->server, question, &again, &deadline);
        if (!again || status != OK)
            return status;
        if (!may_wait)
            return ERR_WOULD_BLOCK;
        status = wait_for_change(terminal, seen, deadline);
        if (status != OK)
            return status;
    }
}
