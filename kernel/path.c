/*
 * Paths as system calls name them.
 *
 * Locks: names_lock for the walk; the text lies on the caller's stack or in LOCAL memory. Runs in the caller's space.
 */
#include "kernel/path.h"

#include "arch/uaccess.h"
#include "kernel/local.h"
#include "mm/heap.h"

static enum status copy_text(struct path *path, vaddr_t address, size_t *length) {
    enum status status = copy_string_from_user(path->small, address, PATH_SMALL, length);
    path->text = path->small;
    if (status != ERR_NAME_TOO_LONG)
        return status;
    path->large = local_alloc(PATH_MAX);
    if (path->large == NULL)
        return ERR_NO_MEMORY;
    path->text = path->large;
    return copy_string_from_user(path->large, address, PATH_MAX, length);
}

enum status path_begin(struct path *path, int dirfd, vaddr_t address, unsigned flags) {
    size_t length = 0;
    path->at = NULL;
    path->large = NULL;
    enum status status = copy_text(path, address, &length);
    if (status == OK && length == 0 && !(flags & AT_EMPTY_PATH))
        status = ERR_NO_ENTRY;
    if (status == OK && dirfd != AT_FDCWD && path->text[0] != '/')
        status = handle_get(dirfd, &path->at);
    if (status != OK)
        path_end(path);
    return status;
}

void path_end(struct path *path) {
    if (path->at != NULL)
        file_unref(path->at);
    if (path->large != NULL)
        local_free(path->large, PATH_MAX);
}

struct inode *path_start(const struct path *path) {
    return path->at != NULL ? path->at->inode : LOCAL->handles.working_directory;
}

enum status path_resolve(const struct path *path, unsigned flags, struct path_walk *walk) {
    struct inode *start = path_start(path);
    if (path->text[0] != '\0')
        return path_walk(start, path->text, flags, walk);
    *walk = (struct path_walk){.directory = start, .inode = start, .last = LAST_DOT};
    return OK;
}

enum status path_find(const struct path *path, unsigned flags, struct inode **out) {
    struct path_walk walk;
    enum status status = path_resolve(path, flags, &walk);
    if (status == OK && walk.inode == NULL)
        status = ERR_NO_ENTRY;
    *out = status == OK ? walk.inode : NULL;
    return status;
}

enum status path_lookup(int dirfd, vaddr_t address, unsigned at_flags, struct inode **out) {
    struct path path;
    enum status status = path_begin(&path, dirfd, address, at_flags);
    if (status != OK)
        return status;
    spin_lock(&names_lock);
    status = path_find(&path, at_flags & AT_SYMLINK_NOFOLLOW ? 0 : WALK_FOLLOW, out);
    if (status == OK)
        inode_ref(*out);
    spin_unlock(&names_lock);
    path_end(&path);
    return status;
}
