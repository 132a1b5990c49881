/*
 * Servers and drivers for tests: a name server of the test's own, and programs of /sbin started with it and with the
 * authority. All that a case has started it ends itself, by services_end().
 */
#ifndef TESTS_USER_LIB_SERVICES_H
#define TESTS_USER_LIB_SERVICES_H

#include <stdint.h>
#include <sys/types.h>

/* Starts the name server. Each fails the case when it cannot be done. */
void services_begin(void);
void services_end(void);

/* Starts a program with one argument (or NULL). It is the caller's child: to be ended by service_kill(). */
pid_t service_start(const char *path, const char *argument);
void service_kill(pid_t pid);

/* A handle on what is registered by that name, which is waited for. */
int service_connect(const char *name);

/* Skips the case when the machine has no such virtio device (2: disk, 4: entropy). */
void service_needs_virtio(unsigned number);

#endif
