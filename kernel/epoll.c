/*
 * Sets of files: their members, and which set is in which.
 *
 * Invariant: an item is in its set, in its file's list of watchers and on the file's wait queues, or in none of them.
 * It leaves them before the file's type is told that the file goes (epoll_forget_file()), and before the set goes.
 * Locks: epoll.mutex, taken from the outer set inwards; epoll_links_lock for what connects sets and files. A file may
 * go while a set is taken down: who comes second finds the item gone. Runs in the caller's space.
 */
#include "kernel/epoll.h"

#include "kernel/open_file.h"
#include "mm/heap.h"
#include "mm/object.h"

struct spinlock epoll_links_lock = SPINLOCK_INIT(RANK_LINKS);
static uint32_t walks; /* Protected by epoll_links_lock */

enum status epoll_create(struct epoll **out) {
    struct epoll *epoll = global_alloc(sizeof(*epoll));
    if (epoll == NULL)
        return ERR_NO_MEMORY;
    enum status status = cells_create(&epoll->data);
    if (status != OK) {
        global_free(epoll, sizeof(*epoll));
        return status;
    }
    epoll->refs = 1;
    mutex_init(&epoll->mutex);
    spin_init(&epoll->lock, RANK_READY);
    wait_queue_init(&epoll->sleepers);
    spin_init(&epoll->sleepers.lock, RANK_READY);
    list_init(&epoll->asked);
    list_init(&epoll->ready);
    list_init(&epoll->outer);
    list_init(&epoll->inner);
    for (unsigned i = 0; i < EPOLL_BUCKETS; i++)
        list_init(&epoll->buckets[i]);
    *out = epoll;
    return OK;
}

void epoll_ref(struct epoll *epoll) { __atomic_fetch_add(&epoll->refs, 1, __ATOMIC_RELAXED); }

void epoll_unref(struct epoll *epoll) {
    if (__atomic_sub_fetch(&epoll->refs, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    global_free(epoll, sizeof(*epoll));
}

/* --- Members ------------------------------------------------------------------------------------------------------ */

static struct list *bucket_of(struct epoll *epoll, const struct file *file, int fd) {
    uint64_t key = (uint64_t)file / sizeof(*file) * 31 + (uint64_t)(unsigned)fd;
    return &epoll->buckets[(key ^ key >> 9) % EPOLL_BUCKETS];
}

struct epoll_item *epoll_find(struct epoll *epoll, const struct file *file, int fd) {
    list_for_each(link, bucket_of(epoll, file, fd)) {
        struct epoll_item *item = container_of(link, struct epoll_item, hash_link);
        if (item->file == file && item->fd == fd)
            return item;
    }
    return NULL;
}

static void notified(struct wait_node *node) { epoll_mark_ready(container_of(node, struct epoll_watch, node)->item); }

/* What a poll operation names: from now on it tells the item. */
struct watching {
    struct poll_table table;
    struct epoll_item *item;
};

static void watch_queue(struct poll_table *table, struct wait_queue *queue) {
    struct epoll_item *item = container_of(table, struct watching, table)->item;
    struct epoll_watch *watch = item->watches[0].queue == NULL ? &item->watches[0] : &item->watches[1];
    watch->queue = queue;
    watch->item = item;
    watch->node.notify = notified;
    wait_watch(queue, &watch->node);
}

static void unwatch(struct epoll_item *item) {
    for (unsigned i = 0; i < 2; i++) {
        struct epoll_watch *watch = &item->watches[i];
        if (watch->queue != NULL)
            wait_unwatch(watch->queue, &watch->node);
        watch->queue = NULL;
    }
}

/* The item is told of what happens from here on; whether it is ready now is the answer. */
static bool begin_to_watch(struct epoll_item *item) {
    struct watching watching = {
        .table = {.registering = true, .wanted = item->events | POLLERR | POLLHUP, .enter = watch_queue},
        .item = item,
    };
    if (item->watched != NULL)
        return epoll_any_ready(item->watched) && (item->events & POLLIN);
    return item->file->operations->poll(item->file, &watching.table) & (item->events | POLLERR | POLLHUP);
}

static void set_event(struct epoll_item *item, const struct epoll_event *event) {
    struct cells *cells = &item->epoll->data;
    spin_lock(&cells->object->lock);
    cells_write(cells, item->cell, event->data);
    spin_unlock(&cells->object->lock);
    __atomic_store_n(&item->events, event->events, __ATOMIC_RELAXED);
}

static enum status take_cell(struct epoll *epoll, uint32_t *cell) {
    spin_lock(&epoll->data.object->lock);
    enum status status = cells_take(&epoll->data, cell);
    spin_unlock(&epoll->data.object->lock);
    return status;
}

static void give_cell(struct epoll *epoll, uint32_t cell) {
    spin_lock(&epoll->data.object->lock);
    cells_give(&epoll->data, cell);
    spin_unlock(&epoll->data.object->lock);
}

/* --- Sets in sets ------------------------------------------------------------------------------------------------- */

/* How many sets are one in the other, from `epoll` inwards or outwards, itself included. The links lock held. */
static uint32_t depth_of(struct epoll *epoll, bool inwards, uint32_t walk, uint32_t limit) {
    uint32_t deepest = 0;
    if (epoll->walk == walk)
        return epoll->depth;
    list_for_each(link, inwards ? &epoll->inner : &epoll->outer) {
        if (limit == 0 || deepest >= limit)
            break;
        struct epoll *next = inwards ? container_of(link, struct epoll_item, inner_link)->watched
                                     : container_of(link, struct epoll_item, outer_link)->epoll;
        uint32_t depth = depth_of(next, inwards, walk, limit - 1);
        deepest = depth > deepest ? depth : deepest;
    }
    epoll->walk = walk;
    epoll->depth = deepest + 1;
    return epoll->depth;
}

/* Whether `outer` may get `inner` for a member. The links lock held. */
static enum status may_contain(struct epoll *outer, struct epoll *inner) {
    uint32_t inwards = depth_of(inner, true, ++walks, EPOLL_DEPTH);
    if (outer->walk == walks) /* the walk inwards came by */
        return ERR_TOO_MANY_SYMLINKS;
    uint32_t outwards = depth_of(outer, false, ++walks, EPOLL_DEPTH);
    if (inwards + outwards > EPOLL_DEPTH)
        return ERR_TOO_MANY_SYMLINKS;
    return inner->outer_count < EPOLL_OUTER ? OK : ERR_INVALID;
}

static enum status link_item(struct epoll_item *item) {
    enum status status = OK;
    bool irq = spin_lock_irq(&epoll_links_lock);
    if (item->watched != NULL)
        status = may_contain(item->epoll, item->watched);
    if (status == OK) {
        list_push_back(&item->file->watchers, &item->file_link);
        if (item->watched != NULL) {
            list_push_back(&item->watched->outer, &item->outer_link);
            list_push_back(&item->epoll->inner, &item->inner_link);
            item->watched->outer_count++;
        }
    }
    spin_unlock_irq(&epoll_links_lock, irq);
    return status;
}

static void unlink_item(struct epoll_item *item) {
    bool irq = spin_lock_irq(&epoll_links_lock);
    list_remove(&item->file_link);
    if (item->watched != NULL) {
        list_remove(&item->outer_link);
        list_remove(&item->inner_link);
        item->watched->outer_count--;
    }
    spin_unlock_irq(&epoll_links_lock, irq);
}

/* --- Changes ------------------------------------------------------------------------------------------------------ */

static struct epoll_item *make_item(struct epoll *epoll, struct file *file, int fd) {
    struct epoll_item *item = global_alloc(sizeof(*item));
    if (item == NULL)
        return NULL;
    item->epoll = epoll;
    item->file = file;
    item->fd = fd;
    item->watched = file->operations == &epoll_operations ? file->target : NULL;
    list_init(&item->ready_link);
    if (take_cell(epoll, &item->cell) == OK)
        return item;
    global_free(item, sizeof(*item));
    return NULL;
}

enum status epoll_add(struct epoll *epoll, struct file *file, int fd, const struct epoll_event *event) {
    struct epoll_item *item = make_item(epoll, file, fd);
    if (item == NULL)
        return ERR_NO_MEMORY;
    enum status status = link_item(item);
    if (status != OK) {
        give_cell(epoll, item->cell);
        global_free(item, sizeof(*item));
        return status;
    }
    list_push_back(bucket_of(epoll, file, fd), &item->hash_link);
    epoll->count++;
    set_event(item, event);
    if (begin_to_watch(item))
        epoll_mark_ready(item);
    return OK;
}

void epoll_change(struct epoll_item *item, const struct epoll_event *event) {
    unwatch(item);
    set_event(item, event);
    if (begin_to_watch(item))
        epoll_mark_ready(item);
}

static void leave_ready_list(struct epoll_item *item) {
    bool irq = spin_lock_irq(&item->epoll->lock);
    list_remove(&item->ready_link);
    spin_unlock_irq(&item->epoll->lock, irq);
}

void epoll_remove(struct epoll_item *item) {
    struct epoll *epoll = item->epoll;
    unwatch(item);
    unlink_item(item);
    leave_ready_list(item); /* nobody is left who would put it there */
    list_remove(&item->hash_link);
    give_cell(epoll, item->cell);
    epoll->count--;
    global_free(item, sizeof(*item));
}

/* The set of the file's first watcher, with a reference, or NULL. */
static struct epoll *first_watcher(struct file *file) {
    struct epoll *epoll = NULL;
    bool irq = spin_lock_irq(&epoll_links_lock);
    if (!list_empty(&file->watchers)) {
        epoll = container_of(file->watchers.next, struct epoll_item, file_link)->epoll;
        epoll_ref(epoll); /* it has an item: it is not taken down yet */
    }
    spin_unlock_irq(&epoll_links_lock, irq);
    return epoll;
}

/* An item of the file in that set, or NULL. epoll.mutex held, so that it stays. */
static struct epoll_item *item_in(struct file *file, const struct epoll *epoll) {
    struct epoll_item *found = NULL;
    bool irq = spin_lock_irq(&epoll_links_lock);
    list_for_each(link, &file->watchers) {
        found = container_of(link, struct epoll_item, file_link);
        if (found->epoll == epoll)
            break;
        found = NULL;
    }
    spin_unlock_irq(&epoll_links_lock, irq);
    return found;
}

void epoll_forget_file(struct file *file) {
    for (struct epoll *epoll; (epoll = first_watcher(file)) != NULL; epoll_unref(epoll)) {
        mutex_lock(&epoll->mutex);
        struct epoll_item *item = item_in(file, epoll);
        if (item != NULL)
            epoll_remove(item);
        mutex_unlock(&epoll->mutex);
    }
}

/* --- The file ----------------------------------------------------------------------------------------------------- */

static void epoll_release(struct file *file) {
    struct epoll *epoll = file->target;
    mutex_lock(&epoll->mutex);
    for (unsigned i = 0; i < EPOLL_BUCKETS; i++) {
        while (!list_empty(&epoll->buckets[i]))
            epoll_remove(container_of(epoll->buckets[i].next, struct epoll_item, hash_link));
    }
    mutex_unlock(&epoll->mutex);
    cells_destroy(&epoll->data); /* here, by one who may see them */
    epoll_unref(epoll);
}

static uint32_t epoll_poll(struct file *file, struct poll_table *table) {
    struct epoll *epoll = file->target;
    poll_wait(table, &epoll->sleepers);
    return epoll_any_ready(epoll) ? POLLIN | POLLRDNORM : 0;
}

const struct file_operations epoll_operations = {.release = epoll_release, .poll = epoll_poll};
