/*
 * Nodes of file servers, as the kernel remembers them: inodes with a mount.
 *
 * There is at most one inode for a node: a hash finds it by mount and number from when a server first told of it until
 * it is dropped. Nothing refers to it any more (no name in the cache, no open file): then it is dropped at once, unless
 *   - it is a memory file with pages and a name: the pages have no other home;
 *   - its pages are mapped or run: another open must find the same object;
 *   - the server has not been told all of it: the kernel's own thread does that first.
 * A node without a name is freed by its server when the kernel says FS_FORGET, which that thread does, too: whoever
 * drops the last reference may be a process on its way out, which can send nothing.
 */
#ifndef KERNEL_NODE_H
#define KERNEL_NODE_H

#include "kernel/fs_abi.h"
#include "kernel/inode.h"

struct mount;

/* Makes the hash; starts the thread, when there is a first process. Once each, at boot. */
void nodes_init(void);
void nodes_start(void);

/*
 * The inode of a node with these attributes, which fs_call() has checked; a known one learns them. With a reference.
 * ERR_NO_MEMORY, ERR_IO (it is known as something of another type). names_lock held.
 */
MUST_USE enum status node_get(struct mount *mount, const struct fs_attributes *attributes, struct inode **out);
/* The known inode of that number, with a reference, or NULL. names_lock held. */
struct inode *node_find(struct mount *mount, uint64_t number);
/* A known node learns what the server says of it now. names_lock held. */
void node_learn(struct inode *inode, const struct fs_attributes *attributes);
/* MOUNT_MEMORY: the object becomes the file's. ERR_EXISTS (it has one), ERR_NO_MEMORY. Takes names_lock. */
MUST_USE enum status node_adopt(struct mount *mount, uint64_t number, struct memory_object *object);

/* Drops a reference. No lock held, or names_lock: then nodes_settle() is due when it has been released. */
void node_unref(struct inode *inode);
void node_unref_locked(struct inode *inode);
/* Frees what has lost its last reference, as far as no message is needed. No lock held. May take long. */
void nodes_settle(void);
/* The same for what stayed because it was mapped then. */
void nodes_reconsider(void);
/* Waits until the thread has nothing to do. ERR_RESTART: a signal. */
MUST_USE enum status nodes_wait_quiet(void);

/*
 * Tells the server what it does not know yet: pages, size, times. ERR_IO, ERR_RESTART, what the server says. May sleep.
 */
MUST_USE enum status node_save(struct inode *inode);
/* The same for all nodes of a mount. */
MUST_USE enum status nodes_save_all(struct mount *mount);
/* Whether something refers to a node of the mount other than names in the cache. Takes names_lock. */
bool nodes_in_use(const struct mount *mount);

/* The mount was taken out: names are forgotten, and what nothing else needs. No lock held. */
void nodes_forget_mount(struct mount *mount);

/* What stat() says. Any lock. */
struct linux_stat;
void node_stat(const struct inode *inode, struct linux_stat *out);

/* FS_SETATTR, then what it means here. `set`: enum fs_set. May sleep; no lock. */
MUST_USE enum status node_set(struct inode *inode, uint32_t set, const struct fs_attributes *attributes);
/* FS_GETATTR. May sleep; no lock. */
MUST_USE enum status node_refresh(struct inode *inode);

#endif
