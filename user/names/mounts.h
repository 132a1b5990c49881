/*
 * What is mounted where, by which service.
 */
#ifndef USER_NAMES_MOUNTS_H
#define USER_NAMES_MOUNTS_H

#include <stddef.h>
#include <stdint.h>

/*
 * Mounts, or attaches again what is mounted there by the same service. 0 or an errno. Makes the directory. *handle is
 * the mount's, which stays here.
 */
int mounts_add(const char *service, const char *path, const char *source, uint32_t flags, uint64_t root, int endpoint,
               int *handle);
/* ENOENT, EBUSY. */
int mounts_remove(const char *path);
/* The service will not be started again: all that it has mounted is taken out. 0. */
int mounts_abandon(const char *service);
/* The service has been started again: what it had mounted goes on there. */
void mounts_attach(const char *service, int endpoint);
/* The service that has something mounted just there, or NULL. */
const char *mounts_service_at(const char *path);
void mounts_restore(void);
/* Appends a line for each mount. */
void mounts_list(char *list, size_t room);

#endif
