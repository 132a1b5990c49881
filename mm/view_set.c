/*
 * Owns: the record of opens and windows (struct object_view_set), and what open and close do to it.
 *
 * Invariants: LOGICAL ACCESS, REVOKE (every window is recorded, or not made).
 * Locks: views_lock. Space: restricted; the sets are GLOBAL.
 */
#include "mm/view_set.h"

#include "arch/cpu.h"
#include "arch/paging.h"
#include "kernel/assert.h"
#include "kernel/process.h"
#include "mm/ephmap.h"
#include "mm/heap.h"
#include "mm/object.h"

#define FRAMES_PER_PAGE (PAGE_SIZE / sizeof(uint32_t))
/* 512 pages: windows on 2 GiB; more are not recorded, so not made. */
#define PAGES_MAX (PAGE_SIZE / sizeof(uint32_t *))

struct spinlock views_lock = SPINLOCK_INIT(RANK_VIEWS);

struct object_view_set *view_set_find(struct process *process, struct memory_object *object) {
    /* Few processes have one object open; a process has many objects open: look from the object's side. */
    list_for_each(link, &object->view_sets) {
        struct object_view_set *set = container_of(link, struct object_view_set, object_link);
        if (set->process == process)
            return set;
    }
    return NULL;
}

static void put_frame(struct object_view_set *set, uint64_t index, frame_t frame) {
    if (index < VIEW_SET_INLINE) {
        set->inline_frames[index] = frame.number;
        return;
    }
    index -= VIEW_SET_INLINE;
    set->pages[index / FRAMES_PER_PAGE][index % FRAMES_PER_PAGE] = frame.number;
}

/*
 * Forgets frames that were revoked one by one, and doubles: else a set would grow with each page that comes and goes.
 * Done when the set has doubled since the last time. The set's process is the running one.
 */
static void tidy(struct object_view_set *set) {
    uint64_t kept = 0;
    for (uint64_t i = 0; i < set->count; i++) {
        frame_t frame = view_set_frame(set, i);
        pte_t *entry = window_pte(EPHMAP_BASE + frame_address(frame));
        if (!pte_present(*entry) || (*entry & PTE_SEEN) || frame_info(frame)->object != set->object)
            continue;
        *entry |= PTE_SEEN;
        put_frame(set, kept++, frame);
    }
    for (uint64_t i = 0; i < kept; i++)
        *window_pte(EPHMAP_BASE + frame_address(view_set_frame(set, i))) &= ~PTE_SEEN;
    set->count = kept;
    set->tidy_at = 2 * kept < VIEW_SET_INLINE ? VIEW_SET_INLINE : 2 * kept;
}

static uint64_t pages_in_use; /* by all sets. Atomic */

uint64_t view_set_pages(void) { return __atomic_load_n(&pages_in_use, __ATOMIC_RELAXED); }

static void *page_alloc(void) {
    void *page = global_alloc_pages(1);
    if (page != NULL)
        __atomic_fetch_add(&pages_in_use, 1, __ATOMIC_RELAXED);
    return page;
}

static void page_free(void *page) {
    global_free_pages(page, 1);
    __atomic_fetch_sub(&pages_in_use, 1, __ATOMIC_RELAXED);
}

bool view_set_record(struct object_view_set *set, frame_t frame) {
    if (set->count == set->tidy_at)
        tidy(set);
    if (set->count < VIEW_SET_INLINE) {
        set->inline_frames[set->count++] = frame.number;
        return true;
    }
    uint64_t index = set->count - VIEW_SET_INLINE;
    uint64_t page = index / FRAMES_PER_PAGE;
    if (page >= PAGES_MAX)
        return false;
    if (set->pages == NULL)
        set->pages = page_alloc();
    if (set->pages == NULL)
        return false;
    if (set->pages[page] == NULL)
        set->pages[page] = page_alloc();
    if (set->pages[page] == NULL)
        return false;
    put_frame(set, set->count++, frame);
    return true;
}

frame_t view_set_frame(const struct object_view_set *set, uint64_t index) {
    if (index < VIEW_SET_INLINE)
        return (frame_t){set->inline_frames[index]};
    index -= VIEW_SET_INLINE;
    return (frame_t){set->pages[index / FRAMES_PER_PAGE][index % FRAMES_PER_PAGE]};
}

/* The caller drops the set's reference on the object, when it holds no lock any more. */
static void free_set(struct object_view_set *set) {
    list_remove(&set->object_link);
    list_remove(&set->process_link);
    if (set->pages != NULL) {
        for (unsigned page = 0; page < PAGES_MAX && set->pages[page] != NULL; page++)
            page_free(set->pages[page]);
        page_free(set->pages);
    }
    global_free(set, sizeof *set);
}

static struct object_view_set *add_set(struct process *process, struct memory_object *object, uint32_t handles) {
    struct object_view_set *set = global_alloc(sizeof *set);
    if (set == NULL)
        return NULL;
    object_ref(object);
    set->object = object;
    set->process = process;
    set->handles = handles;
    set->tidy_at = VIEW_SET_INLINE;
    list_push_front(&object->view_sets, &set->object_link);
    list_push_back(&process->view_sets, &set->process_link);
    return set;
}

enum status ephmap_open_for(struct process *process, struct memory_object *object) {
    enum status status = OK;
    spin_lock(&views_lock);
    struct object_view_set *set = view_set_find(process, object);
    if (set != NULL)
        set->handles++;
    else if (add_set(process, object, 1) == NULL)
        status = ERR_NO_MEMORY;
    spin_unlock(&views_lock);
    return status;
}

enum status ephmap_open(struct memory_object *object) { return ephmap_open_for(process_current(), object); }

/* Takes `handles` of the process's opens away; with the last one go the windows, of which none is in use. */
static void drop_handles(struct process *process, struct memory_object *object, uint32_t handles) {
    object_lock(object);
    spin_lock(&views_lock);
    struct object_view_set *set = view_set_find(process, object);
    ensure(set != NULL && set->handles >= handles);
    set->handles -= handles;
    const bool last = set->handles == 0;
    if (last) {
        if (process == this_cpu->loaded)
            view_set_revoke(set);
        free_set(set);
    }
    spin_unlock(&views_lock);
    object_unlock(object);
    if (last)
        object_unref(object);
}

void ephmap_close(struct memory_object *object) { drop_handles(process_current(), object, 1); }

/* The first object that the process has open, and how often; nobody else opens or closes for it any more. */
static struct memory_object *first_open(struct process *process, uint32_t *handles) {
    struct memory_object *object = NULL;
    spin_lock(&views_lock);
    if (!list_empty(&process->view_sets)) {
        struct object_view_set *set = container_of(process->view_sets.next, struct object_view_set, process_link);
        object = set->object;
        *handles = set->handles;
    }
    spin_unlock(&views_lock);
    return object;
}

void ephmap_forget_process(struct process *process) {
    struct memory_object *object;
    uint32_t handles;
    while ((object = first_open(process, &handles)) != NULL)
        drop_handles(process, object, handles);
}

bool ephmap_has_open(struct process *process, struct memory_object *object) {
    spin_lock(&views_lock);
    bool open = view_set_find(process, object) != NULL;
    spin_unlock(&views_lock);
    return open;
}
