/*
 * The calls of a file server. Each one looks first, and begins to change something when nothing but the disk can fail.
 * Names: operation_names.c. Guard: the volume's lock, which a call takes as a whole.
 */
#include "user/ext4/operations.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "user/ext4/content.h"
#include "user/ext4/operation.h"

#define EXT4_MAGIC 0xef53U

int operation_end(struct call *call, int error) {
    struct survivor_answer answer = {.request = call->request.request, .reply = *call->reply};
    return volume_end(call->volume, error, &answer);
}

void operation_reply(struct call *call, ext2_ino_t number, const struct ext2_inode_large *inode) {
    inode_attributes(call->volume, number, inode, &call->reply->attributes);
}

static int get_attributes(struct call *call) {
    struct ext2_inode_large inode;
    int error = inode_read(call->volume, call->request.node, &inode);
    if (error == 0) {
        operation_reply(call, (ext2_ino_t)call->request.node, &inode);
    }
    return error;
}

/* --- Changing attributes ------------------------------------------------------------------------------------------ */

static uint64_t largest_size(const struct volume *volume, const struct ext2_inode_large *inode) {
    uint64_t size = volume->fs->blocksize, addresses = size / 4;
    uint64_t blocks = inode->i_flags & EXT4_EXTENTS_FL
                          ? UINT32_MAX
                          : EXT2_NDIR_BLOCKS + addresses + addresses * addresses + addresses * addresses * addresses;
    return blocks * size;
}

/* The size and what follows from it: blocks behind it go, as many as fit into the operation. */
static int set_size(struct call *call, ext2_ino_t number, struct ext2_inode_large *inode, bool *more) {
    struct volume *volume = call->volume;
    uint64_t size = call->request.attributes.size, old = EXT2_I_SIZE(inode);
    errcode_t code = ext2fs_inode_size_set(volume->fs, (struct ext2_inode *)inode, (ext2_off64_t)size);
    int error = code != 0 ? volume_error(code) : inode_write(volume, number, inode);
    *more = false;
    if (error != 0 || (size >= old && !orphan_is(volume, number))) {
        return error;
    }
    uint64_t first = (size + volume->fs->blocksize - 1) / volume->fs->blocksize;
    error = inode_cut_step(volume, number, first, more);
    error = error != 0 ? error : inode_read(volume, number, inode);
    if (error == 0 && *more) {
        error = orphan_add(volume, number, inode);
    } else if (error == 0 && inode->i_links_count > 0) {
        error = orphan_remove(volume, number, inode);
    }
    return error;
}

static int change_attributes(struct call *call, ext2_ino_t number, bool *more) {
    struct volume *volume = call->volume;
    const struct fs_attributes *wanted = &call->request.attributes;
    struct ext2_inode_large inode;
    uint32_t set = call->request.set;
    int error = inode_read(volume, number, &inode);
    *more = false;
    if (error == 0 && set & FS_SET_SIZE) {
        error = set_size(call, number, &inode, more);
    }
    if (set & FS_SET_MODE) {
        inode.i_mode = (uint16_t)((inode.i_mode & S_IFMT) | (wanted->mode & 07777));
    }
    if (set & FS_SET_OWNER) {
        inode_set_owner(&inode, wanted->uid, wanted->gid);
    }
    inode_set_times(volume, &inode, set, wanted);
    error = error != 0 ? error : inode_write(volume, number, &inode);
    operation_reply(call, number, &inode);
    return error;
}

static int set_attributes(struct call *call) {
    struct volume *volume = call->volume;
    ext2_ino_t number = (ext2_ino_t)call->request.node;
    struct ext2_inode_large inode;
    int error = inode_read(volume, call->request.node, &inode);
    if (error == 0 && call->request.set & FS_SET_SIZE) {
        error = S_ISDIR(inode.i_mode)                                          ? EISDIR
                : !S_ISREG(inode.i_mode)                                       ? EINVAL
                : call->request.attributes.size > largest_size(volume, &inode) ? EFBIG
                                                                               : 0;
        content_wait(volume, number);
    }
    for (bool more = true; more && error == 0;) {
        error = volume_begin(volume);
        if (error == 0) {
            error = change_attributes(call, number, &more);
            error = more ? volume_end(volume, error, NULL) : operation_end(call, error);
        }
    }
    return error;
}

/* --- The rest ----------------------------------------------------------------------------------------------------- */

static int read_link(struct call *call) {
    struct volume *volume = call->volume;
    struct ext2_inode_large inode;
    int error = inode_read(volume, call->request.node, &inode);
    if (error != 0 || !S_ISLNK(inode.i_mode)) {
        return error != 0 ? error : EINVAL;
    }
    uint64_t size = EXT2_I_SIZE(&inode);
    if (size > call->room || size > volume->fs->blocksize) {
        return EIO;
    }
    if (ext2fs_is_fast_symlink((struct ext2_inode *)&inode)) {
        memcpy(call->extra, inode.i_block, size < sizeof inode.i_block ? size : sizeof inode.i_block);
    } else {
        blk64_t home = 0;
        error = volume_error(ext2fs_bmap2(volume->fs, (ext2_ino_t)call->request.node, (struct ext2_inode *)&inode, NULL,
                                          0, 0, NULL, &home));
        error =
            error != 0 || home == 0 ? EIO : cache_read(&volume->cache, home * volume->fs->blocksize, call->extra, size);
    }
    call->reply->count = (uint32_t)size;
    return error;
}

static int list(struct call *call) {
    struct ext2_inode_large inode;
    size_t bytes = FS_LIST_MAX - sizeof *call->reply;
    int error = inode_read(call->volume, call->request.node, &inode);
    if (error == 0 && !S_ISDIR(inode.i_mode)) {
        error = ENOTDIR;
    }
    if (error == 0 && inode.i_links_count == 0) {
        return 0; /* removed: it has no entries any more */
    }
    if (error == 0) {
        bool end;
        error = directory_list(call->volume, (ext2_ino_t)call->request.node, call->request.position, call->extra,
                               &bytes, &end);
        call->reply->count = (uint32_t)bytes;
        call->reply->caching |= end ? FS_LIST_END : 0;
    }
    return error;
}

static int forget(struct call *call) {
    struct ext2_inode_large inode;
    int error = inode_read(call->volume, call->request.node, &inode);
    if (error == ESTALE || (error == 0 && inode.i_links_count > 0) || call->volume->read_only) {
        return 0;
    }
    if (error == 0) {
        struct survivor_answer answer = {.request = call->request.request};
        content_wait(call->volume, (ext2_ino_t)call->request.node);
        error = inode_free(call->volume, (ext2_ino_t)call->request.node, &answer);
    }
    return error;
}

static int sync_all(struct call *call) { return volume_commit(call->volume); }

static int space(struct call *call) {
    struct ext2_super_block *super = call->volume->fs->super;
    uint64_t blocks_free = ext2fs_free_blocks_count(super), reserved = ext2fs_r_blocks_count(super);
    struct fs_space answer = {
        .blocks = ext2fs_blocks_count(super) - super->s_first_data_block,
        .blocks_free = blocks_free,
        .blocks_available = blocks_free > reserved ? blocks_free - reserved : 0,
        .files = super->s_inodes_count,
        .files_free = super->s_free_inodes_count,
        .block_size = call->volume->fs->blocksize,
        .name_max = FS_NAME_MAX,
        .magic = EXT4_MAGIC,
    };
    memcpy(call->extra, &answer, sizeof answer);
    call->reply->count = sizeof answer;
    return 0;
}

/* --- Calls -------------------------------------------------------------------------------------------------------- */

static int (*const operations[])(struct call *) = {
    [FS_LOOKUP] = operation_lookup,
    [FS_GETATTR] = get_attributes,
    [FS_SETATTR] = set_attributes,
    [FS_CREATE] = operation_create,
    [FS_LINK] = operation_link,
    [FS_UNLINK] = operation_unlink,
    [FS_RMDIR] = operation_rmdir,
    [FS_RENAME] = operation_rename,
    [FS_READLINK] = read_link,
    [FS_READDIR] = list,
    [FS_FORGET] = forget,
    [FS_SYNC] = sync_all,
    [FS_STATFS] = space,
};

/* The names behind the request. */
static int read_names(struct call *call, const void *request, size_t size) {
    if (size < sizeof call->request) {
        return EINVAL;
    }
    memcpy(&call->request, request, sizeof call->request);
    size_t rest = size - sizeof call->request, first = call->request.name_length, second = call->request.name2_length;
    if (first + second > rest) {
        return EINVAL;
    }
    const char *text = (const char *)request + sizeof call->request;
    call->name = (struct name){text, (unsigned)first};
    call->name2 = (struct name){text + first, (unsigned)second};
    return 0;
}

static int run(struct call *call, uint32_t label) {
    struct volume *volume = call->volume;
    const struct survivor_answer *before = survivor_find_answer(&volume->survivor, call->request.request);
    if (before != NULL) {
        *call->reply = before->reply;
        return (int)before->label;
    }
    int error = operations[label](call);
    if (error == ENOSPC && volume->pinned.count > 0 && volume_commit(volume) == 0) {
        error = operations[label](call); /* what was freed can be used now */
    }
    return error;
}

uint32_t operation_call(struct volume *volume, uint32_t label, const void *request, size_t size, void *reply,
                        size_t *reply_size) {
    struct call call = {.volume = volume, .reply = reply};
    call.extra = (uint8_t *)reply + sizeof *call.reply;
    call.room = *reply_size - sizeof *call.reply;
    memset(reply, 0, sizeof *call.reply);
    int error = label < sizeof operations / sizeof *operations && operations[label] != NULL
                    ? read_names(&call, request, size)
                    : ENOSYS;
    if (error == 0) {
        pthread_mutex_lock(&volume->lock);
        call.reply->caching = FS_MAY_CACHE;
        error = run(&call, label);
        pthread_mutex_unlock(&volume->lock);
    }
    *reply_size = sizeof *call.reply + call.reply->count;
    return (uint32_t)error;
}
