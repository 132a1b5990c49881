/*
 * Owns: the hash of known nodes, the lists of those that nothing refers to, and the thread that tells servers what is
 * left to tell.
 *
 * Invariant: a node's inode is in the hash from node_get() until it is dropped; one that nothing refers to is in
 * exactly one of the lists. Locks: names_lock for hash, lists and attributes; inode.lock across what tells a server of
 * a file's size. Class GLOBAL. Runs in the caller's space, and the thread's own.
 */
#include "kernel/node.h"

#include "kernel/assert.h"
#include "kernel/fs_call.h"
#include "kernel/inotify.h"
#include "kernel/mount.h"
#include "kernel/name_cache.h"
#include "kernel/names.h"
#include "kernel/open_file.h"
#include "kernel/process_life.h"
#include "kernel/sched.h"
#include "kernel/string.h"
#include "kernel/time.h"
#include "mm/boot.h"
#include "mm/frame.h"
#include "mm/heap.h"
#include "mm/local.h"
#include "mm/object.h"
#include "mm/pager.h"

#define FRAMES_PER_BUCKET 4                   /* of the machine's */
#define LOOK_EVERY        (NS_PER_SECOND / 5) /* whether pages without a name are still mapped */

static struct inode **buckets; /* constant; the chains are protected by names_lock */
static uint64_t bucket_mask;   /* constant */

/* What nothing refers to. Protected by names_lock. */
static struct list undecided = {&undecided, &undecided}; /* nodes_settle() looks at them next */
static struct list resting = {&resting, &resting};       /* stays for now */
static struct list doomed = {&doomed, &doomed};          /* has no name, but its pages are mapped: stays for now */
static struct list unsaved = {&unsaved, &unsaved};       /* the thread is to tell the server of them */
static struct list forgotten = {&forgotten, &forgotten}; /* not in the hash; the thread is to say so */
static bool thread_busy;

static struct wait_queue work = WAIT_QUEUE_INIT(work), quiet = WAIT_QUEUE_INIT(quiet);

/* --- The hash ----------------------------------------------------------------------------------------------------- */

static struct inode **bucket_of(const struct mount *mount, uint64_t number) {
    uint64_t key = (number + ((uint64_t)mount->id << 40)) * 0x9e3779b97f4a7c15UL;
    return &buckets[key >> 32 & bucket_mask];
}

static void hash_insert(struct inode *inode) {
    struct inode **bucket = bucket_of(inode->mount, inode->number);
    inode->hash_next = *bucket;
    *bucket = inode;
}

static void hash_remove(struct inode *inode) {
    struct inode **link = bucket_of(inode->mount, inode->number);
    while (*link != inode)
        link = &(*link)->hash_next;
    *link = inode->hash_next;
}

struct inode *node_find(struct mount *mount, uint64_t number) {
    struct inode *inode = *bucket_of(mount, number);
    while (inode != NULL && (inode->mount != mount || inode->number != number))
        inode = inode->hash_next;
    if (inode == NULL)
        return NULL;
    list_remove(&inode->idle_link); /* from where it rested, if it did */
    inode_ref(inode);
    return inode;
}

/* --- Attributes --------------------------------------------------------------------------------------------------- */

void node_learn(struct inode *inode, const struct fs_attributes *attributes) {
    uint32_t ours = __atomic_load_n(&inode->unsaved, __ATOMIC_RELAXED);
    inode->mode = (inode->mode & S_IFMT) | (attributes->mode & S_PERMISSIONS);
    if (inode->links != 0) /* what has no name any more gets none: that answer was overtaken by another */
        inode->links = attributes->links;
    inode->uid = attributes->uid;
    inode->gid = attributes->gid;
    inode->accessed = attributes->accessed;
    if (!(ours & FS_SET_MODIFIED)) { /* what was written through the kernel it knows better */
        inode->modified = attributes->modified;
        inode->changed = attributes->changed;
    }
    inode->size = attributes->size;
    inode->blocks = attributes->blocks;
    inode->stale = inode->restat = false;
}

/* Of devices and sockets on a file server's disk: they name nothing that the kernel has. */
static enum status no_device_open(struct file *file) {
    (void)file;
    return ERR_NO_DEVICE_ADDRESS;
}

static const struct file_operations no_device_operations = {.open = no_device_open};

static const struct file_operations *operations_of(uint32_t mode) {
    switch (mode & S_IFMT) {
    case S_IFREG:
        return &regular_operations;
    case S_IFDIR:
        return &directory_operations;
    case S_IFLNK:
        return &nothing_operations;
    case S_IFIFO:
        return &pipe_operations;
    default:
        return &no_device_operations;
    }
}

static enum status make_node(struct mount *mount, uint64_t number, uint32_t mode, struct inode **out) {
    enum status status = inode_create(mode, out);
    if (status != OK)
        return status;
    struct inode *inode = *out;
    mount_ref(mount);
    inode->mount = mount;
    inode->number = number;
    inode->links = 1; /* until node_learn() */
    inode->operations = operations_of(mode);
    hash_insert(inode);
    return OK;
}

enum status node_get(struct mount *mount, const struct fs_attributes *attributes, struct inode **out) {
    struct inode *inode = node_find(mount, attributes->node);
    enum status status = OK;
    if (inode == NULL)
        status = make_node(mount, attributes->node, attributes->mode, &inode);
    else if (!inode_is(inode, attributes->mode & S_IFMT))
        status = ERR_IO;
    if (status == OK) {
        node_learn(inode, attributes);
        *out = inode;
    } else if (inode != NULL) {
        node_unref_locked(inode);
    }
    return status;
}

enum status node_adopt(struct mount *mount, uint64_t number, struct memory_object *object) {
    spin_lock(&names_lock);
    struct inode *inode = node_find(mount, number);
    enum status status = OK;
    if (inode == NULL) {
        status = make_node(mount, number, S_IFREG, &inode);
    } else if (!inode_is(inode, S_IFREG) || inode->object != NULL) {
        status = ERR_EXISTS;
    }
    if (status == OK) {
        object_ref(object);
        inode->object = object;
    }
    if (inode != NULL)
        node_unref_locked(inode);
    spin_unlock(&names_lock);
    nodes_settle();
    return status;
}

void node_stat(const struct inode *inode, struct linux_stat *out) {
    out->size = (int64_t)inode->size;
    out->blocks = (int64_t)inode->blocks;
    if (inode_is(inode, S_IFREG) && inode->object != NULL) {
        out->size = (int64_t)inode->object->size;
        if (mount_is_memory(inode->mount))
            out->blocks = (int64_t)(inode->object->pages * (PAGE_SIZE / 512));
    }
}

/* --- Telling the server ------------------------------------------------------------------------------------------- */

enum status node_set(struct inode *inode, uint32_t set, const struct fs_attributes *attributes) {
    struct fs_call call = {.op = FS_SETATTR, .request = {.node = inode->number, .set = set, .attributes = *attributes}};
    enum status status = mount_writable(inode->mount);
    if (status == OK)
        status = fs_call(inode->mount, &call);
    if (status != OK)
        return status;
    spin_lock(&names_lock);
    node_learn(inode, &call.reply.attributes);
    spin_unlock(&names_lock);
    return OK;
}

enum status node_refresh(struct inode *inode) {
    struct fs_call call = {.op = FS_GETATTR, .request = {.node = inode->number}};
    enum status status = fs_call(inode->mount, &call);
    if (status != OK)
        return status;
    spin_lock(&names_lock);
    if (inode_is(inode, call.reply.attributes.mode & S_IFMT))
        node_learn(inode, &call.reply.attributes);
    else
        status = ERR_IO;
    spin_unlock(&names_lock);
    return status;
}

enum status node_save(struct inode *inode) {
    if (!inode_is(inode, S_IFREG) || inode->object == NULL)
        return OK;
    enum status status = object_store(inode->object);
    if (status != OK)
        return status;
    mutex_lock(&inode->lock); /* a truncation must not come between the size and the message that tells it */
    uint32_t set = __atomic_exchange_n(&inode->unsaved, 0, __ATOMIC_RELAXED);
    if (set != 0) {
        const struct fs_attributes attributes = {
            .size = inode->object->size,
            .accessed = inode->accessed,
            .modified = inode->modified,
            .changed = inode->changed,
        };
        status = node_set(inode, set, &attributes);
        if (status != OK)
            __atomic_fetch_or(&inode->unsaved, set, __ATOMIC_RELAXED);
    }
    mutex_unlock(&inode->lock);
    return status;
}

/* --- What nothing refers to --------------------------------------------------------------------------------------- */

enum fate { FATE_REST, FATE_SAVE, FATE_DROP };

static bool is_unsaved(const struct inode *inode) {
    return inode_is(inode, S_IFREG) && inode->object != NULL &&
           (__atomic_load_n(&inode->unsaved, __ATOMIC_RELAXED) != 0 || object_is_modified(inode->object));
}

static enum fate fate_of(const struct inode *inode) {
    const struct memory_object *object = inode_is(inode, S_IFREG) ? inode->object : NULL;
    if (object == NULL || !mount_is_alive(inode->mount))
        return FATE_DROP;
    const bool memory = mount_is_memory(inode->mount), mapped = __atomic_load_n(&object->refs, __ATOMIC_RELAXED) > 1;
    if (inode->links == 0)
        return mapped && !memory ? FATE_REST : FATE_DROP; /* the pager may still be asked for its pages */
    if (mapped || (memory && object->pages > 0))
        return FATE_REST;
    return is_unsaved(inode) && !inode->unsavable ? FATE_SAVE : FATE_DROP;
}

void node_unref_locked(struct inode *inode) {
    if (__atomic_sub_fetch(&inode->refs, 1, __ATOMIC_ACQ_REL) == 0)
        list_push_back(&undecided, &inode->idle_link);
}

/* True: it was not the last. From one to none only with names_lock, so that the hash gives nobody a dying inode. */
static bool unref_one_of_many(struct inode *inode) {
    uint32_t refs = __atomic_load_n(&inode->refs, __ATOMIC_RELAXED);
    while (refs > 1) {
        if (__atomic_compare_exchange_n(&inode->refs, &refs, refs - 1, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
            return true;
    }
    return false;
}

/* The last who have it may be those who watch it. */
static void unref_watched(struct inode *inode) {
    spin_lock(&names_lock);
    node_unref_locked(inode);
    inotify_check_gone(inode);
    spin_unlock(&names_lock);
    nodes_settle();
}

void node_unref(struct inode *inode) {
    if (__builtin_expect(inode->watches != NULL, 0) && inode->links == 0) {
        unref_watched(inode);
        return;
    }
    if (unref_one_of_many(inode))
        return;
    spin_lock(&names_lock);
    node_unref_locked(inode);
    spin_unlock(&names_lock);
    nodes_settle();
}

/* It is not in the hash any more. */
static void drop(struct inode *inode) {
    struct mount *mount = inode->mount;
    if (inode_is(inode, S_IFDIR)) {
        spin_lock(&names_lock);
        cache_forget_all(inode);
        struct inode *parent = inode->directory.parent;
        if (parent != NULL && parent != inode)
            node_unref_locked(parent);
        spin_unlock(&names_lock);
    }
    struct inode *unused = inode_destroy(inode);
    (void)unused;
    mount_unref(mount);
}

/* A node without a name: its pages go now, the rest when the server has been told. */
static void begin_forgetting(struct inode *inode) {
    struct memory_object *object = NULL;
    if (inode_is(inode, S_IFREG)) {
        object = inode->object;
        inode->object = NULL;
    }
    if (object != NULL && object->pager != NULL && object_resize(object, 0) != OK)
        panic("an object cannot be made empty"); /* what nobody can read again is not to be stored */
    if (object != NULL)
        object_unref(object);
    spin_lock(&names_lock);
    list_push_back(&forgotten, &inode->idle_link);
    spin_unlock(&names_lock);
    wake_all(&work);
}

void nodes_settle(void) {
    spin_lock(&names_lock);
    while (!list_empty(&undecided)) {
        struct inode *inode = container_of(undecided.next, struct inode, idle_link);
        enum fate fate = fate_of(inode);
        list_remove(&inode->idle_link);
        if (fate != FATE_DROP) {
            list_push_back(fate == FATE_SAVE ? &unsaved : inode->links > 0 ? &resting : &doomed, &inode->idle_link);
            if (fate == FATE_SAVE)
                wake_all(&work);
            continue;
        }
        hash_remove(inode);
        bool tell = inode->links == 0 && mount_is_alive(inode->mount);
        spin_unlock(&names_lock);
        if (tell)
            begin_forgetting(inode);
        else
            drop(inode);
        spin_lock(&names_lock);
    }
    spin_unlock(&names_lock);
}

/* names_lock held. */
static void reconsider(struct list *list) {
    while (!list_empty(list)) {
        struct list *link = list->next;
        list_remove(link);
        list_push_back(&undecided, link);
    }
}

void nodes_reconsider(void) {
    spin_lock(&names_lock);
    reconsider(&resting);
    reconsider(&doomed);
    spin_unlock(&names_lock);
    nodes_settle();
}

/* Calls visit(inode) for nodes of a mount, NULL: all, until it says false. names_lock held. */
static bool each_node(const struct mount *mount, bool (*visit)(struct inode *inode)) {
    for (uint64_t i = 0; i <= bucket_mask; i++) {
        for (struct inode *inode = buckets[i]; inode != NULL; inode = inode->hash_next) {
            if (inode->mount == mount && !visit(inode))
                return false;
        }
    }
    return true;
}

/* A node of the mount with something to tell, with a reference. */
static struct inode *next_unsaved(struct mount *mount, uint64_t *bucket) {
    struct inode *found = NULL;
    spin_lock(&names_lock);
    for (; *bucket <= bucket_mask && found == NULL; (*bucket)++) {
        for (struct inode *inode = buckets[*bucket]; inode != NULL && found == NULL; inode = inode->hash_next) {
            if (inode->mount == mount && is_unsaved(inode))
                found = inode;
        }
        if (found != NULL)
            break;
    }
    if (found != NULL) {
        list_remove(&found->idle_link);
        inode_ref(found);
    }
    spin_unlock(&names_lock);
    return found;
}

enum status nodes_save_all(struct mount *mount) {
    struct inode *inode;
    uint64_t bucket = 0;
    enum status first = OK;
    while ((inode = next_unsaved(mount, &bucket)) != NULL) {
        enum status status = node_save(inode);
        inode_unref(inode);
        if (status != OK) { /* go on behind it: others may be luckier */
            first = status;
            bucket++;
        }
    }
    return first;
}

/* Names in the cache and child directories hold references of their own. */
static bool only_cached(struct inode *inode) {
    uint32_t expected = cache_references(inode) + (inode == inode->mount->root ? 1 : 0);
    bool mapped = inode_is(inode, S_IFREG) && inode->object != NULL &&
                  __atomic_load_n(&inode->object->refs, __ATOMIC_RELAXED) > 1;
    return __atomic_load_n(&inode->refs, __ATOMIC_RELAXED) <= expected && !mapped;
}

bool nodes_in_use(const struct mount *mount) {
    spin_lock(&names_lock);
    bool in_use = !each_node(mount, only_cached);
    spin_unlock(&names_lock);
    return in_use;
}

/* Forgets the names in each directory: then nothing but open files refers to the nodes. */
void nodes_forget_mount(struct mount *mount) {
    spin_lock(&names_lock);
    for (uint64_t i = 0; i <= bucket_mask; i++) {
        for (struct inode *inode = buckets[i]; inode != NULL; inode = inode->hash_next) {
            if (inode->mount == mount && inode_is(inode, S_IFDIR))
                cache_forget_all(inode); /* nobody leaves the hash before nodes_settle() */
        }
    }
    spin_unlock(&names_lock);
    nodes_reconsider();
}

/* --- The thread --------------------------------------------------------------------------------------------------- */

/* The first of a list, taken out of it, with a reference where `take` says; NULL: none. */
static struct inode *next_of(struct list *list, bool take) {
    struct inode *inode = NULL;
    spin_lock(&names_lock);
    if (!list_empty(list)) {
        inode = container_of(list->next, struct inode, idle_link);
        list_remove(&inode->idle_link);
        if (take)
            inode_ref(inode);
    }
    thread_busy = inode != NULL;
    spin_unlock(&names_lock);
    return inode;
}

static void forget(struct inode *inode) {
    struct fs_call call = {.op = FS_FORGET, .request = {.node = inode->number}};
    if (mount_is_alive(inode->mount) && fs_call(inode->mount, &call) != OK)
        __atomic_fetch_add(&inode->mount->unforgotten, 1, __ATOMIC_RELAXED); /* the server's loss */
    drop(inode);
    nodes_settle();
}

static void save(struct inode *inode) {
    if (node_save(inode) != OK) /* what an fsync() would have reported is lost */
        inode->unsavable = true;
    node_unref(inode);
}

/* Until there is work; not long when there are nodes whose end nobody tells. */
static void rest(void) {
    struct waiter waiter;
    wait_begin(&work, &waiter);
    spin_lock(&names_lock);
    const bool idle = list_empty(&forgotten) && list_empty(&unsaved), some_doomed = !list_empty(&doomed);
    thread_busy = !idle;
    spin_unlock(&names_lock);
    if (idle) {
        wake_all(&quiet);
        enum status late = wait_sleep_killable(some_doomed ? time_monotonic() + LOOK_EVERY : WAIT_FOREVER);
        (void)late; /* woken or late: the same has to be done */
    }
    wait_end(&waiter);
}

static void node_thread(void) {
    local_init();
    for (;;) {
        struct inode *inode;
        while ((inode = next_of(&forgotten, false)) != NULL)
            forget(inode);
        while ((inode = next_of(&unsaved, true)) != NULL)
            save(inode);
        spin_lock(&names_lock);
        reconsider(&doomed);
        spin_unlock(&names_lock);
        nodes_settle();
        rest();
    }
}

enum status nodes_wait_quiet(void) {
    enum status status = OK;
    bool done = false;
    while (status == OK && !done) {
        struct waiter waiter;
        wait_begin(&quiet, &waiter);
        spin_lock(&names_lock);
        done = list_empty(&forgotten) && list_empty(&unsaved) && !thread_busy;
        spin_unlock(&names_lock);
        if (!done)
            status = wait_sleep(WAIT_FOREVER);
        wait_end(&waiter);
    }
    return status;
}

void nodes_init(void) {
    struct frame_counts counts;
    uint64_t count = PAGE_SIZE / sizeof(*buckets);
    frame_count(&counts);
    while (count < counts.total / FRAMES_PER_BUCKET)
        count *= 2;
    buckets = global_alloc_pages(bytes_to_pages(count * sizeof(*buckets)));
    if (buckets == NULL)
        panic("no memory for the names' cache");
    bucket_mask = count - 1;
}

void nodes_start(void) {
    struct process *process;
    if (process_create_kernel("names", node_thread, &process) != OK)
        panic("no memory for the thread behind the names");
}
