/*
 * The kernel's own names, made at boot and never changed; and what any rename has to keep to.
 *
 * Invariant: an inode's `links` is the number of its names (a directory: 2 and one per child directory); every name
 * holds a reference; a directory's `self` and `parent` say where it is. Locks: names_lock, held by the callers. Class
 * GLOBAL: names are metadata.
 */
#include "kernel/names.h"

#include "kernel/assert.h"
#include "kernel/string.h"
#include "mm/heap.h"

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

enum status names_new_directory(uint32_t mode, struct inode **out) {
    enum status status = inode_create(S_IFDIR | mode, out);
    if (status != OK)
        return status;
    (*out)->operations = &directory_operations;
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
    return OK;
}

/* A directory got its place: below `parent`, called by `entry`. */
static void enter_parent(struct inode *directory, struct inode *parent, struct directory_entry *entry) {
    inode_ref(parent);
    parent->links++;
    directory->directory.parent = parent;
    directory->directory.self = entry;
}

enum status names_attach(const struct path_walk *walk, struct inode *inode) {
    struct directory_entry *entry;
    if (walk->inode != NULL || walk->last != LAST_NAME)
        return ERR_EXISTS;
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
    return OK; /* whether it is empty the server knows */
}
