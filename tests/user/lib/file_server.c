/*
 * The server's loop and the test's side of it. The tree is arrays in shared memory; one process serves.
 */
#include "tests/user/lib/file_server.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/user/lib/penumbra.h"
#include "tests/user/lib/test.h"
#include "user/lib/native.h"
#include "user/lib/objects.h"

enum { ANSWER_ROOM = 16384 };

/* A call as it came, and the answer as it will go. */
struct served_call {
    struct fs_request request;
    char name[FS_NAME_MAX + 1], name2[FS_PATH_MAX + 1];
    struct fs_reply reply;
    char behind[ANSWER_ROOM];
};

/* --- The tree ----------------------------------------------------------------------------------------------------- */

static struct served_node *find_node(struct served *served, uint64_t number) {
    static struct served_node virtual;
    if (number >= SERVED_MANY_FIRST && number < SERVED_MANY_FIRST + served->many) {
        virtual.attributes = (struct fs_attributes){.node = number, .mode = S_IFREG | 0644, .links = 1};
        return &virtual;
    }
    for (int i = 0; i < SERVED_NODES; i++) {
        if (number != 0 && served->nodes[i].attributes.node == number) {
            return &served->nodes[i];
        }
    }
    return NULL;
}

static struct served_entry *find_entry(struct served *served, uint64_t directory, const char *name) {
    for (int i = 0; i < SERVED_ENTRIES; i++) {
        struct served_entry *entry = &served->entries[i];
        if (entry->node != 0 && entry->directory == directory && strcmp(entry->name, name) == 0) {
            return entry;
        }
    }
    return NULL;
}

static bool is_directory(const struct served_node *node) { return node != NULL && S_ISDIR(node->attributes.mode); }

static struct served_node *new_node(struct served *served, uint32_t mode) {
    for (uint64_t i = 0; i < SERVED_NODES; i++) {
        struct served_node *node = &served->nodes[i];
        if (node->attributes.node == 0) {
            memset(node, 0, sizeof(*node));
            node->attributes.node = i + SERVED_ROOT;
            node->attributes.mode = mode;
            node->attributes.links = S_ISDIR(mode) ? 2 : 1;
            return node;
        }
    }
    return NULL;
}

static bool new_entry(struct served *served, uint64_t directory, const char *name, uint64_t node) {
    for (int i = 0; i < SERVED_ENTRIES; i++) {
        struct served_entry *entry = &served->entries[i];
        if (entry->node == 0 && strlen(name) < sizeof(entry->name)) {
            entry->directory = directory;
            entry->node = node;
            strcpy(entry->name, name);
            return true;
        }
    }
    return false;
}

static bool is_empty(const struct served *served, uint64_t directory) {
    for (int i = 0; i < SERVED_ENTRIES; i++) {
        if (served->entries[i].node != 0 && served->entries[i].directory == directory) {
            return false;
        }
    }
    return true;
}

uint64_t served_add(struct served *served, uint64_t directory, const char *name, uint32_t mode, const char *target) {
    struct served_node *node = new_node(served, mode);
    CHECK(node != NULL && new_entry(served, directory, name, node->attributes.node));
    if (target != NULL) {
        snprintf(node->target, sizeof(node->target), "%s", target);
    }
    if (S_ISDIR(mode)) {
        node->parent = directory;
        find_node(served, directory)->attributes.links++;
    }
    return node->attributes.node;
}

/* --- Operations: each returns 0 or an errno ----------------------------------------------------------------------- */

static int op_lookup(struct served *served, struct served_call *call) {
    struct served_node *directory = find_node(served, call->request.node);
    struct served_entry *entry = find_entry(served, call->request.node, call->name);
    struct served_entry *many = find_entry(served, SERVED_ROOT, "many");
    if (!is_directory(directory)) {
        return ENOTDIR;
    }
    if (many != NULL && many->node == call->request.node && call->name[0] == 'f') {
        uint64_t index = strtoul(call->name + 1, NULL, 10);
        if (index < served->many) {
            call->reply.attributes = find_node(served, SERVED_MANY_FIRST + index)->attributes;
            return 0;
        }
    }
    if (entry == NULL) {
        return ENOENT;
    }
    call->reply.attributes = find_node(served, entry->node)->attributes;
    return 0;
}

static int op_setattr(struct served *served, struct served_call *call) {
    struct served_node *node = find_node(served, call->request.node);
    const struct fs_attributes *wanted = &call->request.attributes;
    uint32_t set = call->request.set;
    if (node == NULL) {
        return ENOENT;
    }
    struct fs_attributes *attributes = &node->attributes;
    if (set & FS_SET_MODE) {
        attributes->mode = (attributes->mode & S_IFMT) | (wanted->mode & 07777);
    }
    if (set & FS_SET_OWNER) {
        attributes->uid = wanted->uid;
        attributes->gid = wanted->gid;
    }
    attributes->size = set & FS_SET_SIZE ? wanted->size : attributes->size;
    attributes->accessed = set & FS_SET_ACCESSED ? wanted->accessed : attributes->accessed;
    attributes->modified = set & FS_SET_MODIFIED ? wanted->modified : attributes->modified;
    attributes->changed = set & FS_SET_CHANGED ? wanted->changed : attributes->changed;
    call->reply.attributes = *attributes;
    return 0;
}

static int op_create(struct served *served, struct served_call *call) {
    const struct fs_attributes *wanted = &call->request.attributes;
    if (!is_directory(find_node(served, call->request.node))) {
        return ENOTDIR;
    }
    if (find_entry(served, call->request.node, call->name) != NULL) {
        return EEXIST;
    }
    struct served_node *node = new_node(served, wanted->mode);
    if (node == NULL || !new_entry(served, call->request.node, call->name, node->attributes.node)) {
        return ENOSPC;
    }
    node->attributes.uid = wanted->uid;
    node->attributes.gid = wanted->gid;
    snprintf(node->target, sizeof(node->target), "%s", call->name2);
    node->attributes.size = S_ISLNK(wanted->mode) ? strlen(call->name2) : 0;
    if (S_ISDIR(wanted->mode)) {
        node->parent = call->request.node;
        find_node(served, node->parent)->attributes.links++;
    }
    call->reply.attributes = node->attributes;
    return 0;
}

static int op_link(struct served *served, struct served_call *call) {
    struct served_node *node = find_node(served, call->request.node2);
    if (node == NULL || node->attributes.links == 0) {
        return ENOENT;
    }
    if (find_entry(served, call->request.node, call->name) != NULL) {
        return EEXIST;
    }
    if (!new_entry(served, call->request.node, call->name, call->request.node2)) {
        return ENOSPC;
    }
    node->attributes.links++;
    call->reply.attributes = node->attributes;
    return 0;
}

static void lose_name(struct served *served, struct served_entry *entry) {
    struct served_node *node = find_node(served, entry->node);
    if (is_directory(node)) {
        find_node(served, entry->directory)->attributes.links--;
        node->attributes.links = 0;
    } else {
        node->attributes.links--;
    }
    entry->node = 0;
}

static int op_unlink(struct served *served, struct served_call *call) {
    struct served_entry *entry = find_entry(served, call->request.node, call->name);
    if (entry == NULL) {
        return ENOENT;
    }
    struct served_node *node = find_node(served, entry->node);
    if (is_directory(node)) {
        return EISDIR;
    }
    lose_name(served, entry);
    call->reply.attributes = node->attributes;
    return 0;
}

static int op_rmdir(struct served *served, struct served_call *call) {
    struct served_entry *entry = find_entry(served, call->request.node, call->name);
    if (entry == NULL) {
        return ENOENT;
    }
    if (!is_directory(find_node(served, entry->node))) {
        return ENOTDIR;
    }
    if (!is_empty(served, entry->node)) {
        return ENOTEMPTY;
    }
    lose_name(served, entry);
    return 0;
}

static int op_rename(struct served *served, struct served_call *call) {
    struct served_entry *from = find_entry(served, call->request.node, call->name);
    struct served_entry *to = find_entry(served, call->request.node2, call->name2);
    if (from == NULL) {
        return ENOENT;
    }
    if (to != NULL && is_directory(find_node(served, to->node)) && !is_empty(served, to->node)) {
        return ENOTEMPTY;
    }
    struct served_node *node = find_node(served, from->node);
    if (to != NULL) {
        struct served_node *replaced = find_node(served, to->node);
        lose_name(served, to);
        call->reply.attributes = replaced->attributes;
    }
    from->node = 0;
    if (!new_entry(served, call->request.node2, call->name2, node->attributes.node)) {
        return ENOSPC;
    }
    if (is_directory(node)) {
        find_node(served, call->request.node)->attributes.links--;
        find_node(served, call->request.node2)->attributes.links++;
        node->parent = call->request.node2;
    }
    return 0;
}

static int op_readlink(struct served *served, struct served_call *call) {
    const struct served_node *node = find_node(served, call->request.node);
    if (node == NULL || !S_ISLNK(node->attributes.mode)) {
        return EINVAL;
    }
    call->reply.count = (uint32_t)strlen(node->target);
    memcpy(call->behind, node->target, call->reply.count);
    return 0;
}

static bool put_entry(struct served_call *call, uint64_t node, uint64_t next, uint32_t mode, const char *name) {
    size_t length = strlen(name), bytes = (sizeof(struct fs_entry) + length + 7) & ~(size_t)7;
    if (call->reply.count + bytes > ANSWER_ROOM - sizeof(struct fs_reply)) {
        return false;
    }
    struct fs_entry entry = {
        .node = node, .next = next, .bytes = (uint16_t)bytes, .name_length = (uint16_t)length, .mode = mode};
    memcpy(call->behind + call->reply.count, &entry, sizeof(entry));
    memcpy(call->behind + call->reply.count + sizeof(entry), name, length);
    call->reply.count += (uint32_t)bytes;
    return true;
}

static int op_readdir(struct served *served, struct served_call *call) {
    const struct served_entry *many = find_entry(served, SERVED_ROOT, "many");
    char name[16];
    call->reply.caching = 0;
    if (!is_directory(find_node(served, call->request.node))) {
        return ENOTDIR;
    }
    if (many != NULL && many->node == call->request.node) {
        for (uint64_t i = call->request.position; i < served->many; i++) {
            snprintf(name, sizeof(name), "f%06u", (unsigned)i);
            if (!put_entry(call, SERVED_MANY_FIRST + i, i + 1, S_IFREG, name)) {
                return 0;
            }
        }
        call->reply.caching = FS_LIST_END;
        return 0;
    }
    for (uint64_t i = call->request.position; i < SERVED_ENTRIES; i++) {
        const struct served_entry *entry = &served->entries[i];
        if (entry->node != 0 && entry->directory == call->request.node &&
            !put_entry(call, entry->node, i + 1, find_node(served, entry->node)->attributes.mode & S_IFMT,
                       entry->name)) {
            return 0;
        }
    }
    call->reply.caching = FS_LIST_END;
    return 0;
}

static int op_forget(struct served *served, struct served_call *call) {
    struct served_node *node = find_node(served, call->request.node);
    if (node == NULL || node->attributes.links != 0) {
        served->bad_forgets++;
        return EINVAL;
    }
    memset(node, 0, sizeof(*node));
    return 0;
}

static int op_statfs(struct served *served, struct served_call *call) {
    const unsigned used = served->stored_pages < served->room ? served->stored_pages : served->room;
    const struct fs_space space = {.blocks = served->room + 400,
                                   .blocks_free = served->room - used,
                                   .blocks_available = served->room - used - 100,
                                   .files = SERVED_NODES,
                                   .files_free = 7,
                                   .block_size = 4096,
                                   .name_max = 63,
                                   .magic = 0x7e57};
    memcpy(call->behind, &space, sizeof(space));
    call->reply.count = sizeof(space);
    return 0;
}

static int perform(struct served *served, unsigned op, struct served_call *call) {
    const struct served_node *node = find_node(served, call->request.node);
    switch (op) {
    case FS_LOOKUP:
        return op_lookup(served, call);
    case FS_GETATTR:
        if (node == NULL) {
            return ENOENT;
        }
        call->reply.attributes = node->attributes;
        return 0;
    case FS_SETATTR:
        return op_setattr(served, call);
    case FS_CREATE:
        return op_create(served, call);
    case FS_LINK:
        return op_link(served, call);
    case FS_UNLINK:
        return op_unlink(served, call);
    case FS_RMDIR:
        return op_rmdir(served, call);
    case FS_RENAME:
        return op_rename(served, call);
    case FS_READLINK:
        return op_readlink(served, call);
    case FS_READDIR:
        return op_readdir(served, call);
    case FS_FORGET:
        return op_forget(served, call);
    case FS_SYNC:
        return 0;
    case FS_STATFS:
        return op_statfs(served, call);
    default:
        return ENOSYS;
    }
}

/* --- Lies --------------------------------------------------------------------------------------------------------- */

/* Twists an answer; returns how many bytes to send. */
static uint32_t lie(unsigned which, unsigned op, struct served_call *call, uint32_t *label, uint32_t bytes) {
    struct fs_attributes *attributes = &call->reply.attributes;
    struct fs_entry *entry = (void *)call->behind;
    switch (which) {
    case LIE_SHORT_REPLY:
        return sizeof(call->reply) - 1;
    case LIE_LONG_REPLY:
        return bytes + 1;
    case LIE_COUNT:
        call->reply.count = UINT32_MAX - 3;
        return bytes;
    case LIE_NODE_ZERO:
        attributes->node = 0;
        return bytes;
    case LIE_TYPE_NONE:
        attributes->mode &= 07777;
        return bytes;
    case LIE_MODE_BITS:
        attributes->mode |= 0x80000000;
        return bytes;
    case LIE_SIZE:
        attributes->size = UINT64_MAX;
        return bytes;
    case LIE_NO_LINKS:
        attributes->links = 0;
        return bytes;
    case LIE_ERRNO:
        *label = 0x12345;
        return bytes;
    case LIE_ROOT_BELOW:
        attributes->node = SERVED_ROOT;
        attributes->mode = S_IFDIR | 0755;
        return bytes;
    case LIE_OTHER_TYPE:
        attributes->mode ^= S_IFDIR ^ S_IFREG;
        return bytes;
    case LIE_SLASH_NAME:
        entry->name[0] = '/';
        return bytes;
    case LIE_ENTRY_LENGTH:
        entry->bytes = 65528;
        return bytes;
    case LIE_ENTRY_ZERO:
        entry->bytes = 0;
        return bytes;
    case LIE_HUGE_POSITION:
        entry->next = UINT64_MAX;
        return bytes;
    case LIE_NUL_TARGET:
        call->behind[0] = op == FS_READLINK ? '\0' : call->behind[0];
        return bytes;
    case LIE_EMPTY_TARGET:
        if (op == FS_READLINK) {
            call->reply.count = 0;
            return sizeof(call->reply);
        }
        return bytes;
    default:
        return bytes;
    }
}

/* --- The loop ----------------------------------------------------------------------------------------------------- */

static bool changes_something(unsigned op) { return (op >= FS_SETATTR && op <= FS_RENAME) || op == FS_FORGET; }

/* What was done before is not done again. */
static uint32_t perform_once(struct served *served, unsigned op, struct served_call *call) {
    uint64_t slot = call->request.request % FS_CHANGES_MAX;
    bool counts = changes_something(op) && call->request.request != 0;
    if (counts && served->answers[slot].request == call->request.request) {
        served->repeated++;
        call->reply = served->answers[slot].reply;
        return served->answers[slot].label;
    }
    uint32_t label = (uint32_t)perform(served, op, call);
    if (counts) {
        served->answers[slot].request = call->request.request;
        served->answers[slot].reply = call->reply;
        served->answers[slot].label = label;
    }
    return label;
}

/* Fills in the answer to what lies in `bytes`; returns how many bytes it has. */
static uint32_t answer(struct served *served, struct ipc *ipc, const char *bytes, uint32_t length,
                       struct served_call *call) {
    unsigned op = ipc->label;
    memset(call, 0, sizeof(*call));
    memcpy(&call->request, bytes, length < sizeof(call->request) ? length : sizeof(call->request));
    memcpy(call->name, bytes + sizeof(call->request), call->request.name_length);
    memcpy(call->name2, bytes + sizeof(call->request) + call->request.name_length, call->request.name2_length);
    served->calls[op < SERVED_OPS ? op : 0]++;
    if (op == served->die_before) {
        _exit(0);
    }
    uint32_t label = perform_once(served, op, call);
    if (op == served->die_after) {
        _exit(0);
    }
    if (served->delay_ms != 0) {
        test_sleep_ms((int)served->delay_ms);
    }
    for (; op == served->hold; test_sleep_ms(1)) {
        served->held = 1;
    }
    const uint32_t end = op == FS_READDIR && served->tells_end ? call->reply.caching & FS_LIST_END : 0;
    call->reply.caching = end | (served->no_cache ? 0 : FS_MAY_CACHE);
    uint32_t count = lie(served->lie, op, call, &label, (uint32_t)sizeof(call->reply) + call->reply.count);
    ipc->label = label;
    return count;
}

/* Pages are test_byte() of their place in the file; what is to be stored it cannot see. */
static void page(struct served *served, const struct ipc *ipc, int grant) {
    static uint8_t bytes[TEST_PAGE];
    if (ipc->label == PAGER_STORE) {
        served->stores++;
        served->stored_pages += (unsigned)ipc->word[2];
    }
    if (ipc->label != PAGER_FILL) {
        return;
    }
    served->fills++;
    for (uint64_t i = 0; i < ipc->word[2]; i++) {
        for (size_t at = 0; at < TEST_PAGE; at++) {
            bytes[at] = test_byte((ipc->word[1] + i) * TEST_PAGE + at);
        }
        grant_write(grant, i * TEST_PAGE, bytes, TEST_PAGE);
    }
}

static void serve(struct served *served, int endpoint) {
    static char buffer[sizeof(struct fs_request) + FS_NAME_MAX + FS_PATH_MAX];
    static struct served_call call;
    static char sent[sizeof(struct fs_reply) + ANSWER_ROOM];
    for (;;) {
        struct ipc_extra extra = {
            .buffer = (uintptr_t)buffer, .room = sizeof(buffer), .timeout_ns = IPC_FOREVER, .handle_room = 4};
        struct ipc ipc = {.extra = &extra};
        if (ipc_receive(endpoint, &ipc) < 0) {
            _exit(1);
        }
        const bool paging = ipc.label >= PAGER_FILL;
        if (paging) {
            page(served, &ipc, extra.handle_room > 0 ? extra.taken_handles[0] : -1);
        }
        for (uint32_t i = 0; i < extra.handle_room; i++) {
            close(extra.taken_handles[i]);
        }
        if (paging) {
            ipc.label = 0;
            ipc.extra = NULL;
            ipc_reply(ipc.token, &ipc);
            continue;
        }
        uint32_t bytes = answer(served, &ipc, buffer, extra.room, &call);
        memcpy(sent, &call.reply, sizeof(call.reply));
        memcpy(sent + sizeof(call.reply), call.behind, ANSWER_ROOM);
        struct ipc_extra out = {.bytes = (uintptr_t)sent, .length = bytes, .timeout_ns = IPC_FOREVER};
        ipc.extra = &out;
        if (ipc_reply(ipc.token, &ipc) < 0 && errno == EMSGSIZE) { /* a lie that did not fit */
            out.length = 0;
            ipc_reply(ipc.token, &ipc);
        }
    }
}

/* --- The test's side ---------------------------------------------------------------------------------------------- */

struct served *served_create(void) {
    test_needs_penumbra();
    struct served *served = mmap(NULL, sizeof(*served), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(served != MAP_FAILED);
    served->mount = -1;
    served->room = 600;
    CHECK(new_node(served, S_IFDIR | 0755) == &served->nodes[0]);
    return served;
}

/* A server's process; returns a handle to call it by, which nobody but the server can receive on. */
static int start(struct served *served) {
    int endpoint = (int)CHECK_OK(endpoint_create());
    pid_t pid = (pid_t)CHECK_OK(fork());
    if (pid == 0) {
        if (served->mount >= 0) {
            close(served->mount); /* the mount is the test's */
        }
        serve(served, endpoint);
    }
    served->pid = pid;
    int handle = (int)CHECK_OK(handle_mint(endpoint, RIGHT_CALL, 0));
    CHECK_OK(close(endpoint));
    return handle;
}

void served_mount(struct served *served, const char *name, uint32_t flags, uint32_t timeout_ms) {
    struct mount_options options = {
        .type = "testfs", .source = "memory", .root = SERVED_ROOT, .flags = flags, .timeout_ms = timeout_ms};
    snprintf(served->path, sizeof(served->path), "/tmp/%s", name);
    served->flags = flags;
    CHECK_OK(mkdir(served->path, 0755));
    int handle = start(served);
    served->mount = (int)CHECK_OK(mount_server(TEST_AUTHORITY, served->path, handle, &options));
    CHECK_OK(close(handle));
}

const char *served_path(const struct served *served, const char *name) {
    static char paths[8][512];
    static unsigned next;
    char *path = paths[next++ % 8];
    snprintf(path, sizeof(paths[0]), "%s/%s", served->path, name);
    return path;
}

void served_wait_dead(struct served *served) { CHECK_EXITED(test_wait(served->pid)); }

void served_restart(struct served *served) {
    served->die_before = served->die_after = 0;
    int handle = start(served);
    CHECK_OK(mount_attach(served->mount, handle));
    CHECK_OK(close(handle));
}

void served_end(struct served *served) {
    CHECK_OK(close(served->mount));
    CHECK_OK(kill(served->pid, SIGKILL));
    CHECK_SIGNALED(test_wait(served->pid), SIGKILL);
    CHECK_OK(rmdir(served->path));
    CHECK_OK(munmap(served, sizeof(*served)));
}

unsigned served_calls(const struct served *served) {
    unsigned total = 0;
    for (int op = 0; op < SERVED_OPS; op++) {
        total += served->calls[op];
    }
    return total;
}
