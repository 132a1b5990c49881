/*
 * EPHMAP: the only way to a secret frame.
 *
 * Two kinds of view, both per process:
 *  - a *window* on a frame of a memory object that the process has open: the frame has one fixed address, the entry is
 *    written on first use and stays until the process closes the object (REVOKE). A hit costs a load and a branch.
 *  - a *scratch view* in one of the CPU's slots, used in turn: for clearing, copying and for tables of a child being
 *    built. Its entry is cleared by the put; the translation is flushed in batches, before the frame can be reused.
 *
 * In modes none, classic and naive both return the PHYSMAP address: the first two run unrestricted anyway, in naive the
 * touch faults and exits. Views nest. While one is held user memory must not be faulted in (use the _held copies).
 */
#ifndef MM_EPHMAP_H
#define MM_EPHMAP_H

#include "arch/cpu.h"
#include "arch/paging.h"
#include "kernel/status.h"
#include "mm/frame.h"

struct memory_object;
struct process;

#define EPHMAP_SCRATCH_SLOTS 64UL /* per CPU: a bit each in struct cpu; the last two are ephmap_copy_frame()'s */

/* True in mode asi: views are EPHMAP entries. Else PHYSMAP addresses. Changed only by asi_set_mode(). */
extern bool ephmap_enabled;

/* In place of lasting windows: see enum asi_views. Changed only by asi_set_views(). */
extern enum asi_views ephmap_design;

static inline void *physmap_address(paddr_t address) { return (void *)(PHYSMAP_BASE + address); }
static inline void *physmap(frame_t frame) { return physmap_address(frame_address(frame)); }

/* Slow path of ephmap_window(): writes the entry and records it for revocation. */
void *ephmap_map_window(frame_t frame, struct memory_object *object);

/*
 * A window on `frame`, which belongs to `object`; the caller holds the object's lock and its process has the object
 * open for reading (LOGICAL ACCESS). Never fails (falls back to a scratch view when memory is short). May exit in
 * naive. Put it.
 */
static inline void *ephmap_window(frame_t frame, struct memory_object *object) {
    this_cpu->views_held++;
    if (!ephmap_enabled)
        return physmap(frame);
    /* The entry can always be read: where a process has no table of its own, an empty one is linked (mm/roots.h). */
    if (__builtin_expect(pte_present(window_pte(EPHMAP_BASE)[frame.number]), 1))
        return (void *)(EPHMAP_BASE + frame_address(frame));
    return ephmap_map_window(frame, object);
}
void ephmap_overflow_put(void); /* memory was short when the window was asked for */
static inline void ephmap_window_put(void) {
    this_cpu->views_held--;
    if (__builtin_expect(this_cpu->overflow_view != NULL, 0))
        ephmap_overflow_put();
}

/* A scratch view; at most EPHMAP_SCRATCH_SLOTS / 2 at once. Never fails. Not in interrupt handlers. */
void *ephmap_scratch(frame_t frame);
/*
 * Ends it: the entry is gone, the translation is flushed by the next ephmap_flush() or when the slots have gone
 * round.
 */
void ephmap_scratch_put(void *view);

/* Flushes the translations of scratch views put since the last flush, on every CPU: after it REVOKE holds for them. */
void ephmap_flush_pending(void);
static inline void ephmap_flush(void) {
    if (this_cpu->scratch_pending != 0)
        ephmap_flush_pending();
}

/* The same and the translation of a user page of the running process, by one request. */
void ephmap_flush_with(vaddr_t page);

/* A CR3 write has flushed this CPU; if it is the only one that runs the process, that settles its scratch views. */
void ephmap_note_cr3_write(void);

/* Clears the frame through a scratch view. The caller's process may see its content; the caller flushes before freeing
 * it. */
void ephmap_scrub(frame_t frame);

/* Copies a whole frame (copy-on-write): two views at once. The caller flushes before it lets go of `from`. */
void ephmap_copy_frame(frame_t to, frame_t from);

/* Clears, flushes and frees one frame whose last reference is gone. For many frames use mm/gather.h. */
void ephmap_scrub_and_free(frame_t frame);

/*
 * A process opens or closes an object (each handle counts). At the last close every window that the
 * process has on the object is revoked: entries cleared, and flushed on every CPU, before ephmap_close() returns. No
 * lock of rank OBJECT or above held.
 */
MUST_USE enum status ephmap_open(struct memory_object *object);
void ephmap_close(struct memory_object *object);

/* The same on behalf of a child that is being made: it begins with no windows. Undone by ephmap_forget_process(). */
MUST_USE enum status ephmap_open_for(struct process *process, struct memory_object *object);
/* Drops all opens of a process that is going away (its handles are closed already, or never were). */
void ephmap_forget_process(struct process *process);

/*
 * The object loses the frame (truncate, evict): no process keeps an entry for a window on it. Object lock held. The
 * window's address, the same in every process, is to be flushed by ephmap_flush_windows() before the frame is freed.
 */
void ephmap_revoke_frame(struct memory_object *object, frame_t frame);
static inline vaddr_t ephmap_window_address(frame_t frame) { return EPHMAP_BASE + frame_address(frame); }

/* Flushes windows (or TLB_EVERYTHING) of all processes that have the object open, on every CPU. Object lock held. */
void ephmap_flush_windows(struct memory_object *object, const vaddr_t *pages, unsigned count);

/* Whether the process has the object open: the audit's rule for a window. */
bool ephmap_has_open(struct process *process, struct memory_object *object);

#endif
