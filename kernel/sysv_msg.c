/*
 * Owns: message queues. A message's type and bytes are in a message buffer (kernel/message.h), which the queue holds
 * for whoever may receive from it; the queue itself knows lengths and numbers only.
 *
 * Invariants: LOGICAL ACCESS – a buffer is looked at by its sender before it is queued, and then by processes that may
 * receive from the queue, or own it. Locks: sysv_lock for queues; none while user memory is touched or a thread sleeps.
 * Class GLOBAL, but for the buffers (SECRET). Space: the caller's; may sleep.
 */
#include "arch/uaccess.h"
#include "kernel/list.h"
#include "kernel/message.h"
#include "kernel/process.h"
#include "kernel/signal.h"
#include "kernel/syscall_table.h"
#include "kernel/sysv.h"
#include "kernel/wait.h"
#include "mm/heap.h"

/* Linux's limits. */
enum { MESSAGE_BYTES_MAX = 8192, QUEUE_BYTES_DEFAULT = 16384 };
_Static_assert(MESSAGE_BYTES_MAX <= IPC_BYTES_MAX, "a message fits a buffer");

struct queued_message {
    struct list link;
    struct message_buffer *buffer; /* words.label: the type. Held by the queue while the message is in it */
};

/* Protected by sysv_lock. */
struct msg_queue {
    struct sysv_object base; /* first: found by it */
    struct list messages;    /* of struct queued_message, oldest first */
    uint64_t bytes, count, max_bytes;
    int64_t send_time, receive_time, change_time;
    uint32_t last_sender, last_receiver; /* process ids */
    uint32_t sleepers;                   /* who keep it, removed or not */
    bool removed;
    struct wait_queue changed; /* woken by each message that comes or goes */
};

static struct msg_queue *find(int32_t id) { return (struct msg_queue *)sysv_find(SYSV_MSG, id); }

static enum status accept_queue(const struct sysv_object *object, const struct sysv_request *request) {
    (void)object;
    (void)request;
    return OK;
}

static enum status create_queue(const struct sysv_request *request, struct sysv_object **out) {
    struct msg_queue *queue = global_alloc(sizeof(*queue));

    (void)request;
    if (queue == NULL)
        return ERR_NO_MEMORY;
    list_init(&queue->messages);
    wait_queue_init(&queue->changed);
    queue->max_bytes = QUEUE_BYTES_DEFAULT;
    queue->change_time = sysv_now();
    *out = &queue->base;
    return OK;
}

static const struct sysv_class queues = {SYSV_MSG, accept_queue, create_queue};

enum status sys_msgget(struct syscall *call) {
    const struct sysv_request request = {(int32_t)call->arg[0], (uint32_t)call->arg[1], 0};
    return sysv_get(&queues, &request, &call->result);
}

/* The queue, if the caller has the right. sysv_lock held. */
static enum status get_queue(int32_t id, uint32_t wanted, struct msg_queue **out) {
    *out = find(id);
    return *out == NULL ? sysv_missing(SYSV_MSG, id) : sysv_permit(&(*out)->base, wanted);
}

/* Until the queue changes. sysv_lock is held, and given up meanwhile. On error it stays given up, and the queue too. */
static enum status wait_for_change(struct msg_queue *queue) {
    struct waiter self;

    queue->sleepers++;
    wait_begin(&queue->changed, &self);
    spin_unlock(&sysv_lock);
    enum status status = wait_sleep(WAIT_FOREVER);
    wait_end(&self);
    if (status == ERR_RESTART)
        status = signal_pending() ? ERR_INTERRUPTED : OK; /* whatever the handler says */
    spin_lock(&sysv_lock);
    bool last = --queue->sleepers == 0;
    if (queue->removed) {
        status = ERR_REMOVED;
        if (last)
            global_free(queue, sizeof(*queue));
    }
    if (status != OK)
        spin_unlock(&sysv_lock);
    return status;
}

static void drop_message(struct queued_message *message) {
    if (message->buffer != NULL)
        message_free(message->buffer);
    global_free(message, sizeof(*message));
}

/* --- sending ------------------------------------------------------------------------------------------------------ */

static enum status read_message(vaddr_t from, uint64_t bytes, struct queued_message *message) {
    const struct message_place place = {.user = from + sizeof(int64_t)};
    int64_t type;
    enum status status = copy_from_user(&type, from, sizeof(type));

    if (status == OK && type < 1)
        status = ERR_INVALID;
    if (status == OK)
        status = message_alloc(bytes, &message->buffer);
    if (status != OK)
        return status;
    const struct message_words words = {.label = (uint64_t)type};
    status = message_write(message->buffer, &words, place);
    message_settle();
    return status;
}

static bool has_room(const struct msg_queue *queue, uint64_t bytes) {
    return queue->bytes + bytes <= queue->max_bytes && queue->count + 1 <= queue->max_bytes;
}

static enum status send(int32_t id, bool wait, struct queued_message *message) {
    const uint64_t bytes = message->buffer->length;
    struct msg_queue *queue;

    spin_lock(&sysv_lock);
    for (;;) {
        enum status status = get_queue(id, SYSV_MAY_WRITE, &queue);
        if (status == OK && !has_room(queue, bytes) && !wait)
            status = ERR_WOULD_BLOCK;
        if (status != OK) {
            spin_unlock(&sysv_lock);
            return status;
        }
        if (has_room(queue, bytes))
            break;
        if ((status = wait_for_change(queue)) != OK)
            return status;
    }
    list_push_back(&queue->messages, &message->link);
    queue->bytes += bytes;
    queue->count++;
    queue->send_time = sysv_now();
    queue->last_sender = process_current()->id;
    wake_all(&queue->changed);
    spin_unlock(&sysv_lock);
    return OK;
}

enum status sys_msgsnd(struct syscall *call) {
    const uint64_t bytes = call->arg[2];

    if ((int32_t)call->arg[0] < 0 || bytes > MESSAGE_BYTES_MAX)
        return ERR_INVALID;
    struct queued_message *message = global_alloc(sizeof(*message));
    if (message == NULL)
        return ERR_NO_MEMORY;
    enum status status = read_message(call->arg[1], bytes, message);
    if (status == OK)
        status = send((int32_t)call->arg[0], !((uint32_t)call->arg[3] & IPC_NOWAIT), message);
    if (status != OK)
        drop_message(message);
    return status;
}

/* --- receiving ---------------------------------------------------------------------------------------------------- */

struct wanted_message {
    int64_t type; /* 0: any; negative: the lowest type up to that, without the sign */
    bool except;  /* any type but that */
};

static int64_t type_of(const struct queued_message *message) {
    struct message_words words;

    message_get_words(message->buffer, &words);
    return (int64_t)words.label;
}

/* The message that is asked for, or NULL. sysv_lock held; the caller may receive from the queue. */
static struct queued_message *choose(const struct msg_queue *queue, struct wanted_message wanted) {
    struct queued_message *lowest = NULL;
    int64_t limit = wanted.type == INT64_MIN ? INT64_MAX : -wanted.type;

    list_for_each(link, &queue->messages) {
        struct queued_message *message = container_of(link, struct queued_message, link);

        if (wanted.type == 0)
            return message;
        int64_t type = type_of(message);
        if (wanted.type > 0 && (type == wanted.type) != wanted.except)
            return message;
        if (wanted.type < 0 && type <= limit) {
            lowest = message;
            limit = type - 1;
        }
    }
    return lowest;
}

static void take_message(struct msg_queue *queue, struct queued_message *message) {
    list_remove(&message->link);
    queue->bytes -= message->buffer->length;
    queue->count--;
    queue->receive_time = sysv_now();
    queue->last_receiver = process_current()->id;
    wake_all(&queue->changed);
}

static enum status receive(int32_t id, uint64_t bytes, struct wanted_message wanted, uint32_t flags,
                           struct queued_message **out) {
    struct msg_queue *queue;
    enum status status;

    spin_lock(&sysv_lock);
    for (;;) {
        status = get_queue(id, SYSV_MAY_READ, &queue);
        *out = status == OK ? choose(queue, wanted) : NULL;
        if (status != OK || *out != NULL || flags & IPC_NOWAIT)
            break;
        if ((status = wait_for_change(queue)) != OK)
            return status;
    }
    if (status == OK && *out == NULL)
        status = ERR_NO_MESSAGE;
    else if (status == OK && (*out)->buffer->length > bytes && !(flags & MSG_NOERROR))
        status = ERR_TOO_BIG;
    else if (status == OK)
        take_message(queue, *out);
    spin_unlock(&sysv_lock);
    message_settle();
    return status;
}

/* It is the caller's. What does not fit is lost, as he asked. */
static enum status write_message(vaddr_t to, uint64_t bytes, struct queued_message *message, int64_t *copied) {
    const struct message_place place = {.user = to + sizeof(int64_t)};
    struct message_buffer *buffer = message->buffer;
    const uint32_t length = buffer->length;
    struct message_words words;
    int64_t type = type_of(message);
    enum status status = copy_to_user(to, &type, sizeof(type));

    if (bytes < length)
        buffer->length = (uint32_t)bytes;
    if (status == OK)
        status = message_take(buffer, &words, place);
    *copied = buffer->length;
    buffer->length = length; /* what is left is cleared, too */
    buffer->written = true;
    return status;
}

enum status sys_msgrcv(struct syscall *call) {
    const uint32_t flags = (uint32_t)call->arg[4];
    const uint64_t bytes = call->arg[2];
    const struct wanted_message wanted = {(int64_t)call->arg[3], flags & MSG_EXCEPT};
    struct queued_message *message;

    if ((int32_t)call->arg[0] < 0 || (int64_t)bytes < 0)
        return ERR_INVALID;
    if (flags & MSG_COPY)
        return flags & MSG_EXCEPT || !(flags & IPC_NOWAIT) ? ERR_INVALID : ERR_NO_SYSCALL; /* for checkpoints */
    enum status status = receive((int32_t)call->arg[0], bytes, wanted, flags, &message);
    if (status != OK)
        return status;
    status = write_message(call->arg[1], bytes, message, &call->result);
    drop_message(message);
    return status;
}

/* --- msgctl ------------------------------------------------------------------------------------------------------- */

static enum status stat_queue(struct syscall *call, bool by_place, bool any) {
    const int32_t which = (int32_t)call->arg[0];
    struct msqid64_ds out = {.bytes = 0};

    spin_lock(&sysv_lock);
    const struct msg_queue *queue = by_place ? (struct msg_queue *)sysv_at(SYSV_MSG, which) : find(which);
    enum status status = queue != NULL ? OK : by_place ? ERR_INVALID : sysv_missing(SYSV_MSG, which);
    if (status == OK && !any)
        status = sysv_permit(&queue->base, SYSV_MAY_READ);
    if (status == OK) {
        sysv_describe(&queue->base, &out.perm);
        out.send_time = queue->send_time;
        out.receive_time = queue->receive_time;
        out.change_time = queue->change_time;
        out.bytes = queue->bytes;
        out.messages = queue->count;
        out.max_bytes = queue->max_bytes;
        out.last_sender = (int32_t)queue->last_sender;
        out.last_receiver = (int32_t)queue->last_receiver;
        call->result = by_place ? queue->base.id : 0;
    }
    spin_unlock(&sysv_lock);
    return status == OK ? copy_to_user(call->arg[2], &out, sizeof(out)) : status;
}

/* It is found no more; its messages are left in *messages, to be dropped without the lock. */
static void remove_queue(struct msg_queue *queue, struct list *messages) {
    sysv_remove(SYSV_MSG, &queue->base);
    while (!list_empty(&queue->messages)) {
        struct list *link = queue->messages.next;
        list_remove(link);
        list_push_back(messages, link);
    }
    queue->removed = true;
    wake_all(&queue->changed);
    if (queue->sleepers == 0)
        global_free(queue, sizeof(*queue));
}

static enum status set_queue(struct msg_queue *queue, const struct msqid64_ds *from) {
    if (from->max_bytes > QUEUE_BYTES_DEFAULT && !identity_is_root())
        return ERR_NOT_PERMITTED;
    enum status status = sysv_change(&queue->base, &from->perm);
    if (status != OK)
        return status;
    queue->max_bytes = from->max_bytes;
    queue->change_time = sysv_now();
    wake_all(&queue->changed);
    return OK;
}

static enum status change_queue(const struct syscall *call, uint32_t command) {
    const int32_t id = (int32_t)call->arg[0];
    struct list messages = {&messages, &messages};
    struct msqid64_ds from;
    enum status status = OK;

    if (command == IPC_SET && (status = copy_from_user(&from, call->arg[2], sizeof(from))) != OK)
        return status;
    spin_lock(&sysv_lock);
    struct msg_queue *queue = find(id);
    status = queue == NULL ? sysv_missing(SYSV_MSG, id) : sysv_permit_owner(&queue->base);
    if (status == OK && command == IPC_RMID)
        remove_queue(queue, &messages);
    else if (status == OK)
        status = set_queue(queue, &from);
    spin_unlock(&sysv_lock);
    while (!list_empty(&messages)) {
        struct queued_message *message = container_of(messages.next, struct queued_message, link);
        list_remove(&message->link);
        drop_message(message);
    }
    return status;
}

static enum status information(struct syscall *call, bool usage) {
    struct msginfo out = {.pool = SYSV_IDS_MAX * QUEUE_BYTES_DEFAULT / 1024,
                          .map = QUEUE_BYTES_DEFAULT,
                          .max_message = MESSAGE_BYTES_MAX,
                          .max_bytes = QUEUE_BYTES_DEFAULT,
                          .max_ids = SYSV_IDS_MAX,
                          .segment = 16,
                          .all = QUEUE_BYTES_DEFAULT,
                          .segments = UINT16_MAX};

    spin_lock(&sysv_lock);
    call->result = sysv_highest(SYSV_MSG);
    if (usage) { /* in three fields of other meaning */
        out.pool = (int32_t)sysv_count(SYSV_MSG);
        out.map = out.all = 0;
        for (int32_t place = 0; place <= call->result; place++) {
            const struct msg_queue *queue = (struct msg_queue *)sysv_at(SYSV_MSG, place);
            out.map += queue != NULL ? (int32_t)queue->count : 0;
            out.all += queue != NULL ? (int32_t)queue->bytes : 0;
        }
    }
    spin_unlock(&sysv_lock);
    return copy_to_user(call->arg[2], &out, sizeof(out));
}

enum status sys_msgctl(struct syscall *call) {
    const uint32_t command = (uint32_t)call->arg[1];

    if ((int32_t)call->arg[0] < 0)
        return ERR_INVALID;
    switch (command) {
    case IPC_INFO:
    case MSG_INFO:
        return information(call, command == MSG_INFO);
    case IPC_STAT:
        return stat_queue(call, false, false);
    case MSG_STAT:
    case MSG_STAT_ANY:
        return stat_queue(call, true, command == MSG_STAT_ANY);
    case IPC_RMID:
    case IPC_SET:
        return change_queue(call, command);
    default:
        return ERR_INVALID;
    }
}
