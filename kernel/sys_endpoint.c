/*
 * System calls on endpoints: between registers, user memory and handles on one side and parcels on the other.
 *
 * Owns nothing. What a message says passes through the kernel stack of the process that sends or receives it (LOCAL)
 * and through its parcel, never through GLOBAL memory. What cannot be delivered changes nothing: the message goes back
 * to where it was, handles that were made are closed.
 * Runs in the caller's space; no lock held.
 */
#include "arch/cpu.h"
#include "arch/uaccess.h"
#include "kernel/call.h"
#include "kernel/call_direct.h"
#include "kernel/endpoint.h"
#include "kernel/message.h"
#include "kernel/open_file.h"
#include "kernel/syscall_table.h"
#include "kernel/thread.h"
#include "kernel/timespec.h"

/* --- Registers and struct ipc_extra ------------------------------------------------------------------------------- */

static enum status read_extra(const struct syscall *call, struct ipc_extra *extra) {
    *extra = (struct ipc_extra){.timeout_ns = IPC_FOREVER};
    if (call->frame->r9 == 0)
        return OK;
    enum status status = copy_from_user(extra, call->frame->r9, sizeof(*extra));
    if (status != OK)
        return status;
    if (extra->length > IPC_BYTES_MAX)
        return ERR_MESSAGE_SIZE;
    if (extra->handle_count > IPC_HANDLES_MAX || extra->handle_room > IPC_HANDLES_MAX)
        return ERR_INVALID;
    if (extra->room > IPC_BYTES_MAX)
        extra->room = IPC_BYTES_MAX;
    return OK;
}

/* Who takes words alone may get them in registers. */
static struct call_terms terms_of(const struct syscall *call, const struct ipc_extra *extra) {
    return (struct call_terms){
        .room = extra->room, .in_frame = call->frame->r9 == 0, .deadline = deadline_after(extra->timeout_ns)};
}

static struct message_words words_of(const struct trap_frame *frame) {
    return (struct message_words){.label = (uint32_t)frame->rsi, .word = {frame->rdx, frame->r10, frame->r8}};
}

static void set_origin(struct trap_frame *frame, uint64_t badge, uint64_t token) {
    frame->rdi = badge;
    frame->r9 = token;
}

static void set_registers(struct trap_frame *frame, const struct message_words *words, uint64_t badge, uint64_t token) {
    set_origin(frame, badge, token);
    frame->rsi = words->label;
    frame->rdx = words->word[0];
    frame->r10 = words->word[1];
    frame->r8 = words->word[2];
}

/* What came, into the caller's struct ipc_extra, which was read before. */
static enum status write_extra(vaddr_t to, const struct ipc_extra *extra) {
    enum status status = copy_to_user(to + offsetof(struct ipc_extra, room), &extra->room, sizeof(extra->room));
    if (status == OK)
        status =
            copy_to_user(to + offsetof(struct ipc_extra, handle_room), &extra->handle_room, sizeof(extra->handle_room));
    if (status == OK && extra->handle_room > 0)
        status = copy_to_user(to + offsetof(struct ipc_extra, taken_handles), extra->taken_handles,
                              sizeof(extra->taken_handles));
    return status;
}

/* --- Sending ------------------------------------------------------------------------------------------------------ */

static enum status add_files(const struct ipc_extra *extra, struct parcel *parcel) {
    for (unsigned i = 0; i < extra->handle_count; i++) {
        struct file *file;
        enum status status = handle_get(extra->handles[i], &file);
        if (status != OK)
            return status;
        parcel->files[parcel->file_count++] = file;
        if (!(file->rights & RIGHT_TRANSFER))
            return ERR_ACCESS;
    }
    return OK;
}

/* On error it is empty. */
static enum status make_parcel(const struct syscall *call, const struct ipc_extra *extra, struct parcel *parcel) {
    const struct message_words words = words_of(call->frame);
    *parcel = (struct parcel){0};
    if (words.label == IPC_NOTIFICATION)
        return ERR_INVALID;
    enum status status = message_alloc(extra->length, &parcel->buffer);
    if (status != OK)
        return status;
    status = message_write(parcel->buffer, &words, (struct message_place){.user = extra->bytes});
    if (status == OK)
        status = add_files(extra, parcel);
    if (status != OK)
        parcel_drop(parcel);
    return status;
}

/* --- Delivering --------------------------------------------------------------------------------------------------- */

static void close_taken(struct ipc_extra *extra) {
    while (extra->handle_room > 0) {
        if (handle_close(extra->taken_handles[--extra->handle_room]) != OK)
            continue; /* another thread was faster */
    }
}

/* Makes handles on as many of the files as there is room for: all of them or none. */
static enum status take_files(struct ipc_extra *extra, const struct parcel *parcel) {
    unsigned count = parcel->file_count < extra->handle_room ? parcel->file_count : extra->handle_room;
    extra->handle_room = 0;
    for (unsigned i = 0; i < count; i++) {
        int fd;
        enum status status = handle_install(parcel->files[i], 0, true, &fd);
        if (status != OK) {
            close_taken(extra);
            return status;
        }
        extra->taken_handles[extra->handle_room++] = fd;
    }
    return OK;
}

/*
 * Gives what came to user code. ERR_FAULT: not there, and the parcel is as it was; another error: there is no way to
 * take its handles, or it was lost to another thread that took the memory away.
 */
static enum status deliver(struct syscall *call, struct ipc_extra *extra, const struct parcel *parcel, uint64_t badge,
                           uint64_t token) {
    struct message_words words;
    if (parcel->buffer == NULL) { /* the words are there, and it is all */
        set_origin(call->frame, badge, token);
        return OK;
    }
    const struct message_place to = {.user = extra->buffer};
    extra->room = parcel->buffer->length;
    enum status status = message_prepare(parcel->buffer, to);
    if (status == OK)
        status = take_files(extra, parcel);
    if (status != OK)
        return status;
    if (call->frame->r9 != 0)
        status = write_extra(call->frame->r9, extra);
    if (status == OK && message_take(parcel->buffer, &words, to) != OK)
        status = ERR_BROKEN_PIPE;
    if (status == OK)
        set_registers(call->frame, &words, badge, token);
    else
        close_taken(extra);
    return status;
}

static enum status deliver_bits(struct syscall *call, struct ipc_extra *extra, uint64_t bits) {
    const struct message_words words = {.label = IPC_NOTIFICATION, .word = {bits}};
    extra->room = extra->handle_room = 0;
    enum status status = call->frame->r9 != 0 ? write_extra(call->frame->r9, extra) : OK;
    if (status == OK)
        set_registers(call->frame, &words, 0, 0);
    return status;
}

/* --- The calls ---------------------------------------------------------------------------------------------------- */

/* What became of a call that was sent, and gives up what is left of it. */
static enum status end_call(struct syscall *call, enum status status, struct ipc_extra *extra, struct parcel *parcel) {
    if (status == OK)
        status = deliver(call, extra, parcel, 0, 0);
    parcel_drop(parcel);
    return status == ERR_RESTART ? ERR_INTERRUPTED : status; /* the server may have begun: the caller must know */
}

static __attribute__((noinline)) enum status call_by_parcel(struct syscall *call, struct endpoint *endpoint,
                                                            uint64_t badge) {
    struct ipc_extra extra;
    struct parcel parcel;
    enum status status = read_extra(call, &extra);
    if (status == OK)
        status = make_parcel(call, &extra, &parcel);
    if (status != OK)
        return status;
    const struct call_terms terms = terms_of(call, &extra);
    if (extra.timeout_ns == 0)
        status = ERR_TIMED_OUT; /* no answer comes at once */
    else
        status = call_send(endpoint, badge, &parcel, &terms);
    return end_call(call, status, &extra, &parcel);
}

static const struct call_terms words_alone = {.in_frame = true, .deadline = WAIT_FOREVER};

/* Something else has woken the caller, or it was answered by a parcel. */
static __attribute__((noinline)) enum status wait_for_answer(struct syscall *call) {
    struct ipc_extra nothing = {0};
    struct parcel parcel = {0};
    enum status status = call_wait(&parcel, &words_alone);
    return end_call(call, status, &nothing, &parcel);
}

static bool is_words_alone(const struct trap_frame *frame) {
    return frame->r9 == 0 && (uint32_t)frame->rsi != IPC_NOTIFICATION;
}

enum status sys_ipc_call(struct syscall *call) {
    struct endpoint *endpoint;
    uint64_t badge;
    enum status status = endpoint_get((int)call->arg[0], RIGHT_CALL, &endpoint, &badge);
    if (status != OK)
        return status;
    if (!is_words_alone(call->frame) || !call_directly(endpoint, badge, call->frame))
        status = call_by_parcel(call, endpoint, badge);
    else if (call_directly_answered())
        set_origin(call->frame, 0, 0);
    else
        status = wait_for_answer(call);
    endpoint_unref(endpoint);
    return status;
}

/* Gives the calling thread's reception to user code. ERR_AGAIN: that was refused, wait for another. */
static enum status deliver_reception(struct syscall *call, struct endpoint *endpoint, struct ipc_extra *extra) {
    struct reception *got = &thread_current()->reception;
    if (got->bits != 0) {
        enum status status = deliver_bits(call, extra, got->bits);
        if (status != OK)
            endpoint_notify(endpoint, got->bits);
        return status;
    }
    struct parcel parcel = got->parcel;
    const uint64_t token = got->token;
    enum status status = deliver(call, extra, &parcel, got->badge, token);
    if (status == ERR_FAULT) {
        call_put_back(token, &parcel);
        return status;
    }
    parcel_drop(&parcel);
    if (status != OK) {
        call_refuse(token, status);
        return ERR_AGAIN;
    }
    thread_current()->unanswered = token;
    return OK;
}

static enum status receive(struct syscall *call, struct endpoint *endpoint, const struct ipc_extra *asked) {
    const struct call_terms terms = terms_of(call, asked);
    enum status status;
    do {
        struct ipc_extra extra = *asked;
        status = call_receive(endpoint, &terms);
        if (status == OK)
            status = deliver_reception(call, endpoint, &extra);
    } while (status == ERR_AGAIN);
    return status;
}

enum status sys_ipc_receive(struct syscall *call) {
    struct ipc_extra extra;
    struct endpoint *endpoint;
    enum status status = endpoint_get((int)call->arg[0], RIGHT_RECEIVE, &endpoint, NULL);
    if (status != OK)
        return status;
    status = read_extra(call, &extra);
    if (status == OK)
        status = receive(call, endpoint, &extra);
    endpoint_unref(endpoint);
    return status;
}

static enum status answer(const struct syscall *call, uint64_t token, const struct ipc_extra *extra,
                          const struct endpoint *receives_next) {
    struct thread *self = thread_current();
    struct parcel parcel;
    enum status status = make_parcel(call, extra, &parcel);
    if (status != OK)
        return status;
    status = call_answer(token, &parcel, receives_next);
    parcel_drop(&parcel);
    if (self->unanswered == token && (status == OK || status == ERR_NO_ENTRY))
        self->unanswered = 0;
    return status;
}

enum status sys_ipc_reply(struct syscall *call) {
    struct ipc_extra extra;
    enum status status = read_extra(call, &extra);
    return status == OK ? answer(call, call->arg[0], &extra, NULL) : status;
}

/* A caller that has gone is no reason not to go on. */
static __attribute__((noinline)) enum status reply_by_parcel(struct syscall *call, struct endpoint *endpoint) {
    struct ipc_extra extra;
    enum status status = read_extra(call, &extra);
    if (status == OK && thread_current()->unanswered != 0)
        status = answer(call, thread_current()->unanswered, &extra, endpoint);
    if (status == OK || status == ERR_NO_ENTRY)
        status = receive(call, endpoint, &extra);
    return status;
}

/* Something else has woken the server than a call by registers. */
static __attribute__((noinline)) enum status wait_for_call(struct syscall *call, struct endpoint *endpoint) {
    struct ipc_extra nothing = {.timeout_ns = IPC_FOREVER};
    enum status status = call_receive_wait(&words_alone);
    if (status == OK)
        status = deliver_reception(call, endpoint, &nothing);
    return status == ERR_AGAIN ? receive(call, endpoint, &nothing) : status;
}

enum status sys_ipc_reply_receive(struct syscall *call) {
    struct endpoint *endpoint;
    enum status status = endpoint_get((int)call->arg[0], RIGHT_RECEIVE, &endpoint, NULL);
    if (status != OK)
        return status;
    struct thread *self = thread_current();
    if (!is_words_alone(call->frame) || !call_answer_directly(endpoint, call->frame)) {
        status = reply_by_parcel(call, endpoint);
    } else if (call_directly_received()) {
        self->unanswered = self->reception.token;
        set_origin(call->frame, self->reception.badge, self->reception.token);
    } else {
        status = wait_for_call(call, endpoint);
    }
    endpoint_unref(endpoint);
    return status;
}

enum status sys_ipc_notify(struct syscall *call) {
    struct endpoint *endpoint;
    enum status status = endpoint_get((int)call->arg[0], RIGHT_NOTIFY, &endpoint, NULL);
    if (status != OK)
        return status;
    endpoint_notify(endpoint, call->arg[1]);
    endpoint_unref(endpoint);
    return OK;
}

enum status sys_endpoint_create(struct syscall *call) {
    struct file *file;
    enum status status = endpoint_create(&file);
    return status == OK ? handle_publish(file, &call->result) : status;
}

enum status sys_endpoint_watch(struct syscall *call) {
    struct endpoint *endpoint, *target;
    enum status status = endpoint_get((int)call->arg[0], 0, &endpoint, NULL);
    if (status != OK)
        return status;
    status = endpoint_get((int)call->arg[1], RIGHT_NOTIFY, &target, NULL);
    if (status == OK) {
        status = endpoint_watch(endpoint, target, call->arg[2]);
        endpoint_unref(target);
    }
    endpoint_unref(endpoint);
    return status;
}
