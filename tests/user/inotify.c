/*
 * Conformance: inotify. What is told of files and of names in directories, in which order; reading, polling, waiting;
 * watches that are changed, end by themselves or are taken away; and the limits.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/user/lib/penumbra.h"
#include "tests/user/lib/test.h"

static const char *const place = "/tmp/inotify-test";

static int begin(int flags) {
    CHECK_OK(mkdir(place, 0755));
    CHECK_OK(chdir(place));
    return (int)CHECK_OK(inotify_init1(IN_NONBLOCK | flags));
}

static void end(int fd) {
    CHECK_OK(close(fd));
    CHECK_OK(chdir("/"));
    CHECK_OK(rmdir(place));
}

static void make(const char *name) { CHECK_OK(close((int)CHECK_OK(open(name, O_WRONLY | O_CREAT, 0644)))); }

static int watch(int fd, const char *path, uint32_t mask) { return (int)CHECK_OK(inotify_add_watch(fd, path, mask)); }

/* --- What was told ------------------------------------------------------------------------------------------------ */

static char buffer[16384] __attribute__((aligned(8)));
static ssize_t filled, at;

static const struct inotify_event *next_event(int fd) {
    if (at >= filled) {
        at = 0;
        filled = read(fd, buffer, sizeof(buffer));
        if (filled < 0) {
            CHECK_EQ(errno, EAGAIN);
            return NULL;
        }
    }
    const struct inotify_event *event = (const struct inotify_event *)(buffer + at);
    at += (ssize_t)(sizeof(*event) + event->len);
    return event;
}

/* The next event; name NULL: without one. Returns its cookie. */
static uint32_t expect(int fd, int number, uint32_t mask, const char *name) {
    static const struct inotify_event none;
    const struct inotify_event *event = next_event(fd);
    if (event == NULL)
        event = &none;
    const char *got = event->len > 0 ? event->name : NULL;
    if (event->wd != number || event->mask != mask || (got == NULL) != (name == NULL) ||
        (name != NULL && strcmp(got, name) != 0))
        test_fail(__FILE__, __LINE__, "told of %d: %x %s, want %d: %x %s", event->wd, event->mask,
                  got != NULL ? got : "", number, mask, name != NULL ? name : "");
    CHECK(name == NULL || event->len % sizeof(*event) == 0);
    return event->cookie;
}

static void expect_nothing(int fd) {
    const struct inotify_event *event = next_event(fd);
    if (event != NULL)
        test_fail(__FILE__, __LINE__, "told of %d: %x %s", event->wd, event->mask, event->len > 0 ? event->name : "");
}

/* --- Files -------------------------------------------------------------------------------------------------------- */

static void file_events(void) {
    char byte = 'x';
    int fd = begin(0);
    make("file");
    int number = watch(fd, "file", IN_ALL_EVENTS);
    int file = (int)CHECK_OK(open("file", O_RDWR));
    expect(fd, number, IN_OPEN, NULL);
    CHECK_EQ(write(file, &byte, 1), 1);
    expect(fd, number, IN_MODIFY, NULL);
    CHECK_EQ(read(file, &byte, 1), 0);
    expect_nothing(fd); /* nothing was read */
    CHECK_EQ(pread(file, &byte, 1, 0), 1);
    expect(fd, number, IN_ACCESS, NULL);
    CHECK_OK(ftruncate(file, 0));
    expect(fd, number, IN_MODIFY, NULL);
    CHECK_OK(fchmod(file, 0600));
    expect(fd, number, IN_ATTRIB, NULL);
    CHECK_OK(close(file));
    expect(fd, number, IN_CLOSE_WRITE, NULL);
    CHECK_OK(close((int)CHECK_OK(open("file", O_RDONLY))));
    expect(fd, number, IN_OPEN, NULL);
    expect(fd, number, IN_CLOSE_NOWRITE, NULL);
    CHECK_OK(close((int)CHECK_OK(open("file", O_PATH))));
    expect_nothing(fd);
    CHECK_OK(truncate("file", 10));
    expect(fd, number, IN_MODIFY, NULL);
    CHECK_OK(link("file", "link"));
    expect(fd, number, IN_ATTRIB, NULL);
    CHECK_OK(rename("link", "moved"));
    expect(fd, number, IN_MOVE_SELF, NULL);
    CHECK_OK(unlink("moved"));
    expect(fd, number, IN_ATTRIB, NULL);
    CHECK_OK(unlink("file"));
    expect(fd, number, IN_ATTRIB, NULL);
    expect(fd, number, IN_DELETE_SELF, NULL);
    expect(fd, number, IN_IGNORED, NULL);
    expect_nothing(fd);
    CHECK_ERRNO(inotify_rm_watch(fd, number), EINVAL);
    end(fd);
}

static void descriptors(void) {
    int fd = begin(0);
    make("file");
    int number = watch(fd, "file", IN_CLOSE | IN_DELETE_SELF);
    int file = (int)CHECK_OK(open("file", O_RDWR)), same = (int)CHECK_OK(dup(file));
    CHECK_OK(close(file));
    expect_nothing(fd); /* one and the same open file */
    CHECK_OK(unlink("file"));
    expect_nothing(fd); /* somebody has it open */
    CHECK_OK(close(same));
    expect(fd, number, IN_CLOSE_WRITE, NULL);
    expect(fd, number, IN_DELETE_SELF, NULL);
    expect(fd, number, IN_IGNORED, NULL);
    end(fd);
}

/* --- Directories -------------------------------------------------------------------------------------------------- */

static void names(void) {
    int fd = begin(0);
    int number = watch(fd, ".", IN_CREATE | IN_DELETE | IN_MOVE | IN_ATTRIB | IN_CLOSE_WRITE);
    make("file");
    expect(fd, number, IN_CREATE, "file");
    expect(fd, number, IN_CLOSE_WRITE, "file");
    CHECK_OK(mkdir("directory", 0755));
    expect(fd, number, IN_CREATE | IN_ISDIR, "directory");
    CHECK_OK(symlink("file", "symlink"));
    expect(fd, number, IN_CREATE, "symlink");
    CHECK_OK(link("file", "a name that is longer than sixteen bytes"));
    expect(fd, number, IN_CREATE, "a name that is longer than sixteen bytes");
    CHECK_OK(mkfifo("fifo", 0600));
    expect(fd, number, IN_CREATE, "fifo");
    CHECK_OK(unlink("a name that is longer than sixteen bytes"));
    expect(fd, number, IN_DELETE, "a name that is longer than sixteen bytes");
    CHECK_OK(chmod("file", 0600));
    expect(fd, number, IN_ATTRIB, "file");
    CHECK_OK(chmod("directory", 0700));
    expect(fd, number, IN_ATTRIB | IN_ISDIR, "directory");
    uint32_t cookies[2];
    CHECK_OK(rename("file", "renamed"));
    cookies[0] = expect(fd, number, IN_MOVED_FROM, "file");
    cookies[1] = expect(fd, number, IN_MOVED_TO, "renamed");
    CHECK(cookies[0] == cookies[1] && cookies[0] != 0);
    CHECK_OK(rename("renamed", "directory/inner"));
    CHECK(expect(fd, number, IN_MOVED_FROM, "renamed") != cookies[0]);
    CHECK_OK(chmod("directory/inner", 0644));
    expect_nothing(fd);                          /* it is elsewhere now */
    CHECK_OK(rename("directory/inner", "fifo")); /* replaces it */
    expect(fd, number, IN_MOVED_TO, "fifo");
    CHECK_OK(rmdir("directory"));
    expect(fd, number, IN_DELETE | IN_ISDIR, "directory");
    CHECK_OK(unlink("symlink"));
    expect(fd, number, IN_DELETE, "symlink");
    CHECK_OK(unlink("fifo"));
    expect(fd, number, IN_DELETE, "fifo");
    expect_nothing(fd);
    end(fd);
}

/* What is done to files in a directory is told with their names, whoever has opened them when. */
static void inside(void) {
    char text[64];
    int fd = begin(0);
    make("early");
    int early = (int)CHECK_OK(open("early", O_RDWR));
    int number = watch(fd, ".", IN_OPEN | IN_MODIFY | IN_ACCESS | IN_CLOSE);
    CHECK_EQ(write(early, "text", 4), 4);
    expect(fd, number, IN_MODIFY, "early");
    make("late");
    expect(fd, number, IN_OPEN, "late");
    expect(fd, number, IN_CLOSE_WRITE, "late");
    int late = (int)CHECK_OK(open("late", O_WRONLY));
    expect(fd, number, IN_OPEN, "late");
    off_t offset = 0;
    CHECK_EQ(sendfile(late, early, &offset, 4), 4);
    const struct inotify_event *first = next_event(fd);
    CHECK(first != NULL && (first->mask == IN_ACCESS || first->mask == IN_MODIFY));
    CHECK(next_event(fd) != NULL);
    CHECK_OK(rename("late", "later"));
    CHECK_EQ(write(late, "x", 1), 1);
    expect(fd, number, IN_MODIFY, "later");
    CHECK_OK(close(late));
    expect(fd, number, IN_CLOSE_WRITE, "later");
    CHECK_EQ(pread(early, text, sizeof(text), 0), 4);
    expect(fd, number, IN_ACCESS, "early");
    CHECK_OK(close(early));
    expect(fd, number, IN_CLOSE_WRITE, "early");
    DIR *directory = opendir(".");
    CHECK(directory != NULL);
    expect(fd, number, IN_OPEN | IN_ISDIR, NULL);
    CHECK(readdir(directory) != NULL);
    expect(fd, number, IN_ACCESS | IN_ISDIR, NULL);
    closedir(directory);
    expect(fd, number, IN_CLOSE_NOWRITE | IN_ISDIR, NULL);
    CHECK_OK(unlink("early"));
    CHECK_OK(unlink("later"));
    expect_nothing(fd);
    end(fd);
}

/* A directory itself: who watches it and who watches the one above. */
static void directories(void) {
    int fd = begin(0);
    CHECK_OK(mkdir("inner", 0755));
    int outer = watch(fd, ".", IN_ALL_EVENTS), inner = watch(fd, "inner", IN_ALL_EVENTS);
    CHECK_OK(rename("inner", "moved"));
    expect(fd, outer, IN_MOVED_FROM | IN_ISDIR, "inner");
    expect(fd, outer, IN_MOVED_TO | IN_ISDIR, "moved");
    expect(fd, inner, IN_MOVE_SELF, NULL);
    CHECK_OK(chmod("moved", 0700));
    expect(fd, outer, IN_ATTRIB | IN_ISDIR, "moved");
    expect(fd, inner, IN_ATTRIB | IN_ISDIR, NULL);
    make("moved/file");
    expect(fd, inner, IN_CREATE, "file");
    expect(fd, inner, IN_OPEN, "file");
    expect(fd, inner, IN_CLOSE_WRITE, "file");
    CHECK_OK(unlink("moved/file"));
    expect(fd, inner, IN_DELETE, "file");
    CHECK_OK(rmdir("moved"));
    expect(fd, inner, IN_DELETE_SELF, NULL);
    expect(fd, inner, IN_IGNORED, NULL);
    expect(fd, outer, IN_DELETE | IN_ISDIR, "moved");
    expect_nothing(fd);
    end(fd);
}

/* --- Watches ------------------------------------------------------------------------------------------------------ */

static void watches(void) {
    int fd = begin(0);
    make("file");
    int number = watch(fd, "file", IN_ATTRIB);
    CHECK_EQ(watch(fd, "file", IN_OPEN), number); /* instead of the other */
    CHECK_OK(chmod("file", 0600));
    expect_nothing(fd);
    CHECK_EQ(watch(fd, "file", IN_ATTRIB | IN_MASK_ADD), number);
    CHECK_OK(chmod("file", 0644));
    expect(fd, number, IN_ATTRIB, NULL);
    CHECK_OK(close((int)CHECK_OK(open("file", O_RDONLY))));
    expect(fd, number, IN_OPEN, NULL);
    CHECK_ERRNO(inotify_add_watch(fd, "file", IN_OPEN | IN_MASK_CREATE), EEXIST);
    CHECK_OK(inotify_rm_watch(fd, number));
    expect(fd, number, IN_IGNORED, NULL);
    CHECK_OK(chmod("file", 0600));
    expect_nothing(fd);
    int once = watch(fd, "file", IN_ATTRIB | IN_ONESHOT);
    CHECK(once != number);
    CHECK_OK(chmod("file", 0644));
    CHECK_OK(chmod("file", 0600));
    expect(fd, once, IN_ATTRIB, NULL);
    expect(fd, once, IN_IGNORED, NULL);
    expect_nothing(fd);
    CHECK_ERRNO(inotify_rm_watch(fd, once), EINVAL);
    CHECK_OK(symlink("file", "link"));
    int link_watch = watch(fd, "link", IN_ATTRIB | IN_DELETE_SELF | IN_DONT_FOLLOW);
    int other = watch(fd, "link", IN_ATTRIB);
    CHECK(link_watch != other);
    CHECK_OK(chmod("link", 0644));
    expect(fd, other, IN_ATTRIB, NULL);
    CHECK_OK(unlink("link"));
    expect(fd, link_watch, IN_ATTRIB, NULL);
    expect(fd, link_watch, IN_DELETE_SELF, NULL);
    expect(fd, link_watch, IN_IGNORED, NULL);
    CHECK_OK(unlink("file"));
    end(fd);
}

/* Two who watch one file, and one who goes away with watches and unread events. */
static void watchers(void) {
    int fd = begin(0), second = (int)CHECK_OK(inotify_init1(IN_NONBLOCK)), gone = (int)CHECK_OK(inotify_init());
    make("file");
    int numbers[] = {watch(fd, "file", IN_ATTRIB), watch(second, ".", IN_ATTRIB)};
    watch(gone, "file", IN_ALL_EVENTS);
    watch(gone, ".", IN_ALL_EVENTS);
    CHECK_OK(chmod("file", 0600));
    expect(fd, numbers[0], IN_ATTRIB, NULL);
    at = filled = 0;
    expect(second, numbers[1], IN_ATTRIB, "file");
    CHECK_OK(close(gone));
    CHECK_OK(chmod("file", 0644));
    at = filled = 0;
    expect(fd, numbers[0], IN_ATTRIB, NULL);
    CHECK_OK(close(second));
    CHECK_OK(unlink("file"));
    end(fd);
}

static void refuse(void *argument) {
    const int *fd = argument;
    CHECK_OK(setuid(1001));
    CHECK_ERRNO(inotify_add_watch(*fd, "secret", IN_OPEN), EACCES);
}

static void refused(void) {
    int fd = begin(0), other = (int)CHECK_OK(open("/dev/null", O_RDONLY));
    make("file");
    make("secret");
    CHECK_OK(chmod("secret", 0600));
    CHECK_ERRNO(inotify_init1(0x1234), EINVAL);
    CHECK_ERRNO(inotify_add_watch(fd, "no-such", IN_OPEN), ENOENT);
    CHECK_ERRNO(inotify_add_watch(fd, "file", 0), EINVAL);
    CHECK_ERRNO(inotify_add_watch(fd, "file", IN_OPEN | IN_ONLYDIR), ENOTDIR);
    CHECK_ERRNO(inotify_add_watch(fd, "file", IN_OPEN | IN_MASK_ADD | IN_MASK_CREATE), EINVAL);
    CHECK_ERRNO(inotify_add_watch(other, "file", IN_OPEN), EINVAL);
    CHECK_ERRNO(inotify_add_watch(0x7000, "file", IN_OPEN), EBADF);
    CHECK_ERRNO(inotify_add_watch(fd, (const char *)8, IN_OPEN), EFAULT);
    CHECK_ERRNO(inotify_rm_watch(fd, 1), EINVAL);
    CHECK_ERRNO(inotify_rm_watch(other, 1), EINVAL);
    CHECK_ERRNO(write(fd, "x", 1), EBADF);
    CHECK_EXITED(test_run_child(refuse, &fd));
    CHECK_OK(close(other));
    CHECK_OK(unlink("file"));
    CHECK_OK(unlink("secret"));
    end(fd);
}

/* --- Reading ------------------------------------------------------------------------------------------------------ */

static void reading(void) {
    struct pollfd item = {.events = POLLIN};
    struct inotify_event event;
    int fd = begin(0), bytes = -1;
    item.fd = fd;
    watch(fd, ".", IN_CREATE | IN_DELETE);
    CHECK_EQ(poll(&item, 1, 0), 0);
    CHECK_ERRNO(read(fd, buffer, sizeof(buffer)), EAGAIN);
    CHECK_OK(ioctl(fd, FIONREAD, &bytes));
    CHECK_EQ(bytes, 0);
    make("fifteen letters");
    make("sixteen letters!");
    CHECK_EQ(poll(&item, 1, 0), 1);
    CHECK_EQ(item.revents, POLLIN);
    CHECK_OK(ioctl(fd, FIONREAD, &bytes));
    CHECK_EQ(bytes, 16 + 16 + 16 + 32);
    CHECK_ERRNO(read(fd, &event, sizeof(event)), EINVAL); /* not without the name */
    CHECK_EQ(read(fd, buffer, 40), 32);
    CHECK_EQ(read(fd, buffer, sizeof(buffer)), 48);
    const struct inotify_event *last = (const struct inotify_event *)buffer;
    CHECK_EQ(strcmp(last->name, "sixteen letters!"), 0);
    CHECK_EQ(last->len, 32);
    for (int i = 16; i < 32; i++)
        CHECK_EQ(last->name[i], 0);
    CHECK_EQ(poll(&item, 1, 0), 0);
    CHECK_OK(unlink("fifteen letters"));
    CHECK_OK(unlink("sixteen letters!"));
    end(fd);
}

/* Who reads without O_NONBLOCK sleeps until something happens. */
static void waiting(void) {
    CHECK_OK(mkdir(place, 0755));
    CHECK_OK(chdir(place));
    int fd = (int)CHECK_OK(inotify_init());
    int number = watch(fd, place, IN_CREATE);
    pid_t pid = (pid_t)CHECK_OK(fork());
    if (pid == 0) {
        test_sleep_ms(30);
        make("late");
        _exit(0);
    }
    expect(fd, number, IN_CREATE, "late");
    CHECK_EXITED(test_wait(pid));
    CHECK_OK(unlink("late"));
    end(fd);
}

/* The same again, not read yet, is told once. */
static void repeated(void) {
    int fd = begin(0);
    make("file");
    int number = watch(fd, "file", IN_MODIFY | IN_ATTRIB), file = (int)CHECK_OK(open("file", O_WRONLY));
    for (int i = 0; i < 10; i++)
        CHECK_EQ(write(file, "x", 1), 1);
    CHECK_OK(fchmod(file, 0600));
    CHECK_EQ(write(file, "x", 1), 1);
    expect(fd, number, IN_MODIFY, NULL);
    expect(fd, number, IN_ATTRIB, NULL);
    expect(fd, number, IN_MODIFY, NULL);
    expect_nothing(fd);
    CHECK_OK(close(file));
    CHECK_OK(unlink("file"));
    end(fd);
}

/* When others read and write through a device, or a FIFO that one may not open, is a secret of theirs. */
static void secret_times(void) {
    int master = (int)CHECK_OK(open("/dev/ptmx", O_RDWR | O_NOCTTY)), zero = (int)CHECK_OK(open("/dev/zero", O_RDWR));
    char byte;
    test_needs_penumbra();
    int fd = begin(0);
    CHECK_OK(mkfifo("fifo", 0600));
    int number = watch(fd, ".", IN_ACCESS | IN_MODIFY | IN_OPEN);
    watch(fd, "/dev/ptmx", IN_ACCESS | IN_MODIFY);
    watch(fd, "/dev/zero", IN_ACCESS | IN_MODIFY);
    int fifo = (int)CHECK_OK(open("fifo", O_RDWR));
    expect(fd, number, IN_OPEN, "fifo");
    int own = watch(fd, "fifo", IN_ACCESS | IN_MODIFY);
    CHECK_EQ(write(master, "x", 1), 1);
    CHECK_EQ(read(master, &byte, 1), 1);
    CHECK_EQ(write(zero, "x", 1), 1);
    CHECK_EQ(read(zero, &byte, 1), 1);
    expect_nothing(fd);
    CHECK_EQ(write(fifo, "x", 1), 1); /* who may open it may know */
    expect(fd, own, IN_MODIFY, NULL);
    expect_nothing(fd);
    CHECK_OK(close(fifo));
    CHECK_OK(close(zero));
    CHECK_OK(close(master));
    CHECK_OK(unlink("fifo"));
    end(fd);
}

/* --- Limits ------------------------------------------------------------------------------------------------------- */

static int limit(const char *name) {
    char path[64], text[16] = "";
    snprintf(path, sizeof(path), "/proc/sys/fs/inotify/%s", name);
    int fd = (int)CHECK_OK(open(path, O_RDONLY));
    CHECK(read(fd, text, sizeof(text) - 1) > 0);
    CHECK_OK(close(fd));
    return atoi(text);
}

static void overflow(void) {
    const int most = limit("max_queued_events");
    int fd = begin(0), lost = 0, told = 0;
    make("one");
    make("two");
    int number = watch(fd, ".", IN_ATTRIB);
    for (int i = 0; i < most / 2 + 10; i++) {
        CHECK_OK(chmod("one", 0600));
        CHECK_OK(chmod("two", 0600));
    }
    for (const struct inotify_event *event; (event = next_event(fd)) != NULL;) {
        CHECK_EQ(lost, 0); /* it is the last */
        told += event->wd == number;
        lost += event->mask == IN_Q_OVERFLOW && event->wd == -1 && event->len == 0;
    }
    CHECK_EQ(told, most);
    CHECK_EQ(lost, 1);
    CHECK_OK(chmod("one", 0644));
    expect(fd, number, IN_ATTRIB, "one");
    CHECK_OK(unlink("one"));
    CHECK_OK(unlink("two"));
    end(fd);
}

/* As many events as a user's descriptors keep in all: the kernel's memory is not one user's. */
static void shared_limit(void) {
    enum { INSTANCES = 12, LEAST = 64, ALL = 8192, EACH = 2048 };
    int fds[INSTANCES], told = 0, lost = 0;
    test_needs_penumbra();
    int fd = begin(0);
    make("one");
    make("two");
    for (int i = 0; i < INSTANCES; i++) {
        fds[i] = (int)CHECK_OK(inotify_init1(IN_NONBLOCK));
        watch(fds[i], ".", IN_ATTRIB);
    }
    for (int i = 0; i < EACH / 2; i++) {
        CHECK_OK(chmod("one", 0600));
        CHECK_OK(chmod("two", 0600));
    }
    for (int i = 0; i < INSTANCES; i++) {
        int own = 0;
        for (const struct inotify_event *event; (event = next_event(fds[i])) != NULL;) {
            own += event->wd != -1;
            lost += event->mask == IN_Q_OVERFLOW;
        }
        CHECK(own >= LEAST);
        told += own;
        CHECK_OK(close(fds[i]));
    }
    CHECK_EQ(lost, INSTANCES);
    CHECK(told >= ALL && told <= ALL + INSTANCES * LEAST);
    CHECK_OK(unlink("one"));
    CHECK_OK(unlink("two"));
    end(fd);
}

static void exhaust(void *unused) {
    const int instances = limit("max_user_instances");
    int made = 0, fd = 0;
    (void)unused;
    CHECK_OK(setuid(12345));
    while (made <= instances && (fd = inotify_init1(IN_CLOEXEC)) >= 0)
        made++;
    CHECK_EQ(fd, -1);
    CHECK_EQ(errno, EMFILE);
    CHECK_EQ(made, instances);
}

static void too_many(void) {
    CHECK_EXITED(test_run_child(exhaust, NULL));
    CHECK_EXITED(test_run_child(exhaust, NULL)); /* all of them were given back */
}

static const struct test_case cases[] = {
    {"file-events", file_events}, {"descriptors", descriptors},   {"names", names},
    {"inside", inside},           {"directories", directories},   {"watches", watches},
    {"watchers", watchers},       {"refused", refused},           {"reading", reading},
    {"waiting", waiting},         {"repeated", repeated},         {"overflow", overflow},
    {"too-many", too_many},       {"secret-times", secret_times}, {"shared-limit", shared_limit},
};
TEST_MAIN(cases)
