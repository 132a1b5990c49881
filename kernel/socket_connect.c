/*
 * Listening, connecting, accepting.
 *
 * A connection is there as soon as connect() has put its other end into the listener's queue: who connected can write
 * before anybody accepts. Both ends of a stream have their pages from the connecting one's memory object.
 * Lock: sockets_lock. Runs in the caller's space.
 */
#include "kernel/socket.h"

enum status socket_listen(struct socket *socket, int backlog) {
    enum status status = OK;
    if (socket->type == SOCK_DGRAM)
        return ERR_NOT_SUPPORTED;
    spin_lock(&sockets_lock);
    if (socket->state == SOCKET_CONNECTED || (socket->family == AF_UNIX && socket->name.length == 0)) {
        status = ERR_INVALID;
    } else {
        socket->state = SOCKET_LISTENING;
        socket->backlog = (uint32_t)backlog < BACKLOG_MAX ? (uint32_t)backlog : BACKLOG_MAX;
        credentials_of_caller(&socket->owner);
        wake_all(&socket->writable); /* who waits for room there */
    }
    spin_unlock(&sockets_lock);
    return status;
}

/* --- Connecting --------------------------------------------------------------------------------------------------- */

static enum status connect_packets(struct socket *socket, struct socket *target) {
    struct socket *before;
    if (target->type != SOCK_DGRAM)
        return ERR_SOCKET_KIND;
    spin_lock(&sockets_lock);
    if (target->peer != NULL && target->peer != socket) {
        spin_unlock(&sockets_lock);
        return ERR_NOT_PERMITTED;
    }
    before = socket->peer;
    socket_ref(target);
    socket->peer = target;
    socket->state = SOCKET_CONNECTED;
    socket->peer_credentials = target->owner;
    wake_all(&packets_taken);
    spin_unlock(&sockets_lock);
    if (before != NULL)
        socket_unref(before);
    return OK;
}

/* Why not, ever. sockets_lock held. */
static enum status check_connect(const struct socket *socket, const struct socket *listener) {
    if (listener->type != socket->type)
        return ERR_SOCKET_KIND;
    if (listener->closed || listener->state != SOCKET_LISTENING || listener->shut_read)
        return ERR_CONNECTION_REFUSED;
    if (socket->state != SOCKET_FRESH)
        return socket->state == SOCKET_CONNECTED ? ERR_CONNECTED : ERR_INVALID;
    return OK;
}

/* sockets_lock held. */
static void put_into_queue(struct socket *socket, struct socket *listener, struct socket *other) {
    other->name = listener->name;
    other->owner = listener->owner;
    other->peer_credentials = socket->owner;
    socket->peer_credentials = listener->owner;
    other->pass_credentials = listener->pass_credentials;
    socket_join(socket, other);
    list_push_back(&listener->pending, &other->pending_link);
    listener->pending_count++;
    wake_all(&listener->readable);
    wake_all(&socket->writable);
}

/* `other`: what will be accepted; taken on success. */
static enum status connect_to(struct socket *socket, struct socket *listener, struct socket *other, bool nonblocking) {
    const uint64_t deadline = socket_deadline(socket->send_timeout);
    for (;;) {
        struct waiter waiter;
        spin_lock(&sockets_lock);
        enum status status = check_connect(socket, listener);
        bool full = status == OK && listener->pending_count > listener->backlog;
        if (!full || nonblocking) {
            if (status == OK && full)
                status = ERR_WOULD_BLOCK;
            else if (status == OK)
                put_into_queue(socket, listener, other);
            spin_unlock(&sockets_lock);
            return status;
        }
        wait_begin(&listener->writable, &waiter);
        spin_unlock(&sockets_lock);
        status = wait_sleep(deadline);
        wait_end(&waiter);
        if (status != OK)
            return status == ERR_TIMED_OUT ? ERR_WOULD_BLOCK : status;
    }
}

enum status socket_connect(struct socket *socket, const struct socket_name *name, bool nonblocking) {
    struct socket *target, *other;
    enum status status = socket_find(name, &target);
    if (status != OK)
        return status;
    if (socket->type == SOCK_DGRAM) {
        status = connect_packets(socket, target);
        socket_unref(target);
        return status;
    }
    credentials_of_caller(&socket->owner);
    status = socket_create(socket->family, socket->type, socket->incoming.object, &other);
    if (status == OK) {
        status = connect_to(socket, target, other, nonblocking);
        if (status != OK)
            socket_unref(other);
    }
    socket_unref(target);
    return status;
}

/* --- Accepting ---------------------------------------------------------------------------------------------------- */

static struct socket *take_pending(struct socket *socket) {
    if (list_empty(&socket->pending))
        return NULL;
    struct socket *other = container_of(socket->pending.next, struct socket, pending_link);
    list_remove(&other->pending_link);
    socket->pending_count--;
    wake_all(&socket->writable);
    return other;
}

enum status socket_accept(struct socket *socket, bool nonblocking, struct socket **out) {
    const uint64_t deadline = socket_deadline(socket->receive_timeout);
    if (socket->type == SOCK_DGRAM)
        return ERR_NOT_SUPPORTED;
    for (;;) {
        struct waiter waiter;
        spin_lock(&sockets_lock);
        enum status status = socket->state == SOCKET_LISTENING ? OK : ERR_INVALID;
        *out = status == OK ? take_pending(socket) : NULL;
        if (*out == NULL && status == OK && socket->shut_read)
            status = ERR_INVALID;
        if (*out == NULL && status == OK && nonblocking)
            status = ERR_WOULD_BLOCK;
        if (*out != NULL || status != OK) {
            spin_unlock(&sockets_lock);
            return status;
        }
        wait_begin(&socket->readable, &waiter);
        spin_unlock(&sockets_lock);
        status = wait_sleep(deadline);
        wait_end(&waiter);
        if (status != OK)
            return status == ERR_TIMED_OUT ? ERR_WOULD_BLOCK : status;
    }
}
