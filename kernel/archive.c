/*
 * The cpio newc format: a head of 110 ASCII bytes (a magic number and 13 fields of 8 hexadecimal digits), the name, the
 * content, name and content each padded to 4 bytes. See cpio(5).
 *
 * Nothing that the archive says is trusted: each length is checked against what is left before it is used.
 */
#include "kernel/archive.h"

#include "kernel/file_abi.h"
#include "kernel/print.h"
#include "kernel/string.h"

#define HEAD_BYTES   110U
#define FIELD_DIGITS 8U
#define TRAILER      "TRAILER!!!"

enum field {
    FIELD_INODE,
    FIELD_MODE,
    FIELD_UID,
    FIELD_GID,
    FIELD_LINKS,
    FIELD_MODIFIED,
    FIELD_BYTES,
    FIELD_DEVICE_MAJOR,
    FIELD_DEVICE_MINOR,
    FIELD_NUMBER_MAJOR,
    FIELD_NUMBER_MINOR,
    FIELD_NAME_BYTES,
    FIELD_CHECKSUM,
    FIELDS
};

static bool parse_digit(char digit, uint32_t *value) {
    if (digit >= '0' && digit <= '9')
        *value = *value << 4 | (uint32_t)(digit - '0');
    else if (digit >= 'a' && digit <= 'f')
        *value = *value << 4 | (uint32_t)(digit - 'a' + 10);
    else if (digit >= 'A' && digit <= 'F')
        *value = *value << 4 | (uint32_t)(digit - 'A' + 10);
    else
        return false;
    return true;
}

static bool parse_head(const char *head, uint32_t fields[FIELDS]) {
    if (memcmp(head, "070701", 6) != 0 && memcmp(head, "070702", 6) != 0)
        return false;
    const char *digit = head + 6;
    for (unsigned field = 0; field < FIELDS; field++) {
        fields[field] = 0;
        for (unsigned i = 0; i < FIELD_DIGITS; i++) {
            if (!parse_digit(*digit++, &fields[field]))
                return false;
        }
    }
    return true;
}

/* Makes "./bin//sh" into "/bin/sh", "." into "/". False: too long, or it would lead out of the tree. */
static bool normalise(const char *name, char *path, size_t size) {
    size_t used = 0;
    for (;;) {
        while (*name == '/')
            name++;
        size_t length = 0;
        while (name[length] != '/' && name[length] != '\0')
            length++;
        if (length == 0)
            break;
        bool dot = length == 1 && name[0] == '.';
        if (length > NAME_MAX || (length == 2 && name[0] == '.' && name[1] == '.') || used + 1 + length >= size)
            return false;
        if (!dot) {
            path[used++] = '/';
            memcpy(path + used, name, length);
            used += length;
        }
        name += length;
    }
    if (used == 0)
        path[used++] = '/';
    path[used] = '\0';
    return true;
}

static size_t pad(size_t bytes) { return (bytes + 3) & ~(size_t)3; }

static enum status bad(const char **reason, const char *why) {
    *reason = why;
    return ERR_INVALID;
}

enum status archive_find(const void *archive, size_t bytes, const char *path, const void **content, size_t *length) {
    static struct archive_entry entry; /* too large for the stack; names are metadata. Boot only */
    const char *reason;
    size_t offset = 0;
    *content = NULL;
    for (unsigned count = 0;; count++) {
        enum status status = archive_next(archive, bytes, &offset, &entry, &reason);
        if (status != OK) {
            kprintf("archive: damaged at byte %zu of %zu: %s (after %u entries)\n", offset, bytes, reason, count);
            return ERR_INVALID;
        }
        if (entry.mode == 0)
            return *content != NULL ? OK : ERR_NO_ENTRY;
        if ((entry.mode & S_IFMT) == S_IFREG && strcmp(entry.path, path) == 0) {
            *content = entry.content;
            *length = entry.bytes;
        }
    }
}

enum status archive_next(const void *archive, size_t bytes, size_t *offset, struct archive_entry *entry,
                         const char **reason) {
    uint32_t fields[FIELDS];
    size_t left = bytes - *offset;
    const char *head = (const char *)archive + *offset;
    if (left < HEAD_BYTES)
        return bad(reason, "it ends without a trailer");
    if (!parse_head(head, fields))
        return bad(reason, "an entry's head is not cpio newc");
    size_t name_bytes = fields[FIELD_NAME_BYTES], content_bytes = fields[FIELD_BYTES];
    const char *name = head + HEAD_BYTES;
    if (name_bytes == 0 || name_bytes > left - HEAD_BYTES || name[name_bytes - 1] != '\0')
        return bad(reason, "an entry's name is cut off");
    if (strcmp(name, TRAILER) == 0) {
        entry->mode = 0;
        return OK;
    }
    size_t content = pad(HEAD_BYTES + name_bytes);
    if (content > left || content_bytes > left - content)
        return bad(reason, "an entry's content is cut off");
    if (!normalise(name, entry->path, sizeof(entry->path)))
        return bad(reason, "an entry's name is too long or contains ..");
    entry->mode = fields[FIELD_MODE];
    entry->uid = fields[FIELD_UID];
    entry->gid = fields[FIELD_GID];
    entry->modified = fields[FIELD_MODIFIED];
    entry->content = head + content;
    entry->bytes = content_bytes;
    size_t next = pad(content + content_bytes);
    *offset += next < left ? next : left;
    return OK;
}
