/*
 * What is kept of an object's pager. Between mm/object*.c, mm/pager*.c, mm/pageout.c and the fault paths; everyone else
 * uses mm/pager.h.
 */
#ifndef MM_PAGER_STATE_H
#define MM_PAGER_STATE_H

#include "arch/spinlock.h"
#include "kernel/wait.h"
#include "mm/object_index.h"
#include "mm/pager.h"

struct file;

/* A reader who goes on where a run ended is given a longer one. */
struct stream {
    uint64_t next;   /* page behind the last run */
    uint32_t window; /* pages of that run; 0: no pattern yet */
};

#define PAGER_STREAMS 4U
#define PAGER_TRIES   16U /* of what had no memory: what was made free may go to others */

/* Class GLOBAL. "Locked": by the object's lock. */
struct pager {
    struct memory_object *object; /* constant, as are the next three */
    struct server *server;        /* with a reference; NULL: the pager is the object's own, behind `endpoint` */
    struct endpoint *endpoint;    /* with a reference, or NULL */
    uint64_t id;
    uint64_t timeout_ns; /* of a call on `endpoint`. Atomic */

    uint64_t known;       /* bytes: what lies behind them the pager never had, or no longer: it reads as zero. Locked */
    uint64_t dirty;       /* pages. Locked */
    uint64_t storing;     /* pages that a store is under way with. Locked */
    uint64_t dirty_since; /* monotonic ns, when `dirty` became 1. Locked */
    uint64_t hand;        /* page where eviction goes on. Locked */
    struct list calls;    /* struct pager_call. Locked */
    struct stream streams[PAGER_STREAMS]; /* locked */
    unsigned oldest_stream;               /* locked */
    bool unsynced;                        /* stored since the last PAGER_SYNC. Atomic */
    uint32_t failed;                      /* enum status of a store that nobody waited for, to be told once. Atomic */

    bool orphan;             /* nobody refers to the object but the write-back process. Protected by pagers_lock */
    struct list link;        /* in all_pagers. Protected by pagers_lock */
    struct list orphan_link; /* in orphans, likewise */
};

/*
 * A call in progress, for those who need its pages. Class GLOBAL. Made and ended by one thread; the others hold a
 * reference while they wait.
 */
struct pager_call {
    struct list link; /* in pager->calls. Locked */
    uint32_t refs;    /* atomic */
    enum grant_direction direction;
    uint64_t first; /* page; constant */
    uint64_t count; /* pages that are still the object's: a smaller size takes some away. Locked; constant once done */
    enum status status;      /* once done */
    bool done;               /* atomic */
    struct wait_queue ended; /* woken when done */
};

extern struct spinlock pagers_lock; /* rank PAGERS */
extern struct list all_pagers;      /* struct pager.link */
extern struct pager_counters pager_counters;
extern struct wait_queue writeback_wanted, pageout_wanted, pages_stored; /* the last: after each store */

/* Whether a page that is not resident is to be asked of a pager; if not, it is a hole. Locked, shared or not. */
static inline bool pager_knows(const struct memory_object *object, uint64_t page) {
    return object->pager && page < bytes_to_pages(object->pager->known);
}

/*
 * Makes a page of a paged object resident, if it is to be asked of the pager and is not there; or waits for the one who
 * is at it. `asked`: pages from there on that will be needed at once. `visible`: the calling process may see the
 * page. OK: look again. ERR_IO, ERR_NO_MEMORY, ERR_RESTART (the thread is being killed). May sleep, no lock held but
 * sleeping ones; not the user half's.
 */
MUST_USE enum status pager_page_in(struct memory_object *object, uint64_t page, uint64_t asked, bool visible);

/*
 * The page, which is resident, is being modified. Locked. _entry: by its entry. _mapped: by a user half that will go on
 * without telling.
 */
void pager_note_write_entry(struct pager *pager, uint64_t *entry);
void pager_note_mapped_write(struct memory_object *object, uint64_t page);
static inline void pager_note_write(struct memory_object *object, uint64_t page) {
    if (object->pager)
        pager_note_write_entry(object->pager, index_entry(object, page));
}

/* A dirty page leaves the object, or has been stored. Locked. */
void pager_note_clean(struct pager *pager);

/* The object has become smaller: what is under way of pages behind its end is nobody's any more. Locked. */
void pager_cut(struct memory_object *object);

/* After a write: who makes more pages dirty than can be borne stores some himself. As object_store(). No lock held. */
MUST_USE enum status pager_throttle(struct memory_object *object);

/* The last reference on the object is gone. True: it can be freed; false: it lives on until its pager was told. */
bool pager_let_go(struct memory_object *object);
/* Frees the pager of an object that is being freed. */
void pager_destroy(struct pager *pager);

/*
 * A call on the pager with up to one handle. `size` (may be NULL): of the object, which goes along as the message's
 * bytes. *answered (may be NULL): it was the pager who said so.
 */
MUST_USE enum status pager_ask(struct pager *pager, uint32_t label, uint64_t first, uint64_t pages, struct file *handle,
                               const uint64_t *size, bool *answered);

/* Calls in progress. Locked, but for _wait and _put. */
struct pager_call *pager_call_find(struct pager *pager, uint64_t page, enum grant_direction direction);
void pager_call_begin(struct pager *pager, struct pager_call *call, enum grant_direction direction, uint64_t first,
                      uint64_t count);
void pager_call_end(struct pager_call *call, enum status status);
MUST_USE enum status pager_call_wait(struct pager_call *call); /* OK: it is done. ERR_RESTART */
void pager_call_put(struct pager_call *call);

/*
 * The next paged object behind `before` (NULL: the first) with a reference; the reference on `before` is given back.
 * NULL: no more.
 */
struct memory_object *pager_next_object(struct memory_object *before);

/* Dirty pages are in the way: the write-back process stores them, whatever their age. */
void pager_write_back_soon(void);

/* Whether pages are dirty or with a pager that stores them: memory that is to be had later. Any context. */
bool pager_any_unstored(void);
void writeback_start(void);

#endif
