/*
 * What the kernel puts into the name tree while it boots.
 *
 * Locks: names_lock, taken inside. Boot only: one thread, so what a walk found still holds when the lock is taken anew.
 */
#include "kernel/device.h"
#include "kernel/file.h"
#include "kernel/name_cache.h"
#include "kernel/names.h"
#include "kernel/node.h"
#include "kernel/print.h"

static enum status names_attach_at(const char *path, struct inode *inode) {
    struct path_walk walk;
    spin_lock(&names_lock);
    enum status status = path_walk(root_inode, path, NULL, WALK_PARENT, &walk);
    if (status == OK)
        status = names_attach(&walk, inode);
    spin_unlock(&names_lock);
    inode_unref(inode);
    return status;
}

enum status names_make_directories(const char *path) {
    static char part[PATH_MAX / 4]; /* boot only */
    size_t length = 0;
    for (;;) {
        do {
            if (length + 1 >= sizeof(part))
                return ERR_NAME_TOO_LONG;
            part[length] = path[length];
            length++;
        } while (path[length] != '/' && path[length] != '\0');
        part[length] = '\0';
        struct inode *inode;
        enum status status = names_new_directory(0755, &inode);
        if (status == OK)
            status = names_attach_at(part, inode);
        if (status != OK && status != ERR_EXISTS)
            return status;
        if (path[length] == '\0')
            return OK;
    }
}

enum status names_make_special(const char *path, uint32_t mode, const struct special_file *special) {
    struct inode *inode;
    enum status status = inode_create(mode, &inode);
    if (status != OK)
        return status;
    inode->operations = special->operations;
    inode->special = special;
    return names_attach_at(path, inode);
}

enum status names_make_symlink(const char *path, const char *target) {
    struct inode *inode;
    enum status status = names_new_link(target, &inode);
    return status == OK ? names_attach_at(path, inode) : status;
}

/* What the root has so far is the kernel's own, and seen whatever is mounted there. */
static void pin_own_names(void) {
    struct directory_entry *entry;
    for (uint64_t slot = 0; (entry = directory_at(&root_inode->directory, slot)) != NULL; slot = entry->slot + 1)
        entry->pinned = true;
}

enum status names_init(void) {
    nodes_init();
    cache_init();
    enum status status = names_make_root();
    if (status == OK)
        status = devices_init();
    if (status == OK)
        status = procfs_init();
    pin_own_names();
    if (status != OK) {
        kprintf("names: cannot make the first files: %s\n", status_name(status));
    }
    return status;
}
