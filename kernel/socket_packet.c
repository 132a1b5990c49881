/*
 * Packets: what datagram and seqpacket sockets send each other, each in frames of its own.
 *
 * Invariant: LOGICAL ACCESS – a packet is written by its sender before anyone else knows it, and read by who has taken
 * it from the queue, or looks at it there, which it could take. Locks: sockets_lock for the queues; a packet's content
 * is touched with no lock held. Runs in the caller's space.
 */
#include "arch/uaccess.h"
#include "kernel/ipc_abi.h"
#include "kernel/message.h"
#include "kernel/socket.h"
#include "mm/heap.h"

struct wait_queue packets_taken = WAIT_QUEUE_INIT(packets_taken);

#define SEND_MARGIN 32U /* by which a packet must be smaller than its sender's SO_SNDBUF */

/* --- A packet ----------------------------------------------------------------------------------------------------- */

static uint32_t frames_of(size_t bytes) { return (uint32_t)bytes_to_pages(sizeof(struct message_words) + bytes); }

static uint32_t packet_cost(const struct packet *packet) { return (uint32_t)packet->bytes + PACKET_OVERHEAD; }

/* Its sender may send as much again. */
static void give_back(const struct packet *packet) {
    spin_lock(&sockets_lock);
    packet->sender->queued -= packet_cost(packet);
    wake_all(&packets_taken);
    spin_unlock(&sockets_lock);
    socket_unref(packet->sender);
}

static void packet_unref(struct packet *packet) {
    if (__atomic_sub_fetch(&packet->refs, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    if (packet->sender != NULL)
        give_back(packet);
    message_free(packet->buffer);
    attachment_drop(packet->attached);
    global_free(packet, sizeof(*packet));
}

void packets_drop(struct list *packets) {
    while (!list_empty(packets)) {
        struct packet *packet = container_of(packets->next, struct packet, link);
        list_remove(&packet->link);
        packet_unref(packet);
    }
}

static enum status fill(const struct packet *packet, struct socket_io *io) {
    if (io->kernel != NULL)
        return message_write_part(packet->buffer, 0, (struct message_place){.kernel = (char *)(uintptr_t)io->kernel},
                                  io->bytes);
    for (size_t done = 0; done < io->bytes;) {
        struct linux_iovec piece = io_piece(io, done);
        enum status status =
            message_write_part(packet->buffer, done, (struct message_place){.user = piece.base}, piece.bytes);
        if (status != OK)
            return status;
        done += piece.bytes;
    }
    return OK;
}

static enum status make_packet(const struct socket *socket, struct socket_io *io, struct packet **out) {
    struct packet *packet = global_alloc(sizeof(*packet));
    if (packet == NULL)
        return ERR_NO_MEMORY;
    enum status status = message_alloc(io->bytes, &packet->buffer);
    if (status != OK) {
        global_free(packet, sizeof(*packet));
        return status;
    }
    packet->refs = 1;
    packet->bytes = io->bytes;
    credentials_of_caller(&packet->credentials);
    if (io->attached != NULL && io->attached->credentials_said)
        packet->credentials = io->attached->credentials;
    packet->from = socket->name;
    status = fill(packet, io);
    message_settle();
    if (status != OK) {
        packet_unref(packet);
        return status;
    }
    *out = packet;
    return OK;
}

/* --- Sending ------------------------------------------------------------------------------------------------------ */

bool packet_room(const struct socket *target, uint32_t frames) {
    return target->packet_count < PACKETS_MAX && target->packet_frames + frames <= PACKET_FRAMES_MAX;
}

/* The socket that a packet is for, with a reference. */
static enum status find_target(struct socket *socket, const struct socket_io *io, struct socket **out) {
    if (io->to != NULL && socket->type == SOCK_DGRAM)
        return socket_find(io->to, out);
    spin_lock(&sockets_lock);
    *out = socket->peer;
    if (*out != NULL)
        socket_ref(*out);
    spin_unlock(&sockets_lock);
    if (*out == NULL)
        return ERR_NOT_CONNECTED;
    return OK;
}

/* Why the target would not take it, ever. sockets_lock held. */
static enum status check_target(struct socket *socket, const struct socket *target) {
    if (target->type != socket->type)
        return ERR_SOCKET_KIND;
    if (socket->shut_write)
        return ERR_BROKEN_PIPE;
    if (target->closed)
        return socket->type == SOCK_DGRAM ? ERR_CONNECTION_REFUSED : ERR_BROKEN_PIPE;
    if (socket->type == SOCK_DGRAM && target->peer != NULL && target->peer != socket)
        return ERR_NOT_PERMITTED;
    return target->shut_read ? ERR_BROKEN_PIPE : OK;
}

/* sockets_lock held. */
static enum status deliver(struct socket *socket, struct socket *target, struct packet *packet, struct socket_io *io) {
    if (io->attached != NULL) {
        enum status status = flight_begin(io->attached);
        if (status != OK)
            return status;
        packet->attached = io->attached;
        io->attached = NULL;
    }
    socket_ref(socket);
    packet->sender = socket;
    socket->queued += packet_cost(packet);
    list_push_back(&target->packets, &packet->link);
    target->packet_count++;
    target->packet_frames += frames_of(packet->bytes);
    wake_all(&target->readable);
    return OK;
}

/* Delivers, or waits for room. */
static enum status send_to(struct socket *socket, struct socket *target, struct packet *packet, struct socket_io *io) {
    const uint64_t deadline = socket_deadline(socket->send_timeout);
    for (;;) {
        struct waiter waiter;
        spin_lock(&sockets_lock);
        enum status status = check_target(socket, target);
        const bool room = target == socket || packet_room(target, frames_of(packet->bytes));
        const bool full = status == OK && !(room && packet_allowed(socket));
        if (!full || io->nonblocking) {
            if (status == OK)
                status = full ? ERR_WOULD_BLOCK : deliver(socket, target, packet, io);
            spin_unlock(&sockets_lock);
            return status;
        }
        wait_begin(&packets_taken, &waiter);
        spin_unlock(&sockets_lock);
        status = wait_sleep(deadline);
        wait_end(&waiter);
        if (status != OK)
            return status == ERR_TIMED_OUT ? ERR_WOULD_BLOCK : status;
    }
}

enum status packet_send(struct socket *socket, struct socket_io *io, size_t *done) {
    struct socket *target;
    struct packet *packet = NULL;
    if (socket->family == AF_INET)
        return io->to != NULL ? ERR_UNREACHABLE : ERR_NO_DESTINATION;
    if (io->bytes > IPC_BYTES_MAX || io->bytes + SEND_MARGIN > socket->send_size)
        return ERR_MESSAGE_SIZE;
    enum status status = find_target(socket, io, &target);
    if (status != OK)
        return status;
    status = make_packet(socket, io, &packet);
    if (status == OK) {
        status = send_to(socket, target, packet, io);
        if (status != OK)
            packet_unref(packet);
    }
    socket_unref(target);
    if (status == OK)
        *done = io->bytes;
    return status;
}

/* --- Receiving ---------------------------------------------------------------------------------------------------- */

/* The next packet, with the queue's reference or, of a look, one of its own. NULL: none. sockets_lock held. */
static struct packet *next_packet(struct socket *socket, struct socket_io *io) {
    if (list_empty(&socket->packets))
        return NULL;
    struct packet *packet = container_of(socket->packets.next, struct packet, link);
    if (io->flags & MSG_PEEK) {
        __atomic_fetch_add(&packet->refs, 1, __ATOMIC_RELAXED);
        if (packet->attached != NULL && packet->attached->count > 0)
            io->attached = attachment_copy(packet->attached);
        return packet;
    }
    list_remove(&packet->link);
    socket->packet_count--;
    socket->packet_frames -= frames_of(packet->bytes);
    if (packet->attached != NULL)
        flight_end(packet->attached);
    io->attached = packet->attached;
    packet->attached = NULL;
    wake_all(&packets_taken);
    return packet;
}

/* *out NULL with OK: the end. */
static enum status wait_for_packet(struct socket *socket, struct socket_io *io, struct packet **out) {
    const uint64_t deadline = socket_deadline(socket->receive_timeout);
    for (;;) {
        struct waiter waiter;
        spin_lock(&sockets_lock);
        *out = next_packet(socket, io);
        enum status status = *out == NULL ? socket_take_error(socket) : OK;
        if (*out != NULL || status != OK || socket->shut_read || io->nonblocking) {
            if (*out == NULL && status == OK && !socket->shut_read)
                status = ERR_WOULD_BLOCK;
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

static enum status copy_packet(const struct packet *packet, struct socket_io *io, size_t bytes) {
    for (size_t done = 0; done < bytes;) {
        struct linux_iovec piece = io_piece(io, done);
        size_t part = piece.bytes < bytes - done ? piece.bytes : bytes - done;
        enum status status = message_read_part(packet->buffer, done, (struct message_place){.user = piece.base}, part);
        if (status != OK)
            return status;
        done += part;
    }
    return OK;
}

enum status packet_receive(struct socket *socket, struct socket_io *io, size_t *done) {
    struct packet *packet;
    if (socket->type == SOCK_SEQPACKET && socket->state != SOCKET_CONNECTED)
        return ERR_NOT_CONNECTED;
    enum status status = wait_for_packet(socket, io, &packet);
    if (packet == NULL)
        return status;
    size_t bytes = packet->bytes < io->bytes ? packet->bytes : io->bytes;
    if (bytes < packet->bytes)
        io->flags_out |= MSG_TRUNC;
    io->from = packet->from;
    io->credentials = packet->credentials;
    status = copy_packet(packet, io, bytes);
    message_settle();
    *done = io->flags & MSG_TRUNC ? packet->bytes : bytes;
    packet_unref(packet);
    if (status != OK)
        *done = 0;
    return status;
}
