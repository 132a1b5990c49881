/*
 * Sockets: their life, and what they are as files.
 *
 * A socket has one open file at most; it is closed when that goes (or, of a connection that nobody accepted, with the
 * listener). What remains of it then is what its peer still looks at. Invariant: LOGICAL ACCESS – a process that gives
 * up a handle loses its windows on what that end receives (handle_closed). Locks: sockets_lock; inside it a stream's.
 * Runs in the caller's space.
 */
#include "kernel/socket.h"

#include "arch/uaccess.h"
#include "asi/abi.h"
#include "kernel/open_file.h"
#include "kernel/poll.h"
#include "kernel/process.h"
#include "kernel/timespec.h"
#include "mm/heap.h"
#include "mm/object.h"

#define SIZE_DEFAULT 212992U /* what SO_SNDBUF and SO_RCVBUF say */

struct spinlock sockets_lock = SPINLOCK_INIT(RANK_SOCKETS);

void credentials_of_caller(struct credentials *credentials) {
    const struct process *process = process_current();
    *credentials = (struct credentials){process->id, process->user.effective, process->group_id.effective};
}

uint64_t socket_deadline(uint64_t timeout) { return timeout == 0 ? WAIT_FOREVER : deadline_after(timeout); }

struct linux_iovec io_piece(struct socket_io *io, size_t at) {
    while (at - io->vector_start >= io->vectors[io->vector].bytes)
        io->vector_start += io->vectors[io->vector++].bytes;
    size_t into = at - io->vector_start;
    return (struct linux_iovec){io->vectors[io->vector].base + into, io->vectors[io->vector].bytes - into};
}

/* --- Life --------------------------------------------------------------------------------------------------------- */

static enum status prepare_stream(struct socket *socket, struct memory_object *object) {
    enum status status = OK;
    if (object != NULL)
        object_ref(object);
    else
        status = object_create(&object);
    if (status != OK)
        return status;
    object->exit_cause = ASI_CAUSE_IPC;
    channel_init(&socket->incoming, object);
    return OK;
}

enum status socket_create(uint32_t family, uint32_t type, struct memory_object *object, struct socket **out) {
    struct socket *socket = global_alloc(sizeof(*socket));
    if (socket == NULL)
        return ERR_NO_MEMORY;
    enum status status = type == SOCK_STREAM ? prepare_stream(socket, object) : OK;
    if (status != OK) {
        global_free(socket, sizeof(*socket));
        return status;
    }
    socket->refs = 1;
    socket->family = (uint16_t)family;
    socket->type = (uint16_t)type;
    socket->send_size = socket->receive_size = SIZE_DEFAULT;
    credentials_of_caller(&socket->owner);
    wait_queue_init(&socket->readable);
    wait_queue_init(&socket->writable);
    list_init(&socket->notes);
    list_init(&socket->packets);
    list_init(&socket->pending);
    list_init(&socket->pending_link);
    list_init(&socket->bound_link);
    list_init(&socket->flight_link);
    list_init(&socket->work_link);
    *out = socket;
    return OK;
}

void socket_ref(struct socket *socket) { __atomic_fetch_add(&socket->refs, 1, __ATOMIC_RELAXED); }

void socket_unref(struct socket *socket) {
    if (__atomic_sub_fetch(&socket->refs, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    if (is_stream(socket))
        object_unref(socket->incoming.object);
    global_free(socket, sizeof(*socket));
}

void socket_join(struct socket *one, struct socket *other) {
    socket_ref(one);
    socket_ref(other);
    one->peer = other;
    other->peer = one;
    one->state = other->state = SOCKET_CONNECTED;
}

/*
 * The peer of one that is closed; `unread`: with what it sent and nobody read, or before it was accepted. sockets_lock
 * held, and of a stream its lock.
 */
static void tell_peer(struct socket *peer, bool unread) {
    if (peer->type != SOCK_DGRAM) {
        peer->shut_read = peer->shut_write = true;
        if (unread)
            peer->error = ERR_CONNECTION_RESET;
    }
    wake_all(&peer->readable);
    wake_all(&peer->writable);
}

static void move_all(struct list *to, struct list *from) {
    while (!list_empty(from)) {
        struct list *link = from->next;
        list_remove(link);
        list_push_back(to, link);
    }
}

/* What lies at a stream: its pages, and what was attached. sockets_lock held; returns without it. */
static void close_stream(struct socket *socket) {
    struct list notes;
    list_init(&notes);
    spin_lock(&socket->incoming.object->lock);
    socket->closed = true;
    move_all(&notes, &socket->notes);
    list_for_each(link, &notes) flight_end(container_of(link, struct attachment, link));
    if (socket->peer != NULL)
        tell_peer(socket->peer, socket->incoming.bytes > 0 || socket->inode == NULL);
    spin_unlock(&sockets_lock);
    channel_drop_pages(&socket->incoming, true);
    while (!list_empty(&notes)) {
        struct attachment *attached = container_of(notes.next, struct attachment, link);
        list_remove(notes.next);
        attachment_drop(attached);
    }
}

static void close_packets(struct socket *socket) {
    struct list packets;
    list_init(&packets);
    socket->closed = true;
    move_all(&packets, &socket->packets);
    list_for_each(link, &packets) {
        const struct packet *packet = container_of(link, struct packet, link);
        if (packet->attached != NULL)
            flight_end(packet->attached);
    }
    if (socket->peer != NULL && socket->peer->peer == socket)
        tell_peer(socket->peer, !list_empty(&packets) || socket->inode == NULL);
    spin_unlock(&sockets_lock);
    wake_all(&packets_taken);
    packets_drop(&packets);
}

void socket_close(struct socket *socket) {
    struct list pending;
    list_init(&pending);
    spin_lock(&sockets_lock);
    if (socket->closed) {
        spin_unlock(&sockets_lock);
        return;
    }
    struct inode *place = socket_unbind(socket);
    struct socket *peer = socket->peer;
    socket->file = NULL;
    move_all(&pending, &socket->pending);
    if (is_stream(socket))
        close_stream(socket);
    else
        close_packets(socket);
    wake_all(&socket->readable);
    wake_all(&socket->writable);
    while (!list_empty(&pending)) {
        struct socket *other = container_of(pending.next, struct socket, pending_link);
        list_remove(pending.next);
        socket_close(other); /* it has none pending itself */
        socket_unref(other);
    }
    if (peer != NULL)
        socket_unref(peer); /* socket->peer still says who it was, but nobody looks any more */
    if (place != NULL)
        inode_unref(place);
}

enum status socket_publish(struct socket *socket, uint32_t flags, int64_t *fd) {
    struct inode *inode;
    struct file *file;
    enum status status = inode_create(S_IFSOCK | 0777, &inode);
    if (status != OK) {
        socket_close(socket);
        socket_unref(socket);
        return status;
    }
    inode->operations = &socket_operations;
    inode->uid = process_current()->user.file;
    inode->gid = process_current()->group_id.file;
    inode->links = 1;
    inode->socket = socket;
    socket->inode = inode;
    status = file_create(inode, O_RDWR, &file);
    if (status != OK)
        socket_close(socket);
    inode_unref(inode);
    return status == OK ? handle_publish_as(file, flags & (SOCK_CLOEXEC | SOCK_NONBLOCK), fd) : status;
}

enum status socket_get(int fd, struct file **file, struct socket **socket) {
    enum status status = handle_get(fd, file);
    if (status != OK)
        return status;
    if ((*file)->operations != &socket_operations) {
        status = (*file)->flags & O_PATH ? ERR_BAD_HANDLE : ERR_NOT_SOCKET;
        file_unref(*file);
        return status;
    }
    *socket = (*file)->inode->socket;
    return OK;
}

/* --- Shutting down ------------------------------------------------------------------------------------------------ */

enum status socket_shutdown(struct socket *socket, int how) {
    const bool reading = how != SHUT_WR, writing = how != SHUT_RD;
    if (how < SHUT_RD || how > SHUT_RDWR)
        return ERR_INVALID;
    if (socket->family == AF_INET)
        return ERR_NOT_CONNECTED;
    spin_lock(&sockets_lock);
    struct socket *peer = socket->type != SOCK_DGRAM ? socket->peer : NULL;
    if (is_stream(socket))
        spin_lock(&socket->incoming.object->lock);
    socket->shut_read |= reading;
    socket->shut_write |= writing;
    if (peer != NULL) {
        peer->shut_read |= writing;
        peer->shut_write |= reading;
        wake_all(&peer->readable);
        wake_all(&peer->writable);
    }
    if (is_stream(socket))
        spin_unlock(&socket->incoming.object->lock);
    wake_all(&socket->readable);
    wake_all(&socket->writable);
    spin_unlock(&sockets_lock);
    return OK;
}

enum status socket_take_error(struct socket *socket) {
    enum status error = socket->error;
    socket->error = OK;
    return error;
}

/* --- The file ----------------------------------------------------------------------------------------------------- */

static enum status socket_open(struct file *file) {
    struct socket *socket = file->inode->socket;
    if (socket->file != NULL || socket->closed)
        return ERR_NO_DEVICE_ADDRESS; /* by /proc/self/fd */
    socket->file = file;
    if (is_stream(socket))
        file->object = socket->incoming.object;
    return OK;
}

static void socket_release(struct file *file) {
    socket_close(file->inode->socket);
    flight_collect(NULL);
}

static void socket_handle_closed(struct file *file) {
    struct socket *socket = file->inode->socket;
    if (is_stream(socket)) {
        spin_lock(&socket->incoming.object->lock);
        channel_revoke(&socket->incoming);
        spin_unlock(&socket->incoming.object->lock);
    }
    flight_collect(file);
}

enum status socket_send(struct socket *socket, struct socket_io *io, size_t *done) {
    if (io->flags & MSG_OOB)
        return ERR_NOT_SUPPORTED;
    return is_stream(socket) ? stream_send(socket, io, done) : packet_send(socket, io, done);
}

enum status socket_receive(struct socket *socket, struct socket_io *io, size_t *done) {
    if (io->flags & MSG_OOB)
        return ERR_NOT_SUPPORTED;
    return is_stream(socket) ? stream_receive(socket, io, done) : packet_receive(socket, io, done);
}

static struct socket_io plain_io(const struct file *file) {
    return (struct socket_io){.nonblocking = file->flags & O_NONBLOCK};
}

static enum status socket_vectors(struct file *file, bool write, const struct linux_iovec *vectors, unsigned count,
                                  size_t bytes, size_t *done) {
    struct socket *socket = file->inode->socket;
    struct socket_io io = plain_io(file);
    io.vectors = vectors;
    io.vector_count = count;
    io.bytes = bytes;
    enum status status = write ? socket_send(socket, &io, done) : socket_receive(socket, &io, done);
    if (!write)
        attachment_drop(io.attached);
    return *done > 0 ? OK : status;
}

static enum status socket_read(struct file *file, vaddr_t to, size_t bytes, uint64_t *offset, size_t *done) {
    const struct linux_iovec vector = {to, bytes};
    (void)offset;
    return bytes > 0 ? socket_vectors(file, false, &vector, 1, bytes, done) : OK;
}

static enum status socket_write(struct file *file, vaddr_t from, size_t bytes, uint64_t *offset, size_t *done) {
    const struct linux_iovec vector = {from, bytes};
    (void)offset;
    return socket_vectors(file, true, &vector, 1, bytes, done);
}

static enum status socket_write_kernel(struct file *file, const void *from, size_t bytes, uint64_t *offset,
                                       size_t *done) {
    struct socket_io io = plain_io(file);
    (void)offset;
    io.kernel = from;
    io.bytes = bytes;
    enum status status = socket_send(file->inode->socket, &io, done);
    return *done > 0 ? OK : status;
}

/* A stream end's events. The lock held. */
static uint32_t stream_events(const struct socket *socket) {
    const struct socket *peer = socket->peer;
    uint32_t events = 0;
    if (socket->incoming.bytes > 0 || socket->shut_read || socket->error != OK)
        events |= POLLIN | POLLRDNORM;
    if (socket->state == SOCKET_LISTENING)
        return list_empty(&socket->pending) ? 0 : POLLIN | POLLRDNORM;
    if (socket->state == SOCKET_FRESH)
        return events | POLLOUT | POLLWRNORM | POLLHUP;
    events |= socket->error != OK ? POLLERR : 0;
    events |= socket->shut_read ? POLLRDHUP : 0;
    events |= socket->shut_read && socket->shut_write ? POLLHUP : 0;
    if (peer->closed || (peer->incoming.used < peer->incoming.slots && stream_allowed(socket) > 0))
        events |= POLLOUT | POLLWRNORM;
    return events;
}

/* sockets_lock held. */
static uint32_t packet_events(const struct socket *socket) {
    const struct socket *peer = socket->peer;
    uint32_t events = 0;
    if (!list_empty(&socket->packets) || socket->shut_read || !list_empty(&socket->pending))
        events |= POLLIN | POLLRDNORM;
    if (socket->state == SOCKET_LISTENING)
        return events;
    events |= socket->error != OK ? POLLERR : 0;
    events |= socket->shut_read ? POLLRDHUP : 0;
    events |= socket->shut_read && socket->shut_write ? POLLHUP : 0;
    if (peer == NULL && socket->type == SOCK_SEQPACKET)
        events |= POLLHUP;
    if (peer == NULL || peer->closed || (packet_room(peer, 1) && packet_allowed(socket)))
        events |= POLLOUT | POLLWRNORM;
    return events;
}

static bool wants_output_only(const struct poll_table *table) {
    return table != NULL && !(table->wanted & (POLLIN | POLLRDNORM | POLLRDHUP | POLLPRI));
}

static bool wants_input_only(const struct poll_table *table) {
    return table != NULL && !(table->wanted & (POLLOUT | POLLWRNORM));
}

static uint32_t socket_poll(struct file *file, struct poll_table *table) {
    struct socket *socket = file->inode->socket;
    uint32_t events;
    spin_lock(&sockets_lock);
    if (is_stream(socket))
        spin_lock(&socket->incoming.object->lock);
    if (!wants_output_only(table))
        poll_wait(table, &socket->readable);
    if (!wants_input_only(table))
        poll_wait(table, is_stream(socket) ? &socket->writable : &packets_taken);
    events = is_stream(socket) ? stream_events(socket) : packet_events(socket);
    if (is_stream(socket))
        spin_unlock(&socket->incoming.object->lock);
    spin_unlock(&sockets_lock);
    return events;
}

static enum status socket_control(struct file *file, uint32_t command, uint64_t argument, int64_t *result) {
    const struct socket *socket = file->inode->socket;
    int32_t bytes = 0;
    (void)result;
    if (command != FIONREAD)
        return ERR_NOT_TERMINAL;
    spin_lock(&sockets_lock);
    if (socket->state == SOCKET_LISTENING)
        bytes = -1;
    else if (is_stream(socket))
        bytes = (int32_t)socket->incoming.bytes;
    else if (!list_empty(&socket->packets))
        bytes = (int32_t)container_of(socket->packets.next, struct packet, link)->bytes;
    spin_unlock(&sockets_lock);
    return bytes < 0 ? ERR_INVALID : copy_to_user(argument, &bytes, sizeof(bytes));
}

const struct file_operations socket_operations = {
    .open = socket_open,
    .release = socket_release,
    .handle_closed = socket_handle_closed,
    .read = socket_read,
    .write = socket_write,
    .write_kernel = socket_write_kernel,
    .vectors = socket_vectors,
    .poll = socket_poll,
    .control = socket_control,
};
