/*
 * Channels: up to 64 KiB of bytes under way from those who write to those who read: what pipes and stream sockets are
 * made of. Who waits for what, and when nobody is left at an end, is their matter.
 */
#ifndef KERNEL_CHANNEL_H
#define KERNEL_CHANNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernel/status.h"
#include "mm/types.h"

struct memory_object;

#define CHANNEL_SLOTS  16U       /* pages at most */
#define CHANNEL_SPARES 2U        /* emptied pages kept for the next writer */
#define CHANNEL_ATOMIC PAGE_SIZE /* what is appended at once, whole or not at all */

/* A SECRET frame of channel.object, or none. All bytes but the unread ones are zero. */
struct channel_page {
    frame_t frame;
    uint64_t writer;        /* whose bytes it holds, or who wrote it last; CHANNEL_WRITERS_MIXED, CHANNEL_WRITER_NONE */
    uint16_t start, length; /* the unread bytes */
};

/* Class GLOBAL: numbers only. Everything below `object` is protected by object->lock, which callers hold. */
struct channel {
    struct memory_object *object; /* owns the frames, is what handles count as opens of. Constant */
    uint32_t first;               /* slot that is read from */
    uint32_t used;                /* slots from there that hold unread bytes */
    uint32_t slots;               /* how many may */
    uint32_t bytes;               /* unread */
    uint32_t spare_count;
    struct channel_page pages[CHANNEL_SLOTS];
    struct channel_page spares[CHANNEL_SPARES]; /* empty */
};

/* A writer is a process under a number that is never used again, unlike its id. */
#define CHANNEL_WRITER_NONE   0UL
#define CHANNEL_WRITERS_MIXED UINT64_MAX

/* The calling process's number. */
uint64_t channel_writer(void);

/* Where bytes come from or go to: user memory that may fault, or the caller's own kernel memory. */
struct channel_source {
    vaddr_t user;
    const char *kernel; /* NULL: user */
};
struct channel_target {
    vaddr_t user;
    char *kernel; /* NULL: user */
};

/* An empty one, all zero before, with pages of `object`. */
void channel_init(struct channel *channel, struct memory_object *object);

/* Bytes that `writer` can append now; `reads`: that process may read the channel too. */
size_t channel_room(const struct channel *channel, uint64_t writer, bool reads);

/* Whether the next byte of `writer` would come behind another's: then `reads` matters. */
bool channel_behind_other(const struct channel *channel, uint64_t writer);

/*
 * Appends `bytes` (≤ CHANNEL_ATOMIC and ≤ room), whole or not at all. ERR_NO_MEMORY; ERR_FAULT: user memory at *fault
 * is absent, nothing has changed.
 */
MUST_USE enum status channel_append(struct channel *channel, uint64_t writer, bool reads, struct channel_source from,
                                    size_t bytes, vaddr_t *fault);

/* Moves up to `bytes` out and clears them behind it. Returns how many; less than there are: a fault at to + that. */
MUST_USE size_t channel_take(struct channel *channel, struct channel_target to, size_t bytes);
/* The same behind the first `skip` bytes, and leaves them where they are. */
MUST_USE size_t channel_peek(struct channel *channel, size_t skip, struct channel_target to, size_t bytes);

/* Takes every page out of every process's view: after it only those map them again who may. */
void channel_revoke(struct channel *channel);

/*
 * All pages go, and what is unread with them: nobody can read any more. `may_see`: the caller could read it until now;
 * who could not leaves the restricted space if there is any. Returns without the lock.
 */
void channel_drop_pages(struct channel *channel, bool may_see);

#endif
