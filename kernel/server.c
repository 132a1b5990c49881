/*
 * Owns: servers that may be started again: which endpoint is theirs now, and those who wait for the next.
 *
 * Locks: server.lock for the endpoint; callers wait on server.attached. Runs in the caller's space.
 */
#include "kernel/server.h"

#include "kernel/time.h"
#include "kernel/timespec.h"
#include "kernel/wait.h"
#include "mm/heap.h"

/* Class GLOBAL. */
struct server {
    uint32_t refs;              /* atomic */
    struct spinlock lock;       /* rank SERVER */
    struct endpoint *endpoint;  /* with a reference; it may be dead. NULL: abandoned. Protected by lock */
    uint64_t timeout_ns;        /* atomic */
    struct wait_queue attached; /* woken when `endpoint` has changed */
};

enum status server_create(struct endpoint *endpoint, uint64_t timeout_ns, struct server **out) {
    struct server *server = global_alloc(sizeof(*server));
    if (server == NULL)
        return ERR_NO_MEMORY;
    server->refs = 1;
    spin_init(&server->lock, RANK_SERVER);
    endpoint_ref(endpoint);
    server->endpoint = endpoint;
    server->timeout_ns = timeout_ns;
    wait_queue_init(&server->attached);
    *out = server;
    return OK;
}

void server_ref(struct server *server) { __atomic_fetch_add(&server->refs, 1, __ATOMIC_RELAXED); }

void server_unref(struct server *server) {
    if (__atomic_sub_fetch(&server->refs, 1, __ATOMIC_ACQ_REL) != 0)
        return;
    if (server->endpoint != NULL)
        endpoint_unref(server->endpoint);
    global_free(server, sizeof(*server));
}

/* The reference on `endpoint` passes. */
static void set_endpoint(struct server *server, struct endpoint *endpoint) {
    spin_lock(&server->lock);
    struct endpoint *before = server->endpoint;
    server->endpoint = endpoint;
    spin_unlock(&server->lock);
    wake_all(&server->attached);
    if (before != NULL)
        endpoint_unref(before);
}

void server_attach(struct server *server, struct endpoint *endpoint) {
    endpoint_ref(endpoint);
    set_endpoint(server, endpoint);
}

void server_abandon(struct server *server) { set_endpoint(server, NULL); }

/* With a reference; NULL: abandoned. */
static struct endpoint *get_endpoint(struct server *server) {
    spin_lock(&server->lock);
    struct endpoint *endpoint = server->endpoint;
    if (endpoint != NULL)
        endpoint_ref(endpoint);
    spin_unlock(&server->lock);
    return endpoint;
}

void server_notify(struct server *server, uint64_t bits) {
    struct endpoint *endpoint = get_endpoint(server);
    if (endpoint == NULL)
        return;
    endpoint_notify(endpoint, bits);
    endpoint_unref(endpoint);
}

bool server_is_attached(const struct server *server) {
    struct endpoint *endpoint = get_endpoint((struct server *)(uintptr_t)server);
    bool attached = endpoint != NULL && endpoint_is_alive(endpoint);
    if (endpoint != NULL)
        endpoint_unref(endpoint);
    return attached;
}

void server_set_timeout(struct server *server, uint64_t timeout_ns) {
    __atomic_store_n(&server->timeout_ns, timeout_ns, __ATOMIC_RELAXED);
}

/* Until another endpoint is the server's than `dead`, on which the caller has a reference: it is nobody else meanwhile.
 */
static enum status wait_for_another(struct server *server, const struct endpoint *dead, uint64_t deadline) {
    enum status status = OK;
    struct waiter waiter;
    wait_begin(&server->attached, &waiter);
    while (status == OK && __atomic_load_n(&server->endpoint, __ATOMIC_RELAXED) == dead)
        status = wait_sleep_killable(deadline);
    wait_end(&waiter);
    return status;
}

static uint64_t time_left(uint64_t deadline) {
    uint64_t now = time_monotonic();
    if (deadline == WAIT_FOREVER)
        return IPC_FOREVER;
    return deadline > now ? deadline - now : 0;
}

enum status server_call(struct server *server, struct message *message) {
    const uint64_t deadline = deadline_after(__atomic_load_n(&server->timeout_ns, __ATOMIC_RELAXED));
    enum status status = OK;
    while (status == OK) {
        struct endpoint *endpoint = get_endpoint(server);
        if (endpoint == NULL)
            return ERR_IO;
        status = endpoint_call(endpoint, message, time_left(deadline));
        const bool again = status == ERR_BROKEN_PIPE;
        if (again)
            status = wait_for_another(server, endpoint, deadline);
        endpoint_unref(endpoint);
        if (status == OK && !again)
            return OK;
    }
    return status == ERR_RESTART || status == ERR_NO_MEMORY || status == ERR_FAULT ? status : ERR_IO;
}

enum status server_verdict(uint32_t label) {
    static const uint16_t errnos[] = {
#define STATUS_ERRNO(name, errno_value) [name] = errno_value,
        STATUS_LIST(STATUS_ERRNO)
#undef STATUS_ERRNO
    };
    for (unsigned status = OK; status < ERR_RESTART; status++) {
        if (errnos[status] == label)
            return (enum status)status;
    }
    return ERR_IO;
}
