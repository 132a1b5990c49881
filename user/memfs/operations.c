/*
 * Calls of the kernel. See operations.h.
 *
 * What a change was answered becomes part of the change: when the server dies before the kernel has heard of it, the
 * kernel asks again, with the same number, and is answered from there.
 */
#include "user/memfs/operations.h"

#include <errno.h>
#include <string.h>

#include "user/memfs/tree.h"

enum { PAGE = 4096, MEMORY_MAGIC = 0x01021994 }; /* as Linux' file system in memory */

struct call {
    uint32_t op;
    struct fs_request request;
    struct name name, name2;
    int64_t now;
    const struct memory_space *space;
    struct fs_reply *reply;
    char *behind; /* OPERATION_BYTES less the reply */
    size_t count;
};

enum {
    BEHIND_BYTES = OPERATION_BYTES - sizeof(struct fs_reply),
    LIST_BYTES = FS_LIST_MAX - sizeof(struct fs_reply),
};

static bool changes_something(uint32_t op) {
    return op == FS_SETATTR || op == FS_CREATE || op == FS_LINK || op == FS_UNLINK || op == FS_RMDIR ||
           op == FS_RENAME || op == FS_FORGET;
}

static bool parse(struct call *call, const void *bytes, size_t length) {
    struct fs_request *request = &call->request;
    if (length < sizeof *request) {
        return false;
    }
    memcpy(request, bytes, sizeof *request);
    if (length != sizeof *request + request->name_length + request->name2_length) {
        return false;
    }
    call->name = (struct name){(const char *)bytes + sizeof *request, request->name_length};
    call->name2 = (struct name){call->name.bytes + request->name_length, request->name2_length};
    return true;
}

static void tell_space(const struct state *state, struct call *call) {
    const struct header *header = &state->cells[0].header;
    const uint64_t free = call->space->free;
    const struct fs_space space = {.blocks = call->space->total,
                                   .blocks_free = free,
                                   .blocks_available = free,
                                   .files = header->nodes + free * PAGE / (2 * CELL_BYTES),
                                   .files_free = free * PAGE / (2 * CELL_BYTES), /* a node and a name each */
                                   .block_size = PAGE,
                                   .name_max = FS_NAME_MAX,
                                   .magic = MEMORY_MAGIC};
    memcpy(call->behind, &space, sizeof space);
    call->count = sizeof space;
}

static int list(const struct state *state, struct call *call) {
    const struct fs_request *request = &call->request;
    bool end = false;
    int error = tree_list(state, request->node, request->position, call->behind, LIST_BYTES, &call->count, &end);
    call->reply->caching |= end ? FS_LIST_END : 0;
    return error;
}

static int look(const struct state *state, struct call *call) {
    const struct fs_request *request = &call->request;
    struct fs_attributes *out = &call->reply->attributes;
    switch (call->op) {
    case FS_LOOKUP:
        return tree_lookup(state, request->node, call->name, out);
    case FS_GETATTR:
        return tree_attributes(state, request->node, out);
    case FS_READLINK:
        return tree_target(state, request->node, call->behind, BEHIND_BYTES, &call->count);
    case FS_READDIR:
        return list(state, call);
    case FS_SYNC: /* nothing is as durable as that */
        return 0;
    case FS_STATFS:
        tell_space(state, call);
        return 0;
    default:
        return ENOSYS;
    }
}

static int change(struct state *state, struct call *call) {
    const struct fs_request *request = &call->request;
    struct fs_attributes *out = &call->reply->attributes;
    switch (call->op) {
    case FS_SETATTR:
        return tree_set(state, request->node, request->set, &request->attributes, call->now, out);
    case FS_CREATE:
        return tree_create(state, request->node, call->name, &request->attributes, call->name2, call->now, out);
    case FS_LINK:
        return tree_link(state, request->node, call->name, request->node2, request->set != 0, call->now, out);
    case FS_UNLINK:
        return tree_unlink(state, request->node, call->name, false, call->now, out);
    case FS_RMDIR:
        return tree_unlink(state, request->node, call->name, true, call->now, out);
    case FS_RENAME:
        return tree_rename(state, request->node, call->name, request->node2, call->name2, call->now, out);
    default: /* FS_FORGET */
        return tree_forget(state, request->node);
    }
}

/* What was done before is not done again. */
static int change_once(struct state *state, struct call *call) {
    const uint64_t request = call->request.request;
    const uint32_t cell = FIRST_ANSWER + (uint32_t)(request % FS_CHANGES_MAX);
    const struct answer *before = &state->cells[cell].answer;
    if (request != 0 && before->request == request) {
        *call->reply = before->reply;
        return 0;
    }
    int error = change(state, call);
    if (error == 0 && request != 0) {
        struct answer *answer = &state_edit(state, cell)->answer;
        answer->request = request;
        answer->reply = *call->reply;
    }
    if (error == 0) {
        return state_commit(state) ? 0 : ENOSPC;
    }
    state_drop(state);
    return error;
}

uint32_t operation_call(struct state *state, uint32_t op, const void *bytes, size_t length, int64_t now,
                        const struct memory_space *space, void *reply, size_t *size) {
    struct call call = {
        .op = op, .now = now, .space = space, .reply = reply, .behind = (char *)reply + sizeof(struct fs_reply)};
    int error = EINVAL;
    memset(reply, 0, sizeof *call.reply);
    call.reply->caching = FS_MAY_CACHE;
    if (parse(&call, bytes, length)) {
        error = changes_something(op) ? change_once(state, &call) : look(state, &call);
    }
    call.count = error == 0 ? call.count : 0;
    call.reply->count = (uint32_t)call.count;
    *size = sizeof *call.reply + call.count;
    return (uint32_t)error;
}
