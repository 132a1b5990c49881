/*
 * Extended attributes: no file has any, and none can be given one, as on a file system without them. The file is looked
 * for all the same. No state. Runs in the caller's space; may sleep.
 */
#include "kernel/node.h"
#include "kernel/open_file.h"
#include "kernel/path.h"
#include "kernel/syscall_table.h"

static enum status look_for(vaddr_t path, unsigned flags) {
    struct inode *inode;
    enum status status = path_lookup(AT_FDCWD, path, flags, &inode);

    if (status == OK)
        inode_unref(inode);
    return status;
}

static enum status look_for_open(uint64_t fd) {
    struct file *file;
    enum status status = handle_get((int)fd, &file);

    if (status != OK)
        return status;
    status = file->flags & O_PATH ? ERR_BAD_HANDLE : OK;
    file_unref(file);
    return status;
}

static enum status unsupported(enum status status) { return status == OK ? ERR_NOT_SUPPORTED : status; }

enum status sys_setxattr(struct syscall *call) { return unsupported(look_for(call->arg[0], 0)); }
enum status sys_lsetxattr(struct syscall *call) { return unsupported(look_for(call->arg[0], AT_SYMLINK_NOFOLLOW)); }
enum status sys_fsetxattr(struct syscall *call) { return unsupported(look_for_open(call->arg[0])); }
enum status sys_getxattr(struct syscall *call) { return unsupported(look_for(call->arg[0], 0)); }
enum status sys_lgetxattr(struct syscall *call) { return unsupported(look_for(call->arg[0], AT_SYMLINK_NOFOLLOW)); }
enum status sys_fgetxattr(struct syscall *call) { return unsupported(look_for_open(call->arg[0])); }
enum status sys_removexattr(struct syscall *call) { return unsupported(look_for(call->arg[0], 0)); }
enum status sys_lremovexattr(struct syscall *call) { return unsupported(look_for(call->arg[0], AT_SYMLINK_NOFOLLOW)); }
enum status sys_fremovexattr(struct syscall *call) { return unsupported(look_for_open(call->arg[0])); }

/* The list is empty. */
enum status sys_listxattr(struct syscall *call) { return look_for(call->arg[0], 0); }
enum status sys_llistxattr(struct syscall *call) { return look_for(call->arg[0], AT_SYMLINK_NOFOLLOW); }
enum status sys_flistxattr(struct syscall *call) { return look_for_open(call->arg[0]); }
