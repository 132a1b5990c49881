/*
 * Names and nodes. See tree.h.
 *
 * A directory has its entries in two orders. A list, in the order they came: a position in it is the number of the
 * entry that was listed last, which stays right whatever is removed. And a digital tree: from the root on, each bit of
 * the name's hash chooses a child, until one is missing; that is where a new entry goes. An entry that leaves has its
 * place taken by some leaf below it: the leaf's hash leads there, too. Hashes depend on a secret number, so nobody
 * makes the tree deep; names of the same hash go on by zero bits.
 *
 * Invariant: a node's links are the entries that name it, and for a directory one for itself and one for each
 * directory in it. Locks: the caller's.
 */
#include "user/memfs/tree.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#define SIZE_MAX_OF_FILE (1ULL << 46) /* as the kernel has it */

enum { PERMISSIONS = 07777, HASH_BITS = 64 };

/* --- Nodes -------------------------------------------------------------------------------------------------------- */

static const struct node *node_at(const struct state *state, uint64_t number) {
    const union cell *cell = state_cell(state, number, CELL_NODE);
    return cell != NULL ? &cell->node : NULL;
}

static const struct entry *entry_at(const struct state *state, uint64_t number) {
    const union cell *cell = state_cell(state, number, CELL_ENTRY);
    return cell != NULL ? &cell->entry : NULL;
}

static bool is_directory(const struct node *node) { return S_ISDIR(node->attributes.mode); }

static struct node *edit_node(struct state *state, uint64_t number) {
    return &state_edit(state, (uint32_t)number)->node;
}

static void count_nodes(struct state *state, int difference) {
    state_edit(state, 0)->header.nodes += (uint32_t)difference;
}

/* A directory is as large as its entries. */
static void set_count(struct node *directory, uint32_t count, int64_t now) {
    directory->count = count;
    directory->attributes.size = (uint64_t)count * CELL_BYTES;
    directory->attributes.blocks = (directory->attributes.size + 511) / 512;
    directory->attributes.modified = directory->attributes.changed = now;
}

/* --- Names -------------------------------------------------------------------------------------------------------- */

static uint64_t hash_name(const struct state *state, struct name name) {
    uint64_t hash = state->cells[0].header.seed;
    for (size_t i = 0; i < name.length; i++) {
        hash = (hash ^ (uint8_t)name.bytes[i]) * 0x9e3779b97f4a7c15ULL;
        hash ^= hash >> 29;
    }
    hash *= 0xbf58476d1ce4e5b9ULL;
    return hash ^ hash >> 32;
}

static unsigned hash_bit(uint64_t hash, unsigned depth) { return depth < HASH_BITS ? hash >> depth & 1 : 0; }

static size_t part_in_entry(size_t length) { return length < NAME_IN_ENTRY ? length : NAME_IN_ENTRY; }

static void read_name(const struct state *state, const struct entry *entry, char *bytes) {
    size_t part = part_in_entry(entry->length);
    memcpy(bytes, entry->name, part);
    state_read_text(state, entry->text, bytes + part, entry->length - part);
}

static bool is_named(const struct state *state, const struct entry *entry, uint64_t hash, struct name name) {
    char bytes[FS_NAME_MAX];
    if (entry->hash != hash || entry->length != name.length) {
        return false;
    }
    read_name(state, entry, bytes);
    return memcmp(bytes, name.bytes, name.length) == 0;
}

static bool name_is_valid(struct name name) {
    bool dots = name.length <= 2 && memcmp("..", name.bytes, name.length) == 0;
    return name.length > 0 && name.length <= FS_NAME_MAX && !dots && memchr(name.bytes, '/', name.length) == NULL &&
           memchr(name.bytes, '\0', name.length) == NULL;
}

/* --- The tree of a directory -------------------------------------------------------------------------------------- */

/* Where a number of an entry stands: in the directory, or as a child of another entry. */
struct place {
    uint32_t directory, above; /* above 0: in the directory */
    unsigned bit, depth;
};

static uint32_t read_place(const struct state *state, const struct place *place) {
    return place->above != 0 ? entry_at(state, place->above)->child[place->bit]
                             : node_at(state, place->directory)->tree;
}

static void write_place(struct state *state, const struct place *place, uint32_t number) {
    if (place->above != 0) {
        state_edit(state, place->above)->entry.child[place->bit] = number;
    } else {
        edit_node(state, place->directory)->tree = number;
    }
}

static void step_down(struct place *place, uint32_t number, unsigned bit) {
    place->above = number;
    place->bit = bit;
    place->depth++;
}

/* The entry of that name, and where it stands; 0: none, and where it would. */
static uint32_t find(const struct state *state, uint64_t directory, struct name name, struct place *place) {
    uint64_t hash = hash_name(state, name);
    uint32_t number;
    *place = (struct place){.directory = (uint32_t)directory};
    while ((number = read_place(state, place)) != 0 && !is_named(state, entry_at(state, number), hash, name)) {
        step_down(place, number, hash_bit(hash, place->depth));
    }
    return number;
}

/* Some leaf takes the place of the entry there. */
static void take_from_tree(struct state *state, const struct place *place) {
    uint32_t number = read_place(state, place), leaf = number, below;
    struct place leaf_place = *place;
    for (;;) {
        const struct entry *entry = entry_at(state, leaf);
        unsigned bit = entry->child[0] != 0 ? 0 : 1;
        if ((below = entry->child[bit]) == 0) {
            break;
        }
        step_down(&leaf_place, leaf, bit);
        leaf = below;
    }
    write_place(state, &leaf_place, 0);
    if (leaf != number) {
        const struct entry *gone = entry_at(state, number);
        uint32_t first = gone->child[0], second = gone->child[1];
        struct entry *entry = &state_edit(state, leaf)->entry;
        entry->child[0] = first;
        entry->child[1] = second;
        write_place(state, place, leaf);
    }
}

/* --- Entries ------------------------------------------------------------------------------------------------------ */

static void put_in_list(struct state *state, struct node *directory, uint32_t number) {
    struct entry *entry = &state_edit(state, number)->entry;
    entry->position = ++directory->position;
    entry->previous = directory->last;
    if (directory->last != 0) {
        state_edit(state, directory->last)->entry.next = number;
    } else {
        directory->first = number;
    }
    directory->last = number;
}

static void take_from_list(struct state *state, struct node *directory, uint32_t number) {
    const struct entry *entry = entry_at(state, number);
    uint32_t previous = entry->previous, next = entry->next;
    if (previous != 0) {
        state_edit(state, previous)->entry.next = next;
    } else {
        directory->first = next;
    }
    if (next != 0) {
        state_edit(state, next)->entry.previous = previous;
    } else {
        directory->last = previous;
    }
}

/* `place`: where find() says that the name would stand. */
static int add_entry(struct state *state, const struct place *place, struct name name, uint32_t node, int64_t now) {
    size_t part = part_in_entry(name.length);
    uint32_t number = state_take(state, CELL_ENTRY);
    uint32_t text = state_take_text(state, name.bytes + part, name.length - part);
    if (number == 0 || (text == 0 && name.length > part)) {
        return ENOSPC;
    }
    struct entry *entry = &state_edit(state, number)->entry;
    entry->directory = place->directory;
    entry->node = node;
    entry->text = text;
    entry->hash = hash_name(state, name);
    entry->length = (uint16_t)name.length;
    memcpy(entry->name, name.bytes, part);
    write_place(state, place, number);
    struct node *directory = edit_node(state, place->directory);
    put_in_list(state, directory, number);
    set_count(directory, directory->count + 1, now);
    return 0;
}

static void remove_entry(struct state *state, const struct place *place, int64_t now) {
    uint32_t number = read_place(state, place);
    struct node *directory = edit_node(state, place->directory);
    take_from_tree(state, place);
    take_from_list(state, directory, number);
    set_count(directory, directory->count - 1, now);
    state_give_text(state, entry_at(state, number)->text);
    state_give(state, number);
}

/* A directory in which names can be made and removed. */
static int check_directory(const struct state *state, uint64_t number) {
    const struct node *node = node_at(state, number);
    if (node == NULL) {
        return ENOENT;
    }
    return is_directory(node) ? 0 : ENOTDIR;
}

/* … and no entry of that name in it; `place`: where it would stand. */
static int check_new_name(const struct state *state, uint64_t directory, struct name name, struct place *place) {
    int error = check_directory(state, directory);
    if (error != 0) {
        return error;
    }
    if (!name_is_valid(name)) {
        return name.length > FS_NAME_MAX ? ENAMETOOLONG : EINVAL;
    }
    if (node_at(state, directory)->attributes.links == 0) {
        return ENOENT;
    }
    return find(state, directory, name, place) != 0 ? EEXIST : 0;
}

/* --- What is asked ------------------------------------------------------------------------------------------------ */

int tree_lookup(const struct state *state, uint64_t directory, struct name name, struct fs_attributes *out) {
    struct place place;
    int error = check_directory(state, directory);
    if (error != 0) {
        return error;
    }
    uint32_t number = find(state, directory, name, &place);
    if (number == 0) {
        return ENOENT;
    }
    *out = node_at(state, entry_at(state, number)->node)->attributes;
    return 0;
}

int tree_attributes(const struct state *state, uint64_t node, struct fs_attributes *out) {
    const struct node *found = node_at(state, node);
    if (found == NULL) {
        return ENOENT;
    }
    *out = found->attributes;
    return 0;
}

int tree_target(const struct state *state, uint64_t node, char *bytes, size_t room, size_t *length) {
    const struct node *found = node_at(state, node);
    if (found == NULL) {
        return ENOENT;
    }
    if (!S_ISLNK(found->attributes.mode) || found->attributes.size > room) {
        return EINVAL;
    }
    *length = found->attributes.size;
    state_read_text(state, found->text, bytes, *length);
    return 0;
}

/*
 * The first entry behind a position. Where the last piece of some list ended is remembered: the next one begins there,
 * if that entry is still what it was.
 */
static struct {
    uint32_t directory, entry;
    uint64_t position;
} list_ends[8];

static uint32_t first_behind(const struct state *state, uint64_t directory, uint64_t position) {
    for (unsigned i = 0; i < sizeof list_ends / sizeof *list_ends; i++) {
        const struct entry *entry = entry_at(state, list_ends[i].entry);
        if (list_ends[i].directory == directory && list_ends[i].position == position && entry != NULL &&
            entry->directory == directory && entry->position == position) {
            return entry->next;
        }
    }
    uint32_t number = node_at(state, directory)->first;
    while (number != 0 && entry_at(state, number)->position <= position) {
        number = entry_at(state, number)->next;
    }
    return number;
}

static void note_list_end(uint64_t directory, uint32_t entry, uint64_t position) {
    static unsigned next;
    next = (next + 1) % (sizeof list_ends / sizeof *list_ends);
    list_ends[next].directory = (uint32_t)directory;
    list_ends[next].entry = entry;
    list_ends[next].position = position;
}

int tree_list(const struct state *state, uint64_t directory, uint64_t position, char *bytes, size_t room,
              size_t *length, bool *end) {
    uint32_t last = 0;
    int error = check_directory(state, directory);
    if (error != 0) {
        return error;
    }
    *length = 0;
    *end = true;
    for (uint32_t number = first_behind(state, directory, position); number != 0;) {
        const struct entry *entry = entry_at(state, number);
        size_t needed = (sizeof(struct fs_entry) + entry->length + 7) & ~(size_t)7;
        if (needed > room - *length) {
            *end = false;
            break;
        }
        struct fs_entry *out = (void *)(bytes + *length);
        memset(out, 0, needed);
        out->node = entry->node;
        out->next = position = entry->position;
        out->bytes = (uint16_t)needed;
        out->name_length = entry->length;
        out->mode = node_at(state, entry->node)->attributes.mode & S_IFMT;
        read_name(state, entry, out->name);
        *length += needed;
        last = number;
        number = entry->next;
    }
    if (last != 0) {
        note_list_end(directory, last, position);
    }
    return 0;
}

/* --- What changes something --------------------------------------------------------------------------------------- */

int tree_set(struct state *state, uint64_t number, uint32_t set, const struct fs_attributes *wanted, int64_t now,
             struct fs_attributes *out) {
    const struct node *found = node_at(state, number);
    if (found == NULL) {
        return ENOENT;
    }
    if ((set & FS_SET_SIZE) && !S_ISREG(found->attributes.mode)) {
        return is_directory(found) ? EISDIR : EINVAL;
    }
    if ((set & FS_SET_SIZE) && wanted->size > SIZE_MAX_OF_FILE) {
        return EFBIG;
    }
    struct fs_attributes *attributes = &edit_node(state, number)->attributes;
    if (set & FS_SET_MODE) {
        attributes->mode = (attributes->mode & S_IFMT) | (wanted->mode & PERMISSIONS);
    }
    if (set & FS_SET_OWNER) {
        attributes->uid = wanted->uid;
        attributes->gid = wanted->gid;
    }
    attributes->size = set & FS_SET_SIZE ? wanted->size : attributes->size;
    attributes->accessed = set & FS_SET_ACCESSED ? wanted->accessed : attributes->accessed;
    attributes->modified = set & FS_SET_MODIFIED ? wanted->modified : attributes->modified;
    attributes->changed = set & FS_SET_CHANGED ? wanted->changed : now;
    *out = *attributes;
    return 0;
}

static bool type_is_possible(uint32_t mode, struct name target) {
    if (S_ISLNK(mode)) {
        return target.length > 0 && target.length <= FS_PATH_MAX && memchr(target.bytes, '\0', target.length) == NULL;
    }
    return S_ISREG(mode) || S_ISDIR(mode) || S_ISFIFO(mode) || S_ISSOCK(mode) || S_ISCHR(mode) || S_ISBLK(mode);
}

/* Of a new node in `directory`: in one with the set-group-id bit all are of its group. */
static void set_first_attributes(struct fs_attributes *attributes, uint32_t number, const struct fs_attributes *wanted,
                                 const struct fs_attributes *directory, int64_t now) {
    *attributes = (struct fs_attributes){.node = number,
                                         .mode = (wanted->mode & S_IFMT) | (wanted->mode & PERMISSIONS),
                                         .links = S_ISDIR(wanted->mode) ? 2 : 1,
                                         .uid = wanted->uid,
                                         .gid = wanted->gid,
                                         .accessed = now,
                                         .modified = now,
                                         .changed = now,
                                         .device = wanted->device};
    if (directory->mode & S_ISGID) {
        attributes->gid = directory->gid;
        attributes->mode |= S_ISDIR(wanted->mode) ? S_ISGID : 0;
    }
}

/* A regular file that no name leads to. */
static int create_nameless(struct state *state, uint64_t directory, const struct fs_attributes *wanted, int64_t now,
                           struct fs_attributes *out) {
    int error = check_directory(state, directory);
    if (error == 0 && !S_ISREG(wanted->mode)) {
        error = EINVAL;
    }
    if (error == 0 && node_at(state, directory)->attributes.links == 0) {
        error = ENOENT;
    }
    if (error != 0) {
        return error;
    }
    uint32_t number = state_take(state, CELL_NODE);
    if (number == 0) {
        return ENOSPC;
    }
    struct fs_attributes *attributes = &edit_node(state, number)->attributes;
    set_first_attributes(attributes, number, wanted, &node_at(state, directory)->attributes, now);
    attributes->links = 0;
    count_nodes(state, 1);
    *out = *attributes;
    return 0;
}

int tree_create(struct state *state, uint64_t directory, struct name name, const struct fs_attributes *wanted,
                struct name target, int64_t now, struct fs_attributes *out) {
    struct place place;
    if (name.length == 0) {
        return create_nameless(state, directory, wanted, now, out);
    }
    int error = check_new_name(state, directory, name, &place);
    if (error != 0) {
        return error;
    }
    if (!type_is_possible(wanted->mode, target)) {
        return EINVAL;
    }
    uint32_t number = state_take(state, CELL_NODE), text = 0;
    if (number != 0 && S_ISLNK(wanted->mode)) {
        text = state_take_text(state, target.bytes, target.length);
    }
    if (number == 0 || (S_ISLNK(wanted->mode) && text == 0)) {
        return ENOSPC;
    }
    struct node *node = edit_node(state, number);
    set_first_attributes(&node->attributes, number, wanted, &node_at(state, directory)->attributes, now);
    node->text = text;
    node->attributes.size = S_ISLNK(wanted->mode) ? target.length : 0;
    if (is_directory(node)) {
        node->parent = (uint32_t)directory;
        edit_node(state, directory)->attributes.links++;
    }
    count_nodes(state, 1);
    *out = node->attributes;
    return add_entry(state, &place, name, number, now);
}

int tree_link(struct state *state, uint64_t directory, struct name name, uint64_t number, bool nameless, int64_t now,
              struct fs_attributes *out) {
    struct place place;
    const struct node *found = node_at(state, number);
    int error = check_new_name(state, directory, name, &place);
    if (error != 0) {
        return error;
    }
    if (found == NULL || (found->attributes.links == 0 && !nameless)) {
        return ENOENT; /* what was unlinked does not come back */
    }
    if (is_directory(found)) {
        return EPERM;
    }
    if (found->attributes.links == UINT32_MAX) {
        return EMLINK;
    }
    struct fs_attributes *attributes = &edit_node(state, number)->attributes;
    attributes->links++;
    attributes->changed = now;
    *out = *attributes;
    return add_entry(state, &place, name, (uint32_t)number, now);
}

/* The node that an entry of `directory` named has one name less; a directory has none left. */
static void lose_name(struct state *state, uint32_t number, uint64_t directory, int64_t now,
                      struct fs_attributes *out) {
    struct fs_attributes *attributes = &edit_node(state, number)->attributes;
    if (S_ISDIR(attributes->mode)) {
        attributes->links = 0;
        edit_node(state, directory)->attributes.links--;
    } else {
        attributes->links--;
    }
    attributes->changed = now;
    *out = *attributes;
}

int tree_unlink(struct state *state, uint64_t directory, struct name name, bool rmdir, int64_t now,
                struct fs_attributes *out) {
    struct place place;
    int error = check_directory(state, directory);
    if (error != 0) {
        return error;
    }
    uint32_t number = find(state, directory, name, &place);
    if (number == 0) {
        return ENOENT;
    }
    uint32_t named = entry_at(state, number)->node;
    const struct node *node = node_at(state, named);
    if (is_directory(node) != rmdir) {
        return rmdir ? ENOTDIR : EISDIR;
    }
    if (rmdir && node->count > 0) {
        return ENOTEMPTY;
    }
    remove_entry(state, &place, now);
    lose_name(state, named, directory, now, out);
    return 0;
}

/* Whether `directory` is `above` or lies below it. */
static bool is_below(const struct state *state, uint64_t directory, uint64_t above) {
    while (directory != above && directory != ROOT_NODE) {
        directory = node_at(state, directory)->parent;
    }
    return directory == above;
}

/* Whether `moved` may come to stand at `to`, in the place of `replaced` (NULL: nothing). */
static int check_rename(const struct state *state, uint32_t moved, uint64_t to, const struct node *replaced) {
    const struct node *node = node_at(state, moved);
    if (is_directory(node) && is_below(state, to, moved)) {
        return EINVAL;
    }
    if (replaced == NULL) {
        return 0;
    }
    if (is_directory(node) != is_directory(replaced)) {
        return is_directory(node) ? ENOTDIR : EISDIR;
    }
    return replaced->count > 0 ? ENOTEMPTY : 0;
}

/* A directory that moves: its "..", and who counts it. */
static void move_directory(struct state *state, uint32_t number, uint64_t from, uint64_t to) {
    edit_node(state, number)->parent = (uint32_t)to;
    edit_node(state, from)->attributes.links--;
    edit_node(state, to)->attributes.links++;
}

int tree_rename(struct state *state, uint64_t from, struct name old, uint64_t to, struct name new, int64_t now,
                struct fs_attributes *out) {
    struct place place;
    int error = check_directory(state, from);
    uint32_t number = error == 0 ? find(state, from, old, &place) : 0;
    if (error != 0 || number == 0) {
        return error != 0 ? error : ENOENT;
    }
    memset(out, 0, sizeof *out);
    uint32_t moved = entry_at(state, number)->node;
    error = check_new_name(state, to, new, &place);
    if (error != 0 && error != EEXIST) {
        return error;
    }
    uint32_t replaced = error == EEXIST ? entry_at(state, read_place(state, &place))->node : 0;
    if (replaced == moved) {
        return 0;
    }
    error = check_rename(state, moved, to, replaced != 0 ? node_at(state, replaced) : NULL);
    if (error != 0) {
        return error;
    }
    if (replaced != 0) {
        remove_entry(state, &place, now);
        lose_name(state, replaced, to, now, out);
    }
    find(state, from, old, &place);
    remove_entry(state, &place, now);
    find(state, to, new, &place);
    if (is_directory(node_at(state, moved))) {
        move_directory(state, moved, from, to);
    }
    edit_node(state, moved)->attributes.changed = now;
    return add_entry(state, &place, new, moved, now);
}

int tree_forget(struct state *state, uint64_t number) {
    const struct node *node = node_at(state, number);
    if (node == NULL) {
        return ENOENT;
    }
    if (node->attributes.links != 0) {
        return EINVAL;
    }
    state_give_text(state, node->text);
    state_give(state, (uint32_t)number);
    count_nodes(state, -1);
    return 0;
}

/* --- For tests ---------------------------------------------------------------------------------------------------- */

static const char *check_list(const struct state *state, uint32_t directory, uint32_t *subdirectories) {
    const struct node *node = node_at(state, directory);
    uint32_t count = 0, previous = 0;
    uint64_t position = 0;
    struct place place;
    for (uint32_t number = node->first; number != 0; number = entry_at(state, number)->next) {
        const struct entry *entry = entry_at(state, number);
        char bytes[FS_NAME_MAX];
        if (entry == NULL || entry->directory != directory || entry->previous != previous ||
            entry->position <= position || node_at(state, entry->node) == NULL) {
            return "a directory's list is broken";
        }
        read_name(state, entry, bytes);
        if (find(state, directory, (struct name){bytes, entry->length}, &place) != number) {
            return "an entry is not found by its name";
        }
        *subdirectories += is_directory(node_at(state, entry->node));
        position = entry->position;
        previous = number;
        count++;
    }
    return count == node->count && previous == node->last ? NULL : "a directory's count is wrong";
}

const char *tree_check(const struct state *state) {
    const struct header *header = &state->cells[0].header;
    uint32_t free = 0, nodes = 0;
    for (uint32_t number = header->free; number != 0; number = state->cells[number].free.next) {
        if (state->cells[number].free.kind != CELL_FREE || free++ > header->used) {
            return "the list of free cells is broken";
        }
    }
    for (uint32_t number = ROOT_NODE; number < header->used; number++) {
        const struct node *node = node_at(state, number);
        uint32_t subdirectories = 0;
        free -= state->cells[number].free.kind == CELL_FREE;
        nodes += node != NULL;
        if (node != NULL && is_directory(node)) {
            const char *wrong = check_list(state, number, &subdirectories);
            if (wrong != NULL || (node->attributes.links != subdirectories + 2 && node->attributes.links != 0)) {
                return wrong != NULL ? wrong : "a directory's links are wrong";
            }
        }
    }
    return free == 0 && nodes == header->nodes ? NULL : "cells are lost";
}
