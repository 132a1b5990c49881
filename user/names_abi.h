/*
 * What the name server is asked. Every process that init starts as a service has a handle on it, by the number in the
 * environment variable PENUMBRA_NAMES. Bytes of a call are text, terminated. Answer: label 0 or an errno.
 */
#ifndef USER_NAMES_ABI_H
#define USER_NAMES_ABI_H

enum names_label {
    NAMES_REGISTER =
        0x300,     /* "name"; handle: an endpoint to call. Replaces a dead one of that name; EEXIST if it lives */
    NAMES_CONNECT, /* "name", or the path of a mount → handle. Word 0: ms to wait until there is one. ENOENT */
    NAMES_MOUNT,   /* "service\0path\0source"; words: flags, root node. Mounts the service's file system there,
                               attaches it again when a service of that name registers anew
                               → the mount's handle */
    NAMES_UNMOUNT, /* "path". EBUSY: in use */
    NAMES_LIST,    /* → bytes: a line for each name and mount */
    NAMES_ABANDON, /* "service": it will not come back; what it has mounted is taken out, and says EIO. Only init */
};

#endif
