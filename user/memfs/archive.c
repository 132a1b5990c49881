/*
 * Feeding the file system from the boot archive. See archive.h.
 *
 * Pages change owners instead of being copied: from the archive's object to one for the file, which the kernel adopts
 * as the file's. Only what shares a page with something else is copied. All this is before any program runs that could
 * kill the server; a state that was not filled to the end is of no use.
 */
#include "user/memfs/archive.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "user/lib/cpio.h"
#include "user/lib/native.h"
#include "user/lib/objects.h"
#include "user/memfs/tree.h"

enum { PAGE = 4096 };

#define SECOND_NS 1000000000LL

/* --- Names -------------------------------------------------------------------------------------------------------- */

static int make(struct state *state, uint64_t directory, struct name name, const struct fs_attributes *wanted,
                struct name target, struct fs_attributes *out) {
    int error = tree_create(state, directory, name, wanted, target, wanted->modified, out);
    if (error == 0) {
        return state_commit(state) ? 0 : ENOSPC;
    }
    state_drop(state);
    return error;
}

/*
 * The directory that a path's last name is in, which is left in *last; directories that the archive does not list
 * before are made.
 */
static int find_directory(struct state *state, const char *path, uint64_t *directory, struct name *last) {
    *directory = ROOT_NODE;
    for (;;) {
        const struct fs_attributes usual = {.mode = S_IFDIR | 0755};
        struct fs_attributes found;
        path += strspn(path, "/");
        *last = (struct name){path, strcspn(path, "/")};
        path += last->length;
        if (path[strspn(path, "/")] == '\0') {
            return 0;
        }
        int error = tree_lookup(state, *directory, *last, &found);
        if (error == ENOENT) {
            error = make(state, *directory, *last, &usual, (struct name){"", 0}, &found);
        }
        if (error != 0) {
            return error;
        }
        *directory = found.node;
    }
}

static int read_target(int archive, const struct cpio_entry *entry, char *target, struct name *name) {
    *name = (struct name){target, 0};
    if (!S_ISLNK(entry->mode)) {
        return 0;
    }
    if (entry->bytes > FS_PATH_MAX ||
        pread(archive, target, entry->bytes, (off_t)entry->content) < (ssize_t)entry->bytes) {
        return EINVAL;
    }
    name->length = entry->bytes;
    return 0;
}

static int set_attributes(struct state *state, uint64_t node, const struct cpio_entry *entry) {
    const uint32_t set = FS_SET_MODE | FS_SET_OWNER | FS_SET_ACCESSED | FS_SET_MODIFIED | FS_SET_CHANGED |
                         (S_ISREG(entry->mode) ? FS_SET_SIZE : 0);
    const int64_t time = entry->modified * SECOND_NS;
    const struct fs_attributes wanted = {.mode = entry->mode,
                                         .uid = entry->uid,
                                         .gid = entry->gid,
                                         .size = entry->bytes,
                                         .accessed = time,
                                         .modified = time,
                                         .changed = time};
    struct fs_attributes out;
    int error = tree_set(state, node, set, &wanted, time, &out);
    if (error == 0) {
        return state_commit(state) ? 0 : ENOSPC;
    }
    state_drop(state);
    return error;
}

static int make_entry(struct state *state, int archive, const struct cpio_entry *entry) {
    char target_bytes[FS_PATH_MAX];
    struct fs_attributes made = {.node = ROOT_NODE}, wanted = {.mode = entry->mode};
    uint64_t directory;
    struct name name, target;
    if (!S_ISREG(entry->mode) && !S_ISDIR(entry->mode) && !S_ISLNK(entry->mode)) {
        return 0; /* devices and the like: the kernel makes its own */
    }
    int error = read_target(archive, entry, target_bytes, &target);
    if (error == 0) {
        error = find_directory(state, entry->path, &directory, &name);
    }
    if (error == 0 && name.length > 0) {
        error = make(state, directory, name, &wanted, target, &made);
    }
    if (error == EEXIST && S_ISDIR(entry->mode)) {
        error = tree_lookup(state, directory, name, &made);
    }
    return error == 0 ? set_attributes(state, made.node, entry) : error;
}

/* Calls visit() for each entry. */
static int for_each_entry(struct state *state, int archive, int with,
                          int (*visit)(struct state *state, int archive, int with, const struct cpio_entry *entry)) {
    static struct cpio_entry entry;
    uint64_t offset = 0;
    for (;;) {
        if (cpio_next(archive, &offset, &entry) < 0) {
            fprintf(stderr, "memfs: the archive is damaged at byte %llu\n", (unsigned long long)offset);
            return errno;
        }
        if (entry.mode == 0) {
            return 0;
        }
        int error = visit(state, archive, with, &entry);
        if (error != 0) {
            fprintf(stderr, "memfs: cannot make /%s: %s\n", entry.path, strerror(error));
            return error;
        }
    }
}

static int visit_name(struct state *state, int archive, int with, const struct cpio_entry *entry) {
    (void)with;
    return make_entry(state, archive, entry);
}

int archive_make_names(struct state *state, int archive) {
    /* What programs take for granted, in the archive or not; /dev/shm leads to the last. */
    static const struct cpio_entry directories[] = {{.path = "tmp", .mode = S_IFDIR | 01777},
                                                    {.path = "run", .mode = S_IFDIR | 0755},
                                                    {.path = "run/shm", .mode = S_IFDIR | 01777}};
    int error = for_each_entry(state, archive, -1, visit_name);
    for (unsigned i = 0; i < sizeof directories / sizeof directories[0] && error == 0; i++) {
        error = make_entry(state, archive, &directories[i]);
    }
    return error;
}

/* --- Pages -------------------------------------------------------------------------------------------------------- */

static int copy(int to, uint64_t at, int from, uint64_t offset, uint64_t bytes) {
    static char buffer[16 * PAGE];
    while (bytes > 0) {
        size_t part = bytes < sizeof buffer ? bytes : sizeof buffer;
        if (pread(from, buffer, part, (off_t)offset) != (ssize_t)part ||
            pwrite(to, buffer, part, (off_t)at) != (ssize_t)part) {
            return errno != 0 ? errno : EIO;
        }
        at += part;
        offset += part;
        bytes -= part;
    }
    return 0;
}

static int fill_object(int object, int archive, const struct cpio_entry *entry) {
    uint64_t whole = entry->content % PAGE == 0 ? entry->bytes / PAGE : 0;
    if (whole > 0 && object_move(object, 0, archive, entry->content / PAGE, whole) < 0) {
        return errno;
    }
    uint64_t moved = whole * PAGE;
    return copy(object, moved, archive, entry->content + moved, entry->bytes - moved);
}

static int visit_pages(struct state *state, int archive, int mount, const struct cpio_entry *entry) {
    struct fs_attributes file;
    uint64_t directory;
    struct name name;
    if (!S_ISREG(entry->mode) || entry->bytes == 0) {
        return 0;
    }
    int error = find_directory(state, entry->path, &directory, &name);
    if (error == 0) {
        error = tree_lookup(state, directory, name, &file);
    }
    int object = error == 0 ? object_create(entry->bytes, -1, 0) : -1;
    if (object < 0) {
        return error != 0 ? error : errno;
    }
    error = fill_object(object, archive, entry);
    if (error == 0 && mount_adopt(mount, file.node, object, entry->bytes) < 0) {
        error = errno;
    }
    close(object);
    return error;
}

int archive_give_pages(struct state *state, int archive, int mount) {
    int error = for_each_entry(state, archive, mount, visit_pages);
    if (error == 0) {
        state_edit(state, 0)->header.filled = 1;
        error = state_commit(state) ? 0 : ENOSPC;
    }
    return error;
}
