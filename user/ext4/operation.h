/*
 * A call under way, between operations.c and operation_names.c.
 */
#ifndef USER_EXT4_OPERATION_H
#define USER_EXT4_OPERATION_H

#include "user/ext4/directory.h"
#include "user/ext4/inode.h"

struct call {
    struct volume *volume;
    struct fs_request request;
    struct name name, name2;
    struct fs_reply *reply;
    uint8_t *extra; /* what follows the reply, and how much fits there */
    size_t room;
};

int operation_lookup(struct call *call);
int operation_create(struct call *call);
int operation_link(struct call *call);
int operation_unlink(struct call *call);
int operation_rmdir(struct call *call);
int operation_rename(struct call *call);

/* volume_end() with the reply as the answer that is found again. */
int operation_end(struct call *call, int error);
void operation_reply(struct call *call, ext2_ino_t number, const struct ext2_inode_large *inode);

#endif
