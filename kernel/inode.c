/*
 * Inodes: life, times, and what stat() says of them.
 *
 * Locks: none of its own; references are counted atomically, times are single words. Runs in the caller's space.
 */
#include "kernel/inode.h"

#include "kernel/mount.h"
#include "kernel/names.h"
#include "kernel/node.h"
#include "kernel/pipe.h"
#include "kernel/socket.h"
#include "kernel/string.h"
#include "kernel/time.h"
#include "mm/heap.h"
#include "mm/object.h"

#define DEVICE_NUMBER 1U /* st_dev of the kernel's own; mounts have others */

static uint64_t last_number; /* of an inode; atomic */

int64_t inode_time_now(void) { return (int64_t)time_realtime(); }

int64_t inode_time(const struct linux_timespec *time) {
    int64_t ns;
    if (__builtin_mul_overflow(time->seconds, (int64_t)NS_PER_SECOND, &ns) ||
        __builtin_add_overflow(ns, time->nanoseconds, &ns))
        return time->seconds < 0 ? INT64_MIN : INT64_MAX;
    return ns;
}

static struct linux_timespec timespec_of(int64_t time) {
    int64_t seconds = time / (int64_t)NS_PER_SECOND, nanoseconds = time % (int64_t)NS_PER_SECOND;
    if (nanoseconds < 0)
        return (struct linux_timespec){seconds - 1, nanoseconds + (int64_t)NS_PER_SECOND};
    return (struct linux_timespec){seconds, nanoseconds};
}

void inode_touch_modified(struct inode *inode) {
    inode->modified = inode->changed = inode_time_now();
    if (inode->mount != NULL)
        __atomic_fetch_or(&inode->unsaved, FS_SET_SIZE | FS_SET_MODIFIED | FS_SET_CHANGED, __ATOMIC_RELAXED);
}
void inode_touch_changed(struct inode *inode) { inode->changed = inode_time_now(); }

enum status inode_create(uint32_t mode, struct inode **out) {
    struct inode *inode = global_alloc(sizeof(*inode));
    if (inode == NULL)
        return ERR_NO_MEMORY;
    inode->refs = 1;
    inode->mode = mode;
    inode->number = __atomic_add_fetch(&last_number, 1, __ATOMIC_RELAXED);
    inode->accessed = inode->modified = inode->changed = inode_time_now();
    mutex_init(&inode->lock);
    list_init(&inode->idle_link);
    *out = inode;
    return OK;
}

void inode_ref(struct inode *inode) { __atomic_fetch_add(&inode->refs, 1, __ATOMIC_RELAXED); }

struct inode *inode_destroy(struct inode *inode) {
    struct inode *parent = NULL;
    switch (inode->mode & S_IFMT) {
    case S_IFREG:
        if (inode->operations == &regular_operations && inode->object != NULL)
            object_unref(inode->object);
        break;
    case S_IFDIR:
        parent = inode->directory.parent;
        directory_free(&inode->directory);
        break;
    case S_IFLNK:
        if (inode->target != NULL)
            global_free(inode->target, strlen(inode->target) + 1);
        break;
    case S_IFIFO:
        if (inode->pipe != NULL)
            pipe_destroy(inode->pipe);
        break;
    case S_IFSOCK:
        if (inode->mount == NULL && inode->socket != NULL)
            socket_unref(inode->socket);
        break;
    default:
        break;
    }
    global_free(inode, sizeof(*inode));
    return parent;
}

void inode_unref(struct inode *inode) {
    /* A loop, not a recursion: a chain of removed directories may be long. */
    while (inode != NULL && inode->mount == NULL && __atomic_sub_fetch(&inode->refs, 1, __ATOMIC_ACQ_REL) == 0)
        inode = inode_destroy(inode);
    if (inode != NULL && inode->mount != NULL)
        node_unref(inode);
}

static uint64_t device_number(uint32_t major, uint32_t minor) { return (uint64_t)major << 8 | minor; }

void inode_stat(const struct inode *inode, struct linux_stat *out) {
    *out = (struct linux_stat){
        .device = inode->mount != NULL ? inode->mount->id : DEVICE_NUMBER,
        .inode = inode->number,
        .links = inode->links,
        .mode = inode->mode,
        .uid = inode->uid,
        .gid = inode->gid,
        .block_size = PAGE_SIZE,
        .accessed = timespec_of(inode->accessed),
        .modified = timespec_of(inode->modified),
        .changed = timespec_of(inode->changed),
    };
    if (inode->mount != NULL) {
        node_stat(inode, out);
        return;
    }
    switch (inode->mode & S_IFMT) {
    case S_IFDIR:
        out->size = (int64_t)(inode->directory.count + 2) * 32;
        break;
    case S_IFLNK:
        out->size = (int64_t)strlen(link_target(inode));
        break;
    case S_IFCHR:
        out->device_number = device_number(inode->special->major, inode->special->minor);
        break;
    default:
        break;
    }
}
