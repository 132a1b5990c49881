/*
 * The first programs: a cpio archive (newc) that the boot loader has put into memory. A file server makes files of it.
 */
#ifndef KERNEL_ARCHIVE_H
#define KERNEL_ARCHIVE_H

#include <stddef.h>
#include <stdint.h>

#include "kernel/status.h"

struct boot_info;
struct memory_object;

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

/*
 * What the file called `path`, an absolute path without links, holds. ERR_NO_ENTRY; ERR_INVALID: the archive is damaged
 * somewhere, which is one clear line. Boot only.
 */
MUST_USE enum status archive_find(const void *archive, size_t bytes, const char *path, const void **content,
                                  size_t *length);

/*
 * Boot: takes a copy of the first program out of the archive, then makes the archive itself a memory
 * object for SYS_ARCHIVE. ERR_NO_ENTRY, ERR_INVALID, ERR_NO_MEMORY.
 */
MUST_USE enum status archive_keep(const struct boot_info *info, const char *program);

/* The copy, with the reference; NULL: there is none, or not any more. */
struct memory_object *archive_take_program(void);

#endif
