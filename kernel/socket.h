/*
 * Sockets: pairs and networks of files that talk inside this machine (AF_UNIX), and as much of AF_INET as a machine
 * without a network has.
 *
 * A stream's bytes are in a channel, as a pipe's: each end has the one that it receives by, and both have their pages
 * from one memory object, which every handle on either end counts as an open of. A packet is a buffer of frames that
 * holds this packet and nothing else (kernel/message.h). Names, credentials, files under way: metadata.
 */
#ifndef KERNEL_SOCKET_H
#define KERNEL_SOCKET_H

#include "kernel/channel.h"
#include "kernel/file_abi.h"
#include "kernel/list.h"
#include "kernel/socket_abi.h"
#include "kernel/wait.h"

struct file;
struct inode;
struct message_buffer;

#define PACKETS_MAX       64U  /* that wait at one socket */
#define PACKET_FRAMES_MAX 64U  /* and what they take */
#define PACKET_OVERHEAD   768U /* that a packet counts to its sender besides its bytes, as on Linux */
#define BACKLOG_MAX       4096U

struct socket_name {
    uint8_t length;                  /* 0: none */
    char bytes[SOCKET_PATH_MAX + 1]; /* terminated; the first one 0: not a path (abstract) */
};

/* What goes along with bytes: files, each with a reference, and who sent them. Class GLOBAL. */
struct attachment {
    struct list link; /* of a stream's notes */
    uint64_t at, end; /* of a stream: the bytes it goes with */
    bool credentials_said;
    struct credentials credentials;
    uint32_t count, capacity;
    struct file *files[];
};

/* Class GLOBAL. Constant while others know it. */
struct packet {
    struct list link;
    uint32_t refs; /* atomic: the queue, and who looks */
    struct message_buffer *buffer;
    size_t bytes;
    struct attachment *attached; /* or NULL; taken with sockets_lock */
    struct credentials credentials;
    struct socket_name from;
    struct socket *sender; /* with a reference, once it is queued: its `queued` counts the packet */
};

enum socket_state { SOCKET_FRESH, SOCKET_LISTENING, SOCKET_CONNECTED };

/*
 * Class GLOBAL. Protected by sockets_lock, but where said otherwise. "The stream lock" is incoming.object->lock, one
 * for both ends, taken inside sockets_lock.
 */
struct socket {
    uint32_t refs;         /* atomic: its inode or the listener's queue, its peer, who looks */
    uint16_t family, type; /* constant */
    struct inode *inode;   /* without a reference. Constant once it has one */
    struct file *file;     /* without a reference; NULL: not accepted yet, or closed */
    enum socket_state state;
    bool binding; /* it is being given a name */
    bool closed;  /* a stream's: changed with the stream lock, too; as the next two */
    bool shut_read, shut_write;
    enum status error;   /* told once. As these */
    struct socket *peer; /* with a reference; a stream's is constant once set */
    struct wait_queue readable, writable;

    struct channel incoming; /* of a stream: what it receives by */
    uint64_t taken;          /* bytes from there. Stream lock */
    struct list notes;       /* struct attachment. Stream lock; those with files also sockets_lock */
    uint32_t note_count;
    struct credentials speaker; /* whose bytes come next, as far as was said. Stream lock */
    struct credentials told;    /* who was said to have written the last ones. Stream lock */

    struct list packets; /* struct packet */
    uint32_t packet_count, packet_frames;

    struct socket_name name;
    struct inode *place;    /* that a path names: with a reference; or NULL */
    struct list bound_link; /* by name or place */

    struct list pending, pending_link; /* connections not accepted yet */
    uint32_t pending_count, backlog;

    struct credentials owner, peer_credentials;
    bool pass_credentials, reuse, keepalive, broadcast;
    uint32_t send_size;    /* SO_SNDBUF: what may be under way from here. Also read without the lock */
    uint32_t receive_size; /* SO_RCVBUF: told. As with Linux' AF_UNIX the sender's limit is the one that counts */
    uint32_t queued;       /* of packets from here that nobody has received: packet_cost() */
    uint64_t send_timeout, receive_timeout; /* ns; 0: none */

    uint32_t in_flight;      /* references on its file from attachments under way */
    struct list flight_link; /* of those with any */
    uint32_t inside;         /* for flight_collect() */
    enum { FLIGHT_LIVE, FLIGHT_DOUBTED } flight;
    struct list work_link;
};

extern struct spinlock sockets_lock; /* rank SOCKETS */
extern const struct file_operations socket_operations;
extern struct wait_queue packets_taken; /* some packet socket has more room */

/* A message as a call gives it, or wants it. */
struct socket_io {
    const struct linux_iovec *vectors; /* in kernel memory; user addresses, checked */
    unsigned vector_count;
    const char *kernel; /* sending: instead of the vectors */
    size_t bytes;       /* in all */
    uint32_t flags;     /* MSG_* */
    bool nonblocking;
    const struct socket_name *to;   /* sending: where to, or NULL */
    struct attachment *attached;    /* sending: passes with success. Receiving: what came, or NULL */
    struct socket_name from;        /* received */
    struct credentials credentials; /* received */
    uint64_t barrier;               /* received of a stream: where the bytes end that files came with. 0: none did */
    uint32_t flags_out;             /* received: MSG_TRUNC */
    unsigned vector;                /* where io_piece() is */
    size_t vector_start;
};

/* The user memory at byte `at` of the message (which only grows), as far as it lies in one vector. */
struct linux_iovec io_piece(struct socket_io *io, size_t at);

/* --- Life (socket.c) ---------------------------------------------------------------------------------------------- */

/* One reference. ERR_NO_MEMORY. `object`: with whose pages it is to receive (a stream), NULL: its own. */
MUST_USE enum status socket_create(uint32_t family, uint32_t type, struct memory_object *object, struct socket **out);
void socket_ref(struct socket *socket);
void socket_unref(struct socket *socket);
/* Nobody uses it any more: its name goes, what waits at it goes, its peer is told. */
void socket_close(struct socket *socket);
/* A handle for it; `flags`: SOCK_CLOEXEC, SOCK_NONBLOCK. The reference passes; on error it is closed. */
MUST_USE enum status socket_publish(struct socket *socket, uint32_t flags, int64_t *fd);
/* The socket behind a descriptor; *file has a reference. ERR_BAD_HANDLE, ERR_NOT_SOCKET. */
MUST_USE enum status socket_get(int fd, struct file **file, struct socket **socket);
/* Both get to know each other. sockets_lock held. */
void socket_join(struct socket *one, struct socket *other);
MUST_USE enum status socket_shutdown(struct socket *socket, int how);

static inline bool is_stream(const struct socket *socket) { return socket->type == SOCK_STREAM; }
void credentials_of_caller(struct credentials *credentials);

/* --- Talking (socket_stream.c, socket_packet.c) ------------------------------------------------------------------- */

MUST_USE enum status stream_send(struct socket *socket, struct socket_io *io, size_t *done);
MUST_USE enum status stream_receive(struct socket *socket, struct socket_io *io, size_t *done);
MUST_USE enum status packet_send(struct socket *socket, struct socket_io *io, size_t *done);
MUST_USE enum status packet_receive(struct socket *socket, struct socket_io *io, size_t *done);
MUST_USE enum status socket_send(struct socket *socket, struct socket_io *io, size_t *done);
MUST_USE enum status socket_receive(struct socket *socket, struct socket_io *io, size_t *done);

/* Packets of a list that nobody else has: freed, and what is attached to them dropped. */
void packets_drop(struct list *packets);
/* Whether `target` could take one packet more; whether `sender` may send one. sockets_lock held. */
bool packet_room(const struct socket *target, uint32_t frames);
static inline bool packet_allowed(const struct socket *sender) { return sender->queued < sender->send_size; }
/* Bytes that may be on their way to the peer besides those that are. The stream lock held. */
static inline size_t stream_allowed(const struct socket *sender) {
    const size_t queued = sender->peer->incoming.bytes;
    return queued < sender->send_size ? sender->send_size - queued : 0;
}
/* Told once, then it is OK again. The lock of socket.error held. */
enum status socket_take_error(struct socket *socket);
uint64_t socket_deadline(uint64_t timeout);

/* --- Names and connections (socket_name.c, socket_connect.c) ------------------------------------------------------ */

MUST_USE enum status socket_name_from_user(vaddr_t address, uint64_t length, struct socket_name *name);
/* As recvfrom and its like tell an address: cut to what *length_at says, which becomes the whole length. */
MUST_USE enum status socket_name_to_user(const struct socket *socket, const struct socket_name *name, vaddr_t address,
                                         vaddr_t length_at);
uint32_t socket_name_pack(uint32_t family, const struct socket_name *name, struct socket_address *out);
MUST_USE enum status socket_bind(struct socket *socket, const struct socket_name *name);
/* Gives it an abstract name if it has none. */
MUST_USE enum status socket_bind_any(struct socket *socket);
/* Who has that name, with a reference. ERR_CONNECTION_REFUSED, what the walk says. */
MUST_USE enum status socket_find(const struct socket_name *name, struct socket **out);
/* sockets_lock held; the place is for the caller to inode_unref(). */
MUST_USE struct inode *socket_unbind(struct socket *socket);

MUST_USE enum status socket_listen(struct socket *socket, int backlog);
MUST_USE enum status socket_connect(struct socket *socket, const struct socket_name *name, bool nonblocking);
MUST_USE enum status socket_accept(struct socket *socket, bool nonblocking, struct socket **out);

/* --- Files under way (socket_flight.c) ---------------------------------------------------------------------------- */

/* With room for so many files. NULL: no memory. */
MUST_USE struct attachment *attachment_create(uint32_t capacity);
/* Drops one that nobody else has, and what that sets free. No lock held. NULL: nothing. */
void attachment_drop(struct attachment *attached);
/* The same of one without files. Any lock. */
void attachment_free(struct attachment *attached);
/* A copy with references of its own, or NULL. */
struct attachment *attachment_copy(const struct attachment *attached);

/* Its files get under way, or are not any more. sockets_lock held. ERR_TOO_MANY_REFERENCES. */
MUST_USE enum status flight_begin(const struct attachment *attached);
void flight_end(const struct attachment *attached);

/*
 * Sockets that only each other's attachments refer to are emptied, which sets them free. `closing`: a file that is
 * about to lose one more reference, or NULL. No lock held.
 */
void flight_collect(const struct file *closing);

#endif
