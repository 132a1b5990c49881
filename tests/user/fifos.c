/*
 * Conformance: pipes with a name. mknod and mkfifo, whom open waits for, what is shared by all who open it, what poll
 * tells before and after a writer was there, and that what nobody has open is empty.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/user/lib/penumbra.h"
#include "tests/user/lib/test.h"

static const char *make_fifo(mode_t mode) {
    const char *path = test_path("fifo");
    umask(0);
    CHECK_OK(mkfifo(path, mode));
    return path;
}

static int open_fifo(const char *path, int flags) { return (int)CHECK_OK(open(path, flags)); }

static void check_read(int fd, const char *expected) {
    char text[64] = "";
    CHECK_EQ(read(fd, text, sizeof(text)), strlen(expected));
    CHECK_EQ(strcmp(text, expected), 0);
}

static void check_write(int fd, const char *text) { CHECK_EQ(write(fd, text, strlen(text)), strlen(text)); }

static short poll_now(int fd, short events) {
    struct pollfd item = {.fd = fd, .events = events};
    CHECK_OK(poll(&item, 1, 0));
    return item.revents;
}

/* --- Names -------------------------------------------------------------------------------------------------------- */

static void make_nodes(void) {
    struct stat status;
    const char *path = test_path("node");
    umask(022);
    CHECK_OK(mknod(path, S_IFIFO | 0666, 0));
    CHECK_OK(stat(path, &status));
    CHECK_EQ(status.st_mode, S_IFIFO | 0644);
    CHECK_EQ(status.st_size, 0);
    CHECK_EQ(status.st_nlink, 1);
    CHECK_ERRNO(mkfifo(path, 0600), EEXIST);
    CHECK_ERRNO(mknod(path, S_IFREG | 0600, 0), EEXIST);
    CHECK_ERRNO(truncate(path, 0), EINVAL);
    CHECK_ERRNO(open(path, O_RDONLY | O_DIRECTORY), ENOTDIR);
    CHECK_ERRNO(open(path, O_RDWR | O_CREAT | O_EXCL, 0600), EEXIST);
    CHECK_OK(chmod(path, 0600));
    CHECK_OK(stat(path, &status));
    CHECK_EQ(status.st_mode, S_IFIFO | 0600);
    CHECK_OK(unlink(path));
    CHECK_OK(mknod(path, S_IFREG | 0640, 0));
    CHECK_OK(stat(path, &status));
    CHECK_EQ(status.st_mode, S_IFREG | 0640);
    CHECK_OK(unlink(path));
    CHECK_OK(mknod(path, 0600, 0)); /* no type: a regular file */
    CHECK_OK(stat(path, &status));
    CHECK_EQ(status.st_mode, S_IFREG | 0600);
    CHECK_OK(unlink(path));
    CHECK_OK(mknodat(AT_FDCWD, path, S_IFSOCK | 0600, 0));
    CHECK_OK(stat(path, &status));
    CHECK_EQ(status.st_mode, S_IFSOCK | 0600);
    CHECK_ERRNO(open(path, O_RDONLY), ENXIO);
    CHECK_OK(unlink(path));
    CHECK_ERRNO(mknod(path, S_IFDIR | 0600, 0), EPERM);
    CHECK_ERRNO(mknod(path, S_IFLNK | 0600, 0), EINVAL);
    CHECK_ERRNO(mkfifo("/tmp/no-such/fifo", 0600), ENOENT);
    CHECK_ERRNO(mkfifo("", 0600), ENOENT);
}

static void try_devices(void *unused) {
    (void)unused;
    CHECK_OK(setuid(1001));
    CHECK_ERRNO(mknod("/tmp/device", S_IFCHR | 0600, 0x103), EPERM);
    CHECK_ERRNO(mknod("/tmp/device", S_IFBLK | 0600, 0x103), EPERM);
    CHECK_ERRNO(open("/tmp/owners-fifo", O_RDONLY | O_NONBLOCK), EACCES);
    CHECK_ERRNO(open("/tmp/owners-fifo", O_RDWR | O_NONBLOCK), EACCES);
}

static void permissions(void) {
    unlink("/tmp/owners-fifo");
    CHECK_OK(mkfifo("/tmp/owners-fifo", 0600));
    int status = test_run_child(try_devices, NULL);
    CHECK_OK(unlink("/tmp/owners-fifo"));
    CHECK_EXITED(status);
}

/* --- Opening ------------------------------------------------------------------------------------------------------ */

static void no_waiting(void) {
    const char *path = make_fifo(0600);
    CHECK_ERRNO(open(path, O_WRONLY | O_NONBLOCK), ENXIO);
    int reader = open_fifo(path, O_RDONLY | O_NONBLOCK);
    char byte;
    CHECK_EQ(read(reader, &byte, 1), 0);
    int writer = open_fifo(path, O_WRONLY | O_NONBLOCK);
    CHECK_ERRNO(read(reader, &byte, 1), EAGAIN);
    check_write(writer, "hello");
    check_read(reader, "hello");
    CHECK_ERRNO(lseek(reader, 0, SEEK_SET), ESPIPE);
    CHECK_OK(close(writer));
    CHECK_EQ(read(reader, &byte, 1), 0);
    CHECK_OK(close(reader));
    int both = open_fifo(path, O_RDWR);
    check_write(both, "to myself");
    int bytes = 0;
    CHECK_OK(ioctl(both, FIONREAD, &bytes));
    CHECK_EQ(bytes, 9);
    check_read(both, "to myself");
    CHECK_OK(close(both));
    CHECK_OK(unlink(path));
}

struct opening {
    const char *path;
    int flags, fd;
    volatile bool done;
};

static void *open_it(void *argument) {
    struct opening *opening = argument;
    opening->fd = open(opening->path, opening->flags);
    opening->done = true;
    return NULL;
}

/* Waits in one thread until another opens the other end. */
static void check_meeting(int first, int second) {
    struct opening opening = {.path = make_fifo(0600), .flags = first};
    pthread_t thread;
    CHECK_EQ(pthread_create(&thread, NULL, open_it, &opening), 0);
    test_sleep_ms(30);
    CHECK(!opening.done);
    int fd = open_fifo(opening.path, second);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    CHECK_OK(opening.fd);
    const int reader = first == O_RDONLY ? opening.fd : fd, writer = first == O_RDONLY ? fd : opening.fd;
    check_write(writer, "met");
    check_read(reader, "met");
    CHECK_OK(close(fd));
    CHECK_OK(close(opening.fd));
    CHECK_OK(unlink(opening.path));
}

static void waiting(void) {
    check_meeting(O_RDONLY, O_WRONLY);
    check_meeting(O_WRONLY, O_RDONLY);
    check_meeting(O_RDONLY, O_RDWR);
    check_meeting(O_WRONLY, O_RDONLY | O_NONBLOCK);
}

/* The one that was waited for may have gone by the time the waiter wakes. */
static void short_visit(void) {
    const char *path = make_fifo(0600);
    pid_t pid = (pid_t)CHECK_OK(fork());
    if (pid == 0) {
        char text[8];
        int fd = open_fifo(path, O_RDONLY);
        CHECK_EQ(read(fd, text, sizeof(text)), 2);
        CHECK_EQ(read(fd, text, sizeof(text)), 0);
        _exit(0);
    }
    int fd = open_fifo(path, O_WRONLY);
    check_write(fd, "hi");
    CHECK_OK(close(fd));
    CHECK_EXITED(test_wait(pid));
    CHECK_ERRNO(open(path, O_WRONLY | O_NONBLOCK), ENXIO);
    CHECK_OK(unlink(path));
}

static void nothing(int signal) { (void)signal; }

static void be_interrupted(void *argument) {
    const struct sigaction action = {.sa_handler = nothing};
    CHECK_OK(sigaction(SIGALRM, &action, NULL));
    alarm(1);
    CHECK_ERRNO(open(argument, O_RDONLY), EINTR);
    CHECK_ERRNO(open(argument, O_WRONLY | O_NONBLOCK), ENXIO); /* and it left nothing behind */
    alarm(1);
    CHECK_ERRNO(open(argument, O_WRONLY), EINTR);
}

static void interrupted(void) {
    const char *path = make_fifo(0600);
    CHECK_EXITED(test_run_child(be_interrupted, (void *)(uintptr_t)path));
    int reader = open_fifo(path, O_RDONLY | O_NONBLOCK);
    char byte;
    CHECK_EQ(read(reader, &byte, 1), 0); /* nor did the writer */
    CHECK_OK(close(reader));
    CHECK_OK(unlink(path));
}

/* --- What is shared ----------------------------------------------------------------------------------------------- */

/* By all names of it, and by who has it open when it has none any more. */
static void one_pipe(void) {
    const char *path = make_fifo(0600), *other = test_path("fifo-link");
    CHECK_OK(link(path, other));
    int reader = open_fifo(path, O_RDONLY | O_NONBLOCK), writer = open_fifo(other, O_WRONLY);
    int writer2 = open_fifo(path, O_WRONLY);
    check_write(writer, "one ");
    check_write(writer2, "two");
    check_read(reader, "one two");
    CHECK_OK(unlink(path));
    CHECK_OK(unlink(other));
    check_write(writer, "no name");
    check_read(reader, "no name");
    CHECK_OK(mkfifo(path, 0600)); /* another one */
    CHECK_ERRNO(open(path, O_WRONLY | O_NONBLOCK), ENXIO);
    CHECK_OK(unlink(path));
    CHECK_OK(close(writer));
    CHECK_OK(close(writer2));
    CHECK_OK(close(reader));
}

/* Unread bytes stay while a writer does, and go with the last who had it open. */
static void unread(void) {
    char byte;
    const char *path = make_fifo(0600);
    int reader = open_fifo(path, O_RDONLY | O_NONBLOCK), writer = open_fifo(path, O_WRONLY);
    check_write(writer, "abc");
    CHECK_EQ(read(reader, &byte, 1), 1);
    CHECK_OK(close(reader));
    signal(SIGPIPE, SIG_IGN);
    CHECK_ERRNO(write(writer, "x", 1), EPIPE);
    reader = open_fifo(path, O_RDONLY);
    check_read(reader, "bc");
    check_write(writer, "lost");
    CHECK_OK(close(reader));
    CHECK_OK(close(writer));
    reader = open_fifo(path, O_RDONLY | O_NONBLOCK);
    CHECK_EQ(read(reader, &byte, 1), 0);
    CHECK_OK(close(reader));
    CHECK_OK(unlink(path));
}

/* A writer who may not read is the last to have it open. */
static void write_only(const char *path, int told) {
    int writer = open_fifo(path, O_WRONLY);
    CHECK_OK(setuid(1001));
    check_write(writer, "by the last");
    check_write(told, "x");
    while (!(poll_now(writer, 0) & POLLERR))
        test_sleep_ms(1);
    _exit(0);
}

static void last_is_writer(void) {
    const char *path = make_fifo(0600);
    char byte;
    int told[2];
    CHECK_OK(pipe(told));
    pid_t pid = (pid_t)CHECK_OK(fork());
    if (pid == 0)
        write_only(path, told[1]);
    int reader = open_fifo(path, O_RDWR);
    check_write(reader, "by the first, ");
    CHECK_EQ(read(told[0], &byte, 1), 1);
    CHECK_OK(close(reader));
    CHECK_EXITED(test_wait(pid));
    CHECK_OK(close(told[0]));
    CHECK_OK(close(told[1]));
    reader = open_fifo(path, O_RDONLY | O_NONBLOCK);
    CHECK_EQ(read(reader, &byte, 1), 0);
    CHECK_OK(close(reader));
    CHECK_OK(unlink(path));
}

/* --- Poll --------------------------------------------------------------------------------------------------------- */

static void polled(void) {
    const char *path = make_fifo(0600);
    int reader = open_fifo(path, O_RDONLY | O_NONBLOCK);
    CHECK_EQ(poll_now(reader, POLLIN), 0); /* nobody has been there: that is no hang-up */
    int writer = open_fifo(path, O_WRONLY);
    CHECK_EQ(poll_now(reader, POLLIN), 0);
    CHECK_EQ(poll_now(writer, POLLOUT), POLLOUT);
    check_write(writer, "x");
    CHECK_EQ(poll_now(reader, POLLIN), POLLIN);
    CHECK_OK(close(writer));
    CHECK_EQ(poll_now(reader, POLLIN), POLLIN | POLLHUP);
    check_read(reader, "x");
    CHECK_EQ(poll_now(reader, POLLIN), POLLHUP);
    int late = open_fifo(path, O_RDONLY | O_NONBLOCK);
    CHECK_EQ(poll_now(late, POLLIN), 0);
    writer = open_fifo(path, O_WRONLY);
    CHECK_EQ(poll_now(reader, POLLIN), 0);
    CHECK_OK(close(reader));
    CHECK_OK(close(late));
    CHECK(poll_now(writer, POLLOUT) & POLLERR);
    CHECK_OK(close(writer));
    CHECK_OK(unlink(path));
}

/* Between two processes: much more than fits, both ways of opening asleep. */
static void much(void) {
    enum { BYTES = 300000 };
    static uint8_t data[BYTES];
    const char *path = make_fifo(0600);
    pid_t pid = (pid_t)CHECK_OK(fork());
    if (pid == 0) {
        for (size_t i = 0; i < BYTES; i++)
            data[i] = test_byte(i);
        CHECK_EQ(write(open_fifo(path, O_WRONLY), data, BYTES), BYTES);
        _exit(0);
    }
    int fd = open_fifo(path, O_RDONLY);
    size_t done = 0;
    for (ssize_t part; (part = CHECK_OK(read(fd, data + done, BYTES - done))) > 0;)
        done += (size_t)part;
    CHECK_EQ(done, BYTES);
    for (size_t i = 0; i < BYTES; i++)
        CHECK(data[i] == test_byte(i));
    CHECK_EXITED(test_wait(pid));
    CHECK_OK(close(fd));
    CHECK_OK(unlink(path));
}

static const struct test_case cases[] = {
    {"nodes", make_nodes},
    {"permissions", permissions},
    {"no-waiting", no_waiting},
    {"waiting", waiting},
    {"short-visit", short_visit},
    {"interrupted", interrupted},
    {"one-pipe", one_pipe},
    {"unread", unread},
    {"last-is-writer", last_is_writer},
    {"polled", polled},
    {"much", much},
};
TEST_MAIN(cases)
