/*
 * From a path to a place in the name tree.
 *
 * Each directory on the way must be one that the caller may search. In a file server's directory the cache answers;
 * when it cannot, the walk ends with ERR_NOT_CACHED, and its caller asks (path.c).
 * Locks: names_lock, held by the callers. Reads GLOBAL names and the caller's own path; never leaves the restricted
 * space.
 */
#include "kernel/assert.h"
#include "kernel/local.h"
#include "kernel/mount.h"
#include "kernel/name_cache.h"
#include "kernel/names.h"
#include "kernel/permission.h"
#include "kernel/procfs.h"
#include "kernel/string.h"
#include "kernel/thread.h"

#define SYMLINKS_MAX 40U

struct inode *names_root(void) {
    struct inode *root = root_inode;
    if (thread_current() != NULL && LOCAL->handles.root_directory != NULL) /* no thread: at boot */
        root = LOCAL->handles.root_directory;
    return mount_cross(root);
}

bool names_is_below_root(struct inode *directory) {
    const struct inode *root = mount_uncross(names_root());
    directory = mount_uncross(directory);
    while (directory != root && directory != directory->directory.parent)
        directory = mount_uncross(directory->directory.parent);
    return directory == root;
}

const char *link_target(const struct inode *link) {
    return link->target != NULL ? link->target : live_link_target(link);
}

static const char *skip_slashes(const char *path) {
    while (*path == '/')
        path++;
    return path;
}

static size_t component_length(const char *path) {
    size_t length = 0;
    while (path[length] != '/' && path[length] != '\0')
        length++;
    return length;
}

static enum walk_last kind_of(const char *name, size_t length) {
    if (name[0] != '.' || length > 2)
        return LAST_NAME;
    if (length == 1)
        return LAST_DOT;
    return name[1] == '.' ? LAST_DOT_DOT : LAST_NAME;
}

static enum status look_up(const struct walk_answer *answers, struct inode *directory, const char *name, size_t length,
                           enum walk_last kind, struct inode **out) {
    enum status status = OK;
    if (!permitted(directory, MAY_EXECUTE))
        return ERR_ACCESS;
    if (kind == LAST_DOT) {
        *out = directory;
    } else if (kind == LAST_DOT_DOT) {
        *out = directory == names_root() ? directory : mount_uncross(directory)->directory.parent;
    } else if (directory->mount != NULL) {
        status = cache_find(answers, directory, name, length, out);
    } else {
        if (directory->directory.live != LIVE_NOT)
            live_prepare(directory, name, length);
        struct directory_entry *entry = directory_find(&directory->directory, name, length);
        *out = entry != NULL ? entry->inode : NULL;
    }
    if (status == OK && *out != NULL && inode_is(*out, S_IFDIR))
        *out = mount_cross(*out);
    return status;
}

enum status path_walk(struct inode *start, const char *path, const struct walk_answer *answers, unsigned flags,
                      struct path_walk *walk) {
    const char *rest[SYMLINKS_MAX]; /* what is to be walked behind the links that are being followed */
    unsigned depth = 0, links = 0;
    bool slash = false; /* behind a link that is the last component */
    struct inode *directory = *path == '/' ? names_root() : start;

    if (!inode_is(directory, S_IFDIR))
        return ERR_NOT_DIRECTORY;
    for (;;) {
        path = skip_slashes(path);
        if (*path == '\0' && depth > 0) {
            path = rest[--depth];
            continue;
        }
        if (*path == '\0') { /* no component at all, or a link to "/" */
            *walk = (struct path_walk){.directory = directory, .inode = directory, .last = LAST_ROOT, .slash = true};
            return OK;
        }
        size_t length = component_length(path);
        if (length > NAME_MAX)
            return ERR_NAME_TOO_LONG;
        const char *next = skip_slashes(path + length);
        bool final = *next == '\0' && depth == 0;
        bool wants_directory = final && (slash || next != path + length);
        enum walk_last kind = kind_of(path, length);
        struct inode *inode = NULL;
        enum status status = look_up(answers, directory, path, length, kind, &inode);

        if (status != OK) {
            *walk = (struct path_walk){.directory = directory, .name = path, .length = length, .last = kind};
            return status;
        }
        if (inode == NULL && !final)
            return ERR_NO_ENTRY;
        if (inode != NULL && inode_is(inode, S_IFLNK) && !is_handle_link(inode) &&
            (!final || (flags & WALK_FOLLOW) || (wants_directory && !(flags & WALK_PARENT)))) {
            if (++links > SYMLINKS_MAX)
                return ERR_TOO_MANY_SYMLINKS;
            if (inode->mount != NULL && inode->target == NULL) {
                *walk = (struct path_walk){.directory = directory, .name = path, .length = length, .inode = inode};
                return ERR_NOT_CACHED;
            }
            if (final)
                slash = wants_directory;
            if (*next != '\0')
                rest[depth++] = next;
            path = link_target(inode);
            if (*path == '\0')
                return ERR_NO_ENTRY;
            if (*path == '/')
                directory = names_root();
            continue;
        }
        if (final) {
            *walk = (struct path_walk){directory, path, length, inode, kind, wants_directory};
            bool wrong = wants_directory && !(flags & WALK_PARENT) && inode != NULL && !inode_is(inode, S_IFDIR);
            return wrong ? ERR_NOT_DIRECTORY : OK;
        }
        if (!inode_is(inode, S_IFDIR))
            return ERR_NOT_DIRECTORY;
        directory = inode;
        path = next;
    }
}

enum status names_path(struct inode *directory, const char *name, size_t length, char *buffer, size_t size,
                       char **text) {
    size_t at = size - 1; /* size ≥ 2 */
    buffer[at] = '\0';
    if (name != NULL) {
        if (at < length + 1)
            return ERR_RANGE;
        at -= length;
        memcpy(buffer + at, name, length);
        buffer[--at] = '/';
    }
    for (const struct inode *root = mount_uncross(names_root());; directory = directory->directory.parent) {
        directory = mount_uncross(directory);
        if (directory == root || directory == root_inode)
            break;
        const struct directory_entry *entry = directory->directory.self;
        if (entry == NULL)
            return ERR_NO_ENTRY;
        if (at < (size_t)entry->length + 1)
            return ERR_RANGE;
        at -= entry->length;
        memcpy(buffer + at, entry->name, entry->length);
        buffer[--at] = '/';
    }
    if (buffer[at] == '\0')
        buffer[--at] = '/';
    *text = buffer + at;
    return OK;
}
