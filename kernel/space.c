/*
 * Owns: mount->room, pages that may be written behind ends of files before the server is asked again.
 *
 * The server is asked what is free; less what is written and not stored yet, and what the file system itself will need
 * for that. Where that is too little all is stored, and it is asked again. Half may be used up unasked, so that other
 * things that take room are noticed, and the last page of a disk is one message. A server that cannot say has room for
 * everything: its answer to the store counts, as before.
 * Locks: mount->room_lock across the call. Space: restricted.
 */
#include "kernel/space.h"

#include "kernel/fs_call.h"
#include "kernel/inode.h"
#include "kernel/mount.h"
#include "mm/object.h"
#include "mm/pager.h"

enum {
    OWN_SHARE = 64, /* one page in so many is for extents, bitmaps and the like */
    OWN_LEAST = 16,
    UNLIMITED = 1 << 30,
};

enum status space_ask(struct inode *inode, struct fs_space *out) {
    struct fs_call call = {.op = FS_STATFS, .request.node = inode->number, .data = out, .room = sizeof(*out)};
    const enum status status = fs_call(inode->mount, &call);
    return status == OK && call.room != sizeof(*out) ? ERR_IO : status;
}

/* Pages that are free on the disk and nobody waits for. What is stored meanwhile counts twice rather than never. */
static int64_t unused_pages(struct inode *inode) {
    struct fs_space space = {0};
    const int64_t waiting = (int64_t)pager_unstored_pages(inode->mount->server);
    if (space_ask(inode, &space) != OK || space.block_size == 0 || space.blocks_free > INT64_MAX / space.block_size)
        return UNLIMITED;
    const int64_t free = (int64_t)(space.blocks_free * space.block_size >> PAGE_SHIFT);
    const int64_t left = free - waiting - waiting / OWN_SHARE - OWN_LEAST;
    return left > 0 ? left - left / OWN_SHARE : 0;
}

static bool take(struct mount *mount, int64_t pages) {
    if (__atomic_sub_fetch(&mount->room, pages, __ATOMIC_RELAXED) >= 0)
        return true;
    __atomic_add_fetch(&mount->room, pages, __ATOMIC_RELAXED);
    return false;
}

/* How many of `pages` there are. */
static int64_t take_after_asking(struct inode *inode, int64_t pages) {
    struct mount *mount = inode->mount;
    mutex_lock(&mount->room_lock);
    if (!take(mount, pages)) { /* or somebody else has just asked */
        int64_t left = unused_pages(inode);
        if (left < pages) { /* once all is stored the server's number is exact */
            pager_store_all_of(mount->server);
            left = unused_pages(inode);
        }
        pages = pages < left ? pages : left;
        __atomic_store_n(&mount->room, (left - pages) / 2, __ATOMIC_RELAXED);
    }
    mutex_unlock(&mount->room_lock);
    return pages;
}

enum status space_take(struct inode *inode, uint64_t offset, size_t *bytes) {
    const struct memory_object *object = inode->object;
    if (inode->mount == NULL || object->pager == NULL)
        return OK;
    const uint64_t there = bytes_to_pages(object->size), first = offset >> PAGE_SHIFT;
    const uint64_t start = first > there ? first : there;
    const int64_t pages = (int64_t)(bytes_to_pages(offset + *bytes) - start);
    if (pages <= 0 || take(inode->mount, pages))
        return OK;
    const int64_t taken = take_after_asking(inode, pages);
    if (taken == pages)
        return OK;
    const uint64_t end = (start + (uint64_t)taken) << PAGE_SHIFT;
    if (end <= offset)
        return ERR_NO_SPACE;
    *bytes = end - offset;
    return OK;
}
