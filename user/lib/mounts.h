/*
 * What services ask for beyond names: mounting, a memory that outlives them. Like the C library's: -1 and errno.
 */
#ifndef USER_LIB_MOUNTS_H
#define USER_LIB_MOUNTS_H

#include <stddef.h>
#include <stdint.h>

/* Has the name server mount what `service`, a name that is registered, serves. `flags`: enum mount_flag. */
int names_mount(const char *service, const char *path, const char *source, uint32_t flags, uint64_t root);

/* The same → the mount's handle, to adopt pages and take back what is cached. While it is open the mount stays. */
int names_mount_handle(const char *service, const char *path, const char *source, uint32_t flags, uint64_t root);

/* The memory behind PENUMBRA_STATE, `size` bytes; without it, one that dies with the process. NULL: no memory. */
void *state_memory(size_t size);

/* Maps a memory object, shared. NULL and errno. */
void *object_map(int object, size_t size);

#endif
