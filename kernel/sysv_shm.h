/*
 * Segments of System V shared memory: a memory object with an id. What the areas that map it have to tell.
 */
#ifndef KERNEL_SYSV_SHM_H
#define KERNEL_SYSV_SHM_H

#include "mm/object.h"

struct shm_segment;

/* One more or one less area maps the object, object->mappings, which these count. No spinlock above SYSV held. */
void segment_attached(struct memory_object *object);
void segment_detached(struct memory_object *object);

#endif
