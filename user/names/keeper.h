/*
 * Records that init keeps for the name server's next process (user/service_abi.h). Without init's endpoint nothing is
 * kept, and nothing fails.
 */
#ifndef USER_NAMES_KEEPER_H
#define USER_NAMES_KEEPER_H

#include <stdbool.h>
#include <stddef.h>

enum { KEEPER_FIRST_SERVICE = 1, KEEPER_FIRST_MOUNT = 33 }; /* record numbers: services from the one, mounts … */

void keeper_put(unsigned number, const void *record, size_t length, int handle);
void keeper_drop(unsigned number);
/* The record, `room` bytes of it, and its handle, a new one. False: there is none of this number. */
bool keeper_get(unsigned number, void *record, size_t room, int *handle);

#endif
