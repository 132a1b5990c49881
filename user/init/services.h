/*
 * The services: servers and drivers that init starts, watches and starts again (docs/recovery.md).
 *
 * Init is one thread. While it waits for a program it is the keeper of handles, too (user/service_abi.h), reaps what
 * ends, and starts again what must not end. What may wait for a service is done by a child in its name.
 */
#ifndef USER_INIT_SERVICES_H
#define USER_INIT_SERVICES_H

#include <stdbool.h>
#include <sys/types.h>

/*
 * Starts the name server and the root's file server from the boot archive, and waits for the root's files. False:
 * they do not come.
 */
bool services_start_root(void);

/*
 * Starts what the machine has devices for, and waits until the first disk is mounted at `disk_path`, if there is one.
 * False: this kernel has no messages, nothing was started.
 */
bool services_start(const char *disk_path);

/* Waits for `child` meanwhile. Its wait status. */
int services_wait_for(pid_t child);

/* Before the machine stops: what is mounted is left as a clean end leaves it. */
void services_end(void);

/* Of a child of init that is to be an ordinary program: none of the services' handles, and not of their domain. */
void services_leave(void);

#endif
