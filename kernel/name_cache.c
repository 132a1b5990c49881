/*
 * Owns: the entries of served directories, and their order by age.
 *
 * A hit is a look into the directory's table under names_lock. What misses takes the directory's mutex, asks the server
 * and puts the answer into the table before it lets the mutex go, as every change of the directory does: so the table
 * never lags behind what the server answered last. The server's own revocations wait for nobody: they make entries old,
 * and count, so that an answer that crossed one is not kept.
 *
 * Invariants: an entry with an inode counts in its cache_refs; `self` of a cached directory is the one entry that names
 * it; no directory is its own ancestor, whatever a server says. Locks: names_lock; inode.lock of a directory before it.
 * Class GLOBAL: names are metadata. Runs in the caller's space, never leaves the restricted one.
 */
#include "kernel/name_cache.h"

#include "kernel/assert.h"
#include "kernel/fs_call.h"
#include "kernel/inotify.h"
#include "kernel/mount.h"
#include "kernel/node.h"
#include "kernel/path.h"
#include "kernel/procfs.h"
#include "kernel/string.h"
#include "mm/frame.h"
#include "mm/heap.h"
#include "mm/pager.h"

#define FRAMES_PER_ENTRY 4  /* of the machine's: with their nodes the names take a thirtieth of memory, or so */
#define EVICT_AT_ONCE    16 /* entries, when there are too many */
#define LOOK_AT_ONCE     256

static struct list by_age = {&by_age, &by_age}; /* of entries, the coldest first. Protected by names_lock */
static uint64_t entry_count, entry_limit;       /* protected by names_lock; constant */

void cache_init(void) {
    struct frame_counts counts;
    frame_count(&counts);
    entry_limit = counts.total / FRAMES_PER_ENTRY;
    listing_init();
}

/* --- Entries: names_lock held ------------------------------------------------------------------------------------- */

static bool is_fresh(const struct inode *directory, const struct directory_entry *entry) {
    return entry->generation == directory->directory.generation && !(entry->inode != NULL && entry->inode->stale);
}

/* A name of the kernel's own that is seen in a mount's root. */
static struct inode *find_pinned(const struct inode *directory, const char *name, size_t length) {
    const struct mount *mount = directory->mount;
    if (!mount->pinned || directory != mount->root)
        return NULL;
    const struct directory_entry *entry = directory_find(&mount->covered->directory, name, length);
    return entry != NULL && entry->pinned ? entry->inode : NULL;
}

static bool find_answer(const struct walk_answer *answer, const struct inode *directory, const char *name,
                        size_t length, struct inode **out) {
    for (; answer != NULL; answer = answer->next) {
        if (answer->directory == directory && answer->length == length && memcmp(answer->name, name, length) == 0) {
            *out = answer->inode;
            return true;
        }
    }
    return false;
}

enum status cache_find(const struct walk_answer *answers, struct inode *directory, const char *name, size_t length,
                       struct inode **out) {
    struct directory_entry *entry = directory_find(&directory->directory, name, length);
    if (entry != NULL && is_fresh(directory, entry)) {
        entry->used = true;
        directory->mount->hits++;
        *out = entry->inode;
        return OK;
    }
    if ((*out = find_pinned(directory, name, length)) != NULL)
        return OK;
    return find_answer(answers, directory, name, length, out) ? OK : ERR_NOT_CACHED;
}

static void count_entry(struct directory_entry *entry, int by) {
    struct mount *mount = entry->directory->mount;
    entry_count += (uint64_t)(int64_t)by;
    if (entry->inode == NULL) {
        mount->negative_names += (uint64_t)(int64_t)by;
        return;
    }
    mount->names += (uint64_t)(int64_t)by;
    entry->inode->cache_refs += (uint32_t)by;
}

static void forget_entry(struct directory_entry *entry) {
    struct inode *inode = entry->inode, *directory = entry->directory;
    if (inode != NULL && inode_is(inode, S_IFDIR) && inode->directory.self == entry)
        inode->directory.self = NULL;
    count_entry(entry, -1);
    list_remove(&entry->age_link);
    inode = directory_remove(&directory->directory, entry);
    if (directory->directory.count == 0)
        directory_free(&directory->directory);
    if (inode != NULL)
        node_unref_locked(inode);
}

bool cache_contradicts(const struct inode *directory, const char *name, size_t length, const struct inode *inode) {
    const struct directory_entry *entry = directory_find(&directory->directory, name, length);
    return entry != NULL && is_fresh(directory, entry) && entry->inode != inode;
}

/* The entry stays where it is: `self` of a directory that is in use may be it. */
static void make_old(struct directory_entry *entry) { entry->generation = entry->directory->directory.generation - 1; }

void cache_doubt(struct inode *directory, const char *name, size_t length) {
    struct directory_entry *entry = directory_find(&directory->directory, name, length);
    if (entry != NULL)
        make_old(entry);
    listing_forget(directory);
}

void cache_forget_all(struct inode *directory) {
    struct directory_entry *entry;
    listing_forget(directory);
    while ((entry = directory_at(&directory->directory, 0)) != NULL)
        forget_entry(entry);
}

/* Whether `inode` is `directory` or above it. */
static bool is_above(const struct inode *inode, const struct inode *directory) {
    while (directory != inode && directory->directory.parent != directory)
        directory = directory->directory.parent;
    return directory == inode;
}

static void set_parent(struct inode *inode, struct inode *parent) {
    struct inode *before = inode->directory.parent;
    if (before == parent)
        return;
    inode_ref(parent);
    parent->cache_refs++;
    inode->directory.parent = parent;
    if (before != NULL) {
        before->cache_refs--;
        node_unref_locked(before);
    }
}

/* The server says that the directory `inode` is in `directory`: it may have been moved there, but not below itself. */
static enum status place_directory(struct inode *inode, struct inode *directory) {
    if (inode == inode->mount->root || is_above(inode, directory))
        return ERR_IO;
    struct directory_entry *self = inode->directory.self;
    if (self != NULL && self->directory != directory)
        forget_entry(self); /* the reference of the caller keeps it */
    set_parent(inode, directory);
    return OK;
}

static enum status make_entry(struct inode *directory, const char *name, size_t length, struct inode *inode) {
    struct directory_entry *entry;
    enum status status = directory_prepare(&directory->directory, name, length, &entry);
    if (status != OK)
        return status;
    entry->directory = directory;
    entry->generation = directory->directory.generation;
    entry->used = true;
    list_push_back(&by_age, &entry->age_link);
    directory_insert(&directory->directory, entry, inode);
    if (inode != NULL)
        inotify_name_known(directory, inode);
    count_entry(entry, 1);
    if (inode != NULL && inode_is(inode, S_IFDIR)) {
        if (inode->directory.self != NULL)
            forget_entry(inode->directory.self); /* by another name in the same directory: it was renamed */
        inode->directory.self = entry;
    }
    return OK;
}

enum status cache_learn(struct inode *directory, const char *name, size_t length, struct inode *inode, uint32_t caching,
                        uint32_t generation) {
    struct directory_entry *entry = directory_find(&directory->directory, name, length);
    if (inode != NULL && inode_is(inode, S_IFDIR)) {
        enum status status = place_directory(inode, directory);
        if (status != OK)
            return status;
        entry = directory_find(&directory->directory, name, length);
    }
    const bool keep = (caching & FS_MAY_CACHE) && generation == directory->mount->generation &&
                      mount_is_alive(directory->mount) && directory->links > 0;
    if (entry != NULL && entry->inode == inode) {
        entry->generation = directory->directory.generation - (keep ? 0 : 1);
        return keep ? OK : ERR_NOT_CACHED;
    }
    if (entry != NULL)
        forget_entry(entry);
    if (!keep || make_entry(directory, name, length, inode) != OK)
        return ERR_NOT_CACHED;
    return OK;
}

uint32_t cache_references(const struct inode *inode) { return inode->cache_refs; }

/* --- Asking ------------------------------------------------------------------------------------------------------- */

static enum status add_answer(struct path *path, struct inode *directory, const char *name, size_t length,
                              struct inode *inode) {
    struct walk_answer *answer = local_alloc(sizeof(*answer) + length);
    if (answer == NULL)
        return ERR_NO_MEMORY;
    inode_ref(directory);
    if (inode != NULL)
        inode_ref(inode);
    answer->directory = directory;
    answer->inode = inode;
    answer->length = length;
    memcpy(answer->name, name, length);
    answer->next = path->answers;
    path->answers = answer;
    return OK;
}

void cache_free_answers(struct walk_answer *answer) {
    while (answer != NULL) {
        struct walk_answer *next = answer->next;
        inode_unref(answer->directory);
        if (answer->inode != NULL)
            inode_unref(answer->inode);
        local_free(answer, sizeof(*answer) + answer->length);
        answer = next;
    }
}

/* What the server said of a name goes into the cache, or else to this path alone. */
static enum status take_answer(struct path *path, struct inode *directory, const struct fs_call *call,
                               enum status verdict, uint32_t generation) {
    struct inode *inode = NULL;
    enum status status = OK;
    spin_lock(&names_lock);
    if (verdict == OK)
        status = node_get(directory->mount, &call->reply.attributes, &inode);
    if (status == OK)
        status = cache_learn(directory, call->name, call->length, inode, call->reply.caching, generation);
    if (status == ERR_NOT_CACHED)
        status = add_answer(path, directory, call->name, call->length, inode);
    spin_unlock(&names_lock);
    if (inode != NULL)
        inode_unref(inode);
    return status;
}

static enum status ask_name(struct path *path, struct inode *directory, const char *name, size_t length) {
    struct fs_call call = {.op = FS_LOOKUP, .request.node = directory->number, .name = name, .length = length};
    struct inode *unused;
    mutex_lock(&directory->lock);
    spin_lock(&names_lock);
    uint32_t generation = directory->mount->generation;
    bool known = cache_find(path->answers, directory, name, length, &unused) == OK; /* another was faster */
    spin_unlock(&names_lock);
    enum status status = OK;
    if (!known) {
        status = fs_call(directory->mount, &call);
        if (status == OK || status == ERR_NO_ENTRY)
            status = take_answer(path, directory, &call, status, generation);
    }
    mutex_unlock(&directory->lock);
    return status;
}

/* Where a link leads never changes, so it is read once. */
static enum status ask_target(struct inode *link) {
    struct fs_call call = {.op = FS_READLINK, .request.node = link->number, .room = FS_PATH_MAX};
    char *target = local_alloc(FS_PATH_MAX + 1), *kept = NULL;
    if (target == NULL)
        return ERR_NO_MEMORY;
    call.data = target;
    enum status status = fs_call(link->mount, &call);
    if (status == OK && (call.room == 0 || strlen(target) != call.room))
        status = ERR_IO; /* empty, or a NUL in it */
    if (status == OK && (kept = global_alloc(call.room + 1)) == NULL)
        status = ERR_NO_MEMORY;
    if (status == OK) {
        memcpy(kept, target, call.room + 1);
        spin_lock(&names_lock);
        bool first = link->target == NULL;
        if (first)
            link->target = kept;
        spin_unlock(&names_lock);
        if (!first)
            global_free(kept, call.room + 1);
    }
    local_free(target, FS_PATH_MAX + 1);
    return status;
}

enum status cache_ask(struct path *path, const struct path_walk *miss) {
    struct inode *asked = miss->inode != NULL ? miss->inode : miss->directory;
    char name[NAME_MAX + 1];
    size_t length = miss->length;
    const bool target = miss->inode != NULL;
    if (!target)
        memcpy(name, miss->name, length); /* it may be in the target of a link, which may go */
    inode_ref(asked);
    asked->mount->misses++;
    spin_unlock(&names_lock);
    if (entry_count > entry_limit)
        cache_shrink(EVICT_AT_ONCE);
    enum status status = target ? ask_target(asked) : ask_name(path, asked, name, length);
    inode_unref(asked);
    spin_lock(&names_lock);
    return status;
}

/* --- What the server takes back ----------------------------------------------------------------------------------- */

void cache_revoke(struct mount *mount, uint64_t node, const char *name, size_t length) {
    spin_lock(&names_lock);
    mount->generation++;
    struct inode *inode = node_find(mount, node);
    if (inode != NULL && name != NULL && inode_is(inode, S_IFDIR)) {
        cache_doubt(inode, name, length);
    } else if (inode != NULL && name == NULL) {
        inode->stale = true;
        if (inode_is(inode, S_IFDIR)) {
            inode->directory.generation++;
            listing_forget(inode);
        }
    }
    spin_unlock(&names_lock);
    if (inode == NULL)
        return;
    if (name == NULL && inode_is(inode, S_IFREG) && inode->object != NULL)
        object_drop_clean(inode->object, 0);
    inode_unref(inode);
}

/* --- Eviction ----------------------------------------------------------------------------------------------------- */

/* Nothing but this name needs what it names, and no names are cached below it. */
static bool evictable(const struct directory_entry *entry) {
    const struct inode *inode = entry->inode;
    if (inode == NULL)
        return true;
    return __atomic_load_n(&inode->refs, __ATOMIC_RELAXED) == 1 &&
           !(inode_is(inode, S_IFDIR) && inode->directory.count > 0);
}

/* Looks at up to `looks` entries, the coldest first; returns how many went. names_lock held. */
static unsigned evict(unsigned wanted, unsigned looks, bool used_too) {
    unsigned gone = 0;
    for (; looks > 0 && gone < wanted && !list_empty(&by_age); looks--) {
        struct directory_entry *entry = container_of(by_age.next, struct directory_entry, age_link);
        list_remove(&entry->age_link);
        list_push_back(&by_age, &entry->age_link);
        if (entry->used && !used_too) {
            entry->used = false;
        } else if (evictable(entry)) {
            forget_entry(entry);
            gone++;
        }
    }
    return gone;
}

void cache_shrink(unsigned entries) {
    spin_lock(&names_lock);
    unsigned gone = evict(entries, entries + LOOK_AT_ONCE, false);
    spin_unlock(&names_lock);
    if (gone > 0)
        nodes_settle();
}

/* One round over all entries there are, with the lock let go in between. */
static uint64_t evict_all(void) {
    uint64_t gone = 0;
    for (uint64_t looked = 0, count = entry_count; looked < count; looked += LOOK_AT_ONCE) {
        spin_lock(&names_lock);
        gone += evict(LOOK_AT_ONCE, LOOK_AT_ONCE, true);
        spin_unlock(&names_lock);
        nodes_settle();
    }
    return gone;
}

enum status cache_drop(void) {
    live_forget();
    listing_drop_all();
    enum status status = OK;
    uint64_t gone;
    do {
        gone = evict_all(); /* a directory can go when the names in it have gone */
        nodes_reconsider();
        status = nodes_wait_quiet();
    } while (gone > 0 && status == OK);
    return status;
}
