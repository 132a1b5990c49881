/*
 * Names of services and the endpoints to call them by.
 */
#ifndef USER_NAMES_REGISTRY_H
#define USER_NAMES_REGISTRY_H

#include <stddef.h>
#include <stdint.h>

enum { NAME_BYTES = 64 };

/* The handle passes when 0 is returned. `listen` is told when nobody can receive on it any more. EEXIST, ENOSPC. */
int registry_enter(const char *name, int endpoint, int listen);
/* The endpoint of a service that lives, or -1. */
int registry_find(const char *name);
/* Those of the notification's bits have died. */
void registry_bury(uint64_t bits);
void registry_restore(int listen);
/* Appends a line for each name. */
void registry_list(char *list, size_t room);

#endif
