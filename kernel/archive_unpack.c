/*
 * Makes the initial name tree: what is in the boot archive, then the kernel's own files.
 *
 * The archive is read where it lies; contents are copied into memory objects (SECRET from birth). The kernel reads it
 * before there is any user space, so nobody else's secret is in reach. Locks: names_lock, taken inside. Boot only.
 */
#include "kernel/archive.h"
#include "kernel/device.h"
#include "kernel/file.h"
#include "kernel/name_cache.h"
#include "kernel/names.h"
#include "kernel/node.h"
#include "kernel/print.h"
#include "kernel/string.h"
#include "mm/object.h"

static void set_attributes(struct inode *inode, const struct archive_entry *entry) {
    inode->uid = entry->uid;
    inode->gid = entry->gid;
    inode->modified = inode_time(&(struct linux_timespec){.seconds = entry->modified});
}

static enum status make_parents(const char *path) {
    char parent[sizeof(((struct archive_entry *)0)->path)];
    size_t length = strlcpy(parent, path, sizeof(parent));
    while (length > 0 && parent[--length] != '/')
        continue;
    parent[length] = '\0';
    return length > 0 ? names_make_directories(parent) : OK;
}

static enum status make_file(const struct archive_entry *entry, struct inode **out) {
    enum status status = names_new_file(entry->mode & S_PERMISSIONS, out);
    if (status != OK)
        return status;
    if (entry->bytes > 0)
        status = object_write_kernel((*out)->object, 0, entry->content, entry->bytes);
    if (status != OK)
        inode_unref(*out);
    return status;
}

static enum status make_link(const struct archive_entry *entry, struct inode **out) {
    char target[sizeof(entry->path)];
    if (entry->bytes == 0 || entry->bytes >= sizeof(target))
        return ERR_INVALID;
    memcpy(target, entry->content, entry->bytes);
    target[entry->bytes] = '\0';
    return names_new_link(target, out);
}

static enum status unpack_entry(const struct archive_entry *entry) {
    struct inode *inode;
    enum status status;
    switch (entry->mode & S_IFMT) {
    case S_IFDIR:
        status = names_new_directory(entry->mode & S_PERMISSIONS, &inode);
        break;
    case S_IFREG:
        status = make_file(entry, &inode);
        break;
    case S_IFLNK:
        status = make_link(entry, &inode);
        break;
    default: /* devices and the like: the kernel makes its own */
        return OK;
    }
    if (status != OK)
        return status;
    set_attributes(inode, entry);
    return names_attach_at(entry->path, inode);
}

static enum status unpack(const void *archive, size_t bytes) {
    static struct archive_entry entry; /* too large for the stack; names are metadata. Boot only */
    const char *reason = "";
    size_t offset = 0;
    for (unsigned count = 0;; count++) {
        enum status status = archive_next(archive, bytes, &offset, &entry, &reason);
        if (status != OK) {
            kprintf("archive: damaged at byte %zu of %zu: %s (after %u entries)\n", offset, bytes, reason, count);
            return ERR_INVALID;
        }
        if (entry.mode == 0)
            return OK;
        status = unpack_entry(&entry);
        if (status == ERR_NO_ENTRY) { /* the archive does not list the directory first */
            status = make_parents(entry.path);
            if (status == OK)
                status = unpack_entry(&entry);
        }
        if (status == ERR_EXISTS && (entry.mode & S_IFMT) == S_IFDIR)
            status = OK;
        if (status != OK) {
            kprintf("archive: cannot make %s: %s\n", entry.path, status_name(status));
            return status == ERR_NO_MEMORY ? status : ERR_INVALID;
        }
    }
}

static enum status make_scratch_directory(void) {
    struct inode *inode;
    enum status status = names_new_directory(01777, &inode);
    return status == OK ? names_attach_at("/tmp", inode) : status;
}

/* What the root has so far is the kernel's own, and seen whatever is mounted there. */
static void pin_own_names(void) {
    struct directory_entry *entry;
    for (uint64_t slot = 0; (entry = directory_at(&root_inode->directory, slot)) != NULL; slot = entry->slot + 1)
        entry->pinned = true;
}

enum status names_init(const void *archive, size_t bytes) {
    nodes_init();
    cache_init();
    enum status status = names_make_root();
    if (status == OK)
        status = devices_init();
    if (status == OK)
        status = procfs_init();
    pin_own_names();
    if (status == OK && archive != NULL)
        status = make_scratch_directory();
    if (status != OK) {
        kprintf("names: cannot make the first files: %s\n", status_name(status));
        return status;
    }
    return archive != NULL ? unpack(archive, bytes) : OK;
}
