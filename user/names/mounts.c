/*
 * The mount table. A mount lives as long as its handle: here, and with init as the keeper.
 */
#include "user/names/mounts.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "user/lib/names.h"
#include "user/lib/native.h"
#include "user/names/keeper.h"
#include "user/names/registry.h"

enum { MOUNTS = 16, PATH_BYTES = 256, SOURCE_BYTES = 48 };

struct mount {
    struct {
        char service[NAME_BYTES], path[PATH_BYTES], source[SOURCE_BYTES]; /* path "": free */
        uint32_t flags;
    } record;
    int handle;
};

static struct mount mounts[MOUNTS];

static struct mount *find(const char *path) {
    for (unsigned i = 0; i < MOUNTS; i++) {
        if (strcmp(mounts[i].record.path, path) == 0) {
            return &mounts[i];
        }
    }
    return NULL;
}

static unsigned record_of(const struct mount *mount) { return KEEPER_FIRST_MOUNT + (unsigned)(mount - mounts); }

static int attach(const struct mount *mount, int endpoint) {
    return syscall(SYS_MOUNT_ATTACH, mount->handle, endpoint) == 0 ? 0 : errno;
}

/* The kind of file system is the service's name as far as a slash. */
static int mount_it(struct mount *mount, uint64_t root, int endpoint) {
    struct mount_options options = {.root = root, .flags = mount->record.flags};
    size_t length = strcspn(mount->record.service, "/");
    length = length < sizeof options.type ? length : sizeof options.type - 1;
    memcpy(options.type, mount->record.service, length);
    memcpy(options.source, mount->record.source, sizeof options.source);
    if (mkdir(mount->record.path, 0755) < 0 && errno != EEXIST) {
        return errno;
    }
    mount->handle =
        (int)syscall(SYS_MOUNT, handle_from_environment("PENUMBRA_AUTHORITY"), mount->record.path, endpoint, &options);
    return mount->handle >= 0 ? 0 : errno;
}

int mounts_add(const char *service, const char *path, const char *source, uint32_t flags, uint64_t root, int endpoint,
               int *handle) {
    if (strlen(service) >= NAME_BYTES || strlen(path) >= PATH_BYTES || strlen(source) >= SOURCE_BYTES) {
        return ENAMETOOLONG;
    }
    struct mount *mount = find(path);
    if (mount != NULL) {
        *handle = mount->handle;
        return strcmp(mount->record.service, service) == 0 ? attach(mount, endpoint) : EBUSY;
    }
    mount = find("");
    if (mount == NULL) {
        return ENOSPC;
    }
    memset(mount, 0, sizeof *mount);
    snprintf(mount->record.service, NAME_BYTES, "%s", service);
    snprintf(mount->record.path, PATH_BYTES, "%s", path);
    snprintf(mount->record.source, SOURCE_BYTES, "%s", source);
    mount->record.flags = flags;
    int error = mount_it(mount, root, endpoint);
    if (error != 0) {
        mount->record.path[0] = '\0';
        return error;
    }
    keeper_put(record_of(mount), &mount->record, sizeof mount->record, mount->handle);
    *handle = mount->handle;
    return 0;
}

static void take_out(struct mount *mount) {
    keeper_drop(record_of(mount));
    close(mount->handle);
    mount->record.path[0] = '\0';
}

int mounts_remove(const char *path) {
    struct mount *mount = path[0] != '\0' ? find(path) : NULL;
    if (mount == NULL) {
        return ENOENT;
    }
    if (syscall(SYS_MOUNT_FORGET, mount->handle, 0L, 0L) < 0 && errno != ENOSYS) {
        return errno;
    }
    take_out(mount);
    return 0;
}

int mounts_abandon(const char *service) {
    for (unsigned i = 0; i < MOUNTS; i++) {
        if (mounts[i].record.path[0] != '\0' && strcmp(mounts[i].record.service, service) == 0) {
            take_out(&mounts[i]);
        }
    }
    return 0;
}

void mounts_attach(const char *service, int endpoint) {
    for (unsigned i = 0; i < MOUNTS; i++) {
        if (mounts[i].record.path[0] != '\0' && strcmp(mounts[i].record.service, service) == 0) {
            int error = attach(&mounts[i], endpoint);
            if (error != 0) {
                fprintf(stderr, "names: %s: %s\n", mounts[i].record.path, strerror(error));
            }
        }
    }
}

const char *mounts_service_at(const char *path) {
    const struct mount *mount = path[0] != '\0' ? find(path) : NULL;
    return mount != NULL ? mount->record.service : NULL;
}

void mounts_restore(void) {
    for (unsigned i = 0; i < MOUNTS; i++) {
        if (!keeper_get(record_of(&mounts[i]), &mounts[i].record, sizeof mounts[i].record, &mounts[i].handle)) {
            mounts[i].record.path[0] = '\0';
            continue;
        }
        int endpoint = registry_find(mounts[i].record.service);
        if (endpoint >= 0) {
            attach(&mounts[i], endpoint); /* it may have come between the record of the service and the mount */
        }
    }
}

void mounts_list(char *list, size_t room) {
    for (unsigned i = 0; i < MOUNTS; i++) {
        if (mounts[i].record.path[0] != '\0') {
            size_t length = strlen(list);
            snprintf(list + length, room - length, "mount %s of %s by %s\n", mounts[i].record.path,
                     mounts[i].record.source, mounts[i].record.service);
        }
    }
}
