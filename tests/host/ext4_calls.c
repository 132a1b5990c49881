/*
 * Operations at random on the ext4 server's core and on the model. See ext4_calls.h.
 */
#include "tests/host/ext4_calls.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "user/ext4/content.h"

void fail(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "FAIL: ");
    vfprintf(stderr, format, arguments);
    fprintf(stderr, "\n");
    va_end(arguments);
    abort();
}

struct answer *call(struct volume *volume, uint32_t label, const struct fs_request *request, const char *name,
                    const char *name2) {
    static uint8_t bytes[sizeof *request + 2 * (FS_PATH_MAX + 1)];
    static _Alignas(8) uint8_t reply[sizeof(struct fs_reply) + CALL_EXTRA];
    static struct answer answer;
    struct fs_request sent = *request;
    sent.name_length = (uint16_t)(name != NULL ? strlen(name) : 0);
    sent.name2_length = (uint16_t)(name2 != NULL ? strlen(name2) : 0);
    memcpy(bytes, &sent, sizeof sent);
    memcpy(bytes + sizeof sent, name != NULL ? name : "", sent.name_length);
    memcpy(bytes + sizeof sent + sent.name_length, name2 != NULL ? name2 : "", sent.name2_length);
    size_t size = sizeof reply;
    answer.label =
        operation_call(volume, label, bytes, sizeof sent + sent.name_length + sent.name2_length, reply, &size);
    memcpy(&answer.reply, reply, sizeof answer.reply);
    memcpy(answer.extra, reply + sizeof answer.reply, size - sizeof answer.reply);
    return &answer;
}

/* --- Content: a sector says which file, page, sector and version it is of ----------------------------------------- */

struct sector {
    uint32_t id, page, sector, version;
    uint32_t again[DISK_SECTOR / 4 - 4];
};

static void make_sector(struct sector *sector, uint32_t id, unsigned page, unsigned index, uint32_t version) {
    *sector = (struct sector){.id = id, .page = page, .sector = index, .version = version};
    for (unsigned i = 0; i < sizeof sector->again / 4; i++) {
        sector->again[i] = version + i;
    }
}

static bool is_zero(const struct sector *sector) {
    static const struct sector zero;
    return memcmp(sector, &zero, sizeof zero) == 0;
}

static void make_page(uint8_t *bytes, const struct model_node *node, unsigned page) {
    memset(bytes, 0, CONTENT_PAGE);
    for (unsigned i = 0; i < node->pages[page].sectors && node->pages[page].version != 0; i++) {
        make_sector((struct sector *)(bytes + i * DISK_SECTOR), node->id, page, i, node->pages[page].version);
    }
}

/* --- Choosing ----------------------------------------------------------------------------------------------------- */

static unsigned below(unsigned limit) { return (unsigned)rand() % limit; }

static unsigned random_directory(const struct model *model) {
    for (unsigned tries = 0; tries < 50; tries++) {
        unsigned node = below(MODEL_NODES);
        if (model->nodes[node].used && S_ISDIR(model->nodes[node].mode) && model->nodes[node].links > 0) {
            return node;
        }
    }
    return 0;
}

static unsigned random_node(const struct model *model, uint32_t type, bool orphan) {
    for (unsigned tries = 0; tries < 100; tries++) {
        unsigned node = 1 + below(MODEL_NODES - 1);
        const struct model_node *found = &model->nodes[node];
        if (found->used && (type == 0 || (found->mode & S_IFMT) == type) && (found->links == 0) == orphan) {
            return node;
        }
    }
    return 0;
}

struct op choose_operation(const struct model *model, uint64_t request) {
    static const uint8_t weights[OP_COUNT] = {
        [OP_CREATE] = 14, [OP_MKDIR] = 8,  [OP_SYMLINK] = 5, [OP_FIFO] = 2,  [OP_LINK] = 6,
        [OP_UNLINK] = 10, [OP_RMDIR] = 5,  [OP_RENAME] = 10, [OP_CHMOD] = 4, [OP_SIZE] = 8,
        [OP_STORE] = 20,  [OP_FORGET] = 6, [OP_SYNC] = 2};
    unsigned pick = below(100);
    struct op op = {.request = request};
    while (pick >= weights[op.operation]) {
        pick -= weights[op.operation++];
    }
    op.node = random_directory(model);
    op.node2 = random_directory(model);
    op.name = below(MODEL_NAMES);
    op.name2 = below(MODEL_NAMES);
    op.value = 1 + below(700);
    if (op.operation == OP_LINK || op.operation == OP_CHMOD) {
        op.node2 = random_node(model, S_IFREG, false);
    } else if (op.operation == OP_SIZE || op.operation == OP_STORE) {
        op.node2 = random_node(model, S_IFREG, below(8) == 0);
        op.value = below(MODEL_PAGES * MODEL_SECTORS + 1) * (uint64_t)DISK_SECTOR;
        op.page = below(MODEL_PAGES);
        op.pages = 1 + below(MODEL_PAGES - op.page);
    } else if (op.operation == OP_FORGET) {
        op.node2 = random_node(model, 0, true);
    }
    return op;
}

/* --- Carrying out ------------------------------------------------------------------------------------------------- */

static void expect(const struct answer *answer, int error, const struct op *op) {
    if (answer->label != (uint32_t)error) {
        fail("operation %u, request %llu: answered %u, want %d", op->operation, (unsigned long long)op->request,
             answer->label, error);
    }
}

static void add_entry(struct model *model, unsigned directory, unsigned name, unsigned node) {
    model->entries[model_free_entry(model)] = (struct model_entry){
        .used = true, .name = (uint8_t)name, .directory = (uint16_t)directory, .node = (uint16_t)node};
}

static void lose_name(struct model *model, unsigned directory, unsigned node) {
    if (S_ISDIR(model->nodes[node].mode)) {
        model->nodes[node].links = 0;
        model->nodes[directory].links--;
    } else {
        model->nodes[node].links--;
    }
}

static void create(struct volume *volume, struct model *model, const struct op *op) {
    static const uint32_t types[] = {
        [OP_CREATE] = S_IFREG, [OP_MKDIR] = S_IFDIR, [OP_SYMLINK] = S_IFLNK, [OP_FIFO] = S_IFIFO};
    uint32_t mode = types[op->operation] | (uint32_t)(op->value & 0777);
    int node = model_free_node(model);
    if (node < 0 || model_free_entry(model) < 0) {
        return;
    }
    char target[1024];
    memset(target, 't', sizeof target);
    target[op->value & 0xff] = '\0';
    struct fs_request request = {.request = op->request, .node = model->nodes[op->node].number};
    request.attributes.mode = mode;
    request.attributes.uid = 70000;
    int error = model_find(model, op->node, op->name) >= 0         ? EEXIST
                : op->operation == OP_SYMLINK && target[0] == '\0' ? ENOENT
                                                                   : 0;
    const struct answer *answer =
        call(volume, FS_CREATE, &request, model_name(op->name), op->operation == OP_SYMLINK ? target : NULL);
    expect(answer, error, op);
    if (error != 0) {
        return;
    }
    bool directory = S_ISDIR(mode);
    model->nodes[node] = (struct model_node){.used = true,
                                             .mode = mode,
                                             .links = directory ? 2 : 1,
                                             .number = answer->reply.attributes.node,
                                             .id = model->next_id++,
                                             .target = (uint8_t)(op->operation == OP_SYMLINK ? op->value & 0xff : 0)};
    model->nodes[op->node].links += directory;
    add_entry(model, op->node, op->name, (unsigned)node);
}

static void link_or_remove(struct volume *volume, struct model *model, const struct op *op) {
    struct fs_request request = {.request = op->request, .node = model->nodes[op->node].number};
    int there = model_find(model, op->node, op->name);
    if (op->operation == OP_LINK) {
        if (op->node2 == 0 || model_free_entry(model) < 0) {
            return;
        }
        request.node2 = model->nodes[op->node2].number;
        expect(call(volume, FS_LINK, &request, model_name(op->name), NULL), there >= 0 ? EEXIST : 0, op);
        if (there < 0) {
            model->nodes[op->node2].links++;
            add_entry(model, op->node, op->name, op->node2);
        }
        return;
    }
    int error = ENOENT;
    if (there >= 0) {
        unsigned node = model->entries[there].node;
        bool directory = S_ISDIR(model->nodes[node].mode);
        error = directory != (op->operation == OP_RMDIR)    ? (directory ? EISDIR : ENOTDIR)
                : directory && !model_is_empty(model, node) ? ENOTEMPTY
                                                            : 0;
    }
    uint32_t label = op->operation == OP_RMDIR ? FS_RMDIR : FS_UNLINK;
    expect(call(volume, label, &request, model_name(op->name), NULL), error, op);
    if (error == 0) {
        lose_name(model, op->node, model->entries[there].node);
        model->entries[there].used = false;
    }
}

static int rename_error(const struct model *model, const struct op *op, int from, int to) {
    if (from < 0) {
        return ENOENT;
    }
    unsigned moved = model->entries[from].node;
    bool directory = S_ISDIR(model->nodes[moved].mode);
    if (directory && op->node != op->node2 && model_is_below(model, op->node2, moved)) {
        return EINVAL;
    }
    if (to < 0 || model->entries[to].node == moved) {
        return 0;
    }
    unsigned replaced = model->entries[to].node;
    if (S_ISDIR(model->nodes[replaced].mode) != directory) {
        return directory ? ENOTDIR : EISDIR;
    }
    return directory && !model_is_empty(model, replaced) ? ENOTEMPTY : 0;
}

static void rename_names(struct volume *volume, struct model *model, const struct op *op) {
    struct fs_request request = {
        .request = op->request, .node = model->nodes[op->node].number, .node2 = model->nodes[op->node2].number};
    int from = model_find(model, op->node, op->name), to = model_find(model, op->node2, op->name2);
    int error = rename_error(model, op, from, to);
    expect(call(volume, FS_RENAME, &request, model_name(op->name), model_name(op->name2)), error, op);
    if (error != 0 || (to >= 0 && model->entries[to].node == model->entries[from].node)) {
        return;
    }
    unsigned moved = model->entries[from].node;
    if (to >= 0) {
        lose_name(model, op->node2, model->entries[to].node);
        model->entries[to].used = false;
    }
    if (S_ISDIR(model->nodes[moved].mode)) {
        model->nodes[op->node].links--;
        model->nodes[op->node2].links++;
    }
    model->entries[from].used = false;
    add_entry(model, op->node2, op->name2, moved);
}

static void store(struct volume *volume, struct model *model, unsigned index, unsigned page, unsigned pages) {
    struct model_node *node = &model->nodes[index];
    model->next_version++;
    for (unsigned i = page; i < page + pages; i++) {
        uint64_t start = (uint64_t)i * CONTENT_PAGE, rest = node->size > start ? node->size - start : 0;
        rest = rest < CONTENT_PAGE ? rest : CONTENT_PAGE;
        node->pages[i] = (struct model_page){model->next_version, (uint8_t)(rest / DISK_SECTOR), true};
        make_page(test_grant(0) + (i - page) * CONTENT_PAGE, node, i);
    }
    int error = content_store(volume, node->number, page, pages, node->size, 0);
    if (error != 0) {
        fail("store: %s", strerror(error));
    }
}

/* What the kernel does: what was behind a smaller size reads as zero from now on. */
static void set_size(struct volume *volume, struct model *model, const struct op *op) {
    struct model_node *node = &model->nodes[op->node2];
    struct fs_request request = {.request = op->request, .node = node->number, .set = FS_SET_SIZE};
    request.attributes.size = op->value;
    expect(call(volume, FS_SETATTR, &request, NULL, NULL), 0, op);
    bool smaller = op->value < node->size;
    node->size = op->value;
    for (unsigned page = 0; page < MODEL_PAGES && smaller; page++) {
        uint64_t start = (uint64_t)page * CONTENT_PAGE;
        if (start >= op->value) {
            node->pages[page] = (struct model_page){.touched = true};
        } else if (op->value - start < CONTENT_PAGE && node->pages[page].version != 0) {
            store(volume, model, op->node2, page, 1);
        }
    }
}

static void change_node(struct volume *volume, struct model *model, const struct op *op) {
    struct model_node *node = &model->nodes[op->node2];
    struct fs_request request = {.request = op->request, .node = node->number};
    if (op->node2 == 0) {
        return;
    }
    switch (op->operation) {
    case OP_CHMOD:
        request.set = FS_SET_MODE;
        request.attributes.mode = (uint32_t)(op->value & 07777);
        expect(call(volume, FS_SETATTR, &request, NULL, NULL), 0, op);
        node->mode = (node->mode & S_IFMT) | (uint32_t)(op->value & 07777);
        break;
    case OP_SIZE:
        set_size(volume, model, op);
        break;
    case OP_STORE:
        if (op->value % 1024 == 0 && node->size < op->value && op->value <= (op->page + op->pages) * CONTENT_PAGE) {
            node->size = op->value; /* pages of a file that has grown come before the message that tells so */
        }
        store(volume, model, op->node2, op->page, op->pages);
        break;
    default: /* OP_FORGET */
        expect(call(volume, FS_FORGET, &request, NULL, NULL), 0, op);
        node->used = false;
        break;
    }
}

static void sync_all(struct volume *volume, struct model *model, const struct op *op) {
    struct fs_request request = {.request = op->request};
    expect(call(volume, FS_SYNC, &request, NULL, NULL), 0, op);
    for (unsigned node = 0; node < MODEL_NODES; node++) {
        for (unsigned page = 0; page < MODEL_PAGES; page++) {
            model->nodes[node].pages[page].touched = false;
        }
    }
}

void run_operation(struct volume *volume, struct model *model, const struct op *op) {
    switch (op->operation) {
    case OP_CREATE:
    case OP_MKDIR:
    case OP_SYMLINK:
    case OP_FIFO:
        create(volume, model, op);
        break;
    case OP_LINK:
    case OP_UNLINK:
    case OP_RMDIR:
        link_or_remove(volume, model, op);
        break;
    case OP_RENAME:
        rename_names(volume, model, op);
        break;
    case OP_SYNC:
        sync_all(volume, model, op);
        break;
    default:
        change_node(volume, model, op);
        break;
    }
}

/* --- Comparing ---------------------------------------------------------------------------------------------------- */

static char difference[512];

static const char *differs(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(difference, sizeof difference, format, arguments);
    va_end(arguments);
    return difference;
}

/* Entries of a directory, some at a time; each must be in the model. *count says how many. */
static const char *compare_list(struct volume *volume, const struct model *model, unsigned directory, unsigned *count) {
    struct fs_request request = {.node = model->nodes[directory].number};
    for (*count = 0;;) {
        struct answer *answer = call(volume, FS_READDIR, &request, NULL, NULL);
        if (answer->label != 0) {
            return differs("listing %u: error %u", directory, answer->label);
        }
        if (answer->reply.count == 0) {
            return NULL;
        }
        for (size_t at = 0; at < answer->reply.count; ++*count) {
            const struct fs_entry *entry = (const void *)(answer->extra + at);
            int there = -1;
            char name[256] = "";
            memcpy(name, entry->name, entry->name_length);
            unsigned number = (unsigned)atoi(name);
            if (number < MODEL_NAMES && strcmp(name, model_name(number)) == 0) {
                there = model_find(model, directory, number);
            }
            if (there < 0 || model->nodes[model->entries[there].node].number != entry->node) {
                return differs("directory %u has %.8s", directory, name);
            }
            at += entry->bytes;
            request.position = entry->next;
        }
    }
}

static const char *compare_node(struct volume *volume, const struct model *model, unsigned index) {
    const struct model_node *node = &model->nodes[index];
    struct fs_request request = {.node = node->number};
    const struct answer *answer = call(volume, FS_GETATTR, &request, NULL, NULL);
    const struct fs_attributes *got = &answer->reply.attributes;
    uint64_t size = S_ISLNK(node->mode) ? node->target : S_ISDIR(node->mode) ? got->size : node->size;
    if (answer->label != 0 || got->mode != node->mode || got->links != node->links || got->size != size) {
        return differs("node %u (%llu): label %u mode %o, want %o, links %u, want %u, size %llu, want %llu", index,
                       (unsigned long long)node->number, answer->label, got->mode, node->mode, got->links, node->links,
                       (unsigned long long)got->size, (unsigned long long)size);
    }
    if (S_ISLNK(node->mode)) {
        answer = call(volume, FS_READLINK, &request, NULL, NULL);
        if (answer->label != 0 || answer->reply.count != node->target || answer->extra[0] != 't') {
            return differs("link %u: label %u, %u bytes, want %u", index, answer->label, answer->reply.count,
                           node->target);
        }
    }
    return NULL;
}

const char *compare_names(struct volume *volume, const struct model *model) {
    const char *error = NULL;
    for (unsigned node = 0; node < MODEL_NODES && error == NULL; node++) {
        if (!model->nodes[node].used || model->nodes[node].links == 0) {
            continue;
        }
        error = compare_node(volume, model, node);
        if (error == NULL && S_ISDIR(model->nodes[node].mode)) {
            unsigned count, expected = 0;
            for (unsigned i = 0; i < MODEL_ENTRIES; i++) {
                const struct model_entry *entry = &model->entries[i];
                if (!entry->used || entry->directory != node) {
                    continue;
                }
                expected++;
                struct fs_request request = {.node = model->nodes[node].number};
                const struct answer *answer = call(volume, FS_LOOKUP, &request, model_name(entry->name), NULL);
                if (answer->label != 0 || answer->reply.attributes.node != model->nodes[entry->node].number) {
                    return differs("name %u in %u: label %u", entry->name, node, answer->label);
                }
            }
            error = compare_list(volume, model, node, &count);
            if (error == NULL && count != expected) {
                error = differs("directory %u has %u entries, want %u", node, count, expected);
            }
        }
    }
    return error;
}

/* Whether a sector is one of the file's, as old as it may be. */
static bool is_acceptable(const struct sector *got, const struct model_node *node, unsigned page, unsigned index) {
    struct sector wanted;
    make_sector(&wanted, node->id, page, index, got->version);
    return is_zero(got) || memcmp(got, &wanted, sizeof wanted) == 0;
}

const char *compare_content(struct volume *volume, const struct model *model, bool strict) {
    for (unsigned index = 1; index < MODEL_NODES; index++) {
        const struct model_node *node = &model->nodes[index];
        if (!node->used || !S_ISREG(node->mode) || (node->links == 0 && !strict)) {
            continue;
        }
        memset(test_grant(1), 0, TEST_GRANT_BYTES);
        int error = content_fill(volume, node->number, 0, MODEL_PAGES, 1);
        if (error != 0) {
            return differs("filling %u: %s", index, strerror(error));
        }
        for (unsigned page = 0; page < MODEL_PAGES; page++) {
            uint8_t wanted[CONTENT_PAGE];
            make_page(wanted, node, page);
            for (unsigned i = 0; i < MODEL_SECTORS; i++) {
                if ((uint64_t)page * CONTENT_PAGE + i * DISK_SECTOR >= node->size) {
                    continue;
                }
                const struct sector *got = (void *)(test_grant(1) + page * CONTENT_PAGE + i * DISK_SECTOR);
                bool same = memcmp(got, wanted + i * DISK_SECTOR, DISK_SECTOR) == 0;
                if (!same && (strict || !node->pages[page].touched || !is_acceptable(got, node, page, i))) {
                    return differs("file %u (id %u) page %u sector %u: id %u page %u sector %u version %u, want %u",
                                   index, node->id, page, i, got->id, got->page, got->sector, got->version,
                                   node->pages[page].version);
                }
            }
        }
    }
    return NULL;
}
