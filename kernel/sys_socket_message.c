/*
 * sendto, recvfrom, sendmsg, recvmsg, sendmmsg, recvmmsg: messages as user space describes them, and what goes along.
 *
 * All of a description is copied and checked before anything is sent; what a receiver is told is written when the
 * message is its own already, as on Linux. Locks: none of its own. May sleep. Runs in the caller's space.
 */
#include "arch/uaccess.h"
#include "kernel/ipc_abi.h"
#include "kernel/open_file.h"
#include "kernel/process.h"
#include "kernel/socket.h"
#include "kernel/string.h"
#include "kernel/syscall_table.h"
#include "kernel/timespec.h"
#include "kernel/transfer.h"

#define CONTROL_MAX   20480U /* optmem_max */
#define MESSAGES_MAX  1024U
#define ALIGN8(bytes) (((bytes) + 7) & ~7UL)

static void prepare(struct socket_io *io, const struct file *file, uint32_t flags) {
    *io = (struct socket_io){.flags = flags, .nonblocking = (file->flags & O_NONBLOCK) || (flags & MSG_DONTWAIT)};
}

static enum status set_destination(const struct socket *socket, vaddr_t address, uint32_t length,
                                   struct socket_name *name, struct socket_io *io) {
    if (address == 0 || length == 0)
        return OK;
    io->to = name;
    if (socket->family == AF_INET)
        return OK; /* nothing is reached, whatever it says */
    return socket_name_from_user(address, length, name);
}

/* --- sendto, recvfrom --------------------------------------------------------------------------------------------- */

enum status sys_sendto(struct syscall *call) {
    struct linux_iovec vector = {call->arg[1], call->arg[2] < IO_BYTES_MAX ? call->arg[2] : IO_BYTES_MAX};
    struct socket_name name;
    struct socket *socket;
    struct socket_io io;
    struct file *file;
    size_t done = 0;
    enum status status = socket_get((int)call->arg[0], &file, &socket);
    if (status != OK)
        return status;
    prepare(&io, file, (uint32_t)call->arg[3]);
    io.vectors = &vector;
    io.vector_count = 1;
    io.bytes = vector.bytes;
    status = user_range_ok(vector.base, vector.bytes) ? OK : ERR_FAULT;
    if (status == OK)
        status = set_destination(socket, call->arg[4], (uint32_t)call->arg[5], &name, &io);
    if (status == OK)
        status = socket_send(socket, &io, &done);
    attachment_drop(io.attached);
    file_unref(file);
    call->result = (int64_t)done;
    return status;
}

enum status sys_recvfrom(struct syscall *call) {
    struct linux_iovec vector = {call->arg[1], call->arg[2] < IO_BYTES_MAX ? call->arg[2] : IO_BYTES_MAX};
    struct socket *socket;
    struct socket_io io;
    struct file *file;
    size_t done = 0;
    enum status status = socket_get((int)call->arg[0], &file, &socket);
    if (status != OK)
        return status;
    prepare(&io, file, (uint32_t)call->arg[3]);
    io.vectors = &vector;
    io.vector_count = 1;
    io.bytes = vector.bytes;
    status = user_range_ok(vector.base, vector.bytes) ? OK : ERR_FAULT;
    if (status == OK)
        status = socket_receive(socket, &io, &done);
    attachment_drop(io.attached);
    if (status == OK && call->arg[4] != 0) {
        if (is_stream(socket) || io.from.length == 0) {
            const uint32_t none = 0;
            status = copy_to_user(call->arg[5], &none, sizeof(none));
        } else {
            status = socket_name_to_user(socket, &io.from, call->arg[4], call->arg[5]);
        }
    }
    file_unref(file);
    call->result = (int64_t)done;
    return status;
}

/* --- What goes along: sending ------------------------------------------------------------------------------------- */

static enum status add_files(struct attachment *attached, vaddr_t at, size_t bytes) {
    for (size_t i = 0; i < bytes / sizeof(int32_t); i++) {
        struct file *file;
        int32_t fd;
        if (attached->count == SCM_FILES_MAX)
            return ERR_INVALID;
        enum status status = copy_from_user(&fd, at + i * sizeof(fd), sizeof(fd));
        if (status == OK)
            status = handle_get(fd, &file);
        if (status != OK)
            return status;
        attached->files[attached->count++] = file;
        if (!(file->rights & RIGHT_TRANSFER) && !(file->flags & O_PATH))
            return ERR_NOT_PERMITTED; /* of the kinds that Linux does not have */
    }
    return OK;
}

static bool is_one_of(uint32_t id, const struct identity *ids) {
    return id == ids->real || id == ids->effective || id == ids->saved;
}

/* Nobody but user 0 says that somebody else speaks. */
static enum status set_credentials(struct attachment *attached, vaddr_t at, size_t bytes) {
    if (bytes != sizeof(attached->credentials))
        return ERR_INVALID;
    enum status status = copy_from_user(&attached->credentials, at, bytes);
    if (status != OK)
        return status;
    const struct process *process = process_current();
    const struct credentials *said = &attached->credentials;
    bool own =
        said->pid == process->id && is_one_of(said->uid, &process->user) && is_one_of(said->gid, &process->group_id);
    if (!own && !identity_is_root())
        return ERR_NOT_PERMITTED;
    attached->credentials_said = true;
    return OK;
}

static enum status read_control(vaddr_t at, uint64_t length, struct attachment *attached) {
    struct control_header header;
    for (uint64_t offset = 0; offset + sizeof(header) <= length;) {
        enum status status = copy_from_user(&header, at + offset, sizeof(header));
        if (status != OK)
            return status;
        if (header.length < sizeof(header) || header.length > length - offset)
            return ERR_INVALID;
        vaddr_t data = at + offset + sizeof(header);
        size_t bytes = header.length - sizeof(header);
        if (header.level == SOL_SOCKET) {
            if (header.type == SCM_RIGHTS)
                status = add_files(attached, data, bytes);
            else if (header.type == SCM_CREDENTIALS)
                status = set_credentials(attached, data, bytes);
            else
                status = ERR_INVALID;
        }
        if (status != OK)
            return status;
        offset += ALIGN8(header.length);
    }
    return OK;
}

static enum status take_control(const struct message_header *header, struct socket_io *io) {
    if (header->control_length < sizeof(struct control_header) || header->control == 0)
        return OK;
    if (header->control_length > CONTROL_MAX)
        return ERR_NO_MEMORY;
    uint64_t most = header->control_length / sizeof(int32_t);
    io->attached = attachment_create(most < SCM_FILES_MAX ? (uint32_t)most : SCM_FILES_MAX);
    if (io->attached == NULL)
        return ERR_NO_MEMORY;
    enum status status = read_control(header->control, header->control_length, io->attached);
    if (status == OK && io->attached->count > 0 && !io->attached->credentials_said) {
        credentials_of_caller(&io->attached->credentials);
        io->attached->credentials_said = true;
    }
    if (status == OK && !io->attached->credentials_said && io->attached->count == 0) {
        attachment_drop(io->attached);
        io->attached = NULL;
    }
    return status;
}

/* --- sendmsg ------------------------------------------------------------------------------------------------------ */

static enum status send_message(struct file *file, vaddr_t header_at, uint32_t flags, size_t *done) {
    struct socket *socket = file->inode->socket;
    struct message_header header;
    struct socket_name name;
    struct linux_iovec *vectors;
    struct socket_io io;
    enum status status = copy_from_user(&header, header_at, sizeof(header));
    if (status != OK)
        return status;
    if (header.vector_count > IO_VECTORS_MAX)
        return ERR_MESSAGE_SIZE;
    prepare(&io, file, flags);
    status = vectors_copy(header.vectors, (unsigned)header.vector_count, &vectors, &io.vector_count, &io.bytes);
    if (status != OK)
        return status;
    io.vectors = vectors;
    status = set_destination(socket, header.name, header.name_length, &name, &io);
    if (status == OK)
        status = take_control(&header, &io);
    if (status == OK)
        status = socket_send(socket, &io, done);
    attachment_drop(io.attached);
    vectors_free(vectors, (unsigned)header.vector_count);
    return status;
}

enum status sys_sendmsg(struct syscall *call) {
    struct socket *socket;
    struct file *file;
    size_t done = 0;
    enum status status = socket_get((int)call->arg[0], &file, &socket);
    if (status != OK)
        return status;
    status = send_message(file, call->arg[1], (uint32_t)call->arg[2], &done);
    file_unref(file);
    call->result = (int64_t)done;
    return status;
}

/* --- What goes along: receiving ----------------------------------------------------------------------------------- */

struct control_place {
    vaddr_t at;
    uint64_t room, used;
    bool cut;
};

/* A control message as far as it fits; `whole`: only whole or not at all. */
static enum status put_control(struct control_place *place, int32_t type, const void *data, size_t bytes) {
    struct control_header header = {sizeof(header) + bytes, SOL_SOCKET, type};
    if (place->room - place->used < sizeof(header)) {
        place->cut = true;
        return OK;
    }
    if (header.length > place->room - place->used) {
        place->cut = true;
        header.length = place->room - place->used;
    }
    enum status status = copy_to_user(place->at + place->used, &header, sizeof(header));
    if (status == OK)
        status = copy_to_user(place->at + place->used + sizeof(header), data, header.length - sizeof(header));
    uint64_t space = ALIGN8(header.length);
    place->used += space < place->room - place->used ? space : place->room - place->used;
    return status;
}

/* As many descriptors as there is room for; the files keep their references. */
static enum status put_files(struct control_place *place, const struct attachment *attached, bool close_on_exec) {
    uint64_t left = place->room - place->used, header = sizeof(struct control_header);
    uint32_t fit = left > header ? (uint32_t)((left - header) / sizeof(int32_t)) : 0, count = 0;
    enum status status = OK;
    fit = fit < attached->count ? fit : attached->count;
    while (count < fit && status == OK) {
        int fd;
        status = handle_install(attached->files[count], 0, close_on_exec, &fd);
        if (status != OK)
            break;
        int32_t number = fd;
        status = copy_to_user(place->at + place->used + header + count * sizeof(number), &number, sizeof(number));
        if (status == OK)
            count++;
        else if (handle_close(fd) != OK)
            break; /* another thread has closed it */
    }
    place->cut |= count < attached->count;
    if (count == 0)
        return OK;
    struct control_header out = {header + count * sizeof(int32_t), SOL_SOCKET, SCM_RIGHTS};
    status = copy_to_user(place->at + place->used, &out, sizeof(out));
    uint64_t space = ALIGN8(out.length);
    place->used += space < left ? space : left;
    return status;
}

static enum status tell_control(const struct socket *socket, const struct socket_io *io, struct message_header *header,
                                bool close_on_exec) {
    struct control_place place = {header->control, header->control != 0 ? header->control_length : 0, 0, false};
    enum status status = OK;
    if (socket->pass_credentials) {
        struct credentials credentials = io->credentials;
        if (credentials.pid == 0)
            credentials.uid = credentials.gid = 65534;
        status = put_control(&place, SCM_CREDENTIALS, &credentials, sizeof(credentials));
    }
    if (status == OK && io->attached != NULL && io->attached->count > 0)
        status = put_files(&place, io->attached, close_on_exec);
    header->control_length = place.used;
    header->flags |= place.cut ? MSG_CTRUNC : 0;
    return status;
}

/* --- recvmsg ------------------------------------------------------------------------------------------------------ */

/* The name, what goes along and the header itself, to the user. */
static enum status tell(const struct socket *socket, const struct socket_io *io, struct message_header *header,
                        vaddr_t header_at) {
    const vaddr_t length_at = header_at + offsetof(struct message_header, name_length);
    enum status status = OK;
    header->flags = io->flags_out | (io->flags & MSG_CMSG_CLOEXEC);
    if (header->name != 0 && !is_stream(socket) && io->from.length > 0)
        status = socket_name_to_user(socket, &io->from, header->name, length_at);
    else if (header->name != 0)
        status = copy_to_user(length_at, &(const uint32_t){0}, sizeof(uint32_t));
    if (status == OK)
        status = tell_control(socket, io, header, io->flags & MSG_CMSG_CLOEXEC);
    if (status == OK)
        status = copy_to_user(header_at + offsetof(struct message_header, control_length), &header->control_length,
                              sizeof(header->control_length));
    if (status == OK)
        status =
            copy_to_user(header_at + offsetof(struct message_header, flags), &header->flags, sizeof(header->flags));
    return status;
}

static enum status receive_message(struct file *file, vaddr_t header_at, uint32_t flags, size_t *done) {
    struct socket *socket = file->inode->socket;
    struct message_header header;
    struct linux_iovec *vectors;
    struct socket_io io;
    enum status status = copy_from_user(&header, header_at, sizeof(header));
    if (status != OK)
        return status;
    if (header.vector_count > IO_VECTORS_MAX)
        return ERR_MESSAGE_SIZE;
    prepare(&io, file, flags);
    status = vectors_copy(header.vectors, (unsigned)header.vector_count, &vectors, &io.vector_count, &io.bytes);
    if (status != OK)
        return status;
    io.vectors = vectors;
    status = socket_receive(socket, &io, done);
    if (status == OK)
        status = tell(socket, &io, &header, header_at);
    attachment_drop(io.attached);
    vectors_free(vectors, (unsigned)header.vector_count);
    return status;
}

enum status sys_recvmsg(struct syscall *call) {
    struct socket *socket;
    struct file *file;
    size_t done = 0;
    enum status status = socket_get((int)call->arg[0], &file, &socket);
    if (status != OK)
        return status;
    status = receive_message(file, call->arg[1], (uint32_t)call->arg[2], &done);
    file_unref(file);
    call->result = (int64_t)done;
    return status;
}

/* --- sendmmsg, recvmmsg ------------------------------------------------------------------------------------------- */

struct many_header { /* struct mmsghdr */
    struct message_header header;
    uint32_t bytes, padding;
};

static enum status move_many(const struct syscall *call, bool send, int64_t *result) {
    uint32_t count = (uint32_t)call->arg[2], flags = (uint32_t)call->arg[3], done = 0;
    struct socket *socket;
    struct file *file;
    enum status status = socket_get((int)call->arg[0], &file, &socket);
    if (status != OK)
        return status;
    count = count < MESSAGES_MAX ? count : MESSAGES_MAX;
    while (done < count && status == OK) {
        vaddr_t at = call->arg[1] + done * sizeof(struct many_header);
        size_t moved = 0;
        status =
            send ? send_message(file, at, flags, &moved) : receive_message(file, at, flags & ~MSG_WAITFORONE, &moved);
        uint32_t bytes = (uint32_t)moved;
        if (status == OK)
            status = copy_to_user(at + offsetof(struct many_header, bytes), &bytes, sizeof(bytes));
        if (status != OK)
            break;
        done++;
        if (!send && (flags & MSG_WAITFORONE))
            flags |= MSG_DONTWAIT;
    }
    file_unref(file);
    *result = done;
    return done > 0 ? OK : status;
}

enum status sys_sendmmsg(struct syscall *call) { return move_many(call, true, &call->result); }

/* The time limit, which Linux looks at between messages only, ends nothing here. */
enum status sys_recvmmsg(struct syscall *call) { return move_many(call, false, &call->result); }
