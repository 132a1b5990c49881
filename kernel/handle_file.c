/*
 * /proc/N/fd: opening M there opens anew what the caller's handle M is open on. /dev/stdin and its like lead here.
 *
 * The names are links (proc_names.c makes them), but no walk follows them by a text: which file is meant is decided
 * when one is opened. fdinfo says what is known of a handle. A table of handles is LOCAL: the links of another process
 * lead nowhere.
 * Locks: handle_lock inside handle_get() and handle_borrow(). Runs in the caller's space.
 */
#include "kernel/device.h"
#include "kernel/mount.h"
#include "kernel/names.h"
#include "kernel/open_file.h"
#include "kernel/permission.h"
#include "kernel/print.h"
#include "kernel/procfs.h"
#include "kernel/pty.h"

static enum status handle_of_link(const struct inode *link, struct file **out) {
    if (!live_is_caller(link) || handle_get((int)link->part, out) != OK)
        return ERR_NO_ENTRY;
    return OK;
}

static enum status handle_file_open(struct file *file) {
    struct file *other;
    enum status status = handle_of_link(file->inode, &other);
    if (status != OK)
        return status;
    if (is_handle_link(other->inode)) { /* opened by O_PATH: it would lead here for ever */
        file_unref(other);
        return ERR_TOO_MANY_SYMLINKS;
    }
    /* A kernel object has no file to open anew; a file's owner may have changed its mode meanwhile. */
    enum status permission = other->inode->operations == NULL ? ERR_NOT_PERMITTED : OK;
    if (permission == OK &&
        !permitted(other->inode, (file->readable ? MAY_READ : 0U) | (file->writable ? MAY_WRITE : 0U)))
        permission = ERR_ACCESS;
    if (permission != OK) {
        file_unref(other);
        return permission;
    }
    struct inode *node = file->inode;
    inode_ref(other->inode);
    file->inode = other->inode;
    file->operations = other->inode->operations;
    inode_unref(node);
    if (file->operations->open != NULL)
        status = file->operations->open(file);
    file_unref(other);
    return status;
}

const struct file_operations handle_file_operations = {.open = handle_file_open};

enum status handle_link_follow(const struct inode *link, struct inode **out) {
    struct file *file;
    enum status status = handle_of_link(link, &file);
    if (status != OK)
        return status;
    *out = file->inode;
    inode_ref(*out);
    file_unref(file);
    return OK;
}

/* The name in /dev of a device, or NULL. names_lock held. */
static const char *device_name(const struct inode *inode) {
    struct path_walk walk;
    const struct directory_entry *entry;
    enum status status = path_walk(mount_cross(root_inode), "dev", NULL, 0, &walk);
    if (status != OK || walk.inode == NULL || walk.inode->mount != NULL)
        return NULL;
    for (uint64_t slot = 0; (entry = directory_at(&walk.inode->directory, slot)) != NULL; slot = entry->slot + 1) {
        if (entry->inode == inode)
            return entry->name;
    }
    return NULL;
}

static size_t describe(const struct file *file, char *to, size_t size) {
    struct inode *inode = file->inode;
    char *path;
    if (inode->operations == NULL)
        return format_string(to, size, "anon_inode:[%lu]", (unsigned long)inode->number);
    switch (inode->mode & S_IFMT) {
    case S_IFIFO:
        if (inode->mount != NULL)
            return format_string(to, size, "inode:[%lu]", (unsigned long)inode->number);
        return format_string(to, size, "pipe:[%lu]", (unsigned long)inode->number);
    case S_IFSOCK:
        return format_string(to, size, "socket:[%lu]", (unsigned long)inode->number);
    case S_IFCHR:
        if (inode->special->major == MAJOR_OF_PTYS)
            return format_string(to, size, "/dev/pts/%u%s", inode->special->minor,
                                 inode->links > 0 ? "" : " (deleted)");
        path = (char *)(uintptr_t)device_name(inode);
        return path != NULL ? format_string(to, size, "/dev/%s", path) : 0;
    case S_IFDIR:
        if (names_path(inode, NULL, 0, to, size, &path) != OK)
            return 0;
        return format_string(to, size, "%s", path); /* moves it to the front */
    default:                                        /* no inode knows its names */
        return format_string(to, size, "inode:[%lu]", (unsigned long)inode->number);
    }
}

size_t handle_link_text(const struct inode *link, char *to, size_t size) {
    struct file *file;
    if (handle_of_link(link, &file) != OK)
        return 0;
    size_t length = describe(file, to, size);
    file_unref(file);
    return length < size ? length : size - 1;
}

static void information_text(struct text *text, const struct inode *inode) {
    const struct file *file = handle_borrow((int)inode->part);
    if (file == NULL)
        return;
    const uint64_t position = file->position;
    const uint32_t flags = file->flags;
    const unsigned long number = file->inode->number;
    handle_give_back();
    char octal[12];
    size_t at = sizeof(octal) - 1;
    octal[at] = '\0';
    for (uint32_t rest = flags; rest != 0 || at == sizeof(octal) - 1; rest >>= 3)
        octal[--at] = (char)('0' + (rest & 7));
    text_add(text, "pos:\t%lu\nflags:\t0%s\nmnt_id:\t1\nino:\t%lu\n", position, octal + at, number);
}

const struct special_file handle_information = {.operations = &own_text_operations, .generate = information_text};
