/*
 * Owns: the tables of System V IPC objects, by id and by key.
 *
 * Invariant: an object is in one place of its kind's table, and its id says which. All is metadata, class GLOBAL.
 * Locks: sysv_lock. Space: the caller's.
 */
#include "kernel/sysv.h"

#include "arch/cpu.h"
#include "kernel/process.h"
#include "kernel/time.h"
#include "mm/heap.h"

enum {
    PLACES_PER_PAGE = PAGE_SIZE / sizeof(struct sysv_object *),
    PAGES = SYSV_IDS_MAX / PLACES_PER_PAGE,
    SEQUENCE_SHIFT = 15, /* an id: place, and above it a number that tells it from those that had the place before */
    SEQUENCE_MAX = 0xffff,
};
_Static_assert(SYSV_IDS_MAX <= 1 << SEQUENCE_SHIFT, "ids have room for a place");

struct spinlock sysv_lock = SPINLOCK_INIT(RANK_SYSV);

/* Protected by sysv_lock. Pages come as places are needed, and stay. */
static struct sysv_table {
    struct sysv_object **pages[PAGES];
    uint32_t used;    /* places */
    uint32_t highest; /* one more than the highest place in use */
    uint32_t sequence;
} tables[SYSV_KINDS];

int64_t sysv_now(void) { return (int64_t)(time_realtime() / NS_PER_SECOND); }

/* Its page is there: it is below `highest`, or find_place() has found it. */
static struct sysv_object **place_of(struct sysv_table *table, uint32_t place) {
    return &table->pages[place / PLACES_PER_PAGE][place % PLACES_PER_PAGE];
}

struct sysv_object *sysv_at(enum sysv_kind kind, int32_t place) {
    struct sysv_table *table = &tables[kind];
    return place >= 0 && (uint32_t)place < table->highest ? *place_of(table, (uint32_t)place) : NULL;
}

int32_t sysv_highest(enum sysv_kind kind) { return tables[kind].highest > 0 ? (int32_t)tables[kind].highest - 1 : 0; }

uint32_t sysv_count(enum sysv_kind kind) { return tables[kind].used; }

struct sysv_object *sysv_find(enum sysv_kind kind, int32_t id) {
    struct sysv_object *object = id < 0 ? NULL : sysv_at(kind, id & ((1 << SEQUENCE_SHIFT) - 1));
    return object != NULL && object->id == id ? object : NULL;
}

enum status sysv_missing(enum sysv_kind kind, int32_t id) {
    return id >= 0 && sysv_at(kind, id & ((1 << SEQUENCE_SHIFT) - 1)) != NULL ? ERR_REMOVED : ERR_INVALID;
}

static struct sysv_object *find_key(enum sysv_kind kind, int32_t key) {
    for (uint32_t place = 0; key != IPC_PRIVATE && place < tables[kind].highest; place++) {
        struct sysv_object *object = sysv_at(kind, (int32_t)place);
        if (object != NULL && object->key == key)
            return object;
    }
    return NULL;
}

/* A free place, whose page is there. */
static enum status find_place(struct sysv_table *table, uint32_t *out) {
    if (table->used == SYSV_IDS_MAX)
        return ERR_NO_SPACE;
    for (uint32_t place = 0;; place++) {
        struct sysv_object ***page = &table->pages[place / PLACES_PER_PAGE];
        if (*page == NULL && (*page = global_alloc_pages(1)) == NULL)
            return ERR_NO_MEMORY;
        if (*place_of(table, place) == NULL) {
            *out = place;
            return OK;
        }
    }
}

static enum status create(const struct sysv_class *class, const struct sysv_request *request, int64_t *id) {
    struct sysv_table *table = &tables[class->kind];
    const struct process *process = process_current();
    struct sysv_object *object;
    uint32_t place;
    enum status status = find_place(table, &place);

    if (status == OK)
        status = class->create(request, &object);
    if (status != OK)
        return status;
    object->key = request->key;
    object->uid = object->cuid = process->user.effective;
    object->gid = object->cgid = process->group_id.effective;
    object->mode = request->flags & 0777;
    object->id = (int32_t)(table->sequence << SEQUENCE_SHIFT | place);
    table->sequence = (table->sequence + 1) & SEQUENCE_MAX;
    *place_of(table, place) = object;
    table->used++;
    if (table->highest <= place)
        table->highest = place + 1;
    *id = object->id;
    return OK;
}

enum status sysv_get(const struct sysv_class *class, const struct sysv_request *request, int64_t *id) {
    enum status status;

    spin_lock(&sysv_lock);
    struct sysv_object *object = find_key(class->kind, request->key);
    if (object == NULL) {
        status = request->key == IPC_PRIVATE || request->flags & IPC_CREAT ? create(class, request, id) : ERR_NO_ENTRY;
    } else if (request->flags & IPC_CREAT && request->flags & IPC_EXCL) {
        status = ERR_EXISTS;
    } else {
        status = class->accept(object, request);
        if (status == OK)
            status = sysv_permit(object, request->flags);
        *id = object->id;
    }
    spin_unlock(&sysv_lock);
    return status;
}

void sysv_remove(enum sysv_kind kind, struct sysv_object *object) {
    struct sysv_table *table = &tables[kind];

    *place_of(table, (uint32_t)object->id & ((1 << SEQUENCE_SHIFT) - 1)) = NULL;
    table->used--;
    while (table->highest > 0 && *place_of(table, table->highest - 1) == NULL)
        table->highest--;
}

enum status sysv_permit(const struct sysv_object *object, uint32_t wanted) {
    const struct process *process = process_current();
    uint32_t asked = (wanted >> 6 | wanted >> 3 | wanted) & 7, granted = object->mode;

    if (process->user.effective == object->cuid || process->user.effective == object->uid)
        granted >>= 6;
    else if (identity_in_group(object->cgid, false) || identity_in_group(object->gid, false))
        granted >>= 3;
    return (asked & ~granted) == 0 || process->user.effective == 0 ? OK : ERR_ACCESS;
}

enum status sysv_permit_owner(const struct sysv_object *object) {
    const uint32_t uid = process_current()->user.effective;
    return uid == 0 || uid == object->uid || uid == object->cuid ? OK : ERR_NOT_PERMITTED;
}

void sysv_describe(const struct sysv_object *object, struct ipc64_perm *out) {
    *out = (struct ipc64_perm){.key = object->key,
                               .uid = object->uid,
                               .gid = object->gid,
                               .cuid = object->cuid,
                               .cgid = object->cgid,
                               .mode = object->mode,
                               .sequence = (uint16_t)(object->id >> SEQUENCE_SHIFT)};
}

enum status sysv_change(struct sysv_object *object, const struct ipc64_perm *from) {
    if (from->uid == UINT32_MAX || from->gid == UINT32_MAX)
        return ERR_INVALID;
    object->uid = from->uid;
    object->gid = from->gid;
    object->mode = (object->mode & ~0777U) | (from->mode & 0777);
    return OK;
}
