/*
 * The first files: those of the boot archive.
 */
#ifndef USER_MEMFS_ARCHIVE_H
#define USER_MEMFS_ARCHIVE_H

#include "user/memfs/state.h"

/* Names and attributes of all that is in it, and /tmp. 0 or an errno. */
int archive_make_names(struct state *state, int archive);

/* Gives each file its pages, out of the archive where they lie at whole pages. Then the state is filled. An errno. */
int archive_give_pages(struct state *state, int archive, int mount);

#endif
