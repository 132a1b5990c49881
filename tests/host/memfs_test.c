/*
 * memfs' state and operations (user/memfs) against a model, on this machine: random calls are answered as the model
 * says; a kill between any two stores of a change leaves all or nothing of it, and a call that comes again is answered
 * as before; memory that ends is ENOSPC and changes nothing; large directories; listing while others change; calls of
 * random bytes.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "user/memfs/operations.h"
#include "user/memfs/tree.h"

enum {
    SMALL = 1152 /* whole steps of growth */,
    LARGE = 1 << 19,
    NAMES = 24,
    NODES = 400,
    CALLS = 30000,
    LOG_BYTES = 32768
};

static void fail(int line, const char *what) {
    printf("memfs_test: line %d: %s\n", line, what);
    exit(1);
}

#define CHECK(condition) ((condition) ? (void)0 : fail(__LINE__, #condition))

static uint64_t random_number(void) {
    static uint64_t seed = 88172645463325252ULL;
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed >> 16;
}

/* --- The machine -------------------------------------------------------------------------------------------------- */

static struct state state;
static uint8_t *memory;
static uint64_t memory_limit, memory_now; /* bytes */
static const struct memory_space space = {1000, 600};

static bool size_to(struct state *of, uint64_t from, uint64_t to) {
    (void)of;
    if (to > memory_limit) {
        return false;
    }
    memory_now = to;
    memset(memory + (from < to ? from : to), 0, from < to ? to - from : from - to);
    return true;
}

static void start(uint64_t cells, uint64_t limit) {
    free(memory);
    memory = calloc(1, state_size(cells) + LOG_BYTES);
    memory_limit = limit;
    CHECK(memory != NULL && state_open(&state, memory, cells, 12345, size_to, -1));
}

static void restart(void) { CHECK(state_open(&state, memory, state.room, 999, size_to, -1)); }

struct sent {
    struct fs_request request;
    char names[2 * 4096];
};

static uint8_t reply[OPERATION_BYTES];
static const struct fs_reply *answer = (const void *)reply;
static size_t reply_size;
static uint64_t last_request;
static struct sent last;
static size_t last_length;
static uint32_t last_op;

static uint32_t again(void) {
    return operation_call(&state, last_op, &last, last_length, 77, &space, reply, &reply_size);
}

static uint32_t call(uint32_t op, uint64_t node, const char *name, uint64_t node2, const char *name2, uint32_t mode) {
    size_t length = name != NULL ? strlen(name) : 0, length2 = name2 != NULL ? strlen(name2) : 0;
    last = (struct sent){.request = {.node = node,
                                     .node2 = node2,
                                     .name_length = (uint16_t)length,
                                     .name2_length = (uint16_t)length2,
                                     .request = ++last_request,
                                     .attributes = {.mode = mode, .uid = 5, .gid = 6}}};
    memcpy(last.names, name != NULL ? name : "", length);
    memcpy(last.names + length, name2 != NULL ? name2 : "", length2);
    last_length = sizeof last.request + length + length2;
    last_op = op;
    return again();
}

/* --- The model: arrays -------------------------------------------------------------------------------------------- */

struct model_node {
    uint64_t number; /* 0: free */
    uint32_t mode, links, parent;
};

struct model_entry {
    uint32_t directory, node; /* indices; node 0: free, index 0 is not used */
    char name[FS_NAME_MAX + 1];
};

static struct model_node nodes[NODES];
static struct model_entry entries[NODES];

static struct model_entry *model_find(uint32_t directory, const char *name) {
    for (unsigned i = 0; i < NODES; i++) {
        if (entries[i].node != 0 && entries[i].directory == directory && strcmp(entries[i].name, name) == 0) {
            return &entries[i];
        }
    }
    return NULL;
}

static unsigned model_count(uint32_t directory) {
    unsigned count = 0;
    for (unsigned i = 0; i < NODES; i++) {
        count += entries[i].node != 0 && entries[i].directory == directory;
    }
    return count;
}

static bool model_is_full(void) {
    unsigned count = 0;
    for (unsigned i = 0; i < NODES; i++) {
        count += entries[i].node != 0;
    }
    return count > NODES - 2;
}

static bool model_is_directory(uint32_t node) { return S_ISDIR(nodes[node].mode); }

static bool model_below(uint32_t node, uint32_t above) {
    while (node != above && node != 1) {
        node = nodes[node].parent;
    }
    return node == above;
}

static void model_add(uint32_t directory, const char *name, uint32_t node) {
    for (unsigned i = 0; i < NODES; i++) {
        if (entries[i].node == 0) {
            entries[i].directory = directory;
            entries[i].node = node;
            strcpy(entries[i].name, name);
            return;
        }
    }
    fail(__LINE__, "the model is full");
}

static uint32_t model_free_node(void) {
    for (uint32_t i = 2; i < NODES; i++) {
        if (nodes[i].number == 0) {
            return i;
        }
    }
    return 0;
}

static void model_lose(struct model_entry *entry) {
    if (model_is_directory(entry->node)) {
        nodes[entry->node].links = 0;
        nodes[entry->directory].links--;
    } else {
        nodes[entry->node].links--;
    }
    entry->node = 0;
}

/* --- Random calls ------------------------------------------------------------------------------------------------- */

static const char *random_name(void) {
    static char names[2][FS_NAME_MAX + 1];
    static unsigned next;
    char *name = names[next++ % 2];
    unsigned which = (unsigned)(random_number() % NAMES);
    int length = snprintf(name, FS_NAME_MAX + 1, "name-%u", which);
    if (which % 4 == 0) { /* long ones, which differ at their ends */
        memset(name, 'a' + (int)which, which % 8 == 0 ? FS_NAME_MAX : 100);
        length = which % 8 == 0 ? FS_NAME_MAX : 100;
        name[length] = '\0';
    }
    return name;
}

static uint32_t random_node(bool directory) {
    for (;;) {
        uint32_t node = (uint32_t)(random_number() % NODES);
        if (nodes[node].number != 0 && model_is_directory(node) == directory) {
            return node;
        }
        if (random_number() % 64 == 0) {
            return 1;
        }
    }
}

static void do_create(void) {
    static char target[4096];
    const uint32_t modes[] = {S_IFREG | 0644, S_IFREG | 0600, S_IFDIR | 0755, S_IFLNK | 0777};
    uint32_t directory = random_node(true), mode = modes[random_number() % 4], node = model_free_node();
    const char *name = random_name();
    if (node == 0 || model_is_full()) {
        return;
    }
    memset(target, 't', sizeof target);
    target[1 + random_number() % 4094] = '\0';
    uint32_t error = call(FS_CREATE, nodes[directory].number, name, 0, S_ISLNK(mode) ? target : NULL, mode);
    if (nodes[directory].links == 0 || model_find(directory, name) != NULL) {
        CHECK(error == (nodes[directory].links == 0 ? ENOENT : EEXIST));
        return;
    }
    if (error == ENOSPC) {
        return;
    }
    CHECK(error == 0 && answer->attributes.mode == mode && answer->attributes.gid == 6);
    CHECK(answer->attributes.links == (S_ISDIR(mode) ? 2 : 1));
    nodes[node] = (struct model_node){answer->attributes.node, mode, S_ISDIR(mode) ? 2 : 1, directory};
    nodes[directory].links += S_ISDIR(mode) ? 1 : 0;
    model_add(directory, name, node);
}

static void do_link(void) {
    uint32_t directory = random_node(true), node = random_node(random_number() % 8 == 0);
    const char *name = random_name();
    if (model_is_full()) {
        return;
    }
    uint32_t error = call(FS_LINK, nodes[directory].number, name, nodes[node].number, NULL, 0);
    if (nodes[directory].links == 0) {
        CHECK(error == ENOENT);
    } else if (model_find(directory, name) != NULL) {
        CHECK(error == EEXIST);
    } else if (nodes[node].links == 0) {
        CHECK(error == ENOENT);
    } else if (model_is_directory(node)) {
        CHECK(error == EPERM);
    } else if (error != ENOSPC) {
        CHECK(error == 0 && answer->attributes.links == ++nodes[node].links);
        model_add(directory, name, node);
    }
}

static void do_remove(void) {
    uint32_t directory = random_node(true);
    bool rmdir = random_number() % 3 == 0;
    const char *name = random_name();
    uint32_t error = call(rmdir ? FS_RMDIR : FS_UNLINK, nodes[directory].number, name, 0, NULL, 0);
    struct model_entry *entry = model_find(directory, name);
    if (entry == NULL) {
        CHECK(error == ENOENT);
    } else if (model_is_directory(entry->node) != rmdir) {
        CHECK(error == (rmdir ? ENOTDIR : EISDIR));
    } else if (rmdir && model_count(entry->node) > 0) {
        CHECK(error == ENOTEMPTY);
    } else {
        uint32_t node = entry->node;
        model_lose(entry);
        CHECK(error == 0 && answer->attributes.node == nodes[node].number);
        CHECK(answer->attributes.links == nodes[node].links);
    }
}

static uint32_t expected_rename(uint32_t to_directory, const struct model_entry *from, const struct model_entry *to) {
    if (from == NULL || nodes[to_directory].links == 0) {
        return ENOENT;
    }
    if (to != NULL && to->node == from->node) {
        return 0;
    }
    if (model_is_directory(from->node) && model_below(to_directory, from->node)) {
        return EINVAL;
    }
    if (to != NULL && model_is_directory(from->node) != model_is_directory(to->node)) {
        return model_is_directory(from->node) ? ENOTDIR : EISDIR;
    }
    return to != NULL && model_is_directory(to->node) && model_count(to->node) > 0 ? ENOTEMPTY : 0;
}

static void do_rename(void) {
    uint32_t a = random_node(true), b = random_number() % 2 ? a : random_node(true);
    const char *old = random_name(), *new = random_name();
    struct model_entry *from = model_find(a, old), *to = model_find(b, new);
    uint32_t error = call(FS_RENAME, nodes[a].number, old, nodes[b].number, new, 0);
    uint32_t expected = expected_rename(b, from, to);
    if (error == ENOSPC && expected == 0) {
        return;
    }
    CHECK(error == expected);
    if (error != 0 || (to != NULL && to->node == from->node)) {
        CHECK(error != 0 || answer->attributes.node == 0);
        return;
    }
    uint32_t moved = from->node;
    CHECK(answer->attributes.node == (to != NULL ? nodes[to->node].number : 0));
    if (to != NULL) {
        model_lose(to);
    }
    from->node = 0;
    if (model_is_directory(moved)) {
        nodes[a].links--;
        nodes[b].links++;
        nodes[moved].parent = b;
    }
    model_add(b, new, moved);
}

static void do_forget(void) {
    uint32_t node = random_node(random_number() % 2);
    uint32_t error = call(FS_FORGET, nodes[node].number, NULL, 0, NULL, 0);
    CHECK(error == (nodes[node].links == 0 ? 0 : EINVAL));
    if (error == 0) {
        nodes[node].number = 0;
    }
}

static void do_set(void) {
    uint32_t node = random_node(false);
    last_request++;
    struct sent sent = {.request = {.node = nodes[node].number,
                                    .request = last_request,
                                    .set = FS_SET_MODE | FS_SET_OWNER,
                                    .attributes = {.mode = (uint32_t)random_number() & 0777, .uid = 8, .gid = 9}}};
    last = sent;
    last_length = sizeof sent.request;
    last_op = FS_SETATTR;
    CHECK(again() == 0 && answer->attributes.mode == ((nodes[node].mode & S_IFMT) | sent.request.attributes.mode));
    CHECK(answer->attributes.uid == 8 && answer->attributes.links == nodes[node].links);
}

static void do_something(void) {
    void (*const what[])(void) = {do_create, do_create, do_create, do_link,   do_remove,
                                  do_remove, do_rename, do_rename, do_forget, do_set};
    what[random_number() % (sizeof what / sizeof *what)]();
}

/* All directories list what the model has. */
static void check_lists(void) {
    for (uint32_t node = 1; node < NODES; node++) {
        if (nodes[node].number == 0 || !model_is_directory(node)) {
            continue;
        }
        unsigned count = 0;
        CHECK(call(FS_READDIR, nodes[node].number, NULL, 0, NULL, 0) == 0);
        for (size_t at = sizeof *answer; at < reply_size; count++) {
            const struct fs_entry *entry = (const void *)(reply + at);
            char name[FS_NAME_MAX + 1] = "";
            memcpy(name, entry->name, entry->name_length);
            const struct model_entry *expected = model_find(node, name);
            CHECK(expected != NULL && nodes[expected->node].number == entry->node);
            CHECK(entry->mode == (nodes[expected->node].mode & S_IFMT));
            at += entry->bytes;
        }
        CHECK(count == model_count(node));
    }
}

static void check_state(void) {
    const char *wrong = tree_check(&state);
    if (wrong != NULL) {
        fail(__LINE__, wrong);
    }
}

/* --- Kills -------------------------------------------------------------------------------------------------------- */

struct log_entry {
    uint64_t where, length;
    uint8_t bytes[CELL_BYTES];
};

static uint8_t before[LOG_BYTES + SMALL * CELL_BYTES], after[sizeof before];

static size_t used_bytes(const uint8_t *of) {
    return LOG_BYTES + ((const union cell *)(const void *)(of + LOG_BYTES))->header.used * (size_t)CELL_BYTES;
}

/* What a kill leaves after `done` cells were carried out and half of another; a new process must make `after` of it. */
static void kill_while_carrying_out(unsigned count, unsigned done) {
    const struct log_entry *log = (const void *)(after + 8);
    memcpy(memory, before, sizeof before);
    memcpy(memory, after, LOG_BYTES);
    *(uint64_t *)(void *)memory = count * sizeof *log;
    for (unsigned i = 0; i < done; i++) {
        memcpy(memory + log[i].where, log[i].bytes, CELL_BYTES);
    }
    if (done < count) {
        memcpy(memory + log[done].where, log[done].bytes, CELL_BYTES / 2);
    }
    restart();
    CHECK(memcmp(memory + LOG_BYTES, after + LOG_BYTES, used_bytes(after) - LOG_BYTES) == 0);
}

/* … before it was valid: nothing of it happened. */
static void kill_while_writing_log(void) {
    memcpy(memory, before, sizeof before);
    memcpy(memory + 8, after + 8, LOG_BYTES - 8);
    restart();
    CHECK(memcmp(memory + LOG_BYTES, before + LOG_BYTES, used_bytes(before) - LOG_BYTES) == 0);
}

/* A random call; what if the process had been killed at any of its steps? Steps that were tried. */
static unsigned kill_everywhere(void) {
    static uint8_t answered[OPERATION_BYTES];
    unsigned count = 0;
    memset(memory, 0, LOG_BYTES);
    memcpy(before, memory, sizeof before);
    last_op = 0;
    do_something();
    memcpy(after, memory, sizeof after);
    const struct log_entry *log = (const void *)(after + 8);
    while (log[count].length != 0) {
        CHECK(log[count++].length == CELL_BYTES);
    }
    if (count == 0) {
        CHECK(memcmp(before, after, used_bytes(before)) == 0);
        return 0;
    }
    size_t size = reply_size;
    memcpy(answered, reply, size);
    kill_while_writing_log();
    for (unsigned done = 0; done <= count; done++) {
        kill_while_carrying_out(count, done);
    }
    CHECK(again() == 0 && reply_size == size && memcmp(reply, answered, size) == 0);
    CHECK(memcmp(memory + LOG_BYTES, after + LOG_BYTES, used_bytes(after) - LOG_BYTES) == 0);
    return count + 2;
}

/* --- Cases -------------------------------------------------------------------------------------------------------- */

static void begin(uint64_t cells, uint64_t limit) {
    memset(nodes, 0, sizeof nodes);
    memset(entries, 0, sizeof entries);
    start(cells, limit);
    nodes[1] = (struct model_node){ROOT_NODE, S_IFDIR | 0755, 2, 1};
}

/* An answer is remembered until the next change in its place, however many come in the others. */
static void remembered(void) {
    char name[32];
    begin(SMALL, UINT64_MAX);
    CHECK(call(FS_CREATE, ROOT_NODE, "kept", 0, NULL, S_IFREG | 0600) == 0);
    const struct sent kept = last;
    const size_t kept_length = last_length;
    const struct fs_reply answered = *answer;
    for (unsigned i = 1; i < 10 * FS_CHANGES_MAX; i++) {
        if ((last_request + 1) % FS_CHANGES_MAX == kept.request.request % FS_CHANGES_MAX) {
            last_request++;
        }
        snprintf(name, sizeof name, "r%u", i);
        CHECK(call(FS_CREATE, ROOT_NODE, name, 0, NULL, S_IFREG | 0600) == 0);
    }
    restart();
    last = kept;
    last_length = kept_length;
    CHECK(again() == 0 && memcmp(answer, &answered, sizeof answered) == 0);
    last_request = (last_request / FS_CHANGES_MAX + 1) * FS_CHANGES_MAX + kept.request.request % FS_CHANGES_MAX - 1;
    CHECK(call(FS_CREATE, ROOT_NODE, "next", 0, NULL, S_IFREG | 0600) == 0);
    last = kept;
    last_length = kept_length;
    CHECK(again() == EEXIST);
    check_state();
}

static void random_calls(void) {
    begin(LARGE, UINT64_MAX);
    for (unsigned i = 0; i < CALLS; i++) {
        do_something();
        if (i % 500 == 0) {
            restart();
            check_state();
            check_lists();
        }
    }
    check_state();
    check_lists();
}

static unsigned kills(void) {
    unsigned steps = 0;
    begin(SMALL, UINT64_MAX);
    for (unsigned i = 0; i < CALLS / 5; i++) {
        steps += kill_everywhere();
        if (i % 200 == 0) {
            check_state();
            check_lists();
        }
    }
    return steps;
}

static void full_memory(void) {
    begin(LARGE, LOG_BYTES + 16384);
    for (unsigned i = 0; i < CALLS; i++) {
        do_something();
    }
    check_state();
    check_lists();
    begin(SMALL / 10, UINT64_MAX);
    for (unsigned i = 0; i < CALLS; i++) {
        do_something();
    }
    check_state();
    check_lists();
}

static void large_directory(void) {
    enum { FILES = 100000 };
    static bool seen[FILES];
    char name[32];
    unsigned count = 0, removed = 0;
    begin(LARGE, UINT64_MAX);
    uint64_t size_at_first = memory_now;
    for (unsigned i = 0; i < FILES; i++) {
        snprintf(name, sizeof name, "f%u", i);
        CHECK(call(FS_CREATE, ROOT_NODE, name, 0, NULL, S_IFREG | 0600) == 0);
    }
    check_state();
    /* Listed piece by piece; what was listed is removed, and others come, meanwhile. */
    for (uint64_t position = 0;;) {
        static uint8_t piece[OPERATION_BYTES];
        last = (struct sent){.request = {.node = ROOT_NODE, .position = position}};
        last_op = FS_READDIR;
        last_length = sizeof last.request;
        CHECK(again() == 0);
        if (reply_size == sizeof *answer) {
            break;
        }
        size_t size = reply_size;
        memcpy(piece, reply, size);
        for (size_t at = sizeof *answer; at < size;) {
            const struct fs_entry *entry = (const void *)(piece + at);
            snprintf(name, sizeof name, "%.*s", entry->name_length, entry->name);
            unsigned which = (unsigned)atoi(name + 1);
            if (name[0] == 'f') {
                CHECK(which < FILES && !seen[which]);
                seen[which] = true;
                count++;
                removed++;
                uint64_t node = entry->node;
                CHECK(call(FS_UNLINK, ROOT_NODE, name, 0, NULL, 0) == 0);
                CHECK(call(FS_FORGET, node, NULL, 0, NULL, 0) == 0);
            }
            position = entry->next;
            at += entry->bytes;
        }
        snprintf(name, sizeof name, "new%u", count);
        CHECK(call(FS_CREATE, ROOT_NODE, name, 0, NULL, S_IFREG | 0600) == 0);
        uint64_t node = answer->attributes.node;
        CHECK(call(FS_UNLINK, ROOT_NODE, name, 0, NULL, 0) == 0);
        CHECK(call(FS_FORGET, node, NULL, 0, NULL, 0) == 0);
    }
    CHECK(count == FILES && removed == FILES);
    check_state();
    while (state_tidy(&state)) {
        continue;
    }
    check_state();
    CHECK(memory_now == size_at_first && state.cells[0].header.free_count == 0);
}

static void absurd_calls(void) {
    static uint8_t bytes[sizeof(struct fs_request) + 600];
    begin(LARGE, UINT64_MAX);
    for (unsigned i = 0; i < CALLS; i++) {
        struct fs_request *request = (void *)bytes;
        for (size_t at = 0; at < sizeof bytes; at++) {
            bytes[at] = (uint8_t)random_number();
        }
        size_t length = random_number() % sizeof bytes;
        if (i % 2 == 0) { /* a little less absurd */
            request->node = random_number() % 40;
            request->node2 = random_number() % 40;
            request->name_length = (uint16_t)(random_number() % 300);
            request->name2_length = (uint16_t)(random_number() % 300);
            length = sizeof *request + request->name_length + request->name2_length;
        }
        operation_call(&state, (uint32_t)(random_number() % 16), bytes, length, 5, &space, reply, &reply_size);
        CHECK(reply_size >= sizeof *answer && reply_size <= OPERATION_BYTES);
    }
    check_state();
}

int main(void) {
    remembered();
    random_calls();
    unsigned steps = kills();
    full_memory();
    large_directory();
    absurd_calls();
    printf("memfs_test: %d calls as the model says, %u kills between stores\n", CALLS, steps);
    return 0;
}
