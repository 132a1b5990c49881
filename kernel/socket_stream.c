/*
 * Streams: bytes from one end into the channel of the other.
 *
 * Invariant: LOGICAL ACCESS – as with pipes (kernel/channel.c): who writes and has no handle on the other end does not
 * see what others wrote. Locks: the stream lock; sockets_lock outside it where files come or go with the bytes. User
 * memory is faulted in with no lock held. Runs in the caller's space.
 */
#include "arch/uaccess.h"
#include "kernel/open_file.h"
#include "kernel/process.h"
#include "kernel/signal.h"
#include "kernel/signal_abi.h"
#include "kernel/socket.h"
#include "mm/object.h"

/* The stream lock, inside sockets_lock if files may be concerned. */
static void lock_stream(struct socket *socket, bool files) {
    if (files)
        spin_lock(&sockets_lock);
    spin_lock(&socket->incoming.object->lock);
}

static void unlock_stream(struct socket *socket, bool files) {
    spin_unlock(&socket->incoming.object->lock);
    if (files)
        spin_unlock(&sockets_lock);
}

/* Whether another thread may close a handle during a call. */
static bool others_may_close(void) { return process_current()->thread_count != 1; }

/* Pages were mapped by the right to read: if the last handle that gave it was closed meanwhile, they are taken back. */
static void check_still_readable(struct socket *socket) {
    if (socket->inode != NULL && handles_can_read(socket->inode))
        return;
    lock_stream(socket, false);
    channel_revoke(&socket->incoming);
    unlock_stream(socket, false);
}

/* Sleeps until `queue` is woken. Both locks as said are held; returns without them. */
static enum status wait_for(struct socket *socket, bool files, struct wait_queue *queue, uint64_t deadline) {
    struct waiter waiter;
    wait_begin(queue, &waiter);
    unlock_stream(socket, files);
    enum status status = wait_sleep(deadline);
    wait_end(&waiter);
    return status == ERR_TIMED_OUT ? ERR_WOULD_BLOCK : status;
}

static enum status broken_pipe(const struct socket_io *io) {
    const struct signal_origin origin = {.pid = process_current()->id, .uid = process_current()->user.real};
    if (!(io->flags & MSG_NOSIGNAL))
        signal_send_thread(thread_current(), SIGPIPE, &origin);
    return ERR_BROKEN_PIPE;
}

/* --- Sending ------------------------------------------------------------------------------------------------------ */

/* What goes along with the last `bytes` of those sent. Both locks held; it has begun its flight. */
static void put_note(struct socket *peer, struct socket_io *io, size_t bytes) {
    struct attachment *note = io->attached;
    note->at = peer->taken + peer->incoming.bytes - bytes;
    note->end = note->at + io->bytes;
    list_push_back(&peer->notes, &note->link);
    peer->note_count++;
    if (note->credentials_said)
        peer->told = note->credentials;
    io->attached = NULL;
}

/* Credentials go along where somebody asked for them, whenever the speaker changes. */
static enum status want_credentials(struct socket *socket, struct socket_io *io) {
    struct credentials own, told;
    if (io->attached != NULL || !(socket->pass_credentials || socket->peer->pass_credentials))
        return OK;
    credentials_of_caller(&own);
    lock_stream(socket, false);
    told = socket->peer->told;
    unlock_stream(socket, false);
    if (told.pid == own.pid && told.uid == own.uid && told.gid == own.gid)
        return OK;
    io->attached = attachment_create(0);
    if (io->attached == NULL)
        return ERR_NO_MEMORY;
    io->attached->credentials = own;
    io->attached->credentials_said = true;
    return OK;
}

struct sending {
    struct socket *socket, *peer;
    struct socket_io *io;
    bool reads; /* the process may read the other end, too */
    uint64_t deadline;
    size_t done;
};

/* One step, with the locks held, which it releases. */
static enum status send_step(struct sending *state, bool files) {
    struct socket *socket = state->socket, *peer = state->peer;
    struct socket_io *io = state->io;
    uint64_t writer = channel_writer();
    vaddr_t fault = 0;
    if (socket->shut_write || peer->closed) {
        unlock_stream(socket, files);
        return broken_pipe(io);
    }
    const size_t allowed = stream_allowed(socket);
    size_t room = channel_room(&peer->incoming, writer, state->reads);
    room = room < allowed ? room : allowed;
    if (room == 0) {
        if (!io->nonblocking)
            return wait_for(socket, files, &socket->writable, state->deadline);
        unlock_stream(socket, files);
        return ERR_WOULD_BLOCK;
    }
    struct channel_source from = {.kernel = io->kernel != NULL ? io->kernel + state->done : NULL};
    size_t part = io->bytes - state->done;
    if (from.kernel == NULL) {
        struct linux_iovec piece = io_piece(io, state->done);
        from.user = piece.base;
        part = piece.bytes;
    }
    part = part < CHANNEL_ATOMIC ? part : CHANNEL_ATOMIC;
    part = part < room ? part : room;
    enum status status = io->attached != NULL ? flight_begin(io->attached) : OK;
    if (status == OK) {
        status = channel_append(&peer->incoming, writer, state->reads, from, part, &fault);
        if (status != OK && io->attached != NULL)
            flight_end(io->attached);
    }
    if (status == OK) {
        if (io->attached != NULL)
            put_note(peer, io, part);
        state->done += part;
        wake_all(&peer->readable);
    }
    unlock_stream(socket, files);
    return status == ERR_FAULT ? user_fault_in(fault, false) : status;
}

enum status stream_send(struct socket *socket, struct socket_io *io, size_t *done) {
    struct sending state = {.socket = socket, .io = io, .deadline = socket_deadline(socket->send_timeout)};
    const bool check = others_may_close();
    bool asked = false;
    if (socket->family == AF_INET)
        return broken_pipe(io);
    if (socket->state != SOCKET_CONNECTED)
        return io->to != NULL ? ERR_NOT_SUPPORTED : ERR_NOT_CONNECTED;
    if (io->to != NULL)
        return ERR_CONNECTED;
    state.peer = socket->peer;
    enum status status = want_credentials(socket, io);
    while (state.done < io->bytes && status == OK) {
        const bool files = io->attached != NULL;
        lock_stream(socket, files);
        if (!asked && channel_behind_other(&state.peer->incoming, channel_writer())) {
            const struct inode *other = state.peer->inode;
            unlock_stream(socket, files);
            state.reads = other != NULL && handles_can_read(other);
            asked = true;
            continue;
        }
        status = send_step(&state, files);
    }
    if (check && state.reads)
        check_still_readable(state.peer);
    *done = state.done;
    return state.done > 0 ? OK : status;
}

/* --- Receiving ---------------------------------------------------------------------------------------------------- */

static struct attachment *first_note(const struct socket *socket) {
    return list_empty(&socket->notes) ? NULL : container_of(socket->notes.next, struct attachment, link);
}

static bool same(const struct credentials *one, const struct credentials *other) {
    return one->pid == other->pid && one->uid == other->uid && one->gid == other->gid;
}

/*
 * What goes along with the next byte is taken: of a message with files no more than that message is received with them.
 * False: another process speaks there, which the receiver wants to know apart. The locks held.
 */
static bool take_note(struct socket *socket, struct socket_io *io, size_t done) {
    struct attachment *note = first_note(socket);
    if (note == NULL || note->at > socket->taken)
        return true;
    if (done > 0 && socket->pass_credentials && note->credentials_said && !same(&note->credentials, &io->credentials))
        return false;
    if (note->credentials_said)
        io->credentials = socket->speaker = note->credentials;
    list_remove(&note->link);
    socket->note_count--;
    if (note->count == 0) {
        attachment_free(note);
        return true;
    }
    flight_end(note);
    io->attached = note;
    io->barrier = note->end;
    return true;
}

/* Up to where bytes may be received at once: the next note, or the barrier. */
static size_t until_next_note(const struct socket *socket, const struct socket_io *io, size_t bytes) {
    const struct attachment *note = first_note(socket);
    if (io->barrier != 0 && io->barrier - socket->taken < bytes)
        bytes = io->barrier - socket->taken;
    return note != NULL && note->at - socket->taken < bytes ? note->at - socket->taken : bytes;
}

/* As much as there is, without waiting. The locks held. Returns true when no more may be added. */
static bool receive_some(struct socket *socket, struct socket_io *io, size_t *done) {
    while (*done < io->bytes && socket->incoming.bytes > 0) {
        if (io->barrier != 0 && socket->taken >= io->barrier)
            return true;
        if (!take_note(socket, io, *done))
            return true;
        if (io->credentials.pid == 0)
            io->credentials = socket->speaker;
        struct linux_iovec piece = io_piece(io, *done);
        size_t bytes = until_next_note(socket, io, piece.bytes);
        bytes = bytes < socket->incoming.bytes ? bytes : socket->incoming.bytes;
        size_t part = channel_take(&socket->incoming, (struct channel_target){.user = piece.base}, bytes);
        socket->taken += part;
        *done += part;
        if (part > 0)
            wake_all(&socket->peer->writable);
        if (part < bytes)
            return false;
    }
    return *done == io->bytes || (io->barrier != 0 && socket->taken >= io->barrier);
}

/* What a look shows goes along, and how many bytes it shows. */
static size_t look_at_notes(const struct socket *socket, struct socket_io *io) {
    io->credentials = socket->speaker;
    list_for_each(link, &socket->notes) {
        const struct attachment *note = container_of(link, struct attachment, link);
        if (note->at <= socket->taken && note->credentials_said)
            io->credentials = note->credentials;
        if (note->count == 0)
            continue;
        if (io->attached == NULL)
            io->attached = attachment_copy(note);
        return note->end - socket->taken;
    }
    return socket->incoming.bytes;
}

/* The same as receive_some(), and everything stays where it is. */
static bool look_at_some(struct socket *socket, struct socket_io *io, size_t *done) {
    size_t there = look_at_notes(socket, io);
    if (there > socket->incoming.bytes)
        there = socket->incoming.bytes;
    while (*done < io->bytes && *done < there) {
        struct linux_iovec piece = io_piece(io, *done);
        size_t bytes = piece.bytes < there - *done ? piece.bytes : there - *done;
        size_t part = channel_peek(&socket->incoming, *done, (struct channel_target){.user = piece.base}, bytes);
        *done += part;
        if (part < bytes)
            return false;
    }
    return true;
}

/* One step, with the locks held, which it releases. *over: nothing is to be added. */
static enum status receive_step(struct socket *socket, struct socket_io *io, bool files, uint64_t deadline,
                                size_t *done, bool *over) {
    const size_t before = *done;
    if (io->flags & MSG_PEEK && socket->incoming.bytes > 0) {
        *over = look_at_some(socket, io, done);
    } else {
        *over = receive_some(socket, io, done);
    }
    bool fault = !*over && *done < io->bytes && socket->incoming.bytes > 0;
    if (fault) {
        struct linux_iovec piece = io_piece(io, *done);
        unlock_stream(socket, files);
        return user_fault_in(piece.base, true);
    }
    *over |= *done > 0 && !(io->flags & MSG_WAITALL);
    if (!*over && (socket->shut_read || socket->error != OK)) {
        *over = true;
        enum status status = *done == 0 ? socket_take_error(socket) : OK;
        unlock_stream(socket, files);
        return status;
    }
    if (!*over && !io->nonblocking)
        return wait_for(socket, files, &socket->readable, deadline);
    unlock_stream(socket, files);
    return *over || *done > before ? OK : ERR_WOULD_BLOCK;
}

enum status stream_receive(struct socket *socket, struct socket_io *io, size_t *done) {
    const uint64_t deadline = socket_deadline(socket->receive_timeout);
    const bool check = others_may_close();
    enum status status = OK;
    bool over = io->bytes == 0;
    if (socket->family == AF_INET)
        return ERR_NOT_CONNECTED;
    if (socket->state != SOCKET_CONNECTED)
        return ERR_INVALID;
    if (io->flags & MSG_PEEK)
        io->flags &= ~MSG_WAITALL;
    while (!over && status == OK) {
        const bool files = __atomic_load_n(&socket->note_count, __ATOMIC_RELAXED) > 0;
        lock_stream(socket, files);
        if (!files && socket->note_count > 0) { /* meanwhile: once more, with both locks */
            unlock_stream(socket, files);
            continue;
        }
        status = receive_step(socket, io, files, deadline, done, &over);
    }
    if (check)
        check_still_readable(socket);
    return *done > 0 ? OK : status;
}
