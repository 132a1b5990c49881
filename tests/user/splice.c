/*
 * Conformance: splice, tee, vmsplice. What moves and what stays, positions, who waits for what, how much one call does,
 * and what is refused.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/user/lib/penumbra.h"
#include "tests/user/lib/test.h"

enum { PIPE_BYTES = 65536 };

static void make_pipe(int ends[2], int flags) { CHECK_OK(pipe2(ends, flags)); }

static void close_both(const int ends[2]) {
    CHECK_OK(close(ends[0]));
    CHECK_OK(close(ends[1]));
}

static void say(int fd, const char *text) { CHECK_EQ(write(fd, text, strlen(text)), strlen(text)); }

static void hear(int fd, const char *expected) {
    char text[64] = "";
    CHECK_EQ(read(fd, text, strlen(expected)), strlen(expected));
    CHECK_EQ(strcmp(text, expected), 0);
}

static void check_bytes(const uint8_t *data, size_t offset, size_t bytes) {
    for (size_t i = 0; i < bytes; i++)
        CHECK(data[i] == test_byte(offset + i));
}

static void file_to_pipe(void) {
    static uint8_t data[PIPE_BYTES];
    const char *path = test_path("splice");
    int ends[2], fd = test_file(path, 100000);
    loff_t offset = 5000;
    make_pipe(ends, 0);
    CHECK_OK(lseek(fd, 100, SEEK_SET));
    CHECK_EQ(splice(fd, NULL, ends[1], NULL, 1000, 0), 1000);
    CHECK_EQ(lseek(fd, 0, SEEK_CUR), 1100);
    CHECK_EQ(read(ends[0], data, sizeof(data)), 1000);
    check_bytes(data, 100, 1000);
    CHECK_EQ(splice(fd, &offset, ends[1], NULL, 10000, SPLICE_F_MOVE), 10000);
    CHECK_EQ(offset, 15000);
    CHECK_EQ(lseek(fd, 0, SEEK_CUR), 1100);
    CHECK_EQ(read(ends[0], data, sizeof(data)), 10000);
    check_bytes(data, 5000, 10000);
    CHECK_OK(lseek(fd, 0, SEEK_SET));
    CHECK_EQ(splice(fd, NULL, ends[1], NULL, 100000, 0), PIPE_BYTES); /* what fits, and no waiting for the rest */
    CHECK_ERRNO(splice(fd, NULL, ends[1], NULL, 1, SPLICE_F_NONBLOCK), EAGAIN);
    CHECK_EQ(read(ends[0], data, sizeof(data)), PIPE_BYTES);
    check_bytes(data, 0, PIPE_BYTES);
    offset = 100000;
    CHECK_EQ(splice(fd, &offset, ends[1], NULL, 10, 0), 0);
    offset = 99990;
    CHECK_EQ(splice(fd, &offset, ends[1], NULL, 100, 0), 10);
    CHECK_EQ(offset, 100000);
    close_both(ends);
    CHECK_OK(close(fd));
    CHECK_OK(unlink(path));
}

static void pipe_to_file(void) {
    const char *path = test_path("splice-to");
    int ends[2], fd = (int)CHECK_OK(open(path, O_RDWR | O_CREAT, 0600));
    char text[32] = "";
    loff_t offset = 3;
    make_pipe(ends, 0);
    say(ends[1], "one two three");
    CHECK_EQ(splice(ends[0], NULL, fd, NULL, 3, 0), 3);
    CHECK_EQ(lseek(fd, 0, SEEK_CUR), 3);
    CHECK_EQ(splice(ends[0], NULL, fd, &offset, 4, 0), 4);
    CHECK_EQ(offset, 7);
    CHECK_EQ(lseek(fd, 0, SEEK_CUR), 3);
    offset = 20;
    CHECK_EQ(splice(ends[0], NULL, fd, &offset, 1000, 0), 6); /* what is there */
    CHECK_EQ(pread(fd, text, sizeof(text), 0), 26);
    CHECK_EQ(memcmp(text, "one two\0\0\0\0\0\0\0\0\0\0\0\0\0 three", 26), 0);
    CHECK_ERRNO(splice(ends[0], NULL, fd, NULL, 10, SPLICE_F_NONBLOCK), EAGAIN);
    CHECK_OK(close(ends[1]));
    CHECK_EQ(splice(ends[0], NULL, fd, NULL, 10, 0), 0);
    CHECK_OK(close(ends[0]));
    CHECK_OK(close(fd));
    CHECK_OK(unlink(path));
}

static void pipe_to_pipe(void) {
    static uint8_t data[PIPE_BYTES];
    int a[2], b[2];
    make_pipe(a, 0);
    make_pipe(b, 0);
    say(a[1], "from here to there");
    CHECK_EQ(splice(a[0], NULL, b[1], NULL, 9, 0), 9);
    hear(b[0], "from here");
    hear(a[0], " to there");
    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = test_byte(i);
    CHECK_EQ(write(a[1], data, sizeof(data)), sizeof(data));
    CHECK_EQ(splice(a[0], NULL, b[1], NULL, 1 << 20, 0), PIPE_BYTES);
    CHECK_ERRNO(splice(a[0], NULL, b[1], NULL, 1, SPLICE_F_NONBLOCK), EAGAIN); /* empty, and full */
    memset(data, 0, sizeof(data));
    CHECK_EQ(read(b[0], data, sizeof(data)), PIPE_BYTES);
    check_bytes(data, 0, PIPE_BYTES);
    CHECK_OK(close(a[1]));
    CHECK_EQ(splice(a[0], NULL, b[1], NULL, 1, 0), 0);
    CHECK_OK(close(a[0]));
    close_both(b);
}

static void copies(void) {
    int a[2], b[2];
    make_pipe(a, 0);
    make_pipe(b, 0);
    say(a[1], "said once");
    CHECK_EQ(tee(a[0], b[1], 4, 0), 4);
    CHECK_EQ(tee(a[0], b[1], 100, 0), 9);
    hear(a[0], "said once");
    hear(b[0], "saidsaid once");
    CHECK_ERRNO(tee(a[0], b[1], 1, SPLICE_F_NONBLOCK), EAGAIN);
    CHECK_ERRNO(tee(a[0], a[1], 1, 0), EINVAL);
    CHECK_EQ(tee(a[0], b[1], 0, 0), 0);
    CHECK_OK(close(a[1]));
    CHECK_EQ(tee(a[0], b[1], 1, 0), 0);
    CHECK_OK(close(a[0]));
    close_both(b);
}

static void user_memory(void) {
    static uint8_t data[2 * PIPE_BYTES] __attribute__((aligned(4096))), got[2 * PIPE_BYTES];
    int ends[2];
    char first[6] = "first", second[8] = " second", back[4] = "", more[16] = "";
    struct iovec vectors[] = {{first, 5}, {NULL, 0}, {second, 7}}, into[] = {{back, 3}, {more, sizeof(more)}};
    make_pipe(ends, 0);
    CHECK_EQ(vmsplice(ends[1], vectors, 3, 0), 12);
    CHECK_EQ(vmsplice(ends[0], into, 2, 0), 12);
    CHECK_EQ(memcmp(back, "fir", 3), 0);
    CHECK_EQ(memcmp(more, "st second", 9), 0);
    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = test_byte(i);
    struct iovec all = {data, sizeof(data)};
    CHECK_EQ(vmsplice(ends[1], &all, 1, 0), PIPE_BYTES); /* what fits */
    CHECK_ERRNO(vmsplice(ends[1], &all, 1, SPLICE_F_NONBLOCK), EAGAIN);
    struct iovec rest = {got, sizeof(got)};
    CHECK_EQ(vmsplice(ends[0], &rest, 1, 0), PIPE_BYTES);
    check_bytes(got, 0, PIPE_BYTES);
    CHECK_ERRNO(vmsplice(ends[0], &rest, 1, SPLICE_F_NONBLOCK), EAGAIN);
    CHECK_EQ(vmsplice(ends[1], NULL, 0, 0), 0);
    struct iovec bad = {(void *)8, 100};
    CHECK_ERRNO(vmsplice(ends[1], &bad, 1, 0), EFAULT);
    CHECK_ERRNO(vmsplice(0x7000, &all, 1, 0), EBADF);
    CHECK_ERRNO(vmsplice(ends[1], &all, 1, 0x80), EINVAL);
    CHECK_ERRNO(vmsplice(ends[1], &all, 5000, 0), EINVAL);
    close_both(ends);
}

/* Something to say comes late, room comes late. */
static void waiting(void) {
    static uint8_t data[PIPE_BYTES];
    int a[2], b[2];
    make_pipe(a, 0);
    make_pipe(b, 0);
    pid_t pid = (pid_t)CHECK_OK(fork());
    if (pid == 0) {
        test_sleep_ms(30);
        say(a[1], "late");
        test_sleep_ms(30);
        CHECK_EQ(read(b[0], data, sizeof(data)), sizeof(data));
        _exit(0);
    }
    CHECK_EQ(write(b[1], data, sizeof(data)), sizeof(data));
    CHECK_EQ(splice(a[0], NULL, b[1], NULL, 100, 0), 4);
    CHECK_EXITED(test_wait(pid));
    hear(b[0], "late");
    close_both(a);
    close_both(b);
}

static void sockets(void) {
    int ends[2], pair[2];
    make_pipe(ends, 0);
    CHECK_OK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
    say(ends[1], "through a socket");
    CHECK_EQ(splice(ends[0], NULL, pair[0], NULL, 1000, SPLICE_F_MORE), 16);
    hear(pair[1], "through a socket");
    close_both(ends);
    close_both(pair);
}

static void broken(void) {
    const char *path = test_path("broken");
    int ends[2], others[2], fd = test_file(path, 100);
    loff_t offset = 0;
    signal(SIGPIPE, SIG_IGN);
    make_pipe(ends, 0);
    make_pipe(others, 0);
    CHECK_OK(close(ends[0]));
    CHECK_ERRNO(splice(fd, &offset, ends[1], NULL, 10, 0), EPIPE);
    CHECK_EQ(offset, 0);
    say(others[1], "kept");
    CHECK_ERRNO(splice(others[0], NULL, ends[1], NULL, 10, 0), EPIPE);
    CHECK_ERRNO(tee(others[0], ends[1], 10, 0), EPIPE);
    hear(others[0], "kept");
    CHECK_OK(close(ends[1]));
    close_both(others);
    CHECK_OK(close(fd));
    CHECK_OK(unlink(path));
}

static void refused(void) {
    const char *path = test_path("refused");
    int ends[2], others[2], fd = test_file(path, 100), last = (int)CHECK_OK(open(path, O_WRONLY | O_APPEND));
    loff_t offset = 0;
    make_pipe(ends, 0);
    make_pipe(others, 0);
    say(ends[1], "x");
    CHECK_EQ(splice(0x7000, NULL, 0x7000, NULL, 0, 0), 0);
    CHECK_ERRNO(splice(fd, NULL, ends[1], NULL, 1, 0x80), EINVAL);
    CHECK_ERRNO(splice(0x7000, NULL, ends[1], NULL, 1, 0), EBADF);
    CHECK_ERRNO(splice(fd, NULL, 0x7000, NULL, 1, 0), EBADF);
    CHECK_ERRNO(splice(fd, NULL, ends[0], NULL, 1, 0), EBADF);
    CHECK_ERRNO(splice(ends[1], NULL, fd, NULL, 1, 0), EBADF);
    CHECK_ERRNO(splice(fd, NULL, last, NULL, 1, 0), EINVAL); /* no pipe */
    CHECK_ERRNO(splice(ends[0], NULL, last, NULL, 1, 0), EINVAL);
    CHECK_ERRNO(splice(ends[0], NULL, ends[1], NULL, 1, 0), EINVAL);
    CHECK_ERRNO(splice(ends[0], &offset, fd, NULL, 1, 0), ESPIPE);
    CHECK_ERRNO(splice(fd, NULL, ends[1], &offset, 1, 0), ESPIPE);
    CHECK_ERRNO(splice(ends[0], &offset, others[1], NULL, 1, 0), ESPIPE);
    CHECK_ERRNO(splice(fd, (loff_t *)8, ends[1], NULL, 1, 0), EFAULT);
    offset = -1;
    CHECK_ERRNO(splice(fd, &offset, ends[1], NULL, 1, 0), EINVAL);
    CHECK_ERRNO(tee(fd, ends[1], 1, 0), EINVAL);
    CHECK_ERRNO(tee(ends[0], fd, 1, 0), EINVAL);
    CHECK_ERRNO(tee(ends[1], others[1], 1, 0), EBADF);
    CHECK_ERRNO(tee(ends[0], others[1], 1, 0x80), EINVAL);
    hear(ends[0], "x");
    close_both(ends);
    close_both(others);
    CHECK_OK(close(last));
    CHECK_OK(close(fd));
    CHECK_OK(unlink(path));
}

/* Several take from one pipe by splice and by read: each byte comes to one of them. */
static void many_readers(void) {
    enum { READERS = 4, BYTES = 200000 };
    static uint8_t data[4096];
    int ends[2], out[2], total = 0;
    pid_t readers[READERS];
    make_pipe(ends, 0);
    make_pipe(out, 0);
    for (int i = 0; i < READERS; i++) {
        readers[i] = (pid_t)CHECK_OK(fork());
        if (readers[i] != 0)
            continue;
        int sum = 0, own[2];
        close(ends[1]);
        make_pipe(own, 0);
        for (ssize_t n = 1; n > 0; sum += (int)n) {
            n = i % 2 == 0 ? CHECK_OK(splice(ends[0], NULL, own[1], NULL, 1000 + (size_t)i, 0))
                           : CHECK_OK(read(ends[0], data, 500));
            if (i % 2 == 0 && n > 0)
                CHECK_EQ(read(own[0], data, sizeof(data)), n);
        }
        CHECK_EQ(write(out[1], &sum, sizeof(sum)), sizeof(sum));
        _exit(0);
    }
    CHECK_OK(close(ends[0]));
    for (size_t left = BYTES; left > 0; left -= 1000)
        CHECK_EQ(write(ends[1], data, 1000), 1000);
    CHECK_OK(close(ends[1]));
    for (int i = 0, sum; i < READERS; i++, total += sum)
        CHECK_EQ(read(out[0], &sum, sizeof(sum)), sizeof(sum));
    CHECK_EQ(total, BYTES);
    for (int i = 0; i < READERS; i++)
        CHECK_EXITED(test_wait(readers[i]));
    close_both(out);
}

/* Who brings bytes to where there is no room holds the pipe; when it is killed another reader gets all of them. */
static void killed_while_holding(void) {
    static uint8_t data[PIPE_BYTES];
    int ends[2], sockets[2];
    make_pipe(ends, 0);
    CHECK_OK(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets));
    while (send(sockets[0], data, sizeof(data), MSG_DONTWAIT) > 0) {
    }
    CHECK_EQ(errno, EAGAIN);
    say(ends[1], "all of it");
    pid_t holder = (pid_t)CHECK_OK(fork());
    if (holder == 0) {
        splice(ends[0], NULL, sockets[0], NULL, 100, 0);
        _exit(1);
    }
    test_sleep_ms(50);
    pid_t reader = (pid_t)CHECK_OK(fork());
    if (reader == 0) {
        test_sleep_ms(50);
        hear(ends[0], "all of it");
        _exit(0);
    }
    test_sleep_ms(20);
    CHECK_OK(kill(holder, SIGKILL));
    CHECK_SIGNALED(test_wait(holder), SIGKILL);
    CHECK_EXITED(test_wait(reader));
    close_both(ends);
    close_both(sockets);
}

static void no_exit(void) {
    const char *path = test_path("no-exit");
    int a[2], b[2], fd = test_file(path, 10000);
    char text[100];
    struct iovec vector = {text, sizeof(text)};
    struct asi_counters before, after;
    loff_t offset = 0;
    test_needs_penumbra();
    make_pipe(a, 0);
    make_pipe(b, 0);
    for (int i = 0; i < 3; i++) {
        before = penumbra_counters(0);
        CHECK_EQ(splice(fd, &offset, a[1], NULL, 1000, 0), 1000);
        CHECK_EQ(tee(a[0], b[1], 1000, 0), 1000);
        CHECK_EQ(splice(a[0], NULL, fd, NULL, 500, 0), 500);
        CHECK_EQ(splice(a[0], NULL, b[1], NULL, 500, 0), 500);
        CHECK_EQ(vmsplice(b[0], &vector, 1, 0), 100);
        CHECK_EQ(vmsplice(b[1], &vector, 1, 0), 100);
        after = penumbra_counters(0);
    }
    if (penumbra_state().mode == ASI_MODE_ASI)
        CHECK_EQ(penumbra_exits(&after), penumbra_exits(&before));
    close_both(a);
    close_both(b);
    CHECK_OK(close(fd));
    CHECK_OK(unlink(path));
}

static const struct test_case cases[] = {
    {"file-to-pipe", file_to_pipe}, {"pipe-to-file", pipe_to_file},
    {"pipe-to-pipe", pipe_to_pipe}, {"copies", copies},
    {"user-memory", user_memory},   {"waiting", waiting},
    {"sockets", sockets},           {"broken", broken},
    {"refused", refused},           {"many-readers", many_readers},
    {"no-exit", no_exit},           {"killed-while-holding", killed_while_holding},
};
TEST_MAIN(cases)
