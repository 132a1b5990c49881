/*
 * Directories as open files: getdents64.
 *
 * The position is 0 for ".", 1 for "..", then 2 + slot; slots do not move, so entries that stay are seen exactly once.
 * Locks: file.position_lock across a call; names_lock while entries are formatted, never while user memory is touched.
 */
#include "arch/uaccess.h"
#include "kernel/names.h"
#include "kernel/open_file.h"
#include "kernel/string.h"
#include "kernel/syscall_table.h"
#include "mm/heap.h"

#define FIRST_SLOT 2U

struct linux_dirent64 {
    uint64_t inode;
    int64_t next; /* position of the entry behind */
    uint16_t bytes;
    uint8_t type; /* S_IFMT bits of st_mode */
    char name[];
};

/* What is being filled, LOCAL. */
struct listing {
    char *buffer;
    size_t used, size;
};

/* False: it does not fit. */
static bool add(struct listing *listing, const struct inode *inode, const char *name, size_t length, uint64_t next) {
    size_t head = offsetof(struct linux_dirent64, name), bytes = (head + length + 1 + 7) & ~(size_t)7;
    if (bytes > listing->size - listing->used)
        return false;
    char *place = listing->buffer + listing->used;
    memset(place + bytes - 8, 0, 8); /* padding */
    struct linux_dirent64 *entry = (void *)place;
    entry->inode = inode->number;
    entry->next = (int64_t)next;
    entry->bytes = (uint16_t)bytes;
    entry->type = (uint8_t)((inode->mode & S_IFMT) >> 12);
    memcpy(place + head, name, length);
    place[head + length] = '\0';
    listing->used += bytes;
    return true;
}

/* Formats entries from *position on until the end or until no more fit. True: there are more. names_lock held. */
static bool list(const struct inode *inode, uint64_t *position, struct listing *listing) {
    if (*position == 0) {
        if (!add(listing, inode, ".", 1, 1))
            return true;
        *position = 1;
    }
    if (*position == 1) {
        if (!add(listing, inode->directory.parent, "..", 2, FIRST_SLOT))
            return true;
        *position = FIRST_SLOT;
    }
    const struct directory_entry *entry;
    while ((entry = directory_at(&inode->directory, *position - FIRST_SLOT)) != NULL) {
        uint64_t next = FIRST_SLOT + entry->slot + 1;
        if (!add(listing, entry->inode, entry->name, entry->length, next))
            return true;
        *position = next;
    }
    return false;
}

static enum status list_to_user(struct file *file, vaddr_t to, size_t bytes, size_t *done) {
    struct listing listing = {.buffer = local_alloc(PAGE_SIZE)};
    enum status status = OK;
    bool more = true;
    if (listing.buffer == NULL)
        return ERR_NO_MEMORY;
    while (status == OK && more && *done < bytes) {
        uint64_t position = file->position;
        listing.used = 0;
        listing.size = bytes - *done < PAGE_SIZE ? bytes - *done : PAGE_SIZE;
        spin_lock(&names_lock);
        if (file->inode->links == 0)
            status = ERR_NO_ENTRY;
        else
            more = list(file->inode, &position, &listing);
        spin_unlock(&names_lock);
        if (status == OK && listing.used == 0)
            break;
        if (status == OK)
            status = copy_to_user(to + *done, listing.buffer, listing.used);
        if (status == OK) {
            *done += listing.used;
            file->position = position;
        }
    }
    local_free(listing.buffer, PAGE_SIZE);
    if (*done > 0)
        return OK;
    return status == OK && more ? ERR_INVALID : status; /* not even one entry fits */
}

enum status sys_getdents64(struct syscall *call) {
    struct file *file;
    size_t done = 0;
    enum status status = handle_get((int)call->arg[0], &file);
    if (status != OK)
        return status;
    size_t bytes = (uint32_t)call->arg[2];
    if (file->flags & O_PATH) {
        status = ERR_BAD_HANDLE;
    } else if (!inode_is(file->inode, S_IFDIR)) {
        status = ERR_NOT_DIRECTORY;
    } else if (!user_range_ok(call->arg[1], bytes)) {
        status = ERR_FAULT;
    } else {
        mutex_lock(&file->position_lock);
        status = list_to_user(file, call->arg[1], bytes, &done);
        mutex_unlock(&file->position_lock);
    }
    file_unref(file);
    call->result = (int64_t)done;
    return status;
}

const struct file_operations directory_operations = {.seekable = true};
