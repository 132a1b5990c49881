/*
 * Calls on file servers. Owns nothing: a call is on its caller's stack, its text in LOCAL memory.
 *
 * A server is as little trusted as any program: lengths, counts, types and sizes in its answers are checked here,
 * before anything is made of them; what does not hold is ERR_IO for those who asked. Names and attributes are metadata.
 * Locks: none; callers hold mutexes only. Runs in the caller's space, never leaves the restricted one.
 */
#include "kernel/fs_call.h"

#include "kernel/mount.h"
#include "kernel/string.h"
#include "mm/heap.h"
#include "mm/object.h"

static bool changes_something(enum fs_op op) {
    return op == FS_SETATTR || op == FS_CREATE || op == FS_LINK || op == FS_UNLINK || op == FS_RMDIR ||
           op == FS_RENAME || op == FS_FORGET;
}

static bool type_exists(uint32_t mode) {
    switch (mode & S_IFMT) {
    case S_IFREG:
    case S_IFDIR:
    case S_IFLNK:
    case S_IFCHR:
    case S_IFBLK:
    case S_IFIFO:
    case S_IFSOCK:
        return true;
    default:
        return false;
    }
}

/* Attributes that a node can have. */
static bool plausible(const struct fs_attributes *attributes) {
    return attributes->node != 0 && type_exists(attributes->mode) &&
           !(attributes->mode & ~(uint32_t)(S_IFMT | S_PERMISSIONS)) && attributes->size <= OBJECT_SIZE_MAX;
}

static bool reply_valid(const struct fs_call *call) {
    const struct fs_attributes *attributes = &call->reply.attributes;
    switch (call->op) {
    case FS_CREATE:
        return plausible(attributes) && (attributes->links > 0) == (call->length > 0);
    case FS_LOOKUP:
    case FS_LINK:
        return plausible(attributes) && attributes->links > 0;
    case FS_GETATTR:
    case FS_SETATTR:
        return plausible(attributes) && attributes->node == call->request.node;
    case FS_UNLINK:
        return plausible(attributes);
    case FS_RENAME:
        return attributes->node == 0 || plausible(attributes);
    default:
        return true;
    }
}

/* --- Changes ------------------------------------------------------------------------------------------------------ */

/*
 * A change has one of FS_CHANGES_MAX places until its caller knows what became of it: so long the server remembers what
 * it answered. A caller who is killed waits for the answer of a server that has begun, and so do those who want the
 * directory next: none sees it as it was before a change that is still to come.
 */
static bool take_place(struct mount *mount, uint32_t *place) {
    uint32_t taken = __atomic_load_n(&mount->changing, __ATOMIC_RELAXED);
    do {
        if (taken == UINT32_MAX)
            return false;
        *place = (uint32_t)__builtin_ctz(~taken);
    } while (!__atomic_compare_exchange_n(&mount->changing, &taken, taken | 1U << *place, false, __ATOMIC_ACQUIRE,
                                          __ATOMIC_RELAXED));
    return true;
}

static uint64_t begin_change(struct mount *mount) {
    uint32_t place = 0;
    while (!take_place(mount, &place)) {
        struct waiter waiter;
        wait_begin(&mount->changed, &waiter);
        if (__atomic_load_n(&mount->changing, __ATOMIC_RELAXED) == UINT32_MAX)
            wait_sleep_uninterruptible();
        wait_end(&waiter);
    }
    return __atomic_add_fetch(&mount->changes, 1, __ATOMIC_RELAXED) * FS_CHANGES_MAX + place;
}

static void end_change(struct mount *mount, uint64_t request) {
    __atomic_fetch_and(&mount->changing, ~(1U << request % FS_CHANGES_MAX), __ATOMIC_RELEASE);
    wake_all(&mount->changed);
}

_Static_assert(FS_CHANGES_MAX == 32, "mount.changing has a bit for each");

/* --- Calls -------------------------------------------------------------------------------------------------------- */

static enum status exchange(struct mount *mount, struct fs_call *call, char *sent, size_t bytes, char *came) {
    struct message message = {
        .label = call->op,
        .binding = call->request.request != 0,
        .bytes = sent,
        .length = bytes,
        .buffer = came,
        .room = sizeof(call->reply) + call->room,
    };
    __atomic_fetch_add(&mount->calls, 1, __ATOMIC_RELAXED);
    enum status status = server_call(mount->server, &message);
    if (status != OK)
        return status;
    enum status verdict = server_verdict(message.label);
    if (message.room < sizeof(call->reply)) { /* an error may come alone */
        memset(&call->reply, 0, sizeof(call->reply));
        call->room = 0;
        return verdict != OK ? verdict : ERR_IO;
    }
    memcpy(&call->reply, came, sizeof(call->reply));
    size_t behind = message.room - sizeof(call->reply);
    if (verdict != OK)
        return verdict;
    if (call->reply.count != behind || behind > call->room || !reply_valid(call))
        return ERR_IO;
    if (behind > 0)
        memcpy(call->data, came + sizeof(call->reply), behind);
    call->room = behind;
    return OK;
}

enum status fs_call(struct mount *mount, struct fs_call *call) {
    size_t bytes = sizeof(call->request) + call->length + call->length2;
    size_t room = sizeof(call->reply) + call->room;
    char *sent = local_alloc(bytes), *came = local_alloc(room);
    enum status status = ERR_NO_MEMORY;
    if (sent != NULL && came != NULL) {
        call->request.name_length = (uint16_t)call->length;
        call->request.name2_length = (uint16_t)call->length2;
        call->request.request = changes_something(call->op) ? begin_change(mount) : 0;
        memcpy(sent, &call->request, sizeof(call->request));
        if (call->length > 0)
            memcpy(sent + sizeof(call->request), call->name, call->length);
        if (call->length2 > 0)
            memcpy(sent + sizeof(call->request) + call->length, call->name2, call->length2);
        status = exchange(mount, call, sent, bytes, came);
        if (call->request.request != 0)
            end_change(mount, call->request.request);
    }
    if (sent != NULL)
        local_free(sent, bytes);
    if (came != NULL)
        local_free(came, room);
    return status;
}
