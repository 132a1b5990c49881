/*
 * What the kernel puts into the name tree while it boots.
 *
 * Locks: names_lock, taken inside. Boot only: one thread, so what a walk found still holds when the lock is taken anew.
 */
#include "kernel/archive.h"
#include "kernel/device.h"
#include "kernel/names.h"

enum status names_attach_at(const char *path, struct inode *inode) {
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
