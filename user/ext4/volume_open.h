/*
 * Between volume.c and volume_mount.c: opening libext2fs on what the cache has.
 */
#ifndef USER_EXT4_VOLUME_OPEN_H
#define USER_EXT4_VOLUME_OPEN_H

#include "user/ext4/volume.h"

/* Opens libext2fs anew: bitmaps, counters and the list of orphans as the cache has them. */
int volume_reopen(struct volume *volume);

/* From now on the library asks the volume for blocks and says which it frees. */
void volume_hook_library(struct volume *volume);

/* Marks again what is withheld, in bitmaps that were just read. */
void volume_withhold_again(struct volume *volume);

#endif
