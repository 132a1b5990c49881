/*
 * Terminals that a process serves: a child of each case is the server, does what the case tells it, and notes what it
 * was asked. Last, the real console.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "kernel/terminal_abi.h"
#include "tests/user/lib/penumbra.h"
#include "tests/user/lib/test.h"
#include "user/lib/native.h"

enum behaviour {
    ORDERLY,
    DIES,        /* when it is asked the next time */
    TAKES_EXTRA, /* says that it took more than there was */
    TAKES_NONE,  /* says that it took nothing, without saying EAGAIN */
    BAD_LABEL,   /* answers what is no errno */
    TOO_LONG,    /* answers with more bytes than were asked for */
    NEVER_READY, /* says EAGAIN, and that something has changed, again and again */
};

/* What case and server share. */
struct script {
    enum behaviour behaviour;
    uint32_t takes;   /* bytes of a write, at most */
    char typed[4096]; /* what reads get */
    uint32_t typed_count;
    char written[131072];
    uint32_t written_count;
    uint32_t calls, reads, writes, controls; /* how often it was asked */
    uint64_t command, argument;              /* of the last ioctl */
    struct terminal_state state;
    int signal; /* to send */
    uint32_t ready;
};

/* Notifications to the server. */
enum { EVENTS = 1, SIGNAL = 2, STATE = 4, DIE = 8 };

static volatile struct script *script;
static int terminal, endpoint, opened;
static pid_t server;

/* --- The server --------------------------------------------------------------------------------------------------- */

static void say_events(void) {
    uint32_t events =
        (script->typed_count > 0 ? POLLIN | POLLRDNORM : 0) | (script->takes > 0 ? POLLOUT | POLLWRNORM : 0);
    CHECK_OK(syscall(SYS_TERMINAL_EVENTS, terminal, events));
}

static void say_state(void) {
    struct terminal_state state = script->state;
    CHECK_OK(syscall(SYS_TERMINAL_STATE, terminal, &state));
}

static void notified(uint64_t bits) {
    if (bits & DIE) {
        _exit(0);
    }
    if (bits & EVENTS) {
        say_events();
    }
    if (bits & SIGNAL) {
        CHECK_OK(syscall(SYS_TERMINAL_SIGNAL, terminal, script->signal));
    }
    if (bits & STATE) {
        say_state();
    }
    script->ready++;
}

static void again(struct ipc *ipc) {
    ipc->label = EAGAIN;
    ipc->word[0] = TERMINAL_FOREVER;
}

static void serve_read(struct ipc *ipc, char *answer) {
    uint32_t count = script->typed_count < ipc->word[0] ? script->typed_count : (uint32_t)ipc->word[0];
    script->reads++;
    if (count == 0) {
        again(ipc);
        return;
    }
    for (uint32_t i = 0; i < count; i++) {
        answer[i] = script->typed[i];
    }
    for (uint32_t i = count; i < script->typed_count; i++) {
        script->typed[i - count] = script->typed[i];
    }
    script->typed_count -= count;
    say_events();
    ipc->label = 0;
    ipc->extra->length = count;
}

static void serve_write(struct ipc *ipc, const char *came) {
    uint32_t count = ipc->extra->room < script->takes ? ipc->extra->room : script->takes;
    script->writes++;
    if (count == 0) {
        again(ipc);
        return;
    }
    for (uint32_t i = 0; i < count && script->written_count < sizeof(script->written); i++) {
        script->written[script->written_count++] = came[i];
    }
    ipc->label = 0;
    ipc->word[0] = count;
}

static void serve_control(struct ipc *ipc, const char *came) {
    struct terminal_state state = script->state;
    script->controls++;
    script->command = ipc->word[0];
    script->argument = ipc->word[1];
    ipc->label = 0;
    if (ipc->word[0] == TCSETS) {
        CHECK_EQ(ipc->extra->room, sizeof(state.settings));
        memcpy(&state.settings, came, sizeof(state.settings));
    } else if (ipc->word[0] == TIOCSWINSZ) {
        CHECK_EQ(ipc->extra->room, sizeof(state.size));
        memcpy(&state.size, came, sizeof(state.size));
    } else if (ipc->word[0] == TCXONC) {
        ipc->label = EINVAL;
    }
    script->state = state;
    ipc->word[0] = 7;
    say_state();
}

static void misbehave(struct ipc *ipc) {
    static char much[TERMINAL_READ_BYTES + 1];
    ipc->label = script->behaviour == BAD_LABEL ? 4711 : 0;
    ipc->word[0] = script->behaviour == TAKES_EXTRA ? ipc->extra->room + 1 : 0;
    if (script->behaviour == DIES) {
        _exit(0);
    }
    if (script->behaviour == TOO_LONG) {
        ipc->extra->bytes = (uintptr_t)much;
        ipc->extra->length = sizeof(much);
    }
    if (script->behaviour == NEVER_READY) {
        ipc->label = EAGAIN;
        ipc->word[0] = 0;
        say_events();
    }
}

static _Noreturn void serve(void) {
    static char came[65536], answer[TERMINAL_READ_BYTES];
    struct ipc_extra extra = {.buffer = (uintptr_t)came, .timeout_ns = IPC_FOREVER};
    struct ipc ipc = {.extra = &extra};
    script->ready++;
    for (bool answered = true;;) {
        extra.room = sizeof(came);
        if ((answered ? ipc_receive(endpoint, &ipc) : ipc_reply_receive(endpoint, &ipc)) < 0) {
            answered = true; /* the answer was refused */
            continue;
        }
        answered = ipc.label == IPC_NOTIFICATION;
        extra.length = 0;
        extra.bytes = (uintptr_t)answer;
        if (answered) {
            notified(ipc.word[0]);
            continue;
        }
        script->calls++;
        if (script->behaviour != ORDERLY) {
            misbehave(&ipc);
        } else if (ipc.label == TERMINAL_READ) {
            serve_read(&ipc, answer);
        } else if (ipc.label == TERMINAL_WRITE) {
            serve_write(&ipc, came);
        } else {
            CHECK_EQ(ipc.label, TERMINAL_CONTROL);
            serve_control(&ipc, came);
        }
    }
}

static void wait_until(volatile uint32_t *count, uint32_t least) {
    while (__atomic_load_n(count, __ATOMIC_SEQ_CST) < least) {
        test_sleep_ms(1);
    }
}

/* Has the server do something, and waits until it has. */
static void tell(uint64_t bits) {
    uint32_t before = script->ready;
    CHECK_OK(ipc_notify(endpoint, bits));
    wait_until(&script->ready, before + 1);
}

/* A server for `terminal`, attached, in a process of its own; this one can only notify it. */
static void start_server(void) {
    struct terminal_state state = script->state;
    uint32_t before = script->ready;
    int full = (int)CHECK_OK(endpoint_create());
    CHECK_OK(syscall(SYS_TERMINAL_ATTACH, terminal, full, &state));
    script->state = state;
    server = (pid_t)CHECK_OK(fork());
    endpoint = full;
    if (server == 0) {
        close(opened);
        serve();
    }
    wait_until(&script->ready, before + 1);
    endpoint = (int)CHECK_OK(handle_mint(full, RIGHT_NOTIFY, 0));
    CHECK_OK(close(full));
}

static void begin(void) {
    test_needs_penumbra();
    script = mmap(NULL, sizeof(*script), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(script != MAP_FAILED);
    script->takes = UINT32_MAX;
    script->state.size.rows = 24;
    script->state.size.columns = 80;
    script->state.settings.local = ICANON;
    terminal = (int)CHECK_OK(syscall(SYS_TERMINAL_CREATE, -1, NULL));
    opened = (int)CHECK_OK(syscall(SYS_TERMINAL_OPEN, terminal));
    start_server();
    tell(EVENTS);
}

static void end(void) {
    kill(server, SIGKILL);
    test_wait(server);
}

static void type(const char *keys) {
    strcpy((char *)script->typed, keys);
    script->typed_count = (uint32_t)strlen(keys);
    tell(EVENTS);
}

static void expect_written(const char *text) {
    CHECK_EQ(script->written_count, strlen(text));
    CHECK(memcmp((const char *)script->written, text, strlen(text)) == 0);
}

/* --- Rights ------------------------------------------------------------------------------------------------------- */

static void rights(void) {
    struct terminal_state state = {0};
    int pipe_ends[2];
    begin();
    CHECK_ERRNO(syscall(SYS_TERMINAL_CREATE, -1, "console"), EBADF);
    CHECK_ERRNO(syscall(SYS_TERMINAL_CREATE, terminal, "console"), EINVAL);
    CHECK_ERRNO(syscall(SYS_TERMINAL_CREATE, -1, 8), EFAULT);
    CHECK_ERRNO(syscall(SYS_TERMINAL_ATTACH, terminal, endpoint, &state), EACCES); /* it cannot be called */
    int other = (int)CHECK_OK(endpoint_create());
    CHECK_ERRNO(syscall(SYS_TERMINAL_ATTACH, terminal, other, &state), EBUSY);
    CHECK_ERRNO(syscall(SYS_TERMINAL_ATTACH, terminal, other, 8), EFAULT);
    CHECK_OK(pipe(pipe_ends));
    CHECK_ERRNO(syscall(SYS_TERMINAL_ATTACH, pipe_ends[0], other, &state), EINVAL);
    CHECK_ERRNO(syscall(SYS_TERMINAL_ATTACH, terminal, pipe_ends[0], &state), EINVAL);
    CHECK_ERRNO(syscall(SYS_TERMINAL_OPEN, pipe_ends[0]), EINVAL);
    CHECK_ERRNO(syscall(SYS_TERMINAL_SHOW, terminal, "text", 4), ENXIO);
    CHECK_ERRNO(syscall(SYS_TERMINAL_SCREEN, terminal, &(struct terminal_screen){0}, 1), ENXIO);
    CHECK_ERRNO(syscall(SYS_TERMINAL_SCREEN, pipe_ends[0], &(struct terminal_screen){0}, 1), EINVAL);
    for (int number = -1; number < 70; number++) {
        bool may = number == SIGHUP || number == SIGINT || number == SIGQUIT || number == SIGTSTP;
        errno = 0;
        CHECK_EQ(syscall(SYS_TERMINAL_SIGNAL, terminal, number), may ? 0 : -1);
        CHECK_EQ(errno, may ? 0 : EINVAL);
    }
    int only_opens = (int)CHECK_OK(handle_mint(terminal, RIGHT_CALL, 0));
    int only_serves = (int)CHECK_OK(handle_mint(terminal, RIGHT_RECEIVE, 0));
    CHECK_ERRNO(syscall(SYS_TERMINAL_EVENTS, only_opens, 0), EACCES);
    CHECK_ERRNO(syscall(SYS_TERMINAL_SCREEN, only_opens, &(struct terminal_screen){0}, 1), EACCES);
    CHECK_ERRNO(syscall(SYS_TERMINAL_SIGNAL, only_opens, SIGINT), EACCES);
    CHECK_ERRNO(syscall(SYS_TERMINAL_STATE, only_opens, &state), EACCES);
    CHECK_ERRNO(syscall(SYS_TERMINAL_ATTACH, only_opens, other, &state), EACCES);
    CHECK_ERRNO(syscall(SYS_TERMINAL_OPEN, only_serves), EACCES);
    CHECK_OK(syscall(SYS_TERMINAL_OPEN, only_opens));
    CHECK_ERRNO(read(terminal, &state, 1), EBADF); /* the handle is not the terminal */
    char path[32];
    snprintf(path, sizeof(path), "/proc/self/fd/%d", opened);
    CHECK_ERRNO(open(path, O_RDWR), EPERM); /* it has no name to be opened by */
    end();
}

/* --- Reading and writing ------------------------------------------------------------------------------------------ */

static void lines(void) {
    char line[16];
    begin();
    CHECK_EQ(write(opened, "to the server\n", 14), 14);
    expect_written("to the server\n");
    CHECK_EQ(script->writes, 1);
    type("from it\n");
    CHECK_EQ(read(opened, line, 4), 4);
    CHECK_EQ(read(opened, line + 4, 12), 4);
    CHECK(memcmp(line, "from it\n", 8) == 0);
    CHECK_EQ(read(opened, line, 0), 0);
    CHECK_EQ(write(opened, line, 0), 0);
    CHECK_EQ(script->calls, 3);
    CHECK_ERRNO(lseek(opened, 0, SEEK_SET), ESPIPE);
    CHECK(isatty(opened));
    end();
}

static void piecemeal(void) {
    static char text[50000];
    begin();
    for (size_t i = 0; i < sizeof(text); i++) {
        text[i] = (char)test_byte(i);
    }
    script->takes = 1000;
    CHECK_EQ(write(opened, text, sizeof(text)), sizeof(text));
    CHECK_EQ(script->written_count, sizeof(text));
    CHECK(memcmp((const char *)script->written, text, sizeof(text)) == 0);
    end();
}

/* A write is a message, a read of what is there is one; neither leaves the restricted space. */
static void no_exits(void) {
    char line[16];
    begin();
    struct asi_counters before = penumbra_counters(ASI_SCOPE_ALL);
    for (int i = 0; i < 50; i++) {
        CHECK_EQ(write(opened, "to the server\n", 14), 14);
        type("from it\n");
        CHECK_EQ(read(opened, line, sizeof(line)), 8);
    }
    struct asi_counters after = penumbra_counters(ASI_SCOPE_ALL);
    CHECK_EQ(script->calls, 100);
    if (penumbra_state().mode == ASI_MODE_ASI) {
        CHECK_EQ(penumbra_exits(&after) - penumbra_exits(&before), 0);
    }
    end();
}

static void bad_addresses(void) {
    char *pages = mmap(NULL, 2 * TEST_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(pages != MAP_FAILED);
    CHECK_OK(munmap(pages + TEST_PAGE, TEST_PAGE));
    begin();
    CHECK_ERRNO(write(opened, (void *)8, 5), EFAULT);
    CHECK_EQ(script->writes, 0);
    type("abc\n");
    CHECK_EQ(read(opened, pages + TEST_PAGE - 4, 100), 4); /* what is not needed need not be there */
    type("abcdef\n");
    CHECK_ERRNO(read(opened, pages + TEST_PAGE - 4, 100), EFAULT);
    CHECK_ERRNO(ioctl(opened, TCGETS, 8), EFAULT);
    CHECK_ERRNO(ioctl(opened, TCSETS, 8), EFAULT);
    CHECK_ERRNO(ioctl(opened, FIONREAD, 8), EFAULT);
    CHECK_EQ(script->controls, 1); /* FIONREAD's */
    end();
}

static void nonblocking(void) {
    char byte;
    begin();
    CHECK_OK(fcntl(opened, F_SETFL, O_NONBLOCK));
    CHECK_ERRNO(read(opened, &byte, 1), EAGAIN);
    script->takes = 3;
    CHECK_EQ(write(opened, "abcdef", 6), 6);
    script->takes = 0;
    tell(EVENTS);
    CHECK_ERRNO(write(opened, "x", 1), EAGAIN);
    expect_written("abcdef");
    type("y");
    CHECK_EQ(read(opened, &byte, 1), 1);
    end();
}

/* In `ms` the parent's process gets a signal, or the server something to do. */
static pid_t later(int ms, int signal, uint64_t bits) {
    pid_t parent = getpid(), child = (pid_t)CHECK_OK(fork());
    if (child != 0) {
        return child;
    }
    test_sleep_ms(ms);
    if (signal != 0) {
        kill(parent, signal);
    } else {
        ipc_notify(endpoint, bits);
    }
    _exit(0);
}

static volatile int handled;
static void handle(int number) { handled = number; }

static void handle_signal(int number, int flags) {
    struct sigaction action = {.sa_handler = handle, .sa_flags = flags};
    CHECK_OK(sigaction(number, &action, NULL));
}

static void waits(void) {
    char line[8];
    begin();
    strcpy((char *)script->typed, "late\n");
    pid_t child = (pid_t)CHECK_OK(fork());
    if (child == 0) {
        wait_until(&script->reads, 1);
        test_sleep_ms(20);
        script->typed_count = 5;
        ipc_notify(endpoint, EVENTS);
        _exit(0);
    }
    CHECK_EQ(read(opened, line, sizeof(line)), 5);
    CHECK_EXITED(test_wait(child));
    script->takes = 0;
    tell(EVENTS);
    child = (pid_t)CHECK_OK(fork());
    if (child == 0) {
        wait_until(&script->writes, 1);
        test_sleep_ms(20);
        script->takes = 100;
        ipc_notify(endpoint, EVENTS);
        _exit(0);
    }
    CHECK_EQ(write(opened, "text", 4), 4);
    CHECK_EXITED(test_wait(child));
    end();
}

static void interrupted(void) {
    char byte;
    begin();
    handle_signal(SIGUSR1, 0);
    pid_t child = later(30, SIGUSR1, 0);
    CHECK_ERRNO(read(opened, &byte, 1), EINTR);
    test_wait(child);
    script->takes = 0;
    tell(EVENTS);
    child = later(30, SIGUSR1, 0);
    CHECK_ERRNO(write(opened, "x", 1), EINTR);
    test_wait(child);
    CHECK_EQ(handled, SIGUSR1);
    handle_signal(SIGUSR1, SA_RESTART);
    handled = 0;
    strcpy((char *)script->typed, "z");
    child = later(20, SIGUSR1, 0);
    pid_t other = (pid_t)CHECK_OK(fork());
    if (other == 0) {
        test_sleep_ms(60);
        script->typed_count = 1;
        ipc_notify(endpoint, EVENTS);
        _exit(0);
    }
    CHECK_EQ(read(opened, &byte, 1), 1);
    CHECK_EQ(handled, SIGUSR1);
    test_wait(child);
    test_wait(other);
    end();
}

static void killed(void) {
    char byte;
    begin();
    pid_t child = (pid_t)CHECK_OK(fork());
    if (child == 0) {
        read(opened, &byte, 1);
        _exit(0);
    }
    wait_until(&script->reads, 1);
    kill(child, SIGKILL);
    CHECK_SIGNALED(test_wait(child), SIGKILL);
    end();
}

static void polling(void) {
    struct pollfd entry;
    fd_set set;
    struct timeval soon = {.tv_usec = 1000};
    begin();
    entry = (struct pollfd){.fd = opened, .events = POLLIN | POLLOUT};
    CHECK_EQ(poll(&entry, 1, 0), 1);
    CHECK_EQ(entry.revents, POLLOUT);
    script->takes = 0;
    tell(EVENTS);
    CHECK_EQ(poll(&entry, 1, 0), 0);
    FD_ZERO(&set);
    FD_SET(opened, &set);
    CHECK_EQ(select(opened + 1, &set, NULL, NULL, &soon), 0);
    script->typed_count = 1;
    pid_t child = later(20, 0, EVENTS);
    CHECK_EQ(poll(&entry, 1, 10000), 1);
    CHECK_EQ(entry.revents, POLLIN);
    test_wait(child);
    FD_SET(opened, &set);
    CHECK_EQ(select(opened + 1, &set, NULL, NULL, NULL), 1);
    CHECK_OK(syscall(SYS_TERMINAL_EVENTS, terminal, ~0UL)); /* what a server cannot say is not heard */
    CHECK_EQ(poll(&entry, 1, 0), 1);
    CHECK_EQ(entry.revents, POLLIN | POLLOUT);
    CHECK_EQ(script->calls, 0);
    end();
}

/* --- Settings ----------------------------------------------------------------------------------------------------- */

static void settings(void) {
    struct terminal_settings got;
    struct winsize size;
    int number = 0;
    begin();
    CHECK_OK(ioctl(opened, TCGETS, &got));
    CHECK_EQ(got.local, ICANON);
    CHECK_OK(ioctl(opened, TIOCGWINSZ, &size));
    CHECK_EQ(size.ws_row, 24);
    CHECK_EQ(script->calls, 0); /* the kernel knows */
    got.local = ECHO;
    got.characters[VEOF] = 9;
    CHECK_OK(ioctl(opened, TCSETS, &got));
    CHECK_EQ(script->controls, 1);
    memset(&got, 0, sizeof(got));
    CHECK_OK(ioctl(opened, TCGETS, &got));
    CHECK_EQ(got.local, ECHO);
    CHECK_EQ(got.characters[VEOF], 9);
    CHECK_OK(ioctl(opened, FIONREAD, &number));
    CHECK_EQ(number, 7);
    CHECK_EQ(script->command, FIONREAD);
    CHECK_OK(ioctl(opened, TCFLSH, TCIFLUSH));
    CHECK_EQ(script->command, TCFLSH);
    CHECK_EQ(script->argument, TCIFLUSH);
    CHECK_ERRNO(ioctl(opened, TCXONC, 99), EINVAL); /* as the server says */
    CHECK_EQ(script->argument, 99);
    CHECK_EQ(script->controls, 4);
    CHECK_ERRNO(ioctl(opened, 0x5499, 0), ENOTTY);
    CHECK_EQ(script->controls, 4);
    end();
}

static void window_size(void *unused) {
    struct winsize size = {.ws_row = 50, .ws_col = 132};
    (void)unused;
    begin();
    CHECK_OK(setsid());
    CHECK_OK(ioctl(opened, TIOCSCTTY, 0));
    handle_signal(SIGWINCH, 0);
    CHECK_OK(ioctl(opened, TIOCSWINSZ, &size));
    CHECK_EQ(handled, SIGWINCH);
    handled = 0;
    CHECK_OK(ioctl(opened, TIOCSWINSZ, &size)); /* the same: no news */
    CHECK_EQ(handled, 0);
    script->state.size.rows = 60; /* the server finds out by itself */
    tell(STATE);
    CHECK_EQ(handled, SIGWINCH);
    CHECK_OK(ioctl(opened, TIOCGWINSZ, &size));
    CHECK_EQ(size.ws_row, 60);
    end();
}

/* --- Sessions and groups ------------------------------------------------------------------------------------------ */

/* What a child in the background does; its status says how that ended. */
enum { READS, WRITES, SETS, TAKES };

static _Noreturn void act_in_background(int what, int ignored) {
    struct termios settings;
    char byte = 'b';
    int result = 0;
    CHECK_OK(setpgid(0, 0));
    if (ignored != 0) {
        signal(ignored, SIG_IGN);
    }
    switch (what) {
    case READS:
        result = (int)read(opened, &byte, 1);
        break;
    case WRITES:
        result = (int)write(opened, &byte, 1);
        break;
    case SETS:
        CHECK_OK(tcgetattr(opened, &settings));
        result = tcsetattr(opened, TCSANOW, &settings);
        break;
    default:
        result = tcsetpgrp(opened, getpgrp());
        break;
    }
    _exit(result < 0 ? errno : 0);
}

static void expect_stopped(pid_t child, int number) {
    int status;
    CHECK_EQ(CHECK_OK(waitpid(child, &status, WUNTRACED)), child);
    CHECK(WIFSTOPPED(status));
    CHECK_EQ(WSTOPSIG(status), number);
}

/* It stops, and its call goes on when it is continued in the foreground. */
static void stops_in_background(int what, int number) {
    pid_t child = (pid_t)CHECK_OK(fork());
    if (child == 0) {
        act_in_background(what, 0);
    }
    expect_stopped(child, number);
    CHECK_OK(kill(child, SIGCONT)); /* still in the background */
    expect_stopped(child, number);
    signal(SIGTTOU, SIG_IGN);
    CHECK_OK(tcsetpgrp(opened, child));
    CHECK_OK(kill(child, SIGCONT));
    CHECK_EXITED(test_wait(child));
    CHECK_OK(tcsetpgrp(opened, getpgrp()));
    signal(SIGTTOU, SIG_DFL);
}

static void goes_on_in_background(int what, int ignored, int error) {
    pid_t child = (pid_t)CHECK_OK(fork());
    if (child == 0) {
        act_in_background(what, ignored);
    }
    CHECK_EXITED_WITH(test_wait(child), error);
    if (what == TAKES) {
        signal(SIGTTOU, SIG_IGN);
        CHECK_OK(tcsetpgrp(opened, getpgrp()));
        signal(SIGTTOU, SIG_DFL);
    }
}

/* Who has no parent in another group of the session would never be continued. */
static void orphans_get_errors(void) {
    int ends[2], number = -1;
    CHECK_OK(pipe(ends));
    pid_t child = (pid_t)CHECK_OK(fork());
    if (child == 0) {
        CHECK_OK(setpgid(0, 0));
        if (CHECK_OK(fork()) > 0) {
            _exit(0);
        }
        while (getppid() != 1) {
            test_sleep_ms(1);
        }
        char byte;
        number = read(opened, &byte, 1) < 0 ? errno : 0;
        CHECK_EQ(write(ends[1], &number, sizeof(number)), sizeof(number));
        _exit(0);
    }
    CHECK_EXITED(test_wait(child));
    CHECK_OK(close(ends[1]));
    CHECK_EQ(read(ends[0], &number, sizeof(number)), sizeof(number));
    CHECK_EQ(number, EIO);
    CHECK_OK(close(ends[0]));
}

static void job_control(void *unused) {
    struct termios settings;
    (void)unused;
    begin();
    CHECK_OK(setsid());
    CHECK_ERRNO(open("/dev/tty", O_RDWR), ENXIO);
    CHECK_EQ(tcgetpgrp(opened), -1);
    CHECK_EQ(errno, ENOTTY);
    CHECK_ERRNO(tcsetpgrp(opened, getpgrp()), ENOTTY);
    CHECK_OK(ioctl(opened, TIOCSCTTY, 0));
    CHECK_OK(ioctl(opened, TIOCSCTTY, 0)); /* once more: it is */
    int own = (int)CHECK_OK(open("/dev/tty", O_RDWR));
    CHECK_EQ(write(own, "mine", 4), 4);
    expect_written("mine");
    CHECK_EQ(tcgetpgrp(opened), getpgrp());
    CHECK_EQ(tcgetsid(opened), getpid());
    CHECK_ERRNO(tcsetpgrp(opened, -5), EINVAL);
    CHECK_ERRNO(tcsetpgrp(opened, 0x3fffff), ESRCH);
    CHECK_ERRNO(tcsetpgrp(opened, 1), EPERM); /* init's group, another session */

    type("ab");
    stops_in_background(READS, SIGTTIN);
    stops_in_background(SETS, SIGTTOU);
    stops_in_background(TAKES, SIGTTOU);
    goes_on_in_background(READS, SIGTTIN, EIO);
    goes_on_in_background(SETS, SIGTTOU, 0);
    goes_on_in_background(TAKES, SIGTTOU, 0);
    goes_on_in_background(WRITES, 0, 0);
    orphans_get_errors();
    CHECK_OK(tcgetattr(opened, &settings));
    settings.c_lflag |= TOSTOP;
    CHECK_OK(tcsetattr(opened, TCSANOW, &settings));
    stops_in_background(WRITES, SIGTTOU);
    goes_on_in_background(WRITES, SIGTTOU, 0);
    end();
}

/* What a key does reaches the foreground alone. */
static void keys(void *unused) {
    pid_t group;
    (void)unused;
    begin();
    CHECK_OK(setsid());
    CHECK_OK(ioctl(opened, TIOCSCTTY, 0));
    pid_t child = (pid_t)CHECK_OK(fork());
    if (child == 0) {
        CHECK_OK(setpgid(0, 0));
        signal(SIGTTOU, SIG_IGN);
        CHECK_OK(tcsetpgrp(opened, getpgrp()));
        for (;;) {
            pause();
        }
    }
    do {
        test_sleep_ms(1);
        group = tcgetpgrp(opened);
    } while (group != child);
    script->signal = SIGTSTP;
    tell(SIGNAL);
    expect_stopped(child, SIGTSTP);
    CHECK_OK(kill(child, SIGCONT));
    handle_signal(SIGINT, 0);
    script->signal = SIGINT;
    tell(SIGNAL);
    CHECK_SIGNALED(test_wait(child), SIGINT);
    CHECK_EQ(handled, 0); /* not for us */
    signal(SIGTTOU, SIG_IGN);
    CHECK_OK(tcsetpgrp(opened, getpgrp()));
    tell(SIGNAL);
    CHECK_EQ(handled, SIGINT);
    end();
}

/* Only who leads a session takes and gives a terminal. */
static void sessions(void *unused) {
    (void)unused;
    begin();
    CHECK_OK(setsid());
    CHECK_OK(ioctl(opened, TIOCSCTTY, 0));
    pid_t child = (pid_t)CHECK_OK(fork());
    if (child == 0) {
        CHECK_ERRNO(ioctl(opened, TIOCSCTTY, 0), EPERM);
        CHECK_OK(ioctl(opened, TIOCNOTTY)); /* for itself alone */
        CHECK_ERRNO(ioctl(opened, TIOCNOTTY), ENOTTY);
        CHECK_ERRNO(open("/dev/tty", O_RDWR), ENXIO);
        CHECK_OK(setsid());
        CHECK_ERRNO(ioctl(opened, TIOCSCTTY, 0), EPERM); /* another's */
        _exit(0);
    }
    CHECK_EXITED(test_wait(child));
    CHECK_EQ(tcgetpgrp(opened), getpgrp());
    handle_signal(SIGHUP, 0);
    CHECK_OK(ioctl(opened, TIOCNOTTY));
    CHECK_EQ(handled, SIGHUP); /* it was in the foreground */
    CHECK_ERRNO(open("/dev/tty", O_RDWR), ENXIO);
    child = (pid_t)CHECK_OK(fork());
    if (child == 0) {
        CHECK_OK(setsid());
        CHECK_OK(ioctl(opened, TIOCSCTTY, 0)); /* it is free now */
        if (CHECK_OK(fork()) == 0) {
            CHECK_OK(setpgid(0, 0));
            signal(SIGTTOU, SIG_IGN);
            CHECK_OK(tcsetpgrp(opened, getpgrp()));
            signal(SIGHUP, SIG_DFL);
            script->ready += 1000;
            for (;;) {
                pause();
            }
        }
        while (script->ready < 1000) {
            test_sleep_ms(1);
        }
        _exit(0); /* the leader: the job gets SIGHUP */
    }
    CHECK_EXITED(test_wait(child));
    CHECK_OK(ioctl(opened, TIOCSCTTY, 0)); /* free again */
    end();
}

static void hang_up(void *unused) {
    char byte;
    struct pollfd entry;
    (void)unused;
    begin();
    CHECK_OK(setsid());
    CHECK_OK(ioctl(opened, TIOCSCTTY, 0));
    handle_signal(SIGHUP, 0);
    CHECK_OK(close(terminal)); /* the server has it still */
    CHECK_EQ(write(opened, "x", 1), 1);
    CHECK_EQ(handled, 0);
    pid_t child = later(20, 0, DIE);
    CHECK_ERRNO(read(opened, &byte, 1), EINTR);
    CHECK_EQ(handled, SIGHUP);
    CHECK_EQ(read(opened, &byte, 1), 0);
    CHECK_ERRNO(write(opened, "x", 1), EIO);
    CHECK_ERRNO(ioctl(opened, FIONREAD, &byte), EIO);
    entry = (struct pollfd){.fd = opened, .events = POLLIN};
    CHECK_EQ(poll(&entry, 1, 0), 1);
    CHECK_EQ(entry.revents, POLLIN | POLLERR | POLLHUP);
    CHECK_ERRNO(open("/dev/tty", O_RDWR), ENXIO);
    test_wait(child);
    end();
}

/* --- Servers that die or misbehave -------------------------------------------------------------------------------- */

/* A child does something with the terminal; returns when the server has been asked, and died of it. */
static pid_t ask_one_that_dies(void (*what)(void)) {
    script->behaviour = DIES;
    pid_t child = (pid_t)CHECK_OK(fork());
    if (child == 0) {
        what();
        _exit(0);
    }
    test_wait(server);
    CHECK_OK(close(endpoint));
    script->behaviour = ORDERLY;
    return child;
}

static void read_something(void) {
    char text[5];
    CHECK_EQ(read(opened, text, 5), 5);
    CHECK(memcmp(text, "typed", 5) == 0);
}
static void write_something(void) { CHECK_EQ(write(opened, "text", 4), 4); }
static void ask_something(void) {
    int number;
    CHECK_OK(ioctl(opened, FIONREAD, &number));
    CHECK_EQ(number, 7);
}
static void set_something(void) {
    struct terminal_settings new_settings = {.local = ECHOE};
    CHECK_OK(ioctl(opened, TCSETS, &new_settings));
}

static void another_server(void) {
    static void (*const operations[])(void) = {read_something, write_something, ask_something, set_something};
    struct terminal_settings got;
    begin();
    for (int round = 0; round < 10; round++) {
        for (size_t i = 0; i < sizeof(operations) / sizeof(operations[0]); i++) {
            pid_t child = ask_one_that_dies(operations[i]);
            strcpy((char *)script->typed, "typed");
            script->typed_count = 5;
            script->written_count = 0;
            start_server();
            tell(EVENTS);
            CHECK_EXITED(test_wait(child));
            script->typed_count = 0;
            if (operations[i] == write_something) {
                expect_written("text");
            }
        }
    }
    CHECK_OK(ioctl(opened, TCGETS, &got));
    CHECK_EQ(got.local, ECHOE);
    CHECK_EQ(script->state.settings.local, ECHOE); /* the new server was told */
    end();
}

/* Who waits for input does not notice that the server is another. */
static void another_while_waiting(void) {
    begin();
    pid_t child = (pid_t)CHECK_OK(fork());
    if (child == 0) {
        read_something();
        _exit(0);
    }
    wait_until(&script->reads, 1);
    tell(EVENTS);
    end();
    CHECK_OK(close(endpoint));
    script->reads = 0;
    start_server();
    wait_until(&script->reads, 1); /* it is asked without being told anything */
    type("typed");
    CHECK_EXITED(test_wait(child));
    end();
}

static void misbehaviour(void) {
    char byte;
    struct terminal_settings got = {0};
    begin();
    script->behaviour = BAD_LABEL;
    CHECK_ERRNO(read(opened, &byte, 1), EIO);
    CHECK_ERRNO(write(opened, "x", 1), EIO);
    CHECK_ERRNO(ioctl(opened, TCSETS, &got), EIO);
    script->behaviour = TAKES_EXTRA;
    CHECK_ERRNO(write(opened, "x", 1), EIO);
    script->behaviour = TAKES_NONE;
    CHECK_ERRNO(write(opened, "x", 1), EIO);
    CHECK_EQ(read(opened, &byte, 1), 0); /* that is its right */
    script->behaviour = NEVER_READY;
    handle_signal(SIGUSR1, 0);
    pid_t child = later(50, SIGUSR1, 0);
    CHECK_ERRNO(read(opened, &byte, 1), EINTR); /* busy, but not for ever */
    test_wait(child);
    script->behaviour = ORDERLY;
    CHECK_EQ(write(opened, "x", 1), 1);
    end();
}

/* An answer that does not fit is the server's mistake: it is told, and the caller waits on. */
static void too_long(void) {
    char byte;
    begin();
    script->behaviour = TOO_LONG;
    pid_t child = (pid_t)CHECK_OK(fork());
    if (child == 0) {
        CHECK_OK(close(terminal));
        CHECK_EQ(read(opened, &byte, 1), 0); /* hung up */
        _exit(0);
    }
    wait_until(&script->calls, 1);
    test_sleep_ms(20);
    end();
    CHECK_OK(close(terminal)); /* nobody will serve it again */
    CHECK_EXITED(test_wait(child));
}

/* --- The console -------------------------------------------------------------------------------------------------- */

static void console(void) {
    struct termios before, raw;
    struct winsize size;
    int number = -1;
    test_needs_penumbra();
    int fd = (int)CHECK_OK(open("/dev/console", O_RDWR));
    CHECK_OK(tcgetattr(fd, &before));
    CHECK((before.c_lflag & (ICANON | ISIG)) == (ICANON | ISIG));
    CHECK_EQ(before.c_cc[VINTR], 3);
    CHECK_OK(ioctl(fd, TIOCGWINSZ, &size));
    CHECK(size.ws_row > 0 && size.ws_col > 0);
    raw = before;
    cfmakeraw(&raw);
    CHECK_OK(tcsetattr(fd, TCSAFLUSH, &raw));
    CHECK_OK(tcgetattr(fd, &raw));
    CHECK_EQ(raw.c_lflag & (ICANON | ECHO), 0);
    CHECK_OK(tcsetattr(fd, TCSADRAIN, &before));
    CHECK_OK(ioctl(fd, FIONREAD, &number));
    CHECK_EQ(number, 0);
    struct pollfd entry = {.fd = fd, .events = POLLIN | POLLOUT};
    CHECK_EQ(poll(&entry, 1, 0), 1);
    CHECK_EQ(entry.revents, POLLOUT);
    CHECK_OK(tcdrain(fd));
    CHECK_ERRNO(ioctl(fd, TCFLSH, 77), EINVAL);
}

/* Whoever leads a group can begin no session: in a child. */
static void window_size_in_session(void) {
    test_needs_penumbra();
    CHECK_EXITED(test_run_child(window_size, NULL));
}
static void job_control_in_session(void) {
    test_needs_penumbra();
    CHECK_EXITED(test_run_child(job_control, NULL));
}
static void keys_in_session(void) {
    test_needs_penumbra();
    CHECK_EXITED(test_run_child(keys, NULL));
}
static void sessions_in_session(void) {
    test_needs_penumbra();
    CHECK_EXITED(test_run_child(sessions, NULL));
}
static void hang_up_in_session(void) {
    test_needs_penumbra();
    CHECK_EXITED(test_run_child(hang_up, NULL));
}

static pid_t console_driver(void) {
    char text[16] = "";
    int file = open("/run/console.pid", O_RDONLY);
    if (file < 0) {
        return 0;
    }
    ssize_t count = read(file, text, sizeof(text) - 1);
    close(file);
    return count > 0 ? atoi(text) : 0;
}

/* Whoever is in the middle of something with it does not notice. */
static void console_killed(void) {
    struct terminal_settings before = {0}, after = {0};
    const char *pause = getenv("PAUSE"); /* milliseconds: tests/terminal wants to type meanwhile */
    struct winsize size;
    int number;
    test_needs_penumbra();
    int fd = (int)CHECK_OK(open("/dev/console", O_RDWR));
    CHECK_OK(ioctl(fd, TCGETS, &before));
    CHECK_OK(ioctl(fd, TIOCGWINSZ, &size));
    pid_t writer = (pid_t)CHECK_OK(fork());
    while (writer == 0) {
        CHECK_EQ(write(fd, "\r\r\r\r", 4), 4);
        CHECK_OK(ioctl(fd, FIONREAD, &number));
    }
    for (int round = 0; round < 100; round++) {
        pid_t driver = console_driver();
        CHECK(driver > 1);
        CHECK_OK(kill(driver, SIGKILL));
        CHECK_OK(ioctl(fd, TIOCSWINSZ, &size)); /* is answered by the next one */
        while (console_driver() == driver || console_driver() == 0) {
            test_sleep_ms(1);
        }
        test_sleep_ms(pause != NULL ? atoi(pause) : round % 16); /* at various moments of its life */
    }
    CHECK_OK(kill(writer, SIGKILL));
    CHECK_SIGNALED(test_wait(writer), SIGKILL);
    CHECK_EQ(write(fd, "\n", 1), 1);
    CHECK_OK(ioctl(fd, TCGETS, &after));
    CHECK(memcmp(&before, &after, sizeof(before)) == 0);
}

static const struct test_case cases[] = {
    {"rights", rights},
    {"lines", lines},
    {"piecemeal", piecemeal},
    {"no_exits", no_exits},
    {"bad_addresses", bad_addresses},
    {"nonblocking", nonblocking},
    {"waits", waits},
    {"interrupted", interrupted},
    {"killed", killed},
    {"polling", polling},
    {"settings", settings},
    {"window_size", window_size_in_session},
    {"job_control", job_control_in_session},
    {"keys", keys_in_session},
    {"sessions", sessions_in_session},
    {"hang_up", hang_up_in_session},
    {"another_server", another_server},
    {"another_while_waiting", another_while_waiting},
    {"misbehaviour", misbehaviour},
    {"too_long", too_long},
    {"console", console},
    {"console_killed", console_killed},
};

TEST_MAIN(cases)
