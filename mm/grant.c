/*
 * Owns: grants, from the frames' side: references, who has put bytes into them, when they end.
 *
 * Invariants: CLEAN – a frame whose last reference is a grant's goes to the scrubber: nobody here may see it. LOGICAL
 * ACCESS – who may only write to a grant gets a view of a frame as long as all that was put into the grant is his own;
 * with the bytes of others or of a device in it the copy leaves the restricted space. Locks: grant->lock, held across
 * each page's copy, so that nothing is copied once grant_end() has returned. Runs in the caller's space.
 */
#include "mm/grant.h"

#include "arch/uaccess.h"
#include "asi/asi.h"
#include "asi/mutant.h"
#include "kernel/assert.h"
#include "kernel/open_file.h"
#include "kernel/process.h"
#include "mm/ephmap.h"
#include "mm/heap.h"

#define AUTHOR_NONE    0U
#define AUTHOR_SEVERAL UINT32_MAX

/* Class GLOBAL. */
struct grant {
    struct spinlock lock;           /* rank OBJECT; no object's lock is taken with it */
    enum grant_direction direction; /* constant */
    uint32_t count;                 /* frames; constant */
    uint32_t author; /* id of the process whose bytes alone were put in, or AUTHOR_*. Protected by lock */
    uint32_t lent;   /* how many devices have it. Protected by lock */
    bool ended;      /* protected by lock */
    frame_t frame[]; /* constant. References are held until it has ended and is not lent */
};

static size_t grant_size(unsigned count) { return sizeof(struct grant) + count * sizeof(frame_t); }

static void unref_frames(const struct grant *grant) {
    for (unsigned i = 0; i < grant->count; i++) {
        __atomic_fetch_sub(&frame_info(grant->frame[i])->grants, 1, __ATOMIC_RELAXED);
        if (frame_unref(grant->frame[i]))
            frame_free_dirty(grant->frame[i]);
    }
}

bool grant_end(struct grant *grant) {
    bool first, free;

    spin_lock(&grant->lock);
    first = !grant->ended;
    free = grant->lent == 0;
    grant->ended = true;
    spin_unlock(&grant->lock);
    if (first && free)
        unref_frames(grant);
    return free;
}

enum status grant_lend(struct grant *grant) {
    enum status status = OK;

    spin_lock(&grant->lock);
    if (grant->ended)
        status = ERR_BROKEN_PIPE;
    else
        grant->lent++;
    if (grant->direction == GRANT_FILL)
        grant->author = AUTHOR_SEVERAL;
    spin_unlock(&grant->lock);
    return status;
}

void grant_take_back(struct grant *grant) {
    bool last;

    spin_lock(&grant->lock);
    ensure(grant->lent > 0);
    last = --grant->lent == 0 && grant->ended;
    spin_unlock(&grant->lock);
    if (last)
        unref_frames(grant);
}

static void grant_release(struct file *file) {
    struct grant *grant = file->target;
    bool free = grant_end(grant);

    ensure(free); /* who lends it keeps the file */
    global_free(grant, grant_size(grant->count));
}

static const struct file_operations grant_operations = {.release = grant_release};

enum status grant_create(enum grant_direction direction, const frame_t *frames, unsigned count, uint32_t rights,
                         struct file **out) {
    struct grant *grant = global_alloc(grant_size(count));
    enum status status;

    if (!grant)
        return ERR_NO_MEMORY;
    spin_init(&grant->lock, RANK_OBJECT);
    grant->direction = direction;
    grant->count = count;
    for (unsigned i = 0; i < count; i++) {
        grant->frame[i] = frames[i];
        frame_ref(frames[i]);
        __atomic_fetch_add(&frame_info(frames[i])->grants, 1, __ATOMIC_RELAXED);
        if (frame_info(frames[i])->object)
            grant->author = AUTHOR_SEVERAL;
    }
    status = file_create_on(&grant_operations, grant, rights, out);
    if (status == OK)
        return OK;
    unref_frames(grant);
    global_free(grant, grant_size(count));
    return status;
}

struct grant *grant_of(const struct file *file) {
    return file->operations == &grant_operations ? file->target : NULL;
}

enum grant_direction grant_direction(const struct grant *grant) { return grant->direction; }
unsigned grant_count(const struct grant *grant) { return grant->count; }
frame_t grant_frame(const struct grant *grant, unsigned index) { return grant->frame[index]; }

static size_t move(char *view, vaddr_t user, size_t bytes, bool into) {
    return into ? copy_from_user_held(view, user, bytes) : copy_to_user_held(user, view, bytes);
}

/* Whether the caller may have the frames in a view. With `into` it is one of the authors from now on. Locked. */
static bool may_view(struct grant *grant, bool readable, bool into) {
    uint32_t self = process_current()->id;
    bool alone = grant->author == AUTHOR_NONE || grant->author == self;

    if (into)
        grant->author = alone ? self : AUTHOR_SEVERAL;
    return readable || alone;
}

/* Copies within one page; *left says how many bytes were not. */
static enum status copy_in_page(struct grant *grant, bool readable, uint64_t offset, vaddr_t user, size_t bytes,
                                bool into, size_t *left) {
    frame_t frame = grant->frame[offset >> PAGE_SHIFT];

    spin_lock(&grant->lock);
    if (grant->ended && !mutant(grant_outlives_answer)) {
        spin_unlock(&grant->lock);
        return ERR_BROKEN_PIPE;
    }
    if (may_view(grant, readable, into)) {
        char *view = ephmap_scratch(frame);

        *left = move(view + page_offset(offset), user, bytes, into);
        ephmap_scratch_put(view);
    } else {
        asi_exit(ASI_CAUSE_IPC);
        this_cpu->views_held++; /* the lock is held: a fault must stop the copy */
        *left = move((char *)physmap(frame) + page_offset(offset), user, bytes, into);
        this_cpu->views_held--;
    }
    spin_unlock(&grant->lock);
    return OK;
}

enum status grant_copy(struct file *file, uint64_t offset, vaddr_t user, size_t bytes, bool into) {
    struct grant *grant = file->target;
    uint64_t size = (uint64_t)grant->count << PAGE_SHIFT;
    enum status status = OK;

    if (offset > size || bytes > size - offset)
        return ERR_INVALID;
    if (!user_range_ok(user, bytes))
        return ERR_FAULT;
    while (bytes && status == OK) {
        size_t chunk = PAGE_SIZE - page_offset(offset), left = 0;

        chunk = chunk < bytes ? chunk : bytes;
        status = copy_in_page(grant, file->readable, offset, user, chunk, into, &left);
        if (status != OK)
            break;
        chunk -= left;
        offset += chunk;
        user += chunk;
        bytes -= chunk;
        if (left)
            status = user_fault_in(user, !into);
    }
    ephmap_flush();
    return status;
}
