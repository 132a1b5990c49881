/*
 * The name server from a service's side (user/names_abi.h).
 */
#ifndef USER_LIB_NAMES_H
#define USER_LIB_NAMES_H

#include <stdint.h>

/* The handle whose number is in an environment variable, or -1 with EBADF. */
int handle_from_environment(const char *variable);

/* 0, or -1 with errno: makes `endpoint` known as `name`. The caller keeps it. */
int names_register(const char *name, int endpoint);

/* An endpoint to call, or -1 with errno (ENOENT: nobody of that name within so many ms). */
int names_connect(const char *name, uint32_t wait_ms);

#endif
