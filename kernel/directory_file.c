/*
 * Directories as open files: getdents64.
 *
 * The position is 0 for ".", 1 for "..", then 2 + slot; slots do not move, so entries that stay are seen exactly once.
 * Of a served directory the kernel's own names that are seen in it come first, by their slots; from SERVED_FIRST on
 * positions are the server's, who keeps them as stable. What it lists is kept by the directory (kernel/listing.h), and
 * one piece of it by the open file until all of it was taken.
 * Locks: file.position_lock across a call; names_lock while entries are formatted, never while user memory is touched
 * or a server is asked.
 */
#include "arch/uaccess.h"
#include "kernel/fs_call.h"
#include "kernel/inotify.h"
#include "kernel/mount.h"
#include "kernel/names.h"
#include "kernel/open_file.h"
#include "kernel/procfs.h"
#include "kernel/string.h"
#include "kernel/syscall_table.h"
#include "mm/heap.h"

#define FIRST_SLOT   2U
#define SERVED_FIRST 4096U /* the kernel's own root has fewer slots than lie before */
#define LISTING_ROOM (4 * PAGE_SIZE)

struct linux_dirent64 {
    uint64_t inode;
    int64_t next; /* position of the entry behind */
    uint16_t bytes;
    uint8_t type; /* S_IFMT bits of st_mode */
    char name[];
};

/* What is being filled, LOCAL. */
struct output {
    char *buffer;
    size_t used, size;
};

/* False: it does not fit. */
static bool add(struct output *output, uint64_t number, uint32_t mode, const char *name, size_t length, uint64_t next) {
    size_t head = offsetof(struct linux_dirent64, name), bytes = (head + length + 1 + 7) & ~(size_t)7;
    if (bytes > output->size - output->used)
        return false;
    char *place = output->buffer + output->used;
    memset(place + bytes - 8, 0, 8); /* padding */
    struct linux_dirent64 *entry = (void *)place;
    entry->inode = number;
    entry->next = (int64_t)next;
    entry->bytes = (uint16_t)bytes;
    entry->type = (uint8_t)((mode & S_IFMT) >> 12);
    memcpy(place + head, name, length);
    place[head + length] = '\0';
    output->used += bytes;
    return true;
}

static bool add_inode(struct output *output, const struct inode *inode, const char *name, size_t length,
                      uint64_t next) {
    return add(output, inode->number, inode->mode, name, length, next);
}

/* "." and "..". True: they did not fit. names_lock held. */
static bool list_dots(struct inode *inode, uint64_t *position, struct output *output) {
    if (*position == 0) {
        if (!add_inode(output, inode, ".", 1, 1))
            return true;
        *position = 1;
    }
    if (*position == 1) {
        if (!add_inode(output, mount_cross(mount_uncross(inode)->directory.parent), "..", 2, FIRST_SLOT))
            return true;
        *position = FIRST_SLOT;
    }
    return false;
}

/*
 * Entries of one of the kernel's own directories, or only those that it pins, from *position on until the end or until
 * no more fit. True: there are more. names_lock held.
 */
static bool list_own(const struct directory *directory, bool pinned, uint64_t *position, struct output *output) {
    const struct directory_entry *entry;
    while ((entry = directory_at(directory, *position - FIRST_SLOT)) != NULL) {
        uint64_t next = FIRST_SLOT + entry->slot + 1;
        if ((!pinned || entry->pinned) && !add_inode(output, entry->inode, entry->name, entry->length, next))
            return true;
        *position = next;
    }
    return false;
}

/* All that is listed without a message. True: there is more of it. names_lock held. */
static bool list(struct inode *inode, uint64_t *position, struct output *output) {
    const struct mount *mount = inode->mount;
    if (mount != NULL && *position >= SERVED_FIRST)
        return false;
    if (inode->directory.live != LIVE_NOT && *position <= FIRST_SLOT)
        live_prepare(inode, NULL, 0);
    if (list_dots(inode, position, output))
        return true;
    if (mount == NULL)
        return list_own(&inode->directory, false, position, output);
    if (mount->pinned && inode == mount->root && list_own(&mount->covered->directory, true, position, output))
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

/* Drops what is kept of the server's last answer. file->position_lock held, or nobody has the file any more. */
static void drop_piece(struct file *file) {
    piece_put(file->piece);
    file->piece = NULL;
    file->piece_used = 0;
}

/* Makes an answer a piece; its entries are checked first. */
static enum status make_piece(const struct fs_call *call, struct list_piece **out) {
    const char *data = call->data;
    uint64_t end = call->request.position;
    for (size_t at = 0; at < call->room;) {
        const struct fs_entry *entry = check_entry(data + at, call->room - at);
        if (entry == NULL)
            return ERR_IO;
        at += entry->bytes;
        end = entry->next;
    }
    struct list_piece *piece = piece_create(call->request.position, call->room);
    if (piece == NULL)
        return ERR_NO_MEMORY;
    memcpy(piece->entries, data, call->room);
    piece->end = end;
    piece->is_last = call->room == 0 || (call->reply.caching & FS_LIST_END);
    *out = piece;
    return OK;
}

/* Asks the server for what is behind a position of its own, and keeps it for others if it may be kept. */
static enum status ask_for_piece(struct inode *inode, uint64_t start, struct list_piece **out) {
    struct fs_call call = {.op = FS_READDIR,
                           .request = {.node = inode->number, .position = start},
                           .data = local_alloc(FS_LIST_MAX),
                           .room = FS_LIST_MAX - sizeof(struct fs_reply)};
    if (call.data == NULL)
        return ERR_NO_MEMORY;
    spin_lock(&names_lock);
    const uint64_t changes = inode->directory.listing.changes;
    const uint32_t generation = inode->mount->generation;
    spin_unlock(&names_lock);
    enum status status = fs_call(inode->mount, &call);
    if (status == OK)
        status = make_piece(&call, out);
    if (status == OK && call.reply.caching & FS_MAY_CACHE) {
        spin_lock(&names_lock);
        if (inode->mount->generation == generation)
            listing_keep(inode, *out, changes);
        spin_unlock(&names_lock);
    }
    local_free(call.data, FS_LIST_MAX);
    return status;
}

/* What the server lists from `position` on becomes the file's piece: from the cache, or from the server. */
static enum status fetch_piece(struct file *file, uint64_t position) {
    struct inode *inode = file->inode;
    const uint64_t start = position - SERVED_FIRST;
    drop_piece(file);
    spin_lock(&names_lock);
    struct list_piece *piece = listing_find(inode, start);
    spin_unlock(&names_lock);
    const enum status status = piece != NULL ? OK : ask_for_piece(inode, start, &piece);
    if (status != OK)
        return status;
    file->piece = piece;
    file->piece_position = position;
    file->piece_is_last = piece->is_last;
    return OK;
}

/*
 * What the server lists from *position on, as far as it fits. True in *more: there may be more. An answer is kept until
 * all of it was taken: programs take it in smaller pieces.
 */
static enum status list_served(struct file *file, uint64_t *position, struct output *output, bool *more) {
    struct inode *inode = file->inode;
    const bool known = file->piece_position == *position && (file->piece != NULL || file->piece_is_last);
    enum status status = known ? OK : fetch_piece(file, *position);
    const struct list_piece *piece = file->piece;
    *more = false;
    if (status != OK || piece == NULL)
        return status;
    while (file->piece_used < piece->bytes) {
        const struct fs_entry *entry = (const void *)(piece->entries + file->piece_used);
        uint64_t next = SERVED_FIRST + entry->next;
        if (!is_hidden(inode, entry) && !add(output, entry->node, entry->mode, entry->name, entry->name_length, next))
            break;
        *position = file->piece_position = next;
        file->piece_used += entry->bytes;
    }
    *more = file->piece_used < piece->bytes || !file->piece_is_last;
    if (file->piece_used == piece->bytes)
        drop_piece(file);
    return OK;
}

/* One piece of the list, in `output`, and the position behind it. */
static enum status list_piece(struct file *file, uint64_t *position, struct output *output, bool *more) {
    struct inode *inode = file->inode;
    enum status status = OK;
    if (*position == 0)
        file->piece_position = 0; /* from the beginning: what the server has now */
    spin_lock(&names_lock);
    if (inode->links == 0)
        status = ERR_NO_ENTRY;
    else
        *more = list(inode, position, output);
    spin_unlock(&names_lock);
    if (status == OK && !*more && inode->mount != NULL)
        status = list_served(file, position, output, more);
    return status;
}

static enum status list_to_user(struct file *file, vaddr_t to, size_t bytes, size_t *done) {
    struct output output = {.buffer = local_alloc(LISTING_ROOM)};
    enum status status = OK;
    bool more = true;
    if (output.buffer == NULL)
        return ERR_NO_MEMORY;
    while (status == OK && more && *done < bytes) {
        uint64_t position = file->position;
        output.used = 0;
        output.size = bytes - *done < LISTING_ROOM ? bytes - *done : LISTING_ROOM;
        status = list_piece(file, &position, &output, &more);
        if (output.used == 0)
            break;
        if (status == OK)
            status = copy_to_user(to + *done, output.buffer, output.used);
        if (status == OK) {
            *done += output.used;
            file->position = position;
        }
    }
    local_free(output.buffer, LISTING_ROOM);
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
        inotify_file(file, IN_ACCESS, status == OK);
    }
    file_unref(file);
    call->result = (int64_t)done;
    return status;
}

const struct file_operations directory_operations = {.seekable = true, .release = drop_piece};
