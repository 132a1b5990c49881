/*
 * inotify_init, inotify_add_watch, inotify_rm_watch: descriptors by which what happens to files is read.
 *
 * Locks: inotify_lock; the queue is entered with it held, so that no wake-up is lost. Runs in the caller's space.
 */
#include "arch/uaccess.h"
#include "kernel/inotify_internal.h"
#include "kernel/ipc_abi.h"
#include "kernel/path.h"
#include "kernel/permission.h"
#include "kernel/poll.h"
#include "kernel/process.h"
#include "kernel/string.h"
#include "kernel/syscall_table.h"
#include "mm/heap.h"

#define IN_ALL_EVENTS  0xfffU
#define IN_ONLYDIR     0x1000000U
#define IN_DONT_FOLLOW 0x2000000U
#define IN_MASK_CREATE 0x10000000U
#define IN_MASK_ADD    0x20000000U
/* Also what may be asked for and means nothing: IN_UNMOUNT, IN_Q_OVERFLOW, IN_IGNORED, IN_EXCL_UNLINK, IN_ISDIR. */
#define IN_ALL_BITS                                                                                                    \
    (IN_ALL_EVENTS | 0xe000U | 0x4000000U | 0x40000000U | IN_ONLYDIR | IN_DONT_FOLLOW | IN_MASK_CREATE | IN_MASK_ADD | \
     IN_ONESHOT)

#define NAME_BYTES_MAX (NAME_MAX + NOTICE_HEAD)

/* struct inotify_event. */
struct record {
    int32_t watch;
    uint32_t mask, cookie, name_bytes;
    char name[NAME_BYTES_MAX];
};
_Static_assert(offsetof(struct record, name) == NOTICE_HEAD, "what programs read");

/* --- Reading ------------------------------------------------------------------------------------------------------ */

/* Takes the next one if it fits into `bytes`; *bytes becomes its size, 0: there is none. inotify_lock held. */
static enum status take(struct inotify *instance, struct record *record, size_t *bytes) {
    if (list_empty(&instance->notices)) {
        *bytes = 0;
        return OK;
    }
    struct notice *notice = container_of(instance->notices.next, struct notice, link);
    const uint32_t name_bytes = notice_name_bytes(notice);
    if (*bytes < NOTICE_HEAD + name_bytes)
        return ERR_INVALID;
    record->watch = notice->watch;
    record->mask = notice->mask;
    record->cookie = notice->cookie;
    record->name_bytes = name_bytes;
    memset(record->name, 0, name_bytes);
    memcpy(record->name, notice->name, notice->length);
    *bytes = NOTICE_HEAD + name_bytes;
    notice_read(instance, notice);
    return OK;
}

/* The next one, waiting for it if `wait`. */
static enum status next(struct inotify *instance, struct record *record, size_t *bytes, bool wait) {
    const size_t room = *bytes;
    for (;;) {
        struct waiter waiter;
        spin_lock(&inotify_lock);
        *bytes = room;
        enum status status = take(instance, record, bytes);
        if (status != OK || *bytes > 0 || !wait) {
            spin_unlock(&inotify_lock);
            return status == OK && *bytes == 0 ? ERR_WOULD_BLOCK : status;
        }
        wait_begin(&instance->readable, &waiter);
        spin_unlock(&inotify_lock);
        status = wait_sleep(WAIT_FOREVER);
        wait_end(&waiter);
        if (status != OK)
            return status;
    }
}

static enum status inotify_read(struct file *file, vaddr_t to, size_t bytes, uint64_t *offset, size_t *done) {
    struct record record;
    enum status status = OK;
    (void)offset;
    while (status == OK) {
        size_t part = bytes - *done;
        status = next(file->target, &record, &part, *done == 0 && !(file->flags & O_NONBLOCK));
        if (status == OK)
            status = copy_to_user(to + *done, &record, part);
        if (status == OK)
            *done += part;
    }
    watches_free_retired(file->target);
    return *done > 0 ? OK : status;
}

static uint32_t inotify_poll(struct file *file, struct poll_table *table) {
    struct inotify *instance = file->target;
    spin_lock(&inotify_lock);
    poll_wait(table, &instance->readable);
    const uint32_t events = list_empty(&instance->notices) ? 0 : POLLIN | POLLRDNORM;
    spin_unlock(&inotify_lock);
    return events;
}

static enum status inotify_control(struct file *file, uint32_t command, uint64_t argument, int64_t *result) {
    const struct inotify *instance = file->target;
    (void)result;
    if (command != FIONREAD)
        return ERR_NOT_TERMINAL;
    const int32_t bytes = (int32_t)instance->bytes;
    return copy_to_user(argument, &bytes, sizeof(bytes));
}

/* --- Life --------------------------------------------------------------------------------------------------------- */

static void destroy(struct inotify *instance) {
    watches_remove_all(instance);
    spin_lock(&inotify_lock);
    list_remove(&instance->all_link);
    while (!list_empty(&instance->notices))
        notice_read(instance, container_of(instance->notices.next, struct notice, link));
    spin_unlock(&inotify_lock);
    global_free(instance->overflow, sizeof(*instance->overflow));
    global_free(instance, sizeof(*instance));
}

static void inotify_release(struct file *file) { destroy(file->target); }

static const struct file_operations inotify_operations = {
    .release = inotify_release,
    .read = inotify_read,
    .poll = inotify_poll,
    .control = inotify_control,
};

/* Makes it one of its user's. inotify_lock held. */
static enum status enter(struct inotify *instance) {
    unsigned count = 0;
    list_for_each(link, &inotify_instances) count += container_of(link, struct inotify, all_link)->uid == instance->uid;
    if (count >= INOTIFY_INSTANCES_MAX)
        return ERR_TOO_MANY_HANDLES;
    list_push_back(&inotify_instances, &instance->all_link);
    return OK;
}

static enum status create(struct inotify **out) {
    struct inotify *instance = global_alloc(sizeof(*instance));
    struct notice *overflow = global_alloc(sizeof(*overflow));
    enum status status = instance != NULL && overflow != NULL ? OK : ERR_NO_MEMORY;
    if (status == OK) {
        *overflow = (struct notice){.watch = -1, .mask = IN_Q_OVERFLOW};
        instance->overflow = overflow;
        instance->uid = process_current()->user.effective;
        list_init(&instance->watches);
        list_init(&instance->retired);
        list_init(&instance->notices);
        wait_queue_init(&instance->readable);
        spin_lock(&inotify_lock);
        status = enter(instance);
        spin_unlock(&inotify_lock);
    }
    if (status == OK) {
        *out = instance;
        return OK;
    }
    if (instance != NULL)
        global_free(instance, sizeof(*instance));
    if (overflow != NULL)
        global_free(overflow, sizeof(*overflow));
    return status;
}

static enum status make(uint32_t flags, int64_t *fd) {
    struct inotify *instance;
    struct file *file;
    if (flags & ~(O_CLOEXEC | O_NONBLOCK))
        return ERR_INVALID;
    enum status status = create(&instance);
    if (status != OK)
        return status;
    status = file_create_on(&inotify_operations, instance, RIGHT_READ | RIGHT_TRANSFER, &file);
    if (status != OK) {
        destroy(instance);
        return status;
    }
    return handle_publish_as(file, flags, fd);
}

enum status sys_inotify_init(struct syscall *call) { return make(0, &call->result); }
enum status sys_inotify_init1(struct syscall *call) { return make((uint32_t)call->arg[0], &call->result); }

/* --- Watches ------------------------------------------------------------------------------------------------------ */

static enum status add_watch(struct inotify *instance, vaddr_t path, uint32_t mask, int64_t *number) {
    struct inode *inode;
    enum status status = path_lookup(AT_FDCWD, path, mask & IN_DONT_FOLLOW ? AT_SYMLINK_NOFOLLOW : 0, &inode);
    if (status != OK)
        return status;
    if ((mask & IN_ONLYDIR) && !inode_is(inode, S_IFDIR))
        status = ERR_NOT_DIRECTORY;
    else if (!permitted(inode, MAY_READ))
        status = ERR_ACCESS;
    else
        status = watch_add(instance, inode, mask & (IN_ALL_EVENTS | IN_ONESHOT), mask & IN_MASK_CREATE,
                           mask & IN_MASK_ADD, number);
    inode_unref(inode);
    return status;
}

enum status sys_inotify_add_watch(struct syscall *call) {
    const uint32_t mask = (uint32_t)call->arg[2];
    struct file *file;
    if (!(mask & IN_ALL_BITS))
        return ERR_INVALID;
    enum status status = handle_get_kind((int)call->arg[0], &inotify_operations, 0, &file);
    if (status != OK)
        return status;
    if ((mask & IN_MASK_ADD) && (mask & IN_MASK_CREATE))
        status = ERR_INVALID;
    else
        status = add_watch(file->target, call->arg[1], mask, &call->result);
    watches_free_retired(file->target);
    file_unref(file);
    return status;
}

enum status sys_inotify_rm_watch(struct syscall *call) {
    struct file *file;
    enum status status = handle_get_kind((int)call->arg[0], &inotify_operations, 0, &file);
    if (status != OK)
        return status;
    status = watch_remove(file->target, (int32_t)call->arg[1]);
    file_unref(file);
    return status;
}
