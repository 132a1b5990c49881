/*
 * What the kernel asks of a file server: the calls behind its cache of names and attributes.
 *
 * The label of a call is enum fs_op, its bytes a struct fs_request with the names behind it; the label of the answer is
 * 0 or an errno, its bytes a struct fs_reply (FS_READDIR: behind it the entries). Pages move by PAGER_FILL and
 * PAGER_STORE (kernel/ipc_abi.h) with the node's number for the object's id. Plain C types only.
 *
 * The kernel has at most one call under way that changes a directory, so a server sees changes of one in order. A call
 * may come again after the server was started anew, with the same `request`: one that was done already is answered as
 * it was. A server keeps the last answer for each remainder of `request` by FS_CHANGES_MAX: the next change with that
 * remainder comes when this one's caller has his answer.
 */
#ifndef KERNEL_FS_ABI_H
#define KERNEL_FS_ABI_H

#include <stdint.h>

#define FS_NAME_MAX 255U
#define FS_PATH_MAX 4095U
#define FS_LIST_MAX 16384U /* bytes of an answer to FS_READDIR, struct fs_reply included */

#define FS_CHANGES_MAX 32U /* under way at once for a mount */

enum fs_op {
    FS_LOOKUP = 1, /* node: directory; name → attributes. ENOENT with FS_MAY_CACHE in `caching`: negative entry */
    FS_GETATTR,    /* node → attributes */
    FS_SETATTR,    /* node; `set` says which of `attributes` → attributes. A smaller size frees what is behind it */
    FS_CREATE,     /* node: directory; name; attributes.mode/uid/gid; name2: a symbolic link's target → attributes.
                      Without a name: a regular file on that disk with links 0, which lives until FS_FORGET */
    FS_LINK,       /* node: directory; name; node2: the file → attributes of the file. `set` 1: it was made without a
                      name and may have none yet; 0: one that has none gets none */
    FS_UNLINK, /* node: directory; name → attributes of what it named; with links 0 the node lives until FS_FORGET */
    FS_RMDIR,  /* node: directory; name */
    FS_RENAME, /* node, name → node2, name2; replaces (checked by both sides). → attributes of the one replaced, or
                      node 0 */
    FS_READLINK, /* node → the target behind the reply */
    FS_READDIR,  /* node; position → entries behind the reply, as many as fit into FS_LIST_MAX */
    FS_FORGET,   /* node: the kernel has nothing of it any more; with links 0 it is freed */
    FS_SYNC,     /* node, or 0 for all: what was done before is durable */
    FS_STATFS,   /* → struct fs_space behind the reply */
};

enum fs_set {
    FS_SET_MODE = 1,
    FS_SET_OWNER = 2,
    FS_SET_SIZE = 4,
    FS_SET_ACCESSED = 8,
    FS_SET_MODIFIED = 16,
    FS_SET_CHANGED = 32
};

/* Of a node. Times are nanoseconds since 1970. */
struct fs_attributes {
    uint64_t node, size, blocks; /* blocks of 512 bytes */
    uint32_t mode, links, uid, gid;
    int64_t accessed, modified, changed;
    uint64_t device; /* of a device node: major << 8 | minor */
};

enum fs_caching {
    FS_MAY_CACHE = 1, /* name and attributes, until the server revokes them by SYS_MOUNT_FORGET */
    FS_LIST_END = 2,  /* of FS_READDIR: nothing is behind the last entry of this answer */
};

struct fs_request {
    uint64_t request; /* unique among the calls that change something, of all mounts since boot; 0 for the others */
    uint64_t node, node2;
    uint64_t position;
    uint32_t set;                       /* enum fs_set */
    uint16_t name_length, name2_length; /* the names follow the structure, in this order, not terminated */
    struct fs_attributes attributes;
};

struct fs_reply {
    struct fs_attributes attributes;
    uint32_t caching; /* enum fs_caching */
    uint32_t count;   /* of what follows: bytes */
};

/* An entry of FS_READDIR: 8-byte aligned, `bytes` long with its name and padding. "." and ".." are not listed. */
struct fs_entry {
    uint64_t node, next; /* next: position behind this entry. 0 is the beginning */
    uint16_t bytes, name_length;
    uint32_t mode; /* its type bits */
    char name[];
};

struct fs_space {
    uint64_t blocks, blocks_free, blocks_available, files, files_free;
    uint32_t block_size, name_max;
    uint64_t magic; /* statfs' f_type */
};

#endif
