/*
 * Pages that go back to their pager: which are modified, storing them, fsync, and those whose object nobody has any
 * more.
 *
 * A page is dirty from the moment it is written. A store takes runs of dirty pages, calls them clean and storing, and
 * sends a grant; what is written meanwhile makes them dirty again. If it fails they are dirty as before. A page that is
 * mapped writable is not seen being written: it stays dirty, whatever is stored, until it is mapped no more.
 * Locks: object->lock, never across a call; pagers_lock for orphans. Runs in the caller's space.
 */
#include "kernel/assert.h"
#include "kernel/file.h"
#include "kernel/process_life.h"
#include "kernel/time.h"
#include "mm/boot.h"
#include "mm/grant.h"
#include "mm/heap.h"
#include "mm/local.h"
#include "mm/pager_state.h"

#define STORE_RIGHTS    (RIGHT_DMA | RIGHT_TRANSFER)
#define LOOK_AT_ONCE    4096U                /* pages that are looked at while an object is locked */
#define DIRTY_SHARE     4U                   /* one part in so many of the memory may be dirty */
#define WRITEBACK_AFTER (30 * NS_PER_SECOND) /* of a page's being dirty */
#define LOOK_EVERY      (5 * NS_PER_SECOND)
#define LAST_PAGE       ((OBJECT_SIZE_MAX >> PAGE_SHIFT) - 1)

struct wait_queue writeback_wanted = WAIT_QUEUE_INIT(writeback_wanted);
struct wait_queue pages_stored = WAIT_QUEUE_INIT(pages_stored);
static struct wait_queue orphans_gone = WAIT_QUEUE_INIT(orphans_gone);
static struct list orphans = {&orphans, &orphans}; /* of struct pager.orphan_link. Protected by pagers_lock */
static uint64_t dirty_limit = UINT64_MAX;          /* pages. Constant after pager_start() */
static uint64_t storing_total;                     /* pages that pagers have been given to store. Atomic */
static bool writeback_now;                         /* pages are to be stored whatever their age. Atomic */

static uint64_t dirty_total(void) { return __atomic_load_n(&pager_counters.dirty_pages, __ATOMIC_RELAXED); }

bool pager_any_unstored(void) { return dirty_total() > 0 || __atomic_load_n(&storing_total, __ATOMIC_RELAXED) > 0; }

/* --- Dirty or not ------------------------------------------------------------------------------------------------- */

void pager_note_write_entry(struct pager *pager, uint64_t *entry) {
    if (*entry & PAGE_DIRTY)
        return;
    *entry |= PAGE_DIRTY;
    if (pager->dirty++ == 0)
        pager->dirty_since = time_monotonic();
    if (__atomic_fetch_add(&pager_counters.dirty_pages, 1, __ATOMIC_RELAXED) == 0)
        wake_all(&writeback_wanted);
}

void pager_note_mapped_write(struct memory_object *object, uint64_t page) {
    uint64_t *entry = index_entry(object, page);

    pager_note_write_entry(object->pager, entry);
    *entry |= PAGE_WRITE_MAPPED;
}

void pager_note_clean(struct pager *pager) {
    pager->dirty--;
    __atomic_fetch_sub(&pager_counters.dirty_pages, 1, __ATOMIC_RELAXED);
}

/* --- Storing ------------------------------------------------------------------------------------------------------ */

/* A run of dirty pages, being looked for and then stored. */
struct run {
    struct pager *pager;
    uint64_t first;                 /* page, once there is one */
    unsigned count;                 /* 0: none yet */
    unsigned looked;                /* at pages */
    uint64_t next;                  /* page: from here on nothing was looked at */
    struct pager_call *busy;        /* somebody is storing the page where the run would begin; or NULL */
    frame_t frame[GRANT_PAGES_MAX]; /* with a reference each */
};

/* Takes a page into the run: what is written to it from now on makes it dirty again. */
static void take_page(struct run *run, uint64_t page, uint64_t *entry) {
    frame_t frame = entry_frame(*entry);
    const struct frame *info = frame_info(frame);
    bool mapped =
        __atomic_load_n(&info->refs, __ATOMIC_RELAXED) > 1U + __atomic_load_n(&info->grants, __ATOMIC_RELAXED);

    *entry |= PAGE_STORING;
    __atomic_fetch_add(&storing_total, 1, __ATOMIC_RELAXED); /* before it is clean: one count or the other has it */
    if (!(*entry & PAGE_WRITE_MAPPED) || !mapped) {
        *entry &= ~(PAGE_DIRTY | PAGE_WRITE_MAPPED);
        pager_note_clean(run->pager);
    }
    if (run->count == 0)
        run->first = page;
    frame_ref(frame);
    run->frame[run->count++] = frame;
    run->next = page + 1;
}

static bool look_at_page(void *context, uint64_t page, uint64_t *entry) {
    struct run *run = context;

    if (run->count && page != run->first + run->count)
        return false;
    if (*entry & PAGE_STORING) {
        if (!run->count)
            run->busy = pager_call_find(run->pager, page, GRANT_STORE);
        return false;
    }
    if (*entry & PAGE_DIRTY)
        take_page(run, page, entry);
    else if (run->count)
        return false;
    else
        run->next = page + 1;
    return run->count < GRANT_PAGES_MAX && ++run->looked < LOOK_AT_ONCE;
}

/* Finds the next run of dirty pages in [run->next, last] and begins its call. Locked. */
static void find_run(struct memory_object *object, struct run *run, uint64_t last, struct pager_call *call) {
    run->count = run->looked = 0;
    run->busy = NULL;
    index_visit(object, run->next, last, look_at_page, run);
    if (run->busy)
        __atomic_fetch_add(&run->busy->refs, 1, __ATOMIC_RELAXED);
    else if (run->count) {
        pager_call_begin(object->pager, call, GRANT_STORE, run->first, run->count);
        object->pager->storing += run->count;
    } else if (run->looked < LOOK_AT_ONCE)
        run->next = last + 1;
}

static enum status give(const struct memory_object *object, const struct run *run) {
    struct pager *pager = object->pager;
    const uint64_t size = __atomic_load_n(&object->size, __ATOMIC_RELAXED);
    struct file *file;
    uint32_t rights = STORE_RIGHTS | (pager->endpoint ? RIGHT_READ : 0);
    enum status status = grant_create(GRANT_STORE, run->frame, run->count, rights, &file);

    for (unsigned i = 0; i < run->count; i++)
        object_page_put(run->frame[i]); /* the grant has references of its own */
    if (status != OK)
        return status;
    __atomic_fetch_add(&pager_counters.stores, 1, __ATOMIC_RELAXED);
    __atomic_fetch_add(&pager_counters.stored_pages, run->count, __ATOMIC_RELAXED);
    status = pager_ask(pager, PAGER_STORE, run->first, run->count, file, pager->server ? &size : NULL, NULL);
    if (!grant_end(grant_of(file)) && status == OK)
        status = ERR_IO;
    file_unref(file);
    return status;
}

/* The pager has the pages, or has not: then they are dirty as before. Locked. */
static void settle(struct memory_object *object, struct pager_call *call, enum status status) {
    struct pager *pager = object->pager;

    for (uint64_t page = call->first; page < call->first + call->count; page++) {
        uint64_t *entry = index_entry(object, page), end = (page + 1) << PAGE_SHIFT;

        if (!entry || !(*entry & PAGE_STORING))
            continue; /* another page has come in its place */
        *entry &= ~PAGE_STORING;
        if (status != OK)
            pager_note_write_entry(pager, entry);
        else if (pager->known < end)
            pager->known = end < object->size ? end : object->size;
    }
    pager_call_end(call, status);
}

static enum status store_run(struct memory_object *object, struct run *run, struct pager_call *call) {
    enum status status = give(object, run);

    if (status == OK)
        __atomic_store_n(&object->pager->unsynced, true, __ATOMIC_RELAXED);
    object_lock(object);
    settle(object, call, status);
    object->pager->storing -= run->count;
    __atomic_fetch_sub(&storing_total, run->count, __ATOMIC_RELAXED);
    object_unlock(object);
    wake_all(&pages_stored);
    return status;
}

/* One run, or the end of somebody else's call on it. */
static enum status store_next(struct memory_object *object, struct run *run, uint64_t last) {
    struct pager_call *call = global_alloc(sizeof(*call));
    enum status status = OK;

    if (!call)
        return ERR_NO_MEMORY;
    object_lock(object);
    find_run(object, run, last, call);
    object_unlock(object);
    if (run->count) {
        status = store_run(object, run, call);
        pager_call_put(call);
        return status;
    }
    global_free(call, sizeof(*call));
    if (run->busy) {
        status = pager_call_wait(run->busy);
        if (status == OK && run->busy->status != ERR_RESTART)
            status = run->busy->status;
        pager_call_put(run->busy);
    }
    return status;
}

/* The runs in a range, in order, until one cannot be stored. */
static enum status store_pages(struct memory_object *object, uint64_t first, uint64_t last) {
    struct run *run = local_alloc(sizeof(*run));
    enum status status = OK;

    if (!run)
        return ERR_NO_MEMORY;
    run->pager = object->pager;
    run->next = first;
    while (status == OK && run->next <= last)
        status = store_next(object, run, last);
    local_free(run, sizeof(*run));
    return status;
}

static bool nothing_to_store(struct memory_object *object) {
    bool nothing;

    object_lock_shared(object);
    nothing = object->pager->dirty == 0 && list_empty(&object->pager->calls);
    object_unlock_shared(object);
    return nothing;
}

/* What is dirty now, once. The write-back process may not do more: who waits for memory waits for it. */
static enum status store_dirty(struct memory_object *object, uint64_t first, uint64_t last) {
    return nothing_to_store(object) ? OK : store_pages(object, first, last);
}

enum status object_store_range(struct memory_object *object, uint64_t first, uint64_t count) {
    const uint64_t last = first <= LAST_PAGE && count <= LAST_PAGE - first ? first + count - 1 : LAST_PAGE;
    enum status status, before;

    if (!object->pager || count == 0 || first > LAST_PAGE)
        return OK;
    status = store_dirty(object, first, last);
    for (unsigned tries = 0; status == ERR_NO_MEMORY && tries < PAGER_TRIES && pager_make_room(object); tries++)
        status = store_dirty(object, first, last); /* a call to the pager takes a little memory itself */
    before = (enum status)__atomic_exchange_n(&object->pager->failed, OK, __ATOMIC_RELAXED);
    return status != OK ? status : before;
}

enum status object_store(struct memory_object *object) { return object_store_range(object, 0, UINT64_MAX); }

enum status object_sync_range(struct memory_object *object, uint64_t first, uint64_t count) {
    enum status status = object_store_range(object, first, count);

    if (status != OK || !object->pager || !__atomic_exchange_n(&object->pager->unsynced, false, __ATOMIC_RELAXED))
        return status;
    status = pager_ask(object->pager, PAGER_SYNC, 0, 0, NULL, NULL, NULL);
    if (status != OK)
        __atomic_store_n(&object->pager->unsynced, true, __ATOMIC_RELAXED);
    return status;
}

enum status object_sync(struct memory_object *object) { return object_sync_range(object, 0, UINT64_MAX); }

/* An error that nobody waited for is for the next who asks; not for want of memory, for then it is tried again. */
static void keep_error(struct memory_object *object, enum status status) {
    if (status != OK && status != ERR_RESTART && status != ERR_NO_MEMORY)
        __atomic_store_n(&object->pager->failed, status, __ATOMIC_RELAXED);
}

enum status pager_throttle(struct memory_object *object) {
    return dirty_total() <= dirty_limit ? OK : object_store(object);
}

uint64_t pager_unstored_pages(const struct server *server) {
    uint64_t pages = 0;

    spin_lock(&pagers_lock);
    list_for_each(link, &all_pagers) { /* figures that change under it: all that is wanted is about how many */
        const struct pager *pager = container_of(link, struct pager, link);
        const uint64_t size = bytes_to_pages(__atomic_load_n(&pager->object->size, __ATOMIC_RELAXED));
        const uint64_t known = bytes_to_pages(__atomic_load_n(&pager->known, __ATOMIC_RELAXED));
        const uint64_t unstored =
            __atomic_load_n(&pager->dirty, __ATOMIC_RELAXED) + __atomic_load_n(&pager->storing, __ATOMIC_RELAXED);

        if (pager->server == server && size > known)
            pages += size - known < unstored ? size - known : unstored;
    }
    spin_unlock(&pagers_lock);
    return pages;
}

void pager_store_all_of(const struct server *server) {
    for (struct memory_object *object = pager_next_object(NULL); object; object = pager_next_object(object))
        if (object->pager->server == server)
            keep_error(object, object_store(object));
}

/* --- Objects that nobody has any more ----------------------------------------------------------------------------- */

bool object_is_modified(const struct memory_object *object) {
    return object->pager && __atomic_load_n(&object->pager->dirty, __ATOMIC_RELAXED) > 0;
}

bool pager_let_go(struct memory_object *object) {
    struct pager *pager = object->pager;

    if (pager->orphan || (pager->dirty == 0 && !pager->endpoint))
        return true;
    spin_lock(&pagers_lock);
    pager->orphan = true;
    object_ref(object);
    list_push_back(&orphans, &pager->orphan_link);
    __atomic_fetch_add(&pager_counters.orphans, 1, __ATOMIC_RELAXED);
    spin_unlock(&pagers_lock);
    wake_all(&writeback_wanted);
    return false;
}

/* Pages that could not be stored are lost: nobody is left who could ask for them. */
static bool forget_page(void *context, uint64_t page, uint64_t *entry) {
    (void)page;
    if (*entry & PAGE_DIRTY)
        pager_note_clean(context);
    *entry &= ~(PAGE_DIRTY | PAGE_WRITE_MAPPED);
    return true;
}

static struct memory_object *next_orphan(void) {
    struct memory_object *object = NULL;

    spin_lock(&pagers_lock);
    if (!list_empty(&orphans)) {
        struct pager *pager = container_of(orphans.next, struct pager, orphan_link);

        list_remove(&pager->orphan_link);
        object = pager->object;
    }
    spin_unlock(&pagers_lock);
    return object;
}

static void bury_orphans(void) {
    struct memory_object *object;

    while ((object = next_orphan())) {
        enum status ignored = store_dirty(object, 0, LAST_PAGE);

        if (object->pager->endpoint)
            ignored = pager_ask(object->pager, PAGER_GONE, 0, 0, NULL, NULL, NULL);
        (void)ignored; /* there is nobody to tell */
        object_lock(object);
        index_visit(object, 0, UINT64_MAX, forget_page, object->pager);
        object_unlock(object);
        object_unref(object);
        __atomic_fetch_sub(&pager_counters.orphans, 1, __ATOMIC_RELAXED);
        wake_all(&orphans_gone);
    }
}

static void wait_for_orphans(void) {
    enum status status = OK;
    struct waiter waiter;

    wait_begin(&orphans_gone, &waiter);
    while (status == OK && __atomic_load_n(&pager_counters.orphans, __ATOMIC_ACQUIRE) > 0)
        status = wait_sleep_killable(WAIT_FOREVER);
    wait_end(&waiter);
}

void pager_sync_all(void) {
    for (struct memory_object *object = pager_next_object(NULL); object; object = pager_next_object(object))
        keep_error(object, object_sync(object)); /* sync() has no result: fsync() has it */
    wait_for_orphans();
}

/* --- The write-back process --------------------------------------------------------------------------------------- */

/* Whether the object has something to store. What stays dirty, or cannot be stored, is tried again later. */
static bool is_due(struct memory_object *object, uint64_t now, bool all) {
    struct pager *pager = object->pager;
    bool due;

    object_lock(object);
    due = pager->dirty > 0 && (all || now - pager->dirty_since >= WRITEBACK_AFTER);
    if (due)
        pager->dirty_since = now;
    object_unlock(object);
    return due;
}

static void write_back(void) {
    bool all = __atomic_exchange_n(&writeback_now, false, __ATOMIC_RELAXED);
    uint64_t now = time_monotonic();

    for (struct memory_object *object = pager_next_object(NULL); object; object = pager_next_object(object))
        if (is_due(object, now, all))
            keep_error(object, store_dirty(object, 0, LAST_PAGE));
}

void pager_write_back_soon(void) {
    __atomic_store_n(&writeback_now, true, __ATOMIC_RELAXED);
    wake_all(&writeback_wanted);
}

static bool anything_to_do(void) {
    return __atomic_load_n(&pager_counters.orphans, __ATOMIC_RELAXED) > 0 ||
           __atomic_load_n(&writeback_now, __ATOMIC_RELAXED);
}

static void writeback_thread(void) {
    local_init();
    process_current()->stores_pages = true;
    for (;;) {
        struct waiter waiter;
        enum status status = OK;

        wait_begin(&writeback_wanted, &waiter);
        if (!anything_to_do())
            status = wait_sleep_killable(dirty_total() > 0 ? time_monotonic() + LOOK_EVERY : WAIT_FOREVER);
        wait_end(&waiter);
        (void)status; /* woken or late: the same has to be done */
        bury_orphans();
        write_back();
    }
}

void writeback_start(void) {
    struct frame_counts counts;
    struct process *process;

    frame_count(&counts);
    dirty_limit = counts.total / DIRTY_SHARE;
    if (process_create_kernel("writeback", writeback_thread, &process) != OK)
        panic("no memory for the write-back process");
}
