/*
 * Files under way in sockets, and those that nobody can ever receive.
 *
 * A socket may be on its way in itself, or two in each other: then their references never end by themselves. So
 * sockets under way are counted: one whose file has no reference but from attachments is doubted; it lives if an
 * attachment that refers to it lies at a socket that lives. The others are emptied. An attachment with files is put and
 * taken with sockets_lock held, so what is counted holds still.
 * Attachments are dropped one after the other, not one inside the other: a chain of sockets may be long.
 * Lock: sockets_lock. Any space.
 */
#include "kernel/open_file.h"
#include "kernel/process.h"
#include "kernel/socket.h"
#include "kernel/string.h"
#include "mm/heap.h"
#include "mm/object.h"

#define FLYING_MAX 4096U /* sockets' references under way, in the whole system */

static struct list flying = {&flying, &flying};    /* struct socket.flight_link. Protected by sockets_lock */
static struct list dropped = {&dropped, &dropped}; /* struct attachment.link. Protected by sockets_lock */
static uint32_t flying_count;                      /* references. Protected by sockets_lock; atomic to read */

static struct socket *socket_of(const struct file *file) {
    return file->operations == &socket_operations ? file->inode->socket : NULL;
}

static size_t bytes_of(uint32_t capacity) { return sizeof(struct attachment) + capacity * sizeof(struct file *); }

struct attachment *attachment_create(uint32_t capacity) {
    struct attachment *attached = global_alloc(bytes_of(capacity));
    if (attached != NULL)
        attached->capacity = capacity;
    return attached;
}

void attachment_free(struct attachment *attached) { global_free(attached, bytes_of(attached->capacity)); }

struct attachment *attachment_copy(const struct attachment *attached) {
    struct attachment *copy = attachment_create(attached->count);
    if (copy == NULL)
        return NULL;
    memcpy(copy, attached, bytes_of(attached->count));
    copy->capacity = attached->count;
    for (uint32_t i = 0; i < copy->count; i++)
        file_ref(copy->files[i]);
    return copy;
}

static struct attachment *next_dropped(void) {
    struct attachment *attached = NULL;
    spin_lock(&sockets_lock);
    if (!list_empty(&dropped)) {
        attached = container_of(dropped.next, struct attachment, link);
        list_remove(&attached->link);
    }
    spin_unlock(&sockets_lock);
    return attached;
}

/* Drops what is listed, and what that lists, and what nobody can receive after it. */
static void drop_listed(void) {
    struct thread *self = thread_current();
    struct attachment *attached;
    if (self->drops_files)
        return; /* inside another one, which goes on with the list */
    self->drops_files = true;
    while ((attached = next_dropped()) != NULL) {
        while (attached->count > 0)
            file_unref(attached->files[--attached->count]);
        attachment_free(attached);
        flight_collect(NULL);
    }
    self->drops_files = false;
}

void attachment_drop(struct attachment *attached) {
    if (attached == NULL)
        return;
    spin_lock(&sockets_lock);
    list_push_back(&dropped, &attached->link);
    spin_unlock(&sockets_lock);
    drop_listed();
}

enum status flight_begin(const struct attachment *attached) {
    if (flying_count + attached->count > FLYING_MAX)
        return ERR_TOO_MANY_REFERENCES;
    for (uint32_t i = 0; i < attached->count; i++) {
        struct socket *socket = socket_of(attached->files[i]);
        if (socket == NULL)
            continue;
        if (socket->in_flight++ == 0)
            list_push_back(&flying, &socket->flight_link);
        flying_count++;
    }
    return OK;
}

void flight_end(const struct attachment *attached) {
    for (uint32_t i = 0; i < attached->count; i++) {
        struct socket *socket = socket_of(attached->files[i]);
        if (socket == NULL)
            continue;
        if (--socket->in_flight == 0)
            list_remove(&socket->flight_link);
        flying_count--;
    }
}

/* --- What nobody can receive -------------------------------------------------------------------------------------- */

typedef void (*child_visitor)(struct socket *child, struct list *work);

static void visit_files(const struct attachment *attached, child_visitor visit, struct list *work) {
    for (uint32_t i = 0; attached != NULL && i < attached->count; i++) {
        struct socket *child = socket_of(attached->files[i]);
        if (child != NULL && child->flight == FLIGHT_DOUBTED)
            visit(child, work);
    }
}

/* The doubted sockets that are on their way to one, or to what has not been accepted from it. */
static void visit_children(const struct socket *socket, child_visitor visit, struct list *work) {
    list_for_each(link, &socket->notes) visit_files(container_of(link, struct attachment, link), visit, work);
    list_for_each(link, &socket->packets) visit_files(container_of(link, struct packet, link)->attached, visit, work);
    list_for_each(link, &socket->pending) visit_children(container_of(link, struct socket, pending_link), visit, work);
}

static void count_inside(struct socket *child, struct list *work) {
    (void)work;
    child->inside++;
}

static void find_alive(struct socket *child, struct list *work) {
    child->flight = FLIGHT_LIVE;
    list_push_back(work, &child->work_link);
}

/* Marks those that live. sockets_lock held. */
static void settle_doubts(const struct file *closing) {
    struct list work = {&work, &work};
    list_for_each(link, &flying) {
        struct socket *socket = container_of(link, struct socket, flight_link);
        uint32_t refs = __atomic_load_n(&socket->file->refs, __ATOMIC_RELAXED) - (socket->file == closing);
        socket->flight = refs == socket->in_flight ? FLIGHT_DOUBTED : FLIGHT_LIVE;
        socket->inside = 0;
    }
    list_for_each(link, &flying) {
        const struct socket *socket = container_of(link, struct socket, flight_link);
        if (socket->flight == FLIGHT_DOUBTED)
            visit_children(socket, count_inside, NULL);
    }
    list_for_each(link, &flying) {
        struct socket *socket = container_of(link, struct socket, flight_link);
        if (socket->flight == FLIGHT_DOUBTED && socket->inside < socket->in_flight)
            find_alive(socket, &work); /* something that is not doubted has it */
    }
    while (!list_empty(&work)) {
        const struct socket *socket = container_of(work.next, struct socket, work_link);
        list_remove(work.next);
        visit_children(socket, find_alive, &work);
    }
}

/* Takes away all attachments on their way to it. sockets_lock held. */
static void empty_socket(struct socket *socket) {
    if (is_stream(socket))
        spin_lock(&socket->incoming.object->lock);
    list_for_each_safe(link, &socket->notes) {
        struct attachment *attached = container_of(link, struct attachment, link);
        if (attached->count == 0)
            continue;
        list_remove(link);
        socket->note_count--;
        flight_end(attached);
        list_push_back(&dropped, link);
    }
    if (is_stream(socket))
        spin_unlock(&socket->incoming.object->lock);
    list_for_each(link, &socket->packets) {
        struct packet *packet = container_of(link, struct packet, link);
        if (packet->attached == NULL || packet->attached->count == 0)
            continue;
        flight_end(packet->attached);
        list_push_back(&dropped, &packet->attached->link);
        packet->attached = NULL;
    }
    list_for_each(link, &socket->pending) empty_socket(container_of(link, struct socket, pending_link));
}

void flight_collect(const struct file *closing) {
    struct list garbage = {&garbage, &garbage};
    if (__atomic_load_n(&flying_count, __ATOMIC_RELAXED) == 0)
        return;
    spin_lock(&sockets_lock);
    settle_doubts(closing);
    list_for_each(link, &flying) {
        struct socket *socket = container_of(link, struct socket, flight_link);
        if (socket->flight == FLIGHT_DOUBTED)
            list_push_back(&garbage, &socket->work_link);
    }
    while (!list_empty(&garbage)) {
        struct socket *socket = container_of(garbage.next, struct socket, work_link);
        list_remove(garbage.next);
        empty_socket(socket);
    }
    spin_unlock(&sockets_lock);
    drop_listed();
}
