/*
 * Mounting by the name server, and memory that survives. See mounts.h.
 */
#include "user/lib/mounts.h"

#include <errno.h>
#include <stdio.h>
#include <sys/mman.h>

#include "user/lib/names.h"
#include "user/lib/native.h"
#include "user/names_abi.h"

int names_mount_handle(const char *service, const char *path, const char *source, uint32_t flags, uint64_t root) {
    char text[512];
    int names = handle_from_environment("PENUMBRA_NAMES");
    int length = snprintf(text, sizeof text, "%s%c%s%c%s", service, '\0', path, '\0', source);
    if (length < 0 || (size_t)length >= sizeof text) {
        errno = ENAMETOOLONG;
        return -1;
    }
    struct ipc_extra extra;
    struct ipc ipc;
    int sent;
    do { /* a name server that has died is started again */
        extra = (struct ipc_extra){.bytes = (uint64_t)(uintptr_t)text,
                                   .length = (uint32_t)length + 1,
                                   .timeout_ns = IPC_FOREVER,
                                   .handle_room = 1};
        ipc = (struct ipc){.label = NAMES_MOUNT, .word = {flags, root}, .extra = &extra};
        sent = ipc_call(names, &ipc);
    } while (sent < 0 && (errno == EPIPE || errno == EINTR));
    if (sent < 0) {
        return -1;
    }
    errno = ipc.label != 0 ? (int)ipc.label : EPROTO;
    return ipc.label == 0 && extra.handle_room == 1 ? extra.taken_handles[0] : -1;
}

int names_mount(const char *service, const char *path, const char *source, uint32_t flags, uint64_t root) {
    int mount = names_mount_handle(service, path, source, flags, root);
    return mount >= 0 ? close(mount) : -1;
}

void *object_map(int object, size_t size) {
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, object, 0);
    return memory != MAP_FAILED ? memory : NULL;
}

void *state_memory(size_t size) {
    int state = handle_from_environment("PENUMBRA_STATE");
    if (state >= 0 && ftruncate(state, (off_t)size) == 0) {
        return object_map(state, size);
    }
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return memory != MAP_FAILED ? memory : NULL;
}
