/*
 * Pages that are asked of a pager: runs of absent pages, read-ahead, and those who wait for one that is on its way.
 *
 * A run is filled by the thread that needs its first page: clean frames, a grant on them, one call. Until the answer
 * the frames are nobody's (SECRET without an object), so no view or mapping of them can be made; the call stands in
 * pager->calls, where others find it. With the answer the grant ends and the frames become the object's, but for pages
 * that were cut off or written meanwhile. Without one they are let go of: a device that still has them keeps them.
 * Invariants: REACH, CLEAN beyond the end. Locks: object->lock, never across a call. Runs in the caller's space.
 */
#include "asi/asi.h"
#include "kernel/assert.h"
#include "kernel/endpoint.h"
#include "kernel/file.h"
#include "kernel/process.h"
#include "kernel/server.h"
#include "kernel/string.h"
#include "kernel/time.h"
#include "mm/ephmap.h"
#include "mm/grant.h"
#include "mm/heap.h"
#include "mm/pager_state.h"

#define WINDOW_MIN  4U /* pages, of the first run that goes beyond what was asked for */
#define RUN_MAX     GRANT_PAGES_MAX
#define GONE_NS     NS_PER_SECOND /* what is nobody's any more is not waited for longer */
#define FILL_RIGHTS (RIGHT_DMA | RIGHT_TRANSFER | RIGHT_WRITE)

static uint64_t larger(uint64_t a, uint64_t b) { return a > b ? a : b; }
static uint64_t smaller(uint64_t a, uint64_t b) { return a < b ? a : b; }

struct pager_counters pager_counters; /* each member atomic */

void pager_count(struct pager_counters *out) { *out = pager_counters; }

/* --- Objects with pagers ------------------------------------------------------------------------------------------ */

struct spinlock pagers_lock = SPINLOCK_INIT(RANK_PAGERS);
struct list all_pagers = {&all_pagers, &all_pagers};

static enum status create(struct server *server, struct endpoint *endpoint, uint64_t id, uint64_t size,
                          struct memory_object **out) {
    struct memory_object *object;
    struct pager *pager;
    enum status status;

    if (size > OBJECT_SIZE_MAX)
        return ERR_FILE_TOO_BIG;
    status = object_create(&object);
    if (status != OK)
        return status;
    pager = global_alloc(sizeof(*pager));
    if (!pager) {
        object_unref(object);
        return ERR_NO_MEMORY;
    }
    *pager = (struct pager){.object = object, .server = server, .endpoint = endpoint, .id = id};
    pager->timeout_ns = PAGER_TIMEOUT_NS;
    pager->known = object->size = size;
    list_init(&pager->calls);
    object->pager = pager;
    spin_lock(&pagers_lock);
    list_push_back(&all_pagers, &pager->link);
    spin_unlock(&pagers_lock);
    *out = object;
    return OK;
}

enum status object_create_paged(struct server *server, uint64_t id, uint64_t size, struct memory_object **out) {
    enum status status = create(server, NULL, id, size, out);

    if (status == OK)
        server_ref(server);
    return status;
}

enum status object_create_with_pager(struct endpoint *endpoint, uint64_t id, uint64_t size,
                                     struct memory_object **out) {
    enum status status = create(NULL, endpoint, id, size, out);

    if (status == OK)
        endpoint_ref(endpoint);
    return status;
}

void pager_destroy(struct pager *pager) {
    assert(list_empty(&pager->calls) && pager->dirty == 0);
    spin_lock(&pagers_lock);
    list_remove(&pager->link);
    spin_unlock(&pagers_lock);
    if (pager->server)
        server_unref(pager->server);
    else
        endpoint_unref(pager->endpoint);
    global_free(pager, sizeof(*pager));
}

enum status pager_set_timeout(struct memory_object *object, uint64_t ns) {
    if (!object->pager || object->pager->server)
        return ERR_NOT_SUPPORTED;
    __atomic_store_n(&object->pager->timeout_ns, ns, __ATOMIC_RELAXED);
    return OK;
}

/* One that is about to be freed by its last user is not taken. */
static bool try_ref(struct memory_object *object) {
    uint32_t refs = __atomic_load_n(&object->refs, __ATOMIC_RELAXED);

    while (refs > 0)
        if (__atomic_compare_exchange_n(&object->refs, &refs, refs + 1, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
            return true;
    return false;
}

struct memory_object *pager_next_object(struct memory_object *before) {
    struct memory_object *found = NULL;
    struct list *link;

    spin_lock(&pagers_lock);
    link = before ? before->pager->link.next : all_pagers.next;
    for (; link != &all_pagers && !found; link = link->next) {
        struct memory_object *object = container_of(link, struct pager, link)->object;

        if (try_ref(object))
            found = object;
    }
    spin_unlock(&pagers_lock);
    if (before)
        object_unref(before);
    return found;
}

/* --- Calls -------------------------------------------------------------------------------------------------------- */

static bool covers(const struct pager_call *call, uint64_t page) { return page - call->first < call->count; }

struct pager_call *pager_call_find(struct pager *pager, uint64_t page, enum grant_direction direction) {
    list_for_each(link, &pager->calls) {
        struct pager_call *call = container_of(link, struct pager_call, link);

        if (call->direction == direction && covers(call, page))
            return call;
    }
    return NULL;
}

void pager_call_begin(struct pager *pager, struct pager_call *call, enum grant_direction direction, uint64_t first,
                      uint64_t count) {
    *call = (struct pager_call){.refs = 1, .direction = direction, .first = first, .count = count};
    wait_queue_init(&call->ended);
    list_push_back(&pager->calls, &call->link);
}

void pager_call_put(struct pager_call *call) {
    if (__atomic_sub_fetch(&call->refs, 1, __ATOMIC_ACQ_REL) == 0)
        global_free(call, sizeof(*call));
}

void pager_call_end(struct pager_call *call, enum status status) {
    list_remove(&call->link);
    call->status = status;
    __atomic_store_n(&call->done, true, __ATOMIC_RELEASE);
    wake_all(&call->ended);
}

enum status pager_call_wait(struct pager_call *call) {
    enum status status = OK;
    struct waiter waiter;

    wait_begin(&call->ended, &waiter);
    while (status == OK && !__atomic_load_n(&call->done, __ATOMIC_ACQUIRE))
        status = wait_sleep_killable(WAIT_FOREVER); /* the one who calls has a time-out */
    wait_end(&waiter);
    return status;
}

enum status pager_ask(struct pager *pager, uint32_t label, uint64_t first, uint64_t pages, struct file *handle,
                      const uint64_t *size, bool *answered) {
    struct message message = {.label = label, .word = {pager->id, first, pages}};
    uint64_t timeout = __atomic_load_n(&pager->timeout_ns, __ATOMIC_RELAXED);
    enum status status;

    if (handle)
        message.handles[message.handle_count++] = handle;
    if (size) {
        message.bytes = size;
        message.length = sizeof(*size);
    }
    if (pager->server)
        status = server_call(pager->server, &message);
    else
        status = endpoint_call(pager->endpoint, &message, label == PAGER_GONE ? smaller(timeout, GONE_NS) : timeout);
    if (answered)
        *answered = status == OK;
    if (status == OK)
        status = server_verdict(message.label);
    switch (status) {
    case OK:
    case ERR_RESTART:
    case ERR_NO_MEMORY:
    case ERR_NO_SPACE:
        return status;
    default:
        return ERR_IO;
    }
}

void pager_cut(struct memory_object *object) {
    struct pager *pager = object->pager;
    uint64_t end = bytes_to_pages(object->size);

    if (pager->known > object->size)
        pager->known = object->size;
    list_for_each(link, &pager->calls) {
        struct pager_call *call = container_of(link, struct pager_call, link);

        if (call->first + call->count > end)
            call->count = call->first < end ? end - call->first : 0;
    }
}

/* --- Which pages to ask for --------------------------------------------------------------------------------------- */

/* The reader who was at the page, or near it; else the place of the one who was here least recently. */
static struct stream *find_stream(struct pager *pager, uint64_t page) {
    for (unsigned i = 0; i < PAGER_STREAMS; i++) {
        struct stream *stream = &pager->streams[i];

        if (stream->next && page - stream->next <= stream->window)
            return stream;
    }
    return NULL;
}

/* Whether a page can be part of a run: it is absent, and nobody is at it. */
static bool is_wanted(struct memory_object *object, uint64_t page) {
    return frame_is_none(index_get(object, page)) && !pager_call_find(object->pager, page, GRANT_FILL);
}

/*
 * How many pages to ask for from `page` on. A reader who goes on behind the last run is given twice as many, up to
 * RUN_MAX; anyone else what he asked for. Locked.
 */
static uint64_t plan_run(struct memory_object *object, uint64_t page, uint64_t asked) {
    struct pager *pager = object->pager;
    struct stream *stream = find_stream(pager, page);
    uint64_t limit = bytes_to_pages(pager->known) - page, count = asked, run = 1;

    if (stream) {
        count = larger(asked, larger(2UL * stream->window, WINDOW_MIN));
        count = smaller(count, RUN_MAX);
        stream->window = (uint32_t)count;
    } else {
        stream = &pager->streams[pager->oldest_stream++ % PAGER_STREAMS];
        stream->window = 0;
    }
    limit = smaller(limit, smaller(count, RUN_MAX));
    while (run < limit && is_wanted(object, page + run))
        run++;
    stream->next = page + run;
    return run;
}

/* --- Filling ------------------------------------------------------------------------------------------------------ */

/* Clean frames, as many as there are of `count`. */
static unsigned take_frames(struct memory_object *object, frame_t *frames, uint64_t count) {
    unsigned taken = 0;

    pageout_check();
    while (taken < count) {
        if (frame_alloc(FRAME_SECRET, 0, &frames[taken]) == OK)
            taken++;
        else if (taken > 0 || !pager_make_room(object))
            break;
    }
    return taken;
}

/* Clears what a pager put behind the bytes that it knows. Nobody can see the frame yet. Locked. */
static void clear_unknown(frame_t frame, size_t start, bool visible) {
    if (visible) {
        char *view = ephmap_scratch(frame);

        memset(view + start, 0, PAGE_SIZE - start);
        ephmap_scratch_put(view);
        ephmap_flush();
    } else {
        asi_exit(ASI_CAUSE_FILE);
        memset((char *)physmap(frame) + start, 0, PAGE_SIZE - start);
    }
}

/* A frame that was filled becomes the object's. Not OK: it stays the caller's. Locked. */
static enum status install(struct memory_object *object, uint64_t page, frame_t frame, bool visible) {
    struct frame *info = frame_info(frame);
    uint64_t known = object->pager->known;
    enum status status;

    if (index_entry(object, page))
        return ERR_EXISTS; /* it was written as a whole meanwhile, which is newer */
    status = index_put(object, page, frame);
    if (status != OK)
        return status;
    if (page == known >> PAGE_SHIFT && page_offset(known))
        clear_unknown(frame, page_offset(known), visible);
    info->object = object;
    info->used = 1;
    object->pages++;
    return OK;
}

/* What the pager brought is the object's from now on, or is let go of; the call is over. */
static enum status finish(struct memory_object *object, struct pager_call *call, frame_t *frames, unsigned count,
                          enum status status, bool visible) {
    unsigned left = 0;

    object_lock(object);
    for (unsigned i = 0; i < count; i++) {
        enum status put = ERR_NO_ENTRY;

        if (status == OK && i < call->count)
            put = install(object, call->first + i, frames[i], visible);
        if (put == OK)
            continue;
        if (put == ERR_NO_MEMORY && i == 0)
            status = put;
        frames[left++] = frames[i];
    }
    pager_call_end(call, status);
    object_unlock(object);
    while (left > 0)
        object_page_put(frames[--left]);
    return status;
}

/* One message: `count` clean frames are filled with the pages from call->first on. */
static enum status ask_for(struct pager *pager, const struct pager_call *call, const frame_t *frames, unsigned count,
                           bool *answered) {
    struct file *file;
    enum status status = grant_create(GRANT_FILL, frames, count, FILL_RIGHTS, &file);

    *answered = false;
    if (status != OK)
        return status;
    __atomic_fetch_add(&pager_counters.fills, 1, __ATOMIC_RELAXED);
    __atomic_fetch_add(&pager_counters.filled_pages, count, __ATOMIC_RELAXED);
    status = pager_ask(pager, PAGER_FILL, call->first, count, file, NULL, answered);
    /* A pager that answers while a device still writes has not filled anything. */
    if (!grant_end(grant_of(file)) && status == OK)
        status = ERR_IO;
    file_unref(file);
    return status;
}

/* Pages that are not wanted at once must not spoil the one that is. Locked by nobody. */
static void shorten(struct memory_object *object, struct pager_call *call, uint64_t count) {
    object_lock(object);
    call->count = smaller(call->count, count);
    object_unlock(object);
}

static enum status fill(struct memory_object *object, struct pager_call *call, uint64_t planned, bool visible) {
    frame_t frames[RUN_MAX];
    unsigned count = take_frames(object, frames, planned);
    bool answered = false;
    enum status status = ERR_NO_MEMORY;

    if (count < planned)
        shorten(object, call, count);
    if (count > 0)
        status = ask_for(object->pager, call, frames, count, &answered);
    if (status == ERR_IO && answered && count > 1) {
        shorten(object, call, 1);
        while (count > 1)
            object_page_put(frames[--count]);
        object_page_put(frames[0]); /* what came of the first attempt is in it */
        count = take_frames(object, frames, 1);
        status = count == 0 ? ERR_NO_MEMORY : ask_for(object->pager, call, frames, count, &answered);
    }
    return finish(object, call, frames, count, status, visible);
}

/* Waits for somebody else's call, of which the caller has a reference. */
static enum status wait_for(struct pager_call *call, uint64_t page) {
    enum status status = pager_call_wait(call);

    /* Where the other was killed, or left the page out in the end, the next one to look asks himself. */
    if (status == OK && covers(call, page) && call->status != ERR_RESTART)
        status = call->status;
    pager_call_put(call);
    return status;
}

static bool is_missing(const struct memory_object *object, uint64_t page) {
    return pager_knows(object, page) && frame_is_none(index_get(object, page));
}

/* A look before anything is made. */
static bool nothing_missing(struct memory_object *object, uint64_t page) {
    bool missing;

    object_lock_shared(object);
    missing = is_missing(object, page);
    object_unlock_shared(object);
    return !missing;
}

static enum status page_in(struct memory_object *object, uint64_t page, uint64_t asked, bool visible) {
    struct pager_call *call, *other;
    uint64_t planned;
    enum status status;

    if (nothing_missing(object, page))
        return OK;
    call = global_alloc(sizeof(*call));
    if (!call)
        return ERR_NO_MEMORY;
    object_lock(object);
    if (!is_missing(object, page)) {
        object_unlock(object);
        global_free(call, sizeof(*call));
        return OK;
    }
    other = pager_call_find(object->pager, page, GRANT_FILL);
    if (other) {
        __atomic_fetch_add(&other->refs, 1, __ATOMIC_RELAXED);
        object_unlock(object);
        global_free(call, sizeof(*call));
        return wait_for(other, page);
    }
    planned = plan_run(object, page, asked);
    pager_call_begin(object->pager, call, GRANT_FILL, page, planned);
    object_unlock(object);
    status = fill(object, call, planned, visible);
    pager_call_put(call);
    return status;
}

enum status pager_page_in(struct memory_object *object, uint64_t page, uint64_t asked, bool visible) {
    enum status status = page_in(object, page, asked, visible);

    for (unsigned tries = 0; status == ERR_NO_MEMORY && tries < PAGER_TRIES && pager_make_room(object); tries++)
        status = page_in(object, page, 1, visible);
    return status;
}

enum status object_page_in(struct memory_object *object, uint64_t page) {
    return pager_page_in(object, page, 1, ephmap_has_open(process_current(), object));
}
