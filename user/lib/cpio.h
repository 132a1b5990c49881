/*
 * Reading a cpio newc archive that lies in a file or memory object, an entry at a time (see cpio(5)).
 *
 * Nothing that the archive says is trusted: what does not fit is EINVAL.
 */
#ifndef USER_LIB_CPIO_H
#define USER_LIB_CPIO_H

#include <stdint.h>

enum { CPIO_PATH_BYTES = 4096 };

struct cpio_entry {
    char path[CPIO_PATH_BYTES]; /* without "./" and "/" at its beginning; "": the root */
    uint32_t mode, uid, gid;    /* mode 0: the end of the archive */
    int64_t modified;           /* seconds since 1970 */
    uint64_t content, bytes;    /* where in the archive */
};

/* Reads the entry at *offset and moves on. 0, or -1 with errno (EINVAL: this is no such archive). */
int cpio_next(int archive, uint64_t *offset, struct cpio_entry *entry);

/* The regular file of that path (without a slash before it). 0, or -1 with errno (ENOENT). */
int cpio_find(int archive, const char *path, struct cpio_entry *entry);

#endif
