/*
 * Directories, files and links: what memfs does with them. Each function returns 0 or an errno.
 *
 * What changes something puts the change together; the caller commits it, with its answer, or drops it when an errno
 * came back. Names are not terminated. A file's bytes are the kernel's: here is only their number.
 */
#ifndef USER_MEMFS_TREE_H
#define USER_MEMFS_TREE_H

#include "user/memfs/state.h"

struct name {
    const char *bytes;
    size_t length;
};

int tree_lookup(const struct state *state, uint64_t directory, struct name name, struct fs_attributes *out);
int tree_attributes(const struct state *state, uint64_t node, struct fs_attributes *out);
/* `now`: ns since 1970, here and below. */
int tree_set(struct state *state, uint64_t node, uint32_t set, const struct fs_attributes *wanted, int64_t now,
             struct fs_attributes *out);
/* Of `wanted` mode, uid, gid. `target`: of a symbolic link. An empty name: a file without one. */
int tree_create(struct state *state, uint64_t directory, struct name name, const struct fs_attributes *wanted,
                struct name target, int64_t now, struct fs_attributes *out);
/* `nameless`: one that was made without a name may have none. */
int tree_link(struct state *state, uint64_t directory, struct name name, uint64_t node, bool nameless, int64_t now,
              struct fs_attributes *out);
/* `rmdir`: the name must be an empty directory's, else no directory's. */
int tree_unlink(struct state *state, uint64_t directory, struct name name, bool rmdir, int64_t now,
                struct fs_attributes *out);
/* `out`: of what was replaced; its node 0: nothing was. */
int tree_rename(struct state *state, uint64_t from, struct name old, uint64_t to, struct name new, int64_t now,
                struct fs_attributes *out);
/* Nobody knows a node without a name any more. */
int tree_forget(struct state *state, uint64_t node);
int tree_target(const struct state *state, uint64_t node, char *bytes, size_t room, size_t *length);
/* Entries behind `position`, as many as fit. */
int tree_list(const struct state *state, uint64_t directory, uint64_t position, char *bytes, size_t room,
              size_t *length, bool *end);

/* Whether links, lists, trees and counts agree, for tests: NULL, or what does not. */
const char *tree_check(const struct state *state);

#endif
