/*
 * The cpio newc format: a head of 110 ASCII bytes (a magic number and 13 fields of 8 hexadecimal digits), the name, the
 * content; each begins at a multiple of 4 bytes. Zeros behind a name move its content to a page (tools/mkarchive).
 */
#include "user/lib/cpio.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { HEAD_BYTES = 110, MAGIC_BYTES = 6, FIELD_DIGITS = 8, FIELDS = 13, NAME_ROOM = 2 * CPIO_PATH_BYTES };
enum field { MODE = 1, UID, GID, MODIFIED = 5, BYTES, NAME_BYTES = 11 };

static int bad(void) {
    errno = EINVAL;
    return -1;
}

static bool parse_field(const char *digits, uint32_t *value) {
    *value = 0;
    for (unsigned i = 0; i < FIELD_DIGITS; i++) {
        const char *all = "0123456789abcdef", *digit = strchr(all, digits[i] | 0x20);
        if (digit == NULL || *digit == '\0') {
            return false;
        }
        *value = *value << 4 | (uint32_t)(digit - all);
    }
    return true;
}

static bool parse_head(const char *head, uint32_t *fields) {
    if (memcmp(head, "070701", MAGIC_BYTES) != 0 && memcmp(head, "070702", MAGIC_BYTES) != 0) {
        return false;
    }
    for (unsigned i = 0; i < FIELDS; i++) {
        if (!parse_field(head + MAGIC_BYTES + i * FIELD_DIGITS, &fields[i])) {
            return false;
        }
    }
    return true;
}

static uint64_t padded(uint64_t bytes) { return (bytes + 3) & ~3ULL; }

static void set_path(struct cpio_entry *entry, const char *name) {
    while (name[0] == '/' || (name[0] == '.' && (name[1] == '/' || name[1] == '\0'))) {
        name++;
    }
    strcpy(entry->path, name);
}

int cpio_next(int archive, uint64_t *offset, struct cpio_entry *entry) {
    static char head[HEAD_BYTES + NAME_ROOM];
    uint32_t fields[FIELDS];
    struct stat whole;
    ssize_t count = pread(archive, head, sizeof head, (off_t)*offset);
    if (count < HEAD_BYTES || !parse_head(head, fields) || fstat(archive, &whole) < 0) {
        return bad();
    }
    uint32_t name_bytes = fields[NAME_BYTES];
    if (name_bytes == 0 || name_bytes > count - HEAD_BYTES || head[HEAD_BYTES + name_bytes - 1] != '\0' ||
        strlen(head + HEAD_BYTES) >= CPIO_PATH_BYTES) {
        return bad();
    }
    if (strcmp(head + HEAD_BYTES, "TRAILER!!!") == 0) {
        entry->mode = 0;
        return 0;
    }
    set_path(entry, head + HEAD_BYTES);
    entry->mode = fields[MODE];
    entry->uid = fields[UID];
    entry->gid = fields[GID];
    entry->modified = fields[MODIFIED];
    entry->bytes = fields[BYTES];
    entry->content = padded(*offset + HEAD_BYTES + name_bytes);
    if (entry->mode == 0 || entry->content + entry->bytes > (uint64_t)whole.st_size) {
        return bad();
    }
    *offset = padded(entry->content + entry->bytes);
    return 0;
}

int cpio_find(int archive, const char *path, struct cpio_entry *entry) {
    uint64_t offset = 0;
    while (cpio_next(archive, &offset, entry) == 0) {
        if (entry->mode == 0) {
            errno = ENOENT;
            return -1;
        }
        if (S_ISREG(entry->mode) && strcmp(entry->path, path) == 0) {
            return 0;
        }
    }
    return -1;
}
