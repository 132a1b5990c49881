/*
 * Paths as system calls name them.
 *
 * Locks: names_lock for the walk; the text lies on the caller's stack or in LOCAL memory. Runs in the caller's space.
 */
#include "kernel/path.h"

#include "arch/uaccess.h"
#include "kernel/local.h"
#include "kernel/name_cache.h"
#include "kernel/procfs.h"
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

void path_begin_text(struct path *path, const char *text) {
    path->text = text;
    path->at = NULL;
    path->answers = NULL;
    path->large = NULL;
    path->asked = false;
}

enum status path_begin(struct path *path, int dirfd, vaddr_t address, unsigned flags) {
    size_t length = 0;
    path_begin_text(path, "");
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
    if (path->answers != NULL)
        cache_free_answers(path->answers);
}

/* Where a relative path begins. The first process, before its first program, has no working directory yet. */
static struct inode *path_start(const struct path *path) {
    if (path->at != NULL)
        return path->at->inode;
    struct inode *directory = LOCAL->handles.working_directory;
    return directory != NULL ? directory : root_inode;
}

enum status path_resolve(struct path *path, unsigned flags, struct path_walk *walk) {
    enum status status = OK;
    while (status == OK) {
        struct inode *start = path_start(path);
        if (path->text[0] == '\0') {
            *walk = (struct path_walk){.directory = start, .inode = start, .last = LAST_DOT};
            return OK;
        }
        status = path_walk(start, path->text, path->answers, flags, walk);
        if (status != ERR_NOT_CACHED)
            return status;
        path->asked = true;
        status = cache_ask(path, walk);
    }
    return status;
}

void path_forget_answers(struct path *path) {
    struct walk_answer *answers = path->answers;
    path->answers = NULL;
    if (answers == NULL)
        return;
    spin_unlock(&names_lock);
    cache_free_answers(answers);
    spin_lock(&names_lock);
}

enum status path_find(struct path *path, unsigned flags, struct inode **out) {
    struct path_walk walk;
    enum status status = path_resolve(path, flags, &walk);
    if (status == OK && walk.inode == NULL)
        status = ERR_NO_ENTRY;
    *out = status == OK ? walk.inode : NULL;
    return status;
}

enum status path_find_target(struct path *path, struct inode **out) {
    for (;;) {
        enum status status = path_find(path, 0, out);
        if (status != OK || !inode_is(*out, S_IFLNK) || (*out)->mount == NULL || (*out)->target != NULL)
            return status;
        status = cache_ask(path, &(struct path_walk){.inode = *out});
        if (status != OK)
            return status;
    }
}

enum status path_lookup(int dirfd, vaddr_t address, unsigned at_flags, struct inode **out) {
    struct path path;
    enum status status = path_begin(&path, dirfd, address, at_flags);
    if (status != OK)
        return status;
    spin_lock(&names_lock);
    status = path_find(&path, at_flags & AT_SYMLINK_NOFOLLOW ? 0 : WALK_FOLLOW, out);
    if (status == OK && is_handle_link(*out) && !(at_flags & AT_SYMLINK_NOFOLLOW))
        status = handle_link_follow(*out, out);
    else if (status == OK)
        inode_ref(*out);
    spin_unlock(&names_lock);
    path_end(&path);
    return status;
}
