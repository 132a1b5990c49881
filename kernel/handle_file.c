/*
 * /proc/self/fd: opening N there opens anew what the caller's handle N is open on. /dev/stdin and its like lead here.
 *
 * The nodes are fixed, one for each of the first numbers; which files they mean is decided when they are opened.
 * Locks: handle_lock inside handle_get(). Runs in the caller's space.
 */
#include "kernel/device.h"
#include "kernel/names.h"
#include "kernel/open_file.h"
#include "kernel/permission.h"
#include "kernel/print.h"

#define HANDLE_FILES 64U /* shells use up to /dev/fd/63 */

static struct special_file numbers[HANDLE_FILES]; /* constant after handle_files_init() */

static enum status handle_file_open(struct file *file) {
    struct file *other;
    enum status status = handle_get((int)file->inode->special->minor, &other);
    if (status != OK)
        return ERR_NO_ENTRY;
    if (other->inode->operations == file->operations) { /* opened by O_PATH: it would lead here for ever */
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

static const struct file_operations handle_file_operations = {.open = handle_file_open};

enum status handle_files_init(void) {
    char path[32];
    enum status status = names_make_directories("/proc/self/fd");
    for (unsigned i = 0; i < HANDLE_FILES && status == OK; i++) {
        numbers[i] = (struct special_file){.operations = &handle_file_operations, .minor = i};
        format_string(path, sizeof(path), "/proc/self/fd/%u", i);
        status = names_make_special(path, S_IFCHR | 0600, &numbers[i]);
    }
    return status;
}
