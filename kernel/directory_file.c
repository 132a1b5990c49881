/*
 * Directories as open files: getdents64.
 *
 * The position is 0 for ".", 1 for "..", then 2 + slot; slots do not move, so entries that stay are seen exactly once.
 * Of a served directory the kernel's own names that are seen in it come first, by their slots; from SERVED_FIRST on
 * positions are the server's, who keeps them as stable. What it lists is not cached: it says no more than a number.
 * Locks: file.position_lock across a call; names_lock while entries are formatted, never while user memory is touched
 * or a server is asked.
 */
#include "arch/uaccess.h"
#include "kernel/fs_call.h"
#include "kernel/mount.h"
#include "kernel/names.h"
#include "kernel/open_file.h"
#include "kernel/string.h"
#include "kernel/syscall_table.h"
#include "mm/heap.h"

#define FIRST_SLOT   2U
#define SERVED_FIRST 4096U /* the kernel's own root has fewer slots than lie before */
#define SERVED_ROOM  (4 * PAGE_SIZE)
#define LISTING_ROOM (4 * PAGE_SIZE)

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
static bool add(struct listing *listing, uint64_t number, uint32_t mode, const char *name, size_t length,
                uint64_t next) {
    size_t head = offsetof(struct linux_dirent64, name), bytes = (head + length + 1 + 7) & ~(size_t)7;
    if (bytes > listing->size - listing->used)
        return false;
    char *place = listing->buffer + listing->used;
    memset(place + bytes - 8, 0, 8); /* padding */
    struct linux_dirent64 *entry = (void *)place;
    entry->inode = number;
    entry->next = (int64_t)next;
    entry->bytes = (uint16_t)bytes;
    entry->type = (uint8_t)((mode & S_IFMT) >> 12);
    memcpy(place + head, name, length);
    place[head + length] = '\0';
    listing->used += bytes;
    return true;
}

static bool add_inode(struct listing *listing, const struct inode *inode, const char *name, size_t length,
                      uint64_t next) {
    return add(listing, inode->number, inode->mode, name, length, next);
}

/* "." and "..". True: they did not fit. names_lock held. */
static bool list_dots(struct inode *inode, uint64_t *position, struct listing *listing) {
    if (*position == 0) {
        if (!add_inode(listing, inode, ".", 1, 1))
            return true;
        *position = 1;
    }
    if (*position == 1) {
        if (!add_inode(listing, mount_cross(mount_uncross(inode)->directory.parent), "..", 2, FIRST_SLOT))
            return true;
        *position = FIRST_SLOT;
    }
    return false;
}

/*
 * Entries of one of the kernel's own directories, or only those that it pins, from *position on until the end or until
 * no more fit. True: there are more. names_lock held.
 */
static bool list_own(const struct directory *directory, bool pinned, uint64_t *position, struct listing *listing) {
    const struct directory_entry *entry;
    while ((entry = directory_at(directory, *position - FIRST_SLOT)) != NULL) {
        uint64_t next = FIRST_SLOT + entry->slot + 1;
        if ((!pinned || entry->pinned) && !add_inode(listing, entry->inode, entry->name, entry->length, next))
            return true;
        *position = next;
    }
    return false;
}

/* All that is listed without a message. True: there is more of it. names_lock held. */
static bool list(struct inode *inode, uint64_t *position, struct listing *listing) {
    const struct mount *mount = inode->mount;
    if (*position >= SERVED_FIRST)
        return false;
    if (list_dots(inode, position, listing))
        return true;
    if (mount == NULL)
        return list_own(&inode->directory, false, position, listing);
    if (mount->pinned && inode == mount->root && list_own(&mount->covered->directory, true, position, listing))
        return true;
    *position = SERVED_FIRST;
    return false;
}

/* An entry as the server sent it, checked; NULL: it is none. */
static const struct fs_entry *check_entry(const char *data, size_t left) {
    const struct fs_entry *entry = (const void *)data;
    if (left < sizeof(*entry) || entry->bytes > left || entry->bytes % 8 != 0 || entry->name_length == 0 ||
        entry->name_length > FS_NAME_MAX || entry->bytes < sizeof(*entry) + entry->name_length || entry->node == 0 ||
        entry->next > (uint64_t)INT64_MAX - SERVED_FIRST)
        return NULL;
    for (unsigned i = 0; i < entry->name_length; i++) {
        if (entry->name[i] == '/' || entry->name[i] == '\0')
            return NULL;
    }
    return entry;
}

/* Whether the kernel's own root shows a name of its own instead. Takes names_lock. */
static bool is_hidden(const struct inode *inode, const struct fs_entry *entry) {
    const struct mount *mount = inode->mount;
    bool hidden = false;
    if (!mount->pinned)
        return false;
    spin_lock(&names_lock);
    if (inode == mount->root) {
        const struct directory_entry *own = directory_find(&mount->covered->directory, entry->name, entry->name_length);
        hidden = own != NULL && own->pinned;
    }
    spin_unlock(&names_lock);
    return hidden;
}

/* What the server lists from *position on, as far as it fits. True: there may be more. */
static enum status list_served(struct inode *inode, uint64_t *position, struct listing *listing, bool *more) {
    struct fs_call call = {.op = FS_READDIR,
                           .request = {.node = inode->number, .position = *position - SERVED_FIRST},
                           .data = local_alloc(SERVED_ROOM),
                           .room = SERVED_ROOM - sizeof(struct fs_reply)};
    if (call.data == NULL)
        return ERR_NO_MEMORY;
    enum status status = fs_call(inode->mount, &call);
    *more = status == OK && call.room > 0;
    for (size_t at = 0; status == OK && at < call.room;) {
        const struct fs_entry *entry = check_entry((const char *)call.data + at, call.room - at);
        if (entry == NULL) {
            status = ERR_IO;
            break;
        }
        uint64_t next = SERVED_FIRST + entry->next;
        if (!is_hidden(inode, entry) && !add(listing, entry->node, entry->mode, entry->name, entry->name_length, next))
            break;
        *position = next;
        at += entry->bytes;
    }
    local_free(call.data, SERVED_ROOM);
    return status;
}

/* One piece of the list, in `listing`, and the position behind it. */
static enum status list_piece(struct inode *inode, uint64_t *position, struct listing *listing, bool *more) {
    enum status status = OK;
    spin_lock(&names_lock);
    if (inode->links == 0)
        status = ERR_NO_ENTRY;
    else
        *more = list(inode, position, listing);
    spin_unlock(&names_lock);
    if (status == OK && !*more && inode->mount != NULL)
        status = list_served(inode, position, listing, more);
    return status;
}

static enum status list_to_user(struct file *file, vaddr_t to, size_t bytes, size_t *done) {
    struct listing listing = {.buffer = local_alloc(LISTING_ROOM)};
    enum status status = OK;
    bool more = true;
    if (listing.buffer == NULL)
        return ERR_NO_MEMORY;
    while (status == OK && more && *done < bytes) {
        uint64_t position = file->position;
        listing.used = 0;
        listing.size = bytes - *done < LISTING_ROOM ? bytes - *done : LISTING_ROOM;
        status = list_piece(file->inode, &position, &listing, &more);
        if (listing.used == 0)
            break;
        if (status == OK)
            status = copy_to_user(to + *done, listing.buffer, listing.used);
        if (status == OK) {
            *done += listing.used;
            file->position = position;
        }
    }
    local_free(listing.buffer, LISTING_ROOM);
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
