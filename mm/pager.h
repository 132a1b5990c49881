/*
 * Pagers: memory objects whose pages are known to a server, so that the page cache is a cache of what it said.
 *
 * Shape: object_create_paged() makes an object of which no page is resident; object_read(), object_write(), mappings
 * and object_resize() (mm/object.h) work on it as on any other and may then wait for the pager: no lock but sleeping
 * ones held. Whoever keeps the object for a name calls object_store() before it lets go, so that what was written is
 * stored while the server still knows the id. See docs/pager.md.
 */
#ifndef MM_PAGER_H
#define MM_PAGER_H

#include "kernel/ipc_abi.h"
#include "kernel/status.h"
#include "mm/object.h"

struct endpoint;
struct server;

/*
 * An object of `size` bytes whose pages `server` knows by `id` (which the calls carry as their first word). refs 1; it
 * takes a reference of its own on the server. The server may be started again: calls wait for that. The pages are
 * never shown to it. ERR_NO_MEMORY, ERR_FILE_TOO_BIG.
 */
MUST_USE enum status object_create_paged(struct server *server, uint64_t id, uint64_t size, struct memory_object **out);

/*
 * The same with a pager that is the object's own (SYS_OBJECT_CREATE): when nobody can receive on `endpoint` any more
 * calls fail at once; it is told with PAGER_GONE when nobody refers to the object any more; and its STORE grants can be
 * read by SYS_GRANT_COPY, since whoever made the object gave it to this pager. Takes a reference on the endpoint.
 */
MUST_USE enum status object_create_with_pager(struct endpoint *endpoint, uint64_t id, uint64_t size,
                                              struct memory_object **out);

/* How long a call on the object's own pager may take. ERR_NOT_SUPPORTED: it has none, or a server's is its mount's. */
MUST_USE enum status pager_set_timeout(struct memory_object *object, uint64_t ns);

/* For object_page(): asks for one page, if it is not there. As object_read(). */
MUST_USE enum status object_page_in(struct memory_object *object, uint64_t page);

/*
 * Stores what was modified before the call among `count` pages from `first` on (object_store: all of them), and waits
 * until the pager has it. ERR_IO, ERR_NO_SPACE: some of it is not stored; those pages stay modified, for another try.
 * An error of an earlier store that nobody waited for is reported here, once. Objects without a pager: OK. ERR_RESTART:
 * the thread is being killed. May sleep, no lock held but sleeping ones.
 */
MUST_USE enum status object_store_range(struct memory_object *object, uint64_t first, uint64_t count);
MUST_USE enum status object_store(struct memory_object *object);

/* Whether something was modified that the pager does not have yet. Any lock; it may change at once. */
bool object_is_modified(const struct memory_object *object);

/* Then the pager makes durable what it has (PAGER_SYNC), if anything was stored since it last did. */
MUST_USE enum status object_sync_range(struct memory_object *object, uint64_t first, uint64_t count);
MUST_USE enum status object_sync(struct memory_object *object);

/*
 * Pages that were written behind what the server knows of its files, so that it has no room for them yet: about as
 * many, never more than are modified or on their way. Takes pagers_lock.
 */
uint64_t pager_unstored_pages(const struct server *server);

/* Stores all of them, as object_store(); errors are for who asks next. */
void pager_store_all_of(const struct server *server);

/* The same of every paged object there is; returns when those that nobody refers to any more are gone, too. */
void pager_sync_all(void);

/*
 * Forgets clean pages that nobody has mapped: of one object from page `first` on (its server takes back what it said),
 * or of all. The next touch asks again. No lock held.
 */
void object_drop_clean(struct memory_object *object, uint64_t first);
void pager_drop_clean_pages(void);

/*
 * Memory is short: forgets up to `pages` clean pages that nobody has mapped and that were not used for longest, those
 * of `preferred` (may be NULL) first. Returns how many. No lock held but sleeping ones.
 */
uint64_t pager_reclaim(struct memory_object *preferred, uint64_t pages);

/*
 * There is no frame left: reclaims some, or waits a while for dirty pages to be stored. Whether trying again makes
 * sense. As pager_reclaim(); may sleep.
 */
bool pager_make_room(struct memory_object *preferred);

/* Makes room until so many frames are free. Whether they are. As pager_make_room(). */
bool pager_make_free(uint64_t frames);

/* If few frames are left the pageout process is to make room. Cheap; any context where a queue may be woken. */
void pageout_check(void);

/* Starts the kernel processes that write modified pages back and keep some frames free. At boot, once. */
void pager_start(void);

struct pager_counters {
    uint64_t fills, filled_pages;  /* messages, and what they brought */
    uint64_t stores, stored_pages; /* messages, and what they took away */
    uint64_t evicted_pages;        /* for want of memory */
    uint64_t dirty_pages, orphans; /* now: pages that are modified; objects that are about to go */
};
void pager_count(struct pager_counters *out);

#endif
