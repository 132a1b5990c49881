/*
 * Calls that look up and change names. The kernel checks permissions and sends at most one change of a directory at a
 * time; what would damage the file system is checked here whatever the kernel does. Guard: the volume's lock.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "user/ext4/operation.h"

/* A directory that has a name. */
static int read_directory(struct volume *volume, uint64_t node, struct ext2_inode_large *inode) {
    int error = inode_read(volume, node, inode);
    if (error == 0 && !S_ISDIR(inode->i_mode)) {
        error = ENOTDIR;
    }
    return error == 0 && inode->i_links_count == 0 ? ENOENT : error;
}

static bool is_dots(struct name name) {
    return name.text[0] == '.' && (name.length == 1 || (name.length == 2 && name.text[1] == '.'));
}

/* A name that can be given or taken away. */
static int check_name(struct name name) {
    if (name.length > FS_NAME_MAX) {
        return ENAMETOOLONG;
    }
    if (name.length == 0 || memchr(name.text, '/', name.length) != NULL ||
        memchr(name.text, '\0', name.length) != NULL) {
        return EINVAL;
    }
    return is_dots(name) ? EINVAL : 0;
}

/* What the name in the directory means: its number and inode. */
static int find(struct volume *volume, ext2_ino_t directory, struct name name, ext2_ino_t *number,
                struct ext2_inode_large *inode) {
    int error = directory_find(volume, directory, name, number);
    error = error != 0 ? error : inode_read(volume, *number, inode);
    return error == ESTALE ? EIO : error;
}

/* Content of the directory has changed: its times, and one directory more or less in it. Re-reads the inode. */
static int note_change(struct volume *volume, ext2_ino_t directory, int directories) {
    struct ext2_inode_large inode;
    int error = inode_read(volume, directory, &inode);
    if (error == 0 && directories != 0) {
        error = inode_add_links(volume, &inode, directories);
    }
    inode_touch(volume, &inode, true);
    return error != 0 ? error : inode_write(volume, directory, &inode);
}

int operation_lookup(struct call *call) {
    struct ext2_inode_large inode;
    ext2_ino_t number;
    int error = read_directory(call->volume, call->request.node, &inode);
    if (error == 0 && call->name.length > FS_NAME_MAX) {
        error = ENAMETOOLONG;
    }
    error = error != 0 ? error : find(call->volume, (ext2_ino_t)call->request.node, call->name, &number, &inode);
    if (error == 0) {
        operation_reply(call, number, &inode);
    }
    return error;
}

/* --- Making names ------------------------------------------------------------------------------------------------- */

static int check_new(struct volume *volume, uint64_t node, struct name name) {
    struct ext2_inode_large directory;
    ext2_ino_t there;
    int error = check_name(name);
    error = error != 0 ? error : read_directory(volume, node, &directory);
    error = error != 0 ? error : directory_find(volume, (ext2_ino_t)node, name, &there);
    return error == 0 ? EEXIST : error == ENOENT && directory.i_links_count > 0 ? 0 : error;
}

/* The target goes into the inode, or into a block of its own. */
static int write_target(struct volume *volume, ext2_ino_t number, struct ext2_inode_large *inode, struct name target) {
    ext2_filsys fs = volume->fs;
    struct ext2_inode *small = (struct ext2_inode *)inode;
    inode->i_size = target.length;
    if (target.length < sizeof inode->i_block) {
        memcpy(inode->i_block, target.text, target.length);
        return inode_write(volume, number, inode);
    }
    blk64_t home = 0;
    errcode_t code = ext2fs_bmap2(fs, number, small, NULL, BMAP_ALLOC, 0, NULL, &home);
    if (code != 0) {
        return volume_error(code);
    }
    char *block = calloc(1, fs->blocksize);
    if (block == NULL) {
        return ENOMEM;
    }
    memcpy(block, target.text, target.length);
    int error = cache_write(&volume->cache, home * fs->blocksize, block, fs->blocksize);
    free(block);
    return error != 0 ? error : inode_write(volume, number, inode);
}

static int create(struct call *call) {
    struct volume *volume = call->volume;
    ext2_ino_t directory = (ext2_ino_t)call->request.node, number;
    const struct fs_attributes *wanted = &call->request.attributes;
    struct ext2_inode_large inode;
    bool is_directory = S_ISDIR(wanted->mode);
    int error = inode_make(volume, directory, wanted, &number, &inode);
    if (error == 0 && S_ISLNK(wanted->mode)) {
        error = write_target(volume, number, &inode, call->name2);
    } else if (error == 0 && is_directory) {
        error = directory_make(volume, number, directory);
    }
    error = error != 0 ? error : directory_add(volume, directory, call->name, number, wanted->mode);
    error = error != 0 ? error : note_change(volume, directory, is_directory);
    error = error != 0 ? error : inode_read(volume, number, &inode);
    if (error == 0) {
        operation_reply(call, number, &inode);
    }
    return error;
}

/* A file that no name leads to: an orphan from its first transaction on, as one that lost its name. */
static int create_nameless(struct call *call) {
    struct ext2_inode_large inode;
    ext2_ino_t number;
    int error = inode_make(call->volume, (ext2_ino_t)call->request.node, &call->request.attributes, &number, &inode);
    if (error == 0) {
        inode.i_links_count = 0;
        error = orphan_add(call->volume, number, &inode);
    }
    if (error == 0) {
        operation_reply(call, number, &inode);
    }
    return error;
}

static int operation_create_nameless(struct call *call) {
    struct ext2_inode_large directory;
    int error = read_directory(call->volume, call->request.node, &directory);
    if (error == 0 && !S_ISREG(call->request.attributes.mode)) {
        error = EINVAL;
    }
    error = error != 0 ? error : volume_begin(call->volume);
    return error != 0 ? error : operation_end(call, create_nameless(call));
}

int operation_create(struct call *call) {
    struct volume *volume = call->volume;
    uint32_t mode = call->request.attributes.mode;
    if (call->name.length == 0) {
        return operation_create_nameless(call);
    }
    int error = check_new(volume, call->request.node, call->name);
    if (error == 0 && !S_ISREG(mode) && !S_ISDIR(mode) && !S_ISLNK(mode) && !S_ISCHR(mode) && !S_ISBLK(mode) &&
        !S_ISFIFO(mode) && !S_ISSOCK(mode)) {
        error = EINVAL;
    }
    if (error == 0 && S_ISLNK(mode)) {
        error = call->name2.length == 0 ? ENOENT : call->name2.length >= volume->fs->blocksize ? ENAMETOOLONG : 0;
    }
    error = error != 0 ? error : volume_begin(volume);
    return error != 0 ? error : operation_end(call, create(call));
}

static int link_to(struct call *call, ext2_ino_t number) {
    struct volume *volume = call->volume;
    struct ext2_inode_large inode;
    int error = inode_read(volume, number, &inode);
    if (error == 0 && inode.i_links_count == 0) {
        error = orphan_remove(volume, number, &inode);
    }
    error = error != 0 ? error : inode_add_links(volume, &inode, +1);
    if (error == 0) {
        inode_touch(volume, &inode, false);
        error = inode_write(volume, number, &inode);
    }
    error =
        error != 0 ? error : directory_add(volume, (ext2_ino_t)call->request.node, call->name, number, inode.i_mode);
    operation_reply(call, number, &inode);
    return error != 0 ? error : note_change(volume, (ext2_ino_t)call->request.node, 0);
}

int operation_link(struct call *call) {
    struct ext2_inode_large inode;
    int error = check_new(call->volume, call->request.node, call->name);
    error = error != 0 ? error : inode_read(call->volume, call->request.node2, &inode);
    if (error == 0) {
        error = S_ISDIR(inode.i_mode) ? EPERM : inode.i_links_count == 0 && call->request.set == 0 ? ENOENT : 0;
    }
    error = error != 0 ? error : volume_begin(call->volume);
    return error != 0 ? error : operation_end(call, link_to(call, (ext2_ino_t)call->request.node2));
}

/* --- Taking names away -------------------------------------------------------------------------------------------- */

/* The inode has lost a name (a directory: its only one). With the last one it becomes an orphan. */
static int lose_name(struct volume *volume, ext2_ino_t number, struct ext2_inode_large *inode) {
    int error = 0;
    if (S_ISDIR(inode->i_mode)) {
        inode->i_links_count = 0;
        directory_forget(volume, number);
    } else {
        error = inode_add_links(volume, inode, -1);
    }
    inode_touch(volume, inode, false);
    if (error == 0 && inode->i_links_count == 0) {
        error = orphan_add(volume, number, inode);
    }
    return error != 0 ? error : inode_write(volume, number, inode);
}

static int remove_name(struct call *call, ext2_ino_t number, struct ext2_inode_large *inode) {
    struct volume *volume = call->volume;
    ext2_ino_t directory = (ext2_ino_t)call->request.node;
    int error = directory_remove(volume, directory, call->name);
    error = error != 0 ? error : lose_name(volume, number, inode);
    operation_reply(call, number, inode);
    return error != 0 ? error : note_change(volume, directory, S_ISDIR(inode->i_mode) ? -1 : 0);
}

static int unlink_or_rmdir(struct call *call, bool directory) {
    struct volume *volume = call->volume;
    struct ext2_inode_large inode;
    ext2_ino_t number = 0;
    bool empty = true;
    int error = check_name(call->name);
    error = error != 0 ? error : read_directory(volume, call->request.node, &inode);
    error = error != 0 ? error : find(volume, (ext2_ino_t)call->request.node, call->name, &number, &inode);
    if (error == 0 && S_ISDIR(inode.i_mode) != directory) {
        error = directory ? ENOTDIR : EISDIR;
    }
    if (error == 0 && inode.i_links_count == 0) {
        error = EIO; /* a name of an orphan */
    }
    if (error == 0 && directory) {
        error = directory_is_empty(volume, number, &empty);
    }
    error = error != 0 ? error : !empty ? ENOTEMPTY : volume_begin(volume);
    return error != 0 ? error : operation_end(call, remove_name(call, number, &inode));
}

int operation_unlink(struct call *call) { return unlink_or_rmdir(call, false); }

int operation_rmdir(struct call *call) { return unlink_or_rmdir(call, true); }

/* --- Renaming ----------------------------------------------------------------------------------------------------- */

struct rename {
    ext2_ino_t from, to;        /* directories */
    ext2_ino_t moved, replaced; /* replaced: 0 if there is none */
    struct ext2_inode_large inode, replaced_inode;
};

/* Whether `directory` is `above` or below it. */
static int is_below(struct volume *volume, ext2_ino_t directory, ext2_ino_t above, bool *below) {
    *below = directory == above;
    for (unsigned depth = 0; !*below && directory != EXT2_ROOT_INO; depth++) {
        int error = depth > 4096 ? EIO : directory_parent(volume, directory, &directory);
        if (error != 0) {
            return error == ENOENT ? EIO : error;
        }
        *below = directory == above;
    }
    return 0;
}

static int check_replaced(struct volume *volume, struct rename *rename) {
    bool directory = S_ISDIR(rename->inode.i_mode), empty = true;
    if (S_ISDIR(rename->replaced_inode.i_mode) != directory) {
        return directory ? ENOTDIR : EISDIR;
    }
    int error = directory ? directory_is_empty(volume, rename->replaced, &empty) : 0;
    return error != 0 ? error : !empty ? ENOTEMPTY : rename->replaced_inode.i_links_count == 0 ? EIO : 0;
}

static int check_rename(struct call *call, struct rename *rename) {
    struct volume *volume = call->volume;
    struct ext2_inode_large directory;
    int error = check_name(call->name);
    error = error != 0 ? error : check_name(call->name2);
    error = error != 0 ? error : read_directory(volume, call->request.node, &directory);
    error = error != 0 ? error : read_directory(volume, call->request.node2, &directory);
    error = error != 0 ? error : find(volume, rename->from, call->name, &rename->moved, &rename->inode);
    if (error != 0) {
        return error;
    }
    bool below = false;
    if (S_ISDIR(rename->inode.i_mode) && rename->from != rename->to) {
        error = is_below(volume, rename->to, rename->moved, &below);
    }
    if (error != 0 || below) {
        return error != 0 ? error : EINVAL;
    }
    error = find(volume, rename->to, call->name2, &rename->replaced, &rename->replaced_inode);
    if (error == ENOENT) {
        rename->replaced = 0;
        return 0;
    }
    return error != 0 || rename->replaced == rename->moved ? error : check_replaced(volume, rename);
}

static int move(struct call *call, struct rename *rename) {
    struct volume *volume = call->volume;
    uint32_t mode = rename->inode.i_mode;
    bool directory = S_ISDIR(mode), other = rename->from != rename->to;
    int error = rename->replaced != 0 ? directory_replace(volume, rename->to, call->name2, rename->moved, mode)
                                      : directory_add(volume, rename->to, call->name2, rename->moved, mode);
    error = error != 0 ? error : directory_remove(volume, rename->from, call->name);
    if (error == 0 && rename->replaced != 0) {
        error = lose_name(volume, rename->replaced, &rename->replaced_inode);
        operation_reply(call, rename->replaced, &rename->replaced_inode);
    }
    if (error == 0 && directory && other) {
        error = directory_replace(volume, rename->moved, (struct name){"..", 2}, rename->to, S_IFDIR);
    }
    int less = directory && (other || rename->replaced != 0) ? -1 : 0;
    error = error != 0 ? error : note_change(volume, rename->from, less);
    if (error == 0 && other) {
        error = note_change(volume, rename->to, directory && rename->replaced == 0 ? +1 : 0);
    }
    error = error != 0 ? error : inode_read(volume, rename->moved, &rename->inode);
    inode_touch(volume, &rename->inode, false);
    return error != 0 ? error : inode_write(volume, rename->moved, &rename->inode);
}

int operation_rename(struct call *call) {
    struct rename rename = {.from = (ext2_ino_t)call->request.node, .to = (ext2_ino_t)call->request.node2};
    int error = check_rename(call, &rename);
    if (error != 0 || rename.replaced == rename.moved) {
        return error; /* two names of one file stay */
    }
    error = volume_begin(call->volume);
    return error != 0 ? error : operation_end(call, move(call, &rename));
}
