/*
 * socket, socketpair, bind, listen, connect, accept, accept4, shutdown, getsockname, getpeername.
 *
 * Decode and check, then what socket*.c do. AF_INET is that of a machine with no network: sockets can be made, named
 * and asked, and reach nothing. Locks: see there. Runs in the caller's space.
 */
#include "arch/uaccess.h"
#include "kernel/open_file.h"
#include "kernel/socket.h"
#include "kernel/syscall_table.h"

static enum status check_kind(uint32_t family, uint32_t type, uint32_t protocol) {
    if (type & ~(SOCK_TYPE | SOCK_CLOEXEC | SOCK_NONBLOCK))
        return ERR_INVALID;
    type &= SOCK_TYPE;
    if (family != AF_UNIX && family != AF_INET)
        return ERR_ADDRESS_FAMILY;
    if (type != SOCK_STREAM && type != SOCK_DGRAM && (type != SOCK_SEQPACKET || family == AF_INET))
        return ERR_SOCKET_TYPE;
    uint32_t own = family == AF_UNIX ? AF_UNIX : type == SOCK_STREAM ? 6 : 17; /* IPPROTO_TCP, IPPROTO_UDP */
    return protocol == 0 || protocol == own ? OK : ERR_PROTOCOL;
}

enum status sys_socket(struct syscall *call) {
    uint32_t family = (uint32_t)call->arg[0], type = (uint32_t)call->arg[1];
    struct socket *socket;
    enum status status = check_kind(family, type, (uint32_t)call->arg[2]);
    if (status == OK)
        status = socket_create(family, type & SOCK_TYPE, NULL, &socket);
    return status == OK ? socket_publish(socket, type, &call->result) : status;
}

static enum status make_pair(uint32_t type, struct socket *pair[2]) {
    enum status status = socket_create(AF_UNIX, type, NULL, &pair[0]);
    if (status != OK)
        return status;
    status = socket_create(AF_UNIX, type, pair[0]->incoming.object, &pair[1]);
    if (status != OK) {
        socket_unref(pair[0]);
        return status;
    }
    spin_lock(&sockets_lock);
    socket_join(pair[0], pair[1]);
    spin_unlock(&sockets_lock);
    pair[0]->peer_credentials = pair[1]->peer_credentials = pair[0]->owner;
    return OK;
}

static void take_back(int64_t fd) {
    if (handle_close((int)fd) != OK)
        return; /* another thread has closed what it was not told of yet */
}

enum status sys_socketpair(struct syscall *call) {
    uint32_t family = (uint32_t)call->arg[0], type = (uint32_t)call->arg[1];
    struct socket *pair[2];
    int64_t fds[2];
    enum status status = check_kind(family, type, (uint32_t)call->arg[2]);
    if (status == OK && family != AF_UNIX)
        status = ERR_NOT_SUPPORTED;
    if (status == OK)
        status = make_pair(type & SOCK_TYPE, pair);
    if (status != OK)
        return status;
    status = socket_publish(pair[0], type, &fds[0]);
    if (status != OK) {
        socket_close(pair[1]);
        socket_unref(pair[1]);
        return status;
    }
    status = socket_publish(pair[1], type, &fds[1]);
    if (status == OK) {
        const int32_t numbers[2] = {(int32_t)fds[0], (int32_t)fds[1]};
        status = copy_to_user(call->arg[3], numbers, sizeof(numbers));
        if (status != OK)
            take_back(fds[1]);
    }
    if (status != OK)
        take_back(fds[0]);
    return status;
}

/* --- Names -------------------------------------------------------------------------------------------------------- */

struct internet_address { /* struct sockaddr_in */
    uint16_t family, port;
    uint32_t address;
    uint64_t unused;
};

static enum status internet_address(vaddr_t address, uint64_t length, struct internet_address *out) {
    if (length < sizeof(*out) || length > 128)
        return ERR_INVALID;
    return copy_from_user(out, address, sizeof(*out));
}

/* This machine has no address but "any". */
static enum status bind_internet(vaddr_t address, uint64_t length) {
    struct internet_address name;
    enum status status = internet_address(address, length, &name);
    if (status != OK)
        return status;
    if (name.family != AF_INET)
        return ERR_ADDRESS_FAMILY;
    return name.address == 0 ? OK : ERR_ADDRESS_NOT_HERE;
}

static enum status connect_internet(vaddr_t address, uint64_t length) {
    struct internet_address name;
    enum status status = internet_address(address, length, &name);
    if (status != OK)
        return status;
    return name.family == AF_INET ? ERR_UNREACHABLE : ERR_ADDRESS_FAMILY;
}

enum status sys_bind(struct syscall *call) {
    struct socket_name name;
    struct socket *socket;
    struct file *file;
    enum status status = socket_get((int)call->arg[0], &file, &socket);
    if (status != OK)
        return status;
    if (socket->family == AF_INET) {
        status = bind_internet(call->arg[1], (uint32_t)call->arg[2]);
    } else {
        status = socket_name_from_user(call->arg[1], (uint32_t)call->arg[2], &name);
        if (status == OK)
            status = socket_bind(socket, &name);
    }
    file_unref(file);
    return status;
}

/* A datagram socket that is given AF_UNSPEC has no peer any more. */
static enum status disconnect(struct socket *socket) {
    spin_lock(&sockets_lock);
    struct socket *peer = socket->peer;
    socket->peer = NULL;
    socket->state = SOCKET_FRESH;
    spin_unlock(&sockets_lock);
    if (peer != NULL)
        socket_unref(peer);
    return OK;
}

static enum status connect_unix(struct socket *socket, vaddr_t address, uint64_t length, bool nonblocking) {
    struct socket_name name;
    uint16_t family;
    if (length < sizeof(family))
        return ERR_INVALID;
    enum status status = copy_from_user(&family, address, sizeof(family));
    if (status == OK && family == AF_UNSPEC && socket->type == SOCK_DGRAM)
        return disconnect(socket);
    if (status == OK)
        status = socket_name_from_user(address, length, &name);
    return status == OK ? socket_connect(socket, &name, nonblocking) : status;
}

enum status sys_connect(struct syscall *call) {
    struct socket *socket;
    struct file *file;
    enum status status = socket_get((int)call->arg[0], &file, &socket);
    if (status != OK)
        return status;
    if (socket->family == AF_INET)
        status = connect_internet(call->arg[1], (uint32_t)call->arg[2]);
    else
        status = connect_unix(socket, call->arg[1], (uint32_t)call->arg[2], file->flags & O_NONBLOCK);
    file_unref(file);
    return status;
}

enum status sys_listen(struct syscall *call) {
    struct socket *socket;
    struct file *file;
    enum status status = socket_get((int)call->arg[0], &file, &socket);
    if (status != OK)
        return status;
    status = socket_listen(socket, (int)call->arg[1]);
    file_unref(file);
    return status;
}

static enum status accept_from(const struct syscall *call, uint32_t flags, int64_t *result) {
    struct socket *socket, *other;
    struct file *file;
    if (flags & ~(SOCK_CLOEXEC | SOCK_NONBLOCK))
        return ERR_INVALID;
    enum status status = socket_get((int)call->arg[0], &file, &socket);
    if (status != OK)
        return status;
    status = handles_exhausted() ? ERR_TOO_MANY_HANDLES : socket_accept(socket, file->flags & O_NONBLOCK, &other);
    if (status == OK) {
        struct socket *peer = other->peer;
        struct socket_name name = peer->name;
        status = socket_publish(other, flags, result);
        if (status == OK && call->arg[1] != 0) {
            status = socket_name_to_user(socket, &name, call->arg[1], call->arg[2]);
            if (status != OK)
                take_back(*result);
        }
    }
    file_unref(file);
    return status;
}

enum status sys_accept(struct syscall *call) { return accept_from(call, 0, &call->result); }
enum status sys_accept4(struct syscall *call) { return accept_from(call, (uint32_t)call->arg[3], &call->result); }

enum status sys_shutdown(struct syscall *call) {
    struct socket *socket;
    struct file *file;
    enum status status = socket_get((int)call->arg[0], &file, &socket);
    if (status != OK)
        return status;
    status = socket_shutdown(socket, (int)call->arg[1]);
    file_unref(file);
    return status;
}

enum status sys_getsockname(struct syscall *call) {
    struct socket *socket;
    struct file *file;
    enum status status = socket_get((int)call->arg[0], &file, &socket);
    if (status != OK)
        return status;
    status = socket_name_to_user(socket, &socket->name, call->arg[1], call->arg[2]);
    file_unref(file);
    return status;
}

enum status sys_getpeername(struct syscall *call) {
    struct socket_name name;
    struct socket *socket;
    struct file *file;
    enum status status = socket_get((int)call->arg[0], &file, &socket);
    if (status != OK)
        return status;
    spin_lock(&sockets_lock);
    if (socket->peer != NULL)
        name = socket->peer->name;
    else
        status = ERR_NOT_CONNECTED;
    spin_unlock(&sockets_lock);
    if (status == OK)
        status = socket_name_to_user(socket, &name, call->arg[1], call->arg[2]);
    file_unref(file);
    return status;
}
