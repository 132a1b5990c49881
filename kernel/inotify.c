/*
 * Owns: who watches which inode, and what each watcher has not read yet.
 *
 * Invariant: a watch is in its inode's chain and its instance's list, or in neither and among the instance's retired.
 * An inode knows its name no more than others do: who watches a directory is told of what is done to a file because
 * the file is marked (has_watched_name) and the directories that are watched are asked for it then.
 * Locks: inotify_lock; names_lock outside it to look into directories. Class GLOBAL. Runs in the caller's space.
 */
#include "kernel/inotify.h"

#include "kernel/directory.h"
#include "kernel/inotify_internal.h"
#include "kernel/names.h"
#include "kernel/node.h"
#include "kernel/string.h"
#include "mm/heap.h"

struct spinlock inotify_lock = SPINLOCK_INIT(RANK_INOTIFY);
struct list inotify_instances = {&inotify_instances, &inotify_instances};
uint32_t inotify_watches;

static struct list directories = {&directories, &directories}; /* struct watch.directory_link */

/* --- Notices: inotify_lock held ----------------------------------------------------------------------------------- */

static size_t notice_bytes(size_t length) { return sizeof(struct notice) + length; }

static void append(struct inotify *instance, struct notice *notice) {
    list_push_back(&instance->notices, &notice->link);
    instance->notice_count++;
    instance->bytes += NOTICE_HEAD + notice_name_bytes(notice);
    wake_all(&instance->readable);
}

void notice_read(struct inotify *instance, struct notice *notice) {
    list_remove(&notice->link);
    instance->notice_count--;
    instance->bytes -= NOTICE_HEAD + notice_name_bytes(notice);
    if (notice->mask == IN_Q_OVERFLOW)
        instance->overflow = notice;
    else
        global_free(notice, notice_bytes(notice->length));
}

/* The same as the last one, unread: once is enough. */
static bool is_repeated(const struct inotify *instance, const struct notice *like, const char *name) {
    if (list_empty(&instance->notices))
        return false;
    const struct notice *last = container_of(instance->notices.previous, struct notice, link);
    return last->watch == like->watch && last->mask == like->mask && last->cookie == like->cookie &&
           last->length == like->length && memcmp(last->name, name, like->length) == 0;
}

static void lose_one(struct inotify *instance) {
    if (instance->overflow == NULL)
        return;
    struct notice *overflow = instance->overflow;
    instance->overflow = NULL;
    append(instance, overflow);
}

static uint32_t notices_of_user(uint32_t uid) {
    uint32_t count = 0;
    list_for_each(link, &inotify_instances) {
        const struct inotify *instance = container_of(link, struct inotify, all_link);
        count += instance->uid == uid ? instance->notice_count : 0;
    }
    return count;
}

/* A few at each descriptor, and many as long as it is not at all of a user's. */
static bool may_queue(const struct inotify *instance) {
    const uint32_t count = instance->notice_count;
    return count < INOTIFY_QUEUE_LEAST ||
           (count < INOTIFY_QUEUE_MAX && notices_of_user(instance->uid) < INOTIFY_NOTICES_MAX);
}

static void note(const struct watch *watch, uint32_t mask, uint32_t cookie, const char *name, size_t length) {
    struct inotify *instance = watch->instance;
    const struct notice like = {.watch = watch->number, .mask = mask, .cookie = cookie, .length = (uint32_t)length};
    if (is_repeated(instance, &like, name))
        return;
    struct notice *notice = may_queue(instance) ? global_alloc(notice_bytes(length)) : NULL;
    if (notice == NULL) {
        lose_one(instance);
        return;
    }
    *notice = like;
    memcpy(notice->name, name, length);
    append(instance, notice);
}

/* --- Watches: inotify_lock held ----------------------------------------------------------------------------------- */

static void link_watch(struct watch *watch) {
    struct inode *inode = watch->inode;
    watch->next = inode->watches;
    inode->watches = watch;
    inode->watch_refs++;
    list_push_back(&watch->instance->watches, &watch->own_link);
    watch->instance->watch_count++;
    if (inode_is(inode, S_IFDIR))
        list_push_back(&directories, &watch->directory_link);
    __atomic_fetch_add(&inotify_watches, 1, __ATOMIC_RELAXED);
}

/* It watches no more; its memory and reference are left. */
static void unlink_watch(struct watch *watch) {
    struct watch **link = &watch->inode->watches;
    while (*link != watch)
        link = &(*link)->next;
    *link = watch->next;
    list_remove(&watch->directory_link);
    list_remove(&watch->own_link);
    watch->instance->watch_count--;
    __atomic_fetch_sub(&inotify_watches, 1, __ATOMIC_RELAXED);
}

static void end_watch(struct watch *watch) {
    note(watch, IN_IGNORED, 0, "", 0);
    unlink_watch(watch);
}

static void tell_watch(struct watch *watch, uint32_t mask, uint32_t cookie, const char *name, size_t length) {
    if (!(watch->mask & mask & ~(uint32_t)IN_ISDIR))
        return;
    note(watch, mask, cookie, name, length);
    if (watch->mask & IN_ONESHOT) {
        end_watch(watch);
        list_push_back(&watch->instance->retired, &watch->own_link);
    }
}

static void tell_chain(const struct inode *inode, uint32_t mask, uint32_t cookie, const char *name, size_t length) {
    for (struct watch *watch = inode->watches, *next; watch != NULL; watch = next) {
        next = watch->next;
        tell_watch(watch, mask, cookie, name, length);
    }
}

static uint32_t watches_of_user(uint32_t uid) {
    uint32_t count = 0;
    list_for_each(link, &inotify_instances) {
        const struct inotify *instance = container_of(link, struct inotify, all_link);
        count += instance->uid == uid ? instance->watch_count : 0;
    }
    return count;
}

static struct watch *watch_on(const struct inotify *instance, const struct inode *inode) {
    struct watch *watch = inode->watches;
    while (watch != NULL && watch->instance != instance)
        watch = watch->next;
    return watch;
}

/* The reference that goes with a watch. */
static void drop_inode(struct inode *inode) {
    spin_lock(&inotify_lock);
    inode->watch_refs--;
    spin_unlock(&inotify_lock);
    inode_unref(inode);
}

static void free_watch(struct watch *watch) {
    drop_inode(watch->inode);
    global_free(watch, sizeof(*watch));
}

/* --- What instances ask for --------------------------------------------------------------------------------------- */

static enum status change(struct watch *watch, uint32_t mask, bool fresh, bool more) {
    if (fresh)
        return ERR_EXISTS;
    watch->mask = more ? watch->mask | mask : mask;
    return OK;
}

/* Whoever has a name in the directory by now; those that come are marked as they do. */
static void mark_names(struct inode *directory) {
    struct directory_entry *entry;
    if (!inode_is(directory, S_IFDIR) || directory->mount == NULL)
        return;
    spin_lock(&names_lock);
    for (uint64_t slot = 0; (entry = directory_at(&directory->directory, slot)) != NULL; slot = entry->slot + 1) {
        if (entry->inode != NULL)
            entry->inode->has_watched_name = true;
    }
    spin_unlock(&names_lock);
}

enum status watch_add(struct inotify *instance, struct inode *inode, uint32_t mask, bool fresh, bool more,
                      int64_t *number) {
    struct watch *made = global_alloc(sizeof(*made));
    enum status status = OK;
    if (made == NULL)
        return ERR_NO_MEMORY;
    spin_lock(&inotify_lock);
    struct watch *watch = watch_on(instance, inode);
    if (watch != NULL) {
        status = change(watch, mask, fresh, more);
    } else if (watches_of_user(instance->uid) >= INOTIFY_WATCHES_MAX || instance->last_watch == INT32_MAX) {
        status = ERR_NO_SPACE;
    } else {
        watch = made;
        made = NULL;
        *watch = (struct watch){.instance = instance, .inode = inode, .number = ++instance->last_watch, .mask = mask};
        list_init(&watch->directory_link);
        inode_ref(inode);
        link_watch(watch);
    }
    if (status == OK)
        *number = watch->number;
    spin_unlock(&inotify_lock);
    if (made != NULL)
        global_free(made, sizeof(*made));
    else
        mark_names(inode);
    return status;
}

enum status watch_remove(struct inotify *instance, int32_t number) {
    struct watch *found = NULL;
    spin_lock(&inotify_lock);
    list_for_each(link, &instance->watches) {
        struct watch *watch = container_of(link, struct watch, own_link);
        if (watch->number == number)
            found = watch;
    }
    if (found != NULL)
        end_watch(found);
    spin_unlock(&inotify_lock);
    if (found == NULL)
        return ERR_INVALID;
    free_watch(found);
    return OK;
}

/* Takes the first one out of a list; NULL: there is none. */
static struct watch *take_first(struct list *list, bool watching) {
    struct watch *watch = NULL;
    spin_lock(&inotify_lock);
    if (!list_empty(list)) {
        watch = container_of(list->next, struct watch, own_link);
        if (watching)
            unlink_watch(watch);
        else
            list_remove(&watch->own_link);
    }
    spin_unlock(&inotify_lock);
    return watch;
}

void watches_remove_all(struct inotify *instance) {
    struct watch *watch;
    while ((watch = take_first(&instance->watches, true)) != NULL)
        free_watch(watch);
    watches_free_retired(instance);
}

void watches_free_retired(struct inotify *instance) {
    struct watch *watch;
    while ((watch = take_first(&instance->retired, false)) != NULL)
        free_watch(watch);
}

/* --- Telling ------------------------------------------------------------------------------------------------------ */

uint32_t inotify_type(const struct inode *inode) { return inode_is(inode, S_IFDIR) ? (uint32_t)IN_ISDIR : 0; }

/* By which the directory names the inode, or NULL. names_lock held. */
static const struct directory_entry *name_in(const struct inode *directory, const struct inode *inode) {
    struct directory_entry *entry;
    for (uint64_t slot = 0; (entry = directory_at(&directory->directory, slot)) != NULL; slot = entry->slot + 1) {
        if (entry->inode == inode)
            return entry;
    }
    return NULL;
}

/* By which each directory that is watched names the inode, once for all who watch it. names_lock, inotify_lock held. */
static void find_names(const struct inode *inode) {
    list_for_each(link, &directories) {
        const struct watch *first = container_of(link, struct watch, directory_link);
        if (first != first->inode->watches)
            continue;
        const struct directory_entry *entry = first->inode->mount == inode->mount ? name_in(first->inode, inode) : NULL;
        for (struct watch *watch = first->inode->watches; watch != NULL; watch = watch->next)
            watch->entry = entry;
    }
}

/* Those who watch directories that the inode has a name in. names_lock and inotify_lock held. */
static void tell_directories(struct inode *inode, uint32_t event) {
    bool has_name = false;
    find_names(inode);
    list_for_each_safe(link, &directories) {
        struct watch *watch = container_of(link, struct watch, directory_link);
        if (watch->entry == NULL)
            continue;
        has_name = true;
        tell_watch(watch, event | inotify_type(inode), 0, watch->entry->name, watch->entry->length);
    }
    inode->has_watched_name = has_name;
}

/*
 * Who may list a directory is told of reads and writes where stat() would tell him by times: not of FIFOs'. Of devices'
 * nobody is told: all masters of pseudo-terminals are one inode, and when keys are pressed is a secret of who types.
 */
static bool is_for_directories(const struct inode *inode, uint32_t event) {
    return !(event & (IN_ACCESS | IN_MODIFY)) || inode_is(inode, S_IFREG) || inode_is(inode, S_IFDIR);
}

void inotify_tell(struct inode *inode, uint32_t event) {
    if (inode_is(inode, S_IFCHR) && (event & (IN_ACCESS | IN_MODIFY)))
        return;
    if (inode->has_watched_name && is_for_directories(inode, event)) {
        spin_lock(&names_lock);
        spin_lock(&inotify_lock);
        tell_directories(inode, event);
        spin_unlock(&inotify_lock);
        spin_unlock(&names_lock);
    }
    inotify_tell_self(inode, event | inotify_type(inode));
}

void inotify_tell_self(struct inode *inode, uint32_t event) {
    if (!inotify_watched() || inode->watches == NULL)
        return;
    spin_lock(&inotify_lock);
    tell_chain(inode, event, 0, "", 0);
    spin_unlock(&inotify_lock);
}

void inotify_tell_name(const struct inode *directory, const char *name, size_t length, uint32_t event,
                       uint32_t cookie) {
    if (!inotify_watched() || directory->watches == NULL)
        return;
    spin_lock(&inotify_lock);
    tell_chain(directory, event, cookie, name, length);
    spin_unlock(&inotify_lock);
}

uint32_t inotify_cookie(void) {
    static uint32_t last; /* atomic */
    return __atomic_add_fetch(&last, 1, __ATOMIC_RELAXED);
}

/* The watches' own references end here, and so may the inode: by nodes_settle(), which the caller does. */
void inotify_check_gone(struct inode *inode) {
    uint32_t ended = 0;
    struct watch *watch;
    spin_lock(&inotify_lock);
    if (inode->links == 0 && __atomic_load_n(&inode->refs, __ATOMIC_RELAXED) == inode->watch_refs) {
        while ((watch = inode->watches) != NULL) {
            if (watch->mask & IN_DELETE_SELF)
                note(watch, IN_DELETE_SELF, 0, "", 0);
            end_watch(watch);
            global_free(watch, sizeof(*watch));
            ended++;
        }
        inode->watch_refs -= ended;
    }
    spin_unlock(&inotify_lock);
    while (ended-- > 0)
        node_unref_locked(inode);
}
