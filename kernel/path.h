/*
 * The path that a system call names: its text copied from user space, and where it starts.
 *
 *     struct path path;
 *     enum status status = path_begin(&path, dirfd, address, 0);
 *     if (status != OK) return status;
 *     spin_lock(&names_lock);
 *     status = path_resolve(&path, flags, &walk);
 *     …
 *     spin_unlock(&names_lock);
 *     path_end(&path);
 */
#ifndef KERNEL_PATH_H
#define KERNEL_PATH_H

#include "kernel/names.h"
#include "kernel/open_file.h"

#define PATH_SMALL 256U /* most paths are shorter and stay on the stack */

struct path {
    const char *text;
    struct file *at;             /* the file behind dirfd, with a reference; NULL: the working directory */
    struct walk_answer *answers; /* what servers said on the way and do not let be cached */
    bool asked;                  /* a server was: names_lock was let go since this was cleared */
    char *large;                 /* LOCAL, PATH_MAX bytes, or NULL */
    char small[PATH_SMALL];
};

/*
 * Copies the path. `flags`: AT_EMPTY_PATH allows an empty one, which names what dirfd is open on. ERR_FAULT,
 * ERR_NO_ENTRY (empty), ERR_NAME_TOO_LONG, ERR_BAD_HANDLE, ERR_NO_MEMORY. May sleep. path_end() only after OK.
 */
MUST_USE enum status path_begin(struct path *path, int dirfd, vaddr_t address, unsigned flags);
void path_end(struct path *path);

/* A path that the kernel names itself, or has copied already: `text` stays the caller's. */
void path_begin_text(struct path *path, const char *text);

/*
 * The walk from where a relative path begins; an empty one ends there. names_lock held, but let go while a file server
 * is asked: what was walked before then holds no longer (path->asked). ERR_IO, ERR_RESTART besides path_walk()'s.
 */
MUST_USE enum status path_resolve(struct path *path, unsigned flags, struct path_walk *walk);

/*
 * Before a walk is tried again because others were faster: what servers said for this path alone is forgotten.
 * names_lock held, but not meanwhile.
 */
void path_forget_answers(struct path *path);

/* The same, and it must exist: ERR_NO_ENTRY. */
MUST_USE enum status path_find(struct path *path, unsigned flags, struct inode **out);

/* The same, not followed; of a link also where it leads is known then. */
MUST_USE enum status path_find_target(struct path *path, struct inode **out);

/* Both steps: begins, finds, takes a reference on the inode, ends. */
MUST_USE enum status path_lookup(int dirfd, vaddr_t address, unsigned at_flags, struct inode **out);

#endif
