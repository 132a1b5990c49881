/*
 * The cache of names: what file servers said of their directories, in the directories' own tables.
 *
 * An entry is positive (an inode), or negative (no such name); it holds as long as the server lets it: see
 * cache_revoke(). A walk that finds none gives back ERR_NOT_CACHED with the place, and cache_ask() asks the server.
 * What the server does not let be kept becomes an answer in struct path, which this system call alone sees.
 */
#ifndef KERNEL_NAME_CACHE_H
#define KERNEL_NAME_CACHE_H

#include "kernel/names.h"

struct fs_reply;
struct path;

/* An answer that is not kept: LOCAL, with references. */
struct walk_answer {
    struct walk_answer *next;
    struct inode *directory, *inode; /* inode NULL: no such name */
    size_t length;
    char name[];
};

/* How many entries there may be: a share of memory. Once, at boot. */
void cache_init(void);

/* What a name in a served directory means, as far as it is known. ERR_NOT_CACHED. names_lock held. */
MUST_USE enum status cache_find(const struct walk_answer *answers, struct inode *directory, const char *name,
                                size_t length, struct inode **out);

/*
 * Asks the server for what a walk missed: a name, or where a link leads. OK: walk again. ERR_IO, ERR_RESTART,
 * ERR_NO_MEMORY, … names_lock held, but not meanwhile: what was walked before does not hold any more.
 */
MUST_USE enum status cache_ask(struct path *path, const struct path_walk *miss);
void cache_free_answers(struct walk_answer *answers);

/*
 * Keeps what the server said of a name: it is `inode` (takes a reference of its own), or nothing (NULL). `generation`:
 * the mount's before it was asked. Nothing is kept if the server does not allow it, took something back meanwhile, or
 * memory is short; what was kept before goes. ERR_IO: a directory in two places. names_lock held.
 */
MUST_USE enum status cache_learn(struct inode *directory, const char *name, size_t length, struct inode *inode,
                                 uint32_t caching, uint32_t generation);

/* Whether the cache says of a name something else than that it is `inode`. names_lock held. */
bool cache_contradicts(const struct inode *directory, const char *name, size_t length, const struct inode *inode);

/* What is cached of the name may be wrong: the next walk asks. names_lock held. */
void cache_doubt(struct inode *directory, const char *name, size_t length);
/* Forgets all that is cached of the directory's names. names_lock held. */
void cache_forget_all(struct inode *directory);

/*
 * The server takes back what it let be kept: of a node (name NULL) its attributes and all names in it, else of that
 * name in it. Never waits. Takes names_lock.
 */
void cache_revoke(struct mount *mount, uint64_t node, const char *name, size_t length);

/* Forgets up to so many entries that nothing needs, those first that were not used for long. No lock held. */
void cache_shrink(unsigned entries);
/* All of them, and nodes and tables that come free by that. ERR_RESTART. No lock held. */
MUST_USE enum status cache_drop(void);

/* How many references on the inode are names of the cache and child directories. names_lock held. */
uint32_t cache_references(const struct inode *inode);

#endif
