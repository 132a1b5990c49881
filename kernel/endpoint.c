/*
 * Owns: endpoints: their life and death, handles on them, notifications, watches.
 *
 * An endpoint lives as long as somebody refers to it, and can be received on as long as there is an open file with
 * RIGHT_RECEIVE, in whatever process. When the last is closed it is dead: all who wait for it are told at once.
 * Locks: ipc_lock. Space: any. The bits of a notification, like badges, are metadata: they are in GLOBAL memory.
 */
#include "kernel/endpoint.h"

#include "kernel/assert.h"
#include "kernel/endpoint_queues.h"
#include "kernel/open_file.h"
#include "mm/heap.h"

#define ENDPOINT_RIGHTS (RIGHT_CALL | RIGHT_RECEIVE | RIGHT_NOTIFY | RIGHT_TRANSFER)

/* Tells `target` that the endpoint in whose list it is has died. Class GLOBAL; protected by ipc_lock. */
struct watch {
    struct list link;
    struct endpoint *target; /* with a reference */
    uint64_t bits;
};

void endpoint_ref(struct endpoint *endpoint) { __atomic_fetch_add(&endpoint->refs, 1, __ATOMIC_RELAXED); }

void endpoint_unref(struct endpoint *endpoint) {
    if (__atomic_sub_fetch(&endpoint->refs, 1, __ATOMIC_ACQ_REL) != 0)
        return;
    ensure(list_empty(&endpoint->calls) && list_empty(&endpoint->receivers) && list_empty(&endpoint->watches));
    global_free(endpoint, sizeof(*endpoint));
}

bool endpoint_is_alive(const struct endpoint *endpoint) {
    return __atomic_load_n(&endpoint->receive_files, __ATOMIC_RELAXED) != 0;
}

/* --- Notifications ------------------------------------------------------------------------------------------------ */

/* ipc_lock held. */
static void notify(struct endpoint *endpoint, uint64_t bits) {
    endpoint->bits |= bits;
    endpoint_match(endpoint);
}

void endpoint_notify(struct endpoint *endpoint, uint64_t bits) {
    bool irq = spin_lock_irq(&ipc_lock);
    notify(endpoint, bits);
    spin_unlock_irq(&ipc_lock, irq);
}

/* --- Watches ------------------------------------------------------------------------------------------------------ */

static void free_watches(struct list *watches) {
    while (!list_empty(watches)) {
        struct watch *watch = container_of(watches->next, struct watch, link);
        list_remove(&watch->link);
        endpoint_unref(watch->target);
        global_free(watch, sizeof(*watch));
    }
}

static void move(struct watch *watch, struct list *to) {
    list_remove(&watch->link);
    list_push_back(to, &watch->link);
}

/* Adds `watch` to the live endpoint's, or its bits to the one that there is. What is not needed goes to `idle`. */
static void add_watch(struct endpoint *endpoint, struct watch *watch, struct list *idle) {
    list_for_each_safe(link, &endpoint->watches) {
        struct watch *other = container_of(link, struct watch, link);
        if (other->target->receive_files == 0) { /* nobody is left to be told: so they do not pile up */
            move(other, idle);
        } else if (other->target == watch->target) {
            other->bits |= watch->bits;
            list_push_back(idle, &watch->link);
            return;
        }
    }
    list_push_back(&endpoint->watches, &watch->link);
}

enum status endpoint_watch(struct endpoint *endpoint, struct endpoint *target, uint64_t bits) {
    struct list idle;
    struct watch *watch = global_alloc(sizeof(*watch));
    if (watch == NULL)
        return ERR_NO_MEMORY;
    endpoint_ref(target);
    watch->target = target;
    watch->bits = bits;
    list_init(&idle);
    bool irq = spin_lock_irq(&ipc_lock);
    if (endpoint->receive_files == 0) {
        notify(target, bits);
        list_push_back(&idle, &watch->link);
    } else {
        add_watch(endpoint, watch, &idle);
    }
    spin_unlock_irq(&ipc_lock, irq);
    free_watches(&idle);
    return OK;
}

/* --- Handles ------------------------------------------------------------------------------------------------------ */

static void reference(struct file *file) {
    struct endpoint *endpoint = file->target;
    endpoint_ref(endpoint);
    if (!(file->rights & RIGHT_RECEIVE))
        return;
    bool irq = spin_lock_irq(&ipc_lock);
    endpoint->receive_files++; /* the file that this one is made from counts, too: the endpoint is alive */
    spin_unlock_irq(&ipc_lock, irq);
}

static void receive_file_gone(struct endpoint *endpoint) {
    struct list idle;
    list_init(&idle);
    bool irq = spin_lock_irq(&ipc_lock);
    if (--endpoint->receive_files == 0) {
        endpoint_end_waits(endpoint);
        list_for_each_safe(link, &endpoint->watches) {
            struct watch *watch = container_of(link, struct watch, link);
            notify(watch->target, watch->bits);
            move(watch, &idle);
        }
    }
    spin_unlock_irq(&ipc_lock, irq);
    free_watches(&idle);
}

static void release(struct file *file) {
    struct endpoint *endpoint = file->target;
    if (file->rights & RIGHT_RECEIVE)
        receive_file_gone(endpoint);
    endpoint_unref(endpoint);
}

static const struct file_operations endpoint_operations = {.reference = reference, .release = release};

enum status endpoint_create(struct file **out) {
    struct endpoint *endpoint = global_alloc(sizeof(*endpoint));
    if (endpoint == NULL)
        return ERR_NO_MEMORY;
    endpoint->refs = endpoint->receive_files = 1;
    list_init(&endpoint->calls);
    list_init(&endpoint->receivers);
    list_init(&endpoint->watches);
    enum status status = file_create_on(&endpoint_operations, endpoint, ENDPOINT_RIGHTS, out);
    if (status != OK)
        global_free(endpoint, sizeof(*endpoint));
    return status;
}

enum status endpoint_get(int fd, uint32_t rights, struct endpoint **out, uint64_t *badge) {
    enum status status = OK;
    const struct file *file = handle_borrow(fd);
    if (file == NULL)
        return ERR_BAD_HANDLE;
    if (file->operations != &endpoint_operations) {
        status = ERR_INVALID;
    } else if (rights & ~file->rights) {
        status = ERR_ACCESS;
    } else {
        *out = file->target;
        endpoint_ref(*out);
        if (badge != NULL)
            *badge = file->badge;
    }
    handle_give_back();
    return status;
}
