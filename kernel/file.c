/*
 * Open files: life and sharing; what processes inherit, and what the kernel itself opens (programs).
 *
 * Locks: references are atomic; names_lock for paths. Runs in the caller's space.
 */
#include "kernel/assert.h"
#include "kernel/epoll.h"
#include "kernel/inotify.h"
#include "kernel/ipc_abi.h"
#include "kernel/local.h"
#include "kernel/names.h"
#include "kernel/open_file.h"
#include "kernel/path.h"
#include "kernel/permission.h"
#include "kernel/process.h"
#include "kernel/record_lock.h"
#include "kernel/string.h"
#include "mm/ephmap.h"
#include "mm/heap.h"
#include "mm/object.h"

#define FILES_MAX 65536U /* in the whole system */

static uint32_t files_open; /* atomic */

void file_ref(struct file *file) { __atomic_fetch_add(&file->refs, 1, __ATOMIC_RELAXED); }

static const struct file_operations path_operations; /* O_PATH: names a place, nothing more */

static void free_file(struct file *file) {
    inode_unref(file->inode);
    global_free(file, sizeof(*file));
    __atomic_fetch_sub(&files_open, 1, __ATOMIC_RELAXED);
}

static void release(struct file *file) {
    if (!list_empty(&file->watchers))
        epoll_forget_file(file);
    if (file->operations->release != NULL)
        file->operations->release(file);
    if (file->inode->locks != NULL)
        record_locks_drop_file(file->inode, file);
    if (inotify_watched() && file->operations != &path_operations)
        inotify_tell(file->inode, file->writable ? IN_CLOSE_WRITE : IN_CLOSE_NOWRITE);
    free_file(file);
}

void file_unref(struct file *file) {
    if (__atomic_sub_fetch(&file->refs, 1, __ATOMIC_ACQ_REL) == 0)
        release(file);
}

/* A file on `inode`, without operations yet. One reference. */
static enum status allocate_file(struct inode *inode, struct file **out) {
    if (__atomic_add_fetch(&files_open, 1, __ATOMIC_RELAXED) > FILES_MAX) {
        __atomic_fetch_sub(&files_open, 1, __ATOMIC_RELAXED);
        return ERR_TOO_MANY_FILES;
    }
    struct file *file = global_alloc(sizeof(*file));
    if (file == NULL) {
        __atomic_fetch_sub(&files_open, 1, __ATOMIC_RELAXED);
        return ERR_NO_MEMORY;
    }
    file->refs = 1;
    inode_ref(inode);
    file->inode = inode;
    mutex_init(&file->position_lock);
    list_init(&file->watchers);
    *out = file;
    return OK;
}

enum status file_create(struct inode *inode, uint32_t flags, struct file **out) {
    uint32_t access = flags & O_ACCMODE;
    struct file *file;
    enum status status = allocate_file(inode, &file);
    if (status != OK)
        return status;
    file->flags = flags & ~(O_CREAT | O_EXCL | O_TRUNC | O_CLOEXEC);
    file->operations = &path_operations;
    if (!(flags & O_PATH)) {
        file->operations = inode->operations;
        file->readable = access != O_WRONLY;
        file->writable = access == O_WRONLY || access == O_RDWR;
        file->rights = RIGHT_TRANSFER | (file->readable ? RIGHT_READ : 0) | (file->writable ? RIGHT_WRITE : 0);
    }
    if (file->operations->open != NULL) {
        status = file->operations->open(file);
        if (status != OK) {
            free_file(file);
            return status;
        }
    }
    file->flags &= ~O_NOCTTY; /* only a terminal's opening has to know */
    *out = file;
    return OK;
}

/* --- Files on kernel objects without a name ----------------------------------------------------------------------- */

/* What stat() says of them all, as on Linux: neither file nor directory. Its first reference is never given back. */
static struct inode nameless = {.refs = 1, .mode = 0600, .links = 1};

enum status file_create_on(const struct file_operations *operations, void *target, uint32_t rights, struct file **out) {
    enum status status = allocate_file(&nameless, out);
    if (status != OK)
        return status;
    (*out)->flags = O_RDWR;
    (*out)->operations = operations;
    (*out)->target = target;
    (*out)->rights = rights;
    (*out)->readable = rights & RIGHT_READ;
    (*out)->writable = rights & RIGHT_WRITE;
    return OK;
}

enum status file_create_like(const struct file *file, uint32_t rights, uint64_t badge, struct file **out) {
    if (file->operations->reference == NULL)
        return ERR_NOT_PERMITTED;
    enum status status = file_create_on(file->operations, file->target, rights, out);
    if (status != OK)
        return status;
    file->operations->reference(*out);
    (*out)->object = rights & RIGHT_READ ? file->object : NULL;
    (*out)->badge = badge;
    return OK;
}

enum status file_expect(struct file *file, bool of_kind, uint32_t rights) {
    enum status status = OK;
    if (!of_kind)
        status = ERR_INVALID;
    else if (rights & ~file->rights)
        status = ERR_ACCESS;
    if (status != OK)
        file_unref(file);
    return status;
}

enum status handle_get_kind(int fd, const struct file_operations *kind, uint32_t rights, struct file **out) {
    enum status status = handle_get(fd, out);
    return status == OK ? file_expect(*out, (*out)->operations == kind, rights) : status;
}

enum status handle_publish_as(struct file *file, uint32_t flags, int64_t *fd) {
    int number = -1;
    file->flags |= flags & O_NONBLOCK;
    enum status status = handle_install(file, 0, flags & O_CLOEXEC, &number);
    file_unref(file);
    *fd = number;
    return status;
}

enum status handle_publish(struct file *file, int64_t *fd) { return handle_publish_as(file, O_CLOEXEC, fd); }

enum status file_mappable(struct file *file, struct memory_object **object, bool *readable, bool *writable) {
    if (file->flags & O_PATH)
        return ERR_BAD_HANDLE;
    if (!file->operations->memory)
        return ERR_NO_DEVICE;
    *object = file_memory(file);
    *readable = file->readable;
    *writable = file->writable;
    return OK;
}

/*
 * What is to be run, with a reference. It must be readable, too: the program will see its pages (LOGICAL ACCESS).
 */
static enum status find_executable(int dirfd, const char *text, bool follow, struct inode **out) {
    struct path path;
    enum status status = OK;
    path_begin_text(&path, text);
    if (dirfd != AT_FDCWD && text[0] != '/' && (status = handle_get(dirfd, &path.at)) != OK)
        return status;
    spin_lock(&names_lock);
    status = path_find(&path, follow ? WALK_FOLLOW : 0, out);
    if (status == OK && inode_is(*out, S_IFLNK) && !follow)
        status = ERR_TOO_MANY_SYMLINKS;
    if (status == OK && ((*out)->operations != &regular_operations || !permitted(*out, MAY_READ | MAY_EXECUTE)))
        status = ERR_ACCESS;
    if (status == OK)
        inode_ref(*out);
    spin_unlock(&names_lock);
    path_end(&path);
    return status;
}

static struct program_owner owner_of(const struct inode *inode) {
    return (struct program_owner){.mode = inode->mode, .uid = inode->uid, .gid = inode->gid};
}

enum status file_open_to_run(struct memory_object *object) {
    enum status status = object_begin_run(object);
    if (status != OK)
        return status;
    status = ephmap_open(object);
    if (status != OK)
        object_end_run(object);
    else
        object_ref(object);
    return status;
}

enum status file_open_executable(int dirfd, const char *path, bool follow, struct memory_object **object, char name[16],
                                 struct program_owner *owner) {
    struct inode *inode;
    if (*path == '\0')
        return ERR_NO_ENTRY;
    enum status status = find_executable(dirfd, path, follow, &inode);
    if (status != OK)
        return status;
    status = regular_prepare(inode);
    if (status == OK)
        status = file_open_to_run(inode->object);
    if (status == OK) {
        *object = inode->object;
        *owner = owner_of(inode);
    }
    inode_unref(inode);
    if (status != OK)
        return status;
    const char *last = path;
    for (const char *at = path; *at != '\0'; at++) {
        if (*at == '/' && at[1] != '\0')
            last = at + 1;
    }
    strlcpy(name, last, PROCESS_NAME_SIZE);
    return OK;
}

enum status file_executable(int fd, struct memory_object **object, struct program_owner *owner) {
    struct file *file;
    enum status status = handle_get(fd, &file);
    if (status != OK)
        return status;
    bool named = inode_is(file->inode, S_IFREG);
    if (!file->operations->memory || !file->readable || (named && !permitted(file->inode, MAY_EXECUTE)))
        status = ERR_ACCESS;
    else
        status = file_open_to_run(file->object);
    if (status == OK) {
        *object = file->object;
        *owner = named ? owner_of(file->inode) : (struct program_owner){0};
    }
    file_unref(file);
    return status;
}

static void forget_executable_path(struct handle_table *table) {
    if (table->executable != NULL)
        local_free(table->executable, table->executable_size);
    table->executable = NULL;
}

void file_set_executable_path(const char *path) {
    struct handle_table *table = &LOCAL->handles;
    struct path at;
    struct path_walk walk;
    char *text = NULL, *buffer = local_alloc(PATH_MAX), *copy = NULL;
    size_t bytes = 0;
    if (buffer == NULL)
        return; /* the old path stays: better than none */
    path_begin_text(&at, path);
    spin_lock(&names_lock);
    if (*path == '\0')
        forget_executable_path(table);
    enum status status = path_resolve(&at, WALK_FOLLOW, &walk);
    if (status == OK && walk.last == LAST_NAME)
        status = names_path(walk.directory, walk.name, walk.length, buffer, PATH_MAX, &text);
    if (status == OK && text != NULL) {
        bytes = strlen(text) + 1;
        copy = local_alloc(bytes);
    }
    if (copy != NULL) {
        memcpy(copy, text, bytes);
        forget_executable_path(table);
        table->executable = copy;
        table->executable_size = (uint32_t)bytes;
    }
    spin_unlock(&names_lock);
    path_end(&at);
    local_free(buffer, PATH_MAX);
}

void handles_close_all(void) {
    handles_close_range(0, HANDLES_MAX - 1);
    struct inode *directory = handles_set_directory(NULL), *root = handles_set_root(NULL);
    if (directory != NULL)
        inode_unref(directory);
    if (root != NULL)
        inode_unref(root);
}

enum status handles_init(void) {
    static const char console[] = "/dev/console";
    struct path_walk walk;
    struct file *file;
    LOCAL->handles.umask = 022;
    spin_lock(&names_lock);
    inode_ref(root_inode);
    LOCAL->handles.working_directory = root_inode;
    enum status status = path_walk(root_inode, console, NULL, WALK_FOLLOW, &walk);
    if (status == OK && walk.inode == NULL)
        status = ERR_NO_ENTRY;
    if (status == OK)
        status = file_create(walk.inode, O_RDWR, &file); /* the console's open does not sleep */
    spin_unlock(&names_lock);
    for (int i = 0, fd; status == OK && i < 3; i++)
        status = handle_install(file, 0, false, &fd);
    if (status == OK)
        file_unref(file);
    return status;
}
