/*
 * The name server (user/names_abi.h): who serves what, and what is mounted where.
 *
 * It is found by the endpoint that init made and keeps, so a call that comes while it is being started again waits.
 * What it has of others, endpoints and mounts, init keeps, too (user/service_abi.h): a new process begins with them.
 *
 * Environment: PENUMBRA_LISTEN (where calls come), PENUMBRA_AUTHORITY (names), PENUMBRA_KEEPER. One thread.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "user/lib/names.h"
#include "user/lib/native.h"
#include "user/names/mounts.h"
#include "user/names/registry.h"
#include "user/names/waiting.h"
#include "user/names_abi.h"

enum { TEXT_MAX = 512 };

static int listen;
static char text[TEXT_MAX + 1]; /* of the call under way, terminated */
static char list[16384];

static void answer(uint64_t token, int error, const char *bytes, size_t length) {
    struct ipc_extra extra = {
        .bytes = (uint64_t)(uintptr_t)bytes, .length = (uint32_t)length, .timeout_ns = IPC_FOREVER};
    struct ipc ipc = {.label = (uint32_t)error, .extra = &extra};
    ipc_reply(token, &ipc);
}

static int register_service(struct ipc *ipc) {
    if (ipc->extra->handle_room != 1) {
        return EINVAL;
    }
    int error = registry_enter(text, ipc->extra->taken_handles[0], listen);
    if (error != 0) {
        close(ipc->extra->taken_handles[0]);
        return error;
    }
    mounts_attach(text, ipc->extra->taken_handles[0]);
    waiting_answer(text, ipc->extra->taken_handles[0]);
    return 0;
}

/* A service by its name, or by a path where it has something mounted. */
static int find(const char *name) {
    const char *service = name[0] == '/' ? mounts_service_at(name) : name;
    return service != NULL ? registry_find(service) : -1;
}

static void connect_service(const struct ipc *ipc) {
    int endpoint = find(text);
    if (endpoint >= 0) {
        waiting_give(ipc->token, endpoint);
    } else if (ipc->word[0] == 0 || !waiting_add(text, ipc->token, ipc->word[0])) {
        answer(ipc->token, ENOENT, NULL, 0);
    }
}

/* "service\0path\0source" */
static int mount_service(const struct ipc *ipc, size_t length, int *mount) {
    const char *path = memchr(text, '\0', length), *source = NULL;
    if (path != NULL && ++path < text + length) {
        source = memchr(path, '\0', (size_t)(text + length - path));
    }
    if (source == NULL || path[0] != '/') {
        return EINVAL;
    }
    int endpoint = registry_find(text);
    if (endpoint < 0) {
        return ENOENT;
    }
    int error = mounts_add(text, path, source + 1, (uint32_t)ipc->word[0], ipc->word[1], endpoint, mount);
    if (error == 0) {
        waiting_answer(path, endpoint);
    }
    return error;
}

static void answer_mount(const struct ipc *ipc, size_t length) {
    int mount = -1, error = mount_service(ipc, length, &mount);
    if (error == 0) {
        waiting_give(ipc->token, mount);
    } else {
        answer(ipc->token, error, NULL, 0);
    }
}

static void serve(struct ipc *ipc) {
    size_t length = ipc->extra->room;
    text[length] = '\0';
    switch (ipc->label) {
    case NAMES_REGISTER:
        answer(ipc->token, register_service(ipc), NULL, 0);
        return;
    case NAMES_CONNECT:
        connect_service(ipc);
        break;
    case NAMES_MOUNT:
        answer_mount(ipc, length);
        break;
    case NAMES_UNMOUNT:
        answer(ipc->token, mounts_remove(text), NULL, 0);
        break;
    case NAMES_ABANDON: /* init's own handle has no badge */
        answer(ipc->token, ipc->badge == 0 ? mounts_abandon(text) : EPERM, NULL, 0);
        break;
    case NAMES_LIST:
        registry_list(list, sizeof list);
        mounts_list(list, sizeof list);
        answer(ipc->token, 0, list, strlen(list) + 1);
        break;
    default:
        answer(ipc->token, ENOSYS, NULL, 0);
        break;
    }
    if (ipc->extra->handle_room > 0) {
        close(ipc->extra->taken_handles[0]);
    }
}

int main(void) {
    listen = handle_from_environment("PENUMBRA_LISTEN");
    if (listen < 0) {
        fprintf(stderr, "names: it is started by init, with PENUMBRA_LISTEN\n");
        return 1;
    }
    registry_restore(listen);
    mounts_restore();
    for (;;) {
        struct ipc_extra extra = {
            .buffer = (uint64_t)(uintptr_t)text, .room = TEXT_MAX, .handle_room = 1, .timeout_ns = waiting_next_ns()};
        struct ipc ipc = {.extra = &extra};
        if (ipc_receive(listen, &ipc) < 0) {
            if (errno != ETIMEDOUT && errno != EINTR) {
                perror("names: receive");
                return 1;
            }
        } else if (ipc.label == IPC_NOTIFICATION) {
            registry_bury(ipc.word[0]);
        } else {
            serve(&ipc);
        }
        waiting_expire();
    }
}
