/*
 * A mounted file system: the disk, the journal, libext2fs on the cache, and operations that happen whole or not at all.
 *
 * An operation is what stands between volume_begin() and volume_end(). Whatever it did to blocks, bitmaps and counters
 * is taken back when it ends with an error. Commits happen between operations.
 *
 * Blocks that are free on the disk but must not be used yet are withheld: those that the running transaction frees
 * (until it is committed: after a crash they may belong to their file again), and those that are reserved for file
 * content that is on its way to the disk (nothing refers to them before it has arrived).
 *
 * Guard: `lock`, for everything, but for the disk's own calls on file content (content.c).
 */
#ifndef USER_EXT4_VOLUME_H
#define USER_EXT4_VOLUME_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "user/ext4/cache.h"
#include "user/ext4/journal.h"
#include "user/ext4/ranges.h"

struct directory;

enum { VOLUME_MOVES = 64 }; /* transfers of file content under way at once */

struct volume {
    pthread_mutex_t lock;
    struct disk *disk;
    struct survivor survivor;
    struct cache cache;
    struct journal journal;
    ext2_filsys fs;
    bool read_only;
    bool has_journal; /* it is open: without one the volume is read-only */
    bool broken;      /* the journal could not be written: nothing is changed any more */
    bool in_operation;
    bool changed;                 /* the operation under way has changed bitmaps or counters */
    ext2fs_block_bitmap withheld; /* set in fs->block_map too, but not on the disk */
    struct ranges freed;          /* by the operation under way */
    struct ranges pinned;         /* by the running transaction */
    struct ranges reserved;
    uint8_t *dirty_groups; /* whose bitmaps the operation under way changed */
    ext2_ino_t *orphans;   /* the list on the disk, its head last */
    unsigned orphan_count, orphan_room;
    struct directory *directories; /* whose names are in memory, by use */
    size_t directory_entries;
    ext2_ino_t moving[VOLUME_MOVES]; /* of which content is under way */
    pthread_cond_t moved;
    uint64_t commits;
};

/*
 * Mounts: replays the journal, takes over what an earlier process left in `memory` (survivor_size(4096) bytes, zero at
 * first), frees orphans when there was none. EINVAL: no ext4. EOPNOTSUPP: features that are not served. EUCLEAN: it is
 * damaged, e2fsck can tell. EROFS: it needs a replay and cannot be written. `note` says what there is to say, or "".
 */
int volume_mount(struct volume *volume, struct disk *disk, void *memory, char note[160]);

/* A clean end: all is at home, the journal empty. Nothing is under way any more. */
int volume_unmount(struct volume *volume);

/* Gives up all memory, whatever the state: what a kill would do, for tests, and what follows volume_unmount(). */
void volume_destroy(struct volume *volume);

int volume_begin(struct volume *volume);
/* Ends the operation. `answer`: found again by its request number, or NULL. Returns `error`, or what failed now. */
int volume_end(struct volume *volume, int error, const struct survivor_answer *answer);

/* All operations until now are durable, and content that the disk has. */
int volume_commit(struct volume *volume);
bool volume_is_dirty(const struct volume *volume);

/* Of an operation: a free block near `goal`; up to `most` in a row, *count says how many. */
int volume_find_blocks(struct volume *volume, uint64_t goal, uint64_t most, uint64_t *start, uint64_t *count);
int volume_reserve(struct volume *volume, uint64_t start, uint64_t count);
void volume_unreserve(struct volume *volume, uint64_t start, uint64_t count);
int volume_new_inode(struct volume *volume, ext2_ino_t parent, bool directory, ext2_ino_t *number);
void volume_count_inode(struct volume *volume, ext2_ino_t number, int change, bool directory);

/* libext2fs' errors as errno. */
int volume_error(errcode_t code);

#endif
