/*
 * getsockopt, setsockopt: what programs ask. What sizes limit: docs/sockets.md.
 *
 * Locks: sockets_lock for what may change. Runs in the caller's space.
 */
#include "arch/uaccess.h"
#include "kernel/identity.h"
#include "kernel/open_file.h"
#include "kernel/socket.h"
#include "kernel/syscall_table.h"
#include "kernel/timespec.h"
#include "mm/object.h"

#define SEND_SIZE_MIN    4608U
#define RECEIVE_SIZE_MIN 2304U
#define SIZE_MAX_TOLD    (2 * 212992U)

struct linger {
    int32_t on, seconds;
};

union value {
    int32_t number;
    struct credentials credentials;
    struct timeval time;
    struct linger linger;
};

static int32_t number_of(struct socket *socket, int option, bool *known) {
    switch (option) {
    case SO_TYPE:
        return socket->type;
    case SO_DOMAIN:
        return socket->family;
    case SO_PROTOCOL:
        return socket->family == AF_UNIX ? 0 : is_stream(socket) ? 6 : 17;
    case SO_ERROR:
        return status_to_errno(socket_take_error(socket));
    case SO_SNDBUF:
        return (int32_t)socket->send_size;
    case SO_RCVBUF:
        return (int32_t)socket->receive_size;
    case SO_PASSCRED:
        return socket->pass_credentials;
    case SO_REUSEADDR:
        return socket->reuse;
    case SO_KEEPALIVE:
        return socket->keepalive;
    case SO_BROADCAST:
        return socket->broadcast;
    case SO_ACCEPTCONN:
        return socket->state == SOCKET_LISTENING;
    case SO_DEBUG:
    case SO_DONTROUTE:
    case SO_OOBINLINE:
    case SO_PRIORITY:
    case SO_REUSEPORT:
        return 0;
    default:
        *known = false;
        return 0;
    }
}

/* The lock of the socket's error held as well. */
static enum status read_option(struct socket *socket, int option, union value *value, uint32_t *bytes) {
    bool known = true;
    switch (option) {
    case SO_PEERCRED:
        value->credentials = socket->peer_credentials;
        if (socket->peer == NULL && socket->peer_credentials.pid == 0)
            value->credentials = (struct credentials){0, UINT32_MAX, UINT32_MAX};
        *bytes = sizeof(value->credentials);
        return OK;
    case SO_LINGER:
        value->linger = (struct linger){0, 0};
        *bytes = sizeof(value->linger);
        return OK;
    case SO_RCVTIMEO:
        value->time = timeval_from_ns(socket->receive_timeout);
        *bytes = sizeof(value->time);
        return OK;
    case SO_SNDTIMEO:
        value->time = timeval_from_ns(socket->send_timeout);
        *bytes = sizeof(value->time);
        return OK;
    default:
        value->number = number_of(socket, option, &known);
        *bytes = sizeof(value->number);
        return known ? OK : ERR_NO_SUCH_OPTION;
    }
}

static enum status get_option(struct socket *socket, int level, int option, vaddr_t to, vaddr_t length_at) {
    union value value = {0};
    uint32_t bytes;
    int32_t room;
    enum status status = copy_from_user(&room, length_at, sizeof(room));
    if (status != OK)
        return status;
    if (room < 0)
        return ERR_INVALID;
    if (level != SOL_SOCKET)
        return socket->family == AF_INET ? ERR_NO_SUCH_OPTION : ERR_NOT_SUPPORTED;
    spin_lock(&sockets_lock);
    if (is_stream(socket))
        spin_lock(&socket->incoming.object->lock);
    status = read_option(socket, option, &value, &bytes);
    if (is_stream(socket))
        spin_unlock(&socket->incoming.object->lock);
    spin_unlock(&sockets_lock);
    if (status != OK)
        return status;
    if ((uint32_t)room < bytes)
        bytes = (uint32_t)room;
    status = copy_to_user(to, &value, bytes);
    return status == OK ? copy_to_user(length_at, &bytes, sizeof(bytes)) : status;
}

/* As Linux tells it: twice what was asked for. Root may ask for more than others. */
static uint32_t size_told(int32_t asked, bool forced, uint32_t least) {
    const uint32_t most = forced ? INT32_MAX / 2 : SIZE_MAX_TOLD / 2;
    uint32_t size = forced && asked < 0 ? 0 : (uint32_t)asked;
    size = 2 * (size < most ? size : most);
    return size < least ? least : size;
}

static enum status set_size(struct socket *socket, int option, int32_t number) {
    const bool forced = option == SO_SNDBUFFORCE || option == SO_RCVBUFFORCE;
    if (forced && !identity_is_root())
        return ERR_NOT_PERMITTED;
    if (option == SO_SNDBUF || option == SO_SNDBUFFORCE)
        socket->send_size = size_told(number, forced, SEND_SIZE_MIN);
    else
        socket->receive_size = size_told(number, forced, RECEIVE_SIZE_MIN);
    return OK;
}

static enum status set_number(struct socket *socket, int option, int32_t number) {
    switch (option) {
    case SO_PASSCRED:
        socket->pass_credentials = number != 0;
        return OK;
    case SO_REUSEADDR:
        socket->reuse = number != 0;
        return OK;
    case SO_KEEPALIVE:
        socket->keepalive = number != 0;
        return OK;
    case SO_BROADCAST:
        socket->broadcast = number != 0;
        return OK;
    case SO_SNDBUF:
    case SO_SNDBUFFORCE:
    case SO_RCVBUF:
    case SO_RCVBUFFORCE:
        return set_size(socket, option, number);
    case SO_DEBUG:
    case SO_DONTROUTE:
    case SO_OOBINLINE:
    case SO_PRIORITY:
    case SO_REUSEPORT:
    case SO_LINGER:
        return OK;
    default:
        return ERR_NO_SUCH_OPTION;
    }
}

static enum status set_timeout(struct socket *socket, int option, vaddr_t from, uint32_t length) {
    uint64_t ns;
    if (length < sizeof(struct timeval))
        return ERR_INVALID;
    enum status status = timeval_from_user(from, &ns);
    if (status != OK)
        return status;
    *(option == SO_RCVTIMEO ? &socket->receive_timeout : &socket->send_timeout) = ns;
    return OK;
}

static enum status set_option(struct socket *socket, int level, int option, vaddr_t from, uint32_t length) {
    int32_t number;
    if ((int32_t)length < 0)
        return ERR_INVALID;
    if (level != SOL_SOCKET && socket->family == AF_UNIX)
        return ERR_NOT_SUPPORTED;
    if (level != SOL_SOCKET)
        return level == SOL_IP || level == SOL_TCP ? OK : ERR_NO_SUCH_OPTION;
    if (option == SO_RCVTIMEO || option == SO_SNDTIMEO)
        return set_timeout(socket, option, from, length);
    if (length < sizeof(number))
        return ERR_INVALID;
    enum status status = copy_from_user(&number, from, sizeof(number));
    if (status != OK)
        return status;
    spin_lock(&sockets_lock);
    status = set_number(socket, option, number);
    spin_unlock(&sockets_lock);
    return status;
}

static enum status with_socket(const struct syscall *call, bool set) {
    struct socket *socket;
    struct file *file;
    int level = (int)call->arg[1], option = (int)call->arg[2];
    enum status status = socket_get((int)call->arg[0], &file, &socket);
    if (status != OK)
        return status;
    if (set)
        status = set_option(socket, level, option, call->arg[3], (uint32_t)call->arg[4]);
    else
        status = get_option(socket, level, option, call->arg[3], call->arg[4]);
    file_unref(file);
    return status;
}

enum status sys_getsockopt(struct syscall *call) { return with_socket(call, false); }
enum status sys_setsockopt(struct syscall *call) { return with_socket(call, true); }
