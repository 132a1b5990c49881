/*
 * A server that may be started again: what mounts, pagers and terminals call. While it is down callers wait for it to
 * be attached anew, and their calls go there, with the same bytes; a server tells a repeated one by its request number.
 */
#ifndef KERNEL_SERVER_H
#define KERNEL_SERVER_H

#include "kernel/endpoint.h"

struct server;

/* refs 1. `timeout_ns`: of a call, the wait for a new attachment included. ERR_NO_MEMORY. */
MUST_USE enum status server_create(struct endpoint *endpoint, uint64_t timeout_ns, struct server **out);
void server_ref(struct server *server);
void server_unref(struct server *server);

/* It has been started again: those who wait go on. */
void server_attach(struct server *server, struct endpoint *endpoint);
/* Sets bits of its endpoint's notification; none if it was abandoned. */
void server_notify(struct server *server, uint64_t bits);
/* It will not come back: calls, also those that wait, end with ERR_IO from now on. */
void server_abandon(struct server *server);
bool server_is_attached(const struct server *server);
void server_set_timeout(struct server *server, uint64_t timeout_ns);

/*
 * endpoint_call() on it, again where it died meanwhile. OK: it has answered, message->label is its verdict. ERR_IO: it
 * did not in time, or was abandoned. ERR_RESTART: the thread is being killed. ERR_NO_MEMORY, ERR_FAULT.
 * May sleep; no lock held.
 */
MUST_USE enum status server_call(struct server *server, struct message *message);

/* The status for an answer's label: OK for 0, ERR_IO for what is no errno that the kernel knows. */
enum status server_verdict(uint32_t label);

#endif
