/*
 * Mounts as system calls: SYS_MOUNT and its relatives, SYS_CACHE_DROP.
 *
 * A mount is a handle: whoever has it is the one that the kernel believes about that file system, and the mount goes
 * with the last of them. Locks: those of mount.c and name_cache.c. Runs in the caller's space.
 */
#include "arch/uaccess.h"
#include "kernel/authority.h"
#include "kernel/mount.h"
#include "kernel/name_cache.h"
#include "kernel/node.h"
#include "kernel/open_file.h"
#include "kernel/path.h"
#include "kernel/permission.h"
#include "kernel/string.h"
#include "kernel/syscall_table.h"
#include "kernel/time.h"
#include "mm/heap.h"
#include "mm/object.h"
#include "mm/pager.h"

#define NS_PER_MS 1000000UL

static void mount_release(struct file *file) {
    mount_remove(file->target);
    mount_unref(file->target);
}

/* No `reference`: a mount is not minted from. It may be passed on. */
static const struct file_operations mount_file_operations = {.release = mount_release};

static enum status get_mount(int fd, struct file **file, struct mount **mount) {
    enum status status = handle_get_kind(fd, &mount_file_operations, 0, file);
    if (status == OK)
        *mount = (*file)->target;
    return status;
}

static enum status check_options(struct mount_options *options) {
    options->type[sizeof(options->type) - 1] = options->source[sizeof(options->source) - 1] = '\0';
    bool valid = options->root != 0 && !(options->flags & ~(MOUNT_MEMORY | MOUNT_READ_ONLY));
    return valid ? OK : ERR_INVALID;
}

/* The mount handle; the reference on `mount` passes. */
static enum status publish(struct mount *mount, struct inode *directory, int64_t *fd) {
    struct file *file;
    enum status status = file_create_on(&mount_file_operations, mount, RIGHT_TRANSFER, &file);
    if (status != OK) {
        mount_remove(mount);
        mount_unref(mount);
        return status;
    }
    status = mount_enter(mount, directory);
    if (status != OK) {
        file_unref(file);
        return status;
    }
    return handle_publish(file, fd);
}

static enum status mount_at_directory(struct inode *directory, struct endpoint *endpoint,
                                      const struct mount_options *options, int64_t *fd) {
    struct server *server;
    struct mount *mount;
    uint64_t timeout = options->timeout_ms != 0 ? options->timeout_ms * NS_PER_MS : PAGER_TIMEOUT_NS;
    if (!inode_is(directory, S_IFDIR))
        return ERR_NOT_DIRECTORY;
    enum status status = server_create(endpoint, timeout, &server);
    if (status != OK)
        return status;
    status = mount_create(server, options, &mount);
    server_unref(server);
    return status == OK ? publish(mount, directory, fd) : status;
}

enum status sys_mount(struct syscall *call) {
    struct mount_options options;
    struct endpoint *endpoint;
    struct inode *directory;
    enum status status = authority_check((int)call->arg[0], RIGHT_NAMESPACE);
    if (status == OK)
        status = copy_from_user(&options, call->arg[3], sizeof(options));
    if (status == OK)
        status = check_options(&options);
    if (status == OK)
        status = endpoint_get((int)call->arg[2], RIGHT_CALL, &endpoint, NULL);
    if (status != OK)
        return status;
    status = path_lookup(AT_FDCWD, call->arg[1], 0, &directory);
    if (status == OK) {
        status = mount_at_directory(directory, endpoint, &options, &call->result);
        inode_unref(directory);
    }
    endpoint_unref(endpoint);
    return status;
}

enum status sys_mount_attach(struct syscall *call) {
    struct file *file;
    struct mount *mount;
    struct endpoint *endpoint;
    enum status status = get_mount((int)call->arg[0], &file, &mount);
    if (status != OK)
        return status;
    status = endpoint_get((int)call->arg[1], RIGHT_CALL, &endpoint, NULL);
    if (status == OK) {
        server_attach(mount->server, endpoint);
        endpoint_unref(endpoint);
    }
    file_unref(file);
    return status;
}

/* Before a mount is taken out in an orderly way. */
static enum status save_and_forget(struct mount *mount) {
    enum status status = nodes_save_all(mount);
    if (status == OK)
        status = cache_drop();
    if (status == OK && nodes_in_use(mount))
        status = ERR_BUSY;
    return status;
}

enum status sys_mount_forget(struct syscall *call) {
    struct file *file;
    struct mount *mount;
    char name[NAME_MAX + 1];
    size_t length = 0;
    enum status status = get_mount((int)call->arg[0], &file, &mount);
    if (status != OK)
        return status;
    if (call->arg[2] != 0)
        status = copy_string_from_user(name, call->arg[2], sizeof(name), &length);
    if (status == OK && call->arg[1] == 0)
        status = save_and_forget(mount);
    else if (status == OK)
        cache_revoke(mount, call->arg[1], call->arg[2] != 0 ? name : NULL, length);
    file_unref(file);
    return status;
}

enum status sys_mount_adopt(struct syscall *call) {
    struct file *file, *pages;
    struct mount *mount;
    enum status status = get_mount((int)call->arg[0], &file, &mount);
    if (status != OK)
        return status;
    status = handle_get((int)call->arg[2], &pages);
    if (status == OK) {
        bool fits = pages->operations->memory && pages->object != NULL && (pages->rights & RIGHT_WRITE) &&
                    pages->object->pager == NULL && mount_is_memory(mount);
        status = fits && call->arg[1] != 0 ? OK : ERR_INVALID;
        if (status == OK)
            status = object_resize(pages->object, call->arg[3]);
        if (status == OK)
            status = node_adopt(mount, call->arg[1], pages->object);
        file_unref(pages);
    }
    file_unref(file);
    return status;
}

enum status sys_mount_table(struct syscall *call) {
    struct mount *mount = mount_at((unsigned)call->arg[0]);
    struct mount_state *state = local_alloc(sizeof(*state));
    enum status status = ERR_NO_ENTRY;
    if (state == NULL) {
        status = ERR_NO_MEMORY;
    } else if (mount != NULL) {
        mount_describe(mount, state);
        status = copy_to_user(call->arg[1], state, sizeof(*state));
    }
    if (state != NULL)
        local_free(state, sizeof(*state));
    if (mount != NULL)
        mount_unref(mount);
    return status;
}

enum status sys_cache_drop(struct syscall *call) {
    (void)call;
    if (!permitted_as_root())
        return ERR_NOT_PERMITTED;
    pager_drop_clean_pages();
    enum status status = cache_drop();
    pager_drop_clean_pages();
    return status;
}
