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
#include "kernel/permission.h"
#include "kernel/print.h"
#include "kernel/process.h"
#include "kernel/pty.h"
#include "kernel/server.h"
#include "kernel/signal.h"
#include "kernel/string.h"
#include "kernel/time.h"
#include "mm/heap.h"

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

void terminal_begin(struct terminal *terminal) {
    terminal->refs = 1;
    enter(terminal);
}

enum status terminal_create(struct terminal **out) {
    *out = global_alloc(sizeof(**out));
    if (*out == NULL)
        return ERR_NO_MEMORY;
    terminal_begin(*out);
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
    if (terminal->is_pty)
        pty_free(terminal);
    else
        global_free(terminal, sizeof(*terminal));
}

struct terminal *terminal_of_caller(void) {
    struct terminal *found = NULL;
    spin_lock(&terminals_lock);
    list_for_each(link, &terminals) {
        struct terminal *terminal = container_of(link, struct terminal, link);
        if (terminal_is_own(terminal) && !terminal->hung_up) {
            found = terminal;
            found->refs++;
            break;
        }
    }
    spin_unlock(&terminals_lock);
    return found;
}

struct terminal *terminal_find_pty(const struct inode *inode) {
    struct terminal *found = NULL;
    spin_lock(&terminals_lock);
    list_for_each(link, &terminals) {
        struct terminal *terminal = container_of(link, struct terminal, link);
        if (terminal->is_pty && pty_inode(terminal) == inode) {
            found = terminal;
            found->refs++;
            break;
        }
    }
    spin_unlock(&terminals_lock);
    return found;
}

uint32_t terminal_device_of(uint32_t session) {
    enum { CONSOLE = 5 << 8 | 1 };
    uint32_t device = 0;
    spin_lock(&terminals_lock);
    list_for_each(link, &terminals) {
        const struct terminal *terminal = container_of(link, struct terminal, link);
        if (session != 0 && terminal->session == session)
            device = terminal->is_pty ? pty_device(terminal) : CONSOLE;
    }
    spin_unlock(&terminals_lock);
    return device;
}

/* --- Its end ------------------------------------------------------------------------------------------------------ */

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

void terminal_hang_up(struct terminal *terminal) {
    spin_lock(&terminal->lock);
    bool before = terminal->hung_up;
    terminal->hung_up = true;
    note_change(terminal);
    spin_unlock(&terminal->lock);
    if (before)
        return;
    if (terminal->server != NULL) {
        if (terminal->is_pty)
            server_notify(terminal->server,
                          terminal->id != 0 ? 1UL << terminal->id % TERMINAL_HANG_UP_BITS : UINT64_MAX);
        server_abandon(terminal->server);
    }
    terminal_hang_up_session(terminal);
}

void terminal_release(struct terminal *terminal) {
    spin_lock(&terminal->lock);
    const bool last = --terminal->holders == 0, hangs_up = last && !terminal->is_console;
    spin_unlock(&terminal->lock);
    if (last && terminal->is_console)
        screen_leave_to_server(false);
    if (hangs_up)
        terminal_hang_up(terminal);
    terminal_unref(terminal);
}

/* --- Files -------------------------------------------------------------------------------------------------------- */

enum status terminal_enter(struct terminal *terminal) {
    const bool root = permitted_as_root();
    enum status status = ERR_IO;
    spin_lock(&terminal->lock);
    if (terminal->exclusive && terminal->files > 0 && !root) {
        status = ERR_BUSY;
    } else if (!terminal->hung_up && !terminal->locked) {
        terminal->was_opened = true;
        if (terminal->files++ == 0)
            note_change(terminal);
        status = OK;
    }
    spin_unlock(&terminal->lock);
    return status;
}

void terminal_leave(struct terminal *terminal) {
    spin_lock(&terminal->lock);
    if (--terminal->files == 0) {
        terminal->exclusive = false;
        note_change(terminal);
    }
    spin_unlock(&terminal->lock);
}

bool terminal_is_left(const struct terminal *terminal) {
    return terminal->was_opened && __atomic_load_n(&terminal->files, __ATOMIC_ACQUIRE) == 0;
}

/* --- What servers say --------------------------------------------------------------------------------------------- */

/* The first server makes the lasting part of it. */
static enum status attach_first(struct terminal *terminal, struct endpoint *endpoint,
                                const struct terminal_state *state) {
    struct server *server;
    enum status status = server_create(endpoint, TIMEOUT_NS, &server);
    if (status != OK)
        return status;
    spin_lock(&terminal->lock);
    const bool hung_up = terminal->hung_up; /* who opened it was killed meanwhile */
    const bool first = terminal->server == NULL && !hung_up;
    if (first) {
        terminal->server = server;
        terminal->state = *state;
        note_change(terminal);
    }
    spin_unlock(&terminal->lock);
    if (first)
        return OK;
    server_unref(server);
    return hung_up ? ERR_IO : ERR_BUSY;
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

enum status terminal_set_events(struct terminal *terminal, uint32_t events) {
    spin_lock(&terminal->lock);
    const enum status status = terminal->hung_up ? ERR_IO : OK;
    terminal->events = events & EVENTS_OF_SERVERS;
    terminal->master_events = events >> TERMINAL_MASTER_EVENTS & (EVENTS_OF_SERVERS | POLLPRI);
    note_change(terminal);
    spin_unlock(&terminal->lock);
    return status;
}

void terminal_set_state(struct terminal *terminal, const struct terminal_state *state) {
    spin_lock(&terminal->lock);
    bool resized = memcmp(&state->size, &terminal->state.size, sizeof(state->size)) != 0;
    terminal->state = *state;
    spin_unlock(&terminal->lock);
    if (resized)
        terminal_signal(terminal, SIGWINCH);
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
static enum status ask_once(const struct terminal *terminal, struct question *question, bool *again,
                            uint64_t *deadline) {
    struct message message = {
        .label = question->label,
        .word = {question->word[0], question->word[1], question->word[2] | (uint64_t)terminal->id << TERMINAL_ID_SHIFT},
        .bytes = question->bytes,
        .user_bytes = question->user_bytes,
        .length = question->length,
        .user_buffer = question->user_buffer,
        .room = question->room,
    };
    enum status status = server_call(terminal->server, &message);
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

enum status terminal_ask(const struct file *file, struct question *question, bool may_wait) {
    const uint64_t begun = time_monotonic();
    struct terminal *terminal = file->target;
    for (;;) {
        uint32_t seen = __atomic_load_n(&terminal->changes, __ATOMIC_SEQ_CST);
        uint64_t deadline = WAIT_FOREVER;
        bool again = true;
        enum status status = OK;
        /* Before the question: what was written before the last one left is in the answer. */
        const bool last = question->label == TERMINAL_TAKE && terminal_is_left(terminal);
        if (terminal->hung_up)
            return ERR_IO;
        if (question->label == TERMINAL_READ)
            question->word[1] = time_monotonic() - begun;
        if (terminal->server != NULL)
            status = ask_once(terminal, question, &again, &deadline);
        if (!again || status != OK)
            return status;
        if (last)
            return ERR_IO;
        if (!may_wait)
            return ERR_WOULD_BLOCK;
        status = wait_for_change(terminal, seen, deadline);
        if (status != OK)
            return status;
    }
}
