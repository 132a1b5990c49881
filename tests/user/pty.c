/*
 * Pseudo-terminals: what masters and slaves do to each other, and to the sessions that live on them.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "tests/user/lib/penumbra.h"
#include "tests/user/lib/test.h"

#ifndef TIOCGPTPEER
#define TIOCGPTPEER 0x5441
#endif

enum { MAJOR_OF_SLAVES = 136, CTRL_C = 3, CTRL_D = 4, CTRL_Q = 17, CTRL_S = 19, CTRL_Z = 26, SOON_MS = 2000 };

static int master = -1, slave = -1;

/* --- Helpers ------------------------------------------------------------------------------------------------------ */

static int new_master(int flags) {
    int fd = (int)CHECK_OK(open("/dev/ptmx", O_RDWR | O_NOCTTY | flags));
    int unlocked = 0;
    CHECK_OK(ioctl(fd, TIOCSPTLCK, &unlocked));
    return fd;
}

static const char *slave_name(int fd) {
    static char name[32];
    int number = -1;
    CHECK_OK(ioctl(fd, TIOCGPTN, &number));
    snprintf(name, sizeof name, "/dev/pts/%d", number);
    return name;
}

static int open_slave(int fd, int flags) { return (int)CHECK_OK(open(slave_name(fd), O_RDWR | flags)); }

/* Both ends, of no session. */
static void begin(void) {
    master = new_master(0);
    slave = open_slave(master, O_NOCTTY);
}

static void end(void) {
    close(slave);
    close(master);
}

static void set_local(int fd, tcflag_t off, tcflag_t on) {
    struct termios settings;
    CHECK_OK(tcgetattr(fd, &settings));
    settings.c_lflag = (settings.c_lflag & ~off) | on;
    CHECK_OK(tcsetattr(fd, TCSANOW, &settings));
}

static void make_raw(int fd) {
    struct termios settings;
    CHECK_OK(tcgetattr(fd, &settings));
    cfmakeraw(&settings);
    CHECK_OK(tcsetattr(fd, TCSANOW, &settings));
}

static void type(const char *text) { CHECK_EQ(write(master, text, strlen(text)), strlen(text)); }
static void type_key(char key) { CHECK_EQ(write(master, &key, 1), 1); }

/* Exactly these bytes come, in one read or several. */
static void expect(int fd, const char *text) {
    char came[512];
    size_t length = strlen(text), got = 0;
    while (got < length) {
        ssize_t part = CHECK_OK(read(fd, came + got, length - got));
        CHECK(part > 0);
        got += (size_t)part;
    }
    if (memcmp(came, text, length) != 0) {
        test_fail(__FILE__, __LINE__, "came \"%.*s\", want \"%s\"", (int)length, came, text);
    }
}

static int events_of(int fd, int events, int ms) {
    struct pollfd entry = {.fd = fd, .events = (short)events};
    CHECK_OK(poll(&entry, 1, ms));
    return entry.revents;
}

static int waiting_bytes(int fd) {
    int count = -1;
    CHECK_OK(ioctl(fd, FIONREAD, &count));
    return count;
}

/* Runs `body` in a child that leads a session of its own with the slave as its terminal and handles 0 to 2. */
static pid_t start_session(void (*body)(void)) {
    pid_t child = (pid_t)CHECK_OK(fork());
    if (child == 0) {
        CHECK_OK(setsid());
        CHECK_OK(ioctl(slave, TIOCSCTTY, 0));
        CHECK_EQ(tcgetpgrp(slave), getpid());
        body();
        _exit(0);
    }
    return child;
}

/* Shared with children. */
static struct shared { volatile int ready, go, count[4], value; } * shared;

static void share(void) {
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(shared != MAP_FAILED);
}

static void wait_for(const volatile int *what, int value) {
    for (int i = 0; i < SOON_MS && *what != value; i++) {
        test_sleep_ms(1);
    }
    CHECK_EQ(*what, value);
}

/* --- Names and numbers -------------------------------------------------------------------------------------------- */

static void names(void) {
    struct stat seen, opened;
    char name[32];
    int number = -1;
    master = (int)CHECK_OK(open("/dev/ptmx", O_RDWR | O_NOCTTY));
    CHECK_OK(fstat(master, &seen));
    CHECK(S_ISCHR(seen.st_mode) && seen.st_rdev == makedev(5, 2));
    CHECK_OK(ioctl(master, TIOCGPTN, &number));
    strcpy(name, slave_name(master));
    CHECK_OK(stat(name, &seen));
    CHECK(S_ISCHR(seen.st_mode) && seen.st_rdev == makedev(MAJOR_OF_SLAVES, (unsigned)number));
    CHECK_EQ(seen.st_uid, geteuid());
    CHECK_EQ(seen.st_mode & 0606, 0600);
    CHECK_EQ(unlockpt(master), 0);
    slave = open_slave(master, O_NOCTTY);
    CHECK_OK(fstat(slave, &opened));
    CHECK(opened.st_ino == seen.st_ino && opened.st_dev == seen.st_dev);
    CHECK_OK(fchmod(slave, 0640));
    CHECK_OK(stat(name, &seen));
    CHECK_EQ(seen.st_mode & 0777, 0640);
    CHECK(unlink(name) < 0 && (errno == EPERM || errno == EROFS)); /* nobody makes or removes names here */
    CHECK_ERRNO(ioctl(slave, TIOCGPTN, &number), ENOTTY);
    CHECK_ERRNO(ioctl(slave, TIOCSPTLCK, &number), ENOTTY);
    close(slave);
    CHECK_OK(stat(name, &seen));
    close(master);
    CHECK_ERRNO(stat(name, &seen), ENOENT);
}

static bool is_listed(const char *name) {
    bool found = false;
    DIR *directory = opendir("/dev/pts");
    CHECK(directory != NULL);
    for (struct dirent *entry; (entry = readdir(directory)) != NULL;) {
        found = found || strcmp(entry->d_name, name) == 0;
    }
    closedir(directory);
    return found;
}

static void listed(void) {
    char name[32];
    begin();
    strcpy(name, slave_name(master) + strlen("/dev/pts/"));
    CHECK(is_listed(name));
    end();
    CHECK(!is_listed(name));
}

/* The lowest number that is free; one is not free as long as either end is open. */
static void numbers(void) {
    int first, second, third;
    begin();
    CHECK_OK(ioctl(master, TIOCGPTN, &first));
    int other = new_master(0);
    CHECK_OK(ioctl(other, TIOCGPTN, &second));
    CHECK(second > first);
    close(master);
    master = new_master(0);
    CHECK_OK(ioctl(master, TIOCGPTN, &third));
    CHECK(third > second); /* the first one's slave is still open */
    close(slave);
    close(master);
    master = new_master(0);
    CHECK_OK(ioctl(master, TIOCGPTN, &third));
    CHECK_EQ(third, first);
    close(master);
    close(other);
}

static void locked(void) {
    int is_locked = -1, unlocked = 0;
    master = (int)CHECK_OK(open("/dev/ptmx", O_RDWR | O_NOCTTY));
    CHECK_OK(ioctl(master, TIOCGPTLCK, &is_locked));
    CHECK_EQ(is_locked, 1);
    CHECK_ERRNO(open(slave_name(master), O_RDWR | O_NOCTTY), EIO);
    CHECK_ERRNO(ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY), EIO);
    CHECK_ERRNO(ioctl(master, TIOCSPTLCK, 8), EFAULT);
    CHECK_OK(ioctl(master, TIOCSPTLCK, &unlocked));
    CHECK_OK(ioctl(master, TIOCGPTLCK, &is_locked));
    CHECK_EQ(is_locked, 0);
    slave = open_slave(master, O_NOCTTY);
    CHECK_EQ(write(slave, "x", 1), 1);
    is_locked = 1;
    CHECK_OK(ioctl(master, TIOCSPTLCK, &is_locked));
    CHECK_ERRNO(open(slave_name(master), O_RDWR | O_NOCTTY), EIO);
    end();
}

static void library(void) {
    struct termios settings;
    struct winsize size = {.ws_row = 11, .ws_col = 47}, seen;
    char name[64], expected[32];
    master = posix_openpt(O_RDWR | O_NOCTTY);
    CHECK(master >= 0);
    CHECK_EQ(grantpt(master), 0);
    CHECK_EQ(unlockpt(master), 0);
    CHECK(strcmp(ptsname(master), slave_name(master)) == 0);
    slave = (int)CHECK_OK(open(ptsname(master), O_RDWR | O_NOCTTY));
    CHECK(isatty(master) && isatty(slave));
    CHECK(strcmp(ttyname(slave), slave_name(master)) == 0);
    CHECK_OK(tcgetattr(slave, &settings));
    CHECK_EQ(settings.c_iflag, ICRNL | IXON);
    CHECK_EQ(settings.c_oflag, OPOST | ONLCR);
    CHECK_EQ(settings.c_cflag, B38400 | CS8 | CREAD);
    CHECK_EQ(settings.c_lflag, ISIG | ICANON | ECHO | ECHOE | ECHOK | ECHOCTL | ECHOKE | IEXTEN);
    end();
    settings.c_lflag &= ~(tcflag_t)ECHO;
    CHECK_OK(openpty(&master, &slave, name, &settings, &size));
    strcpy(expected, slave_name(master));
    CHECK(strcmp(name, expected) == 0);
    CHECK_OK(tcgetattr(slave, &settings));
    CHECK_EQ(settings.c_lflag & ECHO, 0);
    CHECK_OK(ioctl(slave, TIOCGWINSZ, &seen));
    CHECK(seen.ws_row == 11 && seen.ws_col == 47);
    end();
}

static void peer(void) {
    struct stat by_name, by_peer;
    char byte;
    master = new_master(0);
    slave = (int)CHECK_OK(ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC));
    CHECK_EQ(fcntl(slave, F_GETFD), FD_CLOEXEC);
    CHECK_ERRNO(read(slave, &byte, 1), EAGAIN);
    CHECK_OK(fstat(slave, &by_peer));
    CHECK_OK(stat(slave_name(master), &by_name));
    CHECK(by_name.st_ino == by_peer.st_ino && by_name.st_rdev == by_peer.st_rdev);
    CHECK(strcmp(ttyname(slave), slave_name(master)) == 0);
    end();
}

/* --- Bytes -------------------------------------------------------------------------------------------------------- */

static void lines(void) {
    begin();
    type("ab\x7f"
         "c\n");
    expect(slave, "ac\n");
    expect(master, "ab\b \bc\r\n"); /* the echo */
    CHECK_EQ(write(slave, "out\n", 4), 4);
    expect(master, "out\r\n");
    set_local(slave, ECHO, 0);
    type("unseen\n");
    expect(slave, "unseen\n");
    type_key(CTRL_D);
    char byte;
    CHECK_EQ(read(slave, &byte, 1), 0);
    CHECK_EQ(waiting_bytes(master), 0);
    end();
}

static void raw(void) {
    char bytes[256], came[256];
    begin();
    make_raw(slave);
    for (int i = 0; i < 256; i++) {
        bytes[i] = (char)i;
    }
    CHECK_EQ(write(master, bytes, 256), 256);
    for (size_t got = 0; got < 256;) {
        got += (size_t)CHECK_OK(read(slave, came + got, sizeof came - got));
    }
    CHECK(memcmp(bytes, came, 256) == 0);
    CHECK_EQ(write(slave, bytes, 256), 256);
    for (size_t got = 0; got < 256;) {
        got += (size_t)CHECK_OK(read(master, came + got, sizeof came - got));
    }
    CHECK(memcmp(bytes, came, 256) == 0);
    end();
}

/* What is written has been sent as soon as the other end can read it: nothing waits for its doing so. */
static void counts(void) {
    struct termios settings;
    int count = -1;
    begin();
    set_local(slave, ECHO, 0);
    CHECK_EQ(write(slave, "four", 4), 4);
    CHECK(events_of(master, POLLIN, SOON_MS) & POLLIN);
    CHECK_EQ(waiting_bytes(master), 4);
    CHECK_OK(ioctl(slave, TIOCOUTQ, &count));
    CHECK_EQ(count, 0);
    CHECK_OK(tcdrain(slave));
    CHECK_OK(tcgetattr(slave, &settings));
    CHECK_OK(tcsetattr(slave, TCSADRAIN, &settings));
    type("three");
    test_sleep_ms(20);
    CHECK_EQ(waiting_bytes(slave), 0); /* no line yet */
    type("\n");
    CHECK(events_of(slave, POLLIN, SOON_MS) & POLLIN);
    CHECK_EQ(waiting_bytes(slave), 6);
    CHECK_OK(tcflush(slave, TCIFLUSH));
    CHECK_EQ(waiting_bytes(slave), 0);
    CHECK_EQ(waiting_bytes(master), 4);
    CHECK_OK(tcflush(master, TCIFLUSH));
    CHECK_EQ(waiting_bytes(master), 0);
    end();
}

/* Settings and size are the terminal's, from whichever end. */
static void settings(void) {
    struct termios from_master, from_slave;
    struct winsize size = {.ws_row = 30, .ws_col = 100}, seen;
    begin();
    CHECK_OK(ioctl(slave, TIOCGWINSZ, &seen));
    CHECK(seen.ws_row == 0 && seen.ws_col == 0);
    CHECK_OK(ioctl(master, TIOCSWINSZ, &size));
    CHECK_OK(ioctl(slave, TIOCGWINSZ, &seen));
    CHECK(seen.ws_row == 30 && seen.ws_col == 100);
    make_raw(master);
    CHECK_OK(tcgetattr(slave, &from_slave));
    CHECK_OK(tcgetattr(master, &from_master));
    CHECK_EQ(from_slave.c_lflag & (ICANON | ECHO), 0);
    CHECK_EQ(from_slave.c_lflag, from_master.c_lflag);
    end();
}

/* What programs of System V's time ask, and what there is but one answer to. */
static void old_calls(void) {
    struct {
        uint16_t input, output, control, local;
        uint8_t line, characters[8];
    } old;
    struct termios settings;
    int number = -1;
    begin();
    CHECK_OK(ioctl(slave, TCGETA, &old));
    CHECK_OK(tcgetattr(slave, &settings));
    CHECK(old.local == (uint16_t)settings.c_lflag && old.input == (uint16_t)settings.c_iflag);
    CHECK_EQ(old.characters[VINTR], CTRL_C);
    old.local &= (uint16_t)~ECHO;
    old.characters[VEOF] = 5;
    for (unsigned long command = TCSETA; command <= TCSETAF; command++) {
        CHECK_OK(ioctl(slave, command, &old));
    }
    CHECK_OK(tcgetattr(slave, &settings));
    CHECK_EQ(settings.c_lflag & (ECHO | ICANON | IEXTEN), ICANON | IEXTEN);
    CHECK(settings.c_cc[VEOF] == 5 && settings.c_cc[VSTART] == CTRL_Q);
    CHECK_ERRNO(ioctl(slave, TCSETA, 8), EFAULT);
    CHECK_OK(ioctl(slave, TIOCGETD, &number));
    CHECK_EQ(number, 0);
    CHECK_OK(ioctl(slave, TIOCSETD, &number));
    number = 77;
    CHECK_ERRNO(ioctl(slave, TIOCSETD, &number), EINVAL);
    CHECK_OK(ioctl(slave, TIOCGLCKTRMIOS, &settings));
    CHECK_EQ(settings.c_lflag | settings.c_iflag, 0);
    end();
}

static void open_as_nobody(void *unused) {
    (void)unused;
    CHECK_OK(fchmod(slave, 0666));
    CHECK_OK(setuid(12345));
    CHECK_ERRNO(open(slave_name(master), O_RDWR | O_NOCTTY), EBUSY);
}

/* What a read of the master in packet mode begins with. */
static int packet(const char *data) {
    char came[64];
    CHECK(events_of(master, POLLIN | POLLPRI, SOON_MS) & POLLIN);
    ssize_t got = CHECK_OK(read(master, came, sizeof came));
    CHECK_EQ(got, 1 + strlen(data));
    CHECK(memcmp(came + 1, data, strlen(data)) == 0);
    return came[0];
}

static void packets(void) {
    struct termios settings;
    int on = 1, seen = -1;
    char byte;
    begin();
    set_local(slave, ECHO, 0);
    CHECK_OK(ioctl(master, TIOCPKT, &on));
    CHECK_OK(ioctl(master, TIOCGPKT, &seen));
    CHECK_EQ(seen, 1);
    CHECK_ERRNO(ioctl(slave, TIOCPKT, &on), ENOTTY);
    CHECK_EQ(write(slave, "text", 4), 4);
    CHECK_EQ(packet("text"), TIOCPKT_DATA);
    CHECK_EQ(events_of(master, POLLIN | POLLPRI, 0), 0);
    type_key(CTRL_S);
    CHECK_EQ(events_of(master, POLLPRI, SOON_MS), POLLPRI);
    CHECK_EQ(packet(""), TIOCPKT_STOP);
    type_key(CTRL_Q);
    CHECK_EQ(packet(""), TIOCPKT_START);
    CHECK_OK(tcgetattr(slave, &settings));
    settings.c_iflag &= ~(tcflag_t)IXON;
    CHECK_OK(tcsetattr(slave, TCSANOW, &settings));
    CHECK_EQ(packet(""), TIOCPKT_NOSTOP);
    settings.c_iflag |= IXON;
    CHECK_OK(tcsetattr(slave, TCSANOW, &settings));
    CHECK_EQ(packet(""), TIOCPKT_DOSTOP);
    CHECK_OK(tcflush(slave, TCIFLUSH));
    CHECK_EQ(packet(""), TIOCPKT_FLUSHREAD);
    CHECK_OK(tcflush(slave, TCOFLUSH));
    CHECK_EQ(packet(""), TIOCPKT_FLUSHWRITE);
    on = 0;
    CHECK_OK(ioctl(master, TIOCPKT, &on));
    CHECK_EQ(write(slave, "x", 1), 1);
    CHECK_EQ(read(master, &byte, 1), 1);
    CHECK_EQ(byte, 'x');
    end();
}

static void exclusive(void) {
    int number = -1;
    begin();
    CHECK_OK(ioctl(slave, TIOCEXCL));
    CHECK_OK(ioctl(slave, 0x80045440 /* TIOCGEXCL */, &number));
    CHECK_EQ(number, 1);
    if (geteuid() == 0) {
        close(open_slave(master, O_NOCTTY)); /* root may */
        CHECK_EXITED(test_run_child(open_as_nobody, NULL));
    }
    CHECK_OK(ioctl(slave, TIOCNXCL));
    CHECK_OK(ioctl(slave, 0x80045440, &number));
    CHECK_EQ(number, 0);
    end();
}

static void flow(void) {
    char text[8];
    master = new_master(O_NONBLOCK);
    slave = open_slave(master, O_NOCTTY | O_NONBLOCK);
    type_key(CTRL_S);
    test_sleep_ms(20);
    CHECK_ERRNO(write(slave, "x", 1), EAGAIN);
    CHECK_EQ(events_of(slave, POLLOUT, 0), 0);
    CHECK_ERRNO(read(master, text, sizeof text), EAGAIN);
    type_key(CTRL_Q);
    CHECK_EQ(events_of(slave, POLLOUT, SOON_MS), POLLOUT);
    CHECK_EQ(write(slave, "x", 1), 1);
    CHECK_EQ(events_of(master, POLLIN, SOON_MS), POLLIN);
    CHECK_EQ(read(master, text, sizeof text), 1);
    end();
}

/* Each direction takes a good deal and then no more, until the other end has read. */
static void full(void) {
    static char block[1024];
    size_t total;
    memset(block, 'x', sizeof block);
    master = new_master(O_NONBLOCK);
    slave = open_slave(master, O_NOCTTY | O_NONBLOCK);
    make_raw(slave);
    for (int direction = 0; direction < 2; direction++) {
        int from = direction == 0 ? slave : master, to = direction == 0 ? master : slave;
        ssize_t done;
        for (total = 0; total < 1 << 20 && (done = write(from, block, sizeof block)) > 0; total += (size_t)done) {
        }
        CHECK_EQ(errno, EAGAIN);
        CHECK(total >= 2048 && total < 65536);
        for (; total > 0; total -= (size_t)done) {
            CHECK(events_of(to, POLLIN, SOON_MS) & POLLIN);
            done = CHECK_OK(read(to, block, sizeof block));
            CHECK(done > 0 && (size_t)done <= total);
        }
        test_sleep_ms(5);
        CHECK_ERRNO(read(to, block, sizeof block), EAGAIN);
        CHECK_EQ(events_of(from, POLLOUT, SOON_MS), POLLOUT);
    }
    end();
}

/* A line that nobody can read is cut, not waited for: as long as it does not end its writer goes on. */
static void long_line(void) {
    static char text[6000];
    static char came[6000];
    begin();
    set_local(slave, ECHO, 0);
    memset(text, 'y', sizeof text);
    text[sizeof text - 1] = '\n';
    CHECK_EQ(write(master, text, sizeof text), sizeof text);
    ssize_t got = CHECK_OK(read(slave, came, sizeof came));
    CHECK(got >= 4095 && got <= 4096);
    CHECK(came[got - 1] == '\n' && came[0] == 'y');
    end();
}

/* --- Waiting ------------------------------------------------------------------------------------------------------ */

static void copy_until_done(void) {
    char bytes[512];
    for (int i = 0; i < shared->value;) {
        ssize_t got = CHECK_OK(read(slave, bytes, sizeof bytes));
        CHECK_EQ(write(slave, bytes, (size_t)got), got);
        i += (int)got;
    }
}

static void echo_child(void) {
    static char sent[20000], came[20000];
    share();
    begin();
    make_raw(slave);
    shared->value = sizeof sent;
    for (size_t i = 0; i < sizeof sent; i++) {
        sent[i] = (char)test_byte(i);
    }
    pid_t reader = (pid_t)CHECK_OK(fork());
    if (reader == 0) {
        copy_until_done();
        _exit(0);
    }
    pid_t writer = (pid_t)CHECK_OK(fork());
    if (writer == 0) {
        CHECK_EQ(write(master, sent, sizeof sent), sizeof sent); /* waits more than once */
        _exit(0);
    }
    for (size_t got = 0; got < sizeof came;) {
        got += (size_t)CHECK_OK(read(master, came + got, sizeof came - got));
    }
    CHECK_EXITED(test_wait(writer));
    CHECK_EXITED(test_wait(reader));
    CHECK(memcmp(sent, came, sizeof sent) == 0);
    end();
}

static void readiness(void) {
    struct epoll_event event = {.events = EPOLLIN}, got;
    struct timeval soon = {.tv_sec = 2};
    fd_set set;
    begin();
    set_local(slave, ECHO, 0);
    CHECK_EQ(events_of(master, POLLIN | POLLOUT, 0), POLLOUT);
    CHECK_EQ(events_of(slave, POLLIN | POLLOUT, 0), POLLOUT);
    int epoll = (int)CHECK_OK(epoll_create1(0));
    event.data.fd = slave;
    CHECK_OK(epoll_ctl(epoll, EPOLL_CTL_ADD, slave, &event));
    event.data.fd = master;
    CHECK_OK(epoll_ctl(epoll, EPOLL_CTL_ADD, master, &event));
    CHECK_EQ(epoll_wait(epoll, &got, 1, 0), 0);
    type("a");
    test_sleep_ms(10);
    CHECK_EQ(epoll_wait(epoll, &got, 1, 0), 0); /* no line yet */
    type("\n");
    CHECK_EQ(epoll_wait(epoll, &got, 1, SOON_MS), 1);
    CHECK_EQ(got.data.fd, slave);
    expect(slave, "a\n");
    pid_t child = (pid_t)CHECK_OK(fork());
    if (child == 0) {
        test_sleep_ms(20);
        _exit(write(slave, "b", 1) != 1);
    }
    FD_ZERO(&set);
    FD_SET(master, &set);
    CHECK_EQ(select(master + 1, &set, NULL, NULL, &soon), 1);
    CHECK_EQ(epoll_wait(epoll, &got, 1, SOON_MS), 1);
    CHECK_EQ(got.data.fd, master);
    expect(master, "b");
    CHECK_EXITED(test_wait(child));
    CHECK_EQ(epoll_wait(epoll, &got, 1, 0), 0);
    close(epoll);
    end();
}

static volatile sig_atomic_t caught[65];
static void catch (int number) { caught[number]++; }
static void handle(int number) {
    struct sigaction action = {.sa_handler = catch};
    CHECK_OK(sigaction(number, &action, NULL));
}

static void interrupted(void) {
    char byte;
    begin();
    handle(SIGUSR1);
    for (int i = 0; i < 2; i++) {
        pid_t parent = getpid(), child = (pid_t)CHECK_OK(fork());
        if (child == 0) {
            test_sleep_ms(30);
            kill(parent, SIGUSR1);
            _exit(0);
        }
        CHECK_ERRNO(read(i == 0 ? master : slave, &byte, 1), EINTR);
        CHECK_EXITED(test_wait(child));
    }
    CHECK_EQ(caught[SIGUSR1], 2);
    end();
}

static void bad_addresses(void) {
    char *pages = mmap(NULL, 2 * TEST_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(pages != MAP_FAILED);
    CHECK_OK(munmap(pages + TEST_PAGE, TEST_PAGE));
    begin();
    CHECK_ERRNO(write(master, (void *)8, 5), EFAULT);
    CHECK_ERRNO(ioctl(master, TIOCGPTN, 8), EFAULT);
    CHECK_ERRNO(ioctl(master, TIOCGPTLCK, 8), EFAULT);
    CHECK_ERRNO(ioctl(master, TIOCGPGRP, 8), EFAULT);
    CHECK_ERRNO(ioctl(master, TIOCSWINSZ, 8), EFAULT);
    CHECK_ERRNO(ioctl(master, FIONREAD, 8), EFAULT);
    CHECK_ERRNO(ioctl(master, 0xabcdef, 0), ENOTTY);
    CHECK_ERRNO(lseek(master, 0, SEEK_SET), ESPIPE);
    type("abc\n");
    CHECK_EQ(read(slave, pages + TEST_PAGE - 4, 100), 4); /* what is not needed need not be there */
    CHECK_EQ(read(master, pages + TEST_PAGE - 5, 100), 5);
    CHECK(memcmp(pages + TEST_PAGE - 5, "abc\r\n", 5) == 0);
    end();
}

/* --- Hanging up --------------------------------------------------------------------------------------------------- */

static void slave_closes(void) {
    char bytes[16];
    master = new_master(O_NONBLOCK);
    CHECK_EQ(events_of(master, POLLIN | POLLOUT, 0), POLLOUT); /* nobody has opened it yet: no hang-up */
    CHECK_ERRNO(read(master, bytes, sizeof bytes), EAGAIN);
    slave = open_slave(master, O_NOCTTY);
    int again = dup(slave);
    CHECK_EQ(write(slave, "left", 4), 4);
    close(slave);
    CHECK_EQ(events_of(master, 0, 0), 0);
    close(again);
    CHECK_EQ(events_of(master, POLLIN | POLLOUT, SOON_MS), POLLIN | POLLOUT | POLLHUP);
    CHECK_EQ(read(master, bytes, sizeof bytes), 4);
    CHECK_ERRNO(read(master, bytes, sizeof bytes), EIO);
    CHECK_EQ(events_of(master, POLLIN | POLLOUT, 0) & POLLHUP, POLLHUP);
    type("kept\n"); /* for the next */
    slave = open_slave(master, O_NOCTTY);
    CHECK_EQ(events_of(master, 0, 0), 0);
    expect(slave, "kept\n");
    end();
}

/* A read that waits ends, too. */
static void slave_closes_later(void) {
    char byte;
    begin();
    pid_t child = (pid_t)CHECK_OK(fork());
    if (child == 0) {
        close(master);
        test_sleep_ms(30);
        _exit(0);
    }
    close(slave);
    CHECK_ERRNO(read(master, &byte, 1), EIO);
    CHECK_EXITED(test_wait(child));
    close(master);
}

static void master_closes(void) {
    struct termios settings;
    struct winsize size;
    char name[32], byte;
    pid_t group = getpgrp();
    begin();
    strcpy(name, slave_name(master));
    type("lost\n");
    close(master);
    CHECK_EQ(events_of(slave, POLLIN | POLLOUT, 0), POLLIN | POLLOUT | POLLERR | POLLHUP);
    CHECK_EQ(read(slave, &byte, 1), 0);
    CHECK_ERRNO(write(slave, "x", 1), EIO);
    CHECK_ERRNO(tcgetattr(slave, &settings), EIO);
    CHECK_ERRNO(ioctl(slave, TIOCGWINSZ, &size), EIO);
    CHECK_ERRNO(ioctl(slave, TIOCSPGRP, &group), ENOTTY);
    CHECK_ERRNO(open(name, O_RDWR | O_NOCTTY), ENOENT);
    CHECK(!isatty(slave));
    close(slave);
    begin();
    pid_t child = (pid_t)CHECK_OK(fork());
    if (child == 0) {
        close(slave);
        test_sleep_ms(30);
        _exit(0); /* the last to have the master */
    }
    close(master);
    CHECK(read(slave, &byte, 1) == 0 || errno == EIO); /* Linux: whichever it notices first */
    CHECK_EXITED(test_wait(child));
    close(slave);
}

static void await_hang_up(void) {
    int found = -1;
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGCONT);
    CHECK_OK(sigprocmask(SIG_BLOCK, &set, NULL));
    close(master);
    shared->ready = 1;
    for (int i = 0; i < 2; i++) {
        CHECK_EQ(sigwait(&set, &found), 0);
        shared->count[i] = found;
    }
    CHECK_ERRNO(open("/dev/tty", O_RDWR), ENXIO);
    CHECK_ERRNO(tcgetpgrp(slave), EIO);
}

static void hang_up_signals(void) {
    share();
    begin();
    pid_t child = start_session(await_hang_up);
    wait_for(&shared->ready, 1);
    close(slave);
    close(master);
    CHECK_EXITED(test_wait(child));
    CHECK(shared->count[0] + shared->count[1] == SIGHUP + SIGCONT);
}

static void die_by_hang_up(void) {
    shared->ready = 1;
    pause();
}

/* Without a handler it ends who lives on it, as when a window is closed. */
static void hang_up_kills(void) {
    share();
    begin();
    int kept = master;
    fcntl(kept, F_SETFD, FD_CLOEXEC);
    pid_t child = (pid_t)CHECK_OK(fork());
    if (child == 0) {
        close(master);
        CHECK_OK(setsid());
        CHECK_OK(ioctl(slave, TIOCSCTTY, 0));
        die_by_hang_up();
        _exit(0);
    }
    wait_for(&shared->ready, 1);
    close(master);
    CHECK_SIGNALED(test_wait(child), SIGHUP);
    close(slave);
}

/* --- Sessions ----------------------------------------------------------------------------------------------------- */

/* The leader ends: the foreground is told, the terminal is nobody's, and who has it open goes on. */
static void leave_one_behind(void) {
    pid_t child = (pid_t)CHECK_OK(fork());
    if (child == 0) {
        handle(SIGHUP);
        close(master);
        shared->ready = 1;
        for (int i = 0; i < SOON_MS && caught[SIGHUP] == 0; i++) {
            test_sleep_ms(1);
        }
        shared->count[0] = caught[SIGHUP];
        shared->count[1] = open("/dev/tty", O_RDWR) < 0 ? errno : 0;
        CHECK_EQ(write(slave, "still here", 10), 10);
        wait_for(&shared->go, 1);
        _exit(0);
    }
    wait_for(&shared->ready, 1);
}

static void take_it(void) { shared->value = tcgetsid(slave) == getpid(); }

static void leader_ends(void) {
    char byte;
    share();
    begin();
    CHECK_EXITED(test_wait(start_session(leave_one_behind)));
    expect(master, "still here");
    CHECK_EQ(shared->count[0], 1);
    CHECK_EQ(shared->count[1], ENXIO);
    CHECK_EXITED(test_wait(start_session(take_it)));
    CHECK_EQ(shared->value, 1);
    close(slave);
    shared->go = 1;
    CHECK_ERRNO(read(master, &byte, 1), EIO); /* now the last has gone */
    close(master);
}

/* tty_nr of /proc. */
static int own_terminal(void) {
    int number = -1;
    FILE *file = fopen("/proc/self/stat", "r");
    CHECK(file != NULL);
    CHECK_EQ(fscanf(file, "%*d %*s %*c %*d %*d %*d %d", &number), 1);
    fclose(file);
    return number;
}

static int terminal_device(int fd) {
    struct stat status;
    CHECK_OK(fstat(fd, &status));
    return (int)status.st_rdev;
}

static void controlling_body(void *unused) {
    (void)unused;
    CHECK_OK(setsid());
    CHECK_ERRNO(open("/dev/tty", O_RDWR), ENXIO);
    slave = open_slave(master, O_NOCTTY);
    CHECK_ERRNO(open("/dev/tty", O_RDWR), ENXIO);
    CHECK_ERRNO(tcgetpgrp(slave), ENOTTY);
    close(slave);
    slave = open_slave(master, 0); /* a leader without a terminal gets it */
    CHECK_EQ(tcgetpgrp(slave), getpid());
    CHECK_EQ(tcgetsid(slave), getpid());
    int own = (int)CHECK_OK(open("/dev/tty", O_RDWR)), group = 0, session = 0;
    CHECK_EQ(write(own, "via tty", 7), 7);
    expect(master, "via tty");
    CHECK_EQ(own_terminal(), terminal_device(slave));
    CHECK_OK(ioctl(master, TIOCGPGRP, &group)); /* anybody's who has the master */
    CHECK_OK(ioctl(master, TIOCGSID, &session));
    CHECK(group == getpid() && session == getpid());
    int other_master = new_master(0), other = open_slave(other_master, 0); /* it has one already */
    CHECK_EQ(tcgetsid(slave), getpid());
    CHECK_ERRNO(tcgetsid(other), ENOTTY);
    CHECK_ERRNO(ioctl(other, TIOCSCTTY, 0), EPERM);
    signal(SIGHUP, SIG_IGN);
    CHECK_OK(ioctl(slave, TIOCNOTTY));
    CHECK_ERRNO(open("/dev/tty", O_RDWR), ENXIO);
    CHECK_ERRNO(ioctl(master, TIOCGSID, &session), ENOTTY);
    CHECK_OK(ioctl(other, TIOCSCTTY, 0));
    CHECK_EQ(tcgetsid(other), getpid());
    CHECK_ERRNO(ioctl(other_master, TIOCNOTTY), ENOTTY);
}

static void controlling(void) {
    master = new_master(0);
    CHECK_EXITED(test_run_child(controlling_body, NULL));
    close(master);
}

static void wait_for_keys(void) {
    handle(SIGINT);
    handle(SIGQUIT);
    handle(SIGTSTP);
    handle(SIGWINCH);
    shared->ready = 1;
    for (int i = 0; i < SOON_MS && !shared->go; i++) {
        test_sleep_ms(1);
        shared->count[0] = caught[SIGINT];
        shared->count[1] = caught[SIGQUIT];
        shared->count[2] = caught[SIGTSTP];
        shared->count[3] = caught[SIGWINCH];
    }
}

static void keys(void) {
    struct winsize size = {.ws_row = 50, .ws_col = 80};
    share();
    begin();
    pid_t child = start_session(wait_for_keys);
    wait_for(&shared->ready, 1);
    type_key(CTRL_C);
    wait_for(&shared->count[0], 1);
    type_key(28);
    wait_for(&shared->count[1], 1);
    type_key(CTRL_Z);
    wait_for(&shared->count[2], 1);
    CHECK_OK(ioctl(master, TIOCSWINSZ, &size));
    wait_for(&shared->count[3], 1);
    CHECK_OK(ioctl(master, TIOCSWINSZ, &size)); /* the same again says nothing */
    set_local(master, ISIG, 0);
    type_key(CTRL_C);
    test_sleep_ms(20);
    CHECK_EQ(shared->count[0], 1);
    CHECK_EQ(shared->count[3], 1);
    shared->go = 1;
    CHECK_EXITED(test_wait(child));
    end();
}

/* Two terminals, two sessions: what is typed on one is not the other's affair. */
static void two(void) {
    struct shared *of[2];
    int masters[2], slaves[2];
    pid_t children[2];
    for (int i = 0; i < 2; i++) {
        share();
        of[i] = shared;
        begin();
        masters[i] = master;
        slaves[i] = slave;
        children[i] = start_session(wait_for_keys);
        wait_for(&shared->ready, 1);
    }
    master = masters[1];
    type_key(CTRL_C);
    wait_for(&of[1]->count[0], 1);
    test_sleep_ms(20);
    CHECK_EQ(of[0]->count[0], 0);
    for (int i = 0; i < 2; i++) {
        of[i]->go = 1;
        CHECK_EXITED(test_wait(children[i]));
        close(masters[i]);
        close(slaves[i]);
    }
}

static int stop_signal(pid_t child) {
    int status;
    CHECK_EQ(waitpid(child, &status, WUNTRACED), child);
    CHECK(WIFSTOPPED(status));
    return WSTOPSIG(status);
}

/* A job in the background: reading stops it, writing only with TOSTOP, changing settings does. */
static void job_control_body(void) {
    char byte;
    pid_t job = (pid_t)CHECK_OK(fork());
    if (job == 0) {
        struct termios settings;
        setpgid(0, 0);
        CHECK_OK(write(slave, "w", 1));
        CHECK_EQ(read(slave, &byte, 1), 1);
        CHECK_OK(tcgetattr(slave, &settings));
        CHECK_OK(tcsetattr(slave, TCSANOW, &settings));
        _exit(byte);
    }
    setpgid(job, job);
    CHECK_EQ(stop_signal(job), SIGTTIN);
    signal(SIGTTOU, SIG_IGN);
    CHECK_OK(tcsetpgrp(slave, job));
    shared->ready = 1;
    kill(-job, SIGCONT);
    wait_for(&shared->go, 1); /* "q\n" is typed, and read */
    CHECK_EXITED_WITH(test_wait(job), 'q');
    CHECK_OK(tcsetpgrp(slave, getpid()));
    job = (pid_t)CHECK_OK(fork());
    if (job == 0) {
        setpgid(0, 0);
        signal(SIGTTOU, SIG_DFL);
        set_local(slave, 0, TOSTOP);
        _exit(0);
    }
    CHECK_EQ(stop_signal(job), SIGTTOU);
    kill(job, SIGKILL);
    CHECK_SIGNALED(test_wait(job), SIGKILL);
}

static void job_control(void) {
    share();
    begin();
    pid_t child = start_session(job_control_body);
    wait_for(&shared->ready, 1);
    type("q\n");
    shared->go = 1;
    CHECK_EXITED(test_wait(child));
    end();
}

static void run_in_forkpty(void) {
    char line[64], name[64];
    int status;
    pid_t child = forkpty(&master, name, NULL, NULL);
    CHECK(child >= 0);
    if (child == 0) {
        char answer[8] = "";
        if (!isatty(0) || tcgetpgrp(0) != getpid() || tcgetsid(1) != getpid() || write(1, "what?\n", 6) != 6 ||
            read(0, answer, sizeof answer) != 3 || strcmp(ttyname(0), ttyname(2)) != 0) {
            _exit(1);
        }
        _exit(answer[0]);
    }
    expect(master, "what?\r\n");
    type("7!\n");
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK_EXITED_WITH(status, '7');
    expect(master, "7!\r\n");
    CHECK_ERRNO(read(master, line, sizeof line), EIO);
    close(master);
}

/* --- Many --------------------------------------------------------------------------------------------------------- */

/* Opens as many as there can be, and closes them; how many it were. */
static int open_all(void) {
    enum { MOST = 5000 };
    static int fds[MOST];
    int count = 0;
    while (count < MOST && (fds[count] = open("/dev/ptmx", O_RDWR | O_NOCTTY)) >= 0) {
        count++;
    }
    CHECK(errno == ENOSPC || errno == EMFILE);
    for (int i = 0; i < count; i++) {
        close(fds[i]);
    }
    return count;
}

/* Closed, there is room again, and no memory is gone (the runner looks). */
static void limits(void) {
    CHECK(open_all() >= 64);
    begin();
    type("x\n");
    expect(slave, "x\n");
    end();
}

static void reuse(void) {
    char bytes[16];
    for (int i = 0; i < 300; i++) {
        begin();
        CHECK_OK(fcntl(master, F_SETFL, O_NONBLOCK));
        CHECK_OK(fcntl(slave, F_SETFL, O_NONBLOCK));
        CHECK_ERRNO(read(master, bytes, sizeof bytes), EAGAIN); /* nothing of the one before */
        CHECK_ERRNO(read(slave, bytes, sizeof bytes), EAGAIN);
        CHECK_EQ(write(slave, "secret", 6), 6);
        type("secret\n");
        end();
    }
}

/* Whoever is killed while opening, talking or closing leaves nothing behind. */
static void killed(void) {
    enum { ROUNDS = 40, AT_ONCE = 3 };
    const int before = open_all();
    for (int i = 0; i < ROUNDS; i++) {
        pid_t children[AT_ONCE];
        for (int j = 0; j < AT_ONCE; j++) {
            children[j] = (pid_t)CHECK_OK(fork());
            for (; children[j] == 0;) {
                begin();
                type("x\n");
                expect(slave, "x\n");
                end();
            }
        }
        usleep(1000 + (useconds_t)i * 150);
        for (int j = 0; j < AT_ONCE; j++) {
            kill(children[j], SIGKILL);
            CHECK_SIGNALED(test_wait(children[j]), SIGKILL);
        }
    }
    CHECK_EQ(open_all(), before);
}

/* Pairs on all CPUs that open, talk and close at once. */
static void talk(unsigned rounds) {
    for (unsigned i = 0; i < rounds; i++) {
        char text[32];
        begin();
        int length = snprintf(text, sizeof text, "%d of %u\n", getpid(), i);
        pid_t child = (pid_t)CHECK_OK(fork());
        if (child == 0) {
            char line[64];
            ssize_t got = CHECK_OK(read(slave, line, sizeof line));
            _exit(got != length || memcmp(line, text, (size_t)got) != 0);
        }
        type(text);
        CHECK_EXITED(test_wait(child));
        end();
    }
}

static void together(void) {
    enum { PAIRS = 4, ROUNDS = 25 };
    pid_t children[PAIRS];
    for (int i = 0; i < PAIRS; i++) {
        children[i] = (pid_t)CHECK_OK(fork());
        if (children[i] == 0) {
            talk(ROUNDS);
            _exit(0);
        }
    }
    for (int i = 0; i < PAIRS; i++) {
        CHECK_EXITED(test_wait(children[i]));
    }
}

/* --- Penumbra's own ----------------------------------------------------------------------------------------------- */

/* Written by a child of init, so that for a moment nothing may be in it. */
static pid_t server_pid(void) {
    int pid = -1;
    for (int i = 0; i < SOON_MS && pid < 0; i++) {
        FILE *file = fopen("/run/pty.pid", "r");
        if (file == NULL || fscanf(file, "%d", &pid) != 1) {
            test_sleep_ms(1);
        }
        if (file != NULL) {
            fclose(file);
        }
    }
    CHECK(pid > 0);
    return pid;
}

static long server_pages(void) {
    char path[32];
    long pages = -1;
    snprintf(path, sizeof path, "/proc/%d/statm", server_pid());
    FILE *file = fopen(path, "r");
    CHECK(file != NULL && fscanf(file, "%ld", &pages) == 1);
    fclose(file);
    return pages;
}

/* Who is killed while his pseudo-terminal is being made leaves nothing with the server. */
static void killed_while_opening(void) {
    enum { ROUNDS = 200, SOONEST_NS = 300000, STEP_NS = 1500 };
    test_needs_penumbra();
    begin(); /* so that those are not the server's first */
    const long before = server_pages();
    for (int i = 0; i < ROUNDS; i++) {
        pid_t child = (pid_t)CHECK_OK(fork());
        if (child == 0) {
            for (;;) {
                close(open("/dev/ptmx", O_RDWR | O_NOCTTY));
            }
        }
        const uint64_t until = test_now_ns() + SOONEST_NS + (uint64_t)i * STEP_NS;
        while (test_now_ns() < until) {
        }
        CHECK_OK(kill(child, SIGKILL));
        test_wait(child);
    }
    for (int ms = 0; ms < SOON_MS && server_pages() != before; ms++) {
        test_sleep_ms(1);
    }
    CHECK_EQ(server_pages(), before);
    end();
}

/* Bytes cross by messages and never make anybody leave the restricted space; nor do opening, closing, hanging up. */
static void no_exits(void) {
    char text[8];
    test_needs_penumbra();
    begin();
    end();
    struct asi_counters before = penumbra_counters(ASI_SCOPE_ALL);
    for (int i = 0; i < 20; i++) {
        begin();
        type("abc\n");
        expect(slave, "abc\n");
        expect(master, "abc\r\n");
        CHECK_EQ(events_of(slave, POLLIN, 0), 0);
        make_raw(slave);
        close(slave);
        CHECK_ERRNO(read(master, text, sizeof text), EIO);
        close(master);
    }
    struct asi_counters after = penumbra_counters(ASI_SCOPE_ALL);
    if (penumbra_state().mode == ASI_MODE_ASI) {
        CHECK_EQ(penumbra_exits(&after) - penumbra_exits(&before), 0);
    }
}

/* What it had is lost: both ends are told. The next one serves those that come. */
static void server_killed(void) {
    char byte;
    test_needs_penumbra();
    for (int i = 0; i < 3; i++) {
        begin();
        type("x\n");
        expect(slave, "x\n");
        pid_t before = server_pid();
        CHECK_OK(kill(before, SIGKILL));
        CHECK_EQ(events_of(slave, POLLHUP, SOON_MS) & POLLHUP, POLLHUP);
        CHECK_EQ(read(slave, &byte, 1), 0);
        CHECK_ERRNO(write(slave, "x", 1), EIO);
        CHECK_ERRNO(write(master, "x", 1), EIO);
        CHECK_ERRNO(read(master, &byte, 1), EIO);
        end();
        begin(); /* waits for the next */
        type("x\n");
        expect(slave, "x\n");
        end();
        for (int ms = 0; ms < SOON_MS && server_pid() == before; ms++) {
            test_sleep_ms(1);
        }
    }
}

static const struct test_case cases[] = {
    {"names", names},
    {"listed", listed},
    {"numbers", numbers},
    {"locked", locked},
    {"library", library},
    {"peer", peer},
    {"lines", lines},
    {"raw", raw},
    {"counts", counts},
    {"settings", settings},
    {"old_calls", old_calls},
    {"exclusive", exclusive},
    {"packets", packets},
    {"flow", flow},
    {"full", full},
    {"long_line", long_line},
    {"echo_child", echo_child},
    {"readiness", readiness},
    {"interrupted", interrupted},
    {"slave_closes", slave_closes},
    {"slave_closes_later", slave_closes_later},
    {"master_closes", master_closes},
    {"hang_up_signals", hang_up_signals},
    {"hang_up_kills", hang_up_kills},
    {"leader_ends", leader_ends},
    {"controlling", controlling},
    {"keys", keys},
    {"two", two},
    {"job_control", job_control},
    {"forkpty", run_in_forkpty},
    {"limits", limits},
    {"reuse", reuse},
    {"killed", killed},
    {"together", together},
    {"no_exits", no_exits},
    {"bad_addresses", bad_addresses},
    {"killed_while_opening", killed_while_opening},
    {"server_killed", server_killed},
};

TEST_MAIN(cases)
