/* Calls on the name server. See names.h. */
#include "user/lib/names.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "user/lib/native.h"
#include "user/names_abi.h"

int handle_from_environment(const char *variable) {
    const char *text = getenv(variable);
    if (text == NULL || *text == '\0') {
        errno = EBADF;
        return -1;
    }
    return atoi(text);
}

static int call_names(struct ipc *ipc) {
    int names = handle_from_environment("PENUMBRA_NAMES");
    struct ipc sent = *ipc;
    struct ipc_extra extra = *ipc->extra;
    if (names < 0) {
        return -1;
    }
    while (ipc_call(names, ipc) < 0) { /* one that has died is started again */
        if (errno != EPIPE && errno != EINTR) {
            return -1;
        }
        *ipc = sent;
        *ipc->extra = extra;
    }
    if (ipc->label != 0) {
        errno = (int)ipc->label;
        return -1;
    }
    return 0;
}

static struct ipc_extra extra_with_text(const char *text) {
    return (struct ipc_extra){
        .bytes = (uint64_t)(uintptr_t)text, .length = (uint32_t)strlen(text) + 1, .timeout_ns = IPC_FOREVER};
}

int names_register(const char *name, int endpoint) {
    struct ipc_extra extra = extra_with_text(name);
    extra.handle_count = 1;
    extra.handles[0] = endpoint;
    struct ipc ipc = {.label = NAMES_REGISTER, .extra = &extra};
    return call_names(&ipc);
}

int names_connect(const char *name, uint32_t wait_ms) {
    struct ipc_extra extra = extra_with_text(name);
    extra.handle_room = 1;
    struct ipc ipc = {.label = NAMES_CONNECT, .word = {wait_ms}, .extra = &extra};
    if (call_names(&ipc) < 0) {
        return -1;
    }
    if (extra.handle_room != 1) {
        errno = ENOENT;
        return -1;
    }
    return extra.taken_handles[0];
}
