/*
 * Owns the terminal on the screen, and when it is drawn: at once when something has changed, but not more often than
 * FRAME_NS; the status line each STATUS_NS, and with it what the kernel and init have said since.
 */
#include "drivers/console/screen.h"

#include <errno.h>
#include <string.h>
#include <sys/klog.h>
#include <sys/types.h>

#include "drivers/console/display.h"
#include "drivers/console/status.h"
#include "drivers/console/vt.h"
#include "user/lib/native.h"

#define FRAME_NS    UINT64_C(20000000)
#define STATUS_NS   UINT64_C(500000000)
#define STATUS_SIZE (VT_COLUMNS_MAX + 1)

enum { KLOG_READ = 2, LEVEL_BYTES = 3 }; /* "<6>" */

static int terminal = -1;
static int messages = -1;              /* a pipe with what init says, which the kernel prints on the serial port */
static bool kernel_draws = true, open; /* neither: there is no screen */
static struct vt vt;
static bool changed = true;        /* since it was drawn */
static uint64_t drawn_at, told_at; /* when it was drawn, and the status line made. 0: never */

void screen_use(int which) { terminal = which; }

bool screen_is_open(void) { return open; }

bool screen_has_application_keys(void) { return vt.application_keys; }

bool screen_open(int authority, int pipe, struct terminal_size *size) {
    uint32_t columns, lines;
    if (!display_open(authority, terminal, &columns, &lines)) {
        return false;
    }
    vt_init(&vt, columns, lines);
    size->columns = (uint16_t)columns;
    size->rows = (uint16_t)lines;
    messages = pipe;
    kernel_draws = false;
    open = true;
    return true;
}

void screen_show(const uint8_t *bytes, size_t count) {
    if (open) {
        vt_write(&vt, bytes, count);
        changed = true;
    } else if (kernel_draws && syscall(SYS_TERMINAL_SHOW, terminal, bytes, count) < 0 && errno == ENXIO) {
        kernel_draws = false;
    }
}

size_t screen_take_answer(char *to, size_t room) {
    const size_t count = vt.answer_length < room ? vt.answer_length : room;
    memcpy(to, vt.answer, count);
    vt.answer_length = 0;
    return count;
}

/* Text whose lines each begin with `mark` bytes that are not shown. */
static void show_lines(const char *text, ssize_t count, unsigned mark, unsigned *skipped) {
    for (ssize_t i = 0; i < count; i++) {
        if (*skipped < mark) {
            (*skipped)++;
            continue;
        }
        if (text[i] == '\n') {
            vt_write(&vt, (const uint8_t *)"\r", 1);
            *skipped = 0;
        }
        vt_write(&vt, (const uint8_t *)&text[i], 1);
    }
    changed = true;
}

/* Not into the middle of a sequence, and not into what a program draws on the alternate screen. */
void screen_show_messages(void) {
    static unsigned kernel_skipped, skipped;
    char text[256];
    ssize_t count;
    if (!open || vt.state != VT_GROUND || vt.code_left > 0 || vt.alternate) {
        return;
    }
    while ((count = klogctl(KLOG_READ, text, sizeof text)) > 0) {
        show_lines(text, count, LEVEL_BYTES, &kernel_skipped);
    }
    while (messages >= 0 && (count = read(messages, text, sizeof text)) > 0) {
        show_lines(text, count, 0, &skipped);
    }
}

static void tell_status(uint64_t now) {
    char text[STATUS_SIZE];
    const uint8_t paper = status_line(text, sizeof text, now);
    display_status(text, paper);
}

void screen_refresh(uint64_t now) {
    if (!open) {
        return;
    }
    if (told_at == 0 || now - told_at >= STATUS_NS) {
        told_at = now;
        screen_show_messages();
        tell_status(now);
    }
    if (changed && (drawn_at == 0 || now - drawn_at >= FRAME_NS)) {
        drawn_at = now;
        changed = false;
        display_draw(&vt);
    }
}

uint64_t screen_patience(uint64_t now) {
    uint64_t until = told_at + STATUS_NS;
    if (!open) {
        return IPC_FOREVER;
    }
    if (changed && drawn_at + FRAME_NS < until) {
        until = drawn_at + FRAME_NS;
    }
    return until > now ? until - now : 0;
}
