/*
 * The table of names. Each endpoint is watched under a bit of its own. Messages come in any order: what a bit says is
 * looked at again before it is believed.
 */
#include "user/names/registry.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "user/lib/native.h"
#include "user/names/keeper.h"

enum { SERVICES = 32 };

struct service {
    char name[NAME_BYTES]; /* "": free */
    int endpoint;
    uint64_t bit; /* under which it is watched */
};

static struct service services[SERVICES];

static struct service *find(const char *name) {
    for (unsigned i = 0; i < SERVICES; i++) {
        if (strcmp(services[i].name, name) == 0) {
            return &services[i];
        }
    }
    return NULL;
}

static uint64_t free_bit(uint64_t not_this) {
    uint64_t used = not_this;
    for (unsigned i = 0; i < SERVICES; i++) {
        used |= services[i].bit;
    }
    return ~used & (used + 1);
}

/* Asked through an endpoint that hears of nothing else. */
static bool is_dead(int endpoint) {
    int probe = endpoint_create();
    struct ipc_extra extra = {.timeout_ns = 0};
    struct ipc ipc = {.extra = &extra};
    bool dead = probe >= 0 && endpoint_watch(endpoint, probe, 1) == 0 && ipc_receive(probe, &ipc) == 0;
    close(probe);
    return dead;
}

static unsigned record_of(const struct service *service) {
    return KEEPER_FIRST_SERVICE + (unsigned)(service - services);
}

static void remove_service(struct service *service) {
    close(service->endpoint);
    *service = (struct service){.name = ""};
    keeper_drop(record_of(service));
}

static int watch(struct service *service, int listen, uint64_t not_this) {
    service->bit = free_bit(not_this);
    return endpoint_watch(service->endpoint, listen, service->bit);
}

int registry_enter(const char *name, int endpoint, int listen) {
    uint64_t old_bit = 0;
    if (name[0] == '\0' || name[0] == '/' || strlen(name) >= NAME_BYTES) {
        return EINVAL;
    }
    struct service *service = find(name);
    if (service != NULL) {
        if (!is_dead(service->endpoint)) {
            return EEXIST;
        }
        old_bit = service->bit;
        close(service->endpoint);
    } else {
        service = find("");
    }
    if (service == NULL) {
        return ENOSPC;
    }
    snprintf(service->name, NAME_BYTES, "%s", name);
    service->endpoint = endpoint;
    if (watch(service, listen, old_bit) < 0) {
        int error = errno;
        *service = (struct service){.name = ""};
        return error;
    }
    keeper_put(record_of(service), service->name, NAME_BYTES, endpoint);
    return 0;
}

int registry_find(const char *name) {
    const struct service *service = name[0] != '\0' ? find(name) : NULL;
    return service != NULL ? service->endpoint : -1;
}

void registry_bury(uint64_t bits) {
    for (unsigned i = 0; i < SERVICES; i++) {
        /* A bit may have been another's, who died and was replaced before this was heard. */
        if (services[i].bit & bits && is_dead(services[i].endpoint)) {
            remove_service(&services[i]);
        }
    }
}

void registry_restore(int listen) {
    for (unsigned i = 0; i < SERVICES; i++) {
        struct service *service = &services[i];
        if (keeper_get(record_of(service), service->name, NAME_BYTES, &service->endpoint)) {
            service->name[NAME_BYTES - 1] = '\0';
            if (watch(service, listen, 0) < 0) {
                remove_service(service);
            }
        }
    }
}

void registry_list(char *list, size_t room) {
    list[0] = '\0';
    for (unsigned i = 0; i < SERVICES; i++) {
        if (services[i].name[0] != '\0') {
            size_t length = strlen(list);
            snprintf(list + length, room - length, "service %s\n", services[i].name);
        }
    }
}
