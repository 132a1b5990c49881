/*
 * See served_terminal.h. No state but the caller's; one thread.
 */
#include "drivers/lib/served_terminal.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#include "user/lib/native.h"

uint64_t served_now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * UINT64_C(1000000000) + (uint64_t)time.tv_nsec;
}

int served_attach(struct served_terminal *served, int handle, int endpoint) {
    struct tty *tty = &served->tty;
    served->handle = handle;
    served->published = (struct terminal_state){.settings = tty->settings, .size = tty->size};
    if (syscall(SYS_TERMINAL_ATTACH, handle, endpoint, &served->published) < 0) {
        return -1;
    }
    tty->settings = served->published.settings;
    tty->size = served->published.size;
    return 0;
}

void served_say(struct served_terminal *served, struct ipc *ipc, enum tty_result result, uint64_t word, uint64_t wait) {
    static const uint32_t labels[] = {
        [TTY_DONE] = 0, [TTY_AGAIN] = EAGAIN, [TTY_UNKNOWN] = ENOTTY, [TTY_INVALID] = EINVAL};
    ipc->label = labels[result];
    ipc->word[0] = result == TTY_AGAIN ? wait : word;
    if (result == TTY_AGAIN) {
        served->somebody_waits = true;
        served->changed = false;
    }
}

void served_read(struct served_terminal *served, struct ipc *ipc, uint8_t *answer) {
    size_t count = 0, room = ipc->word[0] < TERMINAL_READ_BYTES ? ipc->word[0] : TERMINAL_READ_BYTES;
    uint64_t wait, elapsed = ipc->word[1];
    bool nonblock = ipc->word[2] & TERMINAL_NONBLOCK;
    enum tty_result result = tty_read(&served->tty, answer, room, elapsed, nonblock, served_now(), &count, &wait);
    served_say(served, ipc, result, count, wait);
    ipc->extra->length = (uint32_t)count;
    served->changed = served->changed || count > 0;
}

void served_control(struct served_terminal *served, struct ipc *ipc, const uint8_t *came) {
    uint64_t number = 0;
    enum tty_result result =
        tty_control(&served->tty, (uint32_t)ipc->word[0], ipc->word[1], came, ipc->extra->room, &number);
    served_say(served, ipc, result, number, TERMINAL_FOREVER);
    served->changed = served->changed || result == TTY_DONE;
}

static void publish_state(struct served_terminal *served) {
    const struct terminal_state state = {.settings = served->tty.settings, .size = served->tty.size};
    if (memcmp(&state, &served->published, sizeof state) != 0) {
        served->published = state;
        syscall(SYS_TERMINAL_STATE, served->handle, &state);
    }
}

static void publish_signals(struct served_terminal *served) {
    struct tty *tty = &served->tty;
    while (tty->signals != 0) {
        int signal = __builtin_ctzll(tty->signals);
        tty->signals &= tty->signals - 1;
        syscall(SYS_TERMINAL_SIGNAL, served->handle, signal);
    }
}

void served_publish(struct served_terminal *served, uint32_t events) {
    publish_state(served);
    publish_signals(served);
    if (events != served->published_events || (served->somebody_waits && served->changed)) {
        served->published_events = events;
        served->somebody_waits = false;
        syscall(SYS_TERMINAL_EVENTS, served->handle, events);
    }
    served->changed = false;
}
