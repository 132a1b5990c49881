/*
 * Memory objects: the page cache. An object is a growing array of SECRET frames and a size; files, pipes and shared
 * anonymous memory are objects. Its index is GLOBAL (frame numbers only); its pages are reached through EPHMAP windows
 * or by mapping them in a user half, in no other way.
 *
 * Invariant: CLEAN beyond the end – the bytes of the last page behind `size` are zero, so a mapping shows no old data.
 */
#ifndef MM_OBJECT_H
#define MM_OBJECT_H

#include "arch/spinlock.h"
#include "kernel/list.h"
#include "kernel/status.h"
#include "mm/types.h"

/* fcntl's F_SEAL_*: what can be done to a sealed object no more. */
enum object_seal {
    SEAL_SEAL = 1, /* sealing */
    SEAL_SHRINK = 2,
    SEAL_GROW = 4,
    SEAL_WRITE = 8,
    SEAL_FUTURE_WRITE = 16, /* but by areas that there are */
    SEALABLE = 0x100,       /* kernel/memfd.c's */
};

struct memory_object {
    struct spinlock lock; /* rank OBJECT: index, size, and held across each page's copy; shared by readers of a file */
    uint32_t readers;     /* who share the lock. Atomic */
    uint32_t refs;        /* atomic */
    uint64_t size;        /* bytes. Protected by lock to write; readers may see either value */
    uint64_t pages;       /* resident. Protected by lock */
    uint32_t levels;      /* of the index, mm/object_index.h. Protected by lock */
    uint32_t exit_cause;  /* enum asi_cause of a touch outside EPHMAP: FILE, or IPC for pipes. Constant */
    uint32_t mappings;    /* areas that map it, in all processes; atomic */
    int32_t text;         /* > 0: files open to write it, < 0: programs that run it. Atomic */
    uint64_t root;        /* of the index. Protected by lock */
    struct shm_segment *segment; /* of System V shared memory, or NULL. Protected by sysv_lock; constant while mapped */
    struct pager *pager;         /* who knows the pages that are not resident (mm/pager.h), or NULL. Constant */
    struct list view_sets;       /* who has it open: struct object_view_set. Protected by views_lock */
    uint32_t seals;              /* enum object_seal, and who may still do what. Written with lock; atomic */
    uint32_t writers;            /* of one with seals: writes in progress, and areas that may write. Atomic */
};

/*
 * Alone: for changes of index or size, and whoever revokes windows. Shared: for looking and for copying out through a
 * window, by many at once. The objects of pipes and terminals are never shared: their own code takes `lock`.
 */
static inline void object_lock(struct memory_object *object) { spin_lock_exclusive(&object->lock, &object->readers); }
static inline void object_unlock(struct memory_object *object) { spin_unlock(&object->lock); }
static inline void object_lock_shared(struct memory_object *object) {
    spin_lock_shared(&object->lock, &object->readers);
}
static inline void object_unlock_shared(struct memory_object *object) {
    spin_unlock_shared(&object->lock, &object->readers);
}

/* Before and after the seals are looked at and it is written to, or mapped so that it can be. */
static inline void object_writer_begins(struct memory_object *object) {
    __atomic_add_fetch(&object->writers, 1, __ATOMIC_SEQ_CST);
}
static inline void object_writer_ends(struct memory_object *object) {
    __atomic_sub_fetch(&object->writers, 1, __ATOMIC_SEQ_CST);
}

/*
 * A program's file is not written while it runs, nor run while it is open to be written: ERR_TEXT_BUSY from who comes
 * second. Each success has its end. object_runs_again(): for one more, while it runs.
 */
MUST_USE enum status object_begin_run(struct memory_object *object);
MUST_USE enum status object_begin_write(struct memory_object *object);
static inline void object_runs_again(struct memory_object *object) {
    __atomic_fetch_sub(&object->text, 1, __ATOMIC_RELAXED);
}
static inline void object_end_run(struct memory_object *object) {
    __atomic_fetch_add(&object->text, 1, __ATOMIC_RELEASE);
}
static inline void object_end_write(struct memory_object *object) {
    __atomic_fetch_sub(&object->text, 1, __ATOMIC_RELEASE);
}

struct pager;

#define OBJECT_SIZE_MAX (1UL << 46)

/* refs 1, size 0. ERR_NO_MEMORY. */
MUST_USE enum status object_create(struct memory_object **out);
void object_ref(struct memory_object *object);
/* The last one frees all pages, scrubbed through scratch views; no process can have windows left. No lock above OBJECT
 * held. */
void object_unref(struct memory_object *object);

/*
 * Copies between the object and user memory. Reads stop at the size; writes grow it. *done counts bytes, also when an
 * error follows some progress (the caller reports success then). The calling process must have the object open. May
 * sleep (faults on the user side, a pager). ERR_FAULT, ERR_NO_MEMORY, ERR_FILE_TOO_BIG; of a pager ERR_IO,
 * ERR_NO_SPACE, ERR_RESTART (the thread is being killed). `readable`: the process could read the
 * object too; if not, the write leaves the restricted space (LOGICAL ACCESS).
 */
MUST_USE enum status object_read(struct memory_object *object, uint64_t offset, vaddr_t to, size_t bytes, size_t *done);
MUST_USE enum status object_write(struct memory_object *object, uint64_t offset, vaddr_t from, size_t bytes,
                                  bool readable, size_t *done);

/*
 * The same with a kernel buffer, which must be LOCAL or the caller's stack (or, at boot, the archive). The calling
 * process must have the object open, or (boot) views must not be enabled yet. Sleeps only for a pager.
 */
MUST_USE enum status object_read_kernel(struct memory_object *object, uint64_t offset, void *to, size_t bytes,
                                        size_t *done);
MUST_USE enum status object_write_kernel(struct memory_object *object, uint64_t offset, const void *from, size_t bytes);

/*
 * Sets the size; shrinking revokes and frees the pages behind it and clears the tail. Mappings lose those pages, in
 * every process. ERR_FILE_TOO_BIG, ERR_NOT_PERMITTED (sealed). May take user_space->lock and stop other CPUs when it
 * shrinks: no spinlock held.
 * Costs an exit when the caller has the object not open for reading.
 */
MUST_USE enum status object_resize(struct memory_object *object, uint64_t size);

/*
 * Boot: `bytes` that lie in successive SECRET frames from `first` on become the content of an empty object. Behind them
 * the last frame is zero. ERR_NO_MEMORY.
 */
MUST_USE enum status object_take_frames(struct memory_object *object, frame_t first, uint64_t bytes);

/*
 * Moves whole pages: they are in `to` afterwards, what was there is gone, and holes in `from`, where no window and no
 * mapping of them is left. `to` grows if it must. ERR_INVALID (not all of the pages lie in `from`; the same object),
 * ERR_NOT_SUPPORTED (`from` has a pager), ERR_BUSY (a grant holds some of them), ERR_NO_MEMORY: those before may have
 * moved. No lock held. May stop other CPUs.
 */
MUST_USE enum status object_move(struct memory_object *to, uint64_t to_page, struct memory_object *from,
                                 uint64_t from_page, uint64_t pages);

/*
 * The frame of page `index`, with a reference for a page-table entry (frame_unref when unmapped). A hole is filled with
 * a clean frame, unless only a resident page is wanted (ERR_NO_ENTRY). ERR_NO_MEMORY, ERR_INVALID (behind the size),
 * ERR_WOULD_BLOCK (its pager is to be asked: pager_page_in(), then again). Never sleeps.
 */
enum page_use {
    PAGE_IF_RESIDENT,
    PAGE_USE,
    PAGE_MODIFY, /* by a user half that will write to it */
};
MUST_USE enum status object_page(struct memory_object *object, uint64_t index, enum page_use use, frame_t *out);

/* Drops the reference of object_page() on a frame that was mapped nowhere. */
void object_page_put(frame_t frame);

/*
 * Of the pages index + i whose bit i is set in `wanted` those that are resident: their frames in out[i], each with a
 * reference as above. Returns the bits of those found.
 */
uint32_t object_resident_pages(struct memory_object *object, uint64_t index, uint32_t wanted, frame_t out[32]);

#endif
