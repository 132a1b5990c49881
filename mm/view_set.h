/*
 * View sets: which process has which object open, and on which frames it has windows. GLOBAL: frame numbers only.
 * Between mm/ephmap.c and mm/view_set.c; everyone else uses mm/ephmap.h.
 */
#ifndef MM_VIEW_SET_H
#define MM_VIEW_SET_H

#include "arch/spinlock.h"
#include "kernel/list.h"
#include "mm/gather.h"
#include "mm/types.h"

struct memory_object;
struct process;

#define VIEW_SET_INLINE 12

/* All fields protected by views_lock. */
struct object_view_set {
    struct list object_link;  /* in object->view_sets */
    struct list process_link; /* in process->view_sets */
    struct memory_object *object;
    struct process *process;
    uint32_t handles; /* how many opens */
    uint64_t count;   /* frames recorded */
    uint64_t tidy_at; /* when so many are recorded, those that have lost their windows are forgotten */
    uint32_t inline_frames[VIEW_SET_INLINE];
    uint32_t **pages; /* further ones: an array of GLOBAL pages of frame numbers */
};

extern struct spinlock views_lock; /* rank VIEWS */

/* views_lock held for all of these. */
struct object_view_set *view_set_find(struct process *process, struct memory_object *object);
/* False when memory is short: then the frame must get no window. */
bool view_set_record(struct object_view_set *set, frame_t frame);
frame_t view_set_frame(const struct object_view_set *set, uint64_t index);
/* Clears and flushes every recorded window; the set's process is the running one. */
void view_set_revoke(struct object_view_set *set);

/* GLOBAL pages that all sets' records take. Any lock. */
uint64_t view_set_pages(void);

void ephmap_free_tables(struct gather *gather);

#endif
