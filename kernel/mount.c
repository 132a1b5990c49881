/*
 * Owns: the list of mounts, and which root is seen in the place of which directory.
 *
 * Invariant: a directory's `mounted` and a living mount's `covered` say the same. Locks: names_lock. Class GLOBAL. Runs
 * in the caller's space.
 */
#include "kernel/mount.h"

#include "kernel/fs_call.h"
#include "kernel/name_cache.h"
#include "kernel/names.h"
#include "kernel/node.h"
#include "kernel/string.h"
#include "kernel/time.h"
#include "mm/heap.h"

static struct list mounts = {&mounts, &mounts};
static uint32_t last_id = 1; /* st_dev: 1 is the kernel's own. Atomic */

void mount_ref(struct mount *mount) { __atomic_fetch_add(&mount->refs, 1, __ATOMIC_RELAXED); }

void mount_unref(struct mount *mount) {
    if (__atomic_sub_fetch(&mount->refs, 1, __ATOMIC_ACQ_REL) != 0)
        return;
    server_unref(mount->server);
    global_free(mount, sizeof(*mount));
}

static enum status ask_root(struct mount *mount) {
    struct fs_call call = {.op = FS_GETATTR, .request.node = mount->options.root};
    enum status status = fs_call(mount, &call);
    if (status == OK && (call.reply.attributes.mode & S_IFMT) != S_IFDIR)
        status = ERR_NOT_DIRECTORY;
    if (status != OK)
        return status;
    spin_lock(&names_lock);
    status = node_get(mount, &call.reply.attributes, &mount->root);
    if (status == OK)
        mount->root->directory.parent = mount->root;
    spin_unlock(&names_lock);
    return status;
}

enum status mount_create(struct server *server, const struct mount_options *options, struct mount **out) {
    struct mount *mount = global_alloc(sizeof(*mount));
    if (mount == NULL)
        return ERR_NO_MEMORY;
    mount->refs = 1;
    mount->id = __atomic_add_fetch(&last_id, 1, __ATOMIC_RELAXED);
    mount->options = *options;
    mount->changes = time_monotonic();
    mutex_init(&mount->rename_lock);
    mutex_init(&mount->room_lock);
    wait_queue_init(&mount->changed);
    list_init(&mount->link);
    server_ref(server);
    mount->server = server;
    enum status status = ask_root(mount);
    if (status != OK)
        mount_unref(mount);
    else
        *out = mount;
    return status;
}

enum status mount_enter(struct mount *mount, struct inode *directory) {
    spin_lock(&names_lock);
    enum status status = directory->links == 0 ? ERR_NO_ENTRY : OK;
    if (status == OK && directory->directory.mounted != NULL)
        status = ERR_BUSY; /* another was faster: the caller saw no root here */
    if (status == OK) {
        inode_ref(directory);
        mount->covered = directory;
        mount->pinned = directory->mount == NULL;
        directory->directory.mounted = mount;
        list_push_back(&mounts, &mount->link);
    }
    spin_unlock(&names_lock);
    return status;
}

void mount_remove(struct mount *mount) {
    spin_lock(&names_lock);
    struct inode *root = mount->root, *covered = mount->covered;
    if (covered != NULL) {
        covered->directory.mounted = NULL;
        list_remove(&mount->link);
    }
    mount->covered = NULL;
    mount->root = NULL;
    spin_unlock(&names_lock);
    server_abandon(mount->server);
    if (covered != NULL)
        inode_unref(covered);
    if (root != NULL)
        inode_unref(root);
    nodes_forget_mount(mount);
}

struct inode *mount_cross(struct inode *directory) {
    while (directory->directory.mounted != NULL)
        directory = directory->directory.mounted->root;
    return directory;
}

struct inode *mount_uncross(struct inode *directory) {
    while (directory->mount != NULL && directory == directory->mount->root && directory->mount->covered != NULL)
        directory = directory->mount->covered;
    return directory;
}

struct mount *mount_at(unsigned index) {
    struct mount *found = NULL;
    spin_lock(&names_lock);
    list_for_each(link, &mounts) {
        if (index-- == 0) {
            found = container_of(link, struct mount, link);
            mount_ref(found);
            break;
        }
    }
    spin_unlock(&names_lock);
    return found;
}

void mount_describe(struct mount *mount, struct mount_state *state) {
    char *path = NULL, text[sizeof(state->path)];
    memset(state, 0, sizeof(*state));
    memcpy(state->type, mount->options.type, sizeof(state->type));
    memcpy(state->source, mount->options.source, sizeof(state->source));
    state->flags = mount->options.flags;
    state->attached = server_is_attached(mount->server);
    state->calls = __atomic_load_n(&mount->calls, __ATOMIC_RELAXED);
    spin_lock(&names_lock);
    state->names = mount->names;
    state->negative_names = mount->negative_names;
    state->hits = mount->hits;
    state->misses = mount->misses;
    enum status status = ERR_NO_ENTRY;
    if (mount->root != NULL)
        status = names_path(mount->root, NULL, 0, text, sizeof(text), &path);
    spin_unlock(&names_lock);
    if (status == OK)
        strlcpy(state->path, path, sizeof(state->path));
}

static void sync_one(struct mount *mount) {
    struct fs_call call = {.op = FS_SYNC};
    if (mount_is_memory(mount) || (mount->options.flags & MOUNT_READ_ONLY))
        return;
    if (nodes_save_all(mount) != OK || fs_call(mount, &call) != OK)
        return; /* sync() tells nobody */
}

void mounts_sync(void) {
    struct mount *mount;
    for (unsigned index = 0; (mount = mount_at(index)) != NULL; index++) {
        sync_one(mount);
        mount_unref(mount);
    }
}
