/*
 * Callers who wait for a service to come, each with its time.
 */
#ifndef USER_NAMES_WAITING_H
#define USER_NAMES_WAITING_H

#include <stdbool.h>
#include <stdint.h>

/* False: too many wait already. */
bool waiting_add(const char *name, uint64_t token, uint64_t ms);
/* Gives the endpoint to all who wait for the name. */
void waiting_answer(const char *name, int endpoint);
/* Answers one caller. The handle is as the service registered it: badges are its own business. */
void waiting_give(uint64_t token, int endpoint);
/* Answers those whose time is over. */
void waiting_expire(void);
/* How long until somebody's time is over; IPC_FOREVER. */
uint64_t waiting_next_ns(void);

#endif
