/*
 * Permissions. Reads modes and owners only; no locks. Runs in the caller's space.
 */
#include "kernel/permission.h"

#include "kernel/mount.h"
#include "kernel/process.h"

#define S_STICKY 01000U

/* NULL: the kernel itself, at boot. */
static const struct process *caller(void) {
    const struct thread *thread = thread_current();
    return thread != NULL ? thread->process : NULL;
}

/* The user by whom files are judged now. */
static uint32_t user_of(const struct process *process) {
    return thread_current()->by_real_ids ? process->user.real : process->user.file;
}

bool permitted_as_root(void) {
    const struct process *process = caller();
    return process == NULL || user_of(process) == 0;
}

bool permitted(const struct inode *inode, unsigned wanted) {
    const struct process *process = caller();
    if (process == NULL || user_of(process) == 0)
        return !(wanted & MAY_EXECUTE) || inode_is(inode, S_IFDIR) || (inode->mode & S_ANY_EXECUTE);
    uint32_t bits = inode->mode;
    if (user_of(process) == inode->uid)
        bits >>= 6;
    else if (identity_in_group(inode->gid, thread_current()->by_real_ids))
        bits >>= 3;
    return (wanted & ~bits) == 0;
}

bool permitted_as_owner(const struct inode *inode) {
    return permitted_as_root() || user_of(thread_current()->process) == inode->uid;
}

enum status permit_change(const struct inode *directory) {
    if (!permitted(directory, MAY_WRITE | MAY_EXECUTE))
        return ERR_ACCESS;
    return directory->mount != NULL ? mount_writable(directory->mount) : ERR_READ_ONLY;
}

enum status permit_removal(const struct inode *directory, const struct inode *inode) {
    enum status status = permit_change(directory);
    if (status == OK && (directory->mode & S_STICKY) && !permitted_as_owner(directory) && !permitted_as_owner(inode))
        status = ERR_NOT_PERMITTED;
    return status;
}
