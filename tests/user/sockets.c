/*
 * Conformance: UNIX sockets. Streams, datagrams, seqpackets; names; files and credentials that go along; as much of
 * AF_INET as a machine without a network has.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/user/lib/penumbra.h"
#include "tests/user/lib/test.h"

static int pair[2];

static void open_pair(int type) { CHECK_OK(socketpair(AF_UNIX, type, 0, pair)); }

static short ready(int fd) {
    struct pollfd request = {.fd = fd, .events = POLLIN | POLLOUT | POLLRDHUP};
    return CHECK_OK(poll(&request, 1, 0)) == 0 ? 0 : request.revents;
}

/* A name of this process's own; the length of the address. */
static socklen_t name_of(struct sockaddr_un *address, const char *name, bool abstract) {
    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    if (abstract) {
        int length = snprintf(address->sun_path + 1, sizeof(address->sun_path) - 1, "%s.%d", name, (int)getpid());
        return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)length);
    }
    strcpy(address->sun_path, test_path(name));
    return sizeof(*address);
}

static int listener(struct sockaddr_un *address, socklen_t length, int type) {
    int fd = (int)CHECK_OK(socket(AF_UNIX, type, 0));
    CHECK_OK(bind(fd, (struct sockaddr *)address, length));
    CHECK_OK(listen(fd, 5));
    return fd;
}

/* --- Streams ------------------------------------------------------------------------------------------------------ */

static void stream(void) {
    char data[32] = "";
    struct stat status;
    int bytes = 0;
    open_pair(SOCK_STREAM | SOCK_CLOEXEC);
    CHECK_EQ(fcntl(pair[0], F_GETFD), FD_CLOEXEC);
    CHECK_OK(fstat(pair[1], &status));
    CHECK(S_ISSOCK(status.st_mode));
    CHECK_EQ(write(pair[0], "hello", 5), 5);
    CHECK_EQ(send(pair[0], "world", 5, 0), 5);
    CHECK_OK(ioctl(pair[1], FIONREAD, &bytes));
    CHECK_EQ(bytes, 10);
    CHECK_EQ(recv(pair[1], data, 3, MSG_PEEK), 3);
    CHECK(memcmp(data, "hel", 3) == 0);
    CHECK_EQ(read(pair[1], data, 3), 3);
    CHECK_EQ(recv(pair[1], data + 3, 20, 0), 7);
    CHECK(strcmp(data, "helloworld") == 0);
    CHECK_EQ(write(pair[1], "back", 4), 4); /* both ways */
    CHECK_EQ(read(pair[0], data, 32), 4);
    CHECK_ERRNO(lseek(pair[0], 0, SEEK_SET), ESPIPE);
    CHECK_ERRNO(recv(pair[0], data, 1, MSG_DONTWAIT), EAGAIN);
    CHECK_OK(fcntl(pair[0], F_SETFL, O_NONBLOCK));
    CHECK_ERRNO(read(pair[0], data, 1), EAGAIN);
}

static void stream_ends(void) {
    char byte;
    signal(SIGPIPE, SIG_IGN);
    open_pair(SOCK_STREAM);
    CHECK_EQ(ready(pair[0]), POLLOUT);
    CHECK_EQ(write(pair[1], "x", 1), 1);
    CHECK_OK(close(pair[1]));
    CHECK_EQ(ready(pair[0]), POLLIN | POLLOUT | POLLHUP | POLLRDHUP);
    CHECK_EQ(read(pair[0], &byte, 1), 1);
    CHECK_EQ(read(pair[0], &byte, 1), 0);
    CHECK_ERRNO(write(pair[0], "x", 1), EPIPE);
    CHECK_OK(close(pair[0]));

    open_pair(SOCK_STREAM);
    CHECK_EQ(write(pair[0], "unread", 6), 6);
    CHECK_OK(close(pair[1]));
    CHECK_ERRNO(read(pair[0], &byte, 1), ECONNRESET);
    CHECK_EQ(read(pair[0], &byte, 1), 0);
    CHECK_OK(close(pair[0]));

    open_pair(SOCK_STREAM);
    CHECK_EQ(write(pair[0], "ab", 2), 2);
    CHECK_OK(shutdown(pair[0], SHUT_WR));
    CHECK_EQ(ready(pair[1]), POLLIN | POLLOUT | POLLRDHUP);
    CHECK_EQ(recv(pair[1], &byte, 1, 0), 1);
    CHECK_EQ(recv(pair[1], &byte, 1, 0), 1);
    CHECK_EQ(recv(pair[1], &byte, 1, 0), 0);
    CHECK_ERRNO(send(pair[0], "x", 1, MSG_NOSIGNAL), EPIPE);
    CHECK_EQ(write(pair[1], "y", 1), 1); /* the other way is open */
    CHECK_EQ(read(pair[0], &byte, 1), 1);
    CHECK_ERRNO(shutdown(pair[0], 3), EINVAL);
}

static void send_without_peer(void *argument) {
    open_pair(SOCK_STREAM);
    CHECK_OK(close(pair[1]));
    CHECK_ERRNO(send(pair[0], "x", 1, MSG_NOSIGNAL), EPIPE);
    (void)!write(pair[0], "x", 1);
    (void)argument;
}

static void sigpipe(void) { CHECK_SIGNALED(test_run_child(send_without_peer, NULL), SIGPIPE); }

/* Much more than fits, in all sizes, between two processes: every byte comes, in its turn. */
static void much(void) {
    enum { TOTAL = 700000, MOST = 9000 };
    static uint8_t data[MOST];
    open_pair(SOCK_STREAM);
    pid_t pid = (pid_t)CHECK_OK(fork());
    if (pid == 0) {
        CHECK_OK(close(pair[1]));
        for (size_t sent = 0, n = 0; sent < TOTAL; n++) {
            size_t bytes = 1 + n * 977 % MOST;
            bytes = bytes < TOTAL - sent ? bytes : TOTAL - sent;
            for (size_t i = 0; i < bytes; i++) {
                data[i] = test_byte(sent + i);
            }
            struct iovec vectors[2] = {{data, bytes / 3}, {data + bytes / 3, bytes - bytes / 3}};
            CHECK_EQ(writev(pair[0], vectors, 2), bytes);
            sent += bytes;
        }
        _exit(0);
    }
    CHECK_OK(close(pair[0]));
    for (size_t got = 0, n = 0;; n++) {
        size_t bytes = 1 + n * 1409 % MOST;
        ssize_t part = CHECK_OK(recv(pair[1], data, bytes, n % 3 == 0 ? MSG_WAITALL : 0));
        for (ssize_t i = 0; i < part; i++) {
            CHECK(data[i] == test_byte(got + (size_t)i));
        }
        got += (size_t)part;
        if (part == 0) {
            CHECK_EQ(got, TOTAL);
            break;
        }
    }
    CHECK_EXITED(test_wait(pid));
}

static void full_stream(void) {
    static char data[4096];
    open_pair(SOCK_STREAM | SOCK_NONBLOCK);
    ssize_t sent = 0, part;
    while ((part = write(pair[0], data, sizeof(data))) > 0) {
        sent += part;
    }
    CHECK(errno == EAGAIN && sent >= 16384);
    CHECK_EQ(ready(pair[0]) & POLLOUT, 0);
    while ((part = read(pair[1], data, sizeof(data))) > 0) {
        sent -= part;
    }
    CHECK_EQ(sent, 0);
    CHECK_EQ(ready(pair[0]) & POLLOUT, POLLOUT);
}

static void wait_all(void) {
    char data[10];
    open_pair(SOCK_STREAM);
    pid_t pid = (pid_t)CHECK_OK(fork());
    if (pid == 0) {
        for (int i = 0; i < 5; i++) {
            CHECK_EQ(write(pair[0], "ab", 2), 2);
            test_sleep_ms(2);
        }
        _exit(0);
    }
    CHECK_EQ(recv(pair[1], data, 10, MSG_WAITALL), 10);
    CHECK_EXITED(test_wait(pid));
    struct timeval limit = {0, 20000};
    CHECK_OK(setsockopt(pair[1], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)));
    CHECK_ERRNO(recv(pair[1], data, 1, 0), EAGAIN);
}

/* --- Names -------------------------------------------------------------------------------------------------------- */

static void named(bool abstract, int type) {
    struct sockaddr_un address, got;
    socklen_t length = name_of(&address, "socket", abstract), size = sizeof(got);
    char data[8] = "";
    int fd = listener(&address, length, type), client = (int)CHECK_OK(socket(AF_UNIX, type, 0));
    CHECK_OK(getsockname(fd, (struct sockaddr *)&got, &size));
    CHECK(strcmp(got.sun_path + abstract, address.sun_path + abstract) == 0 || abstract);
    CHECK_ERRNO(bind(client, (struct sockaddr *)&address, length), EADDRINUSE);
    CHECK_OK(connect(client, (struct sockaddr *)&address, length));
    CHECK_ERRNO(connect(client, (struct sockaddr *)&address, length), EISCONN);
    CHECK_EQ(write(client, "early", 5), 5);
    CHECK_EQ(ready(fd), POLLIN);
    size = sizeof(got);
    int server = (int)CHECK_OK(accept4(fd, (struct sockaddr *)&got, &size, SOCK_CLOEXEC));
    CHECK_EQ(fcntl(server, F_GETFD), FD_CLOEXEC);
    CHECK(size == 2 && got.sun_family == AF_UNIX); /* it has no name */
    CHECK_EQ(read(server, data, 8), 5);
    CHECK(strcmp(data, "early") == 0);
    size = sizeof(got);
    CHECK_OK(getpeername(client, (struct sockaddr *)&got, &size));
    CHECK(got.sun_family == AF_UNIX && size > 2);
    CHECK_EQ(write(server, "late", 4), 4);
    CHECK_EQ(read(client, data, 8), 4);
    CHECK_OK(close(fd));
    CHECK_EQ(write(server, "on", 2), 2); /* a connection outlives the listener */
    int other = (int)CHECK_OK(socket(AF_UNIX, type, 0));
    CHECK_ERRNO(connect(other, (struct sockaddr *)&address, length), ECONNREFUSED);
    if (!abstract) {
        CHECK_OK(unlink(address.sun_path));
        CHECK_ERRNO(connect(other, (struct sockaddr *)&address, length), ENOENT);
    }
}

static void paths(void) { named(false, SOCK_STREAM); }
static void abstract(void) { named(true, SOCK_STREAM); }
static void seqpacket_names(void) { named(true, SOCK_SEQPACKET); }

static void path_nodes(void) {
    struct sockaddr_un address;
    struct stat status;
    socklen_t length = name_of(&address, "node", false);
    int fd = listener(&address, length, SOCK_STREAM), other = (int)CHECK_OK(socket(AF_UNIX, SOCK_STREAM, 0));
    CHECK_OK(stat(address.sun_path, &status));
    CHECK(S_ISSOCK(status.st_mode));
    CHECK_ERRNO(open(address.sun_path, O_RDWR), ENXIO);
    struct sockaddr_un second;
    socklen_t second_length = name_of(&second, "second", true);
    CHECK_ERRNO(bind(fd, (struct sockaddr *)&second, second_length), EINVAL);
    CHECK_OK(close(fd));
    CHECK_ERRNO(bind(other, (struct sockaddr *)&address, length), EADDRINUSE); /* the node stays */
    CHECK_OK(unlink(address.sun_path));
    CHECK_OK(bind(other, (struct sockaddr *)&address, length));
    CHECK_OK(unlink(address.sun_path));
    int file = test_file(address.sun_path, 1), third = (int)CHECK_OK(socket(AF_UNIX, SOCK_STREAM, 0));
    CHECK_ERRNO(connect(third, (struct sockaddr *)&address, length), ECONNREFUSED);
    CHECK_OK(close(file));
    CHECK_OK(unlink(address.sun_path));
}

/* What syslog() meets where there is no log. */
static void no_log(void) {
    struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "/tmp/none/log"};
    int fd = (int)CHECK_OK(socket(AF_UNIX, SOCK_DGRAM, 0));
    CHECK_ERRNO(connect(fd, (struct sockaddr *)&address, sizeof(address)), ENOENT);
    CHECK_ERRNO(send(fd, "x", 1, MSG_NOSIGNAL), ENOTCONN);
}

static void backlog(void) {
    struct sockaddr_un address;
    socklen_t length = name_of(&address, "backlog", true);
    int fd = (int)CHECK_OK(socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0)), clients[3];
    CHECK_ERRNO(listen(fd, 1), EINVAL);
    CHECK_OK(bind(fd, (struct sockaddr *)&address, length));
    CHECK_ERRNO(accept(fd, NULL, NULL), EINVAL);
    CHECK_OK(listen(fd, 1));
    CHECK_ERRNO(accept(fd, NULL, NULL), EAGAIN);
    for (int i = 0; i < 3; i++) {
        clients[i] = (int)CHECK_OK(socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0));
        if (i < 2) {
            CHECK_OK(connect(clients[i], (struct sockaddr *)&address, length));
        } else {
            CHECK_ERRNO(connect(clients[i], (struct sockaddr *)&address, length), EAGAIN);
        }
    }
    CHECK_OK(close((int)CHECK_OK(accept(fd, NULL, NULL))));
    CHECK_OK(connect(clients[2], (struct sockaddr *)&address, length));
    CHECK_OK(close(fd)); /* with two that nobody accepted */
    char byte;
    CHECK_ERRNO(read(clients[2], &byte, 1), ECONNRESET);
}

static void errors(void) {
    struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "x"};
    int fd = (int)CHECK_OK(socket(AF_UNIX, SOCK_STREAM, 0)), file;
    const char *path = test_path("plain");
    char byte = 0;
    file = test_file(path, 1);
    CHECK_ERRNO(socket(AF_UNIX, 77, 0), EINVAL);
    CHECK_ERRNO(socket(AF_UNIX, 9, 0), ESOCKTNOSUPPORT);
    CHECK_ERRNO(socket(999, SOCK_STREAM, 0), EAFNOSUPPORT);
    CHECK_ERRNO(socket(AF_UNIX, SOCK_STREAM, 99), EPROTONOSUPPORT);
    CHECK_ERRNO(syscall(SYS_socketpair, AF_UNIX, SOCK_STREAM, 0, 8), EFAULT);
    CHECK_ERRNO(send(file, "", 1, 0), ENOTSOCK);
    CHECK_ERRNO(send(-1, "", 1, 0), EBADF);
    CHECK_ERRNO(bind(fd, (struct sockaddr *)&address, 1), EINVAL);
    CHECK_ERRNO(bind(fd, (struct sockaddr *)&address, 200), EINVAL);
    CHECK_ERRNO(bind(fd, (struct sockaddr *)8, 20), EFAULT);
    address.sun_family = 77;
    CHECK_ERRNO(bind(fd, (struct sockaddr *)&address, sizeof(address)), EINVAL);
    CHECK_ERRNO(send(fd, "x", 1, MSG_NOSIGNAL), ENOTCONN);
    CHECK_ERRNO(recv(fd, &byte, 1, 0), EINVAL);
    socklen_t length = sizeof(address);
    CHECK_ERRNO(getpeername(fd, (struct sockaddr *)&address, &length), ENOTCONN);
    CHECK_EQ(ready(fd), POLLOUT | POLLHUP);
    open_pair(SOCK_STREAM);
    CHECK_ERRNO(send(pair[0], (void *)8, 1, 0), EFAULT);
    CHECK_EQ(write(pair[0], "x", 1), 1);
    CHECK_ERRNO(read(pair[1], (void *)8, 1), EFAULT);
    CHECK_EQ(read(pair[1], &byte, 1), 1); /* it is not lost by that */
    int value;
    length = sizeof(value);
    CHECK_ERRNO(getsockopt(fd, SOL_SOCKET, 9999, &value, &length), ENOPROTOOPT);
    CHECK_ERRNO(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &value, 1), EINVAL);
    CHECK_OK(close(file));
    CHECK_OK(unlink(path));
}

static void options(void) {
    int value = 0, fd = (int)CHECK_OK(socket(AF_UNIX, SOCK_DGRAM, 0));
    socklen_t length = sizeof(value);
    CHECK_OK(getsockopt(fd, SOL_SOCKET, SO_TYPE, &value, &length));
    CHECK_EQ(value, SOCK_DGRAM);
    CHECK_OK(getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &value, &length));
    CHECK_EQ(value, AF_UNIX);
    CHECK_OK(getsockopt(fd, SOL_SOCKET, SO_ERROR, &value, &length));
    CHECK_EQ(value, 0);
    CHECK_OK(getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &value, &length));
    CHECK_EQ(value, 0);
    CHECK_OK(getsockopt(fd, SOL_SOCKET, SO_SNDBUF, &value, &length));
    CHECK(value > 0);
    value = 10000;
    CHECK_OK(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &value, sizeof(value)));
    CHECK_OK(getsockopt(fd, SOL_SOCKET, SO_RCVBUF, &value, &length));
    CHECK_EQ(value, 20000);
    value = 1;
    CHECK_OK(setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &value, sizeof(value)));
    value = 0;
    CHECK_OK(getsockopt(fd, SOL_SOCKET, SO_PASSCRED, &value, &length));
    CHECK_EQ(value, 1);
    open_pair(SOCK_STREAM);
    struct ucred who;
    length = sizeof(who);
    CHECK_OK(getsockopt(pair[0], SOL_SOCKET, SO_PEERCRED, &who, &length));
    CHECK(who.pid == getpid() && who.uid == getuid() && who.gid == getgid());
}

/* --- Packets ------------------------------------------------------------------------------------------------------ */

static void packets_of(int type) {
    char data[8] = "";
    open_pair(type);
    CHECK_EQ(send(pair[0], "first", 5, 0), 5);
    CHECK_EQ(send(pair[0], "", 0, 0), 0);
    CHECK_EQ(send(pair[0], "third", 5, 0), 5);
    CHECK_EQ(recv(pair[1], data, 8, MSG_PEEK), 5);
    CHECK_EQ(recv(pair[1], data, 2, MSG_PEEK | MSG_TRUNC), 5);
    CHECK_EQ(recv(pair[1], data, 8, 0), 5);
    CHECK(memcmp(data, "first", 5) == 0);
    CHECK_EQ(recv(pair[1], data, 8, 0), 0);
    struct iovec vectors[2] = {{data, 1}, {data + 4, 2}};
    struct msghdr header = {.msg_iov = vectors, .msg_iovlen = 2};
    CHECK_EQ(recvmsg(pair[1], &header, 0), 3);
    CHECK(data[0] == 't' && data[4] == 'h' && data[5] == 'i' && header.msg_flags == MSG_TRUNC);
    CHECK_ERRNO(recv(pair[1], data, 8, MSG_DONTWAIT), EAGAIN); /* the rest is gone */
    vectors[0] = (struct iovec){"ab", 2};
    vectors[1] = (struct iovec){"cde", 3};
    CHECK_EQ(writev(pair[0], vectors, 2), 5); /* one packet */
    CHECK_EQ(read(pair[1], data, 8), 5);
    CHECK(memcmp(data, "abcde", 5) == 0);
}

static void datagrams(void) { packets_of(SOCK_DGRAM); }

static void seqpackets(void) {
    char byte;
    packets_of(SOCK_SEQPACKET);
    CHECK_EQ(send(pair[0], "x", 1, 0), 1);
    CHECK_OK(close(pair[0]));
    CHECK_EQ(recv(pair[1], &byte, 1, 0), 1);
    CHECK_EQ(recv(pair[1], &byte, 1, 0), 0);
    CHECK_ERRNO(send(pair[1], "x", 1, MSG_NOSIGNAL), EPIPE);
}

static void datagram_names(void) {
    struct sockaddr_un server_name, client_name, from;
    socklen_t server_length = name_of(&server_name, "server", false),
              client_length = name_of(&client_name, "client", true), length = sizeof(from);
    int server = (int)CHECK_OK(socket(AF_UNIX, SOCK_DGRAM, 0)), client = (int)CHECK_OK(socket(AF_UNIX, SOCK_DGRAM, 0));
    int third = (int)CHECK_OK(socket(AF_UNIX, SOCK_DGRAM, 0)), wrong = (int)CHECK_OK(socket(AF_UNIX, SOCK_STREAM, 0));
    char data[8];
    CHECK_OK(bind(server, (struct sockaddr *)&server_name, server_length));
    CHECK_ERRNO(connect(wrong, (struct sockaddr *)&server_name, server_length), EPROTOTYPE);
    CHECK_EQ(sendto(third, "none", 4, 0, (struct sockaddr *)&server_name, server_length), 4);
    CHECK_EQ(recvfrom(server, data, 8, 0, (struct sockaddr *)&from, &length), 4);
    CHECK_EQ(length, 0); /* from one without a name */
    CHECK_OK(bind(client, (struct sockaddr *)&client_name, client_length));
    CHECK_EQ(sendto(client, "name", 4, 0, (struct sockaddr *)&server_name, server_length), 4);
    length = sizeof(from);
    CHECK_EQ(recvfrom(server, data, 8, 0, (struct sockaddr *)&from, &length), 4);
    CHECK_EQ(length, client_length);
    CHECK(memcmp(&from, &client_name, length) == 0);
    CHECK_EQ(sendto(server, "back", 4, 0, (struct sockaddr *)&from, length), 4);
    CHECK_EQ(recv(client, data, 8, 0), 4);
    CHECK_OK(connect(server, (struct sockaddr *)&client_name, client_length));
    CHECK_EQ(send(server, "back", 4, 0), 4);
    CHECK_ERRNO(sendto(third, "none", 4, 0, (struct sockaddr *)&server_name, server_length), EPERM);
    CHECK_OK(close(client));
    CHECK_ERRNO(send(server, "x", 1, 0), ECONNREFUSED);
    CHECK_OK(unlink(server_name.sun_path));
}

static void full_datagrams(void) {
    static char data[3000];
    open_pair(SOCK_DGRAM | SOCK_NONBLOCK);
    int sent = 0;
    while (send(pair[0], data, sizeof(data), 0) > 0) {
        sent++;
    }
    CHECK(errno == EAGAIN && sent >= 8);
    CHECK_EQ(ready(pair[0]) & POLLOUT, 0);
    while (sent > 0 && recv(pair[1], data, sizeof(data), 0) > 0) {
        sent--;
    }
    CHECK_EQ(sent, 0);
    CHECK_EQ(ready(pair[0]) & POLLOUT, POLLOUT);
    CHECK_ERRNO(send(pair[0], data, 1 << 24, 0), EMSGSIZE);
}

/* --- Sizes -------------------------------------------------------------------------------------------------------- */

static int size_of(int fd, int option) {
    int value = 0;
    socklen_t length = sizeof(value);
    CHECK_OK(getsockopt(fd, SOL_SOCKET, option, &value, &length));
    return value;
}

static void set_size(int fd, int option, int value) {
    CHECK_OK(setsockopt(fd, SOL_SOCKET, option, &value, sizeof(value)));
}

/* Twice what was asked for, between limits. */
static void sizes(void) {
    open_pair(SOCK_STREAM);
    set_size(pair[0], SO_SNDBUF, 10000);
    CHECK_EQ(size_of(pair[0], SO_SNDBUF), 20000);
    set_size(pair[0], SO_RCVBUF, 100000);
    CHECK_EQ(size_of(pair[0], SO_RCVBUF), 200000);
    set_size(pair[0], SO_SNDBUF, 0);
    CHECK_EQ(size_of(pair[0], SO_SNDBUF), 4608);
    set_size(pair[0], SO_RCVBUF, 1);
    CHECK_EQ(size_of(pair[0], SO_RCVBUF), 2304);
    const int before = size_of(pair[1], SO_SNDBUF);
    set_size(pair[1], SO_SNDBUF, -1);
    CHECK(size_of(pair[1], SO_SNDBUF) >= before); /* the most that there is */
    set_size(pair[1], SO_SNDBUFFORCE, -1);
    CHECK_EQ(size_of(pair[1], SO_SNDBUF), 4608);
    set_size(pair[1], SO_SNDBUFFORCE, 100 << 20);
    CHECK_EQ(size_of(pair[1], SO_SNDBUF), 200 << 20);
}

/* So much may be under way, and what was received may be sent again. */
static void stream_size(void) {
    static char data[100000];
    open_pair(SOCK_STREAM);
    set_size(pair[0], SO_SNDBUF, 5000);
    ssize_t sent = CHECK_OK(send(pair[0], data, sizeof(data), MSG_DONTWAIT));
    CHECK(sent > 5000 && sent <= 10000);
    CHECK_ERRNO(send(pair[0], data, 1000, MSG_DONTWAIT), EAGAIN);
    CHECK_EQ(ready(pair[0]) & POLLOUT, 0);
    CHECK(send(pair[1], data, 30000, MSG_DONTWAIT) > 10000); /* the other end has its own */
    CHECK_EQ(recv(pair[1], data, sizeof(data), 0), sent);
    CHECK_EQ(ready(pair[0]) & POLLOUT, POLLOUT);
    CHECK(send(pair[0], data, sizeof(data), MSG_DONTWAIT) > 5000);
}

static void check_packet_size(int type) {
    static char data[20000];
    int count = 0;
    open_pair(type);
    set_size(pair[0], SO_SNDBUF, 5000);
    CHECK_EQ(send(pair[0], data, 9968, MSG_DONTWAIT), 9968);
    CHECK_ERRNO(send(pair[0], data, 9969, MSG_DONTWAIT), EMSGSIZE);
    CHECK_EQ(recv(pair[1], data, sizeof(data), 0), 9968);
    while (send(pair[0], data, 3000, MSG_DONTWAIT) == 3000)
        count++;
    CHECK_EQ(errno, EAGAIN);
    CHECK(count >= 2 && count <= 4);
    CHECK_EQ(ready(pair[0]) & POLLOUT, 0);
    while (count-- > 0)
        CHECK_EQ(recv(pair[1], data, sizeof(data), 0), 3000);
    CHECK_EQ(ready(pair[0]) & POLLOUT, POLLOUT);
    CHECK_EQ(send(pair[0], data, 3000, MSG_DONTWAIT), 3000);
}

static void packet_sizes(void) {
    check_packet_size(SOCK_SEQPACKET);
    check_packet_size(SOCK_DGRAM);
}

/* Packets that wait at one who goes away are no more on their way. */
static void size_returned(void) {
    struct sockaddr_un address;
    socklen_t length = name_of(&address, "returned", true);
    int sender = (int)CHECK_OK(socket(AF_UNIX, SOCK_DGRAM, 0));
    set_size(sender, SO_SNDBUF, 2500);
    for (int round = 0; round < 5; round++) {
        int receiver = (int)CHECK_OK(socket(AF_UNIX, SOCK_DGRAM, 0));
        char data[3000] = "";
        CHECK_OK(bind(receiver, (struct sockaddr *)&address, length));
        CHECK_EQ(sendto(sender, data, 3000, MSG_DONTWAIT, (struct sockaddr *)&address, length), 3000);
        while (sendto(sender, data, 1, MSG_DONTWAIT, (struct sockaddr *)&address, length) == 1)
            continue;
        CHECK_EQ(errno, EAGAIN);
        CHECK_OK(close(receiver));
    }
    CHECK_OK(close(sender));
}

static void many_messages(void) {
    enum { COUNT = 5 };
    char data[COUNT][4];
    struct iovec vectors[COUNT];
    struct mmsghdr headers[COUNT];
    open_pair(SOCK_DGRAM);
    memset(headers, 0, sizeof(headers));
    for (int i = 0; i < COUNT; i++) {
        data[i][0] = (char)('a' + i);
        vectors[i] = (struct iovec){data[i], (size_t)i % 4 + 1};
        headers[i].msg_hdr.msg_iov = &vectors[i];
        headers[i].msg_hdr.msg_iovlen = 1;
    }
    CHECK_EQ(sendmmsg(pair[0], headers, COUNT, 0), COUNT);
    for (int i = 0; i < COUNT; i++) {
        CHECK_EQ(headers[i].msg_len, i % 4 + 1);
        vectors[i].iov_len = 4;
        data[i][0] = 0;
    }
    CHECK_EQ(recvmmsg(pair[1], headers, COUNT, MSG_DONTWAIT, NULL), COUNT);
    for (int i = 0; i < COUNT; i++) {
        CHECK_EQ(headers[i].msg_len, i % 4 + 1);
        CHECK_EQ(data[i][0], 'a' + i);
    }
    CHECK_ERRNO(recvmmsg(pair[1], headers, COUNT, MSG_DONTWAIT, NULL), EAGAIN);
}

/* --- What goes along ---------------------------------------------------------------------------------------------- */

enum { FILES = 4 };

union control {
    struct cmsghdr header;
    char space[CMSG_SPACE(FILES * sizeof(int)) + CMSG_SPACE(12)];
};

static ssize_t send_files(int to, const char *text, const int *fds, int count) {
    union control control;
    struct iovec vector = {(void *)(uintptr_t)text, strlen(text)};
    struct msghdr header = {.msg_iov = &vector,
                            .msg_iovlen = 1,
                            .msg_control = &control,
                            .msg_controllen = CMSG_SPACE((size_t)count * sizeof(int))};
    memset(&control, 0, sizeof(control));
    control.header = (struct cmsghdr){
        .cmsg_len = CMSG_LEN((size_t)count * sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
    memcpy(CMSG_DATA(&control.header), fds, (size_t)count * sizeof(int));
    return sendmsg(to, &header, MSG_NOSIGNAL);
}

/* How many came. */
static int receive_files(int from, char *text, size_t size, int *fds, int room, int flags, int *flags_out) {
    union control control;
    struct iovec vector = {text, size - 1};
    struct msghdr header = {.msg_iov = &vector,
                            .msg_iovlen = 1,
                            .msg_control = &control,
                            .msg_controllen = room > 0 ? CMSG_SPACE((size_t)room * sizeof(int)) : 0};
    ssize_t bytes = CHECK_OK(recvmsg(from, &header, flags));
    text[bytes] = '\0';
    *flags_out = header.msg_flags;
    struct cmsghdr *first = CMSG_FIRSTHDR(&header);
    if (first == NULL) {
        return 0;
    }
    CHECK(first->cmsg_level == SOL_SOCKET && first->cmsg_type == SCM_RIGHTS);
    int count = (int)((first->cmsg_len - CMSG_LEN(0)) / sizeof(int));
    memcpy(fds, CMSG_DATA(first), (size_t)count * sizeof(int));
    return count;
}

static void files_of(int type) {
    char text[16];
    int ends[2], fds[FILES], flags;
    open_pair(type);
    CHECK_OK(pipe(ends));
    CHECK_EQ(send_files(pair[0], "two", ends, 2), 3);
    CHECK_EQ(receive_files(pair[1], text, sizeof(text), fds, FILES, MSG_CMSG_CLOEXEC, &flags), 2);
    CHECK(strcmp(text, "two") == 0);
    CHECK_EQ(fcntl(fds[0], F_GETFD), FD_CLOEXEC);
    CHECK_EQ(write(fds[1], "through", 7), 7);
    CHECK_EQ(read(ends[0], text, 16), 7);
    CHECK_OK(close(fds[0]));
    CHECK_OK(close(fds[1]));
    /* What there is no room for is closed. */
    CHECK_EQ(send_files(pair[0], "cut", ends, 2), 3);
    CHECK_OK(close(ends[1]));
    CHECK_EQ(receive_files(pair[1], text, sizeof(text), fds, 0, 0, &flags), 0);
    CHECK_EQ(flags & MSG_CTRUNC, MSG_CTRUNC);
    CHECK_EQ(read(ends[0], text, 16), 0);
    /* Read away, and never received. */
    CHECK_EQ(send_files(pair[0], "a", ends, 1), 1);
    CHECK_EQ(read(pair[1], text, 16), 1);
    CHECK_EQ(send_files(pair[0], "a", ends, 1), 1);
    fds[0] = -1;
    CHECK_ERRNO(send_files(pair[0], "a", fds, 1), EBADF);
}

static void files(void) {
    files_of(SOCK_STREAM);
    files_of(SOCK_DGRAM);
    files_of(SOCK_SEQPACKET);
}

/* Bytes before a message with files may be received with it, what is behind it may not. */
static void borders(void) {
    char text[32];
    int fds[FILES], flags, null = (int)CHECK_OK(open("/dev/null", O_RDWR));
    open_pair(SOCK_STREAM);
    CHECK_EQ(write(pair[0], "four", 4), 4);
    CHECK_EQ(send_files(pair[0], "1", &null, 1), 1);
    CHECK_EQ(write(pair[0], "more", 4), 4);
    CHECK_EQ(send_files(pair[0], "two", &null, 1), 3);
    CHECK_EQ(receive_files(pair[1], text, sizeof(text), fds, FILES, MSG_PEEK, &flags), 1);
    CHECK(strcmp(text, "four1") == 0);
    CHECK_OK(close(fds[0]));
    CHECK_EQ(receive_files(pair[1], text, sizeof(text), fds, FILES, 0, &flags), 1);
    CHECK(strcmp(text, "four1") == 0);
    CHECK_OK(close(fds[0]));
    CHECK_EQ(receive_files(pair[1], text, 3, fds, FILES, 0, &flags), 0);
    CHECK(strcmp(text, "mo") == 0);
    CHECK_EQ(receive_files(pair[1], text, 5, fds, FILES, 0, &flags), 1); /* with the first of its bytes */
    CHECK(strcmp(text, "retw") == 0);
    CHECK_EQ(receive_files(pair[1], text, sizeof(text), fds, FILES, 0, &flags), 0);
    CHECK(strcmp(text, "o") == 0);
}

static void credentials(void) {
    struct ucred who;
    static const int types[] = {SOCK_STREAM, SOCK_DGRAM};
    for (int i = 0; i < 2; i++) {
        union control control;
        char data[4];
        struct iovec vector = {data, 4};
        struct msghdr header = {
            .msg_iov = &vector, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
        int on = 1;
        open_pair(types[i]);
        CHECK_OK(setsockopt(pair[1], SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)));
        pid_t pid = (pid_t)CHECK_OK(fork());
        if (pid == 0) {
            CHECK_EQ(write(pair[0], "me", 2), 2);
            _exit(0);
        }
        CHECK_EQ(recvmsg(pair[1], &header, 0), 2);
        struct cmsghdr *first = CMSG_FIRSTHDR(&header);
        CHECK(first != NULL && first->cmsg_type == 2 /* SCM_CREDENTIALS */);
        memcpy(&who, CMSG_DATA(first), sizeof(who));
        CHECK_EQ(who.pid, pid);
        CHECK_EQ(who.uid, getuid());
        CHECK_EXITED(test_wait(pid));
    }
}

/* A socket that is on its way in itself, and two in each other: they end with their last descriptors. */
static void circles(void) {
    char text[8];
    int fds[FILES], flags;
    for (int i = 0; i < 300; i++) {
        static const int types[] = {SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET};
        int other[2];
        open_pair(types[i % 3]);
        CHECK_OK(socketpair(AF_UNIX, types[i / 3 % 3], 0, other));
        CHECK_EQ(send_files(pair[0], "self", &pair[1], 1), 4);
        CHECK_EQ(send_files(pair[1], "self", &pair[0], 1), 4);
        CHECK_EQ(send_files(other[0], "pair", pair, 2), 4);
        CHECK_EQ(send_files(pair[0], "pair", &other[1], 1), 4);
        if (i % 5 == 0) { /* still there for who holds an end */
            CHECK_EQ(receive_files(other[1], text, sizeof(text), fds, FILES, 0, &flags), 2);
            CHECK_OK(close(fds[0]));
            CHECK_OK(close(fds[1]));
        }
        CHECK_OK(close(i & 1 ? pair[0] : other[1]));
        CHECK_OK(close(i & 1 ? pair[1] : other[0]));
        if (i % 7 == 0 && !(i & 1)) {
            CHECK_EQ(receive_files(pair[1], text, sizeof(text), fds, FILES, 0, &flags), 1);
            CHECK_EQ(fds[0] >= 0, 1);
            CHECK_OK(close(fds[0]));
        }
        CHECK_OK(close(i & 1 ? other[0] : pair[1]));
        CHECK_OK(close(i & 1 ? other[1] : pair[0]));
    }
}

/* A long chain, each on its way in the next, falls at once. */
static void chain(void) {
    enum { LENGTH = 200 };
    int first[2], next[2];
    CHECK_OK(socketpair(AF_UNIX, SOCK_STREAM, 0, first));
    for (int i = 0; i < LENGTH; i++) {
        CHECK_OK(socketpair(AF_UNIX, i & 1 ? SOCK_STREAM : SOCK_DGRAM, 0, next));
        CHECK_EQ(send_files(next[0], "x", first, 2), 1);
        CHECK_OK(close(first[0]));
        CHECK_OK(close(first[1]));
        memcpy(first, next, sizeof(first));
    }
    CHECK_OK(close(first[0]));
    CHECK_OK(close(first[1]));
}

/* --- AF_INET ------------------------------------------------------------------------------------------------------ */

static void internet(void) {
    enum { COUNT = 1000 };
    static int fds[COUNT];
    static struct pollfd requests[COUNT];
    static struct epoll_event events[COUNT];
    struct rlimit limit = {2048, 4096};
    (void)!setrlimit(RLIMIT_NOFILE, &limit);
    int set = (int)CHECK_OK(epoll_create1(0));
    for (int i = 0; i < COUNT; i++) {
        fds[i] = (int)CHECK_OK(socket(AF_INET, SOCK_STREAM, 0));
        requests[i] = (struct pollfd){.fd = fds[i], .events = POLLIN};
        struct epoll_event event = {.events = EPOLLIN, .data.u64 = (uint64_t)i};
        CHECK_OK(epoll_ctl(set, EPOLL_CTL_ADD, fds[i], &event));
    }
    CHECK_EQ(poll(requests, COUNT, 0), COUNT);
    CHECK_EQ(requests[COUNT - 1].revents, POLLHUP);
    CHECK_EQ(epoll_wait(set, events, COUNT, 0), COUNT);
    CHECK_EQ(events[0].events, EPOLLHUP);
    fd_set reading;
    FD_ZERO(&reading);
    FD_SET(fds[0], &reading);
    CHECK_EQ(select(fds[0] + 1, &reading, NULL, NULL, NULL), 1);
    CHECK(FD_ISSET(fds[0], &reading));
    int value;
    socklen_t length = sizeof(value);
    CHECK_OK(getsockopt(fds[0], SOL_SOCKET, SO_TYPE, &value, &length));
    CHECK_EQ(value, SOCK_STREAM);
    CHECK_OK(close((int)CHECK_OK(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, IPPROTO_UDP))));
    CHECK_ERRNO(socket(AF_INET, SOCK_STREAM, IPPROTO_UDP), EPROTONOSUPPORT);
}

static void no_network(void) {
    test_needs_penumbra();
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = 80, .sin_addr.s_addr = 0x0100007f};
    int stream_fd = (int)CHECK_OK(socket(AF_INET, SOCK_STREAM, 0)),
        packet = (int)CHECK_OK(socket(AF_INET, SOCK_DGRAM, 0));
    CHECK_ERRNO(connect(stream_fd, (struct sockaddr *)&address, sizeof(address)), ENETUNREACH);
    CHECK_ERRNO(connect(packet, (struct sockaddr *)&address, sizeof(address)), ENETUNREACH);
    CHECK_ERRNO(sendto(packet, "x", 1, 0, (struct sockaddr *)&address, sizeof(address)), ENETUNREACH);
    CHECK_ERRNO(recv(packet, &address, 1, MSG_DONTWAIT), EAGAIN);
    CHECK_ERRNO(bind(stream_fd, (struct sockaddr *)&address, sizeof(address)), EADDRNOTAVAIL);
}

/* --- Several at once: worth most with several CPUs ---------------------------------------------------------------- */

enum { ROUNDS = 150 };

/* Connections are made, used and dropped from both sides while the listener comes and goes. */
static void connect_and_accept(void) {
    struct sockaddr_un address;
    socklen_t length = name_of(&address, "race", true);
    int fd = listener(&address, length, SOCK_STREAM);
    pid_t pids[2];
    for (int p = 0; p < 2; p++) {
        pids[p] = (pid_t)CHECK_OK(fork());
        if (pids[p] == 0) {
            for (int i = 0; i < ROUNDS; i++) {
                char byte = 'x';
                int client = (int)CHECK_OK(socket(AF_UNIX, SOCK_STREAM, 0));
                CHECK_OK(connect(client, (struct sockaddr *)&address, length));
                if (i % 3 != 0) {
                    CHECK_EQ(write(client, &byte, 1), 1);
                }
                if (i % 3 == 1) {
                    CHECK_EQ(read(client, &byte, 1), 1);
                }
                CHECK_OK(close(client));
            }
            _exit(0);
        }
    }
    signal(SIGPIPE, SIG_IGN);
    for (int i = 0; i < 2 * ROUNDS; i++) {
        char byte;
        int server = (int)CHECK_OK(accept(fd, NULL, NULL));
        if (read(server, &byte, 1) == 1) {
            (void)!write(server, &byte, 1);
        }
        CHECK_OK(close(server));
    }
    CHECK_EXITED(test_wait(pids[0]));
    CHECK_EXITED(test_wait(pids[1]));
}

static void *pass_around(void *argument) {
    int fds[FILES], flags;
    char text[8];
    (void)argument;
    for (int i = 0; i < ROUNDS; i++) {
        if (receive_files(pair[1], text, sizeof(text), fds, FILES, 0, &flags) == 1) {
            CHECK_OK(close(fds[0]));
        }
    }
    return NULL;
}

/* A socket is sent over itself and received by two threads, which close it, while others are in circles. */
static void passed_over_itself(void) {
    pthread_t threads[2];
    open_pair(SOCK_DGRAM);
    for (int i = 0; i < 2; i++) {
        CHECK_EQ(pthread_create(&threads[i], NULL, pass_around, NULL), 0);
    }
    for (int i = 0; i < 2 * ROUNDS; i++) {
        int circle[2];
        CHECK_OK(socketpair(AF_UNIX, SOCK_STREAM, 0, circle));
        CHECK_EQ(send_files(circle[0], "c", &circle[1], 1), 1);
        CHECK_EQ(send_files(pair[0], "s", &pair[i & 1], 1), 1);
        CHECK_OK(close(circle[1]));
        CHECK_OK(close(circle[0]));
    }
    for (int i = 0; i < 2; i++) {
        CHECK_EQ(pthread_join(threads[i], NULL), 0);
    }
}

static void *talk(void *argument) {
    char data[100];
    (void)argument;
    while (read(pair[1], data, sizeof(data)) > 0) {
        struct pollfd request = {.fd = pair[1], .events = POLLIN | POLLOUT};
        CHECK_OK(poll(&request, 1, 0));
    }
    return NULL;
}

/* An end goes while another thread polls and reads it. */
static void closed_while_read(void) {
    for (int i = 0; i < 60; i++) {
        pthread_t thread;
        open_pair(i & 1 ? SOCK_STREAM : SOCK_SEQPACKET);
        CHECK_EQ(pthread_create(&thread, NULL, talk, NULL), 0);
        for (int j = 0; j < i % 9; j++) {
            CHECK_EQ(write(pair[0], "some", 4), 4);
        }
        CHECK_OK(close(pair[0]));
        CHECK_EQ(pthread_join(thread, NULL), 0);
        CHECK_OK(close(pair[1]));
    }
}

/* --- What the kernel keeps ---------------------------------------------------------------------------------------- */

static void talk_to_child(int type, int rounds) {
    char data[64];
    open_pair(type);
    pid_t pid = (pid_t)CHECK_OK(fork());
    if (pid == 0) {
        for (int i = 0; i < rounds; i++) {
            CHECK_EQ(recv(pair[1], data, sizeof(data), 0), sizeof(data));
            CHECK_EQ(send(pair[1], data, sizeof(data), 0), sizeof(data));
        }
        _exit(0);
    }
    memset(data, 'm', sizeof(data));
    for (int i = 0; i < rounds; i++) {
        CHECK_EQ(send(pair[0], data, sizeof(data), 0), sizeof(data));
        CHECK_EQ(recv(pair[0], data, sizeof(data), 0), sizeof(data));
    }
    CHECK_EXITED(test_wait(pid));
    CHECK_OK(close(pair[0]));
    CHECK_OK(close(pair[1]));
}

/* In mode asi a message of any kind leaves the restricted space 0 times. */
static void no_exit(void) {
    test_needs_penumbra();
    static const int types[] = {SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET};
    for (int i = 0; i < 3; i++) {
        talk_to_child(types[i], 20);
        struct asi_counters before = penumbra_counters(ASI_SCOPE_ALL);
        talk_to_child(types[i], 100);
        struct asi_counters after = penumbra_counters(ASI_SCOPE_ALL);
        if (penumbra_state().mode == ASI_MODE_ASI) {
            CHECK_EQ(penumbra_exits(&after) - penumbra_exits(&before), 0);
        }
    }
}

/* What is under way is where the audit lets it be, also when its writer has gone and a child has the ends, too. */
static void audited(void) {
    test_needs_penumbra();
    static const int types[] = {SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET};
    char data[6000];
    memset(data, 'a', sizeof(data));
    for (int i = 0; i < 3; i++) {
        open_pair(types[i]);
        pid_t pid = (pid_t)CHECK_OK(fork());
        if (pid == 0) {
            CHECK_EQ(send(pair[0], data, sizeof(data), 0), sizeof(data));
            CHECK_EQ(send(pair[1], data, sizeof(data), 0), sizeof(data));
            CHECK_EQ(recv(pair[0], data, 100, 0), 100);
            struct asi_audit_report inside = penumbra_audit(ASI_BREAK_NOTHING);
            CHECK_EQ(penumbra_violations(&inside), 0);
            _exit(0);
        }
        CHECK_EXITED(test_wait(pid));
        CHECK_EQ(send(pair[0], data, 10, 0), 10);
        CHECK_EQ(recv(pair[1], data, 5000, MSG_PEEK), 5000);
        CHECK_OK(send_files(pair[1], "pair", pair, 2));
        struct asi_audit_report report = penumbra_audit(ASI_BREAK_NOTHING);
        CHECK_EQ(penumbra_violations(&report), 0);
        CHECK_OK(close(pair[1]));
        report = penumbra_audit(ASI_BREAK_NOTHING);
        CHECK_EQ(penumbra_violations(&report), 0);
        CHECK_OK(close(pair[0]));
    }
}

static const struct test_case cases[] = {
    {"stream", stream},
    {"stream-ends", stream_ends},
    {"sigpipe", sigpipe},
    {"much", much},
    {"full-stream", full_stream},
    {"wait-all", wait_all},
    {"paths", paths},
    {"abstract", abstract},
    {"seqpacket-names", seqpacket_names},
    {"path-nodes", path_nodes},
    {"no-log", no_log},
    {"backlog", backlog},
    {"errors", errors},
    {"options", options},
    {"datagrams", datagrams},
    {"seqpackets", seqpackets},
    {"datagram-names", datagram_names},
    {"full-datagrams", full_datagrams},
    {"many-messages", many_messages},
    {"files", files},
    {"borders", borders},
    {"credentials", credentials},
    {"circles", circles},
    {"chain", chain},
    {"internet", internet},
    {"no-network", no_network},
    {"connect-and-accept", connect_and_accept},
    {"passed-over-itself", passed_over_itself},
    {"closed-while-read", closed_while_read},
    {"no-exit", no_exit},
    {"sizes", sizes},
    {"stream-size", stream_size},
    {"packet-sizes", packet_sizes},
    {"size-returned", size_returned},
    {"audited", audited},
};
TEST_MAIN(cases)
