/*
 * Owns: segments of shared memory. The pages are a memory object's, filled as they are touched; what makes it a segment
 * is its id and that it stays when nobody maps it.
 *
 * Invariants: a segment holds a reference on its object, and object->segment names it, until it is destroyed: by
 * IPC_RMID, or when that came while it was mapped, with the last area that maps it. LOGICAL ACCESS – who destroys it
 * clears its pages, and is its owner or had it mapped.
 * Locks: sysv_lock, also for object->mappings of a segment. Class GLOBAL, but for the pages (SECRET). Space: the
 * caller's.
 */
#include "kernel/sysv_shm.h"

#include "arch/uaccess.h"
#include "kernel/process.h"
#include "kernel/syscall_table.h"
#include "kernel/sysv.h"
#include "mm/frame.h"
#include "mm/heap.h"
#include "mm/vm.h"

struct shm_segment {
    struct sysv_object base; /* first: found by it */
    struct memory_object *object;
    uint64_t bytes; /* as asked for */
    int64_t attach_time, detach_time, change_time;
    uint32_t creator, last; /* process ids */
};

/* Linux's limits. */
#define SEGMENT_BYTES_MAX (UINT64_MAX - (1UL << 24))

/* Pages of all segments, present or not. Protected by sysv_lock. */
static uint64_t total_pages;

static struct shm_segment *segment_of(struct sysv_object *object) { return (struct shm_segment *)object; }

static struct shm_segment *find(int32_t id) { return segment_of(sysv_find(SYSV_SHM, id)); }

static enum status accept_segment(const struct sysv_object *object, const struct sysv_request *request) {
    return request->size > ((const struct shm_segment *)object)->bytes ? ERR_INVALID : OK;
}

/* An object of the size, all holes. No more than the machine could ever hold. */
static enum status create_object(uint64_t bytes, struct memory_object **out) {
    struct frame_counts frames;

    frame_count(&frames);
    if (bytes > frames.total * PAGE_SIZE)
        return ERR_NO_MEMORY;
    enum status status = object_create(out);
    if (status != OK)
        return status;
    status = object_resize(*out, page_ceil(bytes));
    if (status != OK)
        object_unref(*out);
    return status == OK ? OK : ERR_NO_MEMORY;
}

static enum status create_segment(const struct sysv_request *request, struct sysv_object **out) {
    if (request->size == 0 || request->size > SEGMENT_BYTES_MAX)
        return ERR_INVALID;
    struct shm_segment *segment = global_alloc(sizeof(*segment));
    if (segment == NULL)
        return ERR_NO_MEMORY;
    enum status status = create_object(request->size, &segment->object);
    if (status != OK) {
        global_free(segment, sizeof(*segment));
        return status;
    }
    segment->object->segment = segment;
    segment->bytes = request->size;
    segment->change_time = sysv_now();
    segment->creator = process_current()->id;
    total_pages += bytes_to_pages(request->size);
    *out = &segment->base;
    return OK;
}

static const struct sysv_class segments = {SYSV_SHM, accept_segment, create_segment};

enum status sys_shmget(struct syscall *call) {
    const struct sysv_request request = {(int32_t)call->arg[0], (uint32_t)call->arg[2], call->arg[1]};

    /* Of huge pages there are none. */
    return request.flags & SHM_HUGETLB && request.key == IPC_PRIVATE ? ERR_NO_MEMORY
                                                                     : sysv_get(&segments, &request, &call->result);
}

/* Takes it out of the table; the object, whose reference is the caller's to drop without the lock. sysv_lock held. */
static struct memory_object *destroy(struct shm_segment *segment) {
    struct memory_object *object = segment->object;

    sysv_remove(SYSV_SHM, &segment->base);
    total_pages -= bytes_to_pages(segment->bytes);
    object->segment = NULL;
    global_free(segment, sizeof(*segment));
    return object;
}

/* --- areas -------------------------------------------------------------------------------------------------------- */

/* sysv_lock held. */
static void note_attached(struct shm_segment *segment) {
    __atomic_add_fetch(&segment->object->mappings, 1, __ATOMIC_RELAXED);
    segment->attach_time = sysv_now();
    segment->last = process_current()->id;
}

void segment_attached(struct memory_object *object) {
    spin_lock(&sysv_lock);
    note_attached(object->segment); /* which an area keeps: another one maps it already */
    spin_unlock(&sysv_lock);
}

void segment_detached(struct memory_object *object) {
    struct memory_object *ended = NULL;

    spin_lock(&sysv_lock);
    struct shm_segment *segment = object->segment;
    segment->detach_time = sysv_now();
    segment->last = process_current()->id;
    if (__atomic_sub_fetch(&object->mappings, 1, __ATOMIC_RELAXED) == 0 && segment->base.mode & SHM_DEST)
        ended = destroy(segment);
    spin_unlock(&sysv_lock);
    if (ended != NULL)
        object_unref(ended);
}

/* --- shmat, shmdt ------------------------------------------------------------------------------------------------- */

static enum status decode_place(const struct syscall *call, uint32_t flags, struct vm_map_request *request) {
    vaddr_t address = call->arg[1];

    if (page_offset(address) && !(flags & SHM_RND))
        return ERR_INVALID;
    address = page_floor(address);
    if (address == 0 && flags & SHM_REMAP)
        return ERR_INVALID;
    request->address = address;
    request->fixed = address != 0;
    request->no_replace = !(flags & SHM_REMAP);
    return OK;
}

/* The segment, counted as attached, so that it stays: segment_detached() undoes that. */
static enum status hold(int32_t id, uint32_t wanted, struct memory_object **object, uint64_t *bytes) {
    spin_lock(&sysv_lock);
    struct shm_segment *segment = find(id);
    enum status status = segment == NULL ? sysv_missing(SYSV_SHM, id) : sysv_permit(&segment->base, wanted);
    if (status == OK) {
        note_attached(segment);
        *object = segment->object;
        *bytes = segment->bytes;
    }
    spin_unlock(&sysv_lock);
    return status;
}

enum status sys_shmat(struct syscall *call) {
    const uint32_t flags = (uint32_t)call->arg[2];
    struct vm_map_request request = {
        .shared = true,
        .writable_file = !(flags & SHM_RDONLY),
        .protection = VM_READ | (flags & SHM_RDONLY ? 0 : VM_WRITE) | (flags & SHM_EXEC ? VM_EXECUTE : 0),
    };
    uint32_t wanted = SYSV_MAY_READ | (flags & SHM_RDONLY ? 0 : SYSV_MAY_WRITE);
    vaddr_t address = 0;
    enum status status = decode_place(call, flags, &request);

    if (status == OK)
        status = hold((int32_t)call->arg[0], wanted | (flags & SHM_EXEC ? SYSV_MAY_EXECUTE : 0), &request.object,
                      &request.bytes);
    if (status != OK)
        return status;
    status = vm_map(&request, &address);
    if (status == ERR_EXISTS)
        status = ERR_INVALID;
    segment_detached(request.object);
    call->result = (int64_t)address;
    return status;
}

enum status sys_shmdt(struct syscall *call) {
    return page_offset(call->arg[0]) ? ERR_INVALID : vm_detach_segment(call->arg[0]);
}

/* --- shmctl ------------------------------------------------------------------------------------------------------- */

/* sysv_lock held. */
static void describe(const struct shm_segment *segment, struct shmid64_ds *out) {
    *out = (struct shmid64_ds){.size = segment->bytes,
                               .attach_time = segment->attach_time,
                               .detach_time = segment->detach_time,
                               .change_time = segment->change_time,
                               .creator = (int32_t)segment->creator,
                               .last = (int32_t)segment->last,
                               .attached = segment->object->mappings};
    sysv_describe(&segment->base, &out->perm);
}

/* By id, or, for ipcs, by place. */
static enum status stat_segment(struct syscall *call, bool by_place, bool any) {
    const int32_t which = (int32_t)call->arg[0];
    struct shmid64_ds out;

    spin_lock(&sysv_lock);
    const struct shm_segment *segment = by_place ? segment_of(sysv_at(SYSV_SHM, which)) : find(which);
    enum status status = segment != NULL ? OK : by_place ? ERR_INVALID : sysv_missing(SYSV_SHM, which);
    if (status == OK && !any)
        status = sysv_permit(&segment->base, SYSV_MAY_READ);
    if (status == OK) {
        describe(segment, &out);
        call->result = by_place ? segment->base.id : 0;
    }
    spin_unlock(&sysv_lock);
    return status == OK ? copy_to_user(call->arg[2], &out, sizeof(out)) : status;
}

static enum status remove_segment(struct shm_segment *segment, struct memory_object **ended) {
    if (segment->object->mappings == 0) {
        *ended = destroy(segment);
    } else {
        segment->base.mode |= SHM_DEST;
        segment->base.key = IPC_PRIVATE;
    }
    return OK;
}

/* What only the owner may do. */
static enum status change_segment(struct syscall *call, uint32_t command) {
    const int32_t id = (int32_t)call->arg[0];
    struct memory_object *ended = NULL;
    struct shmid64_ds from;
    enum status status = OK;

    if (command == IPC_SET && (status = copy_from_user(&from, call->arg[2], sizeof(from))) != OK)
        return status;
    spin_lock(&sysv_lock);
    struct shm_segment *segment = find(id);
    status = segment == NULL ? sysv_missing(SYSV_SHM, id) : sysv_permit_owner(&segment->base);
    if (status == OK && command == IPC_RMID)
        status = remove_segment(segment, &ended);
    else if (status == OK && command == IPC_SET && (status = sysv_change(&segment->base, &from.perm)) == OK)
        segment->change_time = sysv_now();
    else if (status == OK && command == SHM_LOCK) /* no page of it is ever evicted */
        segment->base.mode |= SHM_LOCKED;
    else if (status == OK && command == SHM_UNLOCK)
        segment->base.mode &= ~(uint32_t)SHM_LOCKED;
    spin_unlock(&sysv_lock);
    if (ended != NULL)
        object_unref(ended);
    return status;
}

static enum status limits(struct syscall *call) {
    const struct shminfo64 out = {.max_bytes = SEGMENT_BYTES_MAX,
                                  .min_bytes = 1,
                                  .max_ids = SYSV_IDS_MAX,
                                  .max_attached = SYSV_IDS_MAX,
                                  .max_pages = SEGMENT_BYTES_MAX};

    call->result = sysv_highest(SYSV_SHM);
    return copy_to_user(call->arg[2], &out, sizeof(out));
}

static enum status usage(struct syscall *call) {
    struct shm_info out = {0};

    spin_lock(&sysv_lock);
    call->result = sysv_highest(SYSV_SHM);
    out.used_ids = (int32_t)sysv_count(SYSV_SHM);
    out.total = total_pages;
    for (int32_t place = 0; place <= call->result; place++) {
        const struct shm_segment *segment = segment_of(sysv_at(SYSV_SHM, place));
        out.resident += segment != NULL ? segment->object->pages : 0;
    }
    spin_unlock(&sysv_lock);
    return copy_to_user(call->arg[2], &out, sizeof(out));
}

enum status sys_shmctl(struct syscall *call) {
    const uint32_t command = (uint32_t)call->arg[1];

    if ((int32_t)call->arg[0] < 0)
        return ERR_INVALID;
    switch (command) {
    case IPC_INFO:
        return limits(call);
    case SHM_INFO:
        return usage(call);
    case IPC_STAT:
        return stat_segment(call, false, false);
    case SHM_STAT:
    case SHM_STAT_ANY:
        return stat_segment(call, true, command == SHM_STAT_ANY);
    case IPC_RMID:
    case IPC_SET:
    case SHM_LOCK:
    case SHM_UNLOCK:
        return change_segment(call, command);
    default:
        return ERR_INVALID;
    }
}
