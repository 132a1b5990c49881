/*
 * The name tree: making, removing and renaming entries, hard links, symbolic links.
 *
 * Invariant: an inode's `links` is the number of its names (a directory: 2 and one per child directory, 0 when
 * removed); every name holds a reference; a directory's `self` and `parent` say where it is. Locks: names_lock, held by
 * the callers of everything that changes the tree. Class GLOBAL: names are metadata.
 */
#include "kernel/names.h"

#include "kernel/assert.h"
#include "kernel/process.h"
#include "kernel/string.h"
#include "mm/heap.h"
#include "mm/object.h"

#define LINKS_MAX 65000U

struct spinlock names_lock = SPINLOCK_INIT(RANK_NAMES);
struct inode *root_inode;

enum status names_make_root(void) {
    enum status status = inode_create(S_IFDIR | 0755, &root_inode);
    if (status != OK)
        return status;
    root_inode->operations = &directory_operations;
    root_inode->directory.parent = root_inode;
    root_inode->links = 2;
    return OK;
}

static void own(struct inode *inode) {
    const struct thread *thread = thread_current();
    if (thread != NULL && thread->process != NULL) { /* at boot there is none */
        inode->uid = thread->process->uid;
        inode->gid = thread->process->gid;
    }
}

enum status names_new_file(uint32_t mode, struct inode **out) {
    struct memory_object *object;
    enum status status = object_create(&object);
    if (status != OK)
        return status;
    status = inode_create(S_IFREG | mode, out);
    if (status != OK) {
        object_unref(object);
        return status;
    }
    (*out)->operations = &regular_operations;
    (*out)->object = object;
    own(*out);
    return OK;
}

enum status names_new_directory(uint32_t mode, struct inode **out) {
    enum status status = inode_create(S_IFDIR | mode, out);
    if (status != OK)
        return status;
    (*out)->operations = &directory_operations;
    own(*out);
    return OK;
}

enum status names_new_link(const char *target, struct inode **out) {
    size_t bytes = strlen(target) + 1;
    char *copy = global_alloc(bytes);
    if (copy == NULL)
        return ERR_NO_MEMORY;
    enum status status = inode_create(S_IFLNK | 0777, out);
    if (status != OK) {
        global_free(copy, bytes);
        return status;
    }
    memcpy(copy, target, bytes);
    (*out)->operations = &nothing_operations;
    (*out)->target = copy;
    own(*out);
    return OK;
}

/* A directory got its place: below `parent`, called by `entry`. */
static void enter_parent(struct inode *directory, struct inode *parent, struct directory_entry *entry) {
    inode_ref(parent);
    parent->links++;
    directory->directory.parent = parent;
    directory->directory.self = entry;
}

/* Undoes that; the reference on the old parent passes to the caller. */
static struct inode *leave_parent(struct inode *directory) {
    struct inode *parent = directory->directory.parent;
    parent->links--;
    directory->directory.self = NULL;
    return parent;
}

enum status names_attach(const struct path_walk *walk, struct inode *inode) {
    struct directory_entry *entry;
    if (walk->inode != NULL || walk->last != LAST_NAME)
        return ERR_EXISTS;
    if (walk->directory->links == 0)
        return ERR_NO_ENTRY;
    if (inode->links >= LINKS_MAX || walk->directory->links >= LINKS_MAX)
        return ERR_TOO_MANY_LINKS;
    enum status status = directory_prepare(&walk->directory->directory, walk->name, walk->length, &entry);
    if (status != OK)
        return status;

    directory_insert(&walk->directory->directory, entry, inode);
    if (inode_is(inode, S_IFDIR)) {
        enter_parent(inode, walk->directory, entry);
        inode->links = 2;
    } else {
        inode->links++;
    }
    inode_touch_modified(walk->directory);
    inode_touch_changed(inode);
    return OK;
}

static struct directory_entry *entry_of(const struct path_walk *walk) {
    struct directory_entry *entry = directory_find(&walk->directory->directory, walk->name, walk->length);
    assert(entry != NULL && entry->inode == walk->inode);
    return entry;
}

enum status names_remove_file(const struct path_walk *walk, struct inode **dropped) {
    if (walk->last != LAST_NAME)
        return ERR_IS_DIRECTORY;
    if (walk->inode == NULL)
        return ERR_NO_ENTRY;
    if (inode_is(walk->inode, S_IFDIR))
        return ERR_IS_DIRECTORY;
    if (walk->slash)
        return ERR_NOT_DIRECTORY;

    *dropped = directory_remove(&walk->directory->directory, entry_of(walk));
    walk->inode->links--;
    inode_touch_modified(walk->directory);
    inode_touch_changed(walk->inode);
    return OK;
}

enum status names_remove_directory(const struct path_walk *walk, struct inode **dropped) {
    if (walk->last == LAST_DOT)
        return ERR_INVALID;
    if (walk->last == LAST_DOT_DOT)
        return ERR_NOT_EMPTY;
    if (walk->last == LAST_ROOT)
        return ERR_BUSY;
    if (walk->inode == NULL)
        return ERR_NO_ENTRY;
    if (!inode_is(walk->inode, S_IFDIR))
        return ERR_NOT_DIRECTORY;
    if (walk->inode->directory.count != 0)
        return ERR_NOT_EMPTY;

    *dropped = directory_remove(&walk->directory->directory, entry_of(walk));
    /*
     * The parent's reference stays with the removed directory, whose ".." still leads there, until its inode is
     * freed.
     */
    (void)leave_parent(walk->inode);
    walk->inode->links = 0;
    inode_touch_modified(walk->directory);
    inode_touch_changed(walk->inode);
    return OK;
}

/* Whether `inode` is `directory` or above it. */
static bool is_ancestor(const struct inode *inode, const struct inode *directory) {
    while (directory != inode && directory != directory->directory.parent)
        directory = directory->directory.parent;
    return directory == inode;
}

/* The walk ended at a root that is mounted there. */
static bool is_mounted(const struct path_walk *walk) {
    return walk->inode != NULL && walk->inode->mount != walk->directory->mount;
}

enum status names_check_rename(const struct path_walk *from, const struct path_walk *to, bool replace) {
    if (from->last != LAST_NAME)
        return ERR_BUSY;
    if (to->last != LAST_NAME)
        return replace ? ERR_BUSY : ERR_EXISTS;
    if (from->inode == NULL)
        return ERR_NO_ENTRY;
    if (to->directory->links == 0)
        return ERR_NO_ENTRY;
    if (to->inode != NULL && !replace)
        return ERR_EXISTS;
    if (is_mounted(from) || is_mounted(to))
        return ERR_BUSY;
    bool directory = inode_is(from->inode, S_IFDIR);
    if (!directory && (from->slash || (to->slash && to->inode == NULL)))
        return ERR_NOT_DIRECTORY;
    if (directory && is_ancestor(from->inode, to->directory))
        return ERR_INVALID;
    if (to->inode == NULL || to->inode == from->inode)
        return OK;
    bool onto_directory = inode_is(to->inode, S_IFDIR);
    if (directory && !onto_directory)
        return ERR_NOT_DIRECTORY;
    if (onto_directory && is_ancestor(to->inode, from->directory))
        return ERR_NOT_EMPTY;
    if (!directory && onto_directory)
        return ERR_IS_DIRECTORY;
    if (!directory && to->slash)
        return ERR_NOT_DIRECTORY;
    if (onto_directory && to->inode->mount == NULL && to->inode->directory.count != 0)
        return ERR_NOT_EMPTY; /* of served ones the server knows */
    return OK;
}

enum status names_rename(const struct path_walk *from, const struct path_walk *to, bool replace,
                         struct inode **dropped) {
    struct directory_entry *entry;
    struct inode *inode = from->inode;
    enum status status = names_check_rename(from, to, replace);
    if (status != OK || to->inode == inode) /* two names of one file: nothing is done, as POSIX has it */
        return status;
    status = directory_prepare(&to->directory->directory, to->name, to->length, &entry);
    if (status != OK)
        return status;

    if (to->inode != NULL) {
        status = inode_is(to->inode, S_IFDIR) ? names_remove_directory(to, dropped) : names_remove_file(to, dropped);
        ensure(status == OK);
    }
    struct inode *named = directory_remove(&from->directory->directory, entry_of(from));
    directory_insert(&to->directory->directory, entry, named);
    if (inode_is(inode, S_IFDIR)) {
        inode_unref(leave_parent(inode)); /* not the last reference: the old directory is still in the tree */
        enter_parent(inode, to->directory, entry);
    }
    inode_unref(named); /* nor is this */
    inode_touch_modified(from->directory);
    inode_touch_modified(to->directory);
    inode_touch_changed(inode);
    return OK;
}
