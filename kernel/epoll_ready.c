/*
 * Ready lists: who gets on them, who is woken, who asks what is on them.
 *
 * An item is on a list once. Taken off it is asked, and only then, so whatever happens after the question puts it there
 * again. A set that becomes ready makes itself ready in the sets around it; where it is on their lists already, they
 * have been told, and that is where it ends. Locks: epoll.lock for a list; epoll_links_lock for the way outwards, with
 * epoll.lock inside; both under the lock of whatever queue was woken. Any context.
 */
#include "arch/cpu.h"
#include "kernel/assert.h"
#include "kernel/epoll.h"
#include "kernel/open_file.h"
#include "mm/object.h"

/* False: it was there already, or is disabled. */
static bool put_on_list(struct epoll_item *item) {
    struct epoll *epoll = item->epoll;
    bool irq = spin_lock_irq(&epoll->lock);
    bool put = list_empty(&item->ready_link) && (__atomic_load_n(&item->events, __ATOMIC_RELAXED) & ~EPOLL_MANNER);
    if (put)
        list_push_back(&epoll->ready, &item->ready_link);
    spin_unlock_irq(&epoll->lock, irq);
    if (put)
        wake_all(&epoll->sleepers);
    return put;
}

/* The links lock held. Sets are at most EPOLL_DEPTH deep. */
static void tell_outer(struct epoll *epoll) {
    list_for_each(link, &epoll->outer) {
        struct epoll_item *item = container_of(link, struct epoll_item, outer_link);
        if (put_on_list(item))
            tell_outer(item->epoll);
    }
}

void epoll_mark_ready(struct epoll_item *item) {
    struct epoll *epoll = item->epoll;
    if (!put_on_list(item) || list_empty(&epoll->outer))
        return;
    bool irq = spin_lock_irq(&epoll_links_lock);
    tell_outer(epoll);
    spin_unlock_irq(&epoll_links_lock, irq);
}

/* Takes everything off the list, to be asked. epoll.mutex held. */
static void begin_asking(struct epoll *epoll) {
    struct list *ready = &epoll->ready, *asked = &epoll->asked;
    bool irq = spin_lock_irq(&epoll->lock);
    if (!list_empty(ready)) {
        asked->next = ready->next;
        asked->previous = ready->previous;
        asked->next->previous = asked->previous->next = asked;
        list_init(ready);
    }
    spin_unlock_irq(&epoll->lock, irq);
}

/* The next one, which is on no list now, or NULL. */
static struct epoll_item *next_to_ask(struct epoll *epoll) {
    struct epoll_item *item = NULL;
    bool irq = spin_lock_irq(&epoll->lock);
    if (!list_empty(&epoll->asked)) {
        item = container_of(epoll->asked.next, struct epoll_item, ready_link);
        list_remove(&item->ready_link);
    }
    spin_unlock_irq(&epoll->lock, irq);
    return item;
}

/* What was not asked is the first next time. */
static void end_asking(struct epoll *epoll) {
    struct list *ready = &epoll->ready, *asked = &epoll->asked;
    bool irq = spin_lock_irq(&epoll->lock);
    if (!list_empty(asked)) {
        asked->previous->next = ready->next;
        ready->next->previous = asked->previous;
        ready->next = asked->next;
        asked->next->previous = ready;
        list_init(asked);
    }
    spin_unlock_irq(&epoll->lock, irq);
}

/* Back to the end of the list. No one is told of it: who waits finds it there. */
static void keep_on_list(struct epoll_item *item) {
    bool irq = spin_lock_irq(&item->epoll->lock);
    if (list_empty(&item->ready_link))
        list_push_back(&item->epoll->ready, &item->ready_link);
    spin_unlock_irq(&item->epoll->lock, irq);
}

static uint32_t ask(const struct epoll_item *item) {
    uint32_t wanted = item->events & ~EPOLL_MANNER;
    return wanted != 0 ? item->file->operations->poll(item->file, NULL) & (wanted | POLLERR | POLLHUP) : 0;
}

static uint64_t data_of(const struct epoll_item *item) {
    const struct cells *cells = &item->epoll->data;
    spin_lock(&cells->object->lock);
    uint64_t data = cells_read(cells, item->cell);
    spin_unlock(&cells->object->lock);
    return data;
}

unsigned epoll_collect(struct epoll *epoll, struct epoll_event *events, unsigned room) {
    struct epoll_item *item;
    unsigned count = 0;
    mutex_lock(&epoll->mutex);
    begin_asking(epoll);
    while (count < room && (item = next_to_ask(epoll)) != NULL) {
        uint32_t found = ask(item);
        if (found == 0)
            continue;
        events[count++] = (struct epoll_event){.events = found, .data = data_of(item)};
        if (item->events & EPOLLONESHOT)
            __atomic_store_n(&item->events, item->events & EPOLL_MANNER, __ATOMIC_RELAXED);
        else if (!(item->events & EPOLLET))
            keep_on_list(item);
    }
    end_asking(epoll);
    mutex_unlock(&epoll->mutex);
    return count;
}

bool epoll_any_ready(struct epoll *epoll) {
    struct epoll_item *item;
    bool found = false;
    mutex_lock(&epoll->mutex);
    begin_asking(epoll);
    while (!found && (item = next_to_ask(epoll)) != NULL) {
        found = ask(item) != 0;
        if (found)
            keep_on_list(item);
    }
    end_asking(epoll);
    mutex_unlock(&epoll->mutex);
    return found;
}
