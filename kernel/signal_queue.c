/*
 * Owns: entries of pending signals.
 *
 * Invariant: LOGICAL ACCESS – the message in an entry is read and cleared by its holder alone: the sender until it is
 * queued, the receiving process from then on. A third process (one that sends SIGCONT) never removes an entry.
 * Locks: the receiver's signal_lock for queues; the count of all is atomic. Space: any.
 */
#include "kernel/signal_queue.h"

#include "kernel/message.h"
#include "kernel/signal_abi.h"
#include "mm/heap.h"

static unsigned queued_in_all; /* atomic */

void signal_queue_init(struct signal_queue *queue) { list_init(&queue->entries); }

enum status queued_signal_create(int number, struct queued_signal **out) {
    if (__atomic_fetch_add(&queued_in_all, 1, __ATOMIC_RELAXED) >= SIGNALS_QUEUED_MAX_ALL) {
        __atomic_sub_fetch(&queued_in_all, 1, __ATOMIC_RELAXED);
        return ERR_AGAIN;
    }
    struct queued_signal *entry = global_alloc(sizeof(*entry));
    if (entry == NULL) {
        __atomic_sub_fetch(&queued_in_all, 1, __ATOMIC_RELAXED);
        return ERR_NO_MEMORY;
    }
    list_init(&entry->link);
    entry->number = number;
    *out = entry;
    return OK;
}

void queued_signal_free(struct queued_signal *entry) {
    if (entry->info != NULL)
        message_free(entry->info);
    global_free(entry, sizeof(*entry));
    __atomic_sub_fetch(&queued_in_all, 1, __ATOMIC_RELAXED);
}

void queued_signals_free(struct list *entries) {
    while (!list_empty(entries)) {
        struct queued_signal *entry = container_of(entries->next, struct queued_signal, link);
        list_remove(&entry->link);
        queued_signal_free(entry);
    }
}

void signal_queue_add(struct signal_queue *queue, int number, const struct signal_origin *origin,
                      struct queued_signal *entry) {
    if (entry != NULL) {
        list_push_back(&queue->entries, &entry->link);
        entry->queue = queue;
        queue->count++;
    } else if (number < SIGNAL_REALTIME) {
        queue->origin[number - 1] = origin != NULL ? *origin : (struct signal_origin){.code = SI_KERNEL};
    }
}

static struct queued_signal *first_of(const struct signal_queue *queue, int number) {
    list_for_each(link, &queue->entries) {
        struct queued_signal *entry = container_of(link, struct queued_signal, link);
        if (entry->number == number)
            return entry;
    }
    return NULL;
}

bool signal_queue_take(struct signal_queue *queue, int number, struct signal_origin *origin,
                       struct queued_signal **out) {
    struct queued_signal *entry = first_of(queue, number);
    *out = NULL;
    if (entry == NULL) { /* a real-time one may have found no memory for more than the fact */
        *origin = number < SIGNAL_REALTIME ? queue->origin[number - 1] : (struct signal_origin){.code = SI_USER};
        return false;
    }
    *origin = entry->origin;
    if (!entry->lasting)
        *out = entry;
    return signal_queue_remove(entry);
}

bool signal_queue_remove(struct queued_signal *entry) {
    struct signal_queue *queue = entry->queue;
    list_remove(&entry->link);
    entry->queue = NULL;
    queue->count--;
    return first_of(queue, entry->number) != NULL;
}

void signal_queue_forget(struct signal_queue *queue, int number, struct list *to) {
    list_for_each_safe(link, &queue->entries) {
        struct queued_signal *entry = container_of(link, struct queued_signal, link);
        if (number != 0 && entry->number != number)
            continue;
        list_remove(&entry->link);
        entry->queue = NULL;
        queue->count--;
        if (!entry->lasting)
            list_push_back(to, &entry->link);
    }
}
