/*
 * The initial file system: a cpio archive (newc) that the boot loader has put into memory.
 */
#ifndef KERNEL_ARCHIVE_H
#define KERNEL_ARCHIVE_H

#include <stddef.h>

#include "kernel/inode.h"

struct boot_info;
struct memory_object;

/* Gives `inode` (one reference, which passes) the absolute name `path`. Boot only. */
MUST_USE enum status names_attach_at(const char *path, struct inode *inode);

/* One entry as it lies in the archive. All pointers are into the archive and within its bounds. */
struct archive_entry {
    char path[1024]; /* absolute, without . and .. components, no double slashes */
    uint32_t mode, uid, gid;
    int64_t modified; /* seconds since 1970 */
    const void *content;
    size_t bytes;
};

/*
 * Reads the entry at *offset and moves *offset behind it. OK with mode 0 at the trailer. ERR_INVALID with *reason in
 * words. Touches nothing outside [archive, archive + bytes).
 */
MUST_USE enum status archive_next(const void *archive, size_t bytes, size_t *offset, struct archive_entry *entry,
                                  const char **reason);

/* The file called `path`, an absolute path without links. ERR_NO_ENTRY, ERR_INVALID. */
MUST_USE enum status archive_find(const void *archive, size_t bytes, const char *path, struct archive_entry *entry);

/*
 * Boot, root=served: takes a copy of the first program out of the archive, then makes the archive itself a memory
 * object for SYS_ARCHIVE. ERR_NO_ENTRY, ERR_INVALID, ERR_NO_MEMORY.
 */
MUST_USE enum status archive_keep(const struct boot_info *info, const char *program);

/* The copy, with the reference; NULL: there is none, or not any more. */
struct memory_object *archive_take_program(void);

#endif
