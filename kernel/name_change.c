/*
 * Changes in directories of file servers. The kernel's own directories change for nobody (permit_change()).
 *
 * A change takes the directory's mutex, asks the server, and puts what it answered into the cache before it lets go: so
 * the server sees the changes of a directory one after the other, and look-ups come before or after each. A rename
 * takes the mount's rename_lock and then the two directories' in the order of their addresses; no other code takes two.
 * Locks: as said; names_lock for the cache, never across a message. Runs in the caller's space.
 */
#include "kernel/name_change.h"

#include "kernel/fs_call.h"
#include "kernel/inotify.h"
#include "kernel/mount.h"
#include "kernel/name_cache.h"
#include "kernel/node.h"
#include "kernel/permission.h"
#include "kernel/process.h"
#include "kernel/string.h"

/* Where a walk ended, so that it can be named without names_lock. On the stack. */
struct place {
    struct inode *directory, *inode; /* with references; inode NULL: nothing is there */
    size_t length;
    char name[NAME_MAX];
    uint32_t generation; /* of the mount, before the server was asked */
};

/* names_lock held. */
static void note_place(struct place *place, const struct path_walk *walk) {
    inode_ref(walk->directory);
    if (walk->inode != NULL)
        inode_ref(walk->inode);
    place->directory = walk->directory;
    place->inode = walk->inode;
    place->length = walk->length;
    memcpy(place->name, walk->name, walk->length);
}

static void drop_place(struct place *place) {
    if (place->inode != NULL)
        inode_unref(place->inode);
    inode_unref(place->directory);
}

/* The directory's turn to be changed. ERR_NO_ENTRY: it was removed. */
static enum status begin_change(struct place *place) {
    mutex_lock(&place->directory->lock);
    spin_lock(&names_lock);
    place->generation = place->directory->mount->generation;
    bool removed = place->directory->links == 0;
    spin_unlock(&names_lock);
    return removed ? ERR_NO_ENTRY : OK;
}

/* What changed with a directory besides its names: stat() asks for its size. names_lock held. */
static void directory_changed(struct inode *directory, int links) {
    directory->modified = directory->changed = inode_time_now();
    directory->links += (uint32_t)links;
    directory->restat = true;
    listing_forget(directory);
}

/* The name means `inode` from now on. names_lock held. */
static enum status learn(const struct place *place, struct inode *inode, uint32_t caching) {
    enum status status = cache_learn(place->directory, place->name, place->length, inode, caching, place->generation);
    return status == ERR_NOT_CACHED ? OK : status;
}

/* A change has failed, wholly or in part: what the name means the server knows. */
static void unlearn(const struct place *place) {
    spin_lock(&names_lock);
    cache_doubt(place->directory, place->name, place->length);
    spin_unlock(&names_lock);
}

/* Who watches the directory is told what happened to the name. */
static void tell(const struct place *place, const struct inode *inode, uint32_t event, uint32_t cookie) {
    inotify_tell_name(place->directory, place->name, place->length, event | inotify_type(inode), cookie);
}

static struct fs_call call_on(const struct place *place, enum fs_op op) {
    return (struct fs_call){
        .op = op, .request.node = place->directory->number, .name = place->name, .length = place->length};
}

/* --- Making ------------------------------------------------------------------------------------------------------- */

static enum status take_made(const struct place *place, const struct fs_call *call, struct inode **out) {
    spin_lock(&names_lock);
    enum status status = node_get(place->directory->mount, &call->reply.attributes, out);
    if (status == OK && (((*out)->mode ^ call->request.attributes.mode) & S_IFMT)) {
        node_unref_locked(*out);
        status = ERR_IO;
    }
    if (status == OK && place->length > 0) {
        status = learn(place, *out, call->reply.caching);
        if (status != OK)
            node_unref_locked(*out);
        directory_changed(place->directory, inode_is(*out, S_IFDIR) ? 1 : 0);
        if (status == OK)
            tell(place, *out, IN_CREATE, 0);
    }
    spin_unlock(&names_lock);
    nodes_settle();
    return status;
}

static enum status make_served(struct place *place, uint32_t mode, const char *target, struct inode **out) {
    const struct process *process = process_current();
    struct fs_call call = call_on(place, FS_CREATE);
    call.request.attributes.mode = mode;
    call.request.attributes.uid = process->user.file;
    call.request.attributes.gid = process->group_id.file;
    if (place->directory->mode & S_SET_GROUP) { /* what is made in it is its group's */
        call.request.attributes.gid = place->directory->gid;
        if ((mode & S_IFMT) == S_IFDIR)
            call.request.attributes.mode |= S_SET_GROUP;
    }
    call.name2 = target;
    call.length2 = target != NULL ? strlen(target) : 0;
    enum status status = begin_change(place);
    if (status == OK) {
        status = fs_call(place->directory->mount, &call);
        if (status == OK)
            status = take_made(place, &call, out);
    }
    if (status != OK && place->length > 0)
        unlearn(place);
    mutex_unlock(&place->directory->lock);
    return status;
}

enum status change_make_nameless(struct inode *directory, uint32_t mode, bool linkable, struct inode **out) {
    const struct path_walk walk = {.directory = directory, .name = ""};
    struct place place;
    enum status status = permit_change(directory);
    if (status != OK)
        return status;
    note_place(&place, &walk);
    spin_unlock(&names_lock);
    status = make_served(&place, mode, NULL, out);
    drop_place(&place);
    spin_lock(&names_lock);
    if (status == OK)
        (*out)->linkable = linkable;
    return status;
}

enum status change_make(const struct path_walk *walk, uint32_t mode, const char *target, struct inode **out) {
    struct place place;
    if (walk->inode != NULL || walk->last != LAST_NAME)
        return ERR_EXISTS;
    enum status status = permit_change(walk->directory);
    if (status != OK)
        return status;
    note_place(&place, walk);
    spin_unlock(&names_lock);
    status = make_served(&place, mode, target, out);
    drop_place(&place);
    spin_lock(&names_lock);
    return status;
}

/* Names of one node in two directories change at once: which answer is the older, nobody can say. names_lock held. */
static void links_changed(struct inode *inode) { inode->restat = inode->links > 0; }

/* --- Links -------------------------------------------------------------------------------------------------------- */

/*
 * Its first name is given to what was made without one by one caller alone: for another, at the same time in another
 * directory, it may have been taken away again already.
 */
static bool claim_first_name(struct inode *inode) {
    spin_lock(&names_lock);
    const bool linkable = inode->linkable;
    inode->linkable = false;
    spin_unlock(&names_lock);
    return linkable;
}

static enum status link_served(struct place *place, struct inode *inode) {
    struct fs_call call = call_on(place, FS_LINK);
    enum status status = begin_change(place);
    const bool first = status == OK && claim_first_name(inode);
    call.request.node2 = inode->number;
    call.request.set = first;
    if (status == OK)
        status = fs_call(place->directory->mount, &call);
    if (status == OK && call.reply.attributes.node != inode->number)
        status = ERR_IO;
    if (status == OK) {
        spin_lock(&names_lock);
        if (first)
            inode->links = 1; /* node_learn() leaves what has none without */
        node_learn(inode, &call.reply.attributes);
        links_changed(inode);
        status = learn(place, inode, call.reply.caching);
        directory_changed(place->directory, 0);
        spin_unlock(&names_lock);
        nodes_settle();
        inotify_tell_self(inode, IN_ATTRIB);
        tell(place, inode, IN_CREATE, 0);
    }
    if (status != OK) {
        unlearn(place);
        spin_lock(&names_lock);
        inode->linkable = inode->linkable || (first && inode->links == 0);
        spin_unlock(&names_lock);
    }
    mutex_unlock(&place->directory->lock);
    return status;
}

enum status change_link(const struct path_walk *walk, struct inode *inode) {
    struct place place;
    if (walk->inode != NULL || walk->last != LAST_NAME)
        return ERR_EXISTS;
    enum status status = permit_change(walk->directory);
    if (status == OK && inode->mount != walk->directory->mount)
        status = ERR_CROSS_DEVICE;
    if (status == OK && inode->links == 0 && !inode->linkable)
        status = ERR_NO_ENTRY; /* what was unlinked does not come back */
    if (status != OK)
        return status;
    note_place(&place, walk);
    spin_unlock(&names_lock);
    status = link_served(&place, inode);
    drop_place(&place);
    spin_lock(&names_lock);
    return status;
}

/* --- Removing ----------------------------------------------------------------------------------------------------- */

/* A node has lost a name, or its last, as the server tells; one that the kernel does not know is at once forgotten. */
static enum status lose_name(struct mount *mount, const struct fs_attributes *attributes) {
    struct inode *inode;
    enum status status = node_get(mount, attributes, &inode);
    if (status == OK) {
        links_changed(inode);
        node_unref_locked(inode);
    }
    return status;
}

static enum status remove_served(struct place *place, bool directory) {
    struct mount *mount = place->directory->mount;
    struct fs_call call = call_on(place, directory ? FS_RMDIR : FS_UNLINK);
    enum status status = begin_change(place);
    if (status == OK)
        status = fs_call(mount, &call);
    if (status == OK) {
        spin_lock(&names_lock);
        status = learn(place, NULL, call.reply.caching);
        if (directory) {
            place->inode->links = 0;
            place->inode->changed = inode_time_now();
        } else {
            status = lose_name(mount, &call.reply.attributes);
        }
        directory_changed(place->directory, directory ? -1 : 0);
        spin_unlock(&names_lock);
        nodes_settle();
        if (!directory)
            inotify_tell_self(place->inode, IN_ATTRIB);
    }
    if (status != OK)
        unlearn(place);
    mutex_unlock(&place->directory->lock);
    return status;
}

/* What a name must be like to be removed; the same for the kernel's own and served ones. */
static enum status check_removal(const struct path_walk *walk, bool directory) {
    if (!directory && walk->last != LAST_NAME)
        return ERR_IS_DIRECTORY;
    if (walk->last == LAST_DOT)
        return ERR_INVALID;
    if (walk->last == LAST_DOT_DOT)
        return ERR_NOT_EMPTY;
    if (walk->last == LAST_ROOT)
        return ERR_BUSY;
    if (walk->inode == NULL)
        return ERR_NO_ENTRY;
    if (!directory && inode_is(walk->inode, S_IFDIR))
        return ERR_IS_DIRECTORY;
    if (directory && !inode_is(walk->inode, S_IFDIR))
        return ERR_NOT_DIRECTORY;
    if (!directory && walk->slash)
        return ERR_NOT_DIRECTORY;
    if (walk->inode->mount != walk->directory->mount) /* a root that is mounted there */
        return ERR_BUSY;
    return permit_removal(walk->directory, walk->inode);
}

enum status change_remove(const struct path_walk *walk, bool directory) {
    struct place place;
    enum status status = check_removal(walk, directory);
    if (status != OK)
        return status;
    note_place(&place, walk);
    spin_unlock(&names_lock);
    status = remove_served(&place, directory);
    inode_unref(place.inode); /* who watches it is told first, if that was the last */
    place.inode = NULL;
    if (status == OK)
        inotify_tell_name(place.directory, place.name, place.length, IN_DELETE | (directory ? IN_ISDIR : 0U), 0);
    drop_place(&place);
    spin_lock(&names_lock);
    return status;
}

/* --- Renaming ----------------------------------------------------------------------------------------------------- */

static void lock_both(struct inode *a, struct inode *b) {
    struct inode *first = a < b ? a : b, *second = a < b ? b : a;
    mutex_lock(&first->lock);
    if (second != first)
        mutex_lock(&second->lock);
}

static void unlock_both(struct inode *a, struct inode *b) {
    mutex_unlock(&a->lock);
    if (a != b)
        mutex_unlock(&b->lock);
}

/* Whether the cache says something else than the walk found. names_lock held. */
static bool is_outdated(const struct place *place) {
    return cache_contradicts(place->directory, place->name, place->length, place->inode);
}

/* Again, now that nothing moves any more. names_lock held. */
static enum status check_places(struct place *from, struct place *to, bool replace, unsigned slashes) {
    const struct path_walk from_walk = {
        .directory = from->directory, .inode = from->inode, .last = LAST_NAME, .slash = slashes & 1};
    const struct path_walk to_walk = {
        .directory = to->directory, .inode = to->inode, .last = LAST_NAME, .slash = slashes & 2};
    if (is_outdated(from) || is_outdated(to))
        return ERR_NOT_CACHED;
    from->generation = to->generation = from->directory->mount->generation;
    return names_check_rename(&from_walk, &to_walk, replace);
}

/* names_lock held. */
static enum status take_renamed(const struct place *from, const struct place *to, const struct fs_call *call) {
    const uint32_t caching = call->reply.caching;
    const bool directory = inode_is(from->inode, S_IFDIR);
    enum status status = learn(from, NULL, caching);
    if (status == OK)
        status = learn(to, from->inode, caching);
    if (status == OK && to->inode != NULL && inode_is(to->inode, S_IFDIR))
        to->inode->links = 0;
    else if (status == OK && call->reply.attributes.node != 0)
        status = lose_name(from->directory->mount, &call->reply.attributes);
    from->inode->changed = inode_time_now();
    directory_changed(from->directory, directory ? -1 : 0);
    directory_changed(to->directory, directory && to->inode == NULL ? 1 : 0);
    return status;
}

static void tell_renamed(const struct place *from, const struct place *to) {
    const uint32_t cookie = inotify_cookie();
    tell(from, from->inode, IN_MOVED_FROM, cookie);
    tell(to, from->inode, IN_MOVED_TO, cookie);
    inotify_tell_self(from->inode, IN_MOVE_SELF);
    if (to->inode != NULL)
        inotify_tell_self(to->inode, IN_ATTRIB);
}

static enum status rename_served(struct place *from, struct place *to, bool replace, unsigned slashes) {
    struct mount *mount = from->directory->mount;
    struct fs_call call = call_on(from, FS_RENAME);
    call.request.node2 = to->directory->number;
    call.name2 = to->name;
    call.length2 = to->length;
    mutex_lock(&mount->rename_lock);
    lock_both(from->directory, to->directory);
    spin_lock(&names_lock);
    enum status status = check_places(from, to, replace, slashes);
    spin_unlock(&names_lock);
    if (status == OK && to->inode != from->inode) { /* two names of one file: nothing is done, as POSIX has it */
        status = fs_call(mount, &call);
        if (status == OK) {
            spin_lock(&names_lock);
            status = take_renamed(from, to, &call);
            spin_unlock(&names_lock);
            nodes_settle();
            tell_renamed(from, to);
        }
        if (status != OK) {
            unlearn(from);
            unlearn(to);
        }
    }
    unlock_both(from->directory, to->directory);
    mutex_unlock(&mount->rename_lock);
    return status;
}

static enum status permit_rename(const struct path_walk *from, const struct path_walk *to) {
    enum status status = permit_removal(from->directory, from->inode);
    if (status == OK && to->inode != NULL)
        status = permit_removal(to->directory, to->inode);
    else if (status == OK)
        status = permit_change(to->directory);
    /* A directory that moves gets another "..". */
    if (status == OK && inode_is(from->inode, S_IFDIR) && from->directory != to->directory &&
        !permitted(from->inode, MAY_WRITE))
        status = ERR_ACCESS;
    return status;
}

enum status change_rename(const struct path_walk *from, const struct path_walk *to, bool replace) {
    struct place from_place, to_place;
    struct mount *mount = from->directory->mount;
    if (from->last == LAST_NAME && to->last == LAST_NAME && mount != to->directory->mount)
        return ERR_CROSS_DEVICE;
    enum status status = names_check_rename(from, to, replace);
    if (status == OK)
        status = permit_rename(from, to);
    if (status != OK)
        return status;
    note_place(&from_place, from);
    note_place(&to_place, to);
    spin_unlock(&names_lock);
    status = rename_served(&from_place, &to_place, replace, (from->slash ? 1 : 0) | (to->slash ? 2 : 0));
    drop_place(&from_place);
    drop_place(&to_place);
    spin_lock(&names_lock);
    return status;
}
