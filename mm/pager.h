/*
 * Pagers: memory objects whose pages are known to a server, so that the page cache is a cache of what it said.
 *
 * Shape: object_create_paged() makes an object of which no page is resident; object_read(), object_write(), mappings
 * and object_resize() (mm/object.h) work on it as on any other and may then wait for the pager: no lock but sleeping
 * ones held. Whoever keeps the object for a name calls object_sync() before it lets go, if what was written shall be
 * stored while the server still knows the id. See docs/pager.md.
 */
#ifndef MM_PAGER_H
#define MM_PAGER_H

#include "kernel/ipc_abi.h"
#include "kernel/status.h"
#include "mm/object.h"

struct server;

enum pager_flag {
    PAGER_SEES = 1,  /* its STORE grants can be read by SYS_GRANT_COPY: a pager without a device */
    PAGER_OWNED = 2, /* it is the object's alone: told with PAGER_GONE when nobody refers to the object any more */
};

/*
 * An object of `size` bytes whose pages `server` knows by `id` (which the calls carry as their first word). refs 1; it
 * takes a reference of its own on the server. ERR_NO_MEMORY, ERR_FILE_TOO_BIG.
 */
MUST_USE enum status object_create_paged(struct server *server, uint64_t id, uint64_t size, uint32_t flags,
                                         struct memory_object **out);

/*
 * Stores what was modified before the call among `count` pages from `first` on (object_store: all of them), and waits
 * until the pager has it. ERR_IO: some of it is not stored; those pages stay modified, for another try. An error of an
 * earlier store that nobody waited for is reported here, once. Objects without a pager: OK. May sleep, no lock held.
 */
MUST_USE enum status object_store_range(struct memory_object *object, uint64_t first, uint64_t count);
MUST_USE enum status object_store(struct memory_object *object);

/* object_store(), and the pager is told to make it durable (PAGER_SYNC). For fsync, msync. */
MUST_USE enum status object_sync(struct memory_object *object);

/* The same of every paged object there is; what was given up by everybody, too. For sync(). */
void pager_sync_all(void);

/*
 * Forgets clean pages that nobody has mapped: of one object from page `first` on (its server takes back what it said),
 * or of all. The next touch asks again. No lock held.
 */
void object_drop_clean(struct memory_object *object, uint64_t first);
void pager_drop_clean_pages(void);

/* Memory is short: forgets up to `pages` pages as above, those that were used longest ago. Returns how many. */
uint64_t pager_reclaim(uint64_t pages);

/* The server behind the object's pager: for what else is to be asked of it. NULL: it has none. */
struct server *object_server(const struct memory_object *object);

/* Starts the kernel processes that write modified pages back and keep some frames free. At boot. */
void pager_start(void);

struct pager_counters {
    uint64_t fills, filled_pages, stores, stored_pages, evicted_pages, resident_pages, dirty_pages;
};
void pager_count(struct pager_counters *out);

#endif
